//! Backward pass of candle's graph, in which gradients of parameters are handed over as they are.
//!
//! candle begins each gradient with zeros and adds what comes, on one thread: four times the memory traffic of a gradient
//! that comes once. Inside of [`backward`] this crate's operations leave gradients of variables beside the graph.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// Variables and their gradients, while a pass of [`backward`] is under way.
    static LEFT: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// Puts back what an outer pass has left so far, also if this one fails.
struct Outer(Option<Vec<(Tensor, Tensor)>>);

impl Drop for Outer {
    fn drop(&mut self) {
        LEFT.set(self.0.take());
    }
}

/// Computes the gradients of everything that `loss` was computed from; does what `loss.backward()` does, faster where large
/// weights are trained on the CPU.
///
/// # Shapes
/// scalar
///
/// # Errors
/// As of candle's `backward`.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use deepsim_ops::{backward, linear};
/// let weight = Var::ones((2, 3), DType::F32, &Device::Cpu)?;
/// let x = Tensor::new(&[[1f32, 2.0, 3.0]], &Device::Cpu)?;
/// let gradients = backward(&linear(&x, &weight, None)?.sum_all()?)?;
/// let gradient = gradients.get(&weight).expect("a gradient");
/// assert_eq!(gradient.to_vec2::<f32>()?, [[1.0, 2.0, 3.0]; 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = Outer(LEFT.replace(Some(Vec::new())));
    let mut gradients = loss.backward()?;
    let left = LEFT.take().unwrap_or_default();
    drop(outer);
    for (variable, gradient) in left {
        let sum = match gradients.get(&variable) {
            Some(before) => (before + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, sum);
    }
    Ok(gradients)
}

/// Leaves the gradient of a variable beside the graph; gives it back if it has to go through candle's.
pub(crate) fn leave(variable: &Tensor, gradient: Tensor) -> Option<Tensor> {
    if !variable.is_variable() {
        return Some(gradient);
    }
    LEFT.with_borrow_mut(|left| match left {
        Some(left) => {
            left.push((variable.clone(), gradient));
            None
        }
        None => Some(gradient),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Var};

    use super::*;
    use crate::{Conv2dConfig, conv2d, linear};

    #[test]
    fn gradients_are_those_of_candles_pass() -> Result<()> {
        let device = Device::Cpu;
        let var = |shape: &[usize]| -> Result<Var> {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count).map(|i| (i * 7 % 11) as f32 / 11.0 - 0.4).collect();
            Var::from_tensor(&Tensor::from_vec(values, shape, &device)?)
        };
        let (kernel, bias) = (var(&[4, 3, 3, 3])?, var(&[4])?);
        let (weight, x) = (var(&[5, 4 * 16])?, var(&[2, 3, 4, 4])?);
        // The kernel is used twice, the second time scaled, by which it is no variable any more.
        let loss = || -> Result<Tensor> {
            let config = Conv2dConfig::new(1, 1);
            let once = conv2d(&x, &kernel, Some(&bias), config)?;
            let again = conv2d(&x, &(kernel.as_tensor() * 0.5)?, Some(&bias), config)?;
            let twice = conv2d(&x, &kernel, None, config)?;
            let y = ((once + again)? + twice)?.flatten_from(1)?;
            linear(&y, &weight, None)?.sqr()?.sum_all()
        };
        let (ours, candles) = (backward(&loss()?)?, loss()?.backward()?);
        for var in [&kernel, &bias, &weight, &x] {
            let (a, b) = (ours.get(var).expect("ours"), candles.get(var).expect("candle's"));
            assert_eq!(a.dims(), var.dims());
            let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let size = b.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(size > 0.0 && apart <= 1e-6 * size, "{apart} of {size}");
        }
        Ok(())
    }

    /// An operation without a backward pass.
    struct OneWay;

    impl CustomOp1 for OneWay {
        fn name(&self) -> &'static str {
            "one way"
        }

        fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((storage.clone(), layout.shape().clone()))
        }
    }

    #[test]
    fn a_pass_that_fails_leaves_nothing_to_the_next() -> Result<()> {
        let (first, weight) = (
            Var::ones((2, 2), DType::F32, &Device::Cpu)?,
            Var::ones((1, 2), DType::F32, &Device::Cpu)?,
        );
        let x = Tensor::ones((1, 2), DType::F32, &Device::Cpu)?;
        // The weight's gradient is left before the pass comes to where it fails.
        let between = linear(&x, &first, None)?.apply_op1(OneWay)?;
        assert!(backward(&linear(&between, &weight, None)?.sum_all()?).is_err());
        assert!(LEFT.with_borrow(Option::is_none));
        // Outside of it, candle's own pass has all gradients.
        assert!(linear(&x, &weight, None)?.sum_all()?.backward()?.get(&weight).is_some());
        Ok(())
    }
}
