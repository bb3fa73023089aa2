//! Panics as errors: a decoder, or a source of somebody else, that panics must not end a run in silence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::DataError;

/// Runs `work`; a panic becomes its message.
///
/// Whatever `work` changed may be left half done, so the caller discards it.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            let message = payload.downcast_ref::<&str>().map(|message| (*message).to_owned());
            if message.is_none() {
                // Dropping a value of an unknown type could panic again.
                std::mem::forget(payload);
            }
            message.unwrap_or_else(|| "a value without a message".into())
        }
    })
}

/// Reads image `index`; a panic is an error that names it and the file, if there is one.
pub(crate) fn guarded<T>(
    index: usize,
    file: impl FnOnce() -> Option<PathBuf>,
    read: impl FnOnce() -> Result<T, DataError>,
) -> Result<T, DataError> {
    caught(read).unwrap_or_else(|reason| {
        let file = caught(file).ok().flatten();
        Err(DataError::Panicked { index, file, reason })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("while it is dropped");
        }
    }

    #[test]
    fn every_kind_of_panic_becomes_a_message() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| panic!("a text")), Err::<(), _>("a text".into()));
        assert_eq!(caught(|| panic!("number {}", 3)), Err::<(), _>("number 3".into()));
        let other = caught(|| std::panic::panic_any(PanicsAgain));
        assert_eq!(other, Err::<(), _>("a value without a message".into()));
    }
}
