//! Going on after a run that failed: the others are not lost with it.

use std::collections::BTreeSet;

use anyhow::{Error, Result};

use crate::process::{self, complain};

/// What failed so far.
#[derive(Debug, Default)]
pub(super) struct Failures {
    names: BTreeSet<String>,
    first: Option<Error>,
}

impl Failures {
    /// Notes a failure of the run called `name`, says so, and lets the rest go on.
    ///
    /// # Errors
    /// If it was an interruption, after which nothing should go on.
    pub(super) fn note(&mut self, name: &str, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        if process::was_interrupted(&error) {
            return Err(error);
        }
        complain(&format!("error: {error:#}\ngoing on with what does not need {name}"));
        self.names.insert(name.into());
        self.first.get_or_insert(error);
        Ok(())
    }

    /// Whether something failed of the run called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The end of it all.
    ///
    /// # Errors
    /// If anything failed: the first failure, with its exit code, and the names of all.
    pub(super) fn settle(self) -> Result<()> {
        let Some(first) = self.first else { return Ok(()) };
        let names: Vec<String> = self.names.into_iter().collect();
        let count = names.len();
        Err(first.context(format!(
            "{count} of the parts failed ({}), the others are done; the same command tries again. First",
            names.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Failure;

    #[test]
    fn failures_are_gathered_and_an_interruption_ends_everything() -> Result<()> {
        let mut failures = Failures::default();
        failures.note("good", Ok(()))?;
        assert!(!failures.has("good"));
        failures.note("bad", Err(Failure::usage("no such key")))?;
        failures.note("worse", Err(anyhow::anyhow!("no space")))?;
        assert!(failures.has("bad") && failures.has("worse"));
        let stop = Err(Failure::error(process::INTERRUPTED, "interrupted"));
        assert!(failures.note("any", stop).is_err());
        let error = failures.settle().expect_err("two failed");
        // The first one's exit code, and all names.
        assert_eq!(process::exit_code(&error), process::USAGE);
        let text = format!("{error:#}");
        assert!(
            text.contains("2 of the parts failed (bad, worse)") && text.contains("no such key")
        );
        Failures::default().settle()
    }
}
