//! Summaries of lists of numbers.

/// Mean and population standard deviation; `(NaN, NaN)` of nothing.
///
/// ```
/// assert_eq!(deepsim_eval::metrics::statistics::mean_and_spread(&[2.0, 4.0, 4.0, 6.0]), (4.0, 2f64.sqrt()));
/// ```
pub fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Median: the middle value, or the mean of the two in the middle; NaN of nothing.
///
/// ```
/// use deepsim_eval::metrics::statistics::median;
/// assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
/// ```
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match (sorted.len() / 2, sorted.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => (sorted[middle - 1] + sorted[middle]) / 2.0,
        (middle, _) => sorted[middle],
    }
}

/// The `percent`-th percentile of `|values|`, interpolated linearly between the two nearest ranks
/// (NumPy's default). 0 of nothing.
///
/// ```
/// use deepsim_eval::metrics::statistics::percentile_of_magnitudes;
/// assert_eq!(percentile_of_magnitudes(&[-4.0, 1.0, 2.0, 3.0], 50.0), 2.5);
/// assert_eq!(percentile_of_magnitudes(&[-4.0, 1.0, 2.0, 3.0], 100.0), 4.0);
/// ```
pub fn percentile_of_magnitudes(values: &[f32], percent: f64) -> f64 {
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let Some(last) = magnitudes.len().checked_sub(1) else { return 0.0 };
    let rank = percent.clamp(0.0, 100.0) / 100.0 * last as f64;
    let below = rank.floor() as usize;
    let (_, &mut low, above) = magnitudes.select_nth_unstable_by(below, f32::total_cmp);
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    f64::from(low) + (rank - below as f64) * f64::from(high - low)
}

/// `||a - b||_2`, accumulated in f64.
pub fn euclidean_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).powi(2);
    a.iter().zip(b).map(square).sum::<f64>().sqrt()
}

/// Distance of a vector from another, in percent of the other's norm; not finite where that is zero.
pub(crate) fn percent_of_norm(found: &[f32], given: &[f32]) -> f64 {
    100.0 * euclidean_distance(given, found) / norm(given)
}

/// `||a||_2`, accumulated in f64.
pub fn norm(a: &[f32]) -> f64 {
    a.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
