//! `deepsim features`: features of photographs as a file, and their statistics.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_eval::comparators;
use deepsim_eval::features::{Features, Statistics, View, extract, photos};
use deepsim_nets::ComparatorKind;

use super::exit::Failure;
use super::place::Place;

/// Write the features of photographs to a file: what generate and optimise take
///
/// A .npy file holds one tap, (n, channels, height, width) or (n, numbers); a .safetensors file several, by their names,
/// with the network and the names of the pictures. Rows are in the order of the arguments, those of a folder in that of
/// their names.
#[derive(Args)]
pub(crate) struct Arguments {
    /// JPEG or PNG files, rotated by their EXIF orientation, or folders of them
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The network: a name, e.g. alexnet, or the path of a description that ends in .toml
    #[arg(long, value_name = "NET", default_value = "alexnet")]
    net: ComparatorKind,
    /// Taps, e.g. CONV3,CONV5
    #[arg(long, value_name = "TAP", required = true, value_delimiter = ',')]
    tap: Vec<String>,
    /// File for the features
    #[arg(
        long,
        short,
        value_name = "FILE.npy|.safetensors",
        required_unless_present = "statistics"
    )]
    out: Option<PathBuf>,
    /// File for least and greatest value, mean and deviation of each feature, which optimise takes as --bounds
    #[arg(long, value_name = "FILE.safetensors")]
    statistics: Option<PathBuf>,
    /// Statistics of channels, over all positions, in place of single features
    #[arg(long, requires = "statistics")]
    per_channel: bool,
    /// Side that photographs are stretched to; 64, as --crop, for generators of 64 pixels
    #[arg(long, value_name = "PIXELS", default_value_t = View::default().resize)]
    resize: usize,
    /// Side of the middle that is taken of them
    #[arg(long, value_name = "PIXELS", default_value_t = View::default().crop)]
    crop: usize,
    /// Photographs that go through the network together; changes the speed only
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Use random weights where there is no file
    #[arg(long)]
    random_weights: bool,
    #[command(flatten)]
    place: Place,
}

/// Takes features, and prints each file that was written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { net, tap, random_weights: random, .. } = arguments;
    check_outputs(arguments)?;
    let (device, weights) = arguments.place.open_with_data(*random)?;
    let net =
        comparators::open_to_taps("features", net, tap, weights.as_deref(), *random, &device)?;
    let photos = photos(&arguments.photos)?;
    let view = View { resize: arguments.resize, crop: arguments.crop };
    let features = extract(&*net, tap, &photos, view, arguments.batch, &device)?;
    println!("{} photographs {view}, {}, {}", photos.len(), net.name(), net.origin());
    if let Some(path) = &arguments.out {
        features.write(path)?;
        for (tap, tensor) in features.tensors() {
            println!("  {tap}  {:?}", tensor.dims());
        }
        println!("{}", path.display());
    }
    if let Some(path) = &arguments.statistics {
        let of = |(tap, tensor)| Statistics::of(tap, tensor, arguments.per_channel);
        let all = features.tensors().map(of).collect::<Result<Vec<_>, _>>()?;
        Statistics::write(&all, path)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Refuses, before any work, what could not be written after it.
fn check_outputs(arguments: &Arguments) -> Result<()> {
    let Arguments { tap, out, statistics, .. } = arguments;
    let refuse = |message: String| Err(Failure::usage(message).into());
    if let Some(twice) = tap.iter().enumerate().find(|(at, name)| tap[..*at].contains(name)) {
        return refuse(format!("--tap: expected distinct taps, found {} twice", twice.1));
    }
    if let Some(path) = out {
        Features::check_path(path, tap.len())?;
    }
    if let Some(path) = statistics
        && path.extension().is_none_or(|ending| ending != "safetensors")
    {
        let path = path.display();
        return refuse(format!("{path}: expected a name that ends in .safetensors for statistics"));
    }
    if out.is_some() && out == statistics {
        return refuse("--statistics: expected another file than --out, found the same".into());
    }
    for path in out.iter().chain(statistics) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return refuse(format!("{}: expected a folder, found none", folder.display()));
        }
    }
    Ok(())
}
