//! Pure metrics: numbers of tensors, slices and sets of vectors.
//!
//! A metric knows no run, no data set and no file of results. [`measure`](crate::measure) and
//! [`mod@compare`](crate::compare) import from here, never the reverse.
//!
//! | module | compares | by |
//! |---|---|---|
//! | [`euclidean`] | vectors of two sets, pair by pair | normalised Euclidean error (paper v1, section 4.1) |
//! | [`pixels`] | two pictures | root mean square error, peak signal-to-noise ratio |
//! | [`ssim`] | two pictures | structural similarity |
//! | [`lpips`] | two batches of images | learned perceptual image patch similarity |
//! | [`sharpness`] | frequencies of a picture | power in bands of its spectrum |
//! | [`naturalness`] | frequencies of two pictures | distance of band powers, excess of a grid of period two |
//! | [`spread`] | draws of one thing, and what they are drawn for | distance of draws, energy score |
//! | [`colour`] | colours of two sets of pictures | total variation, earth mover's distance of histograms |
//! | [`distribution`] | two sets of feature vectors | Fréchet distance, kernel distance, random projections |
//! | [`luma`] | - | brightness of colour pictures |
//! | [`statistics`] | - | means, spreads, percentiles and norms |

pub mod colour;
pub mod distribution;
pub mod euclidean;
pub mod lpips;
pub mod luma;
pub mod naturalness;
pub mod pixels;
pub mod sharpness;
pub mod spread;
pub mod ssim;
pub mod statistics;
