//! Processes whose GPUs sum by NCCL, which sends from one to another without the processors' memory.

use std::cell::{Cell, OnceCell};
use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::mpsc::Sender;

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DriverError};
use candle_core::cuda_backend::cudarc::nccl::result::{self, NcclError};
use candle_core::cuda_backend::cudarc::nccl::sys::{
    ncclComm_t, ncclDataType_t, ncclRedOp_t, ncclUniqueId,
};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Storage, Tensor};

use super::ProcessGroup;
use super::patience::{no_answer, patience};
use super::watchdog::watch;
use crate::TrainError;

/// Bytes of NCCL's name for a group of GPUs.
pub(super) const ID: usize = 128;

/// The GPUs of all processes.
///
/// NCCL waits indefinitely for a lost process. A watchdog therefore ends the program with an error
/// after the timeout.
pub(super) struct Gpus {
    // Not cudarc's: that one aborts where it should finish what others still receive.
    group: ncclComm_t,
    rank: usize,
    size: usize,
    device: CudaDevice,
    /// Told at each word of the others. From the first sum on: what comes before may take its time.
    heard: OnceCell<Sender<()>>,
    /// True if the others do not end together with this one.
    alone: Cell<bool>,
    /// Connection that must outlive the group, if there is one.
    by: Option<Rc<dyn ProcessGroup>>,
}

impl Gpus {
    /// Brings the GPUs of all processes together. `share` gives each of them the name that the first one has
    /// for the group.
    ///
    /// # Errors
    /// If NCCL is not there or fails, or `share` does.
    pub(super) fn join(
        (rank, size): (usize, usize),
        device: &CudaDevice,
        by: Option<Rc<dyn ProcessGroup>>,
        share: impl FnOnce(Option<[u8; ID]>) -> Result<[u8; ID], String>,
    ) -> Result<Self, String> {
        let failed =
            |call| move |error| format!("{} (is libnccl.so.2 installed?)", said(call, error));
        let own = match rank {
            0 => {
                let id = result::get_uniqueid().map_err(failed("ncclGetUniqueId"))?;
                Some(id.internal.map(|byte| byte as u8))
            }
            _ => None,
        };
        let internal = share(own)?.map(|byte| byte as c_char);
        let watched = watched(rank, size).map_err(|error| format!("a thread: {error}"))?;
        let bound = device.cuda_stream().context().bind_to_thread();
        bound.map_err(|error| format!("the GPU: {error}"))?;
        let mut group = MaybeUninit::uninit();
        let (ranks, number) = (size as i32, rank as i32);
        // SAFETY: there is room for the handle; the thread's device is this one.
        let made = unsafe {
            result::comm_init_rank(group.as_mut_ptr(), ranks, ncclUniqueId { internal }, number)
        };
        made.map_err(failed("ncclCommInitRank"))?;
        drop(watched);
        // SAFETY: NCCL wrote it.
        let group = unsafe { group.assume_init() };
        let (device, heard, alone) = (device.clone(), OnceCell::new(), Cell::new(false));
        Ok(Self { group, rank, size, device, heard, alone, by })
    }

    /// Has the GPU add up `len` values of this kind at `from`, over all processes, to `to`.
    ///
    /// # Safety
    /// So many values are at both addresses until that is done.
    unsafe fn add_up(
        &self,
        (from, to): (u64, u64),
        len: usize,
        kind: ncclDataType_t,
    ) -> Result<(), TrainError> {
        let stream = self.device.cuda_stream();
        // SAFETY: the caller's word.
        let asked = unsafe {
            result::all_reduce(
                from as *const _,
                to as *mut _,
                len,
                kind,
                ncclRedOp_t::ncclSum,
                self.group,
                stream.cu_stream() as *mut _,
            )
        };
        self.checked("ncclAllReduce", asked)
    }

    fn checked<T>(&self, call: &str, answer: Result<T, NcclError>) -> Result<(), TrainError> {
        answer.map(|_| ()).map_err(|error| {
            self.alone.set(true);
            TrainError::Group(said(call, error))
        })
    }

