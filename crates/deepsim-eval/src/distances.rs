//! `deepsim-eval compare`: the distances of two pictures.

use std::path::PathBuf;

use clap::Args;
use deepsim_data::decode;
use deepsim_eval::measure::{Row, Space};
use deepsim_eval::pair::{PairMeasure, PairMeasured, heat_map, measure_pair};
use deepsim_eval::{EvalError, compare};

use crate::Failure;
use crate::device::DeviceKind;

#[derive(Args)]
pub(crate) struct CompareArguments {
    /// The reference, a JPEG or PNG file of any size, which is turned as its camera says; what is
    /// transparent is white
    a: PathBuf,
    /// The picture compared with it, of the same size
    b: PathBuf,
    /// lpips-alex, lpips-squeeze or feature:NET:TAP[,TAP]; may be repeated
    #[arg(long, value_name = "MEASURE")]
    measure: Vec<PairMeasure>,
    /// Draw a map of the differences to this file, by the one measure asked for
    #[arg(long, value_name = "FILE.png", requires = "measure")]
    map: Option<PathBuf>,
    /// Lets measures take random weights where there is no file
    #[arg(long)]
    random_weights: bool,
    /// Folder with comparators' weights, which feature distances need
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
}

pub(crate) fn run(arguments: &CompareArguments) -> Result<(), Failure> {
    let device = arguments.device.open()?;
    let (weights, random) =
        (crate::folder(arguments.weights.as_deref())?, arguments.random_weights);
    let read = |path| decode::read_photo(path).map_err(EvalError::from);
    let (a, b) = (read(&arguments.a)?, read(&arguments.b)?);
    if arguments.measure.is_empty() {
        let found = compare::compare(&a, &b, weights, random, &device)?;
        crate::print(&found.rows);
        tell_without_weights(&found.without_weights);
        return Ok(());
    }
    if arguments.map.is_some() && arguments.measure.len() > 1 {
        let (wanted, got) = ("one --measure".into(), arguments.measure.len().to_string());
        return Err(EvalError::Input { operation: "--map", wanted, got }.into());
    }
    // A missing file is found before anything is printed; of pictures that are too small for one
    // measure, the others are printed first.
    let (mut measured, mut too_small) = (Vec::<PairMeasured>::new(), None);
    for measure in &arguments.measure {
        match measure_pair(measure, &a, &b, weights, random, &device) {
            Ok(found) => measured.push(found),
            Err(error) if error.is_size() => {
                let row = Row::undefined(measure.to_string(), "", &error.to_string(), "");
                measured.push(PairMeasured { rows: vec![row], map: Vec::new() });
                too_small = too_small.or(Some(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    measured.iter().for_each(|found| crate::print(&found.rows));
    if let Some(error) = too_small {
        return Err(error.into());
    }
    if let (Some(path), [found]) = (&arguments.map, &measured[..]) {
        let picture = heat_map(&found.map, a.height, a.width)?;
        picture.write_png(path).map_err(EvalError::from)?;
        let largest = found.map.iter().copied().fold(0f32, f32::max);
        println!("{} (brightest: {largest})", path.display());
    }
    Ok(())
}

/// A line about feature spaces that need weights.
pub(crate) fn tell_without_weights(spaces: &[Space]) {
    if !spaces.is_empty() {
        let spaces: Vec<_> = spaces.iter().map(Space::to_string).collect();
        println!(
            "not measured, no weights found: {}; name their folder with --weights DIR",
            spaces.join(", ")
        );
    }
}
