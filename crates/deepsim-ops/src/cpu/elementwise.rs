//! Elementwise maps and sums, parallel over chunks of a fixed size.

use rayon::prelude::*;

use super::simd::{Isa, vectorised};

const CHUNK: usize = 16 * 1024;

/// `f(x)` for every element.
pub(crate) fn map(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f(*x);
        }
    });
    out
}

/// `f(a, b)` for every pair of elements.
pub(crate) fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0f32; a.len()];
    let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (a, b))| {
        for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out = f(*a, *b);
        }
    });
    out
}

/// Sum of the squared or absolute differences, in double precision.
pub(crate) fn distance(isa: Isa, a: &[f32], b: &[f32], squared: bool) -> f64 {
    let chunks = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    let partial: Vec<f64> = chunks
        .map(|(a, b)| {
            // Lanes, so that additions need not wait for one another.
            let mut lanes = [0f64; LANES];
            if squared {
                add_squares(isa, a, b, &mut lanes);
            } else {
                add_absolutes(isa, a, b, &mut lanes);
            }
            lanes.iter().sum()
        })
        .collect();
    partial.iter().sum()
}

const LANES: usize = 32;

/// Sum of the squares, in double precision.
pub(crate) fn sum_of_squares(isa: Isa, x: &[f32]) -> f64 {
    let chunk = |x: &[f32]| {
        let mut lanes = [0f64; LANES];
        add_own_squares(isa, x, &mut lanes);
        lanes.iter().sum()
    };
    // Collected, so that the order of the sum does not depend on the threads.
    let partial: Vec<f64> = x.par_chunks(CHUNK).map(chunk).collect();
    partial.iter().sum()
}

/// Multiplies by `slope` where `by` is not positive: a leaky ReLU of `by`, or its gradient.
pub(crate) fn gate(isa: Isa, values: &mut [f32], by: &[f32], slope: f32) {
    values.par_chunks_mut(CHUNK).zip(by.par_chunks(CHUNK)).for_each(|(values, by)| {
        gate_chunk(isa, values, by, slope);
    });
}

vectorised! {
    fn add_squares(a: &[f32], b: &[f32], lanes: &mut [f64; LANES]) {
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                let d = f64::from(*a) - f64::from(*b);
                *lane += d * d;
            }
        }
    }

    fn add_own_squares(x: &[f32], lanes: &mut [f64; LANES]) {
        for x in x.chunks(LANES) {
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane += f64::from(*x) * f64::from(*x);
            }
        }
    }

    fn add_absolutes(a: &[f32], b: &[f32], lanes: &mut [f64; LANES]) {
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += (f64::from(*a) - f64::from(*b)).abs();
            }
        }
    }

    fn gate_chunk(values: &mut [f32], by: &[f32], slope: f32) {
        for (value, by) in values.iter_mut().zip(by) {
            *value = if *by > 0.0 { *value } else { *value * slope };
        }
    }

    /// `to += from`
    pub(crate) fn add(to: &mut [f32], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }

    /// Adds the rows of a matrix to `sums`.
    pub(crate) fn add_rows(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}
