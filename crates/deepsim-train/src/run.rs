//! A training run: batches in, checkpoints, log and pictures out.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use deepsim_data::atomic::write_atomic;
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Batch, Crop, Cursor, Dataset, read_range};
use deepsim_nets::{Images, Params};
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::checkpoint;
use crate::data::{dataset, images, loader};
use crate::drive::{Course, Phase, Session, drive, earlier};
use crate::gradients::See;
use crate::log::Record;
use crate::plan::Plan;
use crate::precision;
#[cfg(feature = "cuda")]
use crate::prefetch::Prefetched;
use crate::store::Put;
use crate::trainer::{StepReport, Trainer};
use crate::world::{Alone, World};

/// File of a checkpoint with everything needed to go on.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// File of a run folder, and of each checkpoint, with the generator alone.
pub const GENERATOR: &str = "generator.safetensors";
/// File of a run folder with the plan.
pub const PLAN: &str = "plan.toml";
/// File of a run folder with the log.
pub const LOG: &str = "log.jsonl";
/// File of a run folder that is there once the run is finished.
pub const DONE: &str = "done.json";

/// Where a run reads, computes and writes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run folder.
    pub out: PathBuf,
    /// Folder in STL-10's binary format; procedural scenes without one.
    pub data: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images.
    pub without_duplicates: bool,
    /// Folder in which comparators' weights are looked for.
    pub weights: Option<PathBuf>,
    /// Continue the run that the folder holds.
    pub resume: bool,
    /// Where networks are.
    pub device: Device,
    /// On a GPU, record steps as CUDA graphs ([`Trainer::set_graphs`]); without one it changes nothing.
    pub graphs: bool,
    /// Threads that prepare batches.
    pub workers: usize,
    /// The processes that train together.
    pub world: Rc<dyn World>,
}

impl RunOptions {
    /// A new run of a single process in `out`, on procedural scenes and the CPU, with random comparators.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            data: None,
            without_duplicates: false,
            weights: None,
            resume: false,
            device: Device::Cpu,
            graphs: true,
            workers: 1,
            world: Rc::new(Alone),
        }
    }
}

/// What is asked of a run while it goes on, from another thread or a signal.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Save and stop after the step that is being made.
    pub stop: Arc<AtomicBool>,
    /// Save after the step that is being made; cleared once that is done.
    pub save: Arc<AtomicBool>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are made.
    Finished,
    /// It was asked to stop, and saved a checkpoint at this step.
    Interrupted(u64),
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// The plan is settled; training starts after `from` of `steps` steps.
    Started {
        /// What is trained on what, in a few lines.
        heading: &'a [String],
        /// Steps of the whole run.
        steps: u64,
        /// Steps already made by an earlier session.
        from: u64,
    },
    /// A step was made.
    Step(&'a Record),
    /// A checkpoint was written at this step.
    Saved(u64),
    /// Something that people should know; training goes on.
    Warning(&'a str),
}

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
    let (plan, fixed) = Plan::settle(recipe, &dataset, weights, earlier.as_ref(), device)?;
    let trainer = Trainer::new(&plan.recipe, fixed, device)?;
    let mut trainer = trainer.in_world(world.clone());
    trainer.set_graphs(options.graphs);
    let mut cursor = Cursor::default();
    if let (Some(earlier), Some(checkpoint)) = (earlier, checkpoint) {
        plan.data.check_continues(&earlier.data, out, &mut tell)?;
        if !plan.continues(&earlier) {
            return Err(TrainError::Folder {
                path: out.clone(),
                reason: format!(
                    "it holds a run of another plan, which cannot be continued.\nwanted:\n{}\ngot:\n{}",
                    plan.to_toml()?,
                    earlier.to_toml()?
                ),
            });
        }
        cursor = checkpoint::load(&checkpoint, &mut trainer)?.cursor;
    }
    let samples = Samples::new(&dataset, plan.recipe.crop, device)?;

    // Nothing is written before all that can be refused has been.
    std::fs::create_dir_all(out).map_err(TrainError::io("creating folder", out))?;
    if world.leads() {
        write_atomic(&out.join(PLAN), plan.to_toml()?.as_bytes())?;
    }
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
