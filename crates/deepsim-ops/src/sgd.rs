//! Stochastic gradient descent with momentum, in Caffe's form.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::glue::{input, slice};

/// Hyper-parameters of one update of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum: share of the last update that is repeated.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

/// Updates a parameter and its velocity in place, as Caffe's `SGDSolver`:
///
/// ```text
/// v = momentum * v + learning_rate * (gradient + weight_decay * p)
/// p = p - v
/// ```
///
/// # Shapes
/// all the same
///
/// # Errors
/// If the shapes differ, or a tensor is not `f32` and contiguous.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_ops::{SgdStep, sgd_update};
/// let (p, v) = (Var::new(&[1f32], &Device::Cpu)?, Var::new(&[0f32], &Device::Cpu)?);
/// let step = SgdStep { learning_rate: 0.1, momentum: 0.5, weight_decay: 0.0 };
/// for wanted in [0.8, 0.5] {
///     sgd_update(&p, &Tensor::new(&[2f32], &Device::Cpu)?, &v, step)?;
///     assert!((p.to_vec1::<f32>()?[0] - wanted).abs() < 1e-6);
/// }
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn sgd_update(parameter: &Var, gradient: &Tensor, velocity: &Var, step: SgdStep) -> Result<()> {
    let shape = parameter.dims();
    if gradient.dims() != shape || velocity.dims() != shape {
        bail!(
            "{OP}: parameter {shape:?}, gradient {:?}, velocity {:?}",
            gradient.dims(),
            velocity.dims()
        );
    }
    let gradient = input(OP, "gradient", gradient)?;
    if parameter.device().is_cpu() {
        velocity.inplace_op3(&gradient, parameter, &Accelerate(step))?;
        return parameter.inplace_op2(velocity, &Move);
    }
    let penalty = (parameter.as_tensor() * step.weight_decay)?;
    let change = ((gradient + penalty)? * step.learning_rate)?;
    velocity.set(&((velocity.as_tensor() * step.momentum)? + change)?)?;
    parameter.set(&(parameter.as_tensor() - velocity.as_tensor())?)
}

const OP: &str = "sgd_update";
const CHUNK: usize = 16 * 1024;

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{OP}: expected a contiguous tensor")
    };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => bail!("{OP}: expected f32"),
    }
}

struct Accelerate(SgdStep);

impl InplaceOp3 for Accelerate {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        velocity: &mut CpuStorage,
        velocity_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
        parameter: &CpuStorage,
        parameter_layout: &Layout,
    ) -> Result<()> {
        let v = slice_mut(velocity, velocity_layout)?;
        let g = slice(OP, gradient, gradient_layout)?;
        let p = slice(OP, parameter, parameter_layout)?;
        let rate = self.0.learning_rate as f32;
        let (momentum, decay) = (self.0.momentum as f32, self.0.weight_decay as f32);
        let chunks = v.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(p.par_chunks(CHUNK));
        chunks.for_each(|((v, g), p)| {
            for ((v, g), p) in v.iter_mut().zip(g).zip(p) {
                *v = momentum * *v + rate * (g + decay * p);
            }
        });
        Ok(())
    }
}

struct Move;

impl InplaceOp2 for Move {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        velocity: &CpuStorage,
        velocity_layout: &Layout,
    ) -> Result<()> {
        let p = slice_mut(parameter, parameter_layout)?;
        let v = slice(OP, velocity, velocity_layout)?;
        p.par_chunks_mut(CHUNK).zip(v.par_chunks(CHUNK)).for_each(|(p, v)| {
            for (p, v) in p.iter_mut().zip(v) {
                *p -= v;
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn follows_the_formula_in_double_precision_over_changing_rates() -> Result<()> {
        // More values than one thread takes at a time, and an odd number.
        let n = 2 * CHUNK + 7;
        let value = |i: usize, k: usize| ((i * 37 + k * 101) % 211) as f64 / 100.0 - 1.0;
        let tensor = |k: usize| {
            let values: Vec<f32> = (0..n).map(|i| value(i, k) as f32).collect();
            Tensor::from_vec(values, n, &Device::Cpu)
        };
        let (p, v) = (Var::from_tensor(&tensor(0)?)?, Var::from_tensor(&tensor(1)?.zeros_like()?)?);
        let mut wanted: Vec<(f64, f64)> = (0..n).map(|i| (value(i, 0), 0.0)).collect();
        for (k, rate) in [(2, 0.1), (3, 0.1), (4, 0.01)] {
            let step = SgdStep { learning_rate: rate, momentum: 0.9, weight_decay: 0.02 };
            sgd_update(&p, &tensor(k)?, &v, step)?;
            for (i, (p, v)) in wanted.iter_mut().enumerate() {
                *v = 0.9 * *v + rate * (value(i, k) + 0.02 * *p);
                *p -= *v;
            }
        }
        let got = p.to_vec1::<f32>()?;
        let apart = got.iter().zip(&wanted).map(|(a, (b, _))| (f64::from(*a) - b).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-6);
        Ok(())
    }

    #[test]
    fn other_shapes_are_refused_and_nothing_changes() -> Result<()> {
        let var = |n: usize| Var::ones(n, candle_core::DType::F32, &Device::Cpu);
        let step = SgdStep { learning_rate: 1.0, momentum: 0.0, weight_decay: 0.0 };
        let (p, v, two, three) = (var(3)?, var(3)?, var(2)?, var(3)?);
        assert!(sgd_update(&p, &two, &v, step).is_err());
        assert!(sgd_update(&p, &three, &two, step).is_err());
        let halves = Tensor::ones(3, candle_core::DType::F16, &Device::Cpu)?;
        assert!(sgd_update(&p, &halves, &v, step).is_err());
        assert_eq!((p.to_vec1::<f32>()?, v.to_vec1::<f32>()?), (vec![1.0; 3], vec![1.0; 3]));
        Ok(())
    }
}
