//! The arguments of `cargo xtask reproduce`, and what can be refused before anything is built.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use deepsim_data::dataset::is_ilsvrc;

use crate::download::Source;
use crate::process::Failure;
use crate::runs::inversion::{Encoder, Layer};
use crate::runs::vae;
use crate::scale::{Scale, Size};
use crate::targets::{Experiment, Target};
use crate::workspace::root;

/// Reproduce tables and figures: train what is missing, evaluate, write a report.
///
/// Finished runs in --out are reused, interrupted ones resumed. Without --data, everything is done
/// on built-in procedural scenes; numbers on them are not the paper's, and the report says so.
#[derive(clap::Args)]
#[command(
    after_help = "The report is OUT/report/index.html, its numbers OUT/report/results.json; \
trained generators are in OUT/runs. Ctrl-C saves a checkpoint; the same command goes on."
)]
pub(crate) struct Arguments {
    /// What to reproduce
    #[arg(value_enum, default_values_t = [Target::Autoencoder])]
    pub(super) targets: Vec<Target>,
    /// How far to go
    #[arg(long, value_enum, default_value_t = Scale::Quick)]
    pub(super) scale: Scale,
    /// Where to train and measure; cuda needs an NVIDIA GPU, and nvcc to build, see docs/cuda.md
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    pub(super) device: DeviceKind,
    /// STL-10 in its binary format, for table6, fig4 and all else of sections 4.2 and 4.3 ILSVRC-2012, see
    /// docs/data.md
    /// [default: built-in procedural scenes]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// ILSVRC-2012, where --data is STL-10 [default: --data]
    #[arg(long, value_name = "DIR")]
    pub(super) ilsvrc: Option<PathBuf>,
    /// Network that is inverted, that compares, and that a variational autoencoder begins with: caffenet, alexnet, alexnet-stand-in, ...
    #[arg(long, value_name = "NET", default_value = "caffenet")]
    pub(super) encoder: String,
    /// Layer that is inverted; may be repeated [default: all]
    #[arg(long, value_name = "LAYER", value_enum)]
    layer: Vec<Layer>,
    /// Only this run, by its name in the plan; may be repeated [default: all that the targets need]
    #[arg(long, value_name = "RUN")]
    pub(super) only: Vec<String>,
    /// Download STL-10, where --data names no other data, and weights, where --weights names no other folder
    /// (docs/downloads.md). ILSVRC-2012 has to be fetched by hand
    #[arg(long)]
    pub(super) fetch: bool,
    #[command(flatten)]
    pub(super) source: Source,
    /// Folder of the authors' release (release_deepsim_v0, unpacked), whose generators are measured beside ours
    #[arg(long, value_name = "DIR", conflicts_with = "only")]
    pub(super) reference: Option<PathBuf>,
    /// Train the comparator Exemplar-CNN first, as in its release, instead of taking its weights from a file
    #[arg(long)]
    pub(super) train_exemplar_cnn: bool,
    /// Train the comparator VideoNet first, on tracks of videos: a list, tar shards or folders
    /// (docs/comparators.md), instead of taking its weights from a file
    #[arg(long, value_name = "TRACKS")]
    pub(super) train_videonet: Option<PathBuf>,
    /// Begin with this run of the plan, and leave those before it as they are
    #[arg(long, value_name = "RUN", conflicts_with = "only")]
    pub(super) from: Option<String>,
    /// Runs that are trained at the same time: each has a GPU of its own, or an equal part of the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: u16,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long)]
    pub(super) without_duplicates: bool,
    /// Folder with comparators' weights, see docs/data.md; networks without a file there have random
    /// ones [default: data/weights, which has the shipped Exemplar-CNN]
    #[arg(long, value_name = "DIR")]
    pub(super) weights: Option<PathBuf>,
    /// Folder to write to [default: out/SCALE in the workspace, out/SCALE-cuda on a GPU]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Training steps of each run [default: the scale's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Images per step [default: the scale's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
    /// Price of an hour of what one run has for itself, e.g. of a GPU, for the report
    #[arg(long, value_name = "PRICE")]
    pub(super) price_per_hour: Option<f64>,
    /// Print the plan with its estimates, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Override a key of every recipe that has it, e.g. --set feature.rho=1
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Arguments {
    /// The data of an experiment that the command line names.
    fn named(&self, experiment: Experiment) -> Option<&Path> {
        let own = self.ilsvrc.as_deref().filter(|_| !experiment.on_stl10());
        own.or(self.data.as_deref())
    }

    /// The data of an experiment, or where it will be once it is downloaded.
    pub(super) fn data(&self, experiment: Experiment) -> Option<PathBuf> {
        let fetched = || (self.fetch && experiment.on_stl10()).then(|| self.stl10());
        self.named(experiment).map(Path::to_path_buf).or_else(fetched)
    }

    /// Where STL-10 is among what is downloaded.
    pub(super) fn stl10(&self) -> PathBuf {
        self.source.folder().join("stl10_binary")
    }

    /// The layers that are inverted, each once and in order.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let wanted = |layer: &Layer| self.layer.is_empty() || self.layer.contains(layer);
        Layer::ALL.into_iter().filter(wanted).collect()
    }

