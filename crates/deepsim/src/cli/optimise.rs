//! `deepsim optimise`: inversion by optimisation, of pixels, or of the input of a generator.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_data::Crop;
use deepsim_eval::EvalError;
use deepsim_eval::optimisation_baseline::{Experiment, Prior};
use deepsim_nets::ComparatorKind;

use super::data_options::Data;
use super::exit;
use super::optimise_input::{self, InputOptions};
use super::place::Place;
use super::show;

/// Side of the crops of photographs, as the networks were trained.
const CROP: usize = 227;

/// Find images by gradient descent, of pixels (the paper's baseline) or of a generator's input
///
/// Of pixels: images whose features are those of the test or validation pictures of the data, of those larger than 227
/// pixels the middle, with measures of how far they are. Of a generator's input (--generator): images that the generator
/// can draw whose features are those of --target, or in which a --unit is large. Ctrl-C writes the best so far.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The network: a name, e.g. alexnet, or the path of a description that ends in .toml
    #[arg(long, value_name = "NET", default_value = "alexnet")]
    pub(crate) net: ComparatorKind,
    /// Features to invert, e.g. CONV5; several with commas. With --generator [NET:]TAP[=WEIGHT]
    #[arg(long, value_name = "TAP", required_unless_present = "unit", value_delimiter = ',')]
    pub(crate) tap: Vec<String>,
    #[command(flatten)]
    pub(crate) input: InputOptions,
    #[command(flatten)]
    data: Data,
    /// Side that pictures of another size are stretched to first
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Lets it take random weights where there is no file
    #[arg(long)]
    pub(crate) random_weights: bool,
    /// mahendran-vedaldi, l2 or blur
    #[arg(long, value_name = "PRIOR", default_value = "mahendran-vedaldi")]
    prior: Prior,
    /// Only the first so many pictures
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Pictures from whose pairs errors are normalised; all are held in memory, 0.6 MB each of
    /// 227x227 [default: all, at most 4000]
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    /// Pictures that are inverted together; changes the speed only, never the result
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) batch: usize,
    /// Seed of the noise that it starts from, of jitter, and of the data where they are drawn
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Steps, to which the schedule is scaled [default: the prior's, 400; 200 with --generator]
    #[arg(long, value_name = "N")]
    pub(crate) iterations: Option<usize>,
    /// Folder for <prior>-<tap>.json and pictures; taps that are there with these settings are left. With --generator,
    /// for pictures, sheet.png, inputs.safetensors and numbers.json
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Most pictures that `N` is computed from where nobody says how many: 2.5 GB of pixels.
const PAIRS: usize = 4000;

/// Optimises pixels, or the input of a generator; returns the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    match &arguments.input.generator {
        Some(generator) => optimise_input::run(arguments, generator),
        None => pixels(arguments).map(|()| exit::DONE),
    }
}

/// Inverts tap by tap, prints the errors and draws a sheet.
fn pixels(arguments: &Arguments) -> Result<()> {
    let random = arguments.random_weights;
    let (device, folder) = arguments.place.open_with_data(random)?;
    let mut dataset = arguments.data.options()?.open(arguments.seed)?;
    if let Some(side) = arguments.resize {
        dataset = dataset.sized(side);
    }
    let source = dataset.test.images;
    let crop = match source.height().min(source.width()) {
        side if side > CROP => Crop::Center(CROP),
        _ => Crop::Full,
    };
    println!("{}", dataset.description);
    let weights = arguments.net.find_weights(folder.as_deref());
    if weights.is_none() && !random {
        let name = arguments.net.name();
        let wanted = format!("weights of {name}, or --random-weights");
        let place = folder.map_or(String::new(), |folder| format!(" in {}", folder.display()));
        let got = format!("none{place}; docs/comparators.md says where there are some");
        return Err(EvalError::Input { operation: "--weights", wanted, got }.into());
    }
    let mut experiment = Experiment::new(arguments.net.clone(), &*source, crop);
    experiment.weights = weights.as_deref();
    experiment.dataset = &dataset.description;
    experiment.prior = arguments.prior;
    experiment.steps = arguments.iterations;
    experiment.pictures = arguments.limit;
    experiment.pairs = arguments.pairs.unwrap_or(PAIRS);
    experiment.batch = arguments.batch;
    experiment.seed = arguments.seed;
    experiment.device = &device;
    let mut undefined = None;
    for tap in &arguments.tap {
        let (inversion, found) = experiment.run(tap, &arguments.out)?;
        println!("{} {tap}{}", arguments.prior, if found { " (measured before)" } else { "" });
        show::rows(&inversion.rows);
        for left in &inversion.left_out {
            println!("  picture {} is left out: {}", left.picture, left.reason);
        }
        undefined = undefined.or(inversion.check().err());
    }
    let taps: Vec<&str> = arguments.tap.iter().map(String::as_str).collect();
    println!("{}", experiment.sheet(&taps, &arguments.out)?.display());
    // After the other layers, which are no worse for it.
    undefined.map_or(Ok(()), |error| Err(error.into()))
}
