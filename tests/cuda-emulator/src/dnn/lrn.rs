//! Local response normalisation across channels.

use std::ffi::{c_int, c_void};

use super::{Description, Handle, OK, Pointer, one_and_zero, stream_of};
use crate::counts::{self, count};
use crate::device::device;

/// `k + alpha / size * Σ x²` of each value.
fn scales(x: &[f32], description: Description, lrn: Description) -> Vec<f64> {
    let ([_, c, h, w], (size, alpha, _, k)) = (description.sizes, lrn.normalisation);
    let plane = h * w;
    let scale = |i: usize| {
        let (first, channel) = (i / (plane * c) * (plane * c) + i % plane, i / plane % c);
        let window = channel.saturating_sub((size - 1) / 2)..(channel + size / 2 + 1).min(c);
        let sum: f64 = window.map(|other| f64::from(x[first + other * plane]).powi(2)).sum();
        k + alpha / size as f64 * sum
    };
    (0..x.len()).map(scale).collect()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnLRNCrossChannelForward(
    handle: Handle,
    lrn: Pointer,
    _mode: c_int,
    alpha: *const c_void,
    x: Pointer,
    x_at: usize,
    beta: *const c_void,
    _y: Pointer,
    y_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let (lrn, x) = unsafe { (*lrn, *x) };
    count(&counts::LIBRARY);
    device().enqueue(stream_of(handle), move |device| {
        let values: Vec<f32> = device.values("normalisation", x_at, x.sizes.iter().product());
        let scales = scales(&values, x, lrn);
        let (_, _, beta, _) = lrn.normalisation;
        let result = values.iter().zip(scales).map(|(&x, s)| (f64::from(x) * s.powf(-beta)) as f32);
        device.set_values("normalisation", y_at, &result.collect::<Vec<f32>>());
    });
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnLRNCrossChannelBackward(
    handle: Handle,
    lrn: Pointer,
    _mode: c_int,
    alpha: *const c_void,
    _y: Pointer,
    y_at: usize,
    _dy: Pointer,
    dy_at: usize,
    x: Pointer,
    x_at: usize,
    beta: *const c_void,
    _dx: Pointer,
    dx_at: usize,
) -> c_int {
    unsafe { one_and_zero(alpha, beta) };
    let (lrn, x) = unsafe { (*lrn, *x) };
    count(&counts::LIBRARY);
    device().enqueue(stream_of(handle), move |device| {
        const WHAT: &str = "gradient of a normalisation";
        let [n, c, h, w] = x.sizes;
        let len = n * c * h * w;
        let values: Vec<f32> = device.values(WHAT, x_at, len);
        let (y, dy): (Vec<f32>, Vec<f32>) =
            (device.values(WHAT, y_at, len), device.values(WHAT, dy_at, len));
        let scales = scales(&values, x, lrn);
        let (size, alpha, beta, _) = lrn.normalisation;
        let plane = h * w;
        let gradient = |i: usize| {
            let (first, channel) = (i / (plane * c) * (plane * c) + i % plane, i / plane % c);
            // The values in whose window this one is.
            let window = channel.saturating_sub(size / 2)..(channel + (size - 1) / 2 + 1).min(c);
            let sum: f64 = window
                .map(|other| first + other * plane)
                .map(|j| f64::from(dy[j]) * f64::from(y[j]) / scales[j])
                .sum();
            let own = f64::from(dy[i]) * scales[i].powf(-beta);
            (own - 2.0 * alpha * beta / size as f64 * f64::from(values[i]) * sum) as f32
        };
        device.set_values(WHAT, dx_at, &(0..len).map(gradient).collect::<Vec<f32>>());
    });
    OK
}
