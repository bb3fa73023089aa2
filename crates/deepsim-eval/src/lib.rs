//! Evaluation of DeePSiM generators.
//!
//! A [`measure`] takes a trained generator, a data set and comparators' weights, and returns rows
//! of numbers; it never sees how the generator was trained. deepsim-reproduce puts the rows of several
//! runs beside the paper's numbers.
//!
//! | module | holds | paper |
//! |---|---|---|
//! | [`metrics`] | pure metrics on tensors and slices: normalised Euclidean error, SSIM, LPIPS, ... | v1 section 4.1 |
//! | [`measure`] | measures of a run, one per file, and their common contract | v1 Tables 3, 4, 6, Figures 3 to 9 |
//! | [`svm`] | liblinear's dual coordinate descent and the STL-10 protocol | v1 Table 4 |
//! | [`probe`] | linear probes of comparators' features | - |
//! | [`mod@compare`] | all distances of two pictures at once | - |
//! | [`pair`] | one perceptual distance of two pictures, with a map | - |
//! | [`folders`] | folders of pictures: pairs by name, and two sets as distributions | - |
//! | [`preimages`] | different images of one feature vector | v1 section 4.3 |
//! | [`prior`] | samples of a variational autoencoder | v1 Figure 4 |
//! | [`features`] | files of features, their statistics, and the features of photographs | - |
//! | [`mod@generate`] | images of given features by a generator | - |
//! | [`generator_input`] | gradient descent in the input of a generator: to given features, or to a large unit | - |
//! | [`mod@invert`] | reconstruction of one photograph by a trained generator | - |
//! | [`optimisation_baseline`] | gradient descent to given features, with three priors (Mahendran & Vedaldi) | v1 section 4.3 |
//! | [`comparators`] | comparators with the weights of a folder | - |

mod arrays;
pub mod comparators;
pub mod compare;
pub mod error;
pub mod features;
pub mod folders;
pub mod generate;
pub mod generator_input;
pub mod invert;
pub mod measure;
pub mod metrics;
pub mod optimisation_baseline;
pub mod pair;
pub mod preimages;
pub mod prior;
pub mod probe;
pub mod svm;

pub use error::EvalError;
