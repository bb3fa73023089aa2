//! Failures so far: a run that fails takes only itself along.

use std::collections::BTreeSet;

use crate::ReproduceError;

/// Names of what failed so far.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    names: BTreeSet<String>,
    first: Option<ReproduceError>,
}

impl Failures {
    /// Notes and tells a failure of the run called `name`, and lets the rest continue.
    ///
    /// # Errors
    /// If it was an interruption, after which nothing should continue.
    pub(crate) fn note(
        &mut self,
        name: &str,
        result: Result<(), ReproduceError>,
    ) -> Result<(), ReproduceError> {
        let Err(error) = result else { return Ok(()) };
        if matches!(error, ReproduceError::Interrupted(_)) {
            return Err(error);
        }
        tracing::error!("{error}\ncontinuing with what does not need {name}");
        self.names.insert(name.into());
        self.first.get_or_insert(error);
        Ok(())
    }

    /// True if something failed of the run called `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Ends the reproduction.
    ///
    /// # Errors
    /// If anything failed: the first failure, with its exit code, and the names of all.
    pub(crate) fn settle(self) -> Result<(), ReproduceError> {
        let Some(first) = self.first else { return Ok(()) };
        let names = self.names.into_iter().collect();
        Err(ReproduceError::Several { names, first: Box::new(first) })
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../deepsim-data/tests/support/hear.rs"]
mod hear;

#[cfg(test)]
mod tests {
    use super::hear::{Told, heard};
    use super::*;

    #[test]
    fn failures_are_gathered_and_an_interruption_ends_everything() {
        let mut failures = Failures::default();
        let mut note = |name: &str, result| failures.note(name, result);
        let bad = || ReproduceError::usage("no such key");
        let (noted, told) = heard(|| (note("good", Ok(())), note("bad", Err(bad()))));
        assert!(noted.0.is_ok() && noted.1.is_ok(), "the rest continues");
        let text = format!("{}\ncontinuing with what does not need bad", bad());
        assert_eq!(told, [Told::Message(tracing::Level::ERROR, text)]);
        note("worse", Err(ReproduceError::Missing("no space".into()))).expect("the rest continues");
        assert!(note("any", Err(ReproduceError::Interrupted("training".into()))).is_err());
        assert!(!failures.has("good") && failures.has("bad") && failures.has("worse"));
        let error = failures.settle().expect_err("two failed");
        // The first one's exit code, and all names.
        assert_eq!(error.exit_code(), crate::error::USAGE);
        let text = error.to_string();
        assert!(
            text.contains("2 runs or inputs failed: bad, worse") && text.contains("no such key"),
            "{text}"
        );
        assert!(Failures::default().settle().is_ok());
    }
}
