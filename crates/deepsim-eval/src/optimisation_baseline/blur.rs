//! Gaussian blur and circular shifts of planes.

/// Blurs every plane with a Gaussian of deviation `sigma` pixels, cut off at four deviations; beyond
/// the border the image is mirrored (SciPy's `gaussian_filter`, which Yosinski et al. use).
///
/// # Shapes
/// `image` holds planes of `height * width` numbers
pub fn gaussian_blur(image: &mut [f32], height: usize, width: usize, sigma: f64) {
    if sigma <= 0.0 || height * width == 0 {
        return;
    }
    let kernel = kernel(sigma);
    let (mut rows, mut columns) = (vec![0f32; width], vec![0f32; height * width]);
    for plane in image.chunks_exact_mut(height * width) {
        for row in plane.chunks_exact_mut(width) {
            rows.copy_from_slice(row);
            for (x, value) in row.iter_mut().enumerate() {
                let term =
                    |(k, weight): (usize, &f32)| weight * rows[mirrored(x, k, &kernel, width)];
                *value = kernel.iter().enumerate().map(term).sum();
            }
        }
        columns.copy_from_slice(plane);
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            row.fill(0.0);
            for (k, weight) in kernel.iter().enumerate() {
                let from = &columns[mirrored(y, k, &kernel, height) * width..][..width];
                row.iter_mut().zip(from).for_each(|(value, other)| *value += weight * other);
            }
        }
    }
}

fn kernel(sigma: f64) -> Vec<f32> {
    let radius = (4.0 * sigma + 0.5) as i64;
    let weights = (-radius..=radius).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp());
    let sum: f64 = weights.clone().sum();
    weights.map(|weight| (weight / sum) as f32).collect()
}

/// Position of the pixel under the `k`-th weight of a kernel over `at`: ... b a | a b c | c b ...
fn mirrored(at: usize, k: usize, kernel: &[f32], length: usize) -> usize {
    let place = (at + k) as i64 - (kernel.len() / 2) as i64;
    let place = place.rem_euclid(2 * length as i64) as usize;
    place.min(2 * length - 1 - place)
}

/// Every plane shifted by `down` and `right` pixels, around the borders.
///
/// # Shapes
/// `image` holds planes of `height * width` numbers, and so does the result
///
/// ```
/// use deepsim_eval::optimisation_baseline::blur::shifted;
/// assert_eq!(shifted(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3, 1, -1), [5.0, 6.0, 4.0, 2.0, 3.0, 1.0]);
/// ```
pub fn shifted(image: &[f32], height: usize, width: usize, down: i64, right: i64) -> Vec<f32> {
    let mut out = image.to_vec();
    if height * width == 0 {
        return out;
    }
    let down = down.rem_euclid(height as i64) as usize;
    let right = right.rem_euclid(width as i64) as usize;
    for plane in out.chunks_exact_mut(height * width) {
        plane.rotate_right(down * width);
        plane.chunks_exact_mut(width).for_each(|row| row.rotate_right(right));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_a_gaussian_and_nothing_is_lost_at_the_border() {
        // scipy.ndimage.gaussian_filter(a, 1.0) of a point in the corner of 4x5, first row.
        let mut image = vec![0f32; 20];
        image[0] = 100.0;
        gaussian_blur(&mut image, 4, 5, 1.0);
        let wanted = [41.077_19, 18.968_68, 3.744_417, 0.292_622, 0.008_577_4];
        for (got, wanted) in image.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-5, "{got} against {wanted}");
        }
        assert!((image.iter().sum::<f32>() - 100.0).abs() < 1e-3);
        let mut flat = vec![7f32; 2 * 20];
        gaussian_blur(&mut flat, 4, 5, 2.0);
        assert!(flat.iter().all(|x| (x - 7.0).abs() < 1e-5));
    }

    #[test]
    fn shifts_are_undone_by_their_opposites() {
        let image: Vec<f32> = (0..2 * 4 * 5).map(|i| i as f32).collect();
        for (down, right) in [(0, 0), (1, -2), (-7, 9)] {
            let there = shifted(&image, 4, 5, down, right);
            assert_eq!(shifted(&there, 4, 5, -down, -right), image);
        }
    }
}
