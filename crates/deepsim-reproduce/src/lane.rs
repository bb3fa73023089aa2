//! The parts of the machine that several runs at the same time have for themselves.

use std::path::Path;
use std::process::Command;

use crate::ReproduceError;
use crate::host::Host;
use crate::options::{Device, Options};

/// Part of the machine that one of several runs at the same time has for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lane {
    /// Threads, where they are not those of the options.
    pub(crate) threads: Option<u16>,
    /// The GPU that it sees.
    gpu: Option<String>,
    /// True if what its programs print goes to a file, because others print too.
    logged: bool,
}

impl Lane {
    /// The lanes of a machine with so many cores; `visible` are the GPUs that CUDA_VISIBLE_DEVICES names, if it is set.
    pub(crate) fn all(options: &Options, cores: usize, visible: Option<&str>) -> Vec<Self> {
        let jobs = usize::from(options.jobs);
        if jobs <= 1 {
            return vec![Self::default()];
        }
        let named = visible.map(names);
        let gpu = |lane: usize| match &named {
            Some(named) => named.get(lane).cloned().unwrap_or_default(),
            None => lane.to_string(),
        };
        let share = u16::try_from(cores / jobs).unwrap_or(u16::MAX).max(1);
        let lane = |lane: usize| Self {
            threads: options.threads.is_none().then_some(share),
            gpu: (options.device == Device::Cuda).then(|| gpu(lane)),
            logged: true,
        };
        (0..jobs).map(lane).collect()
    }

    /// Runs a program for a run folder, with what is the lane's.
    pub(crate) fn run(
        &self,
        host: &Host<'_>,
        command: &mut Command,
        run: &Path,
        what: &str,
    ) -> Result<(), ReproduceError> {
        if let Some(gpu) = &self.gpu {
            command.env("CUDA_VISIBLE_DEVICES", gpu);
        }
        if !self.logged {
            return host.run(command, what, None);
        }
        // Beside the run's folder, which belongs to the programs.
        let log = run.with_extension("txt");
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)
                .map_err(ReproduceError::io("creating folder", folder))?;
        }
        host.run(command, what, Some(&log))
    }
}

/// The GPUs that CUDA_VISIBLE_DEVICES names.
fn names(visible: &str) -> Vec<String> {
    visible.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Refuses more jobs than there are GPUs: a lane without one would fail all that is left.
///
/// # Errors
/// [`ReproduceError::Usage`].
pub(crate) fn check(
    options: &Options,
    visible: Option<&str>,
    gpus: usize,
) -> Result<(), ReproduceError> {
    let (jobs, cuda) = (usize::from(options.jobs), options.device == Device::Cuda);
    let gpus = visible.map_or(gpus, |visible| names(visible).len());
    // If the number of GPUs is unknown, the programs refuse.
    if cuda && gpus > 0 && jobs > gpus {
        let message = format!("--jobs {jobs}: expected at most {gpus}, one for each GPU");
        return Err(ReproduceError::usage(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_part_of_the_machine() {
        let options =
            |jobs, threads, device| Options { jobs, threads, device, ..Options::default() };
        let lanes =
            |jobs, threads, cores| Lane::all(&options(jobs, threads, Device::Cpu), cores, None);
        assert_eq!(Lane::all(&Options::default(), 8, Some("3")), [Lane::default()]);
        let threads = |lanes: Vec<Lane>| lanes.into_iter().map(|l| l.threads).collect::<Vec<_>>();
        assert_eq!(threads(lanes(3, None, 8)), [Some(2); 3]);
        assert_eq!(threads(lanes(4, None, 2)), [Some(1); 4]);
        // The threads of the options are for each lane.
        assert_eq!(threads(lanes(2, Some(5), 8)), [None; 2]);
        let gpus = |visible| {
            let lanes = Lane::all(&options(2, None, Device::Cuda), 8, visible);
            lanes.into_iter().map(|lane| lane.gpu.expect("a GPU")).collect::<Vec<_>>()
        };
        assert_eq!(gpus(None), ["0", "1"]);
        assert_eq!(gpus(Some("4, 6,7")), ["4", "6"]);
        let refused = |device, visible| check(&options(3, None, device), visible, 2).is_err();
        assert!(refused(Device::Cuda, None) && refused(Device::Cuda, Some("4,5")));
        assert!(!refused(Device::Cuda, Some("4,5,6")) && !refused(Device::Cpu, None));
    }
}
