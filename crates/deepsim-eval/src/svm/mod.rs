//! Linear support vector machines on the autoencoder's code (paper v1, section 4.1 and Table 4).
//!
//! The paper trains linear SVMs on STL-10's ten folds and prints no hyper-parameters. [`protocol`]
//! is the STL-10 protocol of the same first author's Exemplar-CNN, which uses liblinear; [`solver`]
//! is that solver: one-vs-rest, squared hinge loss, dual coordinate descent with shrinking (Hsieh
//! et al. 2008, "A dual coordinate descent method for large-scale linear SVM").
//!
//! Why a solver of our own: the `liblinear` crate binds a C++ library, and this project builds
//! without one; `linfa-svm` solves kernel machines with hinge loss by SMO, which is another
//! objective and quadratic in memory. The algorithm is a page long, and the objective is strictly
//! convex, so its one solution can be checked: `tests/svm.rs` compares weights and accuracies with
//! those of scikit-learn's `LinearSVC` (which is liblinear) from a committed fixture.

mod input;
pub mod protocol;
pub mod solver;

pub use input::SvmInput;
pub use protocol::{FoldAccuracy, Protocol, accuracy_over_folds, check_labels};
pub use solver::{Examples, LinearSvm, SvmConfig};