    /// The network that is inverted. The paper's weight of the feature term is for CaffeNet's features of
    /// photographs.
    pub(super) fn encoder(&self) -> Encoder {
        let papers = self.encoder == "caffenet" && self.data(Experiment::Inversion).is_some();
        Encoder { name: self.encoder.clone(), calibrated: !papers }
    }

    /// How long and how much, for an experiment.
    ///
    /// # Errors
    /// If an override makes no sense.
    pub(super) fn size(&self, experiment: Experiment) -> Result<Size> {
        self.scale.size(experiment).with(&self.sets()).map_err(Failure::usage)
    }

    /// The folder of weights that is used, or will be once they are downloaded.
    pub(super) fn weights(&self) -> Option<PathBuf> {
        let fetched = || self.fetch.then(|| self.source.folder().join("weights"));
        let shipped = || Some(root().join("data/weights")).filter(|folder| folder.is_dir());
        self.weights.clone().or_else(fetched).or_else(shipped)
    }

    /// All overrides `key=value`; of two of one key, the later one counts.
    pub(super) fn sets(&self) -> Vec<String> {
        let mut sets = self.set.clone();
        sets.extend(self.steps.map(|steps| format!("steps={steps}")));
        sets.extend(self.batch.map(|batch| format!("batch={batch}")));
        sets
    }
}

/// Where to train and measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceKind {
    Cpu,
    Cuda,
}

