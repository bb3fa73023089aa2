//! Exemplar-CNN: one update of the classifier of surrogate classes.

use candle_core::{Device, Tensor, Var};
use deepsim_data::Batch;
use deepsim_loss::objective::backward_from;
use deepsim_loss::{At, TermReport};
use deepsim_nets::exemplar_cnn::{CLASSIFIER, ExemplarCnn, FORMAT};
use deepsim_nets::random::streams;
use deepsim_nets::{Images, Params};
use deepsim_ops::softmax_cross_entropy;
use deepsim_run::recipe::SgdConfig;

use super::Learner;
use crate::TrainError;
use crate::error::Quantity;
use crate::optim::{Multiplier, Sgd};
use crate::step::gradients::{GradientHook, check, checked_norm, read};
use crate::trainer::StepReport;

/// An Exemplar-CNN with its optimiser.
pub struct ExemplarLearner {
    net: ExemplarCnn,
    sgd: Sgd,
    seed: u64,
    steps: u64,
    device: Device,
}

impl ExemplarLearner {
    /// A fresh network for `classes` surrogate classes.
    ///
    /// # Errors
    /// If the network cannot be built.
    pub fn new(
        classes: usize,
        seed: u64,
        sgd: &SgdConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let net = ExemplarCnn::new(classes, seed, device)?;
        let sgd = Sgd::new(sgd, net.params(), multiplier)?;
        Ok(Self { net, sgd, seed, steps: 0, device: device.clone() })
    }
}

/// Factors of the release's network definition.
fn multiplier(name: &str) -> Multiplier {
    match name.split_once('.') {
        Some((_, "bias")) => Multiplier { rate: 2.0, decay: 0.0 },
        Some(("conv1" | "conv2", _)) => Multiplier { rate: 1.0, decay: 0.0 },
        Some(("conv3", _)) => Multiplier { rate: 1.0, decay: 0.25 },
        Some((CLASSIFIER, _)) => Multiplier { rate: 0.25, decay: 4.0 },
        _ => Multiplier { rate: 1.0, decay: 1.0 },
    }
}

impl Learner for ExemplarLearner {
    fn step(
        &mut self,
        batch: &Batch,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let step = self.steps + 1;
        let pixels = (batch.n, batch.height, batch.width);
        let (n, height, width) = pixels;
        let patches = Images::from_u8(&batch.pixels, n, height, width, FORMAT, &self.device)?;
        let labels = batch.labels()?;

        let mut dropout = streams(self.seed, "dropout/exemplar-cnn", step, 0..n);
        let scores = self.net.forward(&patches, Some(&mut dropout))?;
        // Differentiated at the scores first, which gives the size of the gradient there.
        let leaf = Var::from_tensor(&scores.detach())?;
        let loss = softmax_cross_entropy(&leaf, &labels)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        check(step, "classification", Quantity::Loss, value)?;
        let gradient = loss.backward()?.remove(&leaf).map_or_else(|| leaf.zeros_like(), Ok)?;
        let grad_norm = deepsim_ops::sum_of_squares(&gradient)?.sqrt();
        let gradients = backward_from(&scores, &gradient)?;
        check(step, "classification", Quantity::Gradient, grad_norm)?;
        let norm = checked_norm(step, "comparator", self.net.params(), &gradients, hook)?;
        // One more wait for a GPU, before an update that could not be undone.
        let norm = read(step, "comparator", Quantity::ParameterGradient, &norm)?;
        let learning_rate = self.sgd.learning_rate(self.steps);
        self.sgd.step(self.steps, self.net.params(), &gradients)?;
        self.steps = step;
        let term =
            TermReport { name: "classification", value, weight: 1.0, at: At::Images, grad_norm };
        let measures = vec![("accuracy", accuracy(&scores, &labels)?)];
        Ok(StepReport {
            step,
            learning_rate,
            terms: vec![term],
            adversary: None,
            gradients: vec![("comparator", norm)],
            measures,
        })
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    fn params(&self) -> &Params {
        self.net.params()
    }

    fn belongs(&self, name: &str) -> bool {
        !name.starts_with(CLASSIFIER)
    }

    fn solver(&self) -> &Sgd {
        &self.sgd
    }
}

/// Share of samples whose highest score is that of their label.
fn accuracy(scores: &Tensor, labels: &[u32]) -> Result<f64, TrainError> {
    let best = scores.argmax(1)?.to_vec1::<u32>()?;
    let right = best.iter().zip(labels).filter(|(a, b)| a == b).count();
    Ok(right as f64 / labels.len() as f64)
}
