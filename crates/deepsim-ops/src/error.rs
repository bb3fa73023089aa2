//! Messages of candle's errors.

use candle_core::Error;

/// Returns the message of an error without the backtrace that candle appends if `RUST_BACKTRACE` is set.
///
/// ```
/// use candle_core::Error;
/// use deepsim_ops::error_message;
/// let error = Error::Msg("conv2d: no".into()).bt().context("step 3");
/// assert_eq!(error_message(&error), "step 3: conv2d: no");
/// ```
pub fn error_message(error: &Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => error_message(inner),
        Error::Context { inner, context } => format!("{context}: {}", error_message(inner)),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), error_message(inner)),
        other => other.to_string(),
    }
}
