//! One term of a generator's loss, as a value.

use std::ops::Range;

use candle_core::{Tensor, Var};
use deepsim_nets::{Images, Posterior};

use crate::LossError;

/// A term of a generator's loss: a name, a weight, and a value with its gradients.
///
/// A term depends on the generator only through the images that it made, or through the distribution of its codes.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::term::{Inputs, Term, TermValue, at_images};
/// use deepsim_loss::{LossError, objective};
/// use deepsim_nets::{Images, PixelFormat};
///
/// /// Mean brightness of the output.
/// struct Brightness;
///
/// impl Term for Brightness {
///     fn name(&self) -> &'static str {
///         "brightness"
///     }
///     fn weight(&self, step: u64) -> f64 {
///         if step < 100 { 0.0 } else { 2.0 }
///     }
///     fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
///         at_images(inputs.output, |images| Ok(images.tensor().mean_all()?))
///     }
/// }
///
/// let images = Images::from_u8(&[5; 12], 1, 2, 2, PixelFormat::RGB_U8, &Device::Cpu)?;
/// let inputs = Inputs { step: 100, ..Inputs::new(&images, &images) };
/// let evaluated = objective::evaluate(&[&Brightness], &inputs)?;
/// assert_eq!(evaluated.read()?[0].weighted(), 10.0);
/// # Ok::<(), LossError>(())
/// ```
pub trait Term {
    /// Name in logs and curves.
    fn name(&self) -> &'static str;

    /// Returns the weight at a step, which is counted from 1.
    fn weight(&self, step: u64) -> f64;

    /// Returns true if the weight is relative to the gradient of the other terms: [`objective::evaluate`](crate::objective::evaluate)
    /// multiplies it by their norm over that of this term, both at the generated images, so that with a weight of 1 this term
    /// pulls as hard as all others together. Only terms at the images can be relative.
    fn relative(&self) -> bool {
        false
    }

    /// Computes the value and its gradients, both before weighting.
    ///
    /// # Errors
    /// If an input is missing or does not fit.
    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError>;
}

/// Inputs of the terms in one step.
#[derive(Clone)]
pub struct Inputs<'a> {
    /// Step, counted from 1.
    pub step: u64,
    /// Indices of the real images in the batch of all processes.
    pub samples: Range<usize>,
    /// Images that are generated from each real one, with noise of their own; 1 in the paper.
    pub draws: usize,
    /// Generated images, `(B, 3, H, W)`: the first draw of all real images, then the second one, and so on.
    pub output: &'a Images,
    /// Real images, as often as there are draws, `(B, 3, H, W)`.
    pub target: &'a Images,
    /// Features that the generator inverts, which a conditional discriminator is given too.
    pub features: Option<&'a Tensor>,
    /// The comparator's features of the real images.
    pub target_features: Option<&'a Tensor>,
    /// Distribution of the codes of a variational autoencoder.
    pub posterior: Option<&'a Posterior>,
}

impl<'a> Inputs<'a> {
    /// Creates the inputs of step 1 from generated and real images, one draw of each.
    pub fn new(output: &'a Images, target: &'a Images) -> Self {
        let samples = 0..output.len();
        let (features, target_features, posterior) = (None, None, None);
        Self { step: 1, samples, draws: 1, output, target, features, target_features, posterior }
    }
}

/// Value of a term with its gradients, before weighting.
#[derive(Clone, Debug)]
pub struct TermValue {
    /// Scalar.
    pub value: Tensor,
    /// Gradients of the scalar.
    pub gradients: Gradients,
}

/// Gradients of a term.
#[derive(Clone, Debug)]
pub enum Gradients {
    /// At the generated images, `(B, 3, H, W)`.
    Images(Tensor),
    /// At the mean and the logarithm of the variance of the codes, two `(B, code)`.
    Codes([Tensor; 2]),
}

/// Differentiates a scalar loss of images.
///
/// # Shapes
/// `(B, 3, H, W)`
///
/// # Errors
/// If the loss fails.
pub fn at_images(
    output: &Images,
    loss: impl FnOnce(&Images) -> Result<Tensor, LossError>,
) -> Result<TermValue, LossError> {
    let leaf = leaf(output.tensor())?;
    let value = loss(&output.with_tensor(leaf.as_tensor().clone())?)?;
    let gradient = match value.backward()?.remove(&leaf) {
        Some(gradient) => gradient,
        None => leaf.zeros_like()?,
    };
    Ok(TermValue { value, gradients: Gradients::Images(gradient) })
}

/// Returns a variable with the values of a tensor; returns a variable unchanged.
pub(crate) fn leaf(tensor: &Tensor) -> Result<Var, LossError> {
    Ok(match tensor.is_variable() {
        true => Var::from_tensor(tensor)?,
        false => Var::from_tensor(&tensor.detach())?,
    })
}

/// A term with a constant weight whose loss is a function of the generated images; see [`from_fn`].
#[derive(Clone, Copy)]
pub struct FnTerm<F> {
    name: &'static str,
    weight: f64,
    loss: F,
}

/// Creates a term from a scalar `loss` of the generated images.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::{objective, term, terms};
/// use deepsim_nets::{Images, PixelFormat};
/// let images = |v: u8| Images::from_u8(&[v; 3 * 4 * 4], 1, 4, 4, PixelFormat::RGB_U8, &Device::Cpu);
/// let target = images(10)?;
/// let squared = term::from_fn("squared", 0.5, |x: &Images| terms::squared_error(x, &target));
/// let output = images(12)?;
/// let evaluated = objective::evaluate(&[&squared], &term::Inputs::new(&output, &target))?;
/// assert_eq!(evaluated.read()?[0].weighted(), 48.0);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn from_fn<F>(name: &'static str, weight: f64, loss: F) -> FnTerm<F>
where
    F: Fn(&Images) -> Result<Tensor, LossError>,
{
    FnTerm { name, weight, loss }
}

impl<F: Fn(&Images) -> Result<Tensor, LossError>> Term for FnTerm<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn weight(&self, _step: u64) -> f64 {
        self.weight
    }

    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
        at_images(inputs.output, &self.loss)
    }
}
