//! Batch normalisation of channels-first images: sums over each channel in double precision, then one pass that
//! applies numbers of the channel.

use std::ops::Range;

use rayon::prelude::*;

use super::simd::{Isa, vectorised};

/// Values of a unit of work.
const CHUNK: usize = 16 * 1024;
/// Partial sums, so that additions need not wait for one another.
const LANES: usize = 16;

/// Sizes of channels-first images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    /// Values of one channel of one image.
    pub(crate) plane: usize,
}

/// Values of a chunk that belong to one plane, with the channel.
struct Runs {
    planes: Planes,
    start: usize,
    len: usize,
    at: usize,
}

impl Planes {
    #[inline(always)]
    fn runs(self, chunk: usize, len: usize) -> Runs {
        Runs { planes: self, start: chunk * CHUNK, len, at: 0 }
    }

    /// Two sums for each channel, over parts that `add` appends for a chunk. The order of additions depends on
    /// sizes only.
    fn totals(
        self,
        len: usize,
        add: impl Fn(usize, Range<usize>, &mut Vec<Part>) + Sync,
    ) -> Vec<[f64; 2]> {
        let part = |chunk: usize| {
            let mut parts = Vec::new();
            add(chunk, chunk * CHUNK..((chunk + 1) * CHUNK).min(len), &mut parts);
            parts
        };
        let parts: Vec<Vec<Part>> = (0..len.div_ceil(CHUNK)).into_par_iter().map(part).collect();
        let mut totals = vec![[0f64; 2]; self.channels];
        for (channel, sums) in parts.iter().flatten() {
            for (total, sum) in totals[*channel].iter_mut().zip(sums) {
                *total += sum;
            }
        }
        totals
    }
}

/// A channel, and sums over some of its values.
type Part = (usize, [f64; 2]);

impl Iterator for Runs {
    type Item = (usize, Range<usize>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.len {
            return None;
        }
        let plane = (self.start + self.at) / self.planes.plane;
        let end = ((plane + 1) * self.planes.plane - self.start).min(self.len);
        let run = self.at..end;
        self.at = end;
        Some((plane % self.planes.channels, run))
    }
}

/// `Σ x` and `Σ x²` of each channel.
pub(crate) fn moments(planes: Planes, isa: Isa, x: &[f32]) -> Vec<[f64; 2]> {
    planes.totals(x.len(), |chunk, range, parts| {
        add_moments(isa, planes.runs(chunk, range.len()), &x[range], parts);
    })
}

/// `Σ dy` and `Σ dy (x - mean)` of each channel.
pub(crate) fn products(
    planes: Planes,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
    mean: &[f64],
) -> Vec<[f64; 2]> {
    assert_eq!(x.len(), dy.len(), "as many values as gradients");
    planes.totals(x.len(), |chunk, range, parts| {
        let runs = planes.runs(chunk, range.len());
        add_products(isa, runs, &x[range.clone()], &dy[range], mean, parts);
    })
}

/// `(x - n[0]) * n[1] + n[2]` with the numbers `n` of the channel.
pub(crate) fn scale(planes: Planes, isa: Isa, x: &[f32], numbers: &[[f32; 3]]) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(chunk, (y, x))| {
        scale_runs(isa, planes.runs(chunk, x.len()), x, numbers, y);
    });
    y
}

/// `dy * n[0] + (x - n[1]) * n[2] + n[3]` with the numbers `n` of the channel.
pub(crate) fn combine(
    planes: Planes,
    isa: Isa,
    x: &[f32],
    dy: &[f32],
    numbers: &[[f32; 4]],
) -> Vec<f32> {
    let mut dx = vec![0f32; x.len()];
    let inputs = x.par_chunks(CHUNK).zip(dy.par_chunks(CHUNK));
    dx.par_chunks_mut(CHUNK).zip(inputs).enumerate().for_each(|(chunk, (dx, (x, dy)))| {
        combine_runs(isa, planes.runs(chunk, x.len()), (x, dy), numbers, dx);
    });
    dx
}

/// Sum of the lanes, by halves: one by one would take longer than a small plane.
#[inline(always)]
fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        half /= 2;
    }
    lanes[0]
}

vectorised! {
    fn add_moments(runs: Runs, x: &[f32], parts: &mut Vec<Part>) {
        for (channel, run) in runs {
            let (mut sums, mut squares) = ([0f64; LANES], [0f64; LANES]);
            for x in x[run].chunks(LANES) {
                for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(x) {
                    let x = f64::from(*x);
                    *sum += x;
                    *square += x * x;
                }
            }
            parts.push((channel, [total(sums), total(squares)]));
        }
    }

    fn add_products(runs: Runs, x: &[f32], dy: &[f32], mean: &[f64], parts: &mut Vec<Part>) {
        for (channel, run) in runs {
            let (mut sums, mut products) = ([0f64; LANES], [0f64; LANES]);
            let mean = mean[channel];
            for (x, dy) in x[run.clone()].chunks(LANES).zip(dy[run].chunks(LANES)) {
                let lanes = sums.iter_mut().zip(&mut products);
                for ((sum, product), (x, dy)) in lanes.zip(x.iter().zip(dy)) {
                    let dy = f64::from(*dy);
                    *sum += dy;
                    *product += dy * (f64::from(*x) - mean);
                }
            }
            parts.push((channel, [total(sums), total(products)]));
        }
    }

    fn scale_runs(runs: Runs, x: &[f32], numbers: &[[f32; 3]], y: &mut [f32]) {
        for (channel, run) in runs {
            let [from, factor, more] = numbers[channel];
            for (y, x) in y[run.clone()].iter_mut().zip(&x[run]) {
                *y = (x - from) * factor + more;
            }
        }
    }

    fn combine_runs(
        runs: Runs,
        inputs: (&[f32], &[f32]),
        numbers: &[[f32; 4]],
        dx: &mut [f32],
    ) {
        for (channel, run) in runs {
            let [of_dy, from, of_x, more] = numbers[channel];
            let inputs = inputs.0[run.clone()].iter().zip(&inputs.1[run.clone()]);
            for (dx, (x, dy)) in dx[run].iter_mut().zip(inputs) {
                *dx = dy * of_dy + (x - from) * of_x + more;
            }
        }
    }
}
