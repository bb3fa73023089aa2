//! Numbers without a generator, and the gradient of an arbitrary weighting of a result.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};

/// Distinct values in -1..1 that look random; another `salt` gives others.
pub(crate) fn values(len: usize, salt: usize) -> Vec<f32> {
    let mut state = (salt as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A tensor of [`values`].
pub(crate) fn tensor(shape: &[usize], salt: usize) -> Tensor {
    let len = shape.iter().product();
    Tensor::from_vec(values(len, salt), shape, &Device::Cpu).expect("the shape fits the values")
}

/// A variable of [`values`].
pub(crate) fn var(shape: &[usize], salt: usize) -> Var {
    Var::from_tensor(&tensor(shape, salt)).expect("a variable")
}

/// Returns the values in row-major order.
pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
    let all = tensor.flatten_all().and_then(|tensor| tensor.to_vec1());
    all.expect("an f32 tensor on the CPU")
}

/// Returns the values as bits, so that a comparison sees every difference.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).iter().map(|value| value.to_bits()).collect()
}

/// Gradients of `Σ y dy`.
pub(crate) fn backward(y: &Tensor, dy: &Tensor) -> Result<GradStore> {
    (y * dy)?.sum_all()?.backward()
}

/// Fails if a value is off by more than `tolerance` of the largest.
#[track_caller]
pub(crate) fn assert_near(what: &str, got: &[f32], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}: number of values");
    let scale = wanted.iter().fold(1e-30f64, |largest, value| largest.max(value.abs()));
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let error = (f64::from(got) - wanted).abs() / scale;
        // Written so that a NaN fails.
        assert!(error <= tolerance, "{what}: value {i} is {got}, expected {wanted}");
    }
}
