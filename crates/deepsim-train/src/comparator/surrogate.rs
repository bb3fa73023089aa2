//! One update of a network that tells surrogate classes apart: an Exemplar-CNN, or any other.

use candle_core::{Device, Tensor, Var};
use deepsim_data::Batch;
use deepsim_nets::exemplar_cnn::{PATCH, TRAINED_TAP};
use deepsim_nets::random::streams;
use deepsim_nets::surrogate::CLASSIFIER;
use deepsim_nets::{ComparatorKind, Images, Params, SurrogateNet};
use deepsim_ops::softmax_cross_entropy;
use deepsim_run::recipe::{InstanceTask, SgdConfig};

use super::Learner;
use super::update::{Solver, customary};
use crate::TrainError;
use crate::optim::{Multiplier, Sgd};
use crate::step::gradients::GradientHook;
use crate::trainer::StepReport;

/// A network with its classifier and optimiser.
pub struct SurrogateLearner {
    net: SurrogateNet,
    solver: Solver,
    dropout: String,
    classes: Classes,
    seed: u64,
    device: Device,
}

/// Origin of the classes of a batch's images.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Classes {
    /// Labels of the source.
    Labels,
    /// Each picture is a class.
    Pictures,
}

impl SurrogateLearner {
    /// A fresh Exemplar-CNN for `classes` surrogate classes.
    ///
    /// # Errors
    /// If the network cannot be built.
    pub fn exemplar_cnn(
        classes: usize,
        seed: u64,
        sgd: &SgdConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let kind = ComparatorKind::exemplar_cnn();
        let net = SurrogateNet::new(&kind, TRAINED_TAP, PATCH, classes, seed, device)?;
        let sgd = Sgd::new(sgd, net.params(), of_the_release)?;
        Ok(Self::with(net, kind.name(), Classes::Labels, sgd, seed, device))
    }

    /// A fresh network that tells pictures apart.
    ///
    /// # Errors
    /// If the network cannot be built.
    pub fn instances(
        task: &InstanceTask,
        seed: u64,
        sgd: &SgdConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let InstanceTask { network, tap, pictures, .. } = task;
        let net = SurrogateNet::new(network, tap, task.side()?, *pictures, seed, device)?;
        let sgd = Sgd::new(sgd, net.params(), customary)?;
        Ok(Self::with(net, network.name(), Classes::Pictures, sgd, seed, device))
    }

    fn with(
        net: SurrogateNet,
        name: &str,
        classes: Classes,
        sgd: Sgd,
        seed: u64,
        device: &Device,
    ) -> Self {
        let (dropout, device) = (format!("dropout/{name}"), device.clone());
        Self { net, solver: Solver::new(sgd), dropout, classes, seed, device }
    }
}

/// Factors of the Exemplar-CNN release's network definition.
fn of_the_release(name: &str) -> Multiplier {
    match name.split_once('.') {
        Some((_, "bias")) => Multiplier { rate: 2.0, decay: 0.0 },
        Some(("conv1" | "conv2", _)) => Multiplier { rate: 1.0, decay: 0.0 },
        Some(("conv3", _)) => Multiplier { rate: 1.0, decay: 0.25 },
        Some((CLASSIFIER, _)) => Multiplier { rate: 0.25, decay: 4.0 },
        _ => Multiplier { rate: 1.0, decay: 1.0 },
    }
}

impl Learner for SurrogateLearner {
    fn step(
        &mut self,
        batch: &Batch,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let step = self.solver.next();
        let pixels = (batch.n, batch.height, batch.width);
        let (n, height, width) = pixels;
        let format = self.net.pixels();
        let images = Images::from_u8(&batch.pixels, n, height, width, format, &self.device)?;
        let labels = match self.classes {
            Classes::Labels => batch.labels()?,
            Classes::Pictures => batch.samples.iter().map(|sample| sample.index as u32).collect(),
        };

        let mut dropout = streams(self.seed, &self.dropout, step, 0..n);
        let scores = self.net.forward(&images, Some(&mut dropout))?;
        let loss = |leaf: &Var| Ok(softmax_cross_entropy(leaf, &labels)?);
        let report =
            self.solver.update(self.net.params(), &scores, "classification", loss, hook)?;
        let measures = vec![("accuracy", accuracy(&scores, &labels)?)];
        Ok(StepReport { measures, ..report })
    }

    fn params(&self) -> &Params {
        self.net.params()
    }

    fn belongs(&self, name: &str) -> bool {
        !name.starts_with(CLASSIFIER)
    }

    fn solver(&self) -> &Solver {
        &self.solver
    }

    fn solver_mut(&mut self) -> &mut Solver {
        &mut self.solver
    }
}

/// Share of samples whose highest score is that of their label.
fn accuracy(scores: &Tensor, labels: &[u32]) -> Result<f64, TrainError> {
    let best = scores.argmax(1)?.to_vec1::<u32>()?;
    let right = best.iter().zip(labels).filter(|(a, b)| a == b).count();
    Ok(right as f64 / labels.len() as f64)
}
