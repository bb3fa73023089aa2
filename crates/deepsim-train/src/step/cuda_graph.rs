//! Iterations as CUDA graphs: each kind of iteration is eager twice, then captured, and from then on launched.
//!
//! The kind is which networks are updated: the balance is decided between iterations, on the host, and chooses the
//! graph. While the weight of a term changes, or the comparator sees another part of the images in each step, every
//! iteration is a kind of its own and none is captured. None is either where gradients are clipped or a weight is relative.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use deepsim_nets::Images;
use deepsim_ops::{StepGraph, copy_all};

use crate::TrainError;
use crate::step::micro_batch::MicroBatch;
use crate::step::networks::Networks;
use crate::step::numbers::StepNumbers;

/// Eager warm-up iterations before capture, so that lazy initialisation is not recorded.
const WARM_UP: u32 = 2;

/// Kind of an iteration: whether it trains the discriminator and the generator, the bits of the terms' weights, and those
/// of the mean's decay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    discriminator: bool,
    generator: bool,
    weights: Vec<u64>,
    /// Bits of the decay of the weights' mean.
    decay: Option<u64>,
}

/// Captured iterations.
#[derive(Default)]
pub(crate) struct Graphs {
    input: Option<Input>,
    warmed_up: HashMap<Kind, u32>,
    captured: HashMap<Kind, Captured>,
    /// Reason why iterations are not captured any more.
    refused: Option<String>,
}

struct Captured {
    graph: StepGraph,
    numbers: StepNumbers<deepsim_ops::DeferredScalar>,
}

/// Memory from which all captured iterations read their micro-batch.
struct Input {
    batch: MicroBatch,
    real: Var,
    noise: Option<Var>,
}

impl Input {
    fn new(batch: &MicroBatch) -> Result<Self, TrainError> {
        let place = |tensor: &Tensor| Var::from_tensor(&tensor.copy()?);
        let real = place(batch.real.tensor())?;
        let noise = batch.noise.as_ref().map(place).transpose()?;
        let fixed = |var: &Var| var.as_detached_tensor();
        let batch = MicroBatch {
            real: batch.real.with_tensor(fixed(&real))?,
            samples: batch.samples.clone(),
            draws: batch.draws,
            noise: noise.as_ref().map(fixed),
        };
        Ok(Self { batch, real, noise })
    }

    /// Copies a micro-batch here; returns false if it does not fit.
    fn copy_from(&self, batch: &MicroBatch) -> Result<bool, TrainError> {
        let images = |images: &Images| (images.tensor().dims().to_vec(), images.format());
        let fits = images(&batch.real) == images(&self.batch.real)
            && batch.samples == self.batch.samples
            && batch.noise.is_some() == self.noise.is_some();
        if !fits {
            return Ok(false);
        }
        let real = batch.real.tensor().contiguous()?;
        let mut pairs = vec![(&self.real, &real)];
        pairs.extend(self.noise.as_ref().zip(batch.noise.as_ref()));
        copy_all(&pairs)?;
        Ok(true)
    }
}

