//! Steps that are recorded once and launched again.

use candle_core::{DType, Result, Tensor, Var};
use deepsim_ops::{
    AdamStep, AdamUpdate, DeferredScalar, Moments, StepGraph, adam_rate, adam_update_all,
    dropout_each, linear, squared_error,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::support::{bits, tensor};
use super::{STEP, gpu};

/// A weight in training.
struct Weight {
    var: Var,
    moments: Moments,
}

impl Weight {
    fn new(device: &candle_core::Device) -> Result<Self> {
        let var = Var::from_tensor(&tensor(&[7, 20], 1).to_device(device)?)?;
        let moments = Moments::zeros_like(&var)?;
        Ok(Self { var, moments })
    }

    /// Operations of candle and ours, with a transposed factor, a random mask and an update.
    fn step(&mut self, x: &Tensor, number: u64) -> Result<((), Vec<DeferredScalar>)> {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        rng.set_stream(number);
        let x = dropout_each(x, 0.5, &mut [rng])?;
        let y = linear(&x, &self.var, None)?.t()?.matmul(&x.t()?.contiguous()?.t()?)?;
        let loss = squared_error(&y, &Tensor::zeros(y.shape(), DType::F32, y.device())?)?;
        let mut gradients = loss.backward()?;
        let gradient = gradients.remove(&self.var).expect("it is a variable");
        let numbers = vec![DeferredScalar::of(&loss)?, DeferredScalar::squares(&[&gradient])?];
        let gate = DeferredScalar::gate(&numbers)?;
        let update = AdamUpdate {
            parameter: &self.var,
            gradient: &gradient,
            moments: &mut self.moments,
            decays: true,
        };
        adam_update_all([update], at(number), gate.as_ref())?;
        Ok(((), numbers))
    }
}

/// A recording of the step.
fn record(weight: &mut Weight, x: &Tensor, number: u64) -> Result<StepGraph> {
    // SAFETY: the weight and its input outlive the graph in each test, where they are.
    let (graph, ()) = unsafe { StepGraph::record(x.device(), number, || weight.step(x, number))? };
    Ok(graph)
}

fn at(step: u64) -> AdamStep {
    AdamStep { t: step, ..STEP }
}

#[test]
fn a_recorded_step_does_what_the_step_does() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let inputs: Vec<Tensor> =
        (0..5).map(|i| tensor(&[4, 20], 10 + i).to_device(&gpu)).collect::<Result<_>>()?;
    let mut plain = Weight::new(&gpu)?;
    let mut wanted = Vec::new();
    for (number, x) in (1..).zip(&inputs) {
        let ((), numbers) = plain.step(x, number)?;
        wanted.push((DeferredScalar::read(&numbers)?, bits(plain.var.as_tensor())));
    }

    let mut recorded = Weight::new(&gpu)?;
    let input = Var::from_tensor(&inputs[0])?;
    let got = StepGraph::warm_up(&gpu, || recorded.step(input.as_tensor(), 1))?;
    assert_eq!(DeferredScalar::read(&got.1)?, wanted[0].0);
    let mut graph = record(&mut recorded, input.as_tensor(), 2)?;
    // Nothing is done yet.
    assert_eq!(bits(recorded.var.as_tensor()), wanted[0].1);
    for (number, x) in (1..).zip(&inputs).skip(1) {
        input.set(x)?;
        let got = graph.launch(number, &[adam_rate(at(number))])?;
        let (numbers, weight) = &wanted[number as usize - 1];
        assert_eq!(&got, numbers, "step {number}");
        assert_eq!(&bits(recorded.var.as_tensor()), weight, "step {number}");
    }
    assert!(graph.launch(6, &[]).is_err());
    Ok(())
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_leaves_the_device_usable() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let x = tensor(&[4, 20], 1).to_device(&gpu)?;
    let mut weight = Weight::new(&gpu)?;
    StepGraph::warm_up(&gpu, || weight.step(&x, 1))?;
    let before = bits(weight.var.as_tensor());
    // A number that is read, which candle refuses; and memory from before, which the driver does not free.
    for refused_by_driver in [false, true] {
        let mut memory = Some(tensor(&[3], 1).to_device(&gpu)?);
        let f = || {
            let (_, numbers) = weight.step(&x, 2)?;
            if refused_by_driver {
                memory = None;
                weight.step(&x, 3)?;
            } else {
                DeferredScalar::read(&numbers)?;
            }
            Ok::<_, candle_core::Error>(((), numbers))
        };
        // SAFETY: there will be no graph.
        assert!(unsafe { StepGraph::record(&gpu, 2, f) }.is_err());
        // Nothing has changed, and a step can still be made.
        assert_eq!(bits(weight.var.as_tensor()), before);
        Weight::new(&gpu)?.step(&x, 2)?;
    }
    // A workspace that is too small.
    let wide = tensor(&[64, 20], 1).to_device(&gpu)?;
    assert!(record(&mut weight, &wide, 2).is_err());
    // Moments that would have to be copied to a place of their own.
    let clone = weight.moments.clone();
    assert!(record(&mut weight, &x, 2).is_err());
    drop(clone);
    let mut graph = record(&mut weight, &x, 2)?;
    // A larger workspace later on is another one: the graph keeps its own.
    linear(&wide, &weight.var, None)?;
    graph.launch(2, &[adam_rate(at(2))])?;
    assert_ne!(bits(weight.var.as_tensor()), before);
    assert!(record(&mut weight, &x.to_device(&candle_core::Device::Cpu)?, 2).is_err());
    Ok(())
}
