//! Numbers on two folders of pictures: pairs of pictures by name, or both folders as samples of two distributions.
//!
//! [`Pairing`] finds the pairs, [`compare_pairs`] measures each of them, and [`compare_sets`] measures the folders as
//! distributions, whatever the names of their pictures. A picture that cannot be read is named by an event, the
//! first [`NAMED`] of them, and the others are measured.

mod pairing;
mod pairs;
mod sets;
mod table;
mod windows;

pub use pairing::{Pair, Pairing};
pub use pairs::{FolderMeasures, compare_pairs};
pub use sets::{SetsMeasured, compare_sets};
pub use table::{Column, PairTable, Summary};

use tracing::error;

use crate::EvalError;

/// Pictures that could not be measured and are named one by one; more are only counted.
pub const NAMED: usize = 10;

/// Counts failures, and names the first.
#[derive(Default)]
struct Failures(usize);

impl Failures {
    fn add(&mut self, failure: &EvalError) {
        if self.0 < NAMED {
            error!("{failure}");
        }
        self.0 += 1;
    }
}
