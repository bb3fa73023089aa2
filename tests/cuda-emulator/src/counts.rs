//! Counts of calls, printed at the end if `CUDA_EMULATOR_COUNTS` is set.

use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! counts {
    ($($name:ident: $what:literal,)*) => {
        $(pub(crate) static $name: AtomicUsize = AtomicUsize::new(0);)*

        extern "C" fn print() {
            if std::env::var_os("CUDA_EMULATOR_COUNTS").is_some() {
                $(eprintln!("{:>9} {}", $name.load(Ordering::Relaxed), $what);)*
            }
        }
    };
}

counts! {
    LAUNCHES: "kernels launched one by one",
    LIBRARY: "calls of cuDNN and cuBLAS",
    GRAPHS: "graphs launched",
    ALLOCATIONS: "allocations",
    PAGEABLE: "copies to the device from ordinary memory",
    PINNED: "copies to the device from page-locked memory",
    BACK: "copies from the device",
    BETWEEN: "copies on the device",
    FILLS: "fills",
    WAITS: "waits of the host for the device",
}

pub(crate) fn count(what: &AtomicUsize) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        unsafe extern "C" {
            fn atexit(f: extern "C" fn()) -> i32;
        }
        // SAFETY: `print` is there until the end.
        unsafe { atexit(print) };
    });
    what.fetch_add(1, Ordering::Relaxed);
}
