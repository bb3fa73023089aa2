//! Run of a generator.

use candle_core::Device;
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Batch, Crop, Cursor, Dataset, read_range};
use deepsim_nets::{Images, Params};
use deepsim_run::Identity;
use deepsim_run::files::{CHECKPOINT, GENERATOR};
use deepsim_run::plan::Plan;
use deepsim_run::recipe::Recipe;
use tracing::info;

use crate::TrainError;
use crate::run::control::{Outcome, Requests};
use crate::run::data::{Training, check_continues, dataset, images, loader, training};
use crate::run::options::RunOptions;
use crate::run::plan;
use crate::run::precision;
use crate::run::prefetch::Prefetch;
use crate::run::session::{LoopSetup, Phase, Session, with_kernels};
use crate::run::training_loop::{earlier, training_loop};
use crate::step::gradients::GradientHook;
use crate::store::Put;
use crate::store::checkpoint;
use crate::trainer::{StepReport, Trainer};

/// Trains until all steps are made or a stop is requested.
///
/// # Errors
/// If anything fails; the last checkpoint stays as it is.
pub fn run(
    recipe: &Recipe,
    options: &RunOptions,
    requests: &Requests,
) -> Result<Outcome, TrainError> {
    let (out, device) = (&options.out, &options.device);
    precision::set(recipe.precision, device)?;
    let group = options.group.clone();
    refuse_where_it_runs(recipe, options)?;
    let loader = loader(recipe, options)?;
    let checkpoint = earlier(out, options.resume)?;
    let state = checkpoint.as_deref().map(checkpoint::read_state).transpose()?;

    let dataset = dataset(recipe, options)?;
    let earlier = state.map(|state| state.plan);
    let weights = options.weights.as_deref();
    let (plan, frozen) = plan::settle(recipe, &dataset, weights, earlier.as_ref(), device)?;
    let trainer = Trainer::new(&plan.recipe, frozen, device)?;
    let mut trainer = trainer.in_group(group.clone());
    trainer.set_graphs(options.graphs);
    let mut cursor = Cursor::default();
    if let (Some(earlier), Some(checkpoint)) = (earlier, checkpoint) {
        check_continues(&plan.data, &earlier.data, out)?;
        if !plan.continues(&earlier) {
            return Err(plan::other_plan(out, &plan.differences(&earlier)?));
        }
        cursor = checkpoint::load(&checkpoint, &mut trainer)?.cursor;
    } else if let Some(init) = &plan.recipe.init {
        match plan.recipe.init_matching {
            true => info!("{}: {}", init.display(), trainer.begin_with_matching(init)?),
            false => trainer.begin_with(init)?,
        }
    }
    let samples = Samples::new(&dataset, plan.recipe.crop, device)?;
    let Training { images: source, validation } = training(&plan.recipe, &dataset, loader, device)?;

    // Nothing is written before all that can be refused has been.
    let identity = Identity::of(&plan.recipe);
    plan::write(options, &plan.to_toml()?, identity, &dataset.test_paths())?;
    let setup = LoopSetup {
        out,
        name: &plan.recipe.name,
        heading: with_kernels(plan.heading(), device)?,
        steps: plan.recipe.steps,
        phases: vec![Phase { until: u64::MAX, source }],
        loader,
        output: &plan.recipe.output,
        group,
    };
    let mut session =
        GeneratorSession { validation, ..GeneratorSession::new(trainer, samples, &plan, device) };
    training_loop(&mut session, &setup, cursor, requests)
}

/// Refuses what a recipe cannot have on this device, or with so many processes.
fn refuse_where_it_runs(recipe: &Recipe, options: &RunOptions) -> Result<(), TrainError> {
    if recipe.adam.decoupled && !options.device.is_cpu() {
        return Err(TrainError::recipe("adam.decoupled: expected false on a GPU, found true"));
    }
    let ranks = options.group.size();
    if recipe.terms.mode_seeking.is_some() && ranks > 1 {
        return Err(TrainError::recipe(format!(
            "terms.mode_seeking: expected one process, because it is no mean over images, found {ranks}"
        )));
    }
    if recipe.adversarial.is_some_and(|term| term.adaptive) && ranks > 1 {
        return Err(TrainError::recipe(format!(
            "adversarial.adaptive: expected one process, whose gradients are those of the whole batch, found {ranks}"
        )));
    }
    Ok(())
}

