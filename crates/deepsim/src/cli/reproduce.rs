//! `deepsim reproduce`: the paper's tables and figures.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use deepsim_data::dataset::DataOptions;
use deepsim_reproduce::catalogue::{GROUPS, Layer, TARGETS};
use deepsim_reproduce::options::{Device, Options};
use deepsim_reproduce::preset::Preset;
use deepsim_reproduce::{Host, ReproduceError, plan, reproduce};

use super::download::Source;
use super::exit::{self, Failure};
use super::locate::{self, DataFolders};
use super::telemetry::Format;

/// Reproduce tables and figures: train what is missing, evaluate, write a report
///
/// Finished runs in --out are reused, interrupted ones resumed. Without --data, everything is done on
/// the photographs that come with the project; numbers on them are not the paper's, and the report says so.
///
/// The report is OUT/report/index.html, its numbers OUT/report/results.json; trained generators are in OUT/runs.
/// Ctrl-C saves a checkpoint; the same command continues.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Targets to reproduce
    #[arg(value_name = "TARGET", default_value = GROUPS[0].id, value_parser = targets())]
    targets: Vec<String>,
    /// Preset of steps, batch and test images
    #[arg(long, value_name = "PRESET", default_value = "quick", value_parser = presets())]
    scale: Preset,
    /// Device to train and measure on; cuda needs an NVIDIA GPU, see docs/gpus.md
    #[arg(long, default_value = "cpu", value_parser = devices())]
    device: Device,
    /// STL-10, for table6, fig4 and all else of sections 4.2 and 4.3 ILSVRC-2012, or any other data that
    /// `deepsim train` takes, see docs/data.md [default: the photographs that come with the project]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Pictures or shards to measure on, where --data are pictures or shards [default: `test` or `val` in the
    /// data, else a tenth of the pictures]
    #[arg(long, value_name = "DATA", requires = "data")]
    test: Option<PathBuf>,
    /// Share of the pictures of --data that is held out to measure on, by a fixed permutation
    #[arg(long, value_name = "SHARE", requires = "data", conflicts_with = "test")]
    test_share: Option<f64>,
    /// Turn pictures of folders and shards upright as their EXIF data say
    #[arg(long, requires = "data")]
    upright: bool,
    /// Keep training pictures in this folder after their first resize, so that each is decoded once for all runs;
    /// changes the speed only
    #[arg(long, value_name = "DIR", requires = "data")]
    cache: Option<PathBuf>,
    /// ILSVRC-2012, where --data is STL-10 [default: --data]
    #[arg(long, value_name = "DIR")]
    ilsvrc: Option<PathBuf>,
    /// Network that is inverted, that compares, and that a variational autoencoder begins with: caffenet, alexnet,
    /// alexnet-stand-in, ...
    #[arg(long, value_name = "NET", default_value = "caffenet")]
    encoder: String,
    /// Layer that is inverted; may be repeated [default: all]
    #[arg(long, value_name = "LAYER", value_parser = layers())]
    layer: Vec<Layer>,
    /// Only this run, by its name in the plan; may be repeated [default: all that the targets need]
    #[arg(long, value_name = "RUN")]
    only: Vec<String>,
    /// Download STL-10, where --data names no other data, and weights, where --weights names no other folder
    /// (docs/data.md). ILSVRC-2012 has to be fetched by hand
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    source: Source,
    /// Folder of the authors' release (release_deepsim_v0, unpacked), whose generators are measured beside ours
    #[arg(long, value_name = "DIR", conflicts_with = "only")]
    reference: Option<PathBuf>,
    /// Train the comparator Exemplar-CNN first, as in its release, instead of taking its weights from a file
    #[arg(long)]
    train_exemplar_cnn: bool,
    /// Train the comparator VideoNet first, on tracks of videos: a list, tar shards or folders
    /// (docs/comparators.md), instead of taking its weights from a file
    #[arg(long, value_name = "TRACKS")]
    train_videonet: Option<PathBuf>,
    /// Begin with this run of the plan, and leave those before it as they are
    #[arg(long, value_name = "RUN", conflicts_with = "only")]
    from: Option<String>,
    /// Runs that are trained at the same time: each has a GPU of its own, or an equal part of the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long)]
    without_duplicates: bool,
    /// Folder with comparators' weights, or hf://OWNER/NAME/PATH, see docs/data.md; networks without a file there have
    /// those that come with the project, or random ones [default: `weights` in the data folder]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Folder to write to [default: SCALE, or SCALE-cuda on a GPU, in DEEPSIM_OUT, else in out/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Training steps of each run [default: the preset's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Images per step [default: the preset's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    batch: Option<u64>,
    /// Price of an hour of what one run has for itself, e.g. of a GPU, for the report
    #[arg(long, value_name = "PRICE")]
    price_per_hour: Option<f64>,
    /// Print the plan with its estimates, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Override a key of every recipe that has it, e.g. --set feature.rho=1
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn targets() -> PossibleValuesParser {
    let groups = GROUPS.iter().map(|group| PossibleValue::new(group.id).help(group.about));
    let targets = TARGETS.iter().map(|target| PossibleValue::new(target.id).help(target.about));
    groups.chain(targets).collect::<Vec<_>>().into()
}

