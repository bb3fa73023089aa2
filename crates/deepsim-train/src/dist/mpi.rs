//! Processes that talk by MPI: sums on the processor, over whatever network the MPI library knows.

use std::time::{Duration, Instant};

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::datatype::Equivalence;
use ::mpi::environment::Universe;
use ::mpi::request::StaticScope;
use ::mpi::traits::{Communicator, CommunicatorCollectives};
use candle_core::Tensor;

use super::ProcessGroup;
use super::patience::{no_answer, patience};
use crate::TrainError;

/// Process group of all processes that MPI started.
pub(super) struct Mpi {
    universe: Universe,
    patience: Duration,
}

/// Values that are summed at once, because they are in memory three times meanwhile.
const CHUNK: usize = 1 << 22;

impl Mpi {
    /// Starts MPI; `None` if it was started before in this process.
    pub(super) fn join() -> Option<Self> {
        // Calls come from the training thread only.
        let (universe, _) = ::mpi::initialize_with_threading(Threading::Funneled)?;
        Some(Self { universe, patience: patience() })
    }

    fn sum_all<T: Equivalence + Copy + 'static>(&self, values: &mut [T]) -> Result<(), TrainError> {
        values.chunks_mut(CHUNK).try_for_each(|part| {
            let sums = self.summed(part.to_vec())?;
            part.copy_from_slice(&sums);
            Ok(())
        })
    }

    /// Sums over all processes. MPI may write to its buffers until all of them are there: if one never is,
    /// the buffers stay where they are for good.
    fn summed<T: Equivalence + Copy + 'static>(&self, own: Vec<T>) -> Result<Vec<T>, TrainError> {
        let sums = Box::leak(own.clone().into_boxed_slice());
        let own = Box::leak(own.into_boxed_slice());
        let buffers = [std::ptr::from_mut(own), std::ptr::from_mut(sums)];
        let world = self.universe.world();
        let sum = SystemOperation::sum();
        let mut request = world.immediate_all_reduce_into(StaticScope, &*own, sums, sum);
        let (mut last, mut waited) = (Instant::now(), Duration::ZERO);
        loop {
            request = match request.test() {
                Ok(_) => break,
                Err(request) => request,
            };
            // A job that was suspended as a whole did not wait all that time.
            waited += last.elapsed().min(Duration::from_secs(1));
            last = Instant::now();
            if waited > self.patience {
                std::mem::forget(request);
                return Err(TrainError::Group(no_answer(waited)));
            }
            // The other process may need this core.
            match waited < Duration::from_millis(1) {
                true => std::thread::yield_now(),
                false => std::thread::sleep(Duration::from_micros(50)),
            }
        }
        // SAFETY: both came from boxes just above, and MPI is done with them.
        let [_, sums] = buffers.map(|buffer| unsafe { Box::from_raw(buffer) });
        Ok(sums.into_vec())
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // MPI would wait for the others, who wait for this process.
            self.abort(101);
        }
    }
}

impl ProcessGroup for Mpi {
    fn rank(&self) -> usize {
        self.universe.world().rank() as usize
    }

    fn size(&self) -> usize {
        self.universe.world().size() as usize
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), TrainError> {
        self.sum_all(values)
    }

    fn sum_tensors(&self, tensors: &mut [Tensor]) -> Result<(), TrainError> {
        // One message for all of them: most are small.
        let mut values: Vec<f32> = Vec::new();
        for tensor in tensors.iter() {
            values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        self.sum_all(&mut values)?;
        let mut rest = &values[..];
        for tensor in tensors {
            let (own, others) = rest.split_at(tensor.elem_count());
            *tensor = Tensor::from_slice(own, tensor.shape(), tensor.device())?;
            rest = others;
        }
        Ok(())
    }

    fn abort(&self, exit_code: u8) {
        self.universe.world().abort(i32::from(exit_code))
    }
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} of {}", self.rank(), self.size())
    }
}
