//! What is there already, what is to be done, what it costs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::runs::Run;
use crate::scale::Size;

/// What a run must be to count as the one that was asked for, as far as is known before training;
/// `deepsim train` compares the rest of the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Steps and batch.
    pub(crate) size: Size,
    /// Seed.
    pub(crate) seed: u64,
    /// Whether it is trained on procedural scenes.
    pub(crate) synthetic: bool,
}

/// Speed that estimates assume, in 10⁹ floating-point operations per second and core: a cautious
/// figure for a recent desktop or server processor.
pub(crate) const GFLOPS_PER_CORE: f64 = 60.0;

/// The same in 10¹² of an NVIDIA H200: a tenth of its peak for dense TF32 products, 494. An assumption.
pub(crate) const TFLOPS_OF_A_GPU: f64 = 50.0;

/// Headers of safetensors files are refused beyond this many bytes, as by the library itself.
const MAX_HEADER: u64 = 100_000_000;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is there.
    New,
    /// Its checkpoint was made at this step.
    Interrupted(u64),
    /// It is finished.
    Finished,
}

/// A run, its folder, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// The run.
    pub(crate) run: Run,
    /// What is measured on it.
    pub(crate) measures: Vec<&'static str>,
    /// How long it is trained.
    pub(crate) size: Size,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// How far it is.
    pub(crate) state: State,
}

impl Planned {
    /// Looks into the folder of a run.
    ///
    /// # Errors
    /// If the folder holds something that is not a run, or a run that is not the one wanted: to go
    /// on would mix two experiments, to start afresh would lose one.
    pub(crate) fn look(
        (run, measures): (Run, Vec<&'static str>),
        folder: PathBuf,
        wanted: &Wanted,
    ) -> Result<Self> {
        let done = folder.join("done.json").exists();
        let state = if let Some(checkpoint) = newest(&folder)? {
            let found = Found::read(&checkpoint)?;
            if let Some(difference) = found.difference(wanted) {
                bail!(
                    "{} holds another run: {difference}; choose another --out, or delete that \
                     folder",
                    folder.display()
                );
            }
            match found.step {
                step if step == wanted.size.steps && done => State::Finished,
                step => State::Interrupted(step),
            }
        } else if folder.join("generator.safetensors").exists() {
            bail!(
                "{} holds a generator without the checkpoint it was made with, which would be \
                 overwritten; choose another --out, or delete that folder",
                folder.display()
            );
        } else {
            State::New
        };
        Ok(Self { run, measures, size: wanted.size, folder, state })
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
        machine.minutes(self.run.cost.gflop * self.size.batch as f64, self.remaining())
    }

    /// Estimate of the GiB of memory that training takes: weights, their gradients and two moments in four
    /// bytes each, and what goes with images.
    fn memory(&self) -> f64 {
        let cost = self.run.cost;
        (16.0 * cost.weights * 1e6 / MIB + cost.image * self.size.batch as f64 + 100.0) / 1024.0
    }

    /// Estimate of the GiB of its folder: two checkpoints with weights, moments and the generator, and the
    /// generator once more.
    fn disk(&self) -> f64 {
        36.0 * self.run.cost.weights * 1e6 / MIB / 1024.0
    }
}

const MIB: f64 = 1024.0 * 1024.0;

/// What is computed on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Machine {
    /// So many cores of a processor.
    Cores(usize),
    /// One GPU.
    Gpu,
}

impl Machine {
    /// Estimate of the minutes of so many steps of so many 10⁹ operations.
    pub(crate) fn minutes(self, gflop: f64, steps: u64) -> f64 {
        (gflop / self.gflops()).max(self.least()) * steps as f64 / 60.0
    }

    /// 10⁹ operations per second that estimates assume.
    fn gflops(self) -> f64 {
        match self {
            Self::Cores(n) => GFLOPS_PER_CORE * n as f64,
            Self::Gpu => 1e3 * TFLOPS_OF_A_GPU,
        }
    }

    /// Seconds that a step takes at least: a GPU has to be told of several hundred operations.
    fn least(self) -> f64 {
        match self {
            Self::Cores(_) => 0.0,
            Self::Gpu => 3e-3,
        }
    }

    /// How estimates come about.
    fn about(self) -> String {
        match self {
            Self::Cores(n) => format!(
                "an estimate from the number of operations at {GFLOPS_PER_CORE} GFLOP/s on each of {n} \
                 cores"
            ),
            Self::Gpu => format!(
                "an estimate from the number of operations at {TFLOPS_OF_A_GPU} TFLOP/s and at least {} ms \
                 a step, which is assumed of an NVIDIA H200 and was not timed",
                1e3 * self.least()
            ),
        }
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
        text += &line([&row.run.name, &steps, &batch, &state, &time, &memory, &disk]);
    }
    let disk: f64 = plan.iter().map(|row| row.disk()).sum();
    text += &match plan.iter().all(|row| row.remaining() == 0) {
        true => "Nothing is left to train.".to_owned(),
        false => format!(
            "Training takes about {}: {}.\nBuilding and evaluating come on top. All runs together hold \
             about {disk:.0} GiB on disk.",
            duration(together(plan.iter().map(|row| row.minutes(machine)), machine, jobs)),
            machine.about(),
        ),
    };
    text
}

