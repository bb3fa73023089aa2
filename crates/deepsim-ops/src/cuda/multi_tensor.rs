//! Multi-tensor kernels: one launch for many tensors.

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::{CudaDevice, Device, Result, Storage, Tensor, bail};

use super::adam::DeviceMoments;
use super::glue::{alloc, count, done, tensor, view};
use super::graph;
use super::kernels::{Kernel, blocks, summing_blocks, threads};
use crate::adam::Numbers;

/// `ROWS` of `kernels.cu`.
const ROWS: usize = 64;

/// `struct Many` of `kernels.cu`: addresses, lengths and a number for each row.
#[derive(Clone, Copy)]
#[repr(C)]
struct Many {
    addresses: [[u64; ROWS]; 4],
    n: [u32; ROWS],
    x: [f32; ROWS],
}

// SAFETY: numbers alone, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for Many {}

/// `struct Adam` of `kernels.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct AdamNumbers {
    rate: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    epsilon: f32,
}

// SAFETY: six `f32`, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for AdamNumbers {}

/// Row of a table: addresses, length, and a number.
type Row = ([u64; 4], u32, f32);

/// Cuts rows into tables, one for each launch.
fn tables(rows: &[Row]) -> impl Iterator<Item = (Many, u32, u32)> {
    rows.chunks(ROWS).map(|rows| {
        let mut many = Many { addresses: [[0; ROWS]; 4], n: [0; ROWS], x: [0.0; ROWS] };
        for (i, &(addresses, n, x)) in rows.iter().enumerate() {
            for (column, address) in many.addresses.iter_mut().zip(addresses) {
                column[i] = address;
            }
            (many.n[i], many.x[i]) = (n, x);
        }
        let longest = rows.iter().map(|row| row.1).max().unwrap_or(0);
        (many, rows.len() as u32, longest)
    })
}

/// Returns the launch of a table: enough blocks for the longest row, for each row.
fn rows_of_blocks(longest: u32, rows: u32) -> LaunchConfig {
    let LaunchConfig { grid_dim: (x, ..), block_dim, .. } = blocks(summing_blocks(longest));
    LaunchConfig { grid_dim: (x, rows, 1), block_dim, shared_mem_bytes: 0 }
}

/// Returns address and length of a contiguous tensor of `f32` on this device.
fn place(op: &'static str, device: &CudaDevice, x: &Tensor) -> Result<(u64, u32)> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        bail!("{op}: expected a CUDA tensor, found one on {:?}", x.device())
    };
    if storage.device.id() != device.id() {
        bail!("{op}: expected tensors on one device");
    }
    let values: CudaView<'_, f32> = view(op, storage, layout)?;
    let n = count(op, values.len())?;
    let stream = device.cuda_stream();
    let (address, _read) = values.device_ptr(&stream);
    // The one stream of the device keeps the order.
    Ok((address, n))
}

/// Returns the GPU of a tensor.
fn gpu<'a>(op: &'static str, x: &'a Tensor) -> Result<&'a CudaDevice> {
    match x.device() {
        Device::Cuda(device) => Ok(device),
        other => bail!("{op}: expected a CUDA tensor, found one on {other:?}"),
    }
}

/// Returns address and count of the scalars that must be finite for an update to be made.
fn gate(op: &'static str, device: &CudaDevice, numbers: Option<&Tensor>) -> Result<(u64, u32)> {
    numbers.map_or(Ok((0, 0)), |numbers| place(op, device, numbers))
}

/// Adam for contiguous parameters, with their contiguous gradients, moments and whether the penalty is for
/// them; unless a number of `only_if` is not finite.
pub(crate) fn adam(
    updates: Vec<(&Tensor, &Tensor, &mut DeviceMoments, bool)>,
    numbers: Numbers,
    only_if: Option<&Tensor>,
) -> Result<()> {
    const OP: &str = "adam_update";
    let Some((first, ..)) = updates.first() else { return Ok(()) };
    let device = gpu(OP, first)?;
    let mut rows = Vec::with_capacity(updates.len());
    for (parameter, gradient, moments, decays) in updates {
        let ((p, n), (g, _)) = (place(OP, device, parameter)?, place(OP, device, gradient)?);
        let [m, v] = moments.addresses(device)?;
        rows.push(([p, g, m, v], n, if decays { numbers.decay } else { 0.0 }));
    }
    let Numbers { rate, beta1, beta2, rest1, rest2, epsilon, .. } = numbers;
    let numbers = AdamNumbers { rate, beta1, beta2, rest1, rest2, epsilon };
    let (gate, gates) = gate(OP, device, only_if)?;
    let rate = graph::rate(OP)?;
    let kernel = Kernel::get(OP, device, "adam")?;
    for (many, count, longest) in tables(&rows) {
        let mut arguments = kernel.arguments();
        arguments.arg(&many).arg(&numbers).arg(&rate).arg(&gate).arg(&gates);
        // SAFETY: these are the parameters of `adam`; each row has the length of its four tensors.
        done(OP, "adam", unsafe { arguments.launch(rows_of_blocks(longest, count)) })?;
    }
    Ok(())
}

/// Addresses of pairs of tensors of equal length.
fn pairs(op: &'static str, device: &CudaDevice, pairs: &[(&Tensor, &Tensor)]) -> Result<Vec<Row>> {
    let row = |(a, b): &(&Tensor, &Tensor)| {
        let ((a, n), (b, other)) = (place(op, device, a)?, place(op, device, b)?);
        if n != other {
            bail!("{op}: expected tensors of one length, found {n} and {other}");
        }
        Ok(([a, b, 0, 0], n, 0.0))
    };
    pairs.iter().map(row).collect()
}

