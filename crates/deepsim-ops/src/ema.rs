//! EMA: moves many tensors towards others, in place.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};

use crate::adam::finite;
use crate::cpu::elementwise;
use crate::glue::slice;

/// Sets `a = keep * a + (1 - keep) * b` for each pair, in one launch on a GPU. Changes nothing if a number of `only_if` is
/// not finite ([`DeferredScalar::gate`](crate::DeferredScalar::gate)).
///
/// # Errors
/// If shapes differ, a tensor is not contiguous and `f32`, or they are on different devices.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_ops::ema_update_all;
/// let (a, b) = (Var::new(&[2f32], &Device::Cpu)?, Tensor::new(&[4f32], &Device::Cpu)?);
/// ema_update_all(&[(&a, &b)], 0.5, None)?;
/// assert_eq!(a.to_vec1::<f32>()?, [3.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn ema_update_all(
    pairs: &[(&Var, &Tensor)],
    keep: f64,
    only_if: Option<&Tensor>,
) -> Result<()> {
    const OP: &str = "ema_update_all";
    check(OP, pairs)?;
    #[cfg(feature = "cuda")]
    if pairs.iter().any(|(a, _)| a.device().is_cuda()) {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_tensor(), *b)).collect();
        return crate::cuda::blend(OP, &pairs, keep, only_if);
    }
    if !finite(only_if)? {
        return Ok(());
    }
    let (keep, rest) = (keep as f32, (1.0 - keep) as f32);
    pairs.iter().try_for_each(|(a, b)| a.inplace_op2(b, &Blend { op: OP, keep, rest }))
}

/// Sets `a = b` for each pair, in one launch on a GPU. The tensors keep their addresses.
///
/// # Errors
/// As for [`ema_update_all`].
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use deepsim_ops::copy_all;
/// let (a, b) = (Var::new(&[2f32], &Device::Cpu)?, Tensor::new(&[4f32], &Device::Cpu)?);
/// copy_all(&[(&a, &b)])?;
/// assert_eq!(a.to_vec1::<f32>()?, [4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn copy_all(pairs: &[(&Var, &Tensor)]) -> Result<()> {
    const OP: &str = "copy_all";
    check(OP, pairs)?;
    #[cfg(feature = "cuda")]
    if pairs.iter().any(|(a, _)| a.device().is_cuda()) {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_tensor(), *b)).collect();
        return crate::cuda::copy_all(OP, &pairs);
    }
    pairs.iter().try_for_each(|(a, b)| a.set(b))
}

fn check(op: &'static str, pairs: &[(&Var, &Tensor)]) -> Result<()> {
    for (a, b) in pairs {
        if a.dims() != b.dims() {
            bail!("{op}: expected equal shapes, found {:?} and {:?}", a.dims(), b.dims());
        }
    }
    Ok(())
}

struct Blend {
    op: &'static str,
    keep: f32,
    rest: f32,
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        let b = slice(self.op, b, b_layout)?;
        let (CpuStorage::F32(a), Some((start, end))) = (a, a_layout.contiguous_offsets()) else {
            bail!("{}: expected a contiguous f32 tensor", self.op)
        };
        let &Self { keep, rest, .. } = self;
        let moved = elementwise::zip(&a[start..end], b, |a, b| a * keep + b * rest);
        a[start..end].copy_from_slice(&moved);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{AdamStep, AdamUpdate, Moments, adam_update_all};

    #[test]
    fn a_number_that_is_not_finite_keeps_all_as_it_is() -> Result<()> {
        let device = &Device::Cpu;
        let (a, b) = (Var::new(&[2f32, 3.0], device)?, Tensor::new(&[4f32, 5.0], device)?);
        let mut moments = Moments::zeros_like(&a)?;
        let step = AdamStep {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            t: 1,
        };
        for (bad, changed) in [(f32::NAN, false), (f32::INFINITY, false), (-3e38, true)] {
            let numbers = Tensor::new(&[1f32, bad], device)?;
            ema_update_all(&[(&a, &b)], 0.5, Some(&numbers))?;
            assert_eq!(a.to_vec1::<f32>()? != [2.0, 3.0], changed, "{bad}");
            let (parameter, gradient, decays) = (&a, &b, true);
            let update = AdamUpdate { parameter, gradient, moments: &mut moments, decays };
            adam_update_all([update], step, Some(&numbers))?;
            assert_eq!(moments.first() != [0.0, 0.0], changed, "{bad}");
        }
        // None is changed if one does not fit.
        let short = Var::new(&[1f32], device)?;
        assert!(ema_update_all(&[(&a, &b), (&short, &b)], 0.5, None).is_err());
        assert!(copy_all(&[(&short, &b)]).is_err());
        Ok(())
    }
}
