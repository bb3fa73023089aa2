//! Structural similarity (Wang et al. 2004).
//!
//! Means, variances and covariance of the brightness under an 11x11 Gaussian window of standard
//! deviation 1.5, `K1 = 0.01`, `K2 = 0.03`, range 255; the mean over all windows that lie inside the
//! picture. The same numbers as the authors' `ssim.m` (without its downsampling) and as
//! scikit-image's `structural_similarity(gaussian_weights=True, use_sample_covariance=False)`.

/// Side of the window.
pub const WINDOW: usize = 11;

const SIGMA: f64 = 1.5;

/// Structural similarity of two brightness planes, at most 1; `None` if a side is below
/// [`WINDOW`].
///
/// # Shapes
/// Two times `height * width` numbers, row-major
pub fn structural_similarity(a: &[f32], b: &[f32], height: usize, width: usize) -> Option<f64> {
    if height < WINDOW || width < WINDOW {
        return None;
    }
    let combine = |value: fn(f64, f64) -> f64| -> Vec<f64> {
        let plane: Vec<f64> = a.iter().zip(b).map(|(&a, &b)| value(a.into(), b.into())).collect();
        filtered(&plane, height, width)
    };
    let mean_a = combine(|a, _| a);
    let mean_b = combine(|_, b| b);
    let square_a = combine(|a, _| a * a);
    let square_b = combine(|_, b| b * b);
    let product = combine(|a, b| a * b);

    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let sum: f64 = (0..mean_a.len())
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let (va, vb) = (square_a[i] - ma * ma, square_b[i] - mb * mb);
            let covariance = product[i] - ma * mb;
            (2.0 * ma * mb + c1) * (2.0 * covariance + c2)
                / ((ma * ma + mb * mb + c1) * (va + vb + c2))
        })
        .sum();
    Some(sum / mean_a.len() as f64)
}

/// The weighted mean under every window inside the plane.
fn filtered(plane: &[f64], height: usize, width: usize) -> Vec<f64> {
    let mut weights = [0f64; WINDOW];
    for (i, weight) in weights.iter_mut().enumerate() {
        *weight = (-(i as f64 - (WINDOW / 2) as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);

    let inner = width - WINDOW + 1;
    let mut rows = Vec::with_capacity(height * inner);
    for row in plane.chunks_exact(width) {
        rows.extend(
            row.windows(WINDOW).map(|w| w.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>()),
        );
    }
    let mut out = Vec::with_capacity((height - WINDOW + 1) * inner);
    for y in 0..=height - WINDOW {
        for x in 0..inner {
            out.push(weights.iter().enumerate().map(|(i, w)| w * rows[(y + i) * inner + x]).sum());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_planes_leave_the_brightness_term_only() {
        let (a, b) = ([100.0; 12 * 13], [120.0; 12 * 13]);
        let c1 = (0.01f64 * 255.0).powi(2);
        let wanted = (2.0 * 100.0 * 120.0 + c1) / (100.0f64.powi(2) + 120.0f64.powi(2) + c1);
        let got = structural_similarity(&a, &b, 12, 13).expect("large enough");
        assert!((got - wanted).abs() < 1e-9, "{got} against {wanted}");
        assert_eq!(structural_similarity(&a, &b, 10, 15), None);
    }
}
