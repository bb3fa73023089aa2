//! The training images that are nearest to test images (paper, supplement): whether a generator does more
//! than call up what it was trained on.
//!
//! Writes `RUN/eval/neighbours.png`: the originals, the training images nearest to them in image space and
//! by their codes (for a generator that inverts an encoder, the inverted features), and the
//! reconstructions. The rows compare the distance of a reconstruction from its original with that of the
//! nearest training image: below 100 %, nothing that was seen in training is as close.

use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, read_range};
use serde::{Deserialize, Serialize};

use super::context::{Context, shown};
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::{numbers, pictures};
use crate::metrics::statistics::euclidean_distance;

/// Nearest neighbours in the training set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Neighbours {
    /// Test images whose neighbours are drawn.
    pub images: Vec<usize>,
    /// Number of training images to search, from the first on; all if `None`.
    pub train_images: Option<usize>,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { images: shown(), train_images: None }
    }
}

/// File with the pictures.
pub const PICTURES: &str = "neighbours.png";

/// A test image in one space, and the training image that is nearest so far.
struct Search {
    wanted: Vec<f32>,
    distance: f64,
    index: usize,
}

impl Search {
    fn new(wanted: Vec<f32>) -> Self {
        Self { wanted, distance: f64::INFINITY, index: 0 }
    }

    fn offer(&mut self, candidate: &[f32], index: usize) {
        let distance = euclidean_distance(&self.wanted, candidate);
        if distance < self.distance {
            (self.distance, self.index) = (distance, index);
        }
    }
}

impl Measure for Neighbours {
    const NAME: &'static str = "neighbours";
    const ABOUT: &'static str = "nearest training images (paper, supplement)";
    const OPTIONS: &'static [Opt] = &[
        Opt { key: "images", value: "INDEX", about: "test images that are drawn, by their index" },
        Opt {
            key: "train_images",
            value: "N",
            about: "only the first so many training images, where the nearest are looked for; else all",
        },
    ];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.shown(Self::NAME, &self.images, 1)?;
        let model = context.model;
        let crop = Crop::Center(context.side());
        let training = &context.dataset.unlabeled;
        let n = self.train_images.map_or(training.len(), |n| n.min(training.len()));
        if n == 0 {
            return Err(EvalError::input("neighbours", "one training image or more", "none"));
        }
        // In each space, one search for each image; and how far its reconstruction is.
        let mut searches: [Vec<Search>; 2] = Default::default();
        let mut reconstructed: [Vec<f64>; 2] = Default::default();
        let mut sheet: Vec<Vec<Picture>> = vec![Vec::new(); 4];
        for &index in &images {
            let (original, image) = context.test_image(index)?;
            let code = model.code(&image)?;
            let drawn = model.decode(&code)?;
            let spaces = [(image.tensor(), drawn.tensor()), (&code, &model.code(&drawn)?)];
            for (space, (wanted, got)) in spaces.into_iter().enumerate() {
                let (wanted, got) = (numbers(wanted)?, numbers(got)?);
                reconstructed[space].push(euclidean_distance(&wanted, &got));
                searches[space].push(Search::new(wanted));
            }
            sheet[3].extend(pictures(&drawn)?);
            sheet[0].push(original);
        }
        context.batches("nearest training images", training, n, crop, |batch, images| {
            let codes = numbers(&model.code(images)?)?;
            for (values, searches) in [numbers(images.tensor())?, codes].iter().zip(&mut searches) {
                let candidates = values.chunks_exact(values.len() / batch.n);
                for (candidate, sample) in candidates.zip(&batch.samples) {
                    searches.iter_mut().for_each(|search| search.offer(candidate, sample.index));
                }
            }
            Ok(())
        })?;
        for (searches, row) in searches.iter().zip(&mut sheet[1..3]) {
            for search in searches {
                let found = read_range(&**training, search.index..search.index + 1, crop)?;
                row.push(Picture::from_planes(&found.pixels, found.height, found.width));
            }
        }
        grid(&sheet, 0).write_png(&context.folder()?.join(PICTURES))?;

        let spaces = ["image space", "code"].into_iter().zip(searches).zip(reconstructed);
        let row = |((space, searches), reconstructed): ((_, Vec<Search>), Vec<f64>)| {
            let shares =
                reconstructed.iter().zip(&searches).map(|(own, s)| 100.0 * own / s.distance);
            let note = format!(
                "distance of the reconstruction over that of the nearest of {n} training images{}; \
                 {PICTURES}; spread over images",
                equal(&searches)
            );
            let name = format!("of the nearest training image, {space}");
            Row::mean(name, &shares.collect::<Vec<_>>(), "%", note)
        };
        Ok(spaces.map(row).collect())
    }
}

/// The number of test images that are equal to a training image, whose share is not finite.
fn equal(searches: &[Search]) -> String {
    match searches.iter().filter(|search| search.distance == 0.0).count() {
        0 => String::new(),
        n => format!(", to which {n} of {} test images are equal", searches.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_kept_and_the_first_of_equals() {
        let mut search = Search::new(vec![1.0, 2.0]);
        for (index, candidate) in
            [[5.0, 2.0], [1.0, 3.0], [2.0, 2.0], [9.0, 9.0]].iter().enumerate()
        {
            search.offer(candidate, index);
        }
        assert_eq!((search.index, search.distance), (1, 1.0));
    }
}
