//! Features of images, with the size that a tap needs where images do not fit.

use candle_core::{DType, Tensor};
use deepsim_nets::{Comparator, Images};

use crate::EvalError;

/// Largest side that is tried.
const LARGEST: usize = 512;

/// Features at `tap`, as [`Comparator::features`].
///
/// # Shapes
/// `(N, 3, H, W) -> (N, ..)`
///
/// # Errors
/// If there is no such tap; [`EvalError::Size`] with the size that it needs if the images do not fit.
///
/// ```
/// use candle_core::Device;
/// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
///
/// let device = Device::Cpu;
/// let net = ComparatorKind::SqueezeNet.open(None, 0, &device)?;
/// let small = Images::from_u8(&[9; 3 * 17 * 17], 1, 17, 17, PixelFormat::RGB_U8, &device)?;
/// let error = deepsim_eval::fit::features(&*net, "FIRE9", &small).expect_err("too small");
/// assert_eq!(error.to_string(), "squeezenet FIRE9 needs at least 21x21 pixels, found 17x17");
/// # Ok::<(), deepsim_eval::EvalError>(())
/// ```
pub fn features(net: &dyn Comparator, tap: &str, images: &Images) -> Result<Tensor, EvalError> {
    net.features(images, tap).map_err(|error| {
        let (height, width) = (images.height(), images.width());
        match needs(net, tap, images) {
            Some(needs) => EvalError::Size {
                operation: format!("{} {tap}", net.name()),
                needs,
                found: format!("{width}x{height}"),
            },
            None => error.into(),
        }
    })
}

/// The sizes that a tap takes, if `images` are of another: found by trying, which is quick where
/// features end early, and is only done after a failure.
fn needs(net: &dyn Comparator, tap: &str, images: &Images) -> Option<String> {
    let fits = |side: usize| {
        let zeros = Tensor::zeros((1, 3, side, side), DType::F32, images.tensor().device());
        zeros
            .map_err(EvalError::from)
            .and_then(|zeros| Ok(net.features(&images.with_tensor(zeros)?, tap)?))
            .is_ok()
    };
    let side = (1..=LARGEST).find(|&side| fits(side))?;
    // A fully connected layer takes one size, or the few that are pooled to it.
    let most = if fits(2 * side + 64) { "at least " } else { "" };
    let (height, width) = (images.height(), images.width());
    let small = height.min(width) < side;
    (small || most.is_empty()).then(|| format!("{most}{side}x{side}"))
}
