//! `deepsim-eval`: measures trained generators and writes the report.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program talks to its user")]

mod device;
mod distances;
mod invert;
mod optimise;
mod sample;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use deepsim_data::Dataset;
use deepsim_eval::measure::svm::SvmInput;
use deepsim_eval::measure::{self, Context, Measure, Model, Progress, Row, Settings, Space};
use deepsim_eval::probe::Probe;
use deepsim_eval::svm::Protocol;
use deepsim_eval::{EvalError, report};
use deepsim_nets::NetError;
use device::{DeviceError, DeviceKind};
use distances::CompareArguments;
use invert::InvertArguments;
use optimise::OptimiseArguments;
use sample::SampleArguments;

/// Measure trained generators.
///
/// `deepsim-eval error svm sharpness grid --run RUN` measures the generator of a run folder on the
/// test images and writes RUN/eval/<measure>.json:
///   error      normalised Euclidean error in image and feature space (paper Table 3)
///   svm        accuracy of linear SVMs on the code (paper Table 4)
///   sharpness  power of high spatial frequencies against the originals'
///   grid       originals and reconstructions as PNG (paper Figure 3)
///   reencode   errors and pictures after 1, 2, 4 and 8 rounds (paper Figure 8)
///   interpolate  pictures between two images (paper Figure 9)
///   recognise  whether SqueezeNet sees the same classes
///   neighbours  the nearest training images (paper, supplement)
///   presamples  whether noise makes images of one feature vector differ (paper section 4.3)
///   samples    pictures from a variational autoencoder's prior, and how far they are from images
///              (paper Figure 4)
///   latent     what a variational autoencoder's codes hold, and whether they lie where the prior is
///   lpips      learned perceptual image patch similarity, where its weights are found
#[derive(Parser)]
#[command(
    version,
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad arguments."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: MeasureArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Print the image-space and feature-space distances of two pictures of equal size, or the
    /// perceptual measures that are asked for
    Compare(CompareArguments),
    /// Train linear SVMs on features of comparators, by STL-10's folds
    Probe {
        /// What to train on: pixels, NET:TAP, NET:TAP+TAP, NET:TAP@random
        #[arg(required = true, value_name = "FEATURES")]
        probes: Vec<Probe>,
        /// Folder with STL-10 in its binary format or ILSVRC-2012 [default: built-in procedural scenes]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Folder with comparators' weights
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
        /// Values of C that the protocol tries
        #[arg(long, value_name = "N", default_value_t = 50)]
        svm_draws: usize,
        /// Seed of random weights, of the values of C and of procedural scenes
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// File for the results as JSON
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where to compute
        #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
        device: DeviceKind,
    },
    /// Find images by gradient descent whose features are those of pictures (the paper's baseline),
    /// and measure how far they are from the pictures
    Optimise(OptimiseArguments),
    /// Reconstruct a photograph of your own by a trained generator
    Invert(InvertArguments),
    /// Draw pictures from the prior of a variational autoencoder
    Sample(SampleArguments),
    /// Write a page with the training curves of runs, of generators or of comparators
    Curves {
        /// A run, e.g. "Exemplar-CNN=out/exemplar-cnn"
        #[arg(required = true, value_name = "LABEL=DIR")]
        run: Vec<String>,
        /// File to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write index.html and results.json from measured runs
    Report {
        /// A measured run, e.g. "SE=out/runs/autoencoder-se"
        #[arg(long, value_name = "LABEL=DIR", required = true)]
        run: Vec<String>,
        /// Folder of `deepsim-eval optimise`, to compare with
        #[arg(long, value_name = "DIR")]
        optimised: Option<PathBuf>,
        /// table3, table4, fig3, fig4, fig4-small, table6, fig1, fig5 to fig9, presamples or neighbours
        #[arg(long, required = true)]
        target: Vec<String>,
        /// What was run: JSON written by cargo xtask reproduce
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Args)]
struct MeasureArguments {
    /// What to measure: error, svm, sharpness, grid, lpips, reencode, interpolate, recognise,
    /// neighbours, presamples, samples, latent
    #[arg(value_name = "MEASURE")]
    measures: Vec<String>,
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Folder with STL-10 in its binary format or ILSVRC-2012 [default: built-in procedural scenes]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long, requires = "data")]
    without_duplicates: bool,
    /// Folder with comparators' weights [default: random weights]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Only the first so many test images [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only the first so many training images, where the nearest are looked for [default: all]
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// Values of C that the SVM protocol tries
    #[arg(long, value_name = "N", default_value_t = 50)]
    svm_draws: usize,
    /// What SVMs are trained on: code, center-code, pixels; may be repeated [default: all]
    #[arg(long, value_name = "INPUT")]
    svm_input: Vec<SvmInput>,
    /// Feature space of the error, e.g. alexnet:CONV3; may be repeated [default: those with weights]
    #[arg(long, value_name = "NET:TAP")]
    space: Vec<Space>,
    /// Seed of the procedural scenes and of everything that is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
    /// Threads; changes the speed only, never the result [default: all cores]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

