//! Distances of two pictures pixel by pixel, and averages over blocks.

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
/// use deepsim_eval::metrics::pixels::peak_signal_to_noise;
/// assert_eq!(peak_signal_to_noise(25.5), 20.0);
/// assert_eq!(peak_signal_to_noise(0.0), f64::INFINITY);
/// ```
pub fn peak_signal_to_noise(root_mean_square_error: f64) -> f64 {
    20.0 * (255.0 / root_mean_square_error).log10()
}

/// Side of the blocks of [`block_means`].
const BLOCK: usize = 4;

/// Means of 4x4 blocks of planes; rows and columns that fill no block are left out.
///
/// # Shapes
/// planes of `height * width` numbers -> planes of `(height / 4) * (width / 4)`
pub fn block_means(pixels: &[u8], height: usize, width: usize) -> Vec<f32> {
    let (rows, columns) = (height / BLOCK, width / BLOCK);
    let mut means = Vec::with_capacity(pixels.len() / (BLOCK * BLOCK));
    for plane in pixels.chunks_exact((height * width).max(1)) {
        for block in 0..rows * columns {
            let (top, left) = (block / columns * BLOCK, block % columns * BLOCK);
            let sum: u32 = (0..BLOCK)
                .flat_map(|y| &plane[(top + y) * width + left..][..BLOCK])
                .map(|&pixel| u32::from(pixel))
                .sum();
            means.push(sum as f32 / (BLOCK * BLOCK) as f32);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_means_are_those_of_sixteen_pixels() {
        // Two planes of 5x9: the last row and column fill no block.
        let pixels: Vec<u8> = (0..2 * 5 * 9).map(|i| i as u8).collect();
        let mean = |first: usize| first as f32 + (9 + 18 + 27 + 1 + 2 + 3) as f32 / 4.0;
        assert_eq!(block_means(&pixels, 5, 9), [mean(0), mean(4), mean(45), mean(49)]);
    }
}
