//! Brightness of colour pictures.

/// Weights of red, green and blue (ITU-R BT.601).
pub const WEIGHTS: [f64; 3] = [0.299, 0.587, 0.114];

/// Brightness of an image in RGB planes.
///
/// # Shapes
/// `3 * H * W` numbers, planes one after the other -> `H * W`
///
/// ```
/// let white_and_blue = [255.0, 0.0, 255.0, 0.0, 255.0, 255.0];
/// let luma = deepsim_eval::metrics::luma::from_planes(&white_and_blue);
/// assert!((luma[0] - 255.0).abs() < 1e-4 && (luma[1] - 0.114 * 255.0).abs() < 1e-4);
/// ```
pub fn from_planes(rgb: &[f32]) -> Vec<f32> {
    let plane = rgb.len() / 3;
    let (red, rest) = rgb.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let values = red.iter().zip(green).zip(blue);
    values.map(|((&r, &g), &b)| weighted([r, g, b])).collect()
}

/// Brightness of a picture with interleaved bytes `R, G, B, R, ...`.
pub fn from_interleaved(rgb: &[u8]) -> Vec<f32> {
    rgb.chunks_exact(3).map(|p| weighted([p[0].into(), p[1].into(), p[2].into()])).collect()
}

fn weighted(rgb: [f32; 3]) -> f32 {
    rgb.iter().zip(WEIGHTS).map(|(&value, weight)| f64::from(value) * weight).sum::<f64>() as f32
}
