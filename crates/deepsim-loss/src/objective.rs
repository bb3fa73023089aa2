//! The weighted sum of terms, evaluated at the generator's output.
//!
//! Every term reaches the generator only through the image it made, so each is differentiated with
//! respect to that image by itself: the sum costs the same, and the gradient norm of every term at
//! the image comes free. The divergence of a variational autoencoder's codes is differentiated with
//! respect to those ([`evaluate_divergence`]). [`backward_from_all`] then carries the gradients into the
//! generator, as the authors' training script does.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use deepsim_nets::{Images, Posterior};
use deepsim_ops::Reading;

use crate::{LossError, terms};

/// Name of the term that [`evaluate_divergence`] reports.
pub const DIVERGENCE: &str = "divergence";

/// One term of the objective.
#[derive(Clone, Copy)]
pub struct Term<'a> {
    name: &'static str,
    weight: f64,
    loss: &'a LossFn<'a>,
}

/// A scalar loss of images.
pub type LossFn<'a> = dyn Fn(&Images) -> Result<Tensor, LossError> + 'a;

impl<'a> Term<'a> {
    /// `weight` times the scalar `loss` of the images.
    pub fn new(name: &'static str, weight: f64, loss: &'a LossFn<'a>) -> Self {
        Self { name, weight, loss }
    }
}

/// What one term contributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermReport {
    /// Its name.
    pub name: &'static str,
    /// Its value before weighting.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
    /// L2 norm, over the whole batch, of the weighted term's gradient at the images; of the divergence
    /// at the codes.
    pub grad_norm: f64,
}

impl TermReport {
    /// Weight times value.
    pub fn weighted(&self) -> f64 {
        self.weight * self.value
    }
}

/// A term that was computed, and whose numbers a GPU may still hold.
#[derive(Clone, Debug)]
pub struct MeasuredTerm {
    /// Name of the term.
    pub name: &'static str,
    /// Its weight.
    pub weight: f64,
    /// Its value.
    pub value: Reading,
    /// The L2 norm of its weighted gradient.
    pub grad_norm: Reading,
}

impl MeasuredTerm {
    /// The numbers of terms; a GPU is waited for once.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(terms: &[Self]) -> Result<Vec<TermReport>, LossError> {
        let numbers: Vec<Reading> = terms.iter().flat_map(Self::numbers).collect();
        let values = Reading::read(&numbers)?;
        let report = |(term, values): (&Self, &[f64])| TermReport {
            name: term.name,
            value: values[0],
            weight: term.weight,
            grad_norm: values[1],
        };
        Ok(terms.iter().zip(values.chunks_exact(2)).map(report).collect())
    }

    /// Its value, and the norm of its gradient.
    pub fn numbers(&self) -> [Reading; 2] {
        [self.value.clone(), self.grad_norm.clone()]
    }
}

/// The objective at some images.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Every term, in the order given.
    pub terms: Vec<MeasuredTerm>,
    /// Gradient of the weighted sum at the images, `(N, 3, H, W)`.
    pub gradient: Tensor,
}

impl Evaluated {
    /// The numbers of every term ([`MeasuredTerm::read`]).
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(&self) -> Result<Vec<TermReport>, LossError> {
        MeasuredTerm::read(&self.terms)
    }
}

