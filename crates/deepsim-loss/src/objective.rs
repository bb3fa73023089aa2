//! The weighted sum of terms, evaluated at the generator's output.
//!
//! Every term depends on the generator only through the image it made, so each is differentiated with
//! respect to that image alone: the sum costs the same, and the gradient norm of every term at
//! the image comes free. The divergence of a variational autoencoder's codes is differentiated with
//! respect to those. [`backward_from_all`] then carries the gradients into the generator, as the authors'
//! training script does.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use deepsim_ops::DeferredScalar;

use crate::LossError;
use crate::term::{Gradients, Inputs, Term, leaf};

/// Numbers of one term: `f64`, or deferred scalars that are still on the device ([`DeferredScalar`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermNumbers<T> {
    /// Name of the term.
    pub name: &'static str,
    /// Weight of the term.
    pub weight: f64,
    /// Place of its gradient.
    pub at: At,
    /// Value before weighting.
    pub value: T,
    /// L2 norm, over the whole batch, of the weighted term's gradient.
    pub grad_norm: T,
}

/// Place at which the gradient of a term is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The generated images.
    Images,
    /// The codes of a variational autoencoder.
    Codes,
}

/// Numbers of one term that are known.
pub type TermReport = TermNumbers<f64>;

impl TermReport {
    /// Weight times value.
    pub fn weighted(&self) -> f64 {
        self.weight * self.value
    }
}

impl<T> TermNumbers<T> {
    /// Converts both numbers, the value first.
    ///
    /// # Errors
    /// That of `convert`.
    pub fn try_map<U, E>(
        self,
        mut convert: impl FnMut(T) -> Result<U, E>,
    ) -> Result<TermNumbers<U>, E> {
        let Self { name, weight, at, value, grad_norm } = self;
        let (value, grad_norm) = (convert(value)?, convert(grad_norm)?);
        Ok(TermNumbers { name, weight, at, value, grad_norm })
    }
}

impl TermNumbers<DeferredScalar> {
    /// Reads the numbers of terms with a single synchronisation with the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(terms: &[Self]) -> Result<Vec<TermReport>, LossError> {
        let numbers = terms.iter().flat_map(|term| [term.value.clone(), term.grad_norm.clone()]);
        let mut values = DeferredScalar::read(&numbers.collect::<Vec<_>>())?.into_iter();
        let mut next = |_| Ok(values.next().unwrap_or(f64::NAN));
        terms.iter().cloned().map(|term| term.try_map(&mut next)).collect()
    }
}

/// The objective at some images.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Every term, in the order given.
    pub terms: Vec<TermNumbers<DeferredScalar>>,
    /// Gradient of the weighted sum at the images, `(B, 3, H, W)`.
    pub gradient: Tensor,
    /// Gradients of the weighted sum at the mean and the logarithm of the variance of the codes, two
    /// `(B, code)`, if a term looks at those.
    pub codes: Option<[Tensor; 2]>,
}

impl Evaluated {
    /// Reads the numbers of every term ([`TermNumbers::read`]).
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(&self) -> Result<Vec<TermReport>, LossError> {
        TermNumbers::read(&self.terms)
    }
}

/// Most that a relative weight is multiplied by, so that a term without a gradient gets a finite one.
const MOST: f64 = 1e4;

