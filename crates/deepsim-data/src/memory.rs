//! Allocations whose size comes from data or a configuration: if they fail, the caller gets an error and the
//! program does not abort.

use crate::DataError;

/// Returns the bytes of `images` RGB images; `None` if their number overflows.
pub(crate) fn rgb_bytes(images: usize, height: usize, width: usize) -> Option<usize> {
    images.checked_mul(3)?.checked_mul(height)?.checked_mul(width)
}

/// Allocates zeros for [`rgb_bytes`].
///
/// # Errors
/// If there is no room for them.
pub(crate) fn rgb_zeros(images: usize, height: usize, width: usize) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    resize(&mut bytes, rgb_bytes(images, height, width))?;
    Ok(bytes)
}

/// Resizes `bytes` to `length`; new ones are zeros.
///
/// # Errors
/// If there is no room for them, or `length` is `None`.
pub(crate) fn resize(bytes: &mut Vec<u8>, length: Option<usize>) -> Result<(), DataError> {
    let more = length.map(|length| length.saturating_sub(bytes.len()));
    match length.zip(more) {
        Some((length, more)) if bytes.try_reserve_exact(more).is_ok() => {
            bytes.resize(length, 0);
            Ok(())
        }
        _ => Err(DataError::Memory { bytes: length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_or_find_no_room_are_errors() {
        assert_eq!(rgb_zeros(2, 3, 4).expect("a few bytes"), [0; 72]);
        assert_eq!(rgb_bytes(usize::MAX / 3, 1, 2), None);
        let message = |result: Result<_, DataError>| result.expect_err("no room").to_string();
        assert!(message(rgb_zeros(1 << 62, 4, 4)).contains("more bytes than can be numbered"));
        assert!(
            message(rgb_zeros(1, 1 << 60, 1)).contains("found no room for 3458764513820540928")
        );
    }
}