/// Why the program fails.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Eval(
                EvalError::Unknown { .. }
                | EvalError::Input { .. }
                | EvalError::Net(NetError::UnknownTap { .. }),
            ) => 2,
            Self::Eval(error) => 1 + u8::from(error.is_size()),
            Self::Device(error) => error.code,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    deepsim_ops::keep_freed_memory();
    let result = match arguments.command {
        Some(Command::Compare(arguments)) => distances::run(&arguments),
        Some(Command::Probe { probes, data, weights, svm_draws, seed, out, device }) => {
            let protocol = Protocol { draws: svm_draws, seed, ..Protocol::default() };
            probe(&probes, data.as_deref(), weights.as_deref(), &protocol, out.as_deref(), device)
        }
        Some(Command::Optimise(arguments)) => optimise::run(&arguments),
        Some(Command::Invert(arguments)) => invert::run(&arguments),
        Some(Command::Sample(arguments)) => sample::run(&arguments),
        Some(Command::Curves { run, out }) => report::curves(&run, &out).map_err(Failure::from),
        Some(Command::Report { run, optimised, target, plan, out }) => {
            let optimised = optimised.as_deref();
            let page = report::write(&run, optimised, &target, plan.as_deref(), &out);
            page.map(|path| println!("{}", path.display())).map_err(Failure::from)
        }
        None => measure(&arguments.measure),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}

/// A folder of weights, which must be there if it is named.
fn folder(weights: Option<&Path>) -> Result<Option<&Path>, EvalError> {
    match weights.filter(|folder| !folder.is_dir()) {
        Some(missing) => Err(EvalError::Io {
            operation: "--weights",
            path: missing.into(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "no such folder"),
        }),
        None => Ok(weights),
    }
}

fn probe(
    probes: &[Probe],
    data: Option<&Path>,
    weights: Option<&Path>,
    protocol: &Protocol,
    out: Option<&Path>,
    device: DeviceKind,
) -> Result<(), Failure> {
    let (device, weights) = (device.open()?, folder(weights)?);
    let dataset = Dataset::open(data, protocol.seed).map_err(EvalError::from)?;
    println!("{}", dataset.description);
    let tell = |what: &str, done: usize, all: usize| tell(&Progress { what, done, all });
    let mut rows = Vec::new();
    for probe in probes {
        rows.push(probe.accuracy(&dataset, weights, protocol, &device, &tell)?);
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        print(&rows[rows.len() - 1..]);
    }
    match out {
        Some(path) => Ok(measure::write_rows(path, &rows)?),
        None => Ok(()),
    }
}

/// A line that is written over on a terminal, the last of each kind elsewhere.
fn tell(progress: &Progress<'_>) {
    let Progress { what, done, all } = progress;
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}: {done}/{all}");
    } else if done == all {
        eprintln!("{what}: {all}");
    }
}

fn measure(arguments: &MeasureArguments) -> Result<(), Failure> {
    let unknown = |what, known: &str| EvalError::Unknown {
        what,
        known: known.into(),
        got: "nothing (see --help)".into(),
    };
    let Some(run) = &arguments.run else { return Err(unknown("run", "--run DIR").into()) };
    if arguments.measures.is_empty() {
        let known = measure::all().map(Measure::name).join(", ");
        return Err(unknown("measure", &known).into());
    }
    let wanted = arguments.measures.iter().map(|name| measure::by_name(name));
    let wanted: Vec<&dyn Measure> = wanted.collect::<Result<_, EvalError>>()?;
    let device = arguments.device.open()?;
    // A pool that exists already is as good: the number of threads changes nothing but speed.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global();

    let weights = folder(arguments.weights.as_deref())?;
    let mut dataset =
        Dataset::open(arguments.data.as_deref(), arguments.seed).map_err(EvalError::from)?;
    if arguments.without_duplicates {
        dataset = dataset.without_duplicates().map_err(EvalError::from)?.0;
    }
    let unread = dataset.test.images.unread();
    if !unread.is_empty() {
        eprintln!("warning: {unread}");
    }
    let model = Model::open(run, weights, &device)?;
    if let Some(side) = model.resize {
        dataset = dataset.sized(side);
    }
    let svm_inputs = match &arguments.svm_input[..] {
        [] => SvmInput::ALL.to_vec(),
        chosen => chosen.to_vec(),
    };
    let settings = Settings {
        svm_inputs,
        test_images: arguments.limit,
        train_images: arguments.train_limit,
        spaces: Some(arguments.space.clone()).filter(|spaces| !spaces.is_empty()),
        svm_draws: arguments.svm_draws,
        seed: arguments.seed,
        ..Settings::default()
    };
    let terminal = std::io::stderr().is_terminal();
    let tell = |progress: Progress<'_>| tell(&progress);
    let context = Context::new(&model, run, &dataset, weights, &settings, &device, &tell);
    for measure in wanted {
        let (measurement, path) = measure::evaluate(measure, &context)?;
        if terminal {
            eprint!("\r\x1b[K");
        }
        println!("{} ({:.1} s)", path.display(), measurement.seconds);
        print(&measurement.rows);
    }
    Ok(())
}

fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let digits = |value: f64| if value != 0.0 && value.abs() < 0.1 { 6 } else { 4 };
        let write = |value: f64| format!("{value:.digits$}", digits = digits(value));
        let value = row.value.map_or("-".to_owned(), write);
        let spread = row.spread.map_or(String::new(), |spread| format!(" ± {spread:.2}"));
        println!("  {:width$}  {value}{spread} {}  ({})", row.name, row.unit, row.note);
    }
}
