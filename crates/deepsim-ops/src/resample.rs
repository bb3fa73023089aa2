//! Linear maps of image planes by weights along both axes, as operations of candle.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cpu::bands::{Bands, resample};
use crate::cpu::simd::Isa;
use crate::glue::{first_order, input, slice, with};

/// Applies weights along the rows and columns of images `(N, C, down.from, across.from)`.
///
/// # Errors
/// If the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
pub(crate) fn apply(op: &'static str, x: &Tensor, down: Bands, across: Bands) -> Result<Tensor> {
    let x = input(op, "x", x)?;
    match x.device().is_cpu() {
        true => x.apply_op1(Resample { op, down, across }),
        false => composed(&x, &down, &across),
    }
}

/// Applies the weights as matrix products, for devices other than the CPU.
fn composed(x: &Tensor, down: &Bands, across: &Bands) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (oh, ow) = (down.len(), across.len());
    let across = Tensor::from_vec(across.matrix(), (ow, w), x.device())?.t()?.contiguous()?;
    let down = Tensor::from_vec(down.matrix(), (oh, h), x.device())?;
    let wide = x.reshape((n * c * h, w))?.matmul(&across)?.reshape((n * c, h, ow))?;
    down.broadcast_matmul(&wide)?.reshape((n, c, oh, ow))
}

struct Resample {
    op: &'static str,
    down: Bands,
    across: Bands,
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = resample(Isa::best(), (&self.down, &self.across), slice(self.op, x, layout)?);
        let dims = [&layout.dims()[..2], &[self.down.len(), self.across.len()]].concat();
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(self.op)?;
        let (down, across) = (self.down.transposed(), self.across.transposed());
        let dx =
            with(self.op, &dy.contiguous()?, |dy| Ok(resample(Isa::best(), (&down, &across), dy)))?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// The form for GPUs gives the kernel's values and gradients.
    #[test]
    fn the_composed_form_is_the_kernel() -> Result<()> {
        let bands = |from: usize, to: usize| {
            let weights = |i: usize| (0..3.min(from)).map(|j| (i + 2 * j) as f32 - 2.5).collect();
            Bands::new(from, (0..to).map(|i| (i * (from - 3.min(from)) / to, weights(i))))
        };
        for ((h, oh), (w, ow)) in [((5, 3), (4, 9)), ((2, 6), (7, 7)), ((6, 2), (8, 3))] {
            let values = (0..6 * h * w).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            let x = Var::from_tensor(&Tensor::from_vec(values, (2, 3, h, w), &Device::Cpu)?)?;
            let (down, across) = (bands(h, oh), bands(w, ow));
            let wanted = composed(&x, &down, &across)?;
            let got = apply("resample", &x, down, across)?;
            let wanted_dx = wanted.sqr()?.sum_all()?.backward()?;
            let got_dx = got.sqr()?.sum_all()?.backward()?;
            let far = |a: &Tensor, b: &Tensor| -> Result<f32> {
                assert_eq!(a.dims(), b.dims());
                let largest = b.abs()?.max_all()?.to_scalar::<f32>()?;
                Ok((a - b)?.abs()?.max_all()?.to_scalar::<f32>()? / largest)
            };
            assert!(far(&got, &wanted)? < 1e-6);
            assert!(far(got_dx.get(&x).expect("one"), wanted_dx.get(&x).expect("one"))? < 1e-6);
        }
        Ok(())
    }
}