/// Evaluates every term, and the gradients of their weighted sum. Weights that are [relative](Term::relative) are known
/// once all other terms are; on a GPU two norms are read for each of them.
///
/// # Shapes
/// images of `(B, 3, H, W)`, and a gradient of the same shape
///
/// # Errors
/// If a term fails.
///
/// ```
/// use candle_core::Device;
/// use deepsim_loss::term::Inputs;
/// use deepsim_loss::terms::{Distance, ImageTerm};
/// use deepsim_loss::objective;
/// use deepsim_nets::{Images, PixelFormat};
/// let images = |v: u8| Images::from_u8(&[v; 3 * 4 * 4], 1, 4, 4, PixelFormat::RGB_U8, &Device::Cpu);
/// let (output, target) = (images(12)?, images(10)?);
/// let squared = ImageTerm { distance: Distance::SquaredError, weight: 0.5 };
/// let absolute = ImageTerm { distance: Distance::AbsoluteError, weight: 3.0 };
/// let evaluated = objective::evaluate(&[&squared, &absolute], &Inputs::new(&output, &target))?;
/// // 0.5 (12 - 10) + 3 at every value.
/// assert_eq!(evaluated.gradient.min_all()?.to_scalar::<f32>()?, 4.0);
/// let reports = evaluated.read()?;
/// assert_eq!((reports[0].value, reports[0].weighted()), (96.0, 48.0));
/// # Ok::<(), deepsim_loss::LossError>(())
/// ```
pub fn evaluate(terms: &[&dyn Term], inputs: &Inputs<'_>) -> Result<Evaluated, LossError> {
    // One variable for all terms, because each would copy the images otherwise.
    let output = leaf(inputs.output.tensor())?;
    let output = inputs.output.with_tensor(output.as_tensor().clone())?;
    let inputs = Inputs { output: &output, ..inputs.clone() };
    let (mut numbers, mut gradient, mut codes) = (Vec::new(), None, None::<[Tensor; 2]>);
    let mut relative = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let (name, weight) = (term.name(), term.weight(inputs.step));
        let _span = tracing::trace_span!("term", name).entered();
        let value = term.evaluate(&inputs)?;
        let (at, grad_norm) = match value.gradients {
            Gradients::Images(of_term) if term.relative() => {
                relative.push((i, of_term));
                (At::Images, DeferredScalar::known(0.0))
            }
            Gradients::Images(of_term) => {
                let of_term = (of_term * weight)?;
                let norm = DeferredScalar::norm(&[&of_term])?;
                gradient = Some(sum(gradient, of_term)?);
                (At::Images, norm)
            }
            Gradients::Codes([mean, log_variance]) => {
                let of_term = [(mean * weight)?, (log_variance * weight)?];
                let norm = DeferredScalar::norm(&of_term.each_ref())?;
                let [mean, log_variance] = of_term;
                codes = Some(match codes {
                    None => [mean, log_variance],
                    Some([m, l]) => [(m + mean)?, (l + log_variance)?],
                });
                (At::Codes, norm)
            }
        };
        let value = DeferredScalar::of(&value.value)?;
        numbers.push(TermNumbers { name, weight, at, value, grad_norm });
    }
    let mut gradient = match gradient {
        Some(gradient) => gradient,
        None => output.tensor().zeros_like()?,
    };
    let others = gradient.clone();
    for (i, of_term) in relative {
        let norms = [DeferredScalar::norm(&[&others])?, DeferredScalar::norm(&[&of_term])?];
        let norms = DeferredScalar::read(&norms)?;
        let weight = numbers[i].weight * (norms[0] / norms[1]).min(MOST);
        let of_term = (of_term * weight)?;
        let grad_norm = DeferredScalar::norm(&[&of_term])?;
        numbers[i] = TermNumbers { weight, grad_norm, ..numbers[i].clone() };
        gradient = (gradient + of_term)?;
    }
    Ok(Evaluated { terms: numbers, gradient, codes })
}

fn sum(so_far: Option<Tensor>, one: Tensor) -> Result<Tensor, LossError> {
    Ok(match so_far {
        Some(sum) => (sum + one)?,
        None => one,
    })
}

/// Computes the gradients of everything `output` was computed from, given the gradient at `output`.
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