impl DeviceKind {
    /// Name on the command line and in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// What can be refused before anything is built.
pub(super) fn check(arguments: &Arguments) -> Result<()> {
    let folders = [
        ("--data", &arguments.data),
        ("--ilsvrc", &arguments.ilsvrc),
        ("--weights", &arguments.weights),
        ("--reference", &arguments.reference),
    ];
    for (option, folder) in folders {
        if let Some(folder) = folder
            && !folder.is_dir()
        {
            let folder = folder.display();
            return Err(Failure::usage(format!("{option} {folder}: no such folder")));
        }
    }
    if let Some(tracks) = arguments.train_videonet.as_ref().filter(|tracks| !tracks.exists()) {
        let tracks = tracks.display();
        return Err(Failure::usage(format!("--train-videonet {tracks}: no such file or folder")));
    }
    let targets = Target::expand(&arguments.targets);
    if arguments.without_duplicates && arguments.data.is_none() && !arguments.fetch {
        return Err(Failure::usage("--without-duplicates: wanted --data or --fetch"));
    }
    if arguments.reference.is_some() && arguments.encoder != "caffenet" {
        let message =
            "--reference: the authors' generators invert caffenet, and no other --encoder";
        return Err(Failure::usage(message));
    }
    for experiment in Experiment::ALL {
        if !targets.iter().any(|target| target.experiment() == experiment) {
            continue;
        }
        arguments.size(experiment)?;
        if experiment == Experiment::Vae && !vae::begins_with(&arguments.encoder) {
            return Err(Failure::usage(format!(
                "--encoder {}: a variational autoencoder begins with caffenet, alexnet or \
                 alexnet-stand-in",
                arguments.encoder
            )));
        }
        let what = match experiment {
            Experiment::Autoencoder | Experiment::SmallVae => {
                "STL-10: get it with --fetch, or say where it is with --data DIR"
            }
            Experiment::Inversion | Experiment::Vae => {
                "ILSVRC-2012: say where it is with --ilsvrc DIR"
            }
        };
        match arguments.named(experiment) {
            // The programs take both kinds of data for both experiments.
            Some(folder) if !is_ilsvrc(folder) => check_data(folder)?,
            // It will be there.
            None if arguments.fetch && experiment.on_stl10() => {}
            None if arguments.scale == Scale::Paper => {
                let message = format!("--scale paper trains on {what} (docs/data.md)");
                return Err(Failure::usage(message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Files of a data set in STL-10's binary format.
const DATA_FILES: [&str; 7] = [
    "unlabeled_X.bin",
    "train_X.bin",
    "train_y.bin",
    "test_X.bin",
    "test_y.bin",
    "fold_indices.txt",
    "class_names.txt",
];

/// Whether every file is there; what is in them is the programs' business.
fn check_data(folder: &Path) -> Result<()> {
    let inner = folder.join("stl10_binary");
    let inner = if inner.is_dir() { inner } else { folder.to_path_buf() };
    let missing: Vec<_> =
        DATA_FILES.into_iter().filter(|file| !inner.join(file).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--data {}: no data set in STL-10's binary format (docs/data.md): {} lacks {}; folders of pictures \
         are not taken here",
        folder.display(),
        inner.display(),
        missing.join(", ")
    )))
}

/// Arguments as on a command line, for tests.
#[cfg(test)]
pub(super) fn parse(words: &[&str]) -> Result<Arguments> {
    #[derive(clap::Parser)]
    struct Reproduce {
        #[command(flatten)]
        arguments: Arguments,
    }
    let words = std::iter::once(&"reproduce").chain(words);
    Ok(<Reproduce as clap::Parser>::try_parse_from(words)?.arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    fn checked(words: &[&str]) -> Result<Size> {
        let arguments = parse(words)?;
        check(&arguments)?;
        arguments.size(Experiment::Autoencoder)
    }

    #[test]
    fn the_default_is_the_whole_experiment_at_quick_scale() -> Result<()> {
        let arguments = parse(&[])?;
        assert_eq!(arguments.targets, [Target::Autoencoder]);
        check(&arguments)?;
        let experiment = Experiment::Autoencoder;
        assert_eq!(arguments.size(experiment)?, Scale::Quick.size(experiment));
        Ok(())
    }

    #[test]
    fn bad_arguments_are_refused_with_exit_code_2_before_anything_is_built() -> Result<()> {
        let cases: [(&[&str], &str); 8] = [
            (&["--data", "no/such/folder"], "--data no/such/folder: no such folder"),
            (&["--weights", "no/such/folder"], "--weights no/such/folder: no such folder"),
            (&["--train-videonet", "no/tracks"], "--train-videonet no/tracks: no such file"),
            (&["--scale", "paper"], "--data DIR"),
            (&["table6", "--scale", "paper"], "--ilsvrc DIR"),
            (&["fig8", "--ilsvrc", "no/such/folder"], "--ilsvrc no/such/folder"),
            (&["--set", "batch=0"], "--set batch=0: wanted a whole number"),
            (
                &["fig4", "--encoder", "videonet"],
                "--encoder videonet: a variational autoencoder begins",
            ),
        ];
        for (words, wanted) in cases {
            let error = checked(words).expect_err(wanted);
            assert!(error.to_string().contains(wanted), "{error}");
            assert_eq!(process::exit_code(&error), process::USAGE);
        }
        Ok(())
    }

    #[test]
    fn data_is_looked_at_before_anything_is_built() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().to_string_lossy().into_owned();
        let paper = ["--scale", "paper", "--data", &data, "--set", "steps=7"];
        for inner in [folder.path().to_path_buf(), folder.path().join("stl10_binary")] {
            std::fs::create_dir_all(&inner)?;
            for file in DATA_FILES {
                let error = checked(&paper).expect_err(file);
                assert!(error.to_string().contains(&format!("lacks {file}")), "{error}");
                assert_eq!(process::exit_code(&error), process::USAGE);
                std::fs::write(inner.join(file), "")?;
            }
            assert_eq!((checked(&paper)?.steps, checked(&paper)?.batch), (7, 64));
        }
        Ok(())
    }

    #[test]
    fn steps_and_batch_are_short_for_overrides_and_come_last() -> Result<()> {
        let size = checked(&["--steps", "30", "--set", "steps=20", "--set", "batch=3"])?;
        assert_eq!((size.steps, size.batch), (30, 3));
        assert!(parse(&["--steps", "0"]).is_err());
        Ok(())
    }
}
