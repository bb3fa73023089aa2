//! Reconstructions of reconstructions (paper v1, Figure 8): each is encoded and decoded again, unclipped.
//!
//! Writes `RUN/eval/reencodings.png`: the originals, and what they are after 1, 2, 4 and 8 rounds. The rows
//! are normalised errors against the originals: how fast pictures drift away.

use deepsim_data::picture::{Picture, grid};
use deepsim_nets::Images;
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::{Context, SHOWN};
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::{numbers, pictures};
use crate::metrics::euclidean::mean_pair_distance;
use crate::metrics::statistics::euclidean_distance;

/// Errors after several rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reencode {
    /// Number of test images that are drawn, the first of all.
    pub shown: usize,
}

impl Default for Reencode {
    fn default() -> Self {
        Self { shown: SHOWN }
    }
}

/// File with the pictures.
pub const PICTURES: &str = "reencodings.png";

/// Rounds that the paper shows.
const ROUNDS: [usize; 4] = [1, 2, 4, 8];

impl Measure for Reencode {
    const NAME: &'static str = "reencode";
    const ABOUT: &'static str = "errors and images after 1, 2, 4 and 8 rounds (paper Figure 8)";
    const OPTIONS: &'static [Opt] =
        &[Opt { key: "shown", value: "N", about: "number of test images that are drawn" }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let (images, side) = (context.reconstructions()?, context.side());
        let mut sheet: Vec<Vec<Picture>> = vec![Vec::new(); 1 + ROUNDS.len()];
        let mut distances = [const { (Vec::new(), Vec::new()) }; ROUNDS.len()];
        let (mut pixels, mut codes) = (Vec::new(), Vec::new());
        let total = images.len() as u64;
        let span = info_span!("re-encoding", total, done = Empty).entered();
        for range in images.ranges() {
            let n = range.len();
            let (original, first) = images.images(range.clone())?;
            let code = numbers(&context.model.code(&original)?)?;
            let original_pixels = numbers(original.tensor())?;
            show(&mut sheet[0], &original, self.shown)?;
            let mut image = first;
            for round in 1..=ROUNDS[ROUNDS.len() - 1] {
                if round > 1 {
                    image = context.model.reconstruct(&image)?;
                }
                let Some(place) = ROUNDS.iter().position(|wanted| *wanted == round) else {
                    continue;
                };
                show(&mut sheet[1 + place], &image, self.shown)?;
                let (of_pixels, of_codes) = &mut distances[place];
                each(&original_pixels, &numbers(image.tensor())?, n, of_pixels);
                each(&code, &numbers(&context.model.code(&image)?)?, n, of_codes);
            }
            pixels.extend(original_pixels);
            codes.extend(code);
            span.record("done", range.end as u64);
        }
        drop(span);
        grid(&sheet, 0).write_png(&context.folder()?.join(PICTURES))?;

        let seed = context.sampling.seed;
        let normaliser = |samples: &mut Vec<f32>| {
            let dimensions = samples.len() / images.len().max(1);
            mean_pair_distance(samples, dimensions, seed)
        };
        let (in_pixels, in_codes) = (normaliser(&mut pixels)?, normaliser(&mut codes)?);
        let mut rows = Vec::new();
        for (space, pairs) in [("image space", in_pixels), ("code", in_codes)] {
            for (round, (of_pixels, of_codes)) in ROUNDS.iter().zip(&distances) {
                let distances = if space == "code" { of_codes } else { of_pixels };
                let note = format!("{pairs}; {side}x{side} centre crops; {PICTURES}; unclipped");
                let name = format!("{space} after {round}");
                rows.push(Row::normalised(name, distances, &pairs, note));
            }
        }
        Ok(rows)
    }
}

/// Adds pictures until there are as many as are shown.
fn show(row: &mut Vec<Picture>, images: &Images, shown: usize) -> Result<(), EvalError> {
    if row.len() < shown {
        row.extend(pictures(images)?.into_iter().take(shown - row.len()));
    }
    Ok(())
}

/// Adds the distances of `n` pairs.
fn each(a: &[f32], b: &[f32], n: usize, distances: &mut Vec<f64>) {
    let size = a.len() / n.max(1);
    let pairs = a.chunks_exact(size).zip(b.chunks_exact(size));
    distances.extend(pairs.map(|(a, b)| euclidean_distance(a, b)));
}
