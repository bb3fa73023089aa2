//! Numbers of one iteration, by name.

use deepsim_loss::TermNumbers;
use deepsim_ops::DeferredScalar;

use crate::TrainError;
use crate::error::Quantity;
use crate::step::gradients::check;

/// Name of the generator in errors and reports.
pub(crate) const GENERATOR: &str = "generator";
/// Name of the discriminator in errors and reports.
pub(crate) const DISCRIMINATOR: &str = "discriminator";

/// Numbers of one iteration: scalars that are still on the device ([`DeferredScalar`]), then `f64`.
#[derive(Clone, Debug)]
pub(crate) struct StepNumbers<T> {
    /// The discriminator's side, if there is one.
    pub(crate) discriminator: Option<DiscriminatorNumbers<T>>,
    /// The generator's terms; the adversarial one, if any, comes first.
    pub(crate) terms: Vec<TermNumbers<T>>,
    /// Norm of the gradient of the generator's weights, if it is updated.
    pub(crate) generator_gradient: Option<T>,
}

/// The discriminator's numbers of one iteration.
#[derive(Clone, Debug)]
pub(crate) struct DiscriminatorNumbers<T> {
    /// Loss on real images.
    pub(crate) real: T,
    /// Loss on generated images.
    pub(crate) generated: T,
    /// Share of real images taken for real.
    pub(crate) real_accepted: T,
    /// Share of generated images taken for real.
    pub(crate) generated_accepted: T,
    /// Norm of the gradient of its weights, if it is updated.
    pub(crate) gradient: Option<T>,
}

impl<T> DiscriminatorNumbers<T> {
    /// Takes losses and shares in the order of the fields.
    pub(crate) fn new([real, generated, real_accepted, generated_accepted]: [T; 4]) -> Self {
        Self { real, generated, real_accepted, generated_accepted, gradient: None }
    }

    /// Converts every number, in the order of the fields; `convert` is given what a number is.
    pub(crate) fn try_map<U, E>(
        self,
        mut convert: impl FnMut(&'static str, Quantity, T) -> Result<U, E>,
    ) -> Result<DiscriminatorNumbers<U>, E> {
        let mut loss = |name, number| convert(name, Quantity::Loss, number);
        let numbers = DiscriminatorNumbers::new([
            loss("discriminator's real", self.real)?,
            loss("discriminator's generated", self.generated)?,
            loss(DISCRIMINATOR, self.real_accepted)?,
            loss(DISCRIMINATOR, self.generated_accepted)?,
        ]);
        let norm = |norm| convert(DISCRIMINATOR, Quantity::ParameterGradient, norm);
        Ok(DiscriminatorNumbers { gradient: self.gradient.map(norm).transpose()?, ..numbers })
    }
}

impl DiscriminatorNumbers<DeferredScalar> {
    /// Returns the numbers unless one is known and not finite.
    pub(crate) fn known_and_finite(self, step: u64) -> Result<Self, TrainError> {
        self.try_map(|term, quantity, number| known_and_finite(step, term, quantity, number))
    }
}

/// Returns a number unless it is known and not finite.
fn known_and_finite(
    step: u64,
    term: &'static str,
    quantity: Quantity,
    number: DeferredScalar,
) -> Result<DeferredScalar, TrainError> {
    number.value().map_or(Ok(0.0), |value| check(step, term, quantity, value)).map(|_| number)
}

impl<T> StepNumbers<T> {
    /// Converts every number, in the order in which an iteration computes them; `convert` is given what a number
    /// is.
    pub(crate) fn try_map<U, E>(
        self,
        mut convert: impl FnMut(&'static str, Quantity, T) -> Result<U, E>,
    ) -> Result<StepNumbers<U>, E> {
        let Self { discriminator, terms, generator_gradient } = self;
        let discriminator = discriminator.map(|d| d.try_map(&mut convert)).transpose()?;
        let mut converted = Vec::with_capacity(terms.len());
        for TermNumbers { name, weight, at, value, grad_norm } in terms {
            let value = convert(name, Quantity::Loss, value)?;
            let grad_norm = convert(name, Quantity::Gradient, grad_norm)?;
            converted.push(TermNumbers { name, weight, at, value, grad_norm });
        }
        let norm = |norm| convert(GENERATOR, Quantity::ParameterGradient, norm);
        let generator_gradient = generator_gradient.map(norm).transpose()?;
        Ok(StepNumbers { discriminator, terms: converted, generator_gradient })
    }
}

impl StepNumbers<DeferredScalar> {
    /// Returns all numbers as a list.
    pub(crate) fn scalars(&self) -> Vec<DeferredScalar> {
        let mut list = Vec::new();
        let pushed: Result<_, std::convert::Infallible> = self.clone().try_map(|_, _, number| {
            list.push(number);
            Ok(())
        });
        match pushed {
            Ok(_) => list,
        }
    }

