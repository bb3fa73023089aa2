//! State saved beside a model, so that a loader continues in another process or on another machine.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Cursor, DataError, LoaderConfig, Source};

/// Position of a loader, and what it belongs to.
///
/// [`Loader::state`](crate::Loader::state) makes one, [`Loader::resume`](crate::Loader::resume) takes it and
/// refuses other data and another seed. The batch size, the number of workers and that of processes may
/// change. Every rank has the same state, except for `broken`, which has what its own batches met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderState {
    /// Position to continue from.
    pub cursor: Cursor,
    /// Seed of order, crops and mirroring.
    pub seed: u64,
    /// Content of the source: [`Source::content`].
    pub data: String,
    /// Pictures that could not be read so far ([`Source::origin`]), in order; each counts once for
    /// [`Broken::Skip`](crate::Broken::Skip).
    pub broken: Vec<usize>,
}

impl LoaderState {
    /// Refuses another seed and other data.
    pub(crate) fn check(
        &self,
        source: &dyn Source,
        config: &LoaderConfig,
    ) -> Result<(), DataError> {
        let differs = |expected, found, advice| Err(DataError::Resume { expected, found, advice });
        if self.seed != config.seed {
            let seed = |seed: u64| format!("seed {seed}");
            let advice = "another seed gives another order of samples: start a new run";
            return differs(seed(self.seed), seed(config.seed), advice);
        }
        let found = source.content();
        if self.data != found {
            let advice = "name the data that the state was saved with, of the same seed if they are drawn from one, or \
                          start a new run";
            return differs(self.data.clone(), found, advice);
        }
        Ok(())
    }
}

/// The pictures that could not be read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pictures: BTreeSet<usize>,
}

impl Tally {
    /// Continues the count of a saved state.
    pub(crate) fn of(state: &LoaderState) -> Self {
        Self { pictures: state.broken.iter().copied().collect() }
    }

    /// Counts a picture; false if it was counted before.
    pub(crate) fn add(&mut self, picture: usize) -> bool {
        self.pictures.insert(picture)
    }

    pub(crate) fn len(&self) -> u64 {
        self.pictures.len() as u64
    }

    pub(crate) fn pictures(&self) -> Vec<usize> {
        self.pictures.iter().copied().collect()
    }
}
