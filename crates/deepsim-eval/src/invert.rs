//! Reconstruction of one photograph by a trained generator.

use std::path::Path;

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_nets::WeightsOrigin;

use crate::measure::{self, Model, Row, Space};
use crate::{EvalError, compare};

/// File with the part of the photograph that is reconstructed.
pub const ORIGINAL: &str = "original.png";
/// File with the reconstruction.
pub const RECONSTRUCTION: &str = "reconstruction.png";
/// File with their distances, written last.
pub const NUMBERS: &str = "numbers.json";

/// Weights and device of [`invert`].
#[derive(Clone, Copy, Debug)]
pub struct InvertOptions<'a> {
    /// Folder with the weights of the inverted network and of those that judge.
    pub weights: Option<&'a Path>,
    /// Side in pixels of the reconstruction, a multiple of 8, which only an autoencoder can choose; that of the run's training
    /// crops, else 64, if `None`. Without a run the whole photograph is stretched to it.
    pub side: Option<usize>,
    /// Lets networks take random weights where there is no file.
    pub random_weights: bool,
    /// Device to compute on.
    pub device: &'a Device,
}

/// A photograph, its reconstruction and their distances.
#[derive(Clone, Debug, PartialEq)]
pub struct Inverted {
    /// The part of the photograph that the generator reconstructs.
    pub original: Picture,
    /// The reconstruction.
    pub reconstruction: Picture,
    /// Distances between the two.
    pub rows: Vec<Row>,
    /// Feature spaces that were not compared in because no weights were found.
    pub without_weights: Vec<Space>,
}

/// Reconstructs a photograph by the generator of a run folder, or of a weight file.
///
/// # Errors
/// As [`Model::open`], if the inverted network has no weights and `random_weights` is not set, or if
/// weights do not fit, or the generator is not for images of this side.
pub fn invert(
    photo: &Picture,
    run: &Path,
    options: &InvertOptions<'_>,
) -> Result<Inverted, EvalError> {
    let InvertOptions { weights, side, random_weights: random, device } = *options;
    let mut model = Model::open(run, weights, device)?;
    if let Some(side) = side {
        model.set_side(side)?;
    }
    let planned = run.join("plan.toml").exists();
    if let Some((net, _)) = model.encoder.as_ref().filter(|_| !random && !planned)
        && matches!(net.origin(), WeightsOrigin::Random(_))
    {
        let wanted = format!("weights of {} in --weights, or --random-weights", net.name());
        return Err(EvalError::input("invert", wanted, "none"));
    }
    let (original, image) = model.cut(photo)?;
    let drawn = model.reconstruct(&image)?;
    let reconstruction = Picture::from_planes(&drawn.to_u8()?, original.height, original.width);

    let compared = compare::compare(&original, &reconstruction, weights, random, device)?;
    let mut rows = compared.rows;
    if let Some((net, tap)) = &model.encoder {
        // The generator's own values, not clipped.
        let row = compare::relative_distance(&**net, tap, &image, &drawn)?;
        rows.insert(0, Row { name: format!("inverted features, {}", row.name), ..row });
    }
    Ok(Inverted { original, reconstruction, rows, without_weights: compared.without_weights })
}

impl Inverted {
    /// Writes `original.png`, `reconstruction.png` and `numbers.json` into a folder, which is created.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EvalError> {
        std::fs::create_dir_all(folder).map_err(EvalError::io("creating folder", folder))?;
        // Pictures of two inversions are never told as those of one.
        match std::fs::remove_file(folder.join(NUMBERS)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EvalError::io("removing", &folder.join(NUMBERS))(error));
            }
            _ => {}
        }
        self.original.write_png(&folder.join(ORIGINAL))?;
        self.reconstruction.write_png(&folder.join(RECONSTRUCTION))?;
        measure::write_rows(&folder.join(NUMBERS), &self.rows)
    }
}