/// Minutes until all are done, if each of `jobs` GPUs takes the next one when it is free; the parts of a
/// processor take as long as the whole of it.
fn together(minutes: impl Iterator<Item = f64>, machine: Machine, jobs: usize) -> f64 {
    let mut ends = match machine {
        Machine::Cores(_) => vec![0.0],
        Machine::Gpu => vec![0.0; jobs.max(1)],
    };
    for run in minutes {
        if let Some(first) = ends.iter_mut().min_by(|a: &&mut f64, b| a.total_cmp(b)) {
            *first += run;
        }
    }
    ends.into_iter().fold(0.0, f64::max)
}

/// A duration as people read it.
pub(crate) fn duration(minutes: f64) -> String {
    match minutes {
        0.0 => "-".to_owned(),
        m if m < 0.1 => "0.1 minutes".to_owned(),
        m if m < 90.0 => format!("{m:.1} minutes"),
        m if m < 48.0 * 60.0 => format!("{m:.0} minutes ({:.1} hours)", m / 60.0),
        m => format!("{m:.0} minutes ({:.1} days)", m / (24.0 * 60.0)),
    }
}

/// The newest checkpoint of a run folder; `deepsim train` checks whether it is whole.
fn newest(run: &Path) -> Result<Option<PathBuf>> {
    let folder = run.join("checkpoints");
    if !folder.exists() {
        return Ok(None);
    }
    let mut newest = None;
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let folder = entry?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse::<u64>().ok())
        else {
            continue;
        };
        if folder.join("MANIFEST.json").exists() {
            newest = newest.max(Some((step, folder)));
        }
    }
    Ok(newest.map(|(_, folder)| folder.join("checkpoint.safetensors")))
}

/// What the metadata of a checkpoint says about its run.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    step: u64,
    batch: Option<u64>,
    seed: Option<u64>,
    synthetic: Option<bool>,
}