/// `a = keep * a + (1 - keep) * b` in place, unless a number of `only_if` is not finite.
pub(crate) fn blend(
    op: &'static str,
    both: &[(&Tensor, &Tensor)],
    keep: f64,
    only_if: Option<&Tensor>,
) -> Result<()> {
    let Some((first, _)) = both.first() else { return Ok(()) };
    let device = gpu(op, first)?;
    let (gate, gates) = gate(op, device, only_if)?;
    let (keep, rest) = (keep as f32, (1.0 - keep) as f32);
    let kernel = Kernel::get(op, device, "blend")?;
    for (many, count, longest) in tables(&pairs(op, device, both)?) {
        let mut arguments = kernel.arguments();
        arguments.arg(&many).arg(&keep).arg(&rest).arg(&gate).arg(&gates);
        // SAFETY: these are the parameters of `blend`; each row has the length of its two tensors.
        done(op, "blend", unsafe { arguments.launch(rows_of_blocks(longest, count)) })?;
    }
    Ok(())
}

/// `a = b` in place.
pub(crate) fn copy_all(op: &'static str, both: &[(&Tensor, &Tensor)]) -> Result<()> {
    let Some((first, _)) = both.first() else { return Ok(()) };
    let device = gpu(op, first)?;
    let rows = pairs(op, device, both)?;
    let rows: Vec<_> = rows.into_iter().map(|([a, b, ..], n, _)| (a, b, n)).collect();
    copy(op, device, &rows)
}

/// `a = b` in place, for addresses of memory of equal length.
pub(super) fn copy(op: &'static str, device: &CudaDevice, rows: &[(u64, u64, u32)]) -> Result<()> {
    let rows: Vec<Row> = rows.iter().map(|&(a, b, n)| ([a, b, 0, 0], n, 0.0)).collect();
    let kernel = Kernel::get(op, device, "copy")?;
    for (many, count, longest) in tables(&rows) {
        let mut arguments = kernel.arguments();
        arguments.arg(&many);
        // SAFETY: this is the parameter of `copy`; each row has the length of its two pieces.
        done(op, "copy", unsafe { arguments.launch(rows_of_blocks(longest, count)) })?;
    }
    Ok(())
}

/// Computes `Σ x²` over all values of all tensors, as a scalar.
pub(crate) fn squares(op: &'static str, all: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = all.first() else { bail!("{op}: expected at least one tensor") };
    let device = gpu(op, first)?;
    let all = all.iter().map(|x| x.contiguous()).collect::<Result<Vec<_>>>()?;
    let row = |x: &Tensor| place(op, device, x).map(|(a, n)| ([a, 0, 0, 0], n, 0.0));
    let rows = all.iter().map(row).collect::<Result<Vec<Row>>>()?;
    let launches: Vec<_> = tables(&rows).collect();
    let parts = launches.iter().map(|&(_, rows, longest)| rows * summing_blocks(longest));
    let mut part = alloc::<f64>(op, device, parts.clone().sum::<u32>() as usize)?;
    let kernel = Kernel::get(op, device, "squares")?;
    let mut first = 0u32;
    for ((many, count, longest), parts) in launches.iter().zip(parts) {
        let mut arguments = kernel.arguments();
        arguments.arg(many).arg(&mut part).arg(&first);
        // SAFETY: these are the parameters of `squares`; each block writes a part of its own.
        done(op, "squares", unsafe { arguments.launch(rows_of_blocks(*longest, *count)) })?;
        first += parts;
    }
    let sum = super::distance::sum_blocks(op, device, &part, 1.0)?;
    Ok(Tensor::from_storage(Storage::Cuda(sum), (), candle_core::op::BackpropOp::none(), false))
}

/// Gathers several scalars into a vector.
pub(crate) fn gather(op: &'static str, all: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = all.first() else { bail!("{op}: expected at least one scalar") };
    let device = gpu(op, first)?;
    let mut numbers = alloc::<f32>(op, device, all.len())?;
    gather_into(op, device, all, &mut numbers)?;
    Ok(tensor(numbers, device, &all.len().into()))
}

/// Gathers several scalars into existing memory.
pub(super) fn gather_into(
    op: &'static str,
    device: &CudaDevice,
    all: &[&Tensor],
    numbers: &mut CudaSlice<f32>,
) -> Result<()> {
    if all.len() > numbers.len() {
        bail!("{op}: expected at most {} scalars, found {}", numbers.len(), all.len());
    }
    let row = |x: &&Tensor| match place(op, device, x)? {
        (a, 1) => Ok(([a, 0, 0, 0], 1, 0.0)),
        (_, n) => bail!("{op}: expected scalars, found a tensor of {n} values"),
    };
    let rows = all.iter().map(row).collect::<Result<Vec<Row>>>()?;
    let kernel = Kernel::get(op, device, "gather")?;
    for (i, (many, count, _)) in tables(&rows).enumerate() {
        let mut places = numbers.slice_mut(i * ROWS..);
        let mut arguments = kernel.arguments();
        arguments.arg(&many).arg(&mut places).arg(&count);
        // SAFETY: these are the parameters of `gather`; there is a place for each number.
        done(op, "gather", unsafe { arguments.launch(threads(count)) })?;
    }
    Ok(())
}