impl Graphs {
    /// Returns why iterations are eager, if the driver refused a graph.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Runs an iteration by the graph of its kind and reads its numbers. Returns none if it has to be eager.
    ///
    /// # Errors
    /// As [`Networks::iterate`].
    pub(crate) fn iterate(
        &mut self,
        networks: &mut Networks,
        batch: &[MicroBatch],
    ) -> Result<Option<StepNumbers<f64>>, TrainError> {
        let [one] = batch else { return Ok(None) };
        let device = one.real.tensor().device().clone();
        // Each rank has its own graphs, of the same kinds at the same steps.
        if !device.is_cuda() || networks.group.sums_on_host() || self.refused.is_some() {
            return Ok(None);
        }
        let step = networks.step + 1;
        let balance = networks.adversary.as_ref().map(|adversary| adversary.balance);
        let weights = |step| -> Vec<u64> {
            networks.terms.iter().map(|term| term.weight(step).to_bits()).collect()
        };
        let moves = networks.frozen.feature.as_ref().is_some_and(|feature| feature.places > 1);
        // Both read a norm within the iteration.
        let reads = networks.terms.iter().any(|term| term.relative())
            || networks.generator_adam.clip().is_some();
        if moves || reads || weights(step) != weights(step + 1) {
            // No other iteration would be like this one.
            return Ok(None);
        }
        let trains = balance.unwrap_or_default().train_generator;
        let kind = Kind {
            discriminator: networks
                .adversary
                .as_ref()
                .is_some_and(|a| step > a.term.after && a.balance.train_discriminator),
            generator: trains,
            weights: weights(step),
            decay: networks
                .ema
                .as_ref()
                .filter(|_| trains)
                .map(|ema| ema.decay(networks.generator_adam.updates() + 1).to_bits()),
        };
        // A decay that is over does not come back.
        if kind.decay.is_some() {
            self.captured.retain(|known, _| known.decay.is_none_or(|d| Some(d) == kind.decay));
        }
        let input = match &self.input {
            Some(input) => input,
            None => self.input.insert(Input::new(one)?),
        };
        if !input.copy_from(one)? {
            return Ok(None);
        }
        if let Some(Captured { graph, numbers }) = self.captured.get_mut(&kind) {
            let mut rates = Vec::with_capacity(graph.rates());
            let mut adversary = networks.adversary.as_mut().filter(|_| kind.discriminator);
            let adams = adversary.iter_mut().map(|adversary| &mut adversary.adam);
            let generator = kind.generator.then_some(&mut networks.generator_adam);
            for adam in adams.chain(generator) {
                adam.count();
                rates.push(adam.rate());
            }
            graph.start(step, &rates)?;
            if let Some(adversary) = adversary {
                adversary.kept = true;
            }
            return Ok(Some(numbers.clone().filled(graph.numbers()?)));
        }
        let batch = vec![input.batch.clone()];
        let warmed_up = self.warmed_up.entry(kind.clone()).or_default();
        if *warmed_up < WARM_UP {
            *warmed_up += 1;
            return StepGraph::warm_up(&device, || eager(networks, batch).map(Some));
        }
        self.capture(networks, kind, batch, &device).map(Some)
    }

    /// Captures the coming iteration, and runs it: by its graph, or eagerly if it cannot be captured.
    fn capture(
        &mut self,
        networks: &mut Networks,
        kind: Kind,
        batch: Vec<MicroBatch>,
        device: &Device,
    ) -> Result<StepNumbers<f64>, TrainError> {
        let step = networks.step + 1;
        let updates = networks.generator_adam.updates();
        let discriminator_updates = networks.adversary.as_ref().map(|a| a.adam.updates());
        // SAFETY: weights, moments, the state that is kept for an undoing and the input are changed in place as
        // long as there are graphs, and no moments are cloned; `reset` drops all graphs.
        let captured = unsafe {
            StepGraph::record(device, step, || {
                let numbers = networks.iterate(batch.clone(), &mut |_, _, _| Ok(()))?;
                let scalars = numbers.scalars();
                // Memory that is allocated in a graph must be freed in it, so that no scalar may stay.
                Ok::<_, TrainError>((numbers.emptied(), scalars))
            })
        };
        // NCCL requires that all ranks capture an iteration, or none.
        let mut refused = [f64::from(u8::from(captured.is_err()))];
        networks.group.sum(&mut refused)?;
        // The host has counted the updates; now the device makes them.
        let started = captured.and_then(|(mut graph, numbers)| {
            if refused != [0.0] {
                return Err(TrainError::Group("another process could not capture it".into()));
            }
            let mut rates = Vec::with_capacity(graph.rates());
            let adversary = networks.adversary.as_ref().filter(|_| kind.discriminator);
            rates.extend(adversary.map(|adversary| adversary.adam.rate()));
            rates.extend(kind.generator.then(|| networks.generator_adam.rate()));
            graph.start(step, &rates)?;
            Ok((graph, numbers))
        });
        match started {
            Ok((graph, numbers)) => {
                let values = graph.numbers()?;
                self.captured.insert(kind, Captured { graph, numbers: numbers.clone() });
                Ok(numbers.filled(values))
            }
            Err(error) => {
                networks.generator_adam.set_updates(updates);
                if let (Some(adversary), Some(updates)) =
                    (&mut networks.adversary, discriminator_updates)
                {
                    adversary.adam.set_updates(updates);
                    adversary.kept = false;
                }
                self.captured.clear();
                // candle writes a backtrace below the reason.
                self.refused = error.to_string().lines().next().map(str::to_owned);
                eager(networks, batch)
            }
        }
    }
}

/// Runs one operation after the other.
fn eager(networks: &mut Networks, batch: Vec<MicroBatch>) -> Result<StepNumbers<f64>, TrainError> {
    networks.iterate(batch, &mut |_, _, _| Ok(()))?.read()
}
