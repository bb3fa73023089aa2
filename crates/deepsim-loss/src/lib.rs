//! The loss of "Generating Images with Perceptual Similarity Metrics based on Deep Networks"
//! (Dosovitskiy & Brox, 2016, section 2), as the authors' code computes it.
//!
//! | module | holds |
//! |---|---|
//! | [`term`] | a term: name, weight, value and gradients |
//! | [`terms`] | the single terms, normalised as in the code |
//! | [`perceptual`] | distances of images over any taps of any comparator: the feature term, LPIPS |
//! | [`objective`] | the weighted sum, with every term's value and gradient norm at the image |
//! | [`calibrate`] | weight of a feature term for a new comparator |
//! | [`ranking`] | the loss that VideoNet is trained with |
//! | [`balance`] | balance rules: updates of the discriminator and of the generator |
//!
//! Nothing here reads files or draws random numbers.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use deepsim_loss::term::Inputs;
//! use deepsim_loss::terms::{Distance, FeatureTerm, ImageTerm};
//! use deepsim_loss::objective;
//! use deepsim_nets::{ComparatorKind, Images, PixelFormat};
//!
//! # fn main() -> Result<(), deepsim_loss::LossError> {
//! # let device = Device::Cpu;
//! let images = |v: u8| Images::from_u8(&[v; 3 * 64 * 64], 1, 64, 64, PixelFormat::CAFFE_BGR, &device);
//! let (output, target) = (images(120)?, images(130)?);
//!
//! let comparator = ComparatorKind::exemplar_cnn().open_shipped(&device)?;
//! let feature = FeatureTerm::new(comparator, "CONV3", 0.01);
//! let image = ImageTerm { distance: Distance::SquaredError, weight: 2e-6 };
//! let evaluated = objective::evaluate(&[&feature, &image], &Inputs::new(&output, &target))?;
//! assert_eq!(evaluated.gradient.dims(), [1, 3, 64, 64]);
//! assert_eq!(evaluated.read()?[1].value, 0.5 * 3.0 * 64.0 * 64.0 * 100.0);
//! # Ok(())
//! # }
//! ```

pub mod balance;
pub mod calibrate;
pub mod objective;
pub mod perceptual;
pub mod ranking;
mod tap;
pub mod term;
pub mod terms;

pub use balance::{Balance, BalanceRule};
pub use deepsim_ops::Upsampling;
pub use objective::{At, Evaluated, TermNumbers, TermReport};
pub use perceptual::{Distances, PerceptualDistance, Reduction, TapDistance, Targets};
pub use term::Term;
pub use terms::Distance;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LossError {
    /// An input does not fit the operation, or two inputs do not fit each other.
    #[error("{operation}: expected {wanted}, found {got}")]
    Mismatch {
        /// The operation.
        operation: &'static str,
        /// Description of valid input.
        wanted: String,
        /// Description of the input.
        got: String,
    },
    /// A network failed.
    #[error(transparent)]
    Net(#[from] deepsim_nets::NetError),
    /// A tensor operation failed.
    #[error("{}", deepsim_ops::error_message(.0))]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for LossError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}
