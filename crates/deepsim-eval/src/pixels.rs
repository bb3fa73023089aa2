//! Distances of two pictures pixel by pixel.

/// Root of the mean squared difference of all values.
///
/// # Shapes
/// Two slices of the same length, in any order that is the same for both
pub fn root_mean_square_error(a: &[u8], b: &[u8]) -> f64 {
    let square = |(&a, &b): (&u8, &u8)| u64::from(a.abs_diff(b)).pow(2);
    let sum: u64 = a.iter().zip(b).map(square).sum();
    (sum as f64 / a.len() as f64).sqrt()
}

/// Peak signal-to-noise ratio in dB for values in 0..=255; infinite for equal pictures.
///
/// ```
/// use deepsim_eval::pixels::peak_signal_to_noise;
/// assert_eq!(peak_signal_to_noise(25.5), 20.0);
/// assert_eq!(peak_signal_to_noise(0.0), f64::INFINITY);
/// ```
pub fn peak_signal_to_noise(root_mean_square_error: f64) -> f64 {
    20.0 * (255.0 / root_mean_square_error).log10()
}
