//! `deepsim generate`: pictures of given features by a generator.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use deepsim_eval::features::Features;
use deepsim_eval::generate::generate;
use deepsim_eval::measure::Model;

use super::locate;
use super::place::Place;
use super::show;

/// Draw pictures of features of your own by a generator
///
/// Features are those that the generator inverts, of photographs (deepsim features) or decoded from anything else, or the
/// codes of an autoencoder. Writes NAME.png for each, sheet.png with the first 64, and numbers.json: how far the features
/// of the pictures are from the given ones, where the network's weights are found.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR", required_unless_present = "generator")]
    run: Option<PathBuf>,
    /// File of the generator, or the name of one in --weights or that comes with the project, e.g. generator-fc6 that deepsim
    /// import has written
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    generator: Option<PathBuf>,
    /// Features: .npy of shape (n, ...), or .safetensors with a tensor of the tap's name. In other shapes with as many
    /// numbers for a picture they are reshaped
    #[arg(long, value_name = "FILE")]
    features: PathBuf,
    /// Folder for pictures and numbers
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Pictures that are drawn together; changes the speed only
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    #[command(flatten)]
    place: Place,
}

/// Draws, and prints the folder and the numbers.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (device, weights) = arguments.place.open_with_data(false)?;
    let weights = weights.as_deref();
    let generator = arguments.run.as_ref().or(arguments.generator.as_ref());
    let path = locate::generator(generator.map_or(Path::new(""), PathBuf::as_path), weights)?;
    let features = Features::read(&arguments.features)?;
    let model = Model::to_draw(&path, weights, &device)?;
    let rows = generate(&model, &features, arguments.batch, &arguments.out)?;
    println!("{}", arguments.out.display());
    show::rows(&rows);
    if rows.is_empty() {
        println!(
            "not measured, no weights found: {}; name their folder with --weights DIR",
            model.input_space()
        );
    }
    Ok(())
}
