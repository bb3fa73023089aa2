//! Terms of the objective, and their gradients at features.

use std::ops::Range;

use candle_core::Tensor;
use deepsim_nets::{Comparator, Images};

use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::statistics::norm;

/// Aim of a term.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Features to come near to, one vector for each picture.
    Features(Vec<Vec<f32>>),
    /// Unit whose activation is to be large, for each picture; of a map, the channel.
    Units(Vec<usize>),
}

/// Term of the objective at one tap.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    tap: String,
    weight: f64,
    target: Target,
}

impl Term {
    /// Comes near to features.
    ///
    /// # Shapes
    /// `(n, ...)`
    ///
    /// # Errors
    /// If the weight is not a positive number, or the features of a picture are all zero, to which no distance is
    /// relative.
    pub fn features(tap: &str, weight: f64, features: &Tensor) -> Result<Self, EvalError> {
        let n = features.dims().first().copied().unwrap_or(0);
        let values = numbers(features)?;
        let each: Vec<Vec<f32>> =
            values.chunks_exact((values.len() / n.max(1)).max(1)).map(<[f32]>::to_vec).collect();
        if let Some(picture) = each.iter().position(|values| norm(values) == 0.0) {
            let got = format!("nothing but zeros in picture {picture}");
            return Err(EvalError::input("target", format!("features of {tap}"), got));
        }
        Self { tap: tap.into(), weight, target: Target::Features(each) }.checked()
    }

    /// Makes units large, one for each picture.
    ///
    /// # Errors
    /// If the weight is not a positive number.
    pub fn units(tap: &str, weight: f64, units: Vec<usize>) -> Result<Self, EvalError> {
        Self { tap: tap.into(), weight, target: Target::Units(units) }.checked()
    }

    fn checked(self) -> Result<Self, EvalError> {
        match self.weight.is_finite() && self.weight > 0.0 {
            true => Ok(self),
            false => {
                let wanted = "a weight above 0";
                Err(EvalError::input("target", wanted, format!("{} at {}", self.weight, self.tap)))
            }
        }
    }

    /// Tap that the term looks at.
    pub fn tap(&self) -> &str {
        &self.tap
    }

    /// Aim of the term.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Number of pictures that it is for.
    pub fn len(&self) -> usize {
        match &self.target {
            Target::Features(each) => each.len(),
            Target::Units(units) => units.len(),
        }
    }

    /// Returns true if it is for no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value for each picture, and the gradient of the weighted objective at the features: relative squared distances, or
    /// activations.
    fn pull(
        &self,
        net: &str,
        features: &Tensor,
        pictures: &Range<usize>,
    ) -> Result<(Vec<f64>, Vec<f32>), EvalError> {
        let mut values = numbers(features)?;
        let size = (values.len() / pictures.len().max(1)).max(1);
        let refuse = |wanted: String, got: String| {
            Err(EvalError::input("target", format!("{wanted} at {net} {}", self.tap), got))
        };
        let mut found = Vec::with_capacity(pictures.len());
        for (values, picture) in values.chunks_exact_mut(size).zip(pictures.clone()) {
            match &self.target {
                Target::Features(each) => {
                    let target = &each[picture];
                    if target.len() != size {
                        return refuse(format!("{size} features"), target.len().to_string());
                    }
                    let square = norm(target).powi(2);
                    let (factor, mut sum) = ((2.0 * self.weight / square) as f32, 0.0);
                    for (value, target) in values.iter_mut().zip(target) {
                        let apart = *value - target;
                        sum += f64::from(apart).powi(2);
                        *value = factor * apart;
                    }
                    found.push(sum / square);
                }
                Target::Units(units) => {
                    let channels = features.dims().get(1).copied().unwrap_or(0);
                    let positions = size / channels.max(1);
                    if units[picture] >= channels {
                        return refuse(
                            format!("a unit below {channels}"),
                            units[picture].to_string(),
                        );
                    }
                    let own = units[picture] * positions..(units[picture] + 1) * positions;
                    let own_values = values[own.clone()].iter().copied();
                    let sum = own_values.fold(0.0, |sum, value| sum + f64::from(value));
                    found.push(sum / positions as f64);
                    values.fill(0.0);
                    values[own].fill((-self.weight / positions as f64) as f32);
                }
            }
        }
        Ok((found, values))
    }

    /// Part of the objective that a value is.
    fn cost(&self, value: f64) -> f64 {
        match self.target {
            Target::Features(_) => self.weight * value,
            Target::Units(_) => -self.weight * value,
        }
    }
}

/// A network with the terms at its taps.
pub struct Goal {
    /// The network.
    pub net: Box<dyn Comparator>,
    /// Terms, of as many pictures each.
    pub terms: Vec<Term>,
}

/// Values of all terms for some images.
pub(super) struct Evaluated {
    /// For each picture the value of each term, in the order of the goals.
    pub(super) values: Vec<Vec<f64>>,
    /// Objective of each picture, without the penalty.
    pub(super) objective: Vec<f64>,
    /// Scalar whose gradient is that of the sum of the objectives.
    pub(super) loss: Tensor,
}

/// Evaluates all terms for images of these pictures.
pub(super) fn evaluate(
    goals: &[Goal],
    images: &Images,
    pictures: &Range<usize>,
) -> Result<Evaluated, EvalError> {
    let mut values = vec![Vec::new(); pictures.len()];
    let mut objective = vec![0.0; pictures.len()];
    let mut loss = Tensor::zeros((), images.tensor().dtype(), images.tensor().device())?;
    for Goal { net, terms } in goals {
        let taps: Vec<&str> = terms.iter().map(Term::tap).collect();
        for (term, features) in terms.iter().zip(net.features_at(images, &taps)?) {
            let (found, pull) = term.pull(net.name(), &features, pictures)?;
            for (at, value) in found.into_iter().enumerate() {
                objective[at] += term.cost(value);
                values[at].push(value);
            }
            // The product's gradient at the features is `pull`, that of each picture with its own weight.
            let pull = Tensor::from_vec(pull, features.shape(), features.device())?;
            loss = (loss + (features * pull)?.sum_all()?)?;
        }
    }
    Ok(Evaluated { values, objective, loss })
}
