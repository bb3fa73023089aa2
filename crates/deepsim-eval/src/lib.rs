//! Evaluation of DeePSiM generators and the report.
//!
//! A [`measure`] takes a trained generator, a data set and comparators' weights, and returns rows
//! of numbers; it never sees how the generator was trained. deepsim-reproduce puts the rows of several
//! runs beside the paper's numbers.
//!
//! | module | holds | paper |
//! |---|---|---|
//! | [`measure`] | the measures, one per file, and their common contract | v1 Tables 3, 4, Figure 3 |
//! | [`euclidean`] | normalised Euclidean error | v1 section 4.1 |
//! | [`svm`] | liblinear's dual coordinate descent and the STL-10 protocol | v1 Table 4 |
//! | [`probe`] | what a comparator's features are worth to a linear SVM | - |
//! | [`sharpness`] | power spectra | - |
//! | [`ssim`], [`pixels`], [`luma`] | distances of two pictures | - |
//! | [`lpips`] | learned perceptual image patch similarity | - |
//! | [`mod@compare`] | all distances of two pictures at once | - |
//! | [`distribution`] | distances of two sets of feature vectors | - |
//! | [`prior`] | samples of a variational autoencoder | v1 Figure 4 |
//! | [`mod@invert`] | a photograph of one's own through a trained generator | - |
//! | [`preimage`] | inversion by optimisation, with three priors | v1 section 4.3 |
//! | [`pair`] | one perceptual distance of two pictures, with a map | - |

pub mod compare;
pub mod distribution;
pub mod error;
pub mod euclidean;
pub mod invert;
pub mod lpips;
pub mod luma;
pub mod measure;
pub mod pair;
pub mod pixels;
pub mod preimage;
pub mod prior;
pub mod probe;
pub mod sharpness;
pub mod ssim;
pub mod statistics;
pub mod svm;

pub use error::EvalError;
