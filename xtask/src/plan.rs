//! What is there already, what is to be done, what it costs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::scale::Size;
use crate::targets::Run;

/// Speed that estimates assume, in 10⁹ floating-point operations per second and core: a cautious
/// figure for a recent desktop or server processor.
pub(crate) const GFLOPS_PER_CORE: f64 = 60.0;

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
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// How far it is.
    pub(crate) state: State,
}

impl Planned {
    /// Looks into the folder of a run.
    ///
    /// # Errors
    /// If the folder holds something that is not a run, or a run longer than `size`.
    pub(crate) fn look(run: Run, folder: PathBuf, size: &Size) -> Result<Self> {
        let checkpoint = folder.join("checkpoint.safetensors");
        let state = match checkpoint.exists() {
            false => State::New,
            true => match step_of(&checkpoint)? {
                step if step > size.steps => bail!(
                    "{} holds a run at step {step}, which is more than the {} steps wanted; \
                     choose another --out or more steps",
                    folder.display(),
                    size.steps
                ),
                step if step == size.steps && folder.join("done.json").exists() => State::Finished,
                step => State::Interrupted(step),
            },
        };
        Ok(Self { run, folder, state })
    }

    /// Steps that are still to be made.
    pub(crate) fn remaining(&self, size: &Size) -> u64 {
        match self.state {
            State::New => size.steps,
            State::Interrupted(step) => size.steps - step,
            State::Finished => 0,
        }
    }

    /// Estimate of the minutes that training still takes.
    pub(crate) fn minutes(&self, size: &Size, cores: usize) -> f64 {
        let gflop = self.run.gflop * (self.remaining(size) * size.batch) as f64;
        gflop / (GFLOPS_PER_CORE * cores as f64) / 60.0
    }
}

/// The plan as a table.
pub(crate) fn table(plan: &[Planned], size: &Size, cores: usize) -> String {
    let mut text =
        format!("{:32}{:>9}{:>7}  {:28}{}\n", "run", "steps", "batch", "state", "estimate");
    for row in plan {
        let state = match row.state {
            State::New => "to train".to_owned(),
            State::Interrupted(step) => format!("to resume after step {step}"),
            State::Finished => "finished".to_owned(),
        };
        let minutes = duration(row.minutes(size, cores));
        let name = row.run.recipe;
        text += &format!("{name:32}{:>9}{:>7}  {state:28}{minutes}\n", size.steps, size.batch);
    }
    let total: f64 = plan.iter().map(|row| row.minutes(size, cores)).sum();
    text += &match total {
        0.0 => "Nothing is left to train.".to_owned(),
        _ => format!(
            "Training takes about {}: an estimate from the number of operations at \
             {GFLOPS_PER_CORE} GFLOP/s on each of {cores} cores.\nBuilding and evaluating come on \
             top.",
            duration(total)
        ),
    };
    text
}

/// A duration as people read it.
fn duration(minutes: f64) -> String {
    match minutes {
        0.0 => "-".to_owned(),
        m if m < 0.1 => "0.1 minutes".to_owned(),
        m if m < 90.0 => format!("{m:.1} minutes"),
        m if m < 48.0 * 60.0 => format!("{m:.0} minutes ({:.1} hours)", m / 60.0),
        m => format!("{m:.0} minutes ({:.1} days)", m / (24.0 * 60.0)),
    }
}

/// The step at which a checkpoint was made, from the metadata of the safetensors file.
fn step_of(path: &Path) -> Result<u64> {
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
    let step = state["state"]["step"].as_u64();
    step.with_context(|| format!("{}: not a checkpoint: it names no step", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Scale;
    use crate::targets::AUTOENCODERS;

    /// A file with the header of a checkpoint made at `step`, and no tensors.
    fn checkpoint(folder: &Path, step: u64) {
        let state = serde_json::json!({ "state": { "step": step } }).to_string();
        let header = serde_json::json!({ "__metadata__": { "deepsim": state } }).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        std::fs::write(folder.join("checkpoint.safetensors"), bytes).expect("the file is written");
    }

    #[test]
    fn the_state_of_a_folder_is_seen() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let size = Size { steps: 10, ..Scale::Quick.size() };
        let look = || Planned::look(AUTOENCODERS[0], folder.path().into(), &size);
        assert_eq!(look()?.state, State::New);
        checkpoint(folder.path(), 4);
        assert_eq!((look()?.state, look()?.remaining(&size)), (State::Interrupted(4), 6));
        checkpoint(folder.path(), 10);
        assert_eq!(look()?.state, State::Interrupted(10));
        std::fs::write(folder.path().join("done.json"), "{}")?;
        assert_eq!((look()?.state, look()?.remaining(&size)), (State::Finished, 0));
        checkpoint(folder.path(), 11);
        let message = look().expect_err("a longer run").to_string();
        assert!(message.contains("step 11, which is more than the 10 steps"), "{message}");
        Ok(())
    }

    #[test]
    fn what_is_not_a_checkpoint_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let size = Scale::Smoke.size();
        for bytes in [&b"short"[..], &[255; 64], &[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']] {
            std::fs::write(folder.path().join("checkpoint.safetensors"), bytes)?;
            let look = Planned::look(AUTOENCODERS[0], folder.path().into(), &size);
            let message = format!("{:#}", look.expect_err("not a checkpoint"));
            assert!(message.contains("checkpoint.safetensors"), "{message}");
        }
        Ok(())
    }

    #[test]
    fn estimates_follow_from_the_operations() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let size = Scale::Paper.size();
        let [se, _, alexnet, _] = AUTOENCODERS;
        let plan = |run| Planned::look(run, folder.path().into(), &size);
        // 1.98 GFLOP * 500,000 * 64 / (60 GFLOP/s * 2) / 60 s
        assert_eq!(plan(alexnet)?.minutes(&size, 2).round(), 8800.0);
        let text = table(&[plan(se)?, plan(alexnet)?], &size, 2);
        assert!(text.contains("8800 minutes (6.1 days)") && text.contains("estimate"), "{text}");
        assert_eq!(text.matches("to train").count(), 2);
        Ok(())
    }
}
