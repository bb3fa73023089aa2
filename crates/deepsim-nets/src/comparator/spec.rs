//! Description of a comparator without weights.

use std::borrow::Cow;

use deepsim_ops::AvgPool2dConfig;

use crate::NetError;
use crate::image::PixelFormat;
use crate::layers::{Layer, Op, Wiring, tensors, wire};
use crate::sides::{Sides, shapes, sides};

/// A network as a table, with all that is known of it without weights.
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::layers::{Conv, Op, conv, layer};
/// use deepsim_nets::{ComparatorKind, ComparatorSpec, PixelFormat};
/// let layers = vec![conv("conv1", Conv::new(8, 3).pad(1)), layer("relu1", Op::Relu)];
/// let spec = ComparatorSpec::new("one-layer", layers, &[("CONV1", "relu1")], PixelFormat::RGB_U8);
/// let net = ComparatorKind::new(spec)?.open(None, 0, &Device::Cpu)?;
/// assert_eq!(net.taps(), ["CONV1"]);
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ComparatorSpec {
    /// Name in recipes, messages and random streams.
    pub name: Cow<'static, str>,
    /// Table of the layers, for an input of three channels.
    pub layers: Vec<Layer>,
    /// Names of its features, shallow to deep, each with the row that computes them.
    pub taps: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Pixels that the network was trained with.
    pub pixels: PixelFormat,
    /// Images whose shorter side is smaller are enlarged to it before the first row, bilinearly.
    pub input: Option<usize>,
    /// Names of the file of its weights in a folder, the likeliest first.
    pub files: Vec<Cow<'static, str>>,
    /// Names of layers in other programs' files, each with the row that it stands for.
    pub aliases: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Network whose file, in the same folder, holds the weights of the rows up to the first fully connected one.
    pub trunk: Option<Cow<'static, str>>,
    /// True if the weights come with the project ([`crate::shipped`]).
    pub shipped: bool,
}

/// Most numbers of a kind in a row: channels, kernels, strides. Beyond it they are mistakes.
const LARGEST: usize = 1 << 16;
/// Most rows of a table.
const ROWS: usize = 4096;
/// Largest side that images are enlarged to.
const MOST_INPUT: usize = 4096;

impl ComparatorSpec {
    /// A network whose weights are in `{name}.safetensors`.
    pub fn new(
        name: &'static str,
        layers: Vec<Layer>,
        taps: &[(&'static str, &'static str)],
        pixels: PixelFormat,
    ) -> Self {
        Self {
            name: name.into(),
            layers,
            taps: pairs(taps),
            pixels,
            input: None,
            files: vec![format!("{name}.safetensors").into()],
            aliases: Vec::new(),
            trunk: None,
            shipped: false,
        }
    }

    /// Adds another name of the file of its weights.
    pub fn file(mut self, name: &'static str) -> Self {
        self.files.push(name.into());
        self
    }

    /// Adds names of layers in other programs' files.
    pub fn aliases<A, B>(mut self, aliases: impl IntoIterator<Item = (A, B)>) -> Self
    where
        A: Into<Cow<'static, str>>,
        B: Into<Cow<'static, str>>,
    {
        self.aliases.extend(aliases.into_iter().map(|(alias, row)| (alias.into(), row.into())));
        self
    }

    /// Reads the rows up to the first fully connected one from another network's file.
    pub fn trunk(self, net: &'static str) -> Self {
        Self { trunk: Some(net.into()), ..self }
    }

    /// Enlarges smaller images to this side.
    pub fn input(self, side: usize) -> Self {
        Self { input: Some(side), ..self }
    }

    /// Says that the weights come with the project.
    pub fn shipped(self) -> Self {
        Self { shipped: true, ..self }
    }

    /// Height and width that an image is enlarged to before the first row: the shorter side is brought to
    /// [`ComparatorSpec::input`], where it is smaller, and the longer one in proportion.
    pub(crate) fn enlarged(&self, height: usize, width: usize) -> (usize, usize) {
        let shorter = height.min(width);
        match self.input.filter(|side| (1..*side).contains(&shorter)) {
            None => (height, width),
            Some(side) => {
                let scaled = |length: usize| (length * side + shorter / 2) / shorter;
                (scaled(height), scaled(width))
            }
        }
    }

    /// Rows up to the first fully connected one, which are built when weights are drawn at random and nobody says how
    /// deep.
    pub(crate) fn convolutional(&self) -> usize {
        let flat = |layer: &Layer| matches!(layer.op, Op::Flatten(_));
        self.layers.iter().position(flat).unwrap_or(self.layers.len())
    }

    /// Names and shapes of the weights, row by row.
    pub(crate) fn tensors(&self) -> Vec<Vec<(String, Vec<usize>)>> {
        tensors(&self.layers, 3)
    }

    /// The row that a tap stands for. Rows of the table (relu3, norm1, ...) are taps too, for those who know the
    /// network.
    pub(crate) fn row(&self, tap: &str) -> Option<usize> {
        let name = self.taps.iter().find(|(name, _)| name == tap).map_or(tap, |(_, row)| row);
        self.layers.iter().rposition(|layer| layer.name == name)
    }

    /// The row's name of a layer that another program's file calls so.
    pub(crate) fn alias(&self, layer: &str) -> Option<&str> {
        self.aliases.iter().find(|(alias, _)| alias == layer).map(|(_, row)| &**row)
    }

