//! Separable resampling of channels-first images: weighted sums of neighbouring rows, and of neighbouring columns.
//!
//! Up-sampling, average pooling, and the gradients of both are such sums with different weights.

use rayon::prelude::*;

use super::simd::{Isa, vectorised};

/// Values of a unit of work.
const CHUNK: usize = 16 * 1024;

/// Weights of one axis: each output position is a weighted sum of some neighbouring source positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bands {
    /// Source positions.
    pub(crate) from: usize,
    /// First source position of each output.
    starts: Vec<usize>,
    /// First weight of each output, and the number of all weights.
    offsets: Vec<usize>,
    weights: Vec<f32>,
    /// Number of weights of every output, if it is the same.
    width: Option<usize>,
}

impl Bands {
    /// Bands of outputs that are given by their first of `from` source positions and its weights.
    pub(crate) fn new(from: usize, outputs: impl IntoIterator<Item = (usize, Vec<f32>)>) -> Self {
        let (mut starts, mut offsets, mut weights) = (Vec::new(), vec![0], Vec::new());
        for (start, band) in outputs {
            assert!(start + band.len() <= from, "a band beyond the source");
            starts.push(start);
            weights.extend(band);
            offsets.push(weights.len());
        }
        let width = offsets.get(1).copied();
        let width =
            width.filter(|width| offsets.windows(2).all(|pair| pair[1] - pair[0] == *width));
        Self { from, starts, offsets, weights, width }
    }

    /// Output positions.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// First source position of an output, and the weights from it on.
    #[inline(always)]
    fn output(&self, output: usize) -> (usize, &[f32]) {
        let weights = &self.weights[self.offsets[output]..self.offsets[output + 1]];
        (self.starts[output], weights)
    }

    /// Returns the adjoint: the weights with which each source position contributes to the outputs.
    pub(crate) fn transposed(&self) -> Self {
        let mut columns = vec![(0, Vec::new()); self.from];
        for output in 0..self.len() {
            let (start, weights) = self.output(output);
            for (column, weight) in columns[start..].iter_mut().zip(weights) {
                if column.1.is_empty() {
                    column.0 = output;
                }
                // Outputs in between that do not read this position.
                column.1.resize(output - column.0, 0.0);
                column.1.push(*weight);
            }
        }
        Self::new(self.len(), columns)
    }

    /// Dense matrix of all weights, `(outputs, sources)`.
    pub(crate) fn matrix(&self) -> Vec<f32> {
        let mut matrix = vec![0f32; self.len() * self.from];
        for (output, row) in matrix.chunks_exact_mut(self.from).enumerate() {
            let (start, weights) = self.output(output);
            row[start..start + weights.len()].copy_from_slice(weights);
        }
        matrix
    }
}

/// Resamples planes of `down.from` rows and `across.from` columns.
pub(crate) fn resample(isa: Isa, (down, across): (&Bands, &Bands), x: &[f32]) -> Vec<f32> {
    let (plane, size) = (down.from * across.from, down.len() * across.len());
    let mut y = vec![0f32; x.len() / plane * size];
    let rows = (CHUNK / across.len()).clamp(1, down.len());
    let planes = y.par_chunks_mut(size).zip(x.par_chunks(plane));
    planes.with_min_len((CHUNK / size).max(1)).for_each(|(y, x)| {
        let blocks = y.par_chunks_mut(rows * across.len()).enumerate();
        blocks.for_each(|(block, y)| some_rows(isa, (down, across), block * rows, x, y));
    });
    y
}

vectorised! {
    /// Output rows of one plane, from `first` on.
    fn some_rows(bands: (&Bands, &Bands), first: usize, x: &[f32], y: &mut [f32]) {
        let (down, across) = bands;
        let (wide, narrow) = (across.len(), across.from);
        if down.len() < down.from {
            // Fewer rows first: sums of rows are the faster ones.
            let mut row = vec![0f32; narrow];
            for (i, y) in y.chunks_exact_mut(wide).enumerate() {
                let (start, weights) = down.output(first + i);
                sum_rows(weights, &x[start * narrow..], &mut row);
                sum_columns(across, &row, y);
            }
            return;
        }
        // Source rows that these outputs read.
        let outputs = first..first + y.len() / wide;
        let seen = outputs.map(|i| down.output(i)).filter(|(_, weights)| !weights.is_empty());
        let (mut low, mut high) = (down.from, 0);
        for (start, weights) in seen {
            (low, high) = (low.min(start), high.max(start + weights.len()));
        }
        let mut rows = vec![0f32; high.saturating_sub(low) * wide];
        for (i, row) in rows.chunks_exact_mut(wide).enumerate() {
            sum_columns(across, &x[(low + i) * narrow..][..narrow], row);
        }
        for (i, y) in y.chunks_exact_mut(wide).enumerate() {
            let (start, weights) = down.output(first + i);
            sum_rows(weights, &rows[start.saturating_sub(low) * wide..], y);
        }
    }
}

/// Computes the weighted sum of rows as long as `y`; 0 if there are none.
#[inline(always)]
fn sum_rows(weights: &[f32], rows: &[f32], y: &mut [f32]) {
    let Some((first, rest)) = weights.split_first() else { return y.fill(0.0) };
    let len = y.len();
    for (y, x) in y.iter_mut().zip(rows) {
        *y = first * x;
    }
    for (i, weight) in rest.iter().enumerate() {
        for (y, x) in y.iter_mut().zip(&rows[(i + 1) * len..]) {
            *y += weight * x;
        }
    }
}

/// One row of weighted sums of columns.
#[inline(always)]
fn sum_columns(bands: &Bands, row: &[f32], y: &mut [f32]) {
    match bands.width {
        Some(1) => sum_equal::<1>(bands, row, y),
        Some(2) => sum_equal::<2>(bands, row, y),
        Some(3) => sum_equal::<3>(bands, row, y),
        Some(4) => sum_equal::<4>(bands, row, y),
        _ => {
            for (i, y) in y.iter_mut().enumerate() {
                let (start, weights) = bands.output(i);
                let pairs = weights.iter().zip(&row[start..]);
                *y = pairs.fold(0.0, |sum, (weight, x)| sum + weight * x);
            }
        }
    }
}

/// The last arm of [`sum_columns`] with a loop that the compiler unrolls.
#[inline(always)]
fn sum_equal<const WIDTH: usize>(bands: &Bands, row: &[f32], y: &mut [f32]) {
    let outputs = bands.starts.iter().zip(bands.weights.chunks_exact(WIDTH));
    for (y, (start, weights)) in y.iter_mut().zip(outputs) {
        let row = &row[*start..start + WIDTH];
        *y = (1..WIDTH).fold(weights[0] * row[0], |sum, i| sum + weights[i] * row[i]);
    }
}
