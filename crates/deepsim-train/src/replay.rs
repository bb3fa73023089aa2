//! Steps as CUDA graphs: each kind of step is made as usual twice, then recorded, and from then on launched.
//!
//! A kind is who is updated: the balance of the two networks is decided between steps, on the host, and
//! chooses the graph. A warm-up of the divergence's weight makes every step a kind of its own, and none of
//! them is recorded.

use std::collections::HashMap;

use candle_core::{Tensor, Var};
use deepsim_nets::Images;
use deepsim_ops::{StepGraph, copy_all};

use crate::TrainError;
use crate::compute::Outline;
use crate::part::Given;
use crate::trainer::Trainer;

/// Steps of a kind that are made as usual, so that all that is made once is made.
const REHEARSALS: u32 = 2;

/// What a recorded step does: whether it trains the discriminator and the generator, and the bits of the
/// weight of the divergence.
type Kind = (bool, bool, u64);

/// The recorded steps of a trainer.
#[derive(Default)]
pub(crate) struct Replays {
    input: Option<Input>,
    rehearsed: HashMap<Kind, u32>,
    recorded: HashMap<Kind, Recorded>,
    /// Why steps are not recorded any more.
    refused: Option<String>,
}

struct Recorded {
    graph: StepGraph,
    outline: Outline,
}

/// Where all recorded steps find what they are given.
struct Input {
    given: Given,
    real: Var,
    noise: Option<Var>,
}

impl Input {
    fn new(given: &Given) -> Result<Self, TrainError> {
        let place = |tensor: &Tensor| Var::from_tensor(&tensor.copy()?);
        let real = place(given.real.tensor())?;
        let noise = given.noise.as_ref().map(place).transpose()?;
        let fixed = |var: &Var| var.as_detached_tensor();
        let given = Given {
            real: given.real.with_tensor(fixed(&real))?,
            numbers: given.numbers.clone(),
            noise: noise.as_ref().map(fixed),
        };
        Ok(Self { given, real, noise })
    }

    /// Takes what a step is given; false if it does not fit.
    fn take(&self, given: &Given) -> Result<bool, TrainError> {
        let images = |images: &Images| (images.tensor().dims().to_vec(), images.format());
        let fits = images(&given.real) == images(&self.given.real)
            && given.numbers == self.given.numbers
            && given.noise.is_some() == self.noise.is_some();
        if !fits {
            return Ok(false);
        }
        let real = given.real.tensor().contiguous()?;
        let mut pairs = vec![(&self.real, &real)];
        pairs.extend(self.noise.as_ref().zip(given.noise.as_ref()));
        copy_all(&pairs)?;
        Ok(true)
    }
}

impl Replays {
    /// Why steps are made one operation after the other, if it is not by choice.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl Trainer {
    /// A step by the graph of its kind: its outline and numbers. None if it has to be made as usual.
    pub(crate) fn replay(
        &mut self,
        given: &[Given],
    ) -> Result<Option<(Outline, Vec<f64>)>, TrainError> {
        let ([one], Some(replays)) = (given, &mut self.replays) else { return Ok(None) };
        let device = one.real.tensor().device().clone();
        // Each process has its own graphs, of the same kinds at the same steps.
        if !device.is_cuda() || self.world.sums_on_host() || replays.refused.is_some() {
            return Ok(None);
        }
        let step = self.step + 1;
        let balance = self.adversary.as_ref().map(|adversary| adversary.balance);
        let balance = balance.unwrap_or_default();
        let judges = balance.train_discriminator && self.adversary.is_some();
        let weight = |step| self.divergence.as_ref().map_or(0.0, |divergence| divergence.at(step));
        if weight(step) != weight(step + 1) {
            // No other step would be like this one.
            return Ok(None);
        }
        let weight: f64 = weight(step);
        let kind = (judges, balance.train_generator, weight.to_bits());
        let input = match &replays.input {
            Some(input) => input,
            None => replays.input.insert(Input::new(one)?),
        };
        if !input.take(one)? {
            return Ok(None);
        }
        if let Some(Recorded { graph, outline }) = replays.recorded.get_mut(&kind) {
            let mut rates = Vec::with_capacity(graph.rates());
            let mut judge = self.adversary.as_mut().filter(|_| judges);
            let adams = judge.iter_mut().map(|adversary| &mut adversary.adam);
            for adam in adams.chain(balance.train_generator.then_some(&mut self.generator_adam)) {
                adam.count();
                rates.push(adam.rate());
            }
            graph.start(step, &rates)?;
            if let Some(adversary) = judge {
                adversary.kept = true;
            }
            return Ok(Some((outline.clone(), graph.numbers()?)));
        }
        let given = vec![input.given.clone()];
        let rehearsed = replays.rehearsed.entry(kind).or_default();
        if *rehearsed < REHEARSALS {
            *rehearsed += 1;
            return StepGraph::rehearse(&device, || {
                self.eager(given, &mut |_, _, _| Ok(())).map(Some)
            });
        }
        self.record(kind, given, &device).map(Some)
    }

    /// Records the coming step, and makes it: by its graph, or as usual if it cannot be recorded.
    fn record(
        &mut self,
        kind: Kind,
        given: Vec<Given>,
        device: &candle_core::Device,
    ) -> Result<(Outline, Vec<f64>), TrainError> {
        let step = self.step + 1;
        let updates = self.generator_adam.updates();
        let judged = self.adversary.as_ref().map(|adversary| adversary.adam.updates());
        // SAFETY: weights, moments, the state that is kept for an undoing and the input are changed in place as
        // long as there are graphs, and no moments are cloned; `restore` drops all graphs.
        let recorded = unsafe {
            StepGraph::record(device, step, || self.compute(given.clone(), &mut |_, _, _| Ok(())))
        };
        // NCCL wants a step in a graph in all processes, or in none.
        let mut refused = [f64::from(u8::from(recorded.is_err()))];
        self.world.sum(&mut refused)?;
        // The host has counted the updates; now the device makes them.
        let started = recorded.and_then(|(mut graph, outline)| {
            if refused != [0.0] {
                return Err(TrainError::World("another process could not record it".into()));
            }
            let mut rates = Vec::with_capacity(graph.rates());
            rates.extend(self.adversary.as_ref().filter(|_| kind.0).map(|a| a.adam.rate()));
            rates.extend(kind.1.then(|| self.generator_adam.rate()));
            graph.start(step, &rates)?;
            Ok((graph, outline))
        });
        match started {
            Ok((graph, outline)) => {
                let values = graph.numbers()?;
                let recorded = Recorded { graph, outline: outline.clone() };
                if let Some(replays) = &mut self.replays {
                    replays.recorded.insert(kind, recorded);
                }
                Ok((outline, values))
            }
            Err(error) => {
                self.generator_adam.set_updates(updates);
                if let (Some(adversary), Some(judged)) = (&mut self.adversary, judged) {
                    adversary.adam.set_updates(judged);
                    adversary.kept = false;
                }
                if let Some(replays) = &mut self.replays {
                    replays.recorded.clear();
                    // candle writes a backtrace below the reason.
                    let reason = error.to_string();
                    replays.refused = reason.lines().next().map(str::to_owned);
                }
                self.eager(given, &mut |_, _, _| Ok(()))
            }
        }
    }
}
