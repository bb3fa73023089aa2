//! Dropout with an explicit random stream.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rand_core::Rng;

use crate::cpu::elementwise;
use crate::glue::{first_order, input, like, slice, with};

/// Sets each element to 0 with probability `p` and multiplies the others by `1 / (1 - p)`.
///
/// Takes one 32-bit draw of `rng` per element, in order; none if `p` is 0. On a GPU a `ChaCha12Rng` is evaluated
/// on the device, with the same numbers; other generators draw on the CPU.
///
/// The generator is one of rand_core 0.10 ([`rand_core`](crate::rand_core)): `rand_chacha` 0.10 or `rand` 0.10. One
/// of `rand` 0.9, which candle itself uses, does not implement that version's traits; the compiler then misses
/// `DerefMut` for it.
///
/// # Shapes
/// any -> the same
///
/// # Errors
/// If `p` is not in `0..1`, or the tensor is not `f32` on the CPU (with `cuda`: or a GPU).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use deepsim_ops::dropout;
/// use rand_chacha::ChaCha12Rng;
/// use rand_chacha::rand_core::SeedableRng;
/// let x = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
/// let y = dropout(&x, 0.5, &mut ChaCha12Rng::seed_from_u64(7))?.to_vec1::<f32>()?;
/// assert!(y.iter().all(|value| [0.0, 2.0].contains(value)));
/// let again = dropout(&x, 0.5, &mut ChaCha12Rng::seed_from_u64(7))?.to_vec1::<f32>()?;
/// assert_eq!(y, again);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn dropout(x: &Tensor, p: f64, rng: &mut (impl Rng + 'static)) -> Result<Tensor> {
    dropout_each(x, p, std::slice::from_mut(rng))
}

/// Applies [`dropout`] to samples with one random stream each, so that a sample's result does not depend on the
/// rest of its batch. The first axis is cut into equal parts, one for each stream.
///
/// # Shapes
/// `(N, ..)` -> the same
///
/// # Errors
/// As [`dropout`], and if the first axis has no such parts.
pub fn dropout_each(x: &Tensor, p: f64, rngs: &mut [impl Rng + 'static]) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        bail!("{OP}: expected a probability 0 <= p < 1, found {p}");
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let (threshold, scale) = ((p * 2f64.powi(32)) as u32, (1.0 / (1.0 - p)) as f32);
    let keep = |draw: u32| if draw < threshold { 0.0 } else { scale };
    let samples = x.dims().first().copied().unwrap_or(1);
    if rngs.is_empty() || !samples.is_multiple_of(rngs.len()) {
        bail!(
            "{OP}: expected equal parts for {} random streams, found {samples} samples",
            rngs.len()
        );
    }
    let each = x.elem_count() / rngs.len();
    #[cfg(feature = "cuda")]
    if let candle_core::Device::Cuda(device) = x.device()
        && let Some(streams) = rngs.iter_mut().map(chacha12).collect::<Option<Vec<_>>>()
        && let Some(mask) = crate::cuda::dropout_mask(device, streams, each, threshold, scale)?
    {
        return crate::cuda::dropout(x, mask);
    }
    let draws = rngs.iter_mut().flat_map(|rng| (0..each).map(move |_| rng.next_u32()));
    let mask: Vec<f32> = draws.map(keep).collect();
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::dropout(x, Tensor::from_vec(mask, x.elem_count(), x.device())?);
    }
    input(OP, "x", x)?.apply_op1(Dropout { mask })
}

const OP: &str = "dropout";

/// Returns the generator if it is the one that GPUs implement too.
#[cfg(feature = "cuda")]
fn chacha12(rng: &mut (impl Rng + 'static)) -> Option<&mut rand_chacha::ChaCha12Rng> {
    (rng as &mut dyn std::any::Any).downcast_mut()
}

struct Dropout {
    mask: Vec<f32>,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = elementwise::zip(slice(OP, x, layout)?, &self.mask, |x, m| x * m);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(OP)?;
        let dx =
            with(OP, &dy.contiguous()?, |dy| Ok(elementwise::zip(dy, &self.mask, |dy, m| dy * m)))?;
        Ok(Some(like(dx, x)?))
    }
}
