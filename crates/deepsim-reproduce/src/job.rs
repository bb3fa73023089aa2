//! State and command lines that the steps of a reproduction share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use deepsim_data::dataset::DataOptions;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Target};
use crate::host::Host;
use crate::labels;
use crate::lane::{self, Lane};
use crate::machine::Machine;
use crate::options::{Device, Options};

/// State that the steps share.
#[derive(Clone)]
pub(crate) struct Job<'a> {
    pub(crate) options: &'a Options,
    pub(crate) host: &'a Host<'a>,
    pub(crate) targets: Vec<&'static Target>,
    /// Experiments on data without labels, with what is left out.
    pub(crate) unlabelled: BTreeMap<Experiment, String>,
    pub(crate) lane: Lane,
}

impl<'a> Job<'a> {
    pub(crate) fn new(options: &'a Options, host: &'a Host<'a>) -> Result<Self, ReproduceError> {
        options.check()?;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus = if options.device == Device::Cuda { host.gpus.len() } else { 0 };
        lane::check(options, visible.as_deref(), gpus)?;
        let mut targets = options.select()?;
        let unlabelled = labels::leave_out(options, &mut targets)?;
        Ok(Self { options, host, targets, unlabelled, lane: Lane::default() })
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
        let DataOptions { data, test, test_share, upright, without_duplicates, cache: _ } =
            options.data_options(experiment);
        let weights = options.weights(self.host);
        for (option, path) in [("--data", data), ("--test", test), ("--weights", weights)] {
            if let Some(path) = path {
                command.arg(option).arg(path);
            }
        }
        if let Some(share) = test_share {
            command.arg("--test-share").arg(share.to_string());
        }
        let flags = [("--upright", upright), ("--without-duplicates", without_duplicates)];
        command.args(flags.into_iter().filter_map(|(flag, is_set)| is_set.then_some(flag)));
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
        command.arg(recipe).arg("--out").arg(out);
        if out.exists() {
            command.arg("--resume");
        }
        self.threads(&mut command);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::with;

    #[test]
    fn only_a_run_that_is_there_is_resumed() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options::default();
        let resumes = |out: &Path| {
            with(|host| {
                let job = Job::new(&options, host).expect("good options");
                job.trainer("autoencoder-se", out).get_args().any(|word| word == "--resume")
            })
        };
        assert!(resumes(folder.path()) && !resumes(&folder.path().join("new")));
    }

    #[test]
    fn the_options_of_data_are_handed_to_the_programs() {
        let folder = tempfile::tempdir().expect("a folder");
        let pictures = folder.path().join("pictures");
        std::fs::create_dir(&pictures).expect("a folder");
        for name in ["a.jpg", "b.jpg"] {
            std::fs::write(pictures.join(name), "").expect("a file");
        }
        let data = DataOptions {
            data: Some(pictures.clone()),
            test_share: Some(0.2),
            upright: true,
            cache: Some("kept".into()),
            ..DataOptions::default()
        };
        let words = |options: &Options, experiment| {
            with(|host| {
                let job = Job::new(options, host).expect("good options");
                let mut command = Command::new("");
                job.inputs(experiment, &mut command);
                let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
                (words.collect::<Vec<_>>().join(" "), crate::plan(options, host).expect("a plan"))
            })
        };
        let options = Options { data, ..Options::default() };
        let (given, plan) = words(&options, Experiment::Autoencoder);
        let path = pictures.display();
        assert_eq!(given, format!("--device cpu --data {path} --test-share 0.2 --upright"));
        let line = format!("{path}, a share of 0.2 held out, turned upright, kept in kept");
        assert!(plan.contains(&line), "{plan}");
        let line = "left out: svm: expected labelled training and test pictures";
        assert!(plan.contains(line) && plan.contains("training pictures without labels"), "{plan}");
        assert!(plan.contains("== plan: table3 fig3 at scale"), "table4 is of SVMs: {plan}");
        let alone = Options { targets: vec!["table4".into()], ..options.clone() };
        let error = with(|host| Job::new(&alone, host).map(|_| ()).expect_err("nothing is left"));
        assert!(error.to_string().contains("without labels: pictures"), "{error}");
        // Pictures of --ilsvrc have a test split of their own, and are read as they are.
        let options = Options { ilsvrc: Some(folder.path().into()), ..options };
        let (given, _) = words(&options, Experiment::Inversion);
        assert_eq!(given, format!("--device cpu --data {}", folder.path().display()));
    }
}
