//! Training and measuring runs, one after the other or several at the same time.

use std::collections::VecDeque;
use std::fs::File;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::arguments::DeviceKind;
use super::evaluate::evaluate;
use super::failures::Failures;
use super::{Arguments, Job};
use crate::plan::Planned;
use crate::process::{self, Failure, say};

/// What one of several runs at the same time has for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lane {
    /// Its threads, where they are not those of the command line.
    pub(super) threads: Option<u16>,
    /// The GPU that it sees.
    gpu: Option<String>,
    /// Whether what its programs say goes to a file, because others talk too.
    logged: bool,
}

impl Lane {
    /// Of `jobs` runs at the same time, on a machine with so many cores; `visible` are the GPUs that
    /// CUDA_VISIBLE_DEVICES names, if it is set.
    fn all(arguments: &Arguments, cores: usize, visible: Option<&str>) -> Vec<Self> {
        let jobs = usize::from(arguments.jobs);
        if jobs == 1 {
            return vec![Self::default()];
        }
        let named = visible.map(names);
        let gpu = |lane: usize| match &named {
            Some(named) => named.get(lane).cloned().unwrap_or_default(),
            None => lane.to_string(),
        };
        let share = u16::try_from(cores / jobs).unwrap_or(u16::MAX).max(1);
        let lane = |lane: usize| Self {
            threads: arguments.threads.is_none().then_some(share),
            gpu: (arguments.device == DeviceKind::Cuda).then(|| gpu(lane)),
            logged: true,
        };
        (0..jobs).map(lane).collect()
    }

    /// Gives a program what is the lane's.
    pub(super) fn take(&self, command: &mut Command, planned: &Planned) -> Result<()> {
        if let Some(gpu) = &self.gpu {
            command.env("CUDA_VISIBLE_DEVICES", gpu);
        }
        if self.logged {
            // Beside the run's folder, which belongs to the programs.
            let path = planned.folder.with_extension("txt");
            let folder = path.parent().unwrap_or(&path);
            std::fs::create_dir_all(folder)
                .with_context(|| format!("creating folder {}", folder.display()))?;
            let file = File::options().create(true).append(true).open(&path);
            let file = file.with_context(|| format!("opening {}", path.display()))?;
            command.stdout(file.try_clone().context("opening a log twice")?).stderr(file);
        }
        Ok(())
    }
}

/// The GPUs that CUDA_VISIBLE_DEVICES names.
fn names(visible: &str) -> Vec<String> {
    visible.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Refuses more jobs than there are GPUs: a lane without one would fail all that is left.
///
/// # Errors
/// With the exit code of bad arguments.
pub(super) fn check(arguments: &Arguments, visible: Option<&str>, gpus: usize) -> Result<()> {
    let (jobs, cuda) = (usize::from(arguments.jobs), arguments.device == DeviceKind::Cuda);
    let gpus = visible.map_or(gpus, |visible| names(visible).len());
    // Where nobody tells how many there are, the programs say so.
    if cuda && gpus > 0 && jobs > gpus {
        return Err(Failure::usage(format!("--jobs {jobs}: wanted at most {gpus}, one for a GPU")));
    }
    Ok(())
}

/// Trains and measures every run but those that failed already; returns what failed.
///
/// # Errors
/// If this program was told to stop.
pub(super) fn run(job: &Job<'_>, chosen: &[&Planned], failures: Failures) -> Result<Failures> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let lanes = Lane::all(job.arguments, job.cores(), visible.as_deref());
    if lanes.len() > 1 {
        let folder = job.out.join("runs");
        say(&format!("what runs say is in {}", folder.join("RUN.txt").display()));
    }
    let possible = chosen.iter().copied().filter(|planned| !failures.has(&planned.run.name));
    let queue: Mutex<VecDeque<&Planned>> = Mutex::new(possible.collect());
    let failures = Mutex::new(failures);
    let work = |lane: Lane| -> Result<()> {
        let job = Job { lane, ..job.clone() };
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(planned) = next else { return Ok(()) };
            let done = job.train(planned).and_then(|()| evaluate(&job, planned));
            let noted = failures
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .note(&planned.run.name, done)
                .and_then(|()| process::check_interrupted());
            if noted.is_err() {
                // One that was told to stop stops all, after what they are at.
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return noted;
            }
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        let lanes = lanes.into_iter().map(|lane| scope.spawn(move || work(lane)));
        let lanes: Vec<_> = lanes.collect();
        let ended = lanes.into_iter().map(|lane| match lane.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All have ended before an interruption is told.
        ended.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::super::arguments::parse;
    use super::*;

    fn lanes(words: &[&str], cores: usize, visible: Option<&str>) -> Vec<Lane> {
        Lane::all(&parse(words).expect("arguments"), cores, visible)
    }

    #[test]
    fn each_lane_has_its_part_of_the_machine() {
        assert_eq!(lanes(&[], 8, Some("3")), [Lane::default()]);
        let threads = |lanes: Vec<Lane>| lanes.into_iter().map(|l| l.threads).collect::<Vec<_>>();
        assert_eq!(threads(lanes(&["--jobs", "3"], 8, None)), [Some(2); 3]);
        assert_eq!(threads(lanes(&["--jobs", "4"], 2, None)), [Some(1); 4]);
        // Those of the command line are for each.
        assert_eq!(threads(lanes(&["--jobs", "2", "--threads", "5"], 8, None)), [None; 2]);
        let gpus = |visible| {
            let lanes = lanes(&["--jobs", "2", "--device", "cuda"], 8, visible);
            lanes.into_iter().map(|lane| lane.gpu.expect("a GPU")).collect::<Vec<_>>()
        };
        assert_eq!(gpus(None), ["0", "1"]);
        assert_eq!(gpus(Some("4, 6,7")), ["4", "6"]);
        let refused =
            |words: &[&str], visible| check(&parse(words).expect("arguments"), visible, 2).is_err();
        let three = ["--jobs", "3", "--device", "cuda"];
        assert!(refused(&three, None) && refused(&three, Some("4,5")));
        assert!(!refused(&three, Some("4,5,6")) && !refused(&["--jobs", "3"], None));
    }
}
