//! A cuDNN handle and its workspace, per thread and device.
//!
//! candle gives every thread a stream of its own, and a cuDNN handle must not be used by two
//! threads at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use candle_core::{CudaDevice, Result, bail};

use super::glue::{alloc, done};
use super::graph;
use super::plan::{Key, Plan};

/// What one thread keeps for one device.
pub(super) struct Context {
    handle: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
    /// Grown to what the hungriest convolution wants, and used by all in turn.
    /// Graphs that were recorded with it hold it too.
    workspace: RefCell<Option<Rc<CudaSlice<u8>>>>,
    plans: RefCell<HashMap<Key, Rc<Plan>>>,
}

impl Context {
    /// The calling thread's context, made when first asked for.
    pub(super) fn get(op: &'static str, device: &CudaDevice) -> Result<Rc<Self>> {
        thread_local! {
            static CONTEXTS: RefCell<HashMap<DeviceId, Rc<Context>>> = RefCell::default();
        }
        let stream = device.cuda_stream();
        done(op, "binding the device", stream.context().bind_to_thread())?;
        if let Some(context) = CONTEXTS.with_borrow(|all| all.get(&device.id()).cloned()) {
            return Ok(context);
        }
        let context = Rc::new(Self::new(op, stream)?);
        CONTEXTS.with_borrow_mut(|all| all.insert(device.id(), context.clone()));
        Ok(context)
    }

    fn new(op: &'static str, stream: Arc<CudaStream>) -> Result<Self> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes a handle to the pointer given; the device is bound to this thread.
        check(op, "cudnnCreate", unsafe { sys::cudnnCreate(&mut handle) })?;
        let context =
            Self { handle, stream, workspace: RefCell::default(), plans: RefCell::default() };
        // SAFETY: the handle was just made; the stream lives as long as the context holds it.
        let status = unsafe { sys::cudnnSetStream(handle, context.stream.cu_stream().cast()) };
        check(op, "cudnnSetStream", status)?;
        Ok(context)
    }

    pub(super) fn handle(&self) -> sys::cudnnHandle_t {
        self.handle
    }

    pub(super) fn stream(&self) -> &CudaStream {
        &self.stream
    }

    /// The plan of this key, made by `make` when first asked for.
    pub(super) fn plan(&self, key: Key, make: impl FnOnce() -> Result<Plan>) -> Result<Rc<Plan>> {
        if let Some(plan) = self.plans.borrow().get(&key) {
            return Ok(plan.clone());
        }
        let plan = Rc::new(make()?);
        self.plans.borrow_mut().insert(key, plan.clone());
        Ok(plan)
    }

    /// Calls `f` with a workspace of at least so many bytes, null for none.
    pub(super) fn with_workspace<R>(
        &self,
        op: &'static str,
        device: &CudaDevice,
        bytes: usize,
        f: impl FnOnce(*mut c_void) -> R,
    ) -> Result<R> {
        if bytes == 0 {
            return Ok(f(ptr::null_mut()));
        }
        let mut workspace = self.workspace.borrow_mut();
        if workspace.as_ref().is_none_or(|known| known.len() < bytes) {
            if graph::is_recording() {
                // It would be the graph's memory, and used by others too.
                bail!("{op}: wanted a workspace of {bytes} bytes before a step is recorded");
            }
            // Freed first, in the order of the stream: both need not fit at once.
            *workspace = None;
            *workspace = Some(Rc::new(alloc(op, device, bytes)?));
        }
        let Some(workspace) = workspace.as_ref() else { bail!("{op}: no workspace") };
        graph::keep(workspace);
        let (pointer, _recorded_when_dropped) = workspace.device_ptr(&self.stream);
        Ok(f(pointer as *mut c_void))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new` and is not used after this. There is nobody to tell
        // of a failure, as at the end of a process the driver may be gone already.
        unsafe { sys::cudnnDestroy(self.handle) };
    }
}

/// Says which call of which operation failed.
pub(super) fn check(op: &'static str, call: &str, status: sys::cudnnStatus_t) -> Result<()> {
    match status {
        sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS => Ok(()),
        // What the handle's creation answers where the library is missing.
        sys::cudnnStatus_t::CUDNN_STATUS_NOT_INITIALIZED => {
            bail!("{op}: {call} failed: {status:?}; is libcudnn.so.9 installed?")
        }
        status => bail!("{op}: {call} failed: {status:?}"),
    }
}
