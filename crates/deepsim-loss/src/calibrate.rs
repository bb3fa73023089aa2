//! Calibration: the weight of a feature term for a comparator whose feature scale is unknown.
//!
//! The paper gives one weight, 0.01 for AlexNet CONV5, and says that others depend on the
//! comparator. Feature scales differ by orders of magnitude between networks and layers, so a
//! weight has a meaning only relative to the distances between features of different images. Our
//! documented rule: with the *pair energy* `E(t) = ½ mean_{i≠j} ‖t_i - t_j‖²` of a fixed batch,
//! choose the weight so that the weighted pair energies of features and pixels stand in the ratio
//! `rho`. For an untrained generator the two terms then have about that proportion.

use candle_core::Tensor;

use crate::LossError;

/// The paper's image weight for 227x227 inversion, `2e-6`, kept per pixel for other sizes.
///
/// ```
/// let weight = deepsim_loss::calibrate::image_weight(64, 64);
/// assert!((weight - 2.5e-5).abs() < 2e-7);
/// ```
pub fn image_weight(height: usize, width: usize) -> f64 {
    2e-6 * (227.0 * 227.0) / (height * width) as f64
}

/// Computes half the mean squared distance between two different samples of a batch.
///
/// # Shapes
/// `(N, ..)`, `N >= 2`
///
/// # Errors
/// If there are fewer than two samples.
pub fn pair_energy(samples: &Tensor) -> Result<f64, LossError> {
    let n = samples.dims().first().copied().unwrap_or(0);
    if n < 2 {
        return Err(LossError::Mismatch {
            operation: "pair energy",
            wanted: "a batch of at least 2 samples".into(),
            got: format!("shape {:?}", samples.dims()),
        });
    }
    // ½ mean_{i≠j} ‖t_i - t_j‖² = 1/(n-1) Σ_i ‖t_i - mean‖², which needs one pass instead of n.
    let values = samples.flatten_from(1)?.to_vec2::<f32>()?;
    let mut squares = 0.0;
    for d in 0..values[0].len() {
        let mean = values.iter().map(|v| f64::from(v[d])).sum::<f64>() / n as f64;
        squares += values.iter().map(|v| (f64::from(v[d]) - mean).powi(2)).sum::<f64>();
    }
    Ok(squares / (n - 1) as f64)
}

/// Returns the weight that gives features of pair energy `feature_energy` a weighted energy `rho` times
/// that of pixels with `image_weight` and `image_energy`.
///
/// # Errors
/// If the features of different images do not differ, or an energy is not finite.
///
/// ```
/// let weight = deepsim_loss::calibrate::feature_weight(50.0, 2e-6, 1e7, 2.0)?;
/// assert!((weight * 50.0 - 2.0 * 2e-6 * 1e7).abs() < 1e-9);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn feature_weight(
    feature_energy: f64,
    image_weight: f64,
    image_energy: f64,
    rho: f64,
) -> Result<f64, LossError> {
    let weight = rho * image_weight * image_energy / feature_energy;
    if weight.is_finite() && feature_energy > 0.0 {
        return Ok(weight);
    }
    Err(LossError::Mismatch {
        operation: "calibrating the feature weight",
        wanted: "features that differ between images".into(),
        got: format!("feature energy {feature_energy}, image energy {image_energy}, rho {rho}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn energy_is_half_the_mean_squared_distance_of_pairs() -> Result<(), LossError> {
        let points = [[0f32, 0.0], [3.0, 4.0], [6.0, 8.0]];
        let tensor = Tensor::from_slice(&points.concat(), (3, 1, 2, 1), &Device::Cpu)?;
        // Squared distances 25, 25, 100.
        assert!((pair_energy(&tensor)? - 0.5 * 50.0).abs() < 1e-9);
        assert!(pair_energy(&tensor.narrow(0, 0, 1)?).is_err());
        Ok(())
    }

    #[test]
    fn dead_features_cannot_be_calibrated() {
        let message = feature_weight(0.0, 1.0, 1.0, 2.0).expect_err("dead features").to_string();
        assert!(message.contains("features that differ"), "{message}");
    }
}
