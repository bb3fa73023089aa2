//! Configurations of networks that invert features, and their tables.

use serde::{Deserialize, Serialize};

use super::small;
use crate::layers::{Layer, Op};
use crate::released::{REACHED, STAGES, connected, reduced, upconvolutions};
use crate::spec::Spec;
use crate::{ComparatorKind, GeneratorKind, NetError, Pass};

/// Features to invert, and the variant of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InverterConfig {
    /// The network whose features are inverted.
    pub encoder: ComparatorKind,
    /// The layer, in the paper's names: CONV5, FC6, ...
    pub tap: String,
    /// Shape of the features of one image: `[4096]`, `[256, 6, 6]`, ...
    pub features: Vec<usize>,
    /// Side of the images that the features belong to. The network's output is larger, and its middle is
    /// the image: in the paper 227 of 256 pixels.
    pub side: usize,
    /// Leaves out the 3x3 convolutions between up-convolutions, as in Dosovitskiy & Brox (2015).
    #[serde(default)]
    pub plain: bool,
    /// The small network, for machines without a GPU ([`small`](super::small)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub small: bool,
    /// Channels of noise from N(0, 1) that are joined to the features (paper v1, "Sampling pre-images").
    #[serde(default)]
    pub noise: usize,
    /// Numbers from N(0, 1) that are joined to the features, each the same at all positions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub global_noise: usize,
    /// Channels of noise from N(0, 1) that are joined to the maps before each up-convolution of the small network.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stage_noise: usize,
    /// Numbers by which the channels of the features are divided, one for each; none if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scale: Vec<f32>,
    /// Seed of the encoder's weights if they are random.
    #[serde(default)]
    pub seed: u64,
}

impl InverterConfig {
    /// Configuration of the authors' network, or the analogous one, for features of this shape of images of `side`
    /// pixels: without noise.
    pub fn new(encoder: ComparatorKind, tap: &str, features: &[usize], side: usize) -> Self {
        Self {
            encoder,
            tap: tap.into(),
            features: features.into(),
            side,
            plain: false,
            small: false,
            noise: 0,
            global_noise: 0,
            stage_noise: 0,
            scale: Vec::new(),
            seed: 0,
        }
    }

    /// Configuration of a network that the authors released; `deepsim import` writes it with the weights.
    pub fn released(kind: GeneratorKind) -> Self {
        Self::new(ComparatorKind::caffenet(), kind.tap(), kind.features(), 227)
    }

    /// JSON description for the metadata of a weight file, with what
    /// [`Generator::load`](crate::Generator::load) reads.
    pub fn spec(&self) -> String {
        Spec::Inverter(self.clone()).to_json()
    }

    /// True if the network of another configuration is this one with less noise, whose channels come first among this one's.
    pub(crate) fn has_more_noise_than(&self, other: &Self) -> bool {
        let Self { noise, global_noise, stage_noise, .. } = *other;
        let without = *other == Self { noise, global_noise, stage_noise, ..self.clone() };
        let leading = match noise + global_noise {
            0 => true,
            _ => noise == self.noise && global_noise <= self.global_noise,
        };
        without && leading && stage_noise <= self.stage_noise && self != other
    }

