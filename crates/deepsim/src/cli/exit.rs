//! Exit codes.

use deepsim_eval::EvalError;
use deepsim_import::ImportError;
use deepsim_nets::NetError;
use deepsim_reproduce::ReproduceError;
use deepsim_run::RunError;
use deepsim_train::TrainError;
use deepsim_train::dist::LaunchError;

use super::device::DeviceError;

/// Success.
pub(crate) const DONE: u8 = 0;
/// Failure without a code of its own.
pub(crate) const FAILED: u8 = 1;
/// Bad arguments or recipe.
pub(crate) const USAGE: u8 = 2;
/// Results of a run that could not be written.
pub(crate) const NOT_WRITTEN: u8 = 3;
/// A loss or gradient that is not finite.
pub(crate) const NOT_FINITE: u8 = 4;
/// Two runs that differ.
pub(crate) const DIFFERENT: u8 = 5;
/// Interruption, with all work saved.
pub(crate) const INTERRUPTED: u8 = 130;
/// Second interruption of a training run, which saves nothing.
pub(crate) const KILLED: u8 = 131;

/// Exit codes with their meanings, for the help.
const TABLE: [(u8, &str); 8] = [
    (DONE, "finished"),
    (FAILED, "failed"),
    (USAGE, "bad arguments or recipe"),
    (NOT_WRITTEN, "results could not be written"),
    (NOT_FINITE, "a loss or gradient is not finite"),
    (DIFFERENT, "the runs compared differ"),
    (INTERRUPTED, "interrupted; training has saved a checkpoint"),
    (KILLED, "training interrupted twice, without saving"),
];

/// The table as a paragraph of the help.
pub(crate) fn help() -> String {
    let rows = TABLE.map(|(code, meaning)| format!("\n  {code:3}  {meaning}"));
    format!("Exit codes:{}", rows.concat())
}

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// An error that ends the program with `code`.
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Bad arguments.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }
}

/// Returns the exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<Failure>() {
        return error.code;
    }
    if let Some(error) = error.downcast_ref::<DeviceError>() {
        return error.code;
    }
    if let Some(error) = error.downcast_ref::<TrainError>() {
        return match error {
            TrainError::Run(RunError::Recipe { .. }) => USAGE,
            TrainError::Write(_) => NOT_WRITTEN,
            TrainError::NonFinite(_) => NOT_FINITE,
            _ => FAILED,
        };
    }
    if let Some(error) = error.downcast_ref::<ReproduceError>() {
        return error.exit_code();
    }
    if let Some(RunError::Recipe { .. }) = error.downcast_ref() {
        return USAGE;
    }
    let usage = match error.downcast_ref::<EvalError>() {
        Some(
            EvalError::Unknown { .. }
            | EvalError::Input { .. }
            | EvalError::Option { .. }
            | EvalError::Net(NetError::UnknownTap { .. }),
        ) => true,
        Some(error) => error.is_size(),
        None => {
            matches!(error.downcast_ref(), Some(LaunchError::Refused(_)))
                || matches!(error.downcast_ref(), Some(ImportError::Ambiguous { .. }))
        }
    };
    if usage { USAGE } else { FAILED }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_kind_of_error_has_its_code_in_the_table() {
        let path = PathBuf::from("somewhere");
        let io = || std::io::Error::other("no");
        let write = TrainError::Io { operation: "writing", path: path.clone(), source: io() };
        let recipe = RunError::recipe("no");
        let eval = EvalError::Io { operation: "reading", path: path.clone(), source: io() };
        let unknown =
            EvalError::Unknown { what: "measure", known: String::new(), got: String::new() };
        let input =
            EvalError::Input { operation: "sample", wanted: String::new(), got: String::new() };
        let ambiguous =
            ImportError::Ambiguous { path: path.clone(), got: String::new(), known: String::new() };
        let broken = ImportError::Broken { path, reason: "no".into() };
        let errors: [(anyhow::Error, u8); 14] = [
            (ReproduceError::usage("no").into(), 2),
            (ReproduceError::Interrupted("no".into()).into(), 130),
            (TrainError::from(RunError::recipe("no")).into(), 2),
            (anyhow::anyhow!("no"), 1),
            (Failure::usage("no").into(), 2),
            (Failure::new(INTERRUPTED, "stopped").into(), 130),
            (recipe.into(), 2),
            (TrainError::NoBatch.into(), 1),
            (TrainError::Write(Box::new(write)).into(), 3),
            (eval.into(), 1),
            (unknown.into(), 2),
            (input.into(), 2),
            (ambiguous.into(), 2),
            (broken.into(), 1),
        ];
        for (error, wanted) in errors {
            assert_eq!(code(&error), wanted, "{error}");
            assert!(TABLE.iter().any(|(code, _)| *code == wanted), "{wanted}");
        }
        // Context does not hide the code.
        assert_eq!(code(&anyhow::Error::from(Failure::usage("no")).context("while trying")), 2);
    }

    #[test]
    fn codes_are_distinct_and_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(help().starts_with("Exit codes:\n    0  finished\n    1  failed\n    2  bad"));
    }
}
