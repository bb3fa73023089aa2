//! Pictures of figures: one row per label.

use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_data::{Rectangle, Transform};

use deepsim_eval::measure::grid::{ORIGINALS, RECONSTRUCTIONS};
use deepsim_eval::optimisation_baseline::GAP;
use deepsim_run::files::EVAL;

use super::run::Run;
use crate::ReproduceError;
use crate::catalogue::{Pictures, Target};

/// One figure of a target.
pub(super) struct Figure {
    /// Subject, for the name of its file.
    pub(super) name: String,
    pub(super) rows: Vec<(String, Picture)>,
    /// Side of the square images that stand side by side in a row; 0 where a row is one picture.
    pub(super) tile: usize,
    pub(super) caption: &'static str,
}

/// Pixels of a row's height above which pictures on the page are half as large.
const LARGE: usize = 128;

impl Figure {
    /// Collects the figures of a target for which there are pictures.
    ///
    /// # Errors
    /// If a picture is broken, or the originals of one run are not those of another.
    pub(super) fn all(target: &Target, runs: &[&Run]) -> Result<Vec<Self>, ReproduceError> {
        let mut figures = Vec::new();
        for pictures in target.pictures {
            let mut tile = 0;
            let (name, rows, caption) = match *pictures {
                Pictures::Strips(caption) => {
                    let rows = strips(runs)?;
                    tile = rows.first().map_or(0, |(_, row)| row.height);
                    ("reconstructions", rows, caption)
                }
                Pictures::File(file, caption) => {
                    let mut rows = Vec::new();
                    for run in runs {
                        if let Some(path) = run.file(file) {
                            rows.push((run.label.clone(), Picture::read_png(&path)?));
                        }
                    }
                    (file.trim_end_matches(".png"), rows, caption)
                }
            };
            if !rows.is_empty() {
                figures.push(Self { name: name.into(), rows, tile, caption });
            }
        }
        Ok(figures)
    }

    /// The first images of a row.
    pub(super) fn few(&self, row: &Picture, images: usize) -> Picture {
        let width = row.width.min(images * self.tile);
        row.part(Rectangle { top: 0, left: 0, height: row.height, width })
    }

    /// Joins the rows into one picture, in full size; small ones twice as large.
    pub(super) fn whole(&self) -> Picture {
        let width = self.rows.iter().map(|(_, row)| row.width).max().unwrap_or(0);
        let height = self.rows.iter().map(|(_, row)| row.height).sum();
        let mut whole = Picture::new(height, width, [255; 3]);
        let mut top = 0;
        for (_, row) in &self.rows {
            whole.paste(row, top, 0);
            top += row.height;
        }
        if self.rows.iter().any(|(_, row)| row.height > LARGE) { whole } else { whole.upscale(2) }
    }
}

/// A row as the page shows it.
///
/// # Errors
/// If it is empty.
pub(super) fn for_page(row: &Picture) -> Result<Picture, ReproduceError> {
    match row.height {
        0..=LARGE => Ok(row.upscale(2)),
        _ => Ok(Transform::stretch(row.height / 2, row.width / 2).apply(row)?),
    }
}

/// The originals above what each run made of them, as many as all runs have.
fn strips(runs: &[&Run]) -> Result<Vec<(String, Picture)>, ReproduceError> {
    let mut rows: Vec<(String, Picture)> = Vec::new();
    let mut tile = 0;
    for run in runs {
        let strip = match &run.row_of_pictures {
            Some(path) if tile > 0 => without_gaps(path, tile)?,
            Some(_) => continue,
            None => {
                let Some((originals, reconstructions)) = run.strips()? else { continue };
                match rows.first() {
                    None => {
                        tile = originals.height;
                        rows.push(("image".into(), originals));
                    }
                    Some((_, first)) if *first != originals => {
                        let expected = "the same test images as in the other runs";
                        let path = run.run.path.join(EVAL).join(ORIGINALS);
                        return Err(ReproduceError::content(&path, expected, "other ones"));
                    }
                    Some(_) => {}
                }
                reconstructions
            }
        };
        rows.push((run.label.clone(), strip));
    }
    let shortest = rows.iter().map(|(_, row)| row.width).min().unwrap_or(0);
    let cut = |(label, row): (String, Picture)| {
        let part = Rectangle { top: 0, left: 0, height: row.height, width: shortest };
        (label, row.part(part))
    };
    Ok(rows.into_iter().map(cut).collect())
}

/// A row of square pictures of `side` pixels that was written with gaps.
fn without_gaps(path: &Path, side: usize) -> Result<Picture, ReproduceError> {
    let row = Picture::read_png(path)?;
    let n = (row.width + GAP) / (side + GAP);
    if row.height != side || n == 0 {
        let expected = format!("pictures of {side}x{side} as in {RECONSTRUCTIONS} of the runs");
        let found = format!("{}x{}", row.width, row.height);
        return Err(ReproduceError::content(path, expected, found));
    }
    let mut joined = Picture::new(side, n * side, [255; 3]);
    for index in 0..n {
        let part = Rectangle { top: 0, left: index * (side + GAP), height: side, width: side };
        joined.paste(&row.part(part), 0, index * side);
    }
    Ok(joined)
}
