//! Sums on GPUs by NCCL, which sends from one to another without the processors' memory.

use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Storage, Tensor};

use super::World;
use crate::TrainError;

/// The GPUs of all processes.
pub(super) struct Nccl {
    comm: Comm,
    device: CudaDevice,
}

/// Bytes of NCCL's name for a group of GPUs.
const ID: usize = 128;

impl Nccl {
    /// Brings the GPUs of all processes together; `world` hands on what the first one calls the group.
    ///
    /// # Errors
    /// If NCCL is not there or fails, or another process is lost.
    pub(super) fn join(world: &dyn World, device: &CudaDevice) -> Result<Self, TrainError> {
        let mut id = [0.0; ID];
        if world.leads() {
            let own = Id::new().map_err(failed("ncclGetUniqueId (is libnccl.so.2 installed?)"))?;
            id.iter_mut().zip(own.internal()).for_each(|(to, from)| *to = f64::from(*from));
        }
        world.sum(&mut id)?;
        let id = Id::uninit(id.map(|byte| byte as core::ffi::c_char));
        let comm = Comm::from_rank(device.cuda_stream(), world.rank(), world.size(), id)
            .map_err(failed("ncclCommInitRank"))?;
        Ok(Self { comm, device: device.clone() })
    }

    /// Replaces tensors by their sums over all processes.
    pub(super) fn sum(&self, tensors: &mut [Tensor]) -> Result<(), TrainError> {
        for tensor in tensors {
            *tensor = self.summed(&tensor.contiguous()?)?;
        }
        Ok(())
    }

    fn summed(&self, tensor: &Tensor) -> Result<Tensor, TrainError> {
        let (storage, layout) = tensor.storage_and_layout();
        let (Storage::Cuda(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets())
        else {
            let got = tensor.device();
            return Err(TrainError::World(format!("NCCL: wanted a tensor on a GPU, got {got:?}")));
        };
        let own = storage.as_cuda_slice::<f32>()?.slice(start..end);
        // SAFETY: all of it is written below, in the order of the stream, before anything reads it.
        let mut sums = unsafe { self.device.alloc::<f32>(end - start) }?;
        self.comm.all_reduce(&own, &mut sums, &ReduceOp::Sum).map_err(failed("ncclAllReduce"))?;
        let sums = Storage::Cuda(CudaStorage::wrap_cuda_slice(sums, self.device.clone()));
        Ok(Tensor::from_storage(sums, tensor.shape(), BackpropOp::none(), false))
    }
}

fn failed(call: &'static str) -> impl FnOnce(NcclError) -> TrainError {
    move |error| TrainError::World(format!("NCCL: {call} failed: {:?}", error.0))
}
