//! `deepsim invert`: a photograph of one's own through a trained generator.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use deepsim_data::decode;
use deepsim_eval::invert::{InvertOptions, invert};

use super::locate::DataFolders;
use super::place::Place;
use super::show;

/// Reconstruct a photograph of your own by a trained generator
#[derive(Args)]
pub(crate) struct Arguments {
    /// JPEG or PNG file of any size, rotated by its EXIF orientation, with white under transparency
    photo: PathBuf,
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Use random weights for networks without a file
    #[arg(long)]
    random_weights: bool,
    /// Folder for original.png, reconstruction.png and numbers.json [default: PHOTO-inverted, in the
    /// current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Reconstructs, writes the pictures and prints their distances.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (device, weights) = arguments.place.open()?;
    let random_weights = arguments.random_weights;
    let photo = decode::read_photo(&arguments.photo)?;
    let with = |weights: Option<&Path>| {
        invert(&photo, &arguments.run, &InvertOptions { weights, random_weights, device: &device })
    };
    let mut result = with(weights.as_deref());
    if result.is_err()
        && weights.is_none()
        && !random_weights
        && let Some(found) = DataFolders::new().find("weights")
    {
        // Some runs cannot do without weights.
        result = with(Some(&found));
    }
    let inverted = result?;
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => beside(&arguments.photo),
    };
    inverted.write(&out)?;
    println!("{}", out.display());
    show::rows(&inverted.rows);
    show::without_weights(&inverted.without_weights);
    Ok(())
}

/// Returns `PHOTO-inverted`, for a file `any/where/PHOTO.jpg`.
fn beside(photo: &Path) -> PathBuf {
    let mut name = photo.file_stem().unwrap_or_default().to_owned();
    name.push("-inverted");
    PathBuf::from(name)
}
