//! Kernels of this crate: CUDA C, compiled by NVRTC at the first use, so that a build needs no `nvcc`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, LaunchArgs, LaunchConfig,
};
use candle_core::cuda_backend::cudarc::nvrtc::{
    CompileError, CompileOptions, compile_ptx_with_opts,
};
use candle_core::{CudaDevice, Result, bail};

use super::glue::done;

const SOURCE: &str = include_str!("kernels.cu");

/// Threads of a block, `BLOCK` in the source.
const BLOCK: u32 = 256;

/// A kernel and the stream to launch it in.
pub(super) struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    /// Returns the kernel of this name in `kernels.cu`.
    pub(super) fn get(op: &'static str, device: &CudaDevice, name: &'static str) -> Result<Self> {
        thread_local! {
            static FUNCTIONS: RefCell<HashMap<(DeviceId, &'static str), CudaFunction>> =
                RefCell::default();
        }
        let key = (device.id(), name);
        let known = FUNCTIONS.with_borrow(|functions| functions.get(&key).cloned());
        let function = match known {
            Some(function) => function,
            None => {
                let ptx = ptx(op, device)?;
                let loaded = device.get_or_load_custom_func(name, "deepsim_ops", &ptx);
                let function = done(op, name, loaded)?.into_cuda_function();
                FUNCTIONS.with_borrow_mut(|functions| functions.insert(key, function.clone()));
                function
            }
        };
        Ok(Self { function, stream: device.cuda_stream() })
    }

    /// Arguments of a launch.
    pub(super) fn arguments(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// Returns a launch with one thread for each of `n` elements.
pub(super) fn threads(n: u32) -> LaunchConfig {
    blocks(n.div_ceil(BLOCK))
}

/// Returns a launch of this many blocks, at least one.
pub(super) fn blocks(n: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (n.max(1), 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 }
}

/// Returns the number of blocks that sum `n` values: enough to fill a GPU, and a function of `n` alone.
pub(super) fn summing_blocks(n: u32) -> u32 {
    n.div_ceil(BLOCK).clamp(1, 1024)
}

/// Major and minor number of an architecture.
type Capability = (i32, i32);

/// Returns the kernels for the device's architecture; compiled once per process.
fn ptx(op: &'static str, device: &CudaDevice) -> Result<Arc<str>> {
    static COMPILED: Mutex<Vec<(Capability, Arc<str>)>> = Mutex::new(Vec::new());
    let stream = device.cuda_stream();
    let capability = done(op, "compute capability", stream.context().compute_capability())?;
    // No work is left unfinished under this lock, so a poisoned one is safe to use.
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, ptx)) = compiled.iter().find(|(known, _)| *known == capability) {
        return Ok(ptx.clone());
    }
    let (major, minor) = capability;
    let options = CompileOptions {
        options: vec![format!("--gpu-architecture=compute_{major}{minor}")],
        name: Some("kernels.cu".to_owned()),
        ..CompileOptions::default()
    };
    let ptx: Arc<str> = match compile_ptx_with_opts(SOURCE, options) {
        Ok(ptx) => ptx.to_src().into(),
        Err(error) => bail!("{op}: NVRTC could not compile kernels.cu: {}", reason(&error)),
    };
    compiled.push((capability, ptx.clone()));
    Ok(ptx)
}

/// Returns the compiler's log, if it has any.
fn reason(error: &CompileError) -> String {
    match error {
        CompileError::CompileError { nvrtc, log, .. } => {
            format!("{nvrtc:?}: {}", log.to_string_lossy())
        }
        error => format!("{error:?}"),
    }
}
