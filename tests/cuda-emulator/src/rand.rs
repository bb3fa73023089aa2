//! cuRAND's functions that candle calls when it makes a device. Nothing here draws from it.

use std::ffi::c_int;

#[unsafe(no_mangle)]
unsafe extern "C" fn curandCreateGenerator(out: *mut usize, _: c_int) -> c_int {
    // SAFETY: the caller's pointer.
    unsafe { *out = 1 };
    0
}

#[unsafe(no_mangle)]
extern "C" fn curandSetPseudoRandomGeneratorSeed(_: usize, _: u64) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn curandSetStream(_: usize, _: usize) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn curandDestroyGenerator(_: usize) -> c_int {
    0
}
