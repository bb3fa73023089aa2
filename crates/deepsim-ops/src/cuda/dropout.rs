//! Dropout: the mask is drawn on the device, with the numbers that the CPU would draw.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, PushKernelArg};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail,
};
use rand_chacha::ChaCha12Rng;

use super::glue::{alloc, count, done, input, storage, tensor, view, with};
use super::graph::stream_number;
use super::kernels::{Kernel, threads};
use crate::glue::first_order;

const OP: &str = "dropout";

/// `struct Stream` of `kernels.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Stream {
    key: [u32; 8],
    number: u64,
    word: u64,
}

// SAFETY: numbers alone, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for Stream {}

/// Streams of one key and number, `stride` words apart.
struct Group {
    key: [u8; 32],
    number: u64,
    word: u64,
    stride: Option<u64>,
    len: usize,
}

/// Draws a mask of `each` values from every stream, which continue after them: 0 where the draw is below the threshold,
/// else `scale`. If a position exceeds 64 bits, draws nothing and returns `None`.
pub(crate) fn dropout_mask(
    device: &CudaDevice,
    mut streams: Vec<&mut ChaCha12Rng>,
    each: usize,
    threshold: u32,
    scale: f32,
) -> Result<Option<Tensor>> {
    let mut groups: Vec<Group> = Vec::new();
    for rng in &streams {
        let (key, number) = (rng.get_seed(), rng.get_stream());
        let Ok(word) = u64::try_from(rng.get_word_pos()) else { return Ok(None) };
        if let Some(group) = groups.last_mut()
            && (group.key, group.number) == (key, number)
        {
            let last = group.word + group.stride.unwrap_or(0) * (group.len as u64 - 1);
            let stride = word.wrapping_sub(last);
            if word >= last && group.stride.is_none_or(|known| known == stride) {
                group.stride = Some(stride);
                group.len += 1;
                continue;
            }
        }
        groups.push(Group { key, number, word, stride: None, len: 1 });
    }
    let total = streams.len() * each;
    count(OP, total)?;
    let mut mask = alloc::<f32>(OP, device, total)?;
    let kernel = Kernel::get(OP, device, "dropout_mask")?;
    let (each_count, blocks) = (count(OP, each)?, count(OP, (each + 30) / 16)?);
    let mut first = 0;
    for Group { key, number, word, stride, len } in groups {
        let (counter, number) = stream_number(number);
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(key.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let stream = Stream { key: words, number, word };
        let stride = stride.unwrap_or(0);
        let n = count(OP, len * blocks as usize)?;
        let mut part = mask.slice_mut(first..first + len * each);
        let mut arguments = kernel.arguments();
        arguments.arg(&mut part).arg(&stream).arg(&counter).arg(&stride).arg(&threshold);
        arguments.arg(&scale).arg(&each_count).arg(&n);
        // SAFETY: these are the parameters of `dropout_mask`; the part has `each` values for each of
        // `len` samples.
        done(OP, "dropout_mask", unsafe { arguments.launch(threads(n)) })?;
        first += len * each;
    }
    for rng in &mut streams {
        rng.set_word_pos(rng.get_word_pos() + each as u128);
    }
    Ok(Some(tensor(mask, device, &total.into())))
}

/// Multiplies each element by that of the mask, which has the same number of values.
pub(crate) fn dropout(x: &Tensor, mask: Tensor) -> Result<Tensor> {
    let x = input(OP, "x", x)?;
    if mask.elem_count() != x.elem_count() {
        bail!("{OP}: expected a mask of {} values, found {}", x.elem_count(), mask.elem_count());
    }
    x.apply_op1(Dropout { mask })
}

struct Dropout {
    mask: Tensor,
}

impl Dropout {
    fn multiply(&self, device: &CudaDevice, x: &CudaView<'_, f32>) -> Result<CudaSlice<f32>> {
        with(OP, &self.mask, |_, mask| {
            let n = count(OP, x.len())?;
            let mut y = alloc(OP, device, x.len())?;
            let kernel = Kernel::get(OP, device, "multiply")?;
            let mut arguments = kernel.arguments();
            arguments.arg(x).arg(mask).arg(&mut y).arg(&n);
            // SAFETY: these are the parameters of `multiply`; all slices have `n` values.
            done(OP, "multiply", unsafe { arguments.launch(threads(n)) })?;
            Ok(y)
        })
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: expected a CUDA tensor")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let y = self.multiply(&x.device, &view(OP, x, layout)?)?;
        Ok((storage(y, &x.device), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        first_order(OP)?;
        with(OP, &dy.contiguous()?, |device, dy| {
            Ok(Some(tensor(self.multiply(device, dy)?, device, x.shape())))
        })
    }
}
