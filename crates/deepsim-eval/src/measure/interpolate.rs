//! Pictures between two images (paper v1, Figure 9): their codes, or features, are mixed linearly and
//! decoded.
//!
//! Writes `RUN/eval/interpolations.png`: a row for each pair of the grid's images, the two originals at its
//! ends.

use deepsim_data::picture::grid;
use serde::{Deserialize, Serialize};

use super::context::{Context, shown};
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::pictures;

/// Pictures between pairs of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interpolate {
    /// Test images between which pictures are drawn, two by two.
    pub images: Vec<usize>,
}

impl Default for Interpolate {
    fn default() -> Self {
        Self { images: shown() }
    }
}

/// File with the pictures.
pub const PICTURES: &str = "interpolations.png";

/// Pictures of a row, the reconstructions of both images among them.
const STEPS: usize = 7;

impl Measure for Interpolate {
    const NAME: &'static str = "interpolate";
    const ABOUT: &'static str = "images between two images (paper Figure 9)";
    const OPTIONS: &'static [Opt] =
        &[Opt { key: "images", value: "INDEX", about: "test images, two by two, by their index" }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let images = context.shown(Self::NAME, &self.images, 2)?;
        let mut rows = Vec::new();
        for pair in images.chunks_exact(2) {
            let ((first, a), (last, b)) =
                (context.test_image(pair[0])?, context.test_image(pair[1])?);
            let (a, b) = (context.model.code(&a)?, context.model.code(&b)?);
            let mut row = vec![first];
            for step in 0..STEPS {
                let t = step as f64 / (STEPS - 1) as f64;
                row.extend(pictures(&context.model.decode(&((&a * (1.0 - t))? + (&b * t)?)?)?)?);
            }
            row.push(last);
            rows.push(row);
        }
        grid(&rows, 0).write_png(&context.folder()?.join(PICTURES))?;
        let note = format!("{PICTURES}: originals at both ends, {STEPS} mixtures from 0 to 1");
        Ok(vec![Row::new("pairs", rows.len() as f64, "pairs", note)])
    }
}
