//! `deepsim invert`: a photograph of one's own through a trained generator.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use deepsim_data::decode;
use deepsim_eval::invert::{InvertOptions, NUMBERS, ORIGINAL, RECONSTRUCTION, invert};

use super::exit::{FAILED, Failure};
use super::locate::{self, DataFolders};
use super::place::Place;
use super::show;

/// Reconstruct a photograph of your own by a trained generator
#[derive(Args)]
pub(crate) struct Arguments {
    /// JPEG or PNG file of any size, rotated by its EXIF orientation, with white under transparency
    photo: PathBuf,
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// File of the generator, or the name of one in --weights or that comes with the project [default:
    /// autoencoder-alexnet-conv3]
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    generator: Option<PathBuf>,
    /// Side in pixels of the reconstruction, a multiple of 8, for an autoencoder; without a run the whole photograph is
    /// stretched to it [default: that of the run's crops, else 64]
    #[arg(long, value_name = "PIXELS")]
    side: Option<usize>,
    /// Use random weights for networks without a file
    #[arg(long)]
    random_weights: bool,
    /// Folder for original.png, reconstruction.png and numbers.json, whose earlier ones are replaced [default:
    /// PHOTO-inverted, in the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Reconstructs, writes the pictures and prints their distances.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => beside(&arguments.photo),
    };
    check_out(&out)?;
    let (device, weights) = arguments.place.open()?;
    let Arguments { random_weights, side, .. } = *arguments;
    let photo = decode::read_photo(&arguments.photo)?;
    let run = match (&arguments.run, &arguments.generator) {
        (Some(run), _) => locate::run(run)?.to_path_buf(),
        (None, Some(file)) => locate::generator(file, weights.as_deref())?,
        (None, None) => locate::default_generator()?,
    };
    let with = |weights: Option<&Path>| {
        invert(&photo, &run, &InvertOptions { weights, side, random_weights, device: &device })
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
    if out.join(NUMBERS).exists() {
        tracing::info!("{}: the results of an earlier inversion are replaced", out.display());
    }
    inverted.write(&out)?;
    println!("{}", out.display());
    show::rows(&inverted.rows);
    show::without_weights(&inverted.without_weights);
    Ok(())
}

/// Refuses a folder with a picture that an inversion would replace and none has written.
fn check_out(out: &Path) -> Result<()> {
    let names = [ORIGINAL, RECONSTRUCTION, NUMBERS];
    let found: Vec<&str> = names.into_iter().filter(|name| out.join(name).exists()).collect();
    if found.is_empty() || found.len() == names.len() {
        return Ok(());
    }
    let message = format!(
        "{}: expected a new folder, or one with the results of an earlier inversion, found {} alone, someone's or of one \
         that was stopped; remove it, or name another folder by --out",
        out.display(),
        found.join(" and ")
    );
    Err(Failure::new(FAILED, message).into())
}

/// Returns `PHOTO-inverted`, for a file `any/where/PHOTO.jpg`.
fn beside(photo: &Path) -> PathBuf {
    let mut name = photo.file_stem().unwrap_or_default().to_owned();
    name.push("-inverted");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_of_an_inversion_are_replaced() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let out = folder.path();
        check_out(&out.join("new"))?;
        check_out(out)?;
        std::fs::write(out.join(ORIGINAL), "mine")?;
        let error = check_out(out).expect_err("someone's picture").to_string();
        assert!(error.contains("found original.png alone"), "{error}");
        std::fs::write(out.join(NUMBERS), "[]")?;
        assert!(check_out(out).is_err());
        std::fs::write(out.join(RECONSTRUCTION), "ours")?;
        check_out(out)
    }
}
