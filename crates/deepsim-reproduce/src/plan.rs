//! The plan: what is there already, what is to be done, what it costs.

use std::path::PathBuf;

use deepsim_data::atomic::write_atomic;
use deepsim_run::cost::Cost;
use deepsim_run::files::{DONE, GENERATOR, IDENTITY};
use deepsim_run::identity::Identity;
use deepsim_train::store;
use deepsim_train::store::checkpoint::{self, RunState as Checkpoint};

use crate::ReproduceError;
use crate::catalogue::Run;
use crate::job::Job;
use crate::machine::{Machine, duration};
use crate::preset::Size;

/// Properties of the run that was asked for, as far as they are known before training; `deepsim train`
/// compares the rest of the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) size: Size,
    pub(crate) seed: u64,
    /// True if it is trained on procedural scenes.
    pub(crate) synthetic: bool,
}

/// Progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    /// The newest checkpoint was made at this step.
    Interrupted(u64),
    /// Every step is made.
    Finished,
}

/// A run, its folder, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) run: Run,
    /// Measures that are taken of it.
    pub(crate) measures: Vec<&'static str>,
    /// Length of its training.
    pub(crate) size: Size,
    pub(crate) folder: PathBuf,
    pub(crate) state: State,
    /// Cost of a step.
    pub(crate) cost: Cost,
}

impl Planned {
    /// Looks into the folder of a run.
    ///
    /// # Errors
    /// If the folder holds something that is not a run, or a run that is not the one wanted: to continue would mix two
    /// experiments, to start afresh would lose one. Also if its recipe is refused.
    pub(crate) fn look(
        (run, measures): (Run, Vec<&'static str>),
        cost: Cost,
        folder: PathBuf,
        wanted: &Wanted,
    ) -> Result<Self, ReproduceError> {
        let done = folder.join(DONE).exists();
        let refuse = |reason: String| {
            let reason = format!("{reason}; choose another --out, or delete that folder");
            Err(ReproduceError::Folder { path: folder.clone(), reason })
        };
        let state = if let Some(newest) = store::newest(&folder)? {
            let found = checkpoint::read_state(&newest.checkpoint)?;
            if let Some(difference) = difference(&found, wanted) {
                return refuse(format!("holds another run: {difference}"));
            }
            match found.step {
                step if step == wanted.size.steps && done => State::Finished,
                step => State::Interrupted(step),
            }
        } else if folder.join(GENERATOR).exists() {
            return refuse(
                "holds a generator without the checkpoint it was made with, which would be overwritten".into(),
            );
        } else {
            State::New
        };
        Ok(Self { run, measures, size: wanted.size, folder, state, cost })
    }

    /// A generator that is not trained here, in a folder of its own.
    ///
    /// # Errors
    /// If the options make no sense for its experiment.
    pub(crate) fn given(job: &Job<'_>, run: Run, folder: PathBuf) -> Result<Self, ReproduceError> {
        Ok(Self {
            measures: run.experiment.measures().to_vec(),
            size: job.options.size(run.experiment)?,
            run,
            folder,
            state: State::Finished,
            cost: Cost::default(),
        })
    }

    /// Writes its identity, which follows from no plan if it is not trained here.
    pub(crate) fn identify(&self) -> Result<(), ReproduceError> {
        let Run { id, method, layer, .. } = &self.run;
        let layer = layer.map(|layer| layer.name().to_owned());
        let identity = Identity { id: id.clone(), method: *method, layer };
        Ok(write_atomic(&self.folder.join(IDENTITY), identity.to_json().as_bytes())?)
    }

    /// Folder of the run whose weights it begins with.
    pub(crate) fn begins_with(&self) -> Option<PathBuf> {
        self.size.begin.and(self.run.begins_with()).map(|id| self.folder.with_file_name(id))
    }

    /// Steps that are still to be made.
    pub(crate) fn remaining(&self) -> u64 {
        match self.state {
            State::New => self.size.steps,
            State::Interrupted(step) => self.size.steps - step,
            State::Finished => 0,
        }
    }

    /// Estimate of the minutes that training still takes.
    pub(crate) fn minutes(&self, machine: Machine) -> f64 {
        machine.minutes(self.cost.flops * self.size.batch as f64, self.remaining())
    }

    /// Estimate of the GiB of memory that training takes: what goes with weights and with images, and 100 MiB.
    fn memory(&self) -> f64 {
        let images = self.cost.memory * self.size.batch as f64;
        (self.cost.weights_memory() + images) / GIB + 100.0 / 1024.0
    }

    /// Estimate of the GiB of its folder: two checkpoints with weights, moments and the generator, and the generator
    /// once more.
    fn disk(&self) -> f64 {
        36.0 * self.cost.weights as f64 / GIB
    }
}

const GIB: f64 = (1 << 30) as f64;

/// A sentence about the first thing of a checkpoint that is not as wanted.
fn difference(found: &Checkpoint, wanted: &Wanted) -> Option<String> {
    let data = |synthetic| if synthetic { "procedural scenes" } else { "pictures" };
    let (size, recipe) = (wanted.size, &found.plan.recipe);
    let (batch, synthetic) = (recipe.batch as u64, found.plan.data.synthetic);
    if found.step > size.steps {
        Some(format!("at step {}, which is more than the {} wanted", found.step, size.steps))
    } else if batch != size.batch {
        Some(format!("expected batches of {}, found {batch}", size.batch))
    } else if recipe.seed != wanted.seed {
        Some(format!("expected seed {}, found {}", wanted.seed, recipe.seed))
    } else if synthetic != wanted.synthetic {
        Some(format!("expected training on {}, found {}", data(wanted.synthetic), data(synthetic)))
    } else {
        None
    }
}

/// The plan as a table, with estimates for a machine; of so many runs at the same time each has a machine of
/// its own, or a part of the processor.
pub(crate) fn table(plan: &[&Planned], machine: Machine, jobs: usize) -> String {
    let line = |cells: [&str; 7]| {
        let [run, steps, batch, state, time, memory, disk] = cells;
        let text =
            format!("{run:32}{steps:>9}{batch:>7}  {state:26}{time:>26}{memory:>9}{disk:>9}");
        text.trim_end().to_owned() + "\n"
    };
    let mut text = line(["run", "steps", "batch", "state", "time", "memory", "disk"]);
    for row in plan {
        let state = match row.state {
            State::New => "to train".to_owned(),
            State::Interrupted(step) => format!("to resume after step {step}"),
            State::Finished => "finished".to_owned(),
        };
        let (steps, batch) = (row.size.steps.to_string(), row.size.batch.to_string());
        let (time, memory) = (duration(row.minutes(machine)), format!("{:.1} GiB", row.memory()));
        let disk = format!("{:.1} GiB", row.disk());
        text += &line([&row.run.id, &steps, &batch, &state, &time, &memory, &disk]);
    }
    let disk: f64 = plan.iter().map(|row| row.disk()).sum();
    text += &match plan.iter().all(|row| row.remaining() == 0) {
        true => "Nothing is left to train.".to_owned(),
        false => format!(
            "Training takes about {}: {}.\nBuilding and evaluating come on top. All runs together hold \
             about {disk:.0} GiB on disk.",
            duration(machine.together(plan.iter().map(|row| row.minutes(machine)), jobs)),
            machine.about(),
        ),
    };
    text
}
