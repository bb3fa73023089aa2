//! `deepsim optimise`: inversion by optimisation, of pixels, or of the input of a generator.

use anyhow::Result;
use deepsim_data::Crop;
use deepsim_eval::EvalError;
use deepsim_eval::optimisation_baseline::Experiment;

use super::exit;
use super::optimise_input;
pub(crate) use super::optimise_options::Arguments;
use super::show;

/// Side of the crops of photographs, as the networks were trained.
const CROP: usize = 227;

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
