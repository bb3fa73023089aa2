//! State and command lines that the steps of a reproduction share.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Target};
use crate::host::Host;
use crate::lane::{self, Lane};
use crate::machine::Machine;
use crate::options::{Device, Options};

/// State that the steps share.
#[derive(Clone)]
pub(crate) struct Job<'a> {
    pub(crate) options: &'a Options,
    pub(crate) host: &'a Host<'a>,
    pub(crate) targets: Vec<&'static Target>,
    pub(crate) lane: Lane,
}

impl<'a> Job<'a> {
    pub(crate) fn new(options: &'a Options, host: &'a Host<'a>) -> Result<Self, ReproduceError> {
        options.check()?;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus = if options.device == Device::Cuda { host.gpus.len() } else { 0 };
        lane::check(options, visible.as_deref(), gpus)?;
        Ok(Self { options, host, targets: options.select()?, lane: Lane::default() })
    }

    pub(crate) fn cores(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.options.threads.map_or_else(all, usize::from)
    }

    /// Machine that estimates are for.
    pub(crate) fn machine(&self) -> Machine {
        match self.options.device {
            Device::Cpu => Machine::Cores(self.cores()),
            Device::Cuda => Machine::Gpu,
        }
    }

    /// Says where data and weights are and where to compute; training and measuring take these options.
    pub(crate) fn inputs(&self, experiment: Experiment, command: &mut Command) {
        let options = self.options;
        command.args(["--device", options.device.name()]);
        let (data, weights) = (options.data(experiment), options.weights(self.host));
        for (option, folder) in [("--data", data), ("--weights", weights)] {
            if let Some(folder) = folder {
                command.arg(option).arg(folder);
            }
        }
        // Those of --ilsvrc have a test split of their own.
        let own = options.ilsvrc.is_some() && !experiment.on_stl10();
        if let Some(test) = options.test.as_ref().filter(|_| !own) {
            command.arg("--test").arg(test);
        }
        if let Some(share) = options.test_share.filter(|_| !own) {
            command.arg("--test-share").arg(share.to_string());
        }
        if options.without_duplicates && experiment.on_stl10() {
            command.arg("--without-duplicates");
        }
    }

    /// The program, for a subcommand.
    pub(crate) fn program(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.host.program);
        command.arg(subcommand).args(self.host.arguments);
        command
    }

    /// Folder of what is inverted by optimisation.
    pub(crate) fn optimised_folder(&self) -> PathBuf {
        self.options.out.join("optimised")
    }

    pub(crate) fn threads(&self, command: &mut Command) {
        if let Some(threads) = self.lane.threads.or(self.options.threads) {
            command.arg("--threads").arg(threads.to_string());
        }
    }

    /// Training by a built-in recipe, which continues what is in the folder.
    pub(crate) fn trainer(&self, recipe: &str, out: &Path) -> Command {
        let mut command = self.program("train");
        command.arg(recipe).arg("--out").arg(out).arg("--resume");
        self.threads(&mut command);
        command
    }
}
