//! A cuDNN handle and its workspace, per thread and device.
//!
//! candle gives every thread its own stream, and two threads must not use a cuDNN handle at once.

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

/// cuDNN state of one thread for one device.
pub(super) struct Context {
    handle: sys::cudnnHandle_t,
    stream: Arc<CudaStream>,
    /// Workspace shared by all convolutions; grows to the largest request. A graph that was
    /// captured with it also keeps it alive.
    workspace: RefCell<Option<Rc<CudaSlice<u8>>>>,
    plans: RefCell<HashMap<Key, Rc<Plan>>>,
}

impl Context {
    /// Returns the calling thread's context, created at the first request.
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

    /// Returns the plan of this key, created by `make` at the first request.
    pub(super) fn plan(&self, key: Key, make: impl FnOnce() -> Result<Plan>) -> Result<Rc<Plan>> {
        if let Some(plan) = self.plans.borrow().get(&key) {
            return Ok(plan.clone());
        }
        let plan = Rc::new(make()?);
        self.plans.borrow_mut().insert(key, plan.clone());
        Ok(plan)
    }

    /// Calls `f` with a workspace of at least `bytes` bytes; null for none.
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
                // Memory allocated now would belong to the graph, but eager convolutions would use
                // it too.
                bail!(
                    "{op}: expected a workspace of {bytes} bytes before a step is captured; warm up first"
                );
            }
            // Frees the old workspace first, in the order of the stream, so that both need not fit
            // at once.
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
        // SAFETY: `new` made the handle, and it is not used after this. A failure is ignored,
        // because the driver may already be gone at the end of a process.
        unsafe { sys::cudnnDestroy(self.handle) };
    }
}

/// Converts a status to an error that names the operation and the call.
pub(super) fn check(op: &'static str, call: &str, status: sys::cudnnStatus_t) -> Result<()> {
    match status {
        sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS => Ok(()),
        // Status of creating a handle if the library is missing.
        sys::cudnnStatus_t::CUDNN_STATUS_NOT_INITIALIZED => {
            bail!("{op}: {call} failed: {status:?}; is libcudnn.so.9 installed?")
        }
        status => bail!("{op}: {call} failed: {status:?}"),
    }
}
