//! Draws a sheet of surrogate classes: a row for each class, its seed first, then deformations.
//!
//!   cargo run --release -p deepsim-data --example exemplar_sheet -- sheet.png [STL10_FOLDER]
//!
//! Without a folder, on procedural scenes.

use std::path::Path;

use deepsim_data::exemplars::{ExemplarConfig, Exemplars, PATCH};
use deepsim_data::picture::{Picture, grid};
use deepsim_data::{DataError, Dataset, Source};

const CLASSES: usize = 16;
const DEFORMATIONS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, folder @ ..] = arguments.as_slice() else {
        return Err("usage: exemplar_sheet OUT.png [STL10_FOLDER]".into());
    };
    let pictures = Dataset::open(folder.first().map(Path::new), 0)?.unlabeled;
    let config = ExemplarConfig { classes: CLASSES, deformations: 150, seed: 0 };
    let patches = Exemplars::new(pictures.clone(), config)?;
    let mut rows = Vec::new();
    for (class, seed) in patches.seeds().iter().enumerate() {
        let mut picture = vec![0; 3 * pictures.height() * pictures.width()];
        pictures.read(seed.picture, &mut picture)?;
        let whole = Picture::from_planes(&picture, pictures.height(), pictures.width());
        let mut row = vec![marked(whole, seed.row, seed.column, seed.side)];
        for index in patches.members(class).take(DEFORMATIONS) {
            let mut planes = vec![0; 3 * PATCH * PATCH];
            patches.read(index, &mut planes)?;
            row.push(Picture::from_planes(&planes, PATCH, PATCH).upscale(3));
        }
        rows.push(row);
    }
    let written: Result<(), DataError> = grid(&rows, 3).write_png(Path::new(out));
    Ok(written?)
}

/// A picture with a red frame around the seed.
fn marked(mut picture: Picture, row: f32, column: f32, side: f32) -> Picture {
    let edge = |at: f32, length: usize| (at.round().max(0.0) as usize).min(length - 1);
    let (top, bottom) =
        (edge(row - side / 2.0, picture.height), edge(row + side / 2.0, picture.height));
    let (left, right) =
        (edge(column - side / 2.0, picture.width), edge(column + side / 2.0, picture.width));
    let dot = Picture::new(1, 1, [255, 0, 0]);
    (left..=right).for_each(|x| [top, bottom].into_iter().for_each(|y| picture.paste(&dot, y, x)));
    (top..=bottom).for_each(|y| [left, right].into_iter().for_each(|x| picture.paste(&dot, y, x)));
    picture
}
