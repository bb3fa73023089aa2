//! The driver's functions, as `cuda.h` has them.

mod memory;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use crate::counts::{self, count};
use crate::device::{INVALID_PTX, INVALID_VALUE, NOT_FOUND, OK, device, fail, stream};
use crate::ptx::{self, Launch, Module};

fn answer(result: Result<(), i32>) -> c_int {
    result.err().unwrap_or(OK)
}

/// Number of devices, so that each of two processes can have one. Within a process all of them are
/// the same device.
const DEVICES: c_int = 2;

/// Functions that do nothing here.
macro_rules! nothing {
    ($($name:ident($($argument:ty),*);)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) -> c_int {
            OK
        })*
    };
}

nothing! {
    cuInit(c_uint);
    cuCtxSetCurrent(usize);
    cuDevicePrimaryCtxRelease_v2(c_int);
    cuDeviceSetMemPool(c_int, usize);
    cuMemPoolSetAttribute(usize, c_int, *const c_void);
    cuMemPoolTrimTo(usize, usize);
    cuFuncSetAttribute(usize, c_int, c_int);
    cuFuncSetCacheConfig(usize, c_int);
    cuModuleUnload(usize);
    cuGraphUpload(usize, usize);
    cuGraphDestroy(usize);
    cuStreamDestroy_v2(usize);
}

