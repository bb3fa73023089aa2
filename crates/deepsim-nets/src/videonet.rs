//! VideoNet (Wang & Gupta 2015) in training: CaffeNet with an fc7 of 1024, whose features are brought
//! to length 1 and compared by their inner product.

use candle_core::{Device, Tensor};

use crate::image::{Images, PixelFormat};
use crate::layers::Stack;
use crate::{NetError, Params, Pass, alexnet};

/// Added to the length of a feature vector before it divides, so that a vector of zeros stays one.
const EPSILON: f64 = 1e-6;

/// The network in training; as a comparator it is opened by `ComparatorKind::videonet()`.
#[derive(Clone, Debug)]
pub struct VideoNet {
    stack: Stack,
    params: Params,
}

impl VideoNet {
    /// Numbers in a feature vector.
    pub const FEATURES: usize = 1024;

    /// A network with Caffe's fillers.
    ///
    /// # Errors
    /// If a weight cannot be allocated.
    pub fn new(seed: u64, device: &Device) -> Result<Self, NetError> {
        let (stack, params) = Stack::new(&alexnet::videonet(), 3, "videonet", seed, device)?;
        Ok(Self { stack, params })
    }

    /// Cost of one pass over a picture of `side` pixels.
    ///
    /// # Errors
    /// If pool5 of such a picture is not 6x6.
    pub fn cost(side: usize) -> Result<Pass, NetError> {
        let mut pass = Pass::default();
        pass.begin(&alexnet::videonet(), "", &[3, side, side])?;
        Ok(pass)
    }

    /// Features of length 1. There is no dropout in this network.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 1024)`, with sides of 199 to 230 pixels, for which pool5 is 6x6
    ///
    /// # Errors
    /// If the images have another size.
    pub fn forward(&self, images: &Images) -> Result<Tensor, NetError> {
        let images = images.convert(PixelFormat::CAFFE_BGR)?;
        normalised(&self.stack.forward(images.tensor(), None)?)
    }

    /// Returns all weights.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Rows brought to length 1.
///
/// # Shapes
/// `(N, C) -> (N, C)`
fn normalised(x: &Tensor) -> Result<Tensor, NetError> {
    // Inside the root, where it keeps the gradient at a row of zeros finite.
    let squares = (x.sqr()?.sum_keepdim(1)? + EPSILON * EPSILON)?;
    Ok(x.broadcast_div(&squares.sqrt()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn features_have_length_1_and_zeros_a_finite_gradient() -> Result<(), NetError> {
        let x = Var::new(&[[3f32, 4.0], [0.0, 0.0]], &Device::Cpu)?;
        let y = normalised(&x)?;
        assert_eq!(y.to_vec2::<f32>()?, [[0.6, 0.8], [0.0, 0.0]]);
        let gradients = y.sum_all()?.backward()?;
        let gradient = gradients.get(&x).expect("a gradient").to_vec2::<f32>()?;
        // d(x1 + x2)/|x|: (1 - 0.6 * 1.4) / 5, (1 - 0.8 * 1.4) / 5.
        assert!((gradient[0][0] - 0.032).abs() < 1e-6 && (gradient[0][1] + 0.024).abs() < 1e-6);
        assert!(gradient[1].iter().all(|g| g.is_finite()), "{gradient:?}");
        Ok(())
    }
}
