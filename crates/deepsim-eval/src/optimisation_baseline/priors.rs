//! Total variation and powers of pixels, with their gradients.

/// Squared lengths are not taken to be smaller than this where `beta < 2` makes their gradient
/// infinite at 0; as in Mahendran & Vedaldi's code for `beta = 1`.
const SMALLEST: f32 = 1e-10;

/// `Σ (dx² + dy²)^(beta/2)` of all planes, with differences to the pixel on the right and the one
/// below, 0 beyond the border. Adds `weight` times its gradient to `gradient`.
///
/// # Shapes
/// `image` and `gradient` hold planes of `height * width` numbers
///
/// ```
/// use deepsim_eval::optimisation_baseline::priors::total_variation;
/// let mut gradient = [0.0; 4];
/// // One step of 2 to the right and one of 1 down, in the first column.
/// let value = total_variation(&[0.0, 2.0, 1.0, 2.0], 2, 2, 2.0, 0.5, &mut gradient);
/// assert_eq!(value, 4.0 + 1.0 + 1.0);
/// assert_eq!(gradient, [-3.0, 2.0, 0.0, 1.0]);
/// ```
pub fn total_variation(
    image: &[f32],
    height: usize,
    width: usize,
    beta: f64,
    weight: f32,
    gradient: &mut [f32],
) -> f64 {
    let plane = (height * width).max(1);
    let mut value = 0.0;
    for (image, gradient) in image.chunks_exact(plane).zip(gradient.chunks_exact_mut(plane)) {
        for y in 0..height {
            let here = &image[y * width..(y + 1) * width];
            let (row, rest) = gradient[y * width..].split_at_mut(width);
            // The last row has no row below: its own stands in, with differences of 0.
            let below = if y + 1 < height { &image[(y + 1) * width..][..width] } else { here };
            let mut sum = 0.0;
            for x in 0..width {
                let right = if x + 1 < width { here[x + 1] } else { here[x] };
                let (dx, dy) = (right - here[x], below[x] - here[x]);
                let square = dx * dx + dy * dy;
                let factor = if beta == 2.0 {
                    sum += f64::from(square);
                    2.0 * weight
                } else {
                    sum += f64::from(square).powf(beta / 2.0);
                    let length = if beta < 2.0 { square.max(SMALLEST) } else { square };
                    beta as f32 * weight * length.powf(beta as f32 / 2.0 - 1.0)
                };
                row[x] -= factor * (dx + dy);
                if x + 1 < width {
                    row[x + 1] += factor * dx;
                }
                if y + 1 < height {
                    rest[x] += factor * dy;
                }
            }
            value += sum;
        }
    }
    value
}

/// `Σ x^alpha`. Adds `weight` times its gradient to `gradient`.
///
/// # Shapes
/// Two slices of the same length
///
/// ```
/// use deepsim_eval::optimisation_baseline::priors::power;
/// let mut gradient = [0.0; 2];
/// assert_eq!(power(&[1.0, -2.0], 6, 0.5, &mut gradient), 65.0);
/// assert_eq!(gradient, [3.0, -96.0]);
/// ```
pub fn power(image: &[f32], alpha: u32, weight: f32, gradient: &mut [f32]) -> f64 {
    let (less, weight) = (alpha as i32 - 1, weight * alpha as f32);
    let mut value = 0.0;
    for (&x, gradient) in image.iter().zip(gradient) {
        let p = x.powi(less);
        value += f64::from(p) * f64::from(x);
        *gradient += weight * p;
    }
    value
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::{normal, stream};

    use super::*;

    const HEIGHT: usize = 6;
    const WIDTH: usize = 5;

    /// The largest difference of `gradient` from central differences of `value`, over the largest
    /// gradient.
    fn deviation(
        image: &[f32],
        value: &dyn Fn(&[f64]) -> f64,
        add: &dyn Fn(&[f32], &mut [f32]),
    ) -> f64 {
        let mut gradient = vec![1f32; image.len()];
        add(image, &mut gradient);
        let largest = gradient.iter().fold(0f64, |a, g| a.max(f64::from(*g - 1.0).abs()));
        let image: Vec<f64> = image.iter().map(|x| f64::from(*x)).collect();
        let at = |i: usize, step: f64| {
            let mut moved = image.clone();
            moved[i] += step;
            value(&moved)
        };
        let step = 1e-4;
        let differences = (0..image.len()).map(|i| (at(i, step) - at(i, -step)) / (2.0 * step));
        let apart = differences.zip(&gradient).map(|(d, g)| (d - f64::from(*g - 1.0)).abs());
        apart.fold(0.0, f64::max) / largest
    }

    /// Total variation from its definition, in double precision.
    fn direct(image: &[f64], beta: f64) -> f64 {
        let at = |p: usize, y: usize, x: usize| image[(p * HEIGHT + y) * WIDTH + x];
        let mut sum = 0.0;
        for p in 0..image.len() / (HEIGHT * WIDTH) {
            for y in 0..HEIGHT {
                for x in 0..WIDTH {
                    let dx = at(p, y, (x + 1).min(WIDTH - 1)) - at(p, y, x);
                    let dy = at(p, (y + 1).min(HEIGHT - 1), x) - at(p, y, x);
                    sum += (dx * dx + dy * dy).powf(beta / 2.0);
                }
            }
        }
        sum
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let image = normal(&mut stream(1, "test", 0), 3 * HEIGHT * WIDTH, 50.0);
        let doubles: Vec<f64> = image.iter().map(|x| f64::from(*x)).collect();
        for beta in [1.0, 1.5, 2.0, 3.0] {
            let value = total_variation(&image, HEIGHT, WIDTH, beta, 0.0, &mut [0.0; 90]);
            assert!((value / direct(&doubles, beta) - 1.0).abs() < 1e-5, "beta {beta}: {value}");
            let add = |image: &[f32], gradient: &mut [f32]| {
                total_variation(image, HEIGHT, WIDTH, beta, 0.5, gradient);
            };
            let apart = deviation(&image, &|x| 0.5 * direct(x, beta), &add);
            assert!(apart < 1e-5, "beta {beta}: {apart}");
        }
        for alpha in [2u32, 6] {
            let value = |x: &[f64]| 3.0 * x.iter().map(|x| x.powi(alpha as i32)).sum::<f64>();
            let add = |image: &[f32], gradient: &mut [f32]| {
                power(image, alpha, 3.0, gradient);
            };
            let apart = deviation(&image, &value, &add);
            assert!(apart < 1e-5, "alpha {alpha}: {apart}");
            let wanted = value(&doubles) / 3.0;
            let got = power(&image, alpha, 0.0, &mut [0.0; 90]);
            assert!((got / wanted - 1.0).abs() < 1e-5, "{got} against {wanted}");
        }
    }

    #[test]
    fn flat_images_have_a_finite_gradient() {
        let mut gradient = [0.0; HEIGHT * WIDTH];
        let value = total_variation(&[3.0; HEIGHT * WIDTH], HEIGHT, WIDTH, 1.0, 1.0, &mut gradient);
        assert_eq!((value, gradient), (0.0, [0.0; HEIGHT * WIDTH]));
    }
}
