//! Sampling pre-images (paper v1, the end of section 4.3): the difference that noise beside the features
//! makes in the images that belong to them. In the paper it makes none.
//!
//! Writes `RUN/eval/presamples.png`: in each row an image of the grid, and images that the generator draws
//! from its features with different noise. The rows say how far those are from one another, against how
//! far the generator's images of different inputs are: 0 % if noise changes nothing, 100 % if it changes as
//! much as another input does.

use candle_core::Tensor;
use deepsim_data::picture::grid;
use serde::{Deserialize, Serialize};
use tracing::field::Empty;
use tracing::info_span;

use super::context::{Context, shown};
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::{numbers, pictures};
use crate::metrics::statistics::{euclidean_distance, mean_and_spread};

/// Diversity of the images of one feature vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presamples {
    /// Test images whose features are drawn from.
    pub images: Vec<usize>,
}

impl Default for Presamples {
    fn default() -> Self {
        Self { images: shown() }
    }
}

/// File with the pictures.
pub const PICTURES: &str = "presamples.png";

/// Images that are drawn for each feature vector.
const DRAWS: usize = 8;

/// Images, as the numbers of each in one space.
type Images = Vec<Vec<f32>>;

impl Measure for Presamples {
    const NAME: &'static str = "presamples";
    const ABOUT: &'static str =
        "differences that noise makes in images of one feature vector (paper section 4.3)";
    const OPTIONS: &'static [Opt] = &[Opt {
        key: "images",
        value: "INDEX",
        about: "test images whose features are drawn from, by their index",
    }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let (model, seed) = (context.model, context.sampling.seed);
        let Some((encoder, tap)) =
            model.encoder.as_ref().filter(|_| matches!(model.noise(1, seed, 0), Ok(Some(_))))
        else {
            let wanted = "a generator that takes noise (`inversion.noise`)";
            return Err(EvalError::input("presamples", wanted, "one without"));
        };
        let (mut sheet, mut in_pixels, mut in_features) = (Vec::new(), Vec::new(), Vec::new());
        let images = context.shown(Self::NAME, &self.images, 2)?;
        let total = images.len() as u64;
        let span = info_span!("sampling pre-images", total, done = Empty).entered();
        for (done, &index) in images.iter().enumerate() {
            let (original, image) = context.test_image(index)?;
            let code = model.code(&image)?;
            let codes = Tensor::cat(&[&code; DRAWS], 0)?;
            let drawn = model.draw(&codes, model.noise(DRAWS, seed, index as u64)?.as_ref())?;
            in_pixels.push(each(drawn.tensor())?);
            in_features.push(each(&encoder.features(&drawn, tap)?)?);
            sheet.push([vec![original], pictures(&drawn)?].concat());
            span.record("done", done as u64 + 1);
        }
        grid(&sheet, 0).write_png(&context.folder()?.join(PICTURES))?;
        let feature_space = format!("{} {tap} feature space", encoder.name());
        [("image space", in_pixels), (&*feature_space, in_features)]
            .into_iter()
            .map(|(space, images)| diversity(space, &images))
            .collect()
    }
}

fn each(tensor: &Tensor) -> Result<Images, EvalError> {
    let values = numbers(tensor)?;
    let size = values.len() / tensor.dims()[0].max(1);
    Ok(values.chunks_exact(size).map(<[f32]>::to_vec).collect())
}

/// Mean distance of all pairs.
fn mean_distance(images: &[&Vec<f32>]) -> f64 {
    let pairs = images
        .iter()
        .enumerate()
        .flat_map(|(i, a)| images[..i].iter().map(move |b| euclidean_distance(a, b)));
    mean_and_spread(&pairs.collect::<Vec<_>>()).0
}

/// Returns the mean distance of images of one feature vector, in percent of that of images of different
/// ones. `images` are those of each feature vector.
fn diversity(space: &str, images: &[Images]) -> Result<Row, EvalError> {
    if images.len() < 2 {
        let got = images.len().to_string();
        return Err(EvalError::input("presamples", "two images of the grid or more", got));
    }
    let between = mean_distance(&images.iter().map(|of_one| &of_one[0]).collect::<Vec<_>>());
    let within = images.iter().map(|of_one| mean_distance(&of_one.iter().collect::<Vec<_>>()));
    let shares: Vec<f64> = within.map(|within| 100.0 * within / between).collect();
    let note = format!(
        "mean distance of {DRAWS} images of one feature vector over that of images of {} different \
         ones, {between:.4}; unclipped; {PICTURES}; spread over feature vectors",
        images.len()
    );
    let name = format!("diversity, {space}");
    if between == 0.0 {
        return Ok(Row::undefined(name, "%", "images of different ones are equal", note));
    }
    Ok(Row::mean(name, &shares, "%", note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diversity_is_relative_to_that_of_other_inputs() -> Result<(), EvalError> {
        // Two inputs 10 apart; the images of the first differ by 1, those of the second by nothing.
        let images = [vec![vec![0.0], vec![1.0]], vec![vec![10.0], vec![10.0]]];
        let row = diversity("image space", &images)?;
        assert_eq!((row.value, row.spread), (Some(5.0), Some(5.0)));
        assert!(diversity("image space", &images[..1]).is_err());
        // A generator that draws one image whatever it is given.
        let same = diversity("image space", &[vec![vec![3.0]; 2], vec![vec![3.0]; 2]])?;
        assert_eq!(same.value, None);
        assert!(same.note.starts_with("images of different ones are equal; "), "{}", same.note);
        Ok(())
    }
}