    /// Checks that the table is a network.
    ///
    /// # Errors
    /// Names the row, the tap or the key.
    pub(crate) fn check(&self) -> Result<(), NetError> {
        let wrong = |what: &str, expected: &str, found: String| NetError::Table {
            place: what.into(),
            expected: expected.into(),
            found,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let found = format!("{:?}", self.name);
            return Err(wrong("name", "letters, digits, `-`, `_` and `.`", found));
        }
        let PixelFormat { mean, scale, .. } = self.pixels;
        if !mean.iter().all(|v| v.is_finite()) || !scale.iter().all(|v| v.is_finite() && *v != 0.0)
        {
            let expected = "finite means, and finite scales that are not 0";
            return Err(wrong("pixels", expected, format!("{:?}", self.pixels)));
        }
        if let Some(side) = self.input.filter(|side| !(1..=MOST_INPUT).contains(side)) {
            return Err(wrong("input", &format!("a side of 1 to {MOST_INPUT}"), side.to_string()));
        }
        if self.layers.is_empty() || self.layers.len() > ROWS {
            return Err(wrong(
                "layers",
                &format!("1 to {ROWS} rows"),
                self.layers.len().to_string(),
            ));
        }
        for layer in &self.layers {
            check_row(layer)?;
        }
        self.check_shapes(&wire(&self.layers)?)?;
        if self.taps.is_empty() {
            return Err(wrong("taps", "at least one", "none".into()));
        }
        let row = |name: &str| self.layers.iter().any(|layer| layer.name == name);
        for (at, (tap, name)) in self.taps.iter().enumerate() {
            if !row(name) {
                return Err(wrong(
                    &format!("tap `{tap}`"),
                    "the name of a row",
                    format!("`{name}`"),
                ));
            }
            if tap.is_empty() || self.taps[..at].iter().any(|(other, _)| other == tap) {
                return Err(wrong("taps", "names of their own", format!("`{tap}`")));
            }
        }
        match self.aliases.iter().find(|(_, name)| !row(name)) {
            Some((alias, name)) => {
                Err(wrong(&format!("alias `{alias}`"), "the name of a row", format!("`{name}`")))
            }
            None => Ok(()),
        }
    }

    /// Checks that images of some size fit all rows.
    fn check_shapes(&self, wiring: &Wiring) -> Result<(), NetError> {
        // A table that takes images at all mostly takes the sizes of ImageNet's networks.
        let fits = |side: usize| shapes(&self.layers, wiring, &[3, side, side]);
        let first = [224, 227, 96, 64, 32].map(fits);
        if first.iter().any(Result::is_ok) {
            return Ok(());
        }
        let Sides { least, .. } = sides(&self.layers);
        if fits(least).is_ok() {
            return Ok(());
        }
        let deepest = first.into_iter().filter_map(Result::err).max_by_key(|(row, _)| *row);
        let (row, shape) = deepest.unwrap_or_default();
        Err(NetError::Table {
            place: format!("row `{}`", self.layers[row].name),
            expected: "an input that fits, from images of any size".into(),
            found: format!("{shape:?}"),
        })
    }
}

fn pairs(names: &[(&'static str, &'static str)]) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    names.iter().map(|(a, b)| (Cow::Borrowed(*a), Cow::Borrowed(*b))).collect()
}

/// Checks the numbers of a row.
fn check_row(layer: &Layer) -> Result<(), NetError> {
    let counts = |all: &[usize]| all.iter().all(|count| (1..=LARGEST).contains(count));
    let fits = |all: &[usize]| all.iter().all(|count| *count <= LARGEST);
    let good = match layer.op {
        Op::Conv(c) | Op::UpConv(c) => {
            counts(&[c.out, c.kernel, c.stride, c.groups])
                && fits(&[c.padding])
                && c.out.is_multiple_of(c.groups)
        }
        Op::Linear(out, _) => counts(&[out]),
        Op::BatchNorm { epsilon } => epsilon.is_finite() && epsilon >= 0.0,
        Op::LeakyRelu(slope) => (0.0..1.0).contains(&slope),
        Op::ScaledTanh(factor) => factor.is_finite(),
        Op::Dropout(p) => (0.0..1.0).contains(&p),
        Op::Flatten(positions) => counts(&[positions]),
        Op::Unflatten { channels, side } => counts(&[channels, side]),
        Op::Pad { top, bottom, left, right } => fits(&[top, bottom, left, right]),
        Op::MaxPool(p) | Op::AvgPool(AvgPool2dConfig { windows: p, .. }) => {
            counts(&[p.kernel.0, p.kernel.1, p.stride.0, p.stride.1])
                && fits(&[p.padding.0, p.padding.1])
        }
        Op::Lrn(lrn) => {
            counts(&[lrn.size]) && [lrn.alpha, lrn.beta, lrn.k].iter().all(|v| v.is_finite())
        }
        Op::Relu | Op::Relu6 | Op::GlobalAvgPool | Op::Softmax | Op::Add | Op::Concat => true,
    };
    match good {
        true => Ok(()),
        false => Err(NetError::Table {
            place: format!("row `{}`", layer.name),
            expected: format!(
                "sizes of 1 to {LARGEST}, groups that divide the outputs, slopes and probabilities in 0..1, and finite \
                 numbers"
            ),
            found: format!("{:?}", layer.op),
        }),
    }
}