fn presets() -> impl TypedValueParser<Value = Preset> {
    let values = Preset::ALL.map(|preset| PossibleValue::new(preset.name()).help(preset.about()));
    let named = |name: String| Preset::ALL.into_iter().find(|preset| preset.name() == name);
    PossibleValuesParser::new(values).map(move |name| named(name).unwrap_or_default())
}

fn devices() -> impl TypedValueParser<Value = Device> {
    let values = [Device::Cpu, Device::Cuda].map(Device::name);
    PossibleValuesParser::new(values).map(|name| match name.as_str() {
        "cuda" => Device::Cuda,
        _ => Device::Cpu,
    })
}

fn layers() -> impl TypedValueParser<Value = Layer> {
    PossibleValuesParser::new(Layer::ALL.map(Layer::name)).try_map(|name| name.parse::<Layer>())
}

impl Arguments {
    fn options(&self) -> Result<Options> {
        let fetch_to = self.fetch.then(|| self.source.folder()).transpose()?;
        let scale = self.scale.name();
        // A GPU's numbers are not those of the CPU to the last bit, so its runs have a folder of their own.
        let name = match self.device {
            Device::Cpu => scale.to_owned(),
            Device::Cuda => format!("{scale}-cuda"),
        };
        let data = self.data.as_deref().map(locate::data).transpose()?;
        Ok(Options {
            targets: self.targets.clone(),
            scale: self.scale,
            device: self.device,
            data: DataOptions {
                data,
                test: self.test.clone(),
                test_share: self.test_share,
                without_duplicates: self.without_duplicates,
                upright: self.upright,
                cache: self.cache.clone(),
            },
            ilsvrc: self.ilsvrc.clone(),
            encoder: self.encoder.clone(),
            layers: self.layer.clone(),
            only: self.only.clone(),
            from: self.from.clone(),
            fetch_to,
            reference: self.reference.clone(),
            train_exemplar_cnn: self.train_exemplar_cnn,
            train_videonet: self.train_videonet.clone(),
            jobs: self.jobs,
            weights: self.weights.as_deref().map(locate::folder).transpose()?,
            out: self.out.clone().unwrap_or_else(|| locate::out().join(name)),
            seed: self.seed,
            threads: self.threads,
            steps: self.steps,
            batch: self.batch,
            price_per_hour: self.price_per_hour,
            set: self.set.iter().map(|set| locate::setting(set)).collect::<Result<_>>()?,
        })
    }
}

/// Reproduces, or shows the plan.
pub(crate) fn run(arguments: &Arguments, format: Format) -> Result<()> {
    let options = arguments.options()?;
    let signal = received()?;
    if options.device == Device::Cuda && !cfg!(feature = "cuda") && !arguments.dry_run {
        let message = "--device cuda: this program was built without CUDA (docs/gpus.md)";
        return Err(Failure::usage(message).into());
    }
    let fetch = |name: &str| {
        let failed = |error: anyhow::Error| match exit::code(&error) {
            exit::INTERRUPTED => ReproduceError::Interrupted(format!("downloading {name}")),
            exit::USAGE => ReproduceError::usage(format!("{error:#}")),
            _ => ReproduceError::Missing(format!("{error:#}")),
        };
        arguments.source.get(name).map_err(failed)
    };
    let folders = DataFolders::new();
    let host = Host {
        program: this_program()?,
        command: command(),
        commit: std::env::var("DEEPSIM_COMMIT").ok(),
        weights: folders.find("weights"),
        exemplar_cnn: folders.find("weights/exemplar-cnn.safetensors"),
        gpus: if options.device == Device::Cuda { gpus() } else { Vec::new() },
        registry: arguments.source.registry()?,
        fetch: &fetch,
        signal: &signal,
        arguments: match format {
            Format::Text => &[],
            Format::Json => &["--log-format", "json"],
        },
    };
    match arguments.dry_run {
        true => println!("{}", plan(&options, &host)?),
        false => reproduce(&options, &host)?,
    }
    Ok(())
}

/// This program, even if another build replaces its file while it runs.
fn this_program() -> Result<PathBuf> {
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    match running.exists() {
        true => Ok(running),
        false => std::env::current_exe().context("finding this program"),
    }
}

/// Variable with the command line of a program that starts this one, for the record.
const COMMAND: &str = "DEEPSIM_COMMAND";

/// The command line as typed.
fn command() -> String {
    std::env::var(COMMAND).unwrap_or_else(|_| {
        let words = std::env::args_os().skip(1);
        let words: Vec<String> = words.map(|w| w.to_string_lossy().into_owned()).collect();
        format!("deepsim {}", words.join(" "))
    })
}

/// The number of the signal that was received last, 0 for none.
fn received() -> Result<Arc<AtomicUsize>> {
    let received = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let number = usize::try_from(signal).unwrap_or_default();
        signal_hook::flag::register_usize(signal, received.clone(), number)
            .with_context(|| format!("handling signal {signal}"))?;
    }
    Ok(received)
}

/// The GPUs of this machine, as `nvidia-smi` describes them.
fn gpus() -> Vec<String> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    let output = Command::new("nvidia-smi").args(query).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map_or(String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
    // A driver without a GPU says so in a line without cells.
    let gpus = text.lines().map(str::trim).filter(|line| line.split(',').count() == 3);
    gpus.map(str::to_owned).collect()
}