/// Computes the gradients of everything that some tensors were computed from, given the gradient at each.
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
    Ok(deepsim_ops::backward(&Tensor::stack(&products, 0)?.sum_all()?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use deepsim_nets::{Images, PixelFormat, Posterior};

    use super::*;
    use crate::term::{self, TermValue};
    use crate::terms::{Distance, Divergence, ImageTerm, TotalVariation, total_variation};

    #[test]
    fn separate_terms_give_the_gradient_of_the_sum() -> Result<(), LossError> {
        let device = Device::Cpu;
        let format = PixelFormat::RGB_U8;
        let target = Images::from_u8(&[3; 12], 1, 2, 2, format, &device)?;
        let scale = Var::from_slice(&[2f32], 1, &device)?;
        let base = Images::from_u8(&(0..12).collect::<Vec<u8>>(), 1, 2, 2, format, &device)?;
        let output = base.with_tensor(base.tensor().broadcast_mul(&scale)?)?;

        let squared = ImageTerm { distance: Distance::SquaredError, weight: 0.5 };
        let absolute = ImageTerm { distance: Distance::AbsoluteError, weight: 3.0 };
        let smooth = TotalVariation { weight: 0.25 };
        let terms: [&dyn Term; 3] = [&squared, &absolute, &smooth];
        let evaluated = evaluate(&terms, &Inputs::new(&output, &target))?;
        let split = backward_from(output.tensor(), &evaluated.gradient)?;

        let whole = ((squared.distance.between(&output, &target, 1)? * 0.5)?
            + (absolute.distance.between(&output, &target, 1)? * 3.0)?)?;
        let whole = (whole + (total_variation(&output)? * 0.25)?)?;
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
        // Neighbours differ by 2 to the right and by 4 downwards: -6, -2, 2, 6 at the four pixels of a channel.
        assert!((reports[2].grad_norm - 0.25 * (3.0 * 80f64).sqrt()).abs() < 1e-4);
        Ok(())
    }

    #[test]
    fn a_relative_weight_is_that_of_the_other_gradients() -> Result<(), LossError> {
        let device = Device::Cpu;
        let images = |v: u8| Images::from_u8(&[v; 12], 1, 2, 2, PixelFormat::RGB_U8, &device);
        let (output, target) = (images(12)?, images(10)?);
        let squared = ImageTerm { distance: Distance::SquaredError, weight: 0.5 };
        let absolute = ImageTerm { distance: Distance::AbsoluteError, weight: 3.0 };
        let times = |factor: f64| {
            let sum = move |x: &Images| Ok((x.tensor().sum_all()? * factor)?);
            Wrapped(term::from_fn("relative", 0.25, sum))
        };
        let evaluated =
            evaluate(&[&times(7.0), &squared, &absolute], &Inputs::new(&output, &target))?;
        // The others have a gradient of 4 everywhere, this one of 7.
        assert!((evaluated.gradient.max_all()?.to_scalar::<f32>()? - 5.0).abs() < 1e-5);
        let reports = evaluated.read()?;
        assert!((reports[0].weight - 0.25 * 4.0 / 7.0).abs() < 1e-6);
        assert!((reports[0].grad_norm - 12f64.sqrt()).abs() < 1e-5);
        assert!((reports[0].weighted() - 12.0 * 12.0).abs() < 1e-3);
        // Nothing to be relative to, or no gradient of its own: both weights are finite.
        let alone = evaluate(&[&times(7.0)], &Inputs::new(&output, &target))?;
        assert_eq!(alone.read()?[0].weight, 0.0);
        let flat = evaluate(&[&times(0.0), &squared], &Inputs::new(&output, &target))?;
        assert_eq!(flat.read()?[0].weight, 0.25 * MOST);
        Ok(())
    }

    /// A term as it is, with a relative weight.
    struct Wrapped<T>(T);

    impl<T: Term> Term for Wrapped<T> {
        fn name(&self) -> &'static str {
            self.0.name()
        }

        fn weight(&self, step: u64) -> f64 {
            self.0.weight(step)
        }

        fn relative(&self) -> bool {
            true
        }

        fn evaluate(&self, inputs: &Inputs<'_>) -> Result<TermValue, LossError> {
            self.0.evaluate(inputs)
        }
    }

    #[test]
    fn terms_of_codes_keep_out_of_the_gradient_at_the_images() -> Result<(), LossError> {
        let device = Device::Cpu;
        let images = Images::from_u8(&[3; 12], 1, 2, 2, PixelFormat::RGB_U8, &device)?;
        let tensor = |v: [f32; 2]| Tensor::new(&[v], &device);
        let posterior = Posterior { mean: tensor([3.0, 0.0])?, log_variance: tensor([0.0, 0.0])? };
        let divergence = Divergence { weight: 2.0, warm_up: 4 };
        let inputs = Inputs { posterior: Some(&posterior), ..Inputs::new(&images, &images) };
        let evaluated = evaluate(&[&divergence], &inputs)?;
        assert_eq!(evaluated.gradient.sum_all()?.to_scalar::<f32>()?, 0.0);
        let codes = evaluated.codes.as_ref().expect("gradients at the codes");
        // The derivative of mean²/2 is the mean; a quarter of the weight at step 1 of 4.
        assert_eq!(codes[0].to_vec2::<f32>()?, [[1.5, 0.0]]);
        assert_eq!(codes[1].to_vec2::<f32>()?, [[0.0, 0.0]]);
        let report = evaluated.read()?[0];
        assert_eq!((report.at, report.weight), (At::Codes, 0.5));
        assert_eq!((report.value, report.grad_norm), (4.5, 1.5));
        let message = evaluate(&[&divergence], &Inputs::new(&images, &images));
        assert!(message.expect_err("no posterior").to_string().contains("the posterior"));
        Ok(())
    }
}
