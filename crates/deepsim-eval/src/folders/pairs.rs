//! Measures of pairs of pictures of two folders.

use std::path::Path;

use candle_core::Device;
use deepsim_data::picture::Picture;
use deepsim_data::{DataError, decode};
use tracing::field::Empty;
use tracing::info_span;

use super::table::PairTable;
use super::windows::{batches, window};
use super::{Failures, Pairing};
use crate::EvalError;
use crate::compare::Comparer;
use crate::measure::{Row, Space};
use crate::pair::{OpenMeasure, PairMeasure, PicturePair};

/// Measures of pairs, with their networks open.
pub enum FolderMeasures {
    /// Those of [`compare`](crate::compare::compare).
    All(Comparer),
    /// The named ones.
    Named(Vec<OpenMeasure>),
}

impl FolderMeasures {
    /// Opens the named measures, or all that there are weights for if none is named. Random weights are only used if
    /// `random` says so.
    ///
    /// # Errors
    /// If weights of a named measure are missing, or weights do not fit.
    pub fn open(
        named: &[PairMeasure],
        weights: Option<&Path>,
        random: bool,
        device: &Device,
    ) -> Result<Self, EvalError> {
        if named.is_empty() {
            return Ok(Self::All(Comparer::open(weights, random, device)?));
        }
        let open = |measure| OpenMeasure::open(measure, weights, random, device);
        Ok(Self::Named(named.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Feature spaces that are not measured in because no weights were found.
    pub fn without_weights(&self) -> &[Space] {
        match self {
            Self::All(comparer) => comparer.without_weights(),
            Self::Named(_) => &[],
        }
    }

    /// Rows of each pair. Of pictures that are too small for a named measure, the first error is kept.
    fn rows(
        &self,
        pairs: &[PicturePair<'_>],
        too_small: &mut Option<EvalError>,
    ) -> Result<Vec<Vec<Row>>, EvalError> {
        let named = match self {
            Self::All(comparer) => return comparer.rows(pairs),
            Self::Named(named) => named,
        };
        let mut rows = vec![Vec::with_capacity(named.len()); pairs.len()];
        for distance in named {
            let column = match distance.rows(pairs) {
                Err(error) if error.is_size() => {
                    let column = distance.undefined(&error, pairs.len());
                    too_small.get_or_insert(error);
                    column
                }
                result => result?,
            };
            rows.iter_mut().zip(column).for_each(|(rows, row)| rows.push(row));
        }
        Ok(rows)
    }
}

/// Measures all pairs. Pairs of which a picture cannot be read, or that differ in size, are counted and named; the
/// table says why.
///
/// # Errors
/// If a network cannot be computed.
pub fn compare_pairs(pairing: Pairing, measures: &FolderMeasures) -> Result<PairTable, EvalError> {
    let total = pairing.pairs.len();
    let span = info_span!("comparing", total = total as u64, done = Empty).entered();
    let mut table = PairTable::new(pairing);
    let (mut failures, mut done, mut left) = (Failures::default(), 0, 0..total);
    while !left.is_empty() {
        let read = |index| read(&table.pairing, index);
        let pixels = |pair: &Result<[Picture; 2], EvalError>| {
            pair.as_ref().map_or(0, |[a, _]| a.width * a.height)
        };
        let mut pictures = Vec::new();
        for (index, pair) in window(&mut left, read, pixels) {
            match pair {
                Ok(pair) => pictures.push((index, pair)),
                Err(failure) => {
                    failures.add(&failure);
                    table.fail(index, &failure);
                    done += 1;
                }
            }
        }
        for batch in batches(pictures, |[a, _]| (a.height, a.width)) {
            let pairs: Vec<PicturePair<'_>> = batch.iter().map(|(_, [a, b])| (a, b)).collect();
            let rows = measures.rows(&pairs, &mut table.too_small)?;
            for ((index, [a, _]), rows) in batch.iter().zip(&rows) {
                table.add(*index, (a.height, a.width), rows);
            }
            done += batch.len();
            span.record("done", done as u64);
        }
    }
    table.failed = failures.0;
    Ok(table)
}

/// Reads a pair of pictures of one size.
fn read(pairing: &Pairing, index: usize) -> Result<[Picture; 2], EvalError> {
    let [of_a, of_b] = pairing.paths(index);
    let (a, b) = (decode::read_photo(&of_a)?, decode::read_photo(&of_b)?);
    if (a.height, a.width) == (b.height, b.width) {
        return Ok([a, b]);
    }
    let wanted = format!("{}x{} pixels as {}", a.width, a.height, of_a.display());
    let got = format!("{}x{}", b.width, b.height);
    Err(DataError::Content { path: of_b, wanted, got }.into())
}
