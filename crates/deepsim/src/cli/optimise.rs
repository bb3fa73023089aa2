//! `deepsim optimise`: inversion by optimisation.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_data::Crop;
use deepsim_eval::EvalError;
use deepsim_eval::optimisation_baseline::{Experiment, Prior};
use deepsim_nets::ComparatorKind;

use super::data_options::Data;
use super::locate::DataFolders;
use super::place::Place;
use super::show;

/// Side of the crops of photographs, as the networks were trained.
const CROP: usize = 227;

/// Find images by gradient descent whose features are those of pictures (the paper's baseline)
///
/// Measures how far they are from the pictures. The test or validation pictures of the data are inverted; of those
/// larger than 227 pixels, the middle.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The network: a name, e.g. alexnet, or the path of a description that ends in .toml
    #[arg(long, value_name = "NET", default_value = "alexnet")]
    net: ComparatorKind,
    /// Features to invert, e.g. CONV5; may be repeated
    #[arg(long, value_name = "TAP", required = true)]
    tap: Vec<String>,
    #[command(flatten)]
    data: Data,
    /// Side that pictures of another size are stretched to first
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Lets it take random weights where there is no file
    #[arg(long)]
    random_weights: bool,
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
    batch: usize,
    /// Seed of the noise that it starts from, of jitter, and of the data where they are drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps, to which the schedule is scaled [default: the prior's, 400]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Folder for <prior>-<tap>.json and pictures; taps that are there with these settings are left
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Most pictures that `N` is computed from where nobody says how many: 2.5 GB of pixels.
const PAIRS: usize = 4000;

/// Inverts tap by tap, prints the errors and draws a sheet.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (device, folder) = arguments.place.open()?;
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
    let random = arguments.random_weights;
    let folder = folder.or_else(|| DataFolders::new().find("weights").filter(|_| !random));
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
