//! Images of samples from the prior of a variational autoencoder.

use std::ops::Range;

use candle_core::{Device, Tensor};
use deepsim_data::picture::{Picture, grid};
use deepsim_nets::random::{normal, stream};
use deepsim_nets::{Generator, Images, Vae};

use crate::EvalError;
use crate::measure::Model;

/// The variational autoencoder of a model.
///
/// # Errors
/// If it is another generator.
pub fn vae<'a>(model: &'a Model, operation: &'static str) -> Result<&'a Vae, EvalError> {
    match &model.generator {
        Generator::Vae(net) => Ok(net),
        _ => Err(EvalError::input(
            operation,
            "a variational autoencoder (a recipe with a [vae])",
            "another generator",
        )),
    }
}

/// The smallest truncation.
const LEAST: f64 = 0.01;

/// Codes from N(0, 1), each drawn from its own stream: the one at a position is the same however many
/// there are.
///
/// With `truncation`, numbers further from 0 than that are drawn again: fewer different images, more of
/// what training saw often.
///
/// # Shapes
/// `(positions.len(), code)`
///
/// # Errors
/// If `truncation` is below 0.01, where next to all numbers would be drawn in vain.
pub fn codes(
    net: &Vae,
    positions: Range<usize>,
    seed: u64,
    truncation: Option<f64>,
) -> Result<Tensor, EvalError> {
    if let Some(limit) = truncation.filter(|limit| limit.is_nan() || *limit < LEAST) {
        let wanted = format!("a number of at least {LEAST}");
        return Err(EvalError::input("truncation", wanted, limit.to_string()));
    }
    let (n, code) = (positions.len(), net.config().code());
    let inside = |value: &f32| truncation.is_none_or(|limit| f64::from(value.abs()) <= limit);
    let mut values = Vec::with_capacity(n * code);
    for position in positions {
        let mut rng = stream(seed, "samples", position as u64);
        let end = values.len() + code;
        while values.len() < end {
            let missing = end - values.len();
            values.extend(normal(&mut rng, missing, 1.0).into_iter().filter(inside));
        }
    }
    Ok(Tensor::from_vec(values, (n, code), &Device::Cpu)?)
}

/// Images of [`codes`].
///
/// # Shapes
/// `(positions.len(), 3, side, side)`
///
/// # Errors
/// As [`codes`].
pub fn images(
    net: &Vae,
    positions: Range<usize>,
    seed: u64,
    truncation: Option<f64>,
) -> Result<Images, EvalError> {
    Ok(net.decode(&codes(net, positions, seed, truncation)?)?)
}

/// Sampling options of a [`sheet`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Number of images.
    pub n: usize,
    /// Images in a row.
    pub columns: usize,
    /// Seed; the same one gives the same images.
    pub seed: u64,
    /// Largest magnitude of a number of a code; larger ones are drawn again.
    pub truncation: Option<f64>,
}

/// Images that go through the network at once.
const BATCH: usize = 64;

/// Draws samples and arranges them as one picture.
///
/// # Errors
/// If no image is asked for, or as [`codes`].
pub fn sheet(net: &Vae, options: &SampleOptions) -> Result<Picture, EvalError> {
    let SampleOptions { n, columns, seed, truncation } = *options;
    options.check()?;
    let (side, mut shown) = (net.config().side, Vec::with_capacity(n));
    for start in (0..n).step_by(BATCH) {
        let planes = images(net, start..n.min(start + BATCH), seed, truncation)?.to_u8()?;
        shown.extend(Picture::several(&planes, side, side));
    }
    let rows: Vec<Vec<Picture>> = shown.chunks(columns).map(<[_]>::to_vec).collect();
    Ok(grid(&rows, 0))
}

impl SampleOptions {
    /// Checks the numbers, which needs no network.
    ///
    /// # Errors
    /// If there is no image, or no image in a row.
    pub fn check(&self) -> Result<(), EvalError> {
        if self.n == 0 || self.columns == 0 {
            let got = format!("{} in {}", self.n, self.columns);
            return Err(EvalError::input("sample", "at least one picture in a row", got));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_nets::{VaeConfig, VaeEncoder};

    fn values(tensor: &Tensor) -> Result<Vec<f32>, EvalError> {
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    #[test]
    fn a_sample_is_the_same_however_many_there_are() -> Result<(), EvalError> {
        let config = VaeConfig { encoder: VaeEncoder::Autoencoder, latent: 300, side: 16 };
        let net = Vae::new(config, 0, &Device::Cpu)?;
        let (some, more) = (codes(&net, 2..4, 1, None)?, codes(&net, 0..6, 1, None)?);
        assert_eq!(values(&some)?, values(&more.narrow(0, 2, 2)?)?);
        assert_ne!(values(&some)?, values(&codes(&net, 2..4, 2, None)?)?);
        let largest = |t| -> Result<f32, EvalError> {
            let all = values(&codes(&net, 0..6, 1, t)?)?;
            assert_eq!(all.len(), 1800);
            Ok(all.iter().fold(0.0, |largest, value| largest.max(value.abs())))
        };
        assert!(largest(None)? > 2.0);
        let cut = largest(Some(0.5))?;
        assert!(cut <= 0.5 && cut > 0.4, "{cut}");
        for wrong in [0.0, -1.0, f64::NAN] {
            assert!(codes(&net, 0..1, 1, Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(images(&net, 0..2, 1, None)?.tensor().dims(), [2, 3, 16, 16]);
        Ok(())
    }
}