/// A generator in training.
pub(crate) struct GeneratorSession<'a> {
    pub(crate) trainer: Trainer,
    samples: Samples,
    /// Batches of held-out images.
    validation: Vec<Images>,
    plan: &'a Plan,
    device: &'a Device,
    prefetch: Prefetch,
}

impl<'a> GeneratorSession<'a> {
    pub(crate) fn new(
        trainer: Trainer,
        samples: Samples,
        plan: &'a Plan,
        device: &'a Device,
    ) -> Self {
        let (validation, prefetch) = (Vec::new(), Prefetch::default());
        Self { trainer, samples, validation, plan, device, prefetch }
    }

    /// A batch as images, which may be on the device already.
    fn take(&mut self, batch: &Batch) -> Result<Images, TrainError> {
        if let Some(images) = self.prefetch.take(batch)? {
            return Ok(images);
        }
        images(batch, self.device)
    }
}

impl Session for GeneratorSession<'_> {
    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn step(
        &mut self,
        batch: &Batch,
        hook: Option<&mut GradientHook<'_>>,
    ) -> Result<StepReport, TrainError> {
        let images = self.take(batch)?;
        match hook {
            None => self.trainer.step(&images),
            Some(hook) => self.trainer.step_hooked(&images, hook),
        }
    }

    fn first_steps(&self) -> usize {
        if self.device.is_cuda() { 4 } else { 0 }
    }

    fn prefetches(&self) -> bool {
        self.prefetch.is_possible(self.device)
    }

    fn prefetch(&mut self, batch: &Batch) {
        self.prefetch.begin(batch, self.device);
    }

    fn notice(&mut self) -> Option<String> {
        if let Some(notice) = self.prefetch.notice() {
            return Some(notice);
        }
        let reason = self.trainer.graphs_refused()?.to_owned();
        self.trainer.set_graphs(false);
        Some(format!("steps are not recorded as CUDA graphs: {reason}"))
    }

    fn validate(&self) -> Result<Option<f64>, TrainError> {
        let batches = &self.validation;
        (!batches.is_empty()).then(|| self.trainer.validate(batches)).transpose()
    }

    fn draw(&self) -> Result<Picture, TrainError> {
        self.samples.draw(&self.trainer)
    }

    fn networks(&self) -> Vec<(&'static str, &Params)> {
        let adversary = self.trainer.adversary().map(|a| ("discriminator", a.net.params()));
        let generator = ("generator", self.trainer.generator().params());
        std::iter::once(generator).chain(adversary).collect()
    }

    fn save(&self, cursor: Cursor, put: &mut Put<'_>) -> Result<(), TrainError> {
        put(CHECKPOINT, &checkpoint::to_bytes(&self.trainer, cursor, self.plan)?)?;
        let (name, bytes) = self.product()?;
        put(name, &bytes)
    }

    fn product(&self) -> Result<(&'static str, Vec<u8>), TrainError> {
        let generator = self.trainer.product();
        Ok((GENERATOR, generator.params().to_safetensors(&generator.spec())?))
    }
}

/// Test images that are drawn with their reconstructions during training.
pub(crate) struct Samples {
    originals: Vec<Picture>,
    images: Images,
}

impl Samples {
    const COUNT: usize = 12;

    pub(crate) fn new(dataset: &Dataset, crop: usize, device: &Device) -> Result<Self, TrainError> {
        let test = &dataset.test.images;
        let batch = read_range(&**test, 0..Self::COUNT.min(test.len()), Crop::Center(crop))?;
        Ok(Self {
            originals: Picture::several(&batch.pixels, crop, crop),
            images: images(&batch, device)?,
        })
    }

    /// Originals above, reconstructions below, and under these samples from the prior if there is one.
    fn draw(&self, trainer: &Trainer) -> Result<Picture, TrainError> {
        let side = self.images.height();
        let pictures = |images: &Images| -> Result<_, TrainError> {
            Ok(Picture::several(&images.to_u8()?, side, side))
        };
        let mut rows = vec![self.originals.clone(), pictures(&trainer.reconstruct(&self.images)?)?];
        if let Some(samples) = trainer.samples(self.images.len())? {
            rows.push(pictures(&samples)?);
        }
        Ok(grid(&rows, 2))
    }
}
