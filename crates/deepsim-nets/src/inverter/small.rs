//! The small network that inverts features: of images of 64 pixels in minutes of a CPU, not days of a GPU.
//!
//! About 3.8 million weights for AlexNet's CONV5 with noise. It has the authors' parts, narrower, and ends with a 3x3
//! convolution after the last up-convolution, so that no grid of period two is left:
//!
//! | maps | rows |
//! |---|---|
//! | features and noise | three convolutions of 256, to a side that is a power of two; a vector is first brought to 256 maps of 4 x 4 |
//! | 8 x 8 | up-convolution and 3x3 convolution of 256 |
//! | 16 x 16 | the same of 128 |
//! | 32 x 32 | the same of 64 |
//! | 64 x 64 | up-convolution of 32, 3x3 convolution to the image, `255 tanh` |

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, conv, layer};
use crate::released::{REACHED, TANH, first, plain, reduced, up};

/// Channels of the maps from the features to the first up-convolution.
const WIDTH: usize = 256;

/// The stages from the output backwards: channels of the up-convolution, and of the 3x3 convolution after it.
const STAGES: [(&str, &str, usize); 6] = [
    ("deconv0", "conv0_1", 32),
    ("deconv1", "conv1_1", 64),
    ("deconv2", "conv2_1", 128),
    ("deconv3", "conv3_1", 256),
    ("deconv4", "conv4_1", 256),
    ("deconv5", "conv5_1", 256),
];

/// Table for features `(C)` or `(C, S, S)` to images of `canvas` pixels; none if there is no such network.
pub(super) fn table(features: &[usize], canvas: usize) -> Option<Vec<Layer>> {
    let (mut rows, reached) = match *features {
        [_] => {
            let numbers = WIDTH * REACHED * REACHED;
            let fill = Filler::Msra { coeff: 1.0 };
            let mut rows = vec![
                layer("defc5", Op::Linear(numbers, fill)),
                layer("lrelu", Op::LeakyRelu(0.3)),
                layer("reshape", Op::Unflatten { channels: WIDTH, side: REACHED }),
            ];
            for name in ["Rconv6", "Rconv7"] {
                rows.extend(first(name, Conv::new(WIDTH, 3).pad(1)));
            }
            (rows, REACHED)
        }
        [_, height, width] if height == width && height > 0 => reduced(height, WIDTH),
        _ => return None,
    };
    let doublings = (canvas / reached).max(1).ilog2() as usize;
    let stages = STAGES.get(..doublings).filter(|stages| !stages.is_empty())?;
    for &(name, after, channels) in stages[1..].iter().rev() {
        rows.extend(up(name, channels));
        rows.extend(plain(after, channels));
    }
    let (name, after, channels) = stages[0];
    rows.extend(up(name, channels));
    // Small weights: images begin with the deviation of photographs and not at the ends of tanh.
    let fill = Filler::Msra { coeff: 0.25 };
    rows.push(conv(after, Conv::new(3, 3).pad(1).no_bias().fill(fill)));
    rows.push(TANH);
    Some(rows)
}
