//! Posterior of a variational autoencoder: the distribution of the codes of images.

use candle_core::Tensor;

use crate::NetError;

/// Distribution of the latent codes of images: a Gaussian with a diagonal covariance.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// Mean, `(N, code)`.
    pub mean: Tensor,
    /// Logarithm of the variance, `(N, code)`.
    pub log_variance: Tensor,
}

impl Posterior {
    /// Returns samples for `noise` from N(0, 1).
    ///
    /// # Shapes
    /// `(N, code) -> (N, code)`
    ///
    /// # Errors
    /// If the noise has another shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor, NetError> {
        let noise = noise.to_device(self.mean.device())?;
        if noise.dims() != self.mean.dims() {
            return Err(NetError::Shape {
                operation: "Posterior::sample",
                wanted: format!("noise of {:?}", self.mean.dims()),
                got: format!("{:?}", noise.dims()),
            });
        }
        let deviation = (&self.log_variance * 0.5)?.exp()?;
        Ok((&self.mean + (deviation * noise)?)?)
    }
}
