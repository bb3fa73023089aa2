//! One update of a comparator's weights.

use candle_core::{Tensor, Var};
use deepsim_loss::objective::backward_from;
use deepsim_loss::{At, TermReport};
use deepsim_nets::Params;

use crate::TrainError;
use crate::error::Quantity;
use crate::optim::{Multiplier, Sgd};
use crate::step::gradients::{GradientHook, check, checked_norm, read};
use crate::trainer::StepReport;

/// Optimiser of a comparator, and the number of updates made.
pub struct Solver {
    pub(super) sgd: Sgd,
    pub(super) steps: u64,
}

impl Solver {
    pub(super) fn new(sgd: Sgd) -> Self {
        Self { sgd, steps: 0 }
    }

    /// Number of the update that is made next, from 1.
    pub(super) fn next(&self) -> u64 {
        self.steps + 1
    }

    /// Changes the weights by the gradient of a loss of the network's output.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite, or an operation fails; then nothing has been changed.
    pub(super) fn update(
        &mut self,
        params: &Params,
        output: &Tensor,
        term: &'static str,
        loss: impl FnOnce(&Var) -> Result<Tensor, TrainError>,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let step = self.next();
        // Differentiated at the output first, which gives the size of the gradient there.
        let leaf = Var::from_tensor(&output.detach())?;
        let loss = loss(&leaf)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        check(step, term, Quantity::Loss, value)?;
        let gradient = loss.backward()?.remove(&leaf).map_or_else(|| leaf.zeros_like(), Ok)?;
        let grad_norm = deepsim_ops::sum_of_squares(&gradient)?.sqrt();
        let gradients = backward_from(output, &gradient)?;
        check(step, term, Quantity::Gradient, grad_norm)?;
        let norm = checked_norm(step, "comparator", params, &gradients, hook)?;
        // One more wait for a GPU, before an update that could not be undone.
        let norm = read(step, "comparator", Quantity::ParameterGradient, &norm)?;
        let learning_rate = self.sgd.learning_rate(self.steps);
        self.sgd.step(self.steps, params, &gradients)?;
        self.steps = step;
        Ok(StepReport {
            step,
            learning_rate,
            terms: vec![TermReport { name: term, value, weight: 1.0, at: At::Images, grad_norm }],
            adversary: None,
            gradients: vec![("comparator", norm)],
            measures: Vec::new(),
        })
    }
}

/// Factors of Caffe's networks.
pub(super) fn customary(name: &str) -> Multiplier {
    match name.ends_with(".bias") {
        true => Multiplier { rate: 2.0, decay: 0.0 },
        false => Multiplier { rate: 1.0, decay: 1.0 },
    }
}
