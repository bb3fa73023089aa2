//! `deepsim compare`: the distances of two pictures, or of two folders of pictures.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_data::decode;
use deepsim_eval::measure::{Row, Space};
use deepsim_eval::pair::{PairMeasure, PairMeasured, heat_map, measure_pair};
use deepsim_eval::{EvalError, compare};

use super::exit::Failure;
use super::folders;
use super::place::Place;
use super::show;

/// Print the image-space and feature-space distances of two pictures or two folders of pictures
///
/// With --measure, prints the named perceptual measures instead. Two folders are compared pair by pair, by the paths of
/// their pictures without endings (x/1.png with x/1.jpg), or with --distribution as two distributions.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Reference: a JPEG or PNG file, rotated by its EXIF orientation, with white under transparency; or a folder
    a: PathBuf,
    /// Picture to compare with it, of the same size (nothing is resized); or a folder
    b: PathBuf,
    /// Measure: lpips-alex, lpips-squeeze, lpips-vgg or feature:NET:TAP[,TAP]; may be repeated
    #[arg(long, value_name = "MEASURE")]
    measure: Vec<PairMeasure>,
    /// File for a map of the differences of two pictures by the one measure that is named with --measure
    #[arg(long, value_name = "FILE.png")]
    map: Option<PathBuf>,
    /// File for the numbers of each pair of two folders
    #[arg(long, short = 'o', value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Frechet and kernel distance of two folders in this feature space, whatever the pictures' names; may be repeated
    #[arg(long, value_name = "NET:TAP", conflicts_with_all = ["measure", "csv"])]
    distribution: Vec<Space>,
    /// Use random weights for networks without a file
    #[arg(long)]
    random_weights: bool,
    #[command(flatten)]
    place: Place,
}

impl Arguments {
    /// Refuses options of two pictures for two folders, and the reverse.
    fn check(&self, folders: bool) -> Result<()> {
        let message = match folders {
            true if self.map.is_some() => "--map: expected two pictures, found two folders",
            false if self.csv.is_some() => "--csv: expected two folders, found two pictures",
            false if !self.distribution.is_empty() => {
                "--distribution: expected two folders, found two pictures"
            }
            false if self.map.is_some() && self.measure.is_empty() => {
                "--map: expected one --measure, whose differences it draws, found none; for example \
                 --measure feature:efficientnet-lite0:STAGE5, which needs no --weights"
            }
            _ => return Ok(()),
        };
        Err(Failure::usage(message).into())
    }
}

/// Compares and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let are_folders = folders::are_two(&arguments.a, &arguments.b)?;
    arguments.check(are_folders)?;
    let (device, weights) = arguments.place.open()?;
    let (weights, random) = (weights.as_deref(), arguments.random_weights);
    if are_folders {
        let (both, weights) = ([&*arguments.a, &*arguments.b], (weights, random));
        if !arguments.distribution.is_empty() {
            return folders::sets(both, &arguments.distribution, weights, &device);
        }
        let csv = arguments.csv.as_deref();
        return folders::pairs(both, &arguments.measure, csv, weights, &device);
    }
    let (a, b) = (decode::read_photo(&arguments.a)?, decode::read_photo(&arguments.b)?);
    if arguments.measure.is_empty() {
        let found = compare::compare(&a, &b, weights, random, &device)?;
        show::rows(&found.rows);
        show::without_weights(&found.without_weights);
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
    measured.iter().for_each(|found| show::rows(&found.rows));
    if let Some(error) = too_small {
        return Err(error.into());
    }
    if let (Some(path), [found]) = (&arguments.map, &measured[..]) {
        let picture = heat_map(&found.map, a.height, a.width)?;
        picture.write_png(path)?;
        let largest = found.map.iter().copied().fold(0f32, f32::max);
        println!("{} (brightest: {largest})", path.display());
    }
    Ok(())
}