/// NVRTC asks for a table of undocumented functions, but works without it.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetExportTable(out: *mut usize, _: *const c_void) -> c_int {
    unsafe { *out = 0 };
    NOT_FOUND
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(out: *mut c_int, ordinal: c_int) -> c_int {
    if !(0..DEVICES).contains(&ordinal) {
        return 101;
    }
    // SAFETY: the caller's pointer, as in all functions here.
    unsafe { *out = ordinal };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(out: *mut c_int) -> c_int {
    unsafe { *out = DEVICES };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(out: *mut c_char, len: c_int, _: c_int) -> c_int {
    let name = b"CUDA emulator\0";
    for (i, &byte) in name.iter().take(len.max(0) as usize).enumerate() {
        unsafe { *out.add(i) = byte as c_char };
    }
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(out: *mut c_int, attribute: c_int, _: c_int) -> c_int {
    unsafe {
        *out = match attribute {
            1 => 1024, // threads of a block
            10 => 32,  // a warp
            16 => 2,   // multiprocessors
            75 => 9,   // compute capability 9.0
            115 => 1,  // memory pools
            _ => 0,
        }
    };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(out: *mut usize, _: c_int) -> c_int {
    unsafe { *out = 8 << 30 };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    unsafe { (*free, *total) = (4 << 30, 8 << 30) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(out: *mut usize, number: c_int) -> c_int {
    static USED: OnceLock<c_int> = OnceLock::new();
    if *USED.get_or_init(|| number) != number {
        fail("expected one device in a process, found two");
    }
    unsafe { *out = 1 };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(out: *mut usize) -> c_int {
    unsafe { *out = 1 };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetDefaultMemPool(out: *mut usize, _: c_int) -> c_int {
    unsafe { *out = 1 };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(code: c_int, out: *mut *const c_char) -> c_int {
    let name: &CStr = match code {
        INVALID_VALUE => c"CUDA_ERROR_INVALID_VALUE",
        INVALID_PTX => c"CUDA_ERROR_INVALID_PTX",
        NOT_FOUND => c"CUDA_ERROR_NOT_FOUND",
        900 => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        901 => c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
        _ => c"another error",
    };
    unsafe { *out = name.as_ptr() };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(code: c_int, out: *mut *const c_char) -> c_int {
    unsafe { cuGetErrorName(code, out) }
}

// ---- streams and events ----

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreate(out: *mut usize, _: c_uint) -> c_int {
    unsafe { *out = device().new_handle() };
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(handle: usize) -> c_int {
    let mut device = device();
    count(&counts::WAITS);
    answer(device.refuse_in_capture().map(|()| device.synchronise(stream(handle))))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    let mut device = device();
    count(&counts::WAITS);
    answer(device.refuse_in_capture().map(|()| device.run_all()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(out: *mut usize, _: c_uint) -> c_int {
    unsafe { *out = device().new_handle() };
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> c_int {
    device().forget_event(event);
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, handle: usize) -> c_int {
    answer(device().record(event, stream(handle)))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(handle: usize, event: usize, _: c_uint) -> c_int {
    answer(device().wait(stream(handle), event))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> c_int {
    let mut device = device();
    if !device.is_over(event) {
        count(&counts::WAITS);
    }
    answer(device.refuse_in_capture().map(|()| device.synchronise_event(event)))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> c_int {
    let mut device = device();
    let ready = device.refuse_in_capture();
    match ready {
        Err(code) => code,
        Ok(()) if device.is_over(event) => OK,
        Ok(()) => 600,
    }
}

// ---- kernels ----

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(out: *mut usize, image: *const c_char) -> c_int {
    // SAFETY: PTX is a text that ends with a zero.
    let Ok(text) = unsafe { CStr::from_ptr(image) }.to_str() else { return INVALID_PTX };
    let mut device = device();
    if let Err(code) = device.refuse_in_capture() {
        return code;
    }
    let handle = device.new_handle();
    device.modules.insert(handle, Module::new(text));
    unsafe { *out = handle };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    out: *mut usize,
    module: usize,
    name: *const c_char,
) -> c_int {
    // SAFETY: a text that ends with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let mut device = device();
    let handle = device.new_handle();
    let Some(found) = device.modules.get_mut(&module) else { return INVALID_VALUE };
    if let Err(reason) = found.kernel(&name) {
        eprintln!("CUDA emulator: {reason}");
        return NOT_FOUND;
    }
    device.functions.insert(handle, (module, name));
    unsafe { *out = handle };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    blocks_x: c_uint,
    blocks_y: c_uint,
    blocks_z: c_uint,
    threads_x: c_uint,
    threads_y: c_uint,
    threads_z: c_uint,
    shared: c_uint,
    handle: usize,
    arguments: *const *const u8,
    _: *const c_void,
) -> c_int {
    let mut device = device();
    let Some((module, name)) = device.functions.get(&function).cloned() else {
        return INVALID_VALUE;
    };
    let Some(Ok(kernel)) = device.modules.get_mut(&module).map(|module| module.kernel(&name))
    else {
        return NOT_FOUND;
    };
    let blocks = [blocks_x, blocks_y, blocks_z].map(|n| n as usize);
    let threads = [threads_x, threads_y, threads_z].map(|n| n as usize);
    let count_of_threads: usize = threads.iter().product();
    if blocks.contains(&0) || !(1..=1024).contains(&count_of_threads) || blocks[1] > 65535 {
        return INVALID_VALUE;
    }
    let len = kernel.parameters.last().map_or(0, |(offset, size)| offset + size);
    let mut parameters = vec![0u64; len.div_ceil(8)];
    for (i, &(offset, size)) in kernel.parameters.iter().enumerate() {
        // SAFETY: the caller gives a pointer to each parameter, of its size; the copy fits, as the
        // last parameter ends with the memory.
        unsafe {
            let to = parameters.as_mut_ptr().cast::<u8>().add(offset);
            (*arguments.add(i)).copy_to_nonoverlapping(to, size);
        }
    }
    let stream = stream(handle);
    if let Err(code) = device.unspoilt(stream) {
        return code;
    }
    if !device.captures(stream) {
        count(&counts::LAUNCHES);
    }
    device.enqueue(stream, move |device| {
        let memory = device.memory();
        let shared = shared as usize;
        let launch = Launch { blocks, threads, shared, parameters: &parameters, memory: &memory };
        ptx::run(&kernel, &launch);
    });
    OK
}

// ---- graphs ----

#[unsafe(no_mangle)]
extern "C" fn cuStreamBeginCapture_v2(handle: usize, mode: c_int) -> c_int {
    // Modes: 0 binds all threads, 1 this one, 2 none, which nobody here asks for.
    answer(device().begin_capture(stream(handle), mode == 0))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamEndCapture(handle: usize, out: *mut usize) -> c_int {
    match device().end_capture(stream(handle)) {
        Ok(graph) => {
            unsafe { *out = graph };
            OK
        }
        Err(code) => {
            unsafe { *out = 0 };
            code
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamIsCapturing(handle: usize, out: *mut c_int) -> c_int {
    let (mut device, stream) = (device(), stream(handle));
    let spoilt = device.unspoilt(stream).is_err();
    // 2 is a capture that is not valid any more.
    unsafe { *out = c_int::from(device.captures(stream)) + c_int::from(spoilt) };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGraphInstantiateWithFlags(out: *mut usize, graph: usize, _: u64) -> c_int {
    unsafe { *out = graph };
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphExecDestroy(graph: usize) -> c_int {
    let mut device = device();
    device.run_all();
    device.graphs.remove(&graph);
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphLaunch(graph: usize, handle: usize) -> c_int {
    count(&counts::GRAPHS);
    answer(device().launch_graph(graph, stream(handle)))
}
