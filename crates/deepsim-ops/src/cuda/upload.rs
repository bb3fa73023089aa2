//! Upload of image bytes while the device computes something else.

use std::ffi::c_void;
use std::ptr;

use candle_core::cuda_backend::cudarc::driver::result::{self, event, stream};
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUevent, CUevent_flags, CUevent_wait_flags, CUstream,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr};
use candle_core::{CudaDevice, Device, Result, Tensor, bail};

use super::glue::done;
use super::pixels::convert;
use crate::pixels::PixelFormat;

const OP: &str = "upload";

/// Buffers for one batch, on the host and on the device.
struct Slot {
    on_host: *mut c_void,
    on_device: CudaSlice<u8>,
    /// Recorded after the copy to the device.
    copied: CUevent,
    /// Recorded after the last use of the bytes on the device.
    used: CUevent,
}

/// Copies bytes of images to a GPU from page-locked memory, in its own stream. At most two batches
/// are in flight.
///
/// [`Uploader::begin`] returns at once. [`Uploader::finish`] makes the device wait for the copy,
/// not the host.
///
/// ```no_run
/// use candle_core::Device;
/// use deepsim_ops::{PixelFormat, Uploader};
/// let mut uploads = Uploader::new(&Device::new_cuda(0)?, 2 * 3 * 8 * 8)?;
/// uploads.begin(&[7; 2 * 3 * 8 * 8])?;
/// // Here something else is computed.
/// assert_eq!(uploads.finish((2, 8, 8), PixelFormat::RGB_U8)?.dims(), [2, 3, 8, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct Uploader {
    device: CudaDevice,
    stream: CUstream,
    slots: Vec<Slot>,
    bytes: usize,
    begun: usize,
    finished: usize,
}

/// Number of batches that can be in flight.
const SLOTS: usize = 2;

impl Uploader {
    /// Creates buffers for batches of this many bytes.
    ///
    /// # Errors
    /// If the device is not a GPU, or memory runs out.
    pub fn new(device: &Device, bytes: usize) -> Result<Self> {
        let Device::Cuda(device) = device else { bail!("{OP}: expected a GPU, found {device:?}") };
        let main = device.cuda_stream();
        done(OP, "binding the device", main.context().bind_to_thread())?;
        // Not cudarc's own type of stream, because with a second one it would track all memory by
        // events.
        let stream = done(OP, "stream", stream::create(stream::StreamKind::NonBlocking))?;
        let mut new = Self {
            device: device.clone(),
            stream,
            slots: Vec::new(),
            bytes,
            begun: 0,
            finished: 0,
        };
        for _ in 0..SLOTS {
            let on_device = done(OP, "allocation", device.alloc_zeros::<u8>(bytes.max(1)))?;
            let flags = CUevent_flags::CU_EVENT_DISABLE_TIMING;
            let event = || done(OP, "event", event::create(flags));
            let (copied, used) = (event()?, event()?);
            // SAFETY: freed when this is dropped.
            let on_host = unsafe { result::malloc_host(bytes.max(1), 0) };
            let on_host = done(OP, "page-locked memory", on_host)?;
            new.slots.push(Slot { on_host, on_device, copied, used });
        }
        // Memory allocated in the main stream must exist before the other stream uses it.
        done(OP, "waiting for the device", main.synchronize())?;
        Ok(new)
    }

    /// Begins to copy a batch. The caller may reuse `bytes` when this returns.
    ///
    /// # Errors
    /// If `bytes` has another length, two batches are in flight already, or the device fails.
    pub fn begin(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() != self.bytes || self.begun - self.finished == SLOTS {
            let ahead = self.begun - self.finished;
            bail!(
                "{OP}: expected {} bytes and a free slot, found {} bytes with {ahead} batches in flight",
                self.bytes,
                bytes.len()
            );
        }
        let context = self.device.cuda_stream().context().clone();
        done(OP, "binding the device", context.bind_to_thread())?;
        let slot = &mut self.slots[self.begun % SLOTS];
        let main = self.device.cuda_stream();
        let to = slot.on_device.device_ptr(&main).0;
        // SAFETY: the slot's memory and events live as long as this; the host writes only after the copy
        // from this memory is done, and the device only after what was there was used.
        unsafe {
            done(OP, "waiting for an earlier copy", event::synchronize(slot.copied))?;
            ptr::copy_nonoverlapping(bytes.as_ptr(), slot.on_host.cast::<u8>(), bytes.len());
            let wait = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            let used = stream::wait_event(self.stream, slot.used, wait);
            done(OP, "waiting for an earlier use", used)?;
            let from = std::slice::from_raw_parts(slot.on_host.cast::<u8>(), bytes.len());
            done(OP, "copy", result::memcpy_htod_async(to, from, self.stream))?;
            done(OP, "event", event::record(slot.copied, self.stream))?;
        }
        self.begun += 1;
        Ok(())
    }

    /// Returns the oldest batch in flight, as values.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`
    ///
    /// # Errors
    /// If no batch is in flight, it has another size, or the device fails.
    pub fn finish(
        &mut self,
        (n, height, width): (usize, usize, usize),
        format: PixelFormat,
    ) -> Result<Tensor> {
        if self.begun == self.finished || n * 3 * height * width != self.bytes {
            bail!(
                "{OP}: expected a batch in flight of {} bytes, found {n} x 3 x {height} x {width}",
                self.bytes
            );
        }
        let slot = &self.slots[self.finished % SLOTS];
        let main = self.device.cuda_stream();
        // SAFETY: the events live as long as this.
        unsafe {
            let wait = CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            let copied = stream::wait_event(main.cu_stream(), slot.copied, wait);
            done(OP, "waiting for the copy", copied)?;
        }
        let bytes = slot.on_device.slice(0..self.bytes);
        let values = convert(OP, &self.device, &bytes, (n, 3, height, width), format)?;
        // SAFETY: as above.
        unsafe { done(OP, "event", event::record(slot.used, main.cu_stream()))? };
        self.finished += 1;
        Ok(values)
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        // SAFETY: nothing is used after this, and every copy in flight is waited for. A failure is
        // ignored, because the driver may already be gone at the end of a process.
        unsafe {
            let _ = self.device.cuda_stream().context().bind_to_thread();
            let _ = stream::synchronize(self.stream);
            for slot in &self.slots {
                let _ = event::destroy(slot.copied);
                let _ = event::destroy(slot.used);
                let _ = result::free_host(slot.on_host);
            }
            let _ = stream::destroy(self.stream);
        }
    }
}