    /// Returns the same numbers without their scalars, for [`StepNumbers::filled`].
    #[cfg(feature = "cuda")]
    pub(crate) fn emptied(self) -> Self {
        let emptied: Result<_, std::convert::Infallible> =
            self.try_map(|_, _, _| Ok(DeferredScalar::known(f64::NAN)));
        match emptied {
            Ok(numbers) => numbers,
        }
    }

    /// Puts values, in the order of [`StepNumbers::scalars`], in place of the scalars. Missing ones are NaN.
    pub(crate) fn filled(self, values: Vec<f64>) -> StepNumbers<f64> {
        let mut values = values.into_iter();
        let filled: Result<_, std::convert::Infallible> =
            self.try_map(|_, _, _| Ok(values.next().unwrap_or(f64::NAN)));
        match filled {
            Ok(numbers) => numbers,
        }
    }

    /// Reads all numbers with a single synchronisation with the device.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn read(self) -> Result<StepNumbers<f64>, TrainError> {
        let values = DeferredScalar::read(&self.scalars())?;
        Ok(self.filled(values))
    }

    /// Returns the numbers unless one is known and not finite.
    pub(crate) fn known_and_finite(self, step: u64) -> Result<Self, TrainError> {
        self.try_map(|term, quantity, number| known_and_finite(step, term, quantity, number))
    }
}

#[cfg(test)]
mod tests {
    use deepsim_loss::At;

    use super::*;

    #[test]
    fn numbers_keep_their_names_through_a_list() -> Result<(), TrainError> {
        let known = DeferredScalar::known;
        let discriminator = DiscriminatorNumbers::new([1.0, 2.0, 3.0, 4.0].map(known));
        let discriminator = DiscriminatorNumbers { gradient: Some(known(5.0)), ..discriminator };
        let term = |name, value, grad_norm| TermNumbers {
            name,
            weight: 9.0,
            at: At::Images,
            value: known(value),
            grad_norm: known(grad_norm),
        };
        let numbers = StepNumbers {
            discriminator: Some(discriminator),
            terms: vec![term("adversarial", 6.0, 7.0), term("image", 8.0, 9.0)],
            generator_gradient: Some(known(10.0)),
        };
        let list: Vec<_> = numbers.scalars().iter().filter_map(DeferredScalar::value).collect();
        assert_eq!(list, (1..11).map(f64::from).collect::<Vec<_>>());
        let numbers = numbers.known_and_finite(1)?;
        let read = numbers.clone().read()?;
        assert_eq!(read.discriminator.and_then(|d| d.gradient), Some(5.0));
        assert_eq!((read.terms[1].value, read.terms[1].grad_norm), (8.0, 9.0));
        assert_eq!(read.generator_gradient, Some(10.0));
        let short = numbers.filled(vec![1.0]);
        assert!(short.generator_gradient.is_some_and(f64::is_nan));
        let error = short.try_map(|term, quantity, value| check(3, term, quantity, value));
        let message = error.map(drop).expect_err("NaN").to_string();
        assert!(
            message.starts_with("step 3: the discriminator's generated loss is NaN"),
            "{message}"
        );
        Ok(())
    }
}
