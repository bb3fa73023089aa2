//! Pool of freed device memory, kept for the next step.

use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, Device, Result, bail};

use super::glue::done;

/// Returns freed device memory that was kept to the driver.
pub(super) fn give_back(device: &CudaDevice) -> Result<()> {
    const OP: &str = "giving back freed device memory";
    let stream = device.cuda_stream();
    // SAFETY: the device exists, as it has a stream; its own pool may be trimmed at any time.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device());
        done(OP, "trimming", result::mem_pool::trim_to(done(OP, "memory pool", pool)?, 0))
    }
}

/// Tells the driver to keep freed device memory instead of giving it back at every synchronisation,
/// such as reading a loss. Call it once for each device at the start of a program.
///
/// # Errors
/// If the device is not a GPU, or the driver refuses.
pub fn keep_freed_device_memory(device: &Device) -> Result<()> {
    const OP: &str = "keep_freed_device_memory";
    let Device::Cuda(device) = device else {
        bail!("{OP}: expected a CUDA device, found {device:?}")
    };
    let stream = device.cuda_stream();
    // SAFETY: the device exists, as it has a stream.
    let pool = unsafe { result::device::get_default_mem_pool(stream.context().cu_device()) };
    let pool = done(OP, "memory pool", pool)?;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut bytes = u64::MAX;
    // SAFETY: the pool is the device's own, and this attribute is a 64-bit number.
    let set = unsafe { result::mem_pool::set_attribute(pool, threshold, (&raw mut bytes).cast()) };
    done(OP, "release threshold", set)
}
