//! Images of given features by a generator.

use std::path::Path;

use deepsim_data::picture::{Picture, grid};
use tracing::field::Empty;
use tracing::info_span;

use crate::EvalError;
use crate::arrays::{numbers, pictures, ranges};
use crate::features::Features;
use crate::measure::{self, Model, Row};
use crate::metrics::statistics::percent_of_norm;
use crate::optimisation_baseline::GAP;

/// Pictures on a sheet at most.
const SHOWN: usize = 64;
/// Pictures in a row of a sheet at most.
const COLUMNS: usize = 8;
/// Files that are no single pictures.
pub(crate) const SHEET: &str = "sheet";
/// File with the numbers, written last.
pub(crate) const NUMBERS: &str = "numbers.json";

/// Draws the image of each feature vector, `batch` together, and writes `NAME.png` for each, `sheet.png` with the first
/// 64, and `numbers.json` into a folder, which is created. Names are those of the pictures that features belong to, else
/// numbers.
///
/// Returns the rows of `numbers.json`: the relative distance in percent of the features of the drawn images, not
/// clipped, from the given ones. There are none if the network is not at hand.
///
/// # Errors
/// If features have another shape than the generator's input, the folder holds other pictures of these names, or a file
/// cannot be written.
pub fn generate(
    model: &Model,
    features: &Features,
    batch: usize,
    folder: &Path,
) -> Result<Vec<Row>, EvalError> {
    let (tap, shape) = model.input()?;
    let fitted = features.at(&tap, &shape)?;
    let n = fitted.tensor.dims()[0];
    let names = features.origin.file_names(n, &[SHEET]);
    check_folder(folder, &names)?;
    std::fs::create_dir_all(folder).map_err(EvalError::io("creating folder", folder))?;
    let (mut shown, mut errors) = (Vec::new(), Vec::new());
    let knows_code =
        model.encoder.is_some() || !matches!(model.generator, deepsim_nets::Generator::Inverter(_));
    let span = info_span!("drawing", total = n as u64, done = Empty).entered();
    for range in ranges(n, batch) {
        let input = fitted.tensor.narrow(0, range.start, range.len())?.to_device(model.device())?;
        let drawn = model.decode(&input)?;
        for (picture, name) in pictures(&drawn)?.into_iter().zip(&names[range.clone()]) {
            picture.write_png(&folder.join(format!("{name}.png")))?;
            if shown.len() < SHOWN {
                shown.push(picture);
            }
        }
        if knows_code {
            errors.extend(relative(
                &numbers(&input)?,
                &numbers(&model.code(&drawn)?)?,
                range.len(),
            ));
        }
        span.record("done", range.end as u64);
    }
    drop(span);
    sheet(&shown).write_png(&folder.join(format!("{SHEET}.png")))?;
    let origin = model.encoder.as_ref().map(|(net, _)| format!("; {}", net.origin()));
    let note =
        format!("of the norm of the given ones, images not clipped{}", origin.unwrap_or_default());
    let name = format!("re-encoded features, {}", model.input_space());
    let rows: Vec<Row> =
        knows_code.then(|| Row::mean(name, &errors, "%", note)).into_iter().collect();
    measure::write_rows(&folder.join(NUMBERS), &rows)?;
    Ok(rows)
}

/// Refuses a folder with a picture that `NAME.png` or the sheet would replace, and that no earlier run has written.
///
/// # Errors
/// Names the picture.
pub fn check_folder(folder: &Path, names: &[String]) -> Result<(), EvalError> {
    if folder.join(NUMBERS).exists() {
        return Ok(());
    }
    let mut files = names
        .iter()
        .map(String::as_str)
        .chain([SHEET])
        .map(|name| folder.join(format!("{name}.png")));
    files.find(|path| path.exists()).map_or(Ok(()), |path| {
        let expected = format!("a new folder, or one with {NUMBERS} of an earlier run");
        Err(EvalError::features(&path, expected, "another picture of this name"))
    })
}

/// Pictures in rows of one length.
fn sheet(shown: &[Picture]) -> Picture {
    let columns = (1..COLUMNS).find(|columns| columns * columns >= shown.len()).unwrap_or(COLUMNS);
    let rows: Vec<Vec<Picture>> = shown.chunks(columns).map(<[_]>::to_vec).collect();
    grid(&rows, GAP)
}

/// Relative distances in percent of `n` vectors from others; not finite for those that are zero.
pub(crate) fn relative(given: &[f32], found: &[f32], n: usize) -> Vec<f64> {
    let size = (given.len() / n.max(1)).max(1);
    let pairs = given.chunks_exact(size).zip(found.chunks_exact(size));
    pairs.map(|(given, found)| percent_of_norm(found, given)).collect()
}