    /// Cost of one pass over the features of one image.
    ///
    /// # Errors
    /// If there is no network for features of this shape.
    pub fn cost(&self) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        for part in self.parts()? {
            let own = &part.input;
            match pass.layers.is_empty() {
                true => pass.begin(&part.rows, "", own)?,
                false => pass.extend(&part.rows, "", own)?,
            };
        }
        Ok(pass)
    }

    /// The network in parts, before each of which noise joins the maps: one part, unless there is noise at every
    /// stage.
    pub(super) fn parts(&self) -> Result<Vec<Part>, NetError> {
        let table = self.table()?;
        let mut input = self.features.clone();
        let Some(channels) = input.first_mut() else {
            return Err(self.wrong("features (C) or square maps (C, S, S)"));
        };
        *channels += self.noise + self.global_noise;
        if self.stage_noise == 0 {
            return Ok(vec![Part { rows: table, input }]);
        }
        if !self.small {
            return Err(self.wrong("`small` for noise at every stage"));
        }
        let ends = |row: &Layer| matches!(row.op, Op::UpConv(conv) if conv.stride == 2);
        let starts: Vec<usize> = (0..table.len()).filter(|row| ends(&table[*row])).collect();
        let mut parts = Vec::with_capacity(starts.len() + 1);
        let mut from = 0;
        for until in starts.into_iter().chain([table.len()]) {
            let part = Part { rows: table[from..until].to_vec(), input: input.clone() };
            input = Pass::default().begin(&part.rows, "", &part.input)?;
            input[0] += self.stage_noise;
            parts.push(part);
            from = until;
        }
        Ok(parts)
    }

    /// Numbers of noise for one image: those joined to the features, the global ones, and those of each stage.
    pub(super) fn numbers(&self, parts: &[Part]) -> Vec<usize> {
        let positions = |shape: &[usize]| shape[1..].iter().product::<usize>();
        let beside = self.noise * positions(&self.features);
        let stages = parts[1..].iter().map(|part| self.stage_noise * positions(&part.input));
        [beside, self.global_noise].into_iter().chain(stages).collect()
    }

    /// Side of what the network draws: 256 for images of 227, else the next power of two.
    fn canvas(&self) -> usize {
        self.side.next_power_of_two()
    }

    /// The released network of this shape.
    fn layout(&self) -> Option<GeneratorKind> {
        use GeneratorKind::{Conv3, Norm1, Norm2, Pool5};
        let shaped = |kind: &GeneratorKind| kind.features() == self.features;
        let kind = [Norm1, Norm2, Conv3, Pool5].into_iter().find(shaped)?;
        (self.side == 227).then_some(kind)
    }

    pub(super) fn table(&self) -> Result<Vec<Layer>, NetError> {
        if !self.scale.is_empty() && Some(&self.scale.len()) != self.features.first() {
            return Err(self.wrong("as many scales as channels"));
        }
        if self.scale.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err(self.wrong("scales above 0"));
        }
        if self.small {
            return match self.plain {
                true => Err(self.wrong("`plain` or `small`, not both")),
                false => small::table(&self.features, self.canvas()).ok_or_else(|| {
                    self.wrong(
                        "features (C) or maps (C, S, S), 2 to 64 times smaller than the image",
                    )
                }),
            };
        }
        if let Some(kind) = self.layout() {
            return match (self.plain, kind) {
                (false, kind) => Ok(kind.table()),
                (true, GeneratorKind::Pool5) => Ok(plain(kind.table())),
                (true, _) => Err(self.wrong("features of CONV5, FC6, FC7 or FC8 for `plain`")),
            };
        }
        let (mut rows, reached) = match self.features[..] {
            [_] => (connected(), REACHED),
            [_, height, width] if height == width && height > 0 => reduced(height, 512),
            _ => return Err(self.wrong("features (C) or square maps (C, S, S)")),
        };
        let doublings = (self.canvas() / reached).max(1).ilog2() as usize;
        if doublings == 0 || doublings > STAGES.len() {
            return Err(self.wrong("maps that are 2 to 64 times smaller than the image"));
        }
        rows.extend(upconvolutions(doublings));
        Ok(if self.plain { plain(rows) } else { rows })
    }

    fn wrong(&self, wanted: &str) -> NetError {
        NetError::Shape {
            operation: "the network that inverts features",
            wanted: wanted.into(),
            got: format!("{:?} of images of {} pixels", self.features, self.side),
        }
    }
}

/// Rows that follow one another, and the shape of their input for one image, noise included.
pub(super) struct Part {
    pub(super) rows: Vec<Layer>,
    pub(super) input: Vec<usize>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The network that draws images of `side` pixels from `n` numbers.
pub(crate) fn from_numbers(n: usize, side: usize) -> Result<Vec<Layer>, NetError> {
    InverterConfig::new(ComparatorKind::caffenet(), "FC6", &[n], side).table()
}

/// A table without the convolutions between up-convolutions, and the activation after each.
fn plain(mut rows: Vec<Layer>) -> Vec<Layer> {
    let mut skip = false;
    rows.retain(|row| {
        skip = row.name.ends_with("_1") || (skip && matches!(row.op, Op::LeakyRelu(_)));
        !skip
    });
    rows
}
