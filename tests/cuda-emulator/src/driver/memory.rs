//! Memory of the device, page-locked memory of the host, and copies.

use std::ffi::{c_int, c_uint};
use std::slice;

use super::answer;
use crate::counts::{self, count};
use crate::device::{Device, INVALID_VALUE, OK, device, stream};

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocAsync(out: *mut usize, bytes: usize, handle: usize) -> c_int {
    match device().allocate(bytes, Some(stream(handle))) {
        Ok(address) => unsafe { *out = address },
        Err(code) => return code,
    }
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(out: *mut usize, bytes: usize) -> c_int {
    let mut device = device();
    if let Err(code) = device.refuse_in_capture() {
        return code;
    }
    match device.allocate(bytes, None) {
        Ok(address) => unsafe { *out = address },
        Err(code) => return code,
    }
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: usize, handle: usize) -> c_int {
    answer(device().free_later(address, stream(handle)))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: usize) -> c_int {
    let mut device = device();
    if let Err(code) = device.refuse_in_capture() {
        return code;
    }
    device.run_all();
    device.free(address);
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostAlloc(out: *mut usize, bytes: usize, _: c_uint) -> c_int {
    let memory = vec![0u64; bytes.div_ceil(8).max(1)];
    let address = memory.as_ptr() as usize;
    device().pinned.insert(address, memory);
    unsafe { *out = address };
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(address: usize) -> c_int {
    let mut device = device();
    device.run_all();
    if device.pinned.remove(&address).is_some() { OK } else { INVALID_VALUE }
}

/// Returns true if host memory is page-locked.
fn is_pinned(device: &Device, address: usize) -> bool {
    let found = device.pinned.range(..=address).next_back();
    found.is_some_and(|(start, memory)| address < start + memory.len() * 8)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: usize,
    from: usize,
    bytes: usize,
    handle: usize,
) -> c_int {
    const WHAT: &str = "copy to the device";
    let mut device = device();
    let stream = stream(handle);
    if is_pinned(&device, from) {
        count(&counts::PINNED);
        device.enqueue(stream, move |device| {
            // The copy runs as late as it may, so the bytes at that time count.
            // SAFETY: page-locked memory is freed after all work is done.
            let bytes = unsafe { slice::from_raw_parts(from as *const u8, bytes) };
            device.set_values(WHAT, to, bytes);
        });
        return OK;
    }
    count(&counts::PAGEABLE);
    if device.captures(stream) {
        // A graph would read the caller's memory each time it is launched.
        return answer(device.refuse_in_capture());
    }
    // SAFETY: the caller's memory, which is read before this returns.
    let bytes = unsafe { slice::from_raw_parts(from as *const u8, bytes) }.to_vec();
    device.enqueue(stream, move |device| device.set_values(WHAT, to, &bytes));
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: usize,
    from: usize,
    bytes: usize,
    handle: usize,
) -> c_int {
    let mut device = device();
    let stream = stream(handle);
    count(&counts::BACK);
    let copy = move |device: &mut Device| {
        let values: Vec<u8> = device.values("copy from the device", from, bytes);
        // SAFETY: the caller's memory; page-locked memory is freed after all work is done.
        unsafe { std::ptr::copy(values.as_ptr(), to as *mut u8, bytes) };
    };
    if is_pinned(&device, to) {
        device.enqueue(stream, copy);
        return OK;
    }
    // A copy to pageable memory waits for the stream.
    count(&counts::WAITS);
    if let Err(code) = device.refuse_in_capture() {
        return code;
    }
    device.synchronise(stream);
    copy(&mut device);
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: usize, from: usize, bytes: usize, handle: usize) -> c_int {
    count(&counts::BETWEEN);
    device().enqueue(stream(handle), move |device| {
        let values: Vec<u8> = device.values("copy on the device", from, bytes);
        device.set_values("copy on the device", to, &values);
    });
    OK
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(to: usize, value: u8, bytes: usize, handle: usize) -> c_int {
    count(&counts::FILLS);
    device().enqueue(stream(handle), move |device| {
        device.set_values("fill", to, &vec![value; bytes]);
    });
    OK
}
