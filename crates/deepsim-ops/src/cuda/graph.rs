//! A training step as a CUDA graph: recorded once, and from then on a single launch.
//!
//! A graph does the same with the same memory each time. What is to differ from one launch to the next is
//! read from memory that the host fills before each: the number of the step, which names the random
//! streams, and the rates of the updates, in their order.

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::cuda_backend::cudarc::driver::sys::{
    CUgraphInstantiate_flags, CUstreamCaptureMode,
};
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, CudaSlice, DevicePtr, PinnedHostSlice};
use candle_core::{CudaDevice, Device, Result, Tensor, bail};

use super::glue::done;
use super::memory::give_back;
use super::multi_tensor::gather_into;
use crate::deferred::{DeferredScalar, Finish};

const OP: &str = "step graph";

/// Most updates of a step.
const RATES: usize = 6;
/// The step's number, in two words, and the rates.
const WORDS: usize = 2 + RATES;
/// Most scalars that a step hands back.
const SCALARS: usize = 64;

/// What is being recorded in this thread.
struct Recording {
    /// Where the words are that the host fills.
    words: u64,
    /// The step that is recorded.
    step: u64,
    /// Updates so far.
    rates: usize,
    /// Memory that the graph uses and others may give up.
    kept: Vec<Rc<CudaSlice<u8>>>,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Whether a step is being recorded.
pub(super) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Keeps memory for as long as the graph that is recorded.
pub(super) fn keep(memory: &Rc<CudaSlice<u8>>) {
    RECORDING.with_borrow_mut(|recording| {
        if let Some(Recording { kept, .. }) = recording
            && !kept.iter().any(|known| Rc::ptr_eq(known, memory))
        {
            kept.push(memory.clone());
        }
    });
}

/// Where the next update finds its rate; null if nothing is recorded.
pub(super) fn rate(op: &'static str) -> Result<u64> {
    RECORDING.with_borrow_mut(|recording| match recording {
        None => Ok(0),
        Some(recording) if recording.rates < RATES => {
            recording.rates += 1;
            Ok(recording.words + 4 * (1 + recording.rates as u64))
        }
        Some(_) => bail!("{op}: wanted at most {RATES} updates in a step"),
    })
}

/// Where a random stream finds the number of the step, and its own number less that; null, and its own
/// number, if nothing is recorded.
pub(super) fn stream_number(number: u64) -> (u64, u64) {
    RECORDING.with_borrow(|recording| match recording {
        None => (0, number),
        Some(recording) => (recording.words, number.wrapping_sub(recording.step)),
    })
}

/// A recorded step.
///
/// Its memory is its own: networks, moments and inputs must stay where they were when it was recorded.
///
/// ```no_run
/// use candle_core::{Device, Result, Var};
/// use deepsim_ops::{DeferredScalar, StepGraph};
/// let device = Device::new_cuda(0)?;
/// let x = Var::new(&[1f32, 2.0], &device)?;
/// let step = || Ok(((), vec![DeferredScalar::squares(&[x.as_tensor()])?]));
/// let f: &dyn Fn() -> Result<((), Vec<DeferredScalar>)> = &step;
/// StepGraph::warm_up(&device, f)?;
/// // SAFETY: `x` outlives the graph, and keeps its place.
/// let (mut graph, ()) = unsafe { StepGraph::record(&device, 1, f)? };
/// assert_eq!(graph.launch(1, &[])?, [5.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct StepGraph {
    graph: CudaGraph,
    device: CudaDevice,
    rates: usize,
    on_host: PinnedHostSlice<u32>,
    words: CudaSlice<u32>,
    scalars: CudaSlice<f32>,
    finish: Vec<Finish>,
    /// Held until the graph is gone.
    _kept: Vec<Rc<CudaSlice<u8>>>,
}

