//! Shapes of features through a table of layers, and the sizes of images that follow, without computing
//! anything.

use std::fmt;

use crate::layers::{Layer, Op, wire};

/// Sides of square images, in pixels, that a network can be computed for.
///
/// ```
/// use deepsim_nets::{ComparatorKind, DiscriminatorConfig};
/// assert_eq!(DiscriminatorConfig::default().sides().to_string(), "sides of at least 35 pixels");
/// let fc6 = ComparatorKind::alexnet().sides("FC6")?;
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
    let wiring = wire(layers).ok();
    let fits = |side: &usize| {
        wiring.as_ref().is_some_and(|wiring| shapes(layers, wiring, &[3, *side, *side]).is_ok())
    };
    let least = (1..=LARGEST).find(fits).unwrap_or(LARGEST + 1);
    let beyond = (least..=LARGEST).find(|side| !fits(side));
    Sides { least, most: beyond.map(|side| side - 1) }
}

/// Shape of one image's features after all layers, `(C, H, W)` or `(C)`, for an image of this height and
/// width; `None` if it does not fit one of them.
pub(crate) fn through(layers: &[Layer], [height, width]: [usize; 2]) -> Option<Vec<usize>> {
    shapes(layers, &wire(layers).ok()?, &[3, height, width]).ok()?.pop()
}

/// Shapes at all positions of a table: those of one input, and of the output of each row.
///
/// # Errors
/// The position of the first row that does not fit its input, with the shape of this input.
pub(crate) fn shapes(
    layers: &[Layer],
    wiring: &[Vec<usize>],
    input: &[usize],
) -> Result<Vec<Vec<usize>>, (usize, Vec<usize>)> {
    let mut all = vec![input.to_vec()];
    for (at, (layer, from)) in layers.iter().zip(wiring).enumerate() {
        let inputs: Vec<&[usize]> = from.iter().map(|row| &all[*row][..]).collect();
        let output = after(layer.op, &inputs).ok_or_else(|| (at, inputs[0].to_vec()))?;
        all.push(output);
    }
    Ok(all)
}

/// Shape of one image's features after a layer; `None` if they do not fit it.
fn after(op: Op, inputs: &[&[usize]]) -> Option<Vec<usize>> {
    let maps = |channels: usize, size: Option<(usize, usize)>| {
        size.map(|(height, width)| vec![channels, height, width])
    };
    let shape = inputs[0];
    match (op, shape) {
        (Op::Conv(c), &[channels, h, w]) if channels.is_multiple_of(c.groups) => {
            maps(c.out, c.config(None).output_size((h, w), (c.kernel, c.kernel)))
        }
        (Op::UpConv(c), &[channels, h, w]) if channels.is_multiple_of(c.groups) => {
            maps(c.out, c.config(None).transposed_output_size((h, w), (c.kernel, c.kernel)))
        }
        (Op::MaxPool(config), &[channels, h, w]) => maps(channels, config.output_size((h, w))),
        (Op::AvgPool(config), &[channels, h, w]) => {
            maps(channels, config.windows.output_size((h, w)))
        }
        (Op::Pad { top, bottom, left, right }, &[channels, h, w]) => {
            Some(vec![channels, h + top + bottom, w + left + right])
        }
        (Op::GlobalAvgPool, &[channels, ..]) => Some(vec![channels]),
        (Op::Flatten(positions), &[channels, h, w]) => {
            (h * w == positions).then(|| vec![channels * positions])
        }
        (Op::Linear(out, _), [_]) => Some(vec![out]),
        (Op::Unflatten { channels, side }, &[numbers]) => {
            (numbers == channels * side * side).then(|| vec![channels, side, side])
        }
        (Op::Add, _) => (inputs[1] == shape).then(|| shape.to_vec()),
        (Op::Concat, &[channels, h, w]) => match *inputs[1] {
            [others, height, width] if (height, width) == (h, w) => {
                Some(vec![channels + others, h, w])
            }
            _ => None,
        },
        (Op::Lrn(_) | Op::BatchNorm { .. }, [_, _, _])
        | (Op::Softmax, [_])
        | (Op::Relu | Op::Relu6 | Op::LeakyRelu(_) | Op::ScaledTanh(_) | Op::Dropout(_), _) => {
            Some(shape.to_vec())
        }
        _ => None,
    }
}
