//! A training run: batches in, checkpoints, log and pictures out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;
use deepsim_data::atomic::write_atomic;
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, Cursor, Dataset, read_range};

use crate::TrainError;
use crate::checkpoint;
use crate::log::{Log, Record};
use crate::plan::{Plan, images, loader};
use crate::recipe::Recipe;
use crate::tensorboard::EventFile;
use crate::trainer::Trainer;

/// File of a run folder with everything needed to go on.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// File of a run folder with the generator alone.
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
    /// Threads that prepare batches.
    pub workers: usize,
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
        /// The plan.
        plan: &'a Plan,
        /// Steps already made by an earlier session.
        from: u64,
    },
    /// A step was made.
    Step(&'a Record),
    /// A checkpoint was written at this step.
    Saved(u64),
}

/// Trains until all steps are made or `stop` is set.
///
/// # Errors
/// If anything fails; the last checkpoint stays as it is.
pub fn run(
    recipe: &Recipe,
    options: &RunOptions,
    stop: &AtomicBool,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let (out, device) = (&options.out, &options.device);
    let checkpoint = out.join(CHECKPOINT);
    let earlier = match checkpoint.exists() {
        true => Some(checkpoint::read_state(&checkpoint)?),
        false => None,
    };
    if let Some(state) = &earlier
        && !options.resume
    {
        let step = state.step;
        return Err(TrainError::Folder {
            path: out.clone(),
            reason: format!(
                "it holds a run at step {step}; continue it with --resume or choose another folder"
            ),
        });
    }

    let mut dataset = Dataset::open(options.data.as_deref(), recipe.seed)?;
    if options.without_duplicates {
        dataset = dataset.without_duplicates()?.0;
    }
    let earlier = earlier.map(|state| state.plan);
    let weights = options.weights.as_deref();
    let (plan, feature) = Plan::settle(recipe, &dataset, weights, earlier.as_ref(), device)?;
    let mut trainer = Trainer::new(&plan.recipe, feature, device)?;
    let mut cursor = Cursor::default();
    if let Some(earlier) = earlier {
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

    let grids = out.join("grids");
    std::fs::create_dir_all(&grids).map_err(TrainError::io("creating folder", &grids))?;
    write_atomic(&out.join(PLAN), plan.to_toml()?.as_bytes())?;
    let (mut log, last) = Log::open(&out.join(LOG), trainer.steps())?;
    let earlier_seconds = last.map_or(0.0, |record| record.seconds);
    let steps = plan.recipe.steps;
    if trainer.steps() >= steps && out.join(DONE).exists() {
        return Ok(Outcome::Finished);
    }
    remove(&out.join(DONE))?;
    let mut events = EventFile::create(out)?;
    let samples = Samples::new(&dataset, plan.recipe.crop, device)?;

    tell(Event::Started { plan: &plan, from: trainer.steps() });
    let mut batches = loader(&dataset, &plan.recipe, options.workers, cursor)?;
    let start = Instant::now();
    let (mut window, mut window_steps) = (Instant::now(), 0u64);
    let output = plan.recipe.output;
    while trainer.steps() < steps && !stop.load(Ordering::Relaxed) {
        let batch = batches.next().ok_or_else(|| TrainError::recipe("the data set is empty"))??;
        let report = trainer.step(&images(&batch, device)?)?;
        cursor = batch.next;
        window_steps += 1;

        let step = report.step;
        let last = step == steps;
        if step == 1 || step.is_multiple_of(output.log_every) || last {
            let speed = (window_steps * plan.recipe.batch as u64) as f64
                / window.elapsed().as_secs_f64().max(1e-9);
            (window, window_steps) = (Instant::now(), 0);
            let seconds = earlier_seconds + start.elapsed().as_secs_f64();
            let record = Record::new(&report, seconds, speed);
            log.append(&record)?;
            events.scalars(step, &record.scalars())?;
            tell(Event::Step(&record));
        }
        if step.is_multiple_of(output.grid_every) || last {
            samples.write(&trainer, &grids.join(format!("step-{step:07}.png")))?;
        }
        if step.is_multiple_of(output.checkpoint_every) && !last {
            save(out, &trainer, cursor, &plan)?;
            tell(Event::Saved(step));
        }
    }

    save(out, &trainer, cursor, &plan)?;
    tell(Event::Saved(trainer.steps()));
    if trainer.steps() < steps {
        return Ok(Outcome::Interrupted(trainer.steps()));
    }
    let done = serde_json::json!({
        "name": plan.recipe.name,
        "step": trainer.steps(),
        "seconds": earlier_seconds + start.elapsed().as_secs_f64(),
    });
    write_atomic(&out.join(DONE), done.to_string().as_bytes())?;
    Ok(Outcome::Finished)
}

/// The generator first: if the disk fills up, the checkpoint that a resume needs is the old one,
/// whole, and the generator is at worst newer than it.
fn save(out: &Path, trainer: &Trainer, cursor: Cursor, plan: &Plan) -> Result<(), TrainError> {
    trainer.generator().save(&out.join(GENERATOR))?;
    checkpoint::save(&out.join(CHECKPOINT), trainer, cursor, plan)
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::io("removing", path)(e))
        }
        _ => Ok(()),
    }
}

/// Fixed test images, drawn with their reconstructions as training goes on.
struct Samples {
    originals: Vec<Picture>,
    images: deepsim_nets::Images,
}

impl Samples {
    const COUNT: usize = 12;

    fn new(dataset: &Dataset, crop: usize, device: &Device) -> Result<Self, TrainError> {
        let test = &dataset.test.images;
        let batch = read_range(&**test, 0..Self::COUNT.min(test.len()), Crop::Center(crop))?;
        Ok(Self { originals: pictures(&batch.pixels, crop), images: images(&batch, device)? })
    }

    /// Originals above, reconstructions below.
    fn write(&self, trainer: &Trainer, path: &Path) -> Result<(), TrainError> {
        let reconstructions = trainer.generator().frozen().forward(&self.images)?;
        let rows =
            [self.originals.clone(), pictures(&reconstructions.to_u8()?, self.images.height())];
        Ok(grid(&rows, 2).write_png(path)?)
    }
}

fn pictures(planes: &[u8], side: usize) -> Vec<Picture> {
    planes.chunks_exact(3 * side * side).map(|p| Picture::from_planes(p, side, side)).collect()
}