impl Found {
    /// Reads the header of the safetensors file.
    fn read(path: &Path) -> Result<Self> {
        let what = || format!("reading checkpoint {}", path.display());
        let mut file = File::open(path).with_context(what)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).with_context(what)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER {
            bail!("{}: not a checkpoint: its header would have {length} bytes", path.display());
        }
        let mut header = vec![0; usize::try_from(length)?];
        file.read_exact(&mut header).with_context(what)?;
        let header: Value = serde_json::from_slice(&header).with_context(what)?;
        let state = header["__metadata__"]["deepsim"].as_str().unwrap_or("null");
        let state: Value = serde_json::from_str(state).with_context(what)?;
        let (state, plan) = (&state["state"], &state["state"]["plan"]);
        let step = state["step"].as_u64();
        Ok(Self {
            step: step.with_context(|| {
                format!("{}: not a checkpoint: it names no step", path.display())
            })?,
            batch: plan["recipe"]["batch"].as_u64(),
            seed: plan["recipe"]["seed"].as_u64(),
            synthetic: plan["data"]["synthetic"].as_bool(),
        })
    }

    /// A sentence about the first thing that is not as wanted.
    fn difference(&self, wanted: &Wanted) -> Option<String> {
        let data = |synthetic| if synthetic { "procedural scenes" } else { "--data" };
        let size = wanted.size;
        if self.step > size.steps {
            Some(format!("at step {}, which is more than the {} wanted", self.step, size.steps))
        } else if let Some(batch) = self.batch.filter(|batch| *batch != size.batch) {
            Some(format!("in batches of {batch}, wanted {}", size.batch))
        } else if let Some(seed) = self.seed.filter(|seed| *seed != wanted.seed) {
            Some(format!("with seed {seed}, wanted {}", wanted.seed))
        } else {
            let found = self.synthetic.filter(|synthetic| *synthetic != wanted.synthetic)?;
            Some(format!("trained on {}, wanted {}", data(found), data(wanted.synthetic)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::autoencoders;
    use crate::scale::Scale;
    use crate::targets::Experiment;

    fn look(at: usize, folder: &Path, wanted: &Wanted) -> Result<Planned> {
        let run = autoencoders().into_iter().nth(at).expect("there are four");
        Planned::look((run, Vec::new()), folder.into(), wanted)
    }

    fn wanted(scale: Scale) -> Wanted {
        Wanted { size: scale.size(Experiment::Autoencoder), seed: 3, synthetic: true }
    }

    /// A file with the header of a checkpoint made at `step`, and no tensors.
    fn checkpoint(folder: &Path, step: u64, batch: u64, seed: u64, synthetic: bool) {
        let recipe = serde_json::json!({ "batch": batch, "seed": seed });
        let plan = serde_json::json!({ "recipe": recipe, "data": { "synthetic": synthetic } });
        let state = serde_json::json!({ "state": { "step": step, "plan": plan } }).to_string();
        let header = serde_json::json!({ "__metadata__": { "deepsim": state } }).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        write(folder, step, &bytes);
    }

    /// A checkpoint of `step` with these bytes, and no other.
    fn write(run: &Path, step: u64, bytes: &[u8]) {
        let _ = std::fs::remove_dir_all(run.join("checkpoints"));
        let folder = run.join(format!("checkpoints/step-{step:07}"));
        std::fs::create_dir_all(&folder).expect("the folder is made");
        std::fs::write(folder.join("MANIFEST.json"), "{}").expect("the file is written");
        std::fs::write(folder.join("checkpoint.safetensors"), bytes).expect("the file is written");
    }

    #[test]
    fn the_state_of_a_folder_is_seen() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let size = Size { steps: 10, ..wanted(Scale::Quick).size };
        let wanted = Wanted { size, ..wanted(Scale::Quick) };
        let look = || look(0, folder.path(), &wanted);
        assert_eq!(look()?.state, State::New);
        checkpoint(folder.path(), 4, size.batch, 3, true);
        assert_eq!((look()?.state, look()?.remaining()), (State::Interrupted(4), 6));
        // Half-written ones do not count.
        std::fs::create_dir(folder.path().join("checkpoints/step-0000005"))?;
        std::fs::create_dir(folder.path().join("checkpoints/.saving-1"))?;
        assert_eq!(look()?.state, State::Interrupted(4));
        checkpoint(folder.path(), 10, size.batch, 3, true);
        assert_eq!(look()?.state, State::Interrupted(10));
        std::fs::write(folder.path().join("done.json"), "{}")?;
        assert_eq!((look()?.state, look()?.remaining()), (State::Finished, 0));
        Ok(())
    }

    #[test]
    fn a_run_of_another_plan_is_neither_reused_nor_overwritten() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let wanted = wanted(Scale::Quick);
        let (steps, batch) = (wanted.size.steps, wanted.size.batch);
        let message = || {
            let look = look(0, folder.path(), &wanted);
            look.expect_err("another run").to_string()
        };
        let cases = [
            (steps + 1, batch, 3, true, format!("at step {}, which is more", steps + 1)),
            (1, batch + 1, 3, true, format!("in batches of {}, wanted {batch}", batch + 1)),
            (steps, batch, 4, true, "with seed 4, wanted 3".to_owned()),
            (1, batch, 3, false, "trained on --data, wanted procedural scenes".to_owned()),
        ];
        for (step, batch, seed, synthetic, part) in cases {
            checkpoint(folder.path(), step, batch, seed, synthetic);
            assert!(message().contains(&part), "{}", message());
        }
        std::fs::remove_dir_all(folder.path().join("checkpoints"))?;
        std::fs::write(folder.path().join("generator.safetensors"), "")?;
        assert!(message().contains("without the checkpoint"), "{}", message());
        Ok(())
    }

    #[test]
    fn what_is_not_a_checkpoint_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        for bytes in [&b"short"[..], &[255; 64], &[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']] {
            write(folder.path(), 3, bytes);
            let wanted = wanted(Scale::Smoke);
            let look = look(0, folder.path(), &wanted);
            let message = format!("{:#}", look.expect_err("not a checkpoint"));
            assert!(message.contains("checkpoint.safetensors"), "{message}");
        }
        Ok(())
    }

    #[test]
    fn estimates_follow_from_the_operations() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let wanted = wanted(Scale::Paper);
        let [se, alexnet] = [0, 2].map(|at| look(at, folder.path(), &wanted));
        let rows = [&se?, &alexnet?];
        // 2.17 GFLOP * 500,000 * 64 / (60 GFLOP/s * 2) / 60 s
        assert_eq!(rows[1].minutes(Machine::Cores(2)).round(), 9644.0);
        let text = table(&rows, Machine::Cores(2), 2);
        assert!(text.contains("9644 minutes (6.7 days)") && text.contains("estimate"), "{text}");
        assert_eq!(text.matches("to train").count(), 2);
        // 16 bytes for 1.8 million weights, 4.2 MiB for each of 64 images, and 100 MiB.
        assert!(text.contains("0.4 GiB"), "{text}");
        let text = table(&rows, Machine::Gpu, 1);
        // Small networks are bound by 3 ms for a step.
        assert_eq!(rows[0].minutes(Machine::Gpu), 25.0);
        assert!(text.contains("25.0 minutes") && text.contains("was not timed"), "{text}");
        let all = |machine, jobs| together([5.0, 1.0, 1.0, 2.0].into_iter(), machine, jobs);
        assert_eq!((all(Machine::Gpu, 1), all(Machine::Gpu, 2)), (9.0, 5.0));
        assert_eq!(all(Machine::Cores(8), 2), 9.0, "two halves are one processor");
        Ok(())
    }
}