/// Evaluates every term and the gradient of their weighted sum at `output`.
///
/// # Shapes
/// `(N, 3, H, W)`, and a gradient of the same shape
///
/// # Errors
/// If a term fails.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::{Term, objective, terms};
/// use deepsim_nets::{Images, PixelFormat};
/// let images = |v: u8| Images::from_u8(&[v; 3 * 4 * 4], 1, 4, 4, PixelFormat::RGB_U8, &Device::Cpu);
/// let target = images(10)?;
/// let squared = |x: &Images| terms::squared_error(x, &target);
/// let absolute = |x: &Images| terms::absolute_error(x, &target);
/// let terms = [Term::new("squared", 0.5, &squared), Term::new("absolute", 3.0, &absolute)];
/// let evaluated = objective::evaluate(&images(12)?, &terms)?;
/// // 0.5 (12 - 10) + 3 at every value.
/// assert_eq!(evaluated.gradient.min_all()?.to_scalar::<f32>()?, 4.0);
/// let reports = evaluated.read()?;
/// assert_eq!((reports[0].value, reports[0].weighted()), (96.0, 48.0));
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn evaluate(output: &Images, terms: &[Term<'_>]) -> Result<Evaluated, LossError> {
    let leaf = Var::from_tensor(&output.tensor().detach())?;
    let images = output.with_tensor(leaf.as_tensor().clone())?;
    let (mut measured, mut gradients) = (Vec::new(), Vec::new());
    for term in terms {
        let loss = (term.loss)(&images)?;
        let gradient = match loss.backward()?.remove(&leaf) {
            Some(gradient) => (gradient * term.weight)?,
            None => leaf.zeros_like()?,
        };
        measured.push(MeasuredTerm {
            name: term.name,
            weight: term.weight,
            value: Reading::of(&loss)?,
            grad_norm: Reading::norm(&[&gradient])?,
        });
        gradients.push(gradient);
    }
    let sum = gradients.into_iter().map(Ok).reduce(|sum, gradient| sum? + gradient?);
    let gradient = sum.unwrap_or_else(|| leaf.zeros_like())?;
    Ok(Evaluated { terms: measured, gradient })
}

/// The divergence of codes as a term, with its gradients at the mean and at the logarithm of the
/// variance; the norm is that of both.
///
/// # Shapes
/// two `(N, latent)`, and gradients of the same shape
///
/// # Errors
/// If the shapes differ.
pub fn evaluate_divergence(
    posterior: &Posterior,
    weight: f64,
) -> Result<(MeasuredTerm, [Tensor; 2]), LossError> {
    let leaf = |tensor: &Tensor| Var::from_tensor(&tensor.detach());
    let (mean, log_variance) = (leaf(&posterior.mean)?, leaf(&posterior.log_variance)?);
    let leaves = [&mean, &log_variance].map(|leaf| leaf.as_tensor().clone());
    let [of_mean, of_log] = leaves;
    let loss = terms::divergence(&Posterior { mean: of_mean, log_variance: of_log })?;
    let mut gradients = loss.backward()?;
    let mut gradient = |leaf: &Var| match gradients.remove(leaf) {
        Some(gradient) => gradient * weight,
        None => leaf.zeros_like(),
    };
    let both = [gradient(&mean)?, gradient(&log_variance)?];
    let report = MeasuredTerm {
        name: DIVERGENCE,
        weight,
        value: Reading::of(&loss)?,
        grad_norm: Reading::norm(&[&both[0], &both[1]])?,
    };
    Ok((report, both))
}

/// Gradients of everything `output` was computed from, given the gradient at `output`.
///
/// # Shapes
/// two tensors of equal shape
///
/// # Errors
/// If the shapes differ.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_loss::objective;
/// let x = Var::new(&[1f32, 2.0], &Device::Cpu)?;
/// let output = (x.sqr()? * 3.0)?;
/// let gradient = Tensor::new(&[1f32, 10.0], &Device::Cpu)?;
/// let gradients = objective::backward_from(&output, &gradient)?;
/// // 6 x times the gradient at the output
/// assert_eq!(gradients.get(&x).expect("it is part of the output").to_vec1::<f32>()?, [6.0, 120.0]);
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn backward_from(output: &Tensor, gradient: &Tensor) -> Result<GradStore, LossError> {
    backward_from_all(&[(output, gradient)])
}

/// Gradients of everything that some tensors were computed from, given the gradient at each.
///
/// # Shapes
/// in each pair two tensors of equal shape
///
/// # Errors
/// If there is no pair, or shapes differ.
pub fn backward_from_all(pairs: &[(&Tensor, &Tensor)]) -> Result<GradStore, LossError> {
    // The derivative of <output, g> with respect to output is g.
    let product =
        |(output, gradient): &(&Tensor, &Tensor)| (*output * gradient.detach())?.sum_all();
    let products = pairs.iter().map(product).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::stack(&products, 0)?.sum_all()?.backward()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use deepsim_nets::PixelFormat;

    #[test]
    fn separate_terms_give_the_gradient_of_the_sum() -> Result<(), LossError> {
        let device = Device::Cpu;
        let format = PixelFormat::RGB_U8;
        let target = Images::from_u8(&[3; 12], 1, 2, 2, format, &device)?;
        let scale = Var::from_slice(&[2f32], 1, &device)?;
        let base = Images::from_u8(&(0..12).collect::<Vec<u8>>(), 1, 2, 2, format, &device)?;
        let output = base.with_tensor(base.tensor().broadcast_mul(&scale)?)?;

        let squared = |x: &Images| terms::squared_error(x, &target);
        let absolute = |x: &Images| terms::absolute_error(x, &target);
        let evaluated = evaluate(
            &output,
            &[Term::new("squared", 0.5, &squared), Term::new("absolute", 3.0, &absolute)],
        )?;
        let split = backward_from(output.tensor(), &evaluated.gradient)?;

        let whole = ((squared(&output)? * 0.5)? + (absolute(&output)? * 3.0)?)?;
        let reports = evaluated.read()?;
        let total: f64 = reports.iter().map(TermReport::weighted).sum();
        assert!((total - f64::from(whole.to_scalar::<f32>()?)).abs() < 1e-3);
        let whole = whole.backward()?;
        let values = |grads: &GradStore| -> Result<Vec<f32>, LossError> {
            Ok(grads.get(&scale).expect("a gradient for the scale").to_vec1()?)
        };
        assert_eq!(values(&split)?, values(&whole)?);

        // d = 2i - 3: squared gradient 0.5 d, absolute gradient 3 sign(d).
        let squares: f64 = (0..12).map(|i| (0.5 * (2.0 * f64::from(i) - 3.0)).powi(2)).sum();
        assert!((reports[0].grad_norm - squares.sqrt()).abs() < 1e-4);
        assert!((reports[1].grad_norm - (12.0f64 * 9.0).sqrt()).abs() < 1e-4);
        Ok(())
    }
}
