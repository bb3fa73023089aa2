//! A training run: batches in, checkpoints, log and pictures out.

use candle_core::Device;
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Batch, Crop, Cursor, Dataset, read_range};
use deepsim_nets::{Images, Params};
use deepsim_run::Identity;
use deepsim_run::files::{CHECKPOINT, GENERATOR};
use deepsim_run::plan::Plan;
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::checkpoint;
use crate::data::{check_continues, dataset, images, loader};
use crate::drive::{drive, earlier};
pub use crate::events::{Event, Outcome, Requests};
use crate::gradients::See;
pub use crate::options::RunOptions;
use crate::plan;
use crate::precision;
#[cfg(feature = "cuda")]
use crate::prefetch::Prefetched;
use crate::session::{Course, Phase, Session};
use crate::store::Put;
use crate::trainer::{StepReport, Trainer};

/// Trains until all steps are made or a stop is requested.
///
/// # Errors
/// If anything fails; the last checkpoint stays as it is.
pub fn run(
    recipe: &Recipe,
    options: &RunOptions,
    requests: &Requests,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let (out, device) = (&options.out, &options.device);
    precision::set(recipe.precision, device)?;
    let world = options.world.clone();
    let loader = loader(recipe, options)?;
    let checkpoint = earlier(out, options.resume, &mut tell)?;
    let state = checkpoint.as_deref().map(checkpoint::read_state).transpose()?;

    let dataset = dataset(recipe, options)?;
    let earlier = state.map(|state| state.plan);
    let weights = options.weights.as_deref();
    let (plan, fixed) = plan::settle(recipe, &dataset, weights, earlier.as_ref(), device)?;
    let trainer = Trainer::new(&plan.recipe, fixed, device)?;
    let mut trainer = trainer.in_world(world.clone());
    trainer.set_graphs(options.graphs);
    let mut cursor = Cursor::default();
    if let (Some(earlier), Some(checkpoint)) = (earlier, checkpoint) {
        check_continues(&plan.data, &earlier.data, out, &mut tell)?;
        if !plan.continues(&earlier) {
            return Err(plan::other_plan(out, &plan.to_toml()?, &earlier.to_toml()?));
        }
        cursor = checkpoint::load(&checkpoint, &mut trainer)?.cursor;
    }
    let samples = Samples::new(&dataset, plan.recipe.crop, device)?;

    // Nothing is written before all that can be refused has been.
    plan::write(options, &plan.to_toml()?, Identity::of(&plan.recipe))?;
    let course = Course {
        out,
        name: &plan.recipe.name,
        heading: plan.heading(),
        steps: plan.recipe.steps,
        phases: vec![Phase { until: u64::MAX, source: dataset.unlabeled.clone() }],
        loader,
        output: &plan.recipe.output,
        world,
    };
    let mut session = GeneratorSession::new(trainer, samples, &plan, device);
    drive(&mut session, &course, cursor, requests, &mut tell)
}

/// A generator in training.
pub(crate) struct GeneratorSession<'a> {
    pub(crate) trainer: Trainer,
    samples: Samples,
    plan: &'a Plan,
    device: &'a Device,
    #[cfg(feature = "cuda")]
    prefetched: Prefetched,
}

impl<'a> GeneratorSession<'a> {
    pub(crate) fn new(
        trainer: Trainer,
        samples: Samples,
        plan: &'a Plan,
        device: &'a Device,
    ) -> Self {
        Self {
            trainer,
            samples,
            plan,
            device,
            #[cfg(feature = "cuda")]
            prefetched: Prefetched::default(),
        }
    }

    /// A batch as images, which may be on the device already.
    fn take(&mut self, batch: &Batch) -> Result<Images, TrainError> {
        #[cfg(feature = "cuda")]
        if let Some(images) = self.prefetched.take(batch)? {
            return Ok(images);
        }
        images(batch, self.device)
    }
}

impl Session for GeneratorSession<'_> {
    fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    fn step(&mut self, batch: &Batch, see: Option<&mut See<'_>>) -> Result<StepReport, TrainError> {
        let images = self.take(batch)?;
        match see {
            None => self.trainer.step(&images),
            Some(see) => self.trainer.step_seen(&images, see),
        }
    }

    #[cfg(feature = "cuda")]
    fn first_steps(&self) -> usize {
        if self.device.is_cuda() { 4 } else { 0 }
    }

    #[cfg(feature = "cuda")]
    fn prefetches(&self) -> bool {
        self.device.is_cuda() && self.prefetched.goes_on()
    }

    #[cfg(feature = "cuda")]
    fn prefetch(&mut self, batch: &Batch) {
        self.prefetched.begin(batch, self.device);
    }

    #[cfg(feature = "cuda")]
    fn notice(&mut self) -> Option<String> {
        if let Some(notice) = self.prefetched.notice() {
            return Some(notice);
        }
        let reason = self.trainer.graphs_refused()?.to_owned();
        self.trainer.set_graphs(false);
        Some(format!("steps are not recorded as CUDA graphs: {reason}"))
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

/// Fixed test images, drawn with their reconstructions as training goes on.
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
