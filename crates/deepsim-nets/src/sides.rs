//! Shapes of features through a table of layers, and the sizes of images that follow, without computing
//! anything.

use std::fmt;

use crate::layers::{Layer, Op};

/// Sides of square images, in pixels, that a network can be computed for.
///
/// ```
/// use deepsim_nets::{ComparatorKind, DiscriminatorConfig};
/// assert_eq!(DiscriminatorConfig::default().sides().to_string(), "sides of at least 35 pixels");
/// let fc6 = ComparatorKind::AlexNet.sides("FC6")?;
/// assert!(fc6.contains(227) && !fc6.contains(64));
/// # Ok::<(), deepsim_nets::NetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The smallest side.
    pub least: usize,
    /// The largest, where larger images do not fit: before a fully connected layer.
    pub most: Option<usize>,
}

impl Sides {
    /// True if images of this side fit.
    pub fn contains(&self, side: usize) -> bool {
        side >= self.least && self.most.is_none_or(|most| side <= most)
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.least;
        match self.most {
            None => write!(f, "sides of at least {least} pixels"),
            Some(most) if most == least => write!(f, "sides of {least} pixels"),
            Some(most) => write!(f, "sides of {least} to {most} pixels"),
        }
    }
}

/// Largest side that is tried.
const LARGEST: usize = 4096;

/// Sides of images `(3, side, side)` that fit all layers, tried up to 4096 pixels.
pub(crate) fn sides(layers: &[Layer]) -> Sides {
    let fits = |side: &usize| through(layers, [*side; 2]).is_some();
    let least = (1..=LARGEST).find(fits).unwrap_or(LARGEST + 1);
    let beyond = (least..=LARGEST).find(|side| !fits(side));
    Sides { least, most: beyond.map(|side| side - 1) }
}

/// Shape of one image's features after all layers, `(C, H, W)` or `(C)`, for an image of this height and
/// width; `None` if it does not fit one of them.
pub(crate) fn through(layers: &[Layer], [height, width]: [usize; 2]) -> Option<Vec<usize>> {
    layers.iter().try_fold(vec![3, height, width], |shape, layer| after(layer.op, shape))
}

/// Shape of one image's features after a layer; `None` if they do not fit it.
pub(crate) fn after(op: Op, shape: Vec<usize>) -> Option<Vec<usize>> {
    let maps = |channels: usize, size: Option<(usize, usize)>| {
        size.map(|(height, width)| vec![channels, height, width])
    };
    match (op, &shape[..]) {
        (Op::Conv(c), &[_, h, w]) => {
            maps(c.out, c.config(None).output_size((h, w), (c.kernel, c.kernel)))
        }
        (Op::UpConv(c), &[_, h, w]) => {
            maps(c.out, c.config(None).transposed_output_size((h, w), (c.kernel, c.kernel)))
        }
        (Op::MaxPool(config), &[channels, h, w]) => maps(channels, config.output_size((h, w))),
        (Op::Fire { expand, .. }, &[_, h, w]) => maps(2 * expand, Some((h, w))),
        (Op::GlobalAvgPool, &[channels, ..]) => Some(vec![channels]),
        (Op::Flatten(positions), &[channels, h, w]) => {
            (h * w == positions).then(|| vec![channels * positions])
        }
        (Op::Linear(out, _), [_]) => Some(vec![out]),
        (Op::Unflatten { channels, side }, &[numbers]) => {
            (numbers == channels * side * side).then(|| vec![channels, side, side])
        }
        (Op::Lrn(_), [_, _, _])
        | (Op::Softmax, [_])
        | (Op::Relu | Op::LeakyRelu(_) | Op::ScaledTanh(_) | Op::Dropout(_), _) => Some(shape),
        _ => None,
    }
}