    /// Has the GPU add up a tensor over all processes.
    fn add_up_tensor(&self, tensor: &Tensor, sums: &mut CudaSlice<f32>) -> Result<(), TrainError> {
        let (storage, layout) = tensor.storage_and_layout();
        let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets())
        else {
            let got = tensor.device();
            return Err(TrainError::Group(format!(
                "NCCL: expected a tensor on a GPU, found {got:?}"
            )));
        };
        let own = storage.as_cuda_slice::<f32>()?.slice(start..end);
        let stream = self.device.cuda_stream();
        let ((from, _from), (to, _to)) = (own.device_ptr(&stream), sums.device_ptr_mut(&stream));
        // SAFETY: both have the length; what is freed later is freed in the order of the stream.
        unsafe { self.add_up((from, to), end - start, ncclDataType_t::ncclFloat32) }
    }
}

impl ProcessGroup for Gpus {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), TrainError> {
        let heard = match self.heard.get() {
            Some(heard) => heard,
            None => {
                let watched = watched(self.rank, self.size);
                let watched =
                    watched.map_err(|error| TrainError::Group(format!("a thread: {error}")))?;
                self.heard.get_or_init(|| watched)
            }
        };
        let stream = self.device.cuda_stream();
        let copied = |error: DriverError| TrainError::Group(format!("copy for NCCL: {error}"));
        let mut sums = stream.clone_htod(&*values).map_err(copied)?;
        {
            let (at, _at) = sums.device_ptr_mut(&stream);
            // SAFETY: so many are there; in place, as NCCL allows.
            unsafe { self.add_up((at, at), values.len(), ncclDataType_t::ncclFloat64) }?;
        }
        values.copy_from_slice(&stream.clone_dtoh(&sums).map_err(copied)?);
        // Nobody watches any more only while the program ends.
        let _ = heard.send(());
        Ok(())
    }

    /// Queues the sum on the stream and returns without waiting.
    fn sum_tensors(&self, tensors: &mut [Tensor]) -> Result<(), TrainError> {
        // Memory is allocated first: a group uses it at its end, after an error too.
        let own: Vec<Tensor> = tensors.iter().map(Tensor::contiguous).collect::<Result<_, _>>()?;
        // SAFETY: all of it is written by the sums, in the order of the stream, before anything reads it.
        let room = |tensor: &Tensor| unsafe { self.device.alloc::<f32>(tensor.elem_count()) };
        let mut sums: Vec<CudaSlice<f32>> = own.iter().map(room).collect::<Result<_, _>>()?;
        // One launch for all of them: most are small.
        self.checked("ncclGroupStart", result::group_start())?;
        let mut all = own.iter().zip(&mut sums);
        let asked = all.try_for_each(|(tensor, sums)| self.add_up_tensor(tensor, sums));
        self.checked("ncclGroupEnd", result::group_end())?;
        asked?;
        for (tensor, sums) in tensors.iter_mut().zip(sums) {
            let sums = Storage::Cuda(CudaStorage::wrap_cuda_slice(sums, self.device.clone()));
            *tensor = Tensor::from_storage(sums, tensor.shape(), BackpropOp::none(), false);
        }
        Ok(())
    }

    fn sums_on_gpus(&self) -> bool {
        true
    }

    /// Without MPI only this process ends; its launcher then ends the others.
    fn abort(&self, exit_code: u8) {
        self.alone.set(true);
        if let Some(by) = &self.by {
            by.abort(exit_code);
        }
    }
}

impl Drop for Gpus {
    fn drop(&mut self) {
        // Finishing waits for the others.
        let alone = self.alone.get() || std::thread::panicking();
        // SAFETY: the group is not used any more.
        let _ = unsafe {
            match alone {
                true => result::comm_abort(self.group),
                false => result::comm_destroy(self.group),
            }
        };
    }
}

impl std::fmt::Debug for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GPU of process {} of {}", self.rank, self.size)
    }
}

/// Starts the watchdog, which ends the program if no collective completes within the timeout.
fn watched(rank: usize, size: usize) -> std::io::Result<Sender<()>> {
    #[expect(clippy::print_stderr, reason = "the process ends here, and no caller can report it")]
    watch(patience(), move |waited| {
        // The thread that waits for the other processes cannot be interrupted.
        eprintln!("error: process {rank} of {size}: {}", no_answer(waited));
        // SAFETY: nothing of this process is used any more. Libraries, which might wait for the GPU, are not
        // asked.
        unsafe { libc::_exit(1) }
    })
}

fn said(call: &str, error: NcclError) -> String {
    format!("NCCL: {call} failed: {:?}", error.0)
}