impl StepGraph {
    /// Does something so that it can be recorded later: what the operations upload by themselves, such
    /// as strides, stays on the device for all later times.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn warm_up<T, E>(
        device: &Device,
        f: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let _kept = match device {
            Device::Cuda(device) => Some(device.enable_cuda_graph_htod_cache()),
            _ => None,
        };
        f()
    }

    /// Records what `f` asks of the device, which does none of it yet. `step` is the number of the random
    /// streams that `f` draws from. `f` must have been rehearsed, and must read nothing from the
    /// device; the numbers it returns are given by each [`StepGraph::launch`], in this order.
    ///
    /// # Errors
    /// Those of `f`, and if it does something that cannot be part of a graph. Then nothing was done, and the
    /// device can be used as before.
    ///
    /// # Safety
    /// All memory that `f` uses and does not allocate itself must stay where it is for as long as the graph is
    /// launched: parameters, what is computed from, and moments, of which no clone may be made and kept.
    pub unsafe fn record<T, E: From<candle_core::Error>>(
        device: &Device,
        step: u64,
        f: impl FnOnce() -> std::result::Result<(T, Vec<DeferredScalar>), E>,
    ) -> std::result::Result<(Self, T), E> {
        let Device::Cuda(device) = device else {
            return Err(candle_core::Error::Msg(format!("{OP}: wanted a GPU")).into());
        };
        let stream = device.cuda_stream();
        let context = stream.context();
        let words = done(OP, "allocation", device.alloc_zeros::<u32>(WORDS))?;
        let mut scalars = done(OP, "allocation", device.alloc_zeros::<f32>(SCALARS))?;
        // SAFETY: all of it is written before it is read, in `launch`.
        let on_host = unsafe { context.alloc_pinned::<u32>(WORDS) };
        let on_host = done(OP, "page-locked memory", on_host)?;
        let address = words.device_ptr(&stream).0;
        done(OP, "waiting for the device", stream.synchronize())?;
        // A graph has memory of its own: what earlier steps left would stay idle beside it.
        give_back(device)?;
        // Threads that load data may go on.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        done(OP, "beginning of the capture", stream.begin_capture(mode))?;
        RECORDING.set(Some(Recording { words: address, step, rates: 0, kept: Vec::new() }));
        let made = {
            let _kept = device.enable_cuda_graph_htod_cache();
            f().and_then(|(made, numbers)| {
                let pending = numbers.iter().filter_map(DeferredScalar::pending);
                let (pending, finish): (Vec<Tensor>, Vec<Finish>) = pending.unzip();
                if pending.len() < numbers.len() {
                    // It would be the same after every launch.
                    let text = format!("{OP}: wanted numbers of the device, got one that is known");
                    return Err(candle_core::Error::Msg(text).into());
                }
                gather_into(OP, device, &pending.iter().collect::<Vec<_>>(), &mut scalars)?;
                Ok((made, finish))
            })
        };
        let recorded = RECORDING.take();
        // cudarc keeps errors of memory that is freed for the next call, which must not be the one that ends
        // the capture: the stream has to leave it, after an error as well.
        let freed = context.check_err();
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        let (made, finish) = match made {
            Ok(made) => made,
            Err(error) => {
                // Memory of an invalid capture cannot be freed, and that was said.
                let _ = context.check_err();
                return Err(error);
            }
        };
        done(OP, "freeing memory", freed)?;
        let Some(graph) = done(OP, "end of the capture", graph)? else {
            return Err(candle_core::Error::Msg(format!("{OP}: nothing was recorded")).into());
        };
        let (rates, kept) = recorded.map_or_else(Default::default, |r| (r.rates, r.kept));
        let device = device.clone();
        let new = Self { graph, device, rates, on_host, words, scalars, finish, _kept: kept };
        Ok((new, made))
    }

    /// Updates of the step.
    pub fn rates(&self) -> usize {
        self.rates
    }

    /// Does the step, with this number and these rates of its updates, and waits for the numbers that it
    /// hands back.
    ///
    /// # Errors
    /// As [`StepGraph::start`] and [`StepGraph::numbers`].
    pub fn launch(&mut self, step: u64, rates: &[f32]) -> Result<Vec<f64>> {
        self.start(step, rates)?;
        self.numbers()
    }

    /// Has the device do the step, with this number and these rates of its updates.
    ///
    /// # Errors
    /// If there are not as many rates as updates, or the device refuses. Then nothing of it is done.
    pub fn start(&mut self, step: u64, rates: &[f32]) -> Result<()> {
        if rates.len() != self.rates {
            bail!("{OP}: wanted {} rates, got {}", self.rates, rates.len());
        }
        let stream = self.device.cuda_stream();
        {
            let words = done(OP, "page-locked memory", self.on_host.as_mut_slice())?;
            words.fill(0);
            (words[0], words[1]) = (step as u32, (step >> 32) as u32);
            for (word, rate) in words[2..].iter_mut().zip(rates) {
                *word = rate.to_bits();
            }
        }
        done(OP, "copy of the rates", stream.memcpy_htod(&self.on_host, &mut self.words))?;
        done(OP, "launch", self.graph.launch())
    }

    /// Waits for the numbers that the step hands back.
    ///
    /// # Errors
    /// If the device failed.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        let stream = self.device.cuda_stream();
        let values = done(OP, "copy of the numbers", stream.clone_dtoh(&self.scalars))?;
        let values = values.into_iter().zip(&self.finish);
        Ok(values.map(|(value, finish)| finish.apply(f64::from(value))).collect())
    }
}
