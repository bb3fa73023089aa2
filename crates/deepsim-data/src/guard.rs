//! Panics of other people's decoders as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a decoder of foreign bytes; a panic becomes its message.
///
/// What the closure had borrowed may be half written after a panic.
pub(crate) fn guarded<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied());
        format!("the decoder panicked: {}", message.unwrap_or("no message"))
    })
}
