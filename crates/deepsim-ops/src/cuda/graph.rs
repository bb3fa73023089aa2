//! A training step as a CUDA graph: captured once, then launched as a whole.
//!
//! A graph does the same with the same memory at every launch. Values that differ between launches
//! are read from memory that the host fills before each: the number of the step, which selects the
//! random streams, and the rates of the updates, in their order.

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

/// Largest number of updates in a step.
const RATES: usize = 6;
/// The step's number, in two words, and the rates.
const WORDS: usize = 2 + RATES;
/// Largest number of scalars that a step returns.
const SCALARS: usize = 64;

/// Capture in progress on this thread.
struct Recording {
    /// Device address of the words that the host fills.
    words: u64,
    /// Number of the captured step.
    step: u64,
    /// Number of updates so far.
    rates: usize,
    /// Memory that the graph uses and that its owners may release.
    kept: Vec<Rc<CudaSlice<u8>>>,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Returns true if a step is being captured on this thread.
pub(super) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Keeps memory alive as long as the graph that is being captured.
pub(super) fn keep(memory: &Rc<CudaSlice<u8>>) {
    RECORDING.with_borrow_mut(|recording| {
        if let Some(Recording { kept, .. }) = recording
            && !kept.iter().any(|known| Rc::ptr_eq(known, memory))
        {
            kept.push(memory.clone());
        }
    });
}

/// Returns the address of the next update's rate; null if no step is being captured.
pub(super) fn rate(op: &'static str) -> Result<u64> {
    RECORDING.with_borrow_mut(|recording| match recording {
        None => Ok(0),
        Some(recording) if recording.rates < RATES => {
            recording.rates += 1;
            Ok(recording.words + 4 * (1 + recording.rates as u64))
        }
        Some(_) => bail!("{op}: expected at most {RATES} updates in a step"),
    })
}

/// Returns the address of the step's number, and the number of a random stream relative to it.
/// Without a capture they are null and the stream's own number.
pub(super) fn stream_number(number: u64) -> (u64, u64) {
    RECORDING.with_borrow(|recording| match recording {
        None => (0, number),
        Some(recording) => (recording.words, number.wrapping_sub(recording.step)),
    })
}

/// A captured step.
///
/// The graph holds addresses: networks, moments and inputs must stay where they were during the
/// capture.
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
    /// Memory that lives as long as the graph.
    _kept: Vec<Rc<CudaSlice<u8>>>,
}

impl StepGraph {
    /// Runs a step eagerly before its capture. Uploads that operations make by themselves, such as
    /// strides, then stay on the device, so that the capture contains none.
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

    /// Captures the work that `f` asks of the device, without executing it. `step` is the number of
    /// the random streams that `f` draws from. `f` must have run in [`StepGraph::warm_up`] before,
    /// and must read nothing from the device. Each [`StepGraph::launch`] returns the scalars that
    /// `f` returned, in this order.
    ///
    /// # Errors
    /// Those of `f`, and if `f` does something that cannot be part of a graph. No work was done
    /// then, and the device can be used as before.
    ///
    /// # Safety
    /// Memory that `f` uses and does not allocate itself must stay where it is as long as the graph
    /// is launched: parameters, inputs, and moments, of which no clone may be kept.
    pub unsafe fn record<T, E: From<candle_core::Error>>(
        device: &Device,
        step: u64,
        f: impl FnOnce() -> std::result::Result<(T, Vec<DeferredScalar>), E>,
    ) -> std::result::Result<(Self, T), E> {
        let Device::Cuda(device) = device else {
            return Err(candle_core::Error::Msg(format!("{OP}: expected a GPU")).into());
        };
        let stream = device.cuda_stream();
        let context = stream.context();
        let words = done(OP, "allocation", device.alloc_zeros::<u32>(WORDS))?;
        let mut scalars = done(OP, "allocation", device.alloc_zeros::<f32>(SCALARS))?;
        // SAFETY: `launch` writes every word before the graph reads it.
        let on_host = unsafe { context.alloc_pinned::<u32>(WORDS) };
        let on_host = done(OP, "page-locked memory", on_host)?;
        let address = words.device_ptr(&stream).0;
        done(OP, "waiting for the device", stream.synchronize())?;
        // A graph has its own memory pool, so memory cached by earlier steps would stay idle beside
        // it.
        give_back(device)?;
        // Other threads, such as those that load data, may continue.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        done(OP, "beginning of the capture", stream.begin_capture(mode))?;
        RECORDING.set(Some(Recording { words: address, step, rates: 0, kept: Vec::new() }));
        let made = {
            let _kept = device.enable_cuda_graph_htod_cache();
            f().and_then(|(made, numbers)| {
                let pending = numbers.iter().filter_map(DeferredScalar::pending);
                let (pending, finish): (Vec<Tensor>, Vec<Finish>) = pending.unzip();
                if pending.len() < numbers.len() {
                    // A known number would be the same after every launch.
                    let text =
                        format!("{OP}: expected deferred scalars, found one with a known value");
                    return Err(candle_core::Error::Msg(text).into());
                }
                gather_into(OP, device, &pending.iter().collect::<Vec<_>>(), &mut scalars)?;
                Ok((made, finish))
            })
        };
        let recorded = RECORDING.take();
        // cudarc reports an error from freeing memory at the next call. That call must not be the
        // one that ends the capture, because the stream has to leave it even after an error.
        let freed = context.check_err();
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        let (made, finish) = match made {
            Ok(made) => made,
            Err(error) => {
                // Memory of an invalid capture cannot be freed; the capture's own error is reported
                // instead.
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

    /// Returns the number of updates in the step.
    pub fn rates(&self) -> usize {
        self.rates
    }

    /// Runs the step with this number and these rates of its updates, and waits for its scalars.
    ///
    /// # Errors
    /// As [`StepGraph::start`] and [`StepGraph::numbers`].
    pub fn launch(&mut self, step: u64, rates: &[f32]) -> Result<Vec<f64>> {
        self.start(step, rates)?;
        self.numbers()
    }

    /// Starts the step with this number and these rates of its updates, without waiting.
    ///
    /// # Errors
    /// If the number of rates is not that of the updates, or the device refuses. No part of the
    /// step runs then.
    pub fn start(&mut self, step: u64, rates: &[f32]) -> Result<()> {
        if rates.len() != self.rates {
            bail!("{OP}: expected {} rates, found {}", self.rates, rates.len());
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

    /// Waits for the scalars of the step that was started.
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
