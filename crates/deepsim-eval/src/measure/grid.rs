//! Pictures of a few test images and of their reconstructions (paper v1, Figure 3).
//!
//! Writes `RUN/eval/originals.png` and `RUN/eval/reconstructions.png`, each one row of tiles without
//! gaps. For display the mean that training subtracts is added back, and values are rounded and
//! clamped to 0..=255.

use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Crop, read_range};
use deepsim_nets::{Images, PixelFormat};
use serde::{Deserialize, Serialize};

use super::context::{Context, shown};
use super::{Measure, Opt, Row};
use crate::EvalError;

/// Pictures of reconstructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grid {
    /// Test images that are drawn.
    pub images: Vec<usize>,
}

impl Default for Grid {
    fn default() -> Self {
        Self { images: shown() }
    }
}

/// File with the originals.
pub const ORIGINALS: &str = "originals.png";

/// File with the reconstructions.
pub const RECONSTRUCTIONS: &str = "reconstructions.png";

impl Measure for Grid {
    const NAME: &'static str = "grid";
    const ABOUT: &'static str = "originals and reconstructions as PNG (paper Figure 3)";
    const OPTIONS: &'static [Opt] = &[Opt {
        key: "images",
        value: "INDEX",
        about: "test images that are drawn, by their index",
    }];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let chosen = context.shown(Self::NAME, &self.images, 1)?;
        let (side, test) = (context.side(), &*context.dataset.test.images);
        let mut pixels = Vec::new();
        for &index in &chosen {
            if index >= test.len() {
                let wanted = format!("test images below {}", test.len());
                return Err(EvalError::input("grid", wanted, index.to_string()));
            }
            pixels.extend(read_range(test, index..index + 1, Crop::Center(side))?.pixels);
        }
        let n = chosen.len();
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&pixels, n, side, side, format, context.device)?;
        let reconstructions = context.model.reconstruct(&images)?.to_u8()?;

        let folder = context.folder()?;
        for (planes, file) in [(&pixels, ORIGINALS), (&reconstructions, RECONSTRUCTIONS)] {
            grid(&[Picture::several(planes, side, side)], 0).write_png(&folder.join(file))?;
        }
        let indices: Vec<String> = chosen.iter().map(usize::to_string).collect();
        let note = format!(
            "{ORIGINALS}, {RECONSTRUCTIONS}: {side}x{side} centre crops of test images {}",
            indices.join(", ")
        );
        Ok(vec![Row::new("pictures", n as f64, "images", note)])
    }
}
