//! `deepsim sample`: pictures from the prior of a variational autoencoder, or many of one feature vector.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use deepsim_data::decode;
use deepsim_eval::features::Features;
use deepsim_eval::measure::{self, Model};
use deepsim_eval::preimages::{self, DrawOptions};
use deepsim_eval::prior::{self, SampleOptions};
use deepsim_nets::Generator;

use super::exit::Failure;
use super::locate;
use super::place::Place;
use super::show;

/// Draw pictures: of a variational autoencoder's prior, or different ones with the same features
///
/// With --like or --features, pictures that differ from one another and have the features of a photograph, or given ones,
/// by a generator that inverts features and takes noise (the recipe preimages). How far the features of each are from
/// those is written beside the pictures, in a file that ends in .json.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR", required_unless_present = "generator")]
    run: Option<PathBuf>,
    /// File of the generator, or the name of one in --weights or that comes with the project
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    generator: Option<PathBuf>,
    /// Photograph whose features the pictures are to have
    #[arg(long, value_name = "PHOTO")]
    like: Option<PathBuf>,
    /// Features that the pictures are to have, of one picture: .npy or .safetensors
    #[arg(long, value_name = "FILE", conflicts_with = "like")]
    features: Option<PathBuf>,
    /// Number of pictures [default: 64, or 16 with --like or --features]
    #[arg(short, long, value_name = "N")]
    n: Option<usize>,
    /// Pictures in a row of the grid [default: 8, or 4 with --like or --features]
    #[arg(long, value_name = "N")]
    columns: Option<usize>,
    /// Seed; the same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Redraw code values that are further from 0 than this: less variety, fewer failures
    #[arg(long, value_name = "T", conflicts_with_all = ["like", "features"])]
    truncation: Option<f64>,
    /// Deviation of the noise of each picture, 1 in training: with more, pictures differ more, e.g. 1.2
    #[arg(long, value_name = "DEVIATION")]
    noise: Option<f64>,
    /// Steps that change the noise of each picture so that its features come nearer, e.g. 10
    #[arg(long, value_name = "STEPS", num_args = 0..=1, default_missing_value = "10")]
    refine: Option<usize>,
    /// PNG file for the grid; an earlier one is replaced
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Draws, writes the grid and prints its path.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { seed, truncation, .. } = *arguments;
    if arguments.like.is_some() || arguments.features.is_some() {
        return alike(arguments);
    }
    let given = [("refine", arguments.refine.is_some()), ("noise", arguments.noise.is_some())];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        let message = format!("--{option}: expected --like or --features beside it, found neither");
        return Err(Failure::usage(message).into());
    }
    let (n, columns) = (arguments.n.unwrap_or(64), arguments.columns.unwrap_or(8));
    let options = SampleOptions { n, columns, seed, truncation };
    options.check()?;
    let (device, weights) = arguments.place.open()?;
    let model = Model::to_draw(&path(arguments, weights.as_deref())?, None, &device)?;
    if let Generator::Inverter(_) = &model.generator {
        let message = "sample: expected --like PHOTO or --features FILE for a generator that inverts features";
        return Err(Failure::usage(message).into());
    }
    let sheet = prior::sheet(prior::vae(&model, "sample")?, &options)?;
    sheet.write_png(&arguments.out)?;
    println!("{}", arguments.out.display());
    Ok(())
}

/// File or folder of the generator.
fn path(arguments: &Arguments, weights: Option<&Path>) -> Result<PathBuf> {
    match (&arguments.run, &arguments.generator) {
        (Some(run), _) => Ok(run.clone()),
        (None, Some(file)) => locate::generator(file, weights),
        (None, None) => Err(Failure::usage("--run: expected a folder, found none").into()),
    }
}

/// Draws pictures with the same features, and writes the grid and the numbers.
fn alike(arguments: &Arguments) -> Result<()> {
    let numbers = arguments.out.with_extension("json");
    if numbers == arguments.out {
        let message =
            format!("--out: expected a name that ends in .png, found {}", numbers.display());
        return Err(Failure::usage(message).into());
    }
    let (device, weights) = arguments.place.open_with_data(false)?;
    let model = Model::to_draw(&path(arguments, weights.as_deref())?, weights.as_deref(), &device)?;
    preimages::check(&model)?;
    let (tap, shape) = model.input()?;
    let features = match (&arguments.like, &arguments.features) {
        (Some(photo), _) => model.code(&model.cut(&decode::read_photo(photo)?)?.1)?,
        (None, Some(file)) => Features::read(file)?.at(&tap, &shape)?.tensor,
        (None, None) => return Err(Failure::usage("sample: expected --like or --features").into()),
    };
    if features.dims()[0] != 1 {
        let found = features.dims()[0];
        let message = format!("--features: expected those of one picture, found {found}");
        return Err(Failure::usage(message).into());
    }
    let options = DrawOptions {
        n: arguments.n.unwrap_or(16),
        seed: arguments.seed,
        noise: arguments.noise.unwrap_or(1.0),
        refine: arguments.refine.unwrap_or(0),
        ..DrawOptions::default()
    };
    let draws = preimages::draw(&model, &features, options)?;
    draws.sheet(arguments.columns.unwrap_or(4)).write_png(&arguments.out)?;
    let rows = draws.rows();
    measure::write_rows(&numbers, &rows)?;
    println!("{}", arguments.out.display());
    println!("{}", numbers.display());
    show::rows(&rows);
    Ok(())
}
