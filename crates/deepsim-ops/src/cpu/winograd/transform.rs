//! The transforms of a tile, from the points at which polynomials are evaluated.
//!
//! The points are 0, some pairs `±p`, and infinity if the tile is even. A pair shares its sums: terms of even powers
//! are the same for both, those of odd powers differ by their sign.

#![expect(clippy::needless_range_loop, reason = "the transforms read as in the formulas")]

use super::MOST;
use crate::cpu::simd::{Vector, on_vectors};

/// Most pairs of points.
const PAIRS: usize = 3;

/// Constants of a tile.
struct Points {
    /// `p^k`
    powers: [[f32; 8]; PAIRS],
    /// `p^k / f(p)`, with the product `f` of the distances to all other points
    weights: [[f32; 8]; PAIRS],
    /// `1 / f(0)`
    zero: f32,
    /// Coefficients of `Π (y - q²)` for all pairs.
    all: [f32; PAIRS + 1],
    /// The same for all pairs but one.
    others: [[f32; PAIRS]; PAIRS],
    /// `p` times these.
    odd: [[f32; PAIRS]; PAIRS],
}

/// Positive points of a tile. Found by search: least error of 3x3 and 5x5 kernels in single precision.
const fn points(tile: usize) -> [f64; PAIRS] {
    match tile {
        4 => [1.0, 0.0, 0.0],
        6 => [std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::SQRT_2, 0.0],
        _ => [0.6, 1.2, 2.1],
    }
}

/// Coefficients of `Π (y - q²)`, ascending, without the pair `but`.
const fn product(points: [f64; PAIRS], pairs: usize, but: usize) -> [f64; PAIRS + 1] {
    let mut all = [1.0, 0.0, 0.0, 0.0];
    let mut j = 0;
    while j < pairs {
        if j != but {
            let square = points[j] * points[j];
            let mut k = PAIRS;
            while k > 0 {
                all[k] = all[k - 1] - square * all[k];
                k -= 1;
            }
            all[0] *= -square;
        }
        j += 1;
    }
    all
}

impl Points {
    const fn new(tile: usize) -> Self {
        let (points, pairs) = (points(tile), (tile - 1) / 2);
        let all = product(points, pairs, PAIRS);
        let mut made = Self {
            powers: [[0.0; 8]; PAIRS],
            weights: [[0.0; 8]; PAIRS],
            zero: (1.0 / all[0]) as f32,
            all: [all[0] as f32, all[1] as f32, all[2] as f32, all[3] as f32],
            others: [[0.0; PAIRS]; PAIRS],
            odd: [[0.0; PAIRS]; PAIRS],
        };
        let mut i = 0;
        while i < pairs {
            let (p, others) = (points[i], product(points, pairs, i));
            // f(p) = (p - 0) (p + p) Π (p² - q²), and the same for -p.
            let mut f = 0.0;
            let mut k = PAIRS;
            while k > 0 {
                k -= 1;
                f = f * p * p + others[k];
                made.others[i][k] = others[k] as f32;
                made.odd[i][k] = (p * others[k]) as f32;
            }
            f *= 2.0 * p * p;
            let (mut power, mut k) = (1.0, 0);
            while k < 8 {
                made.powers[i][k] = power as f32;
                made.weights[i][k] = (power / f) as f32;
                power *= p;
                k += 1;
            }
            i += 1;
        }
        made
    }
}

/// `Σ coefficients[k] values[first + 2 k]` for `count` values.
#[inline(always)]
unsafe fn every_second<V: Vector, const N: usize>(
    coefficients: &[f32],
    values: &[V; N],
    first: usize,
    count: usize,
) -> V {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut sum = V::splat(coefficients[0]).mul_add(values[first], V::zero());
        for k in 1..count {
            sum = V::splat(coefficients[k]).mul_add(values[first + 2 * k], sum);
        }
        sum
    }
}

/// `Bᵀ`, along one axis.
#[inline(always)]
unsafe fn input_line<V: Vector, const T: usize>(d: [V; T]) -> [V; T] {
    let (points, pairs) = (const { &Points::new(T) }, (T - 1) / 2);
    // SAFETY: passed on to the caller.
    unsafe {
        let mut line = [V::zero(); T];
        line[0] = every_second(&points.all, &d, 0, pairs + 1);
        for i in 0..pairs {
            let even = every_second(&points.others[i], &d, 2, pairs);
            let odd = every_second(&points.odd[i], &d, 1, pairs);
            line[1 + 2 * i] = even.add(odd);
            line[2 + 2 * i] = even.sub(odd);
        }
        if T.is_multiple_of(2) {
            line[T - 1] = every_second(&points.all, &d, 1, pairs + 1);
        }
        line
    }
}

/// `G`, along one axis.
#[inline(always)]
unsafe fn weight_line<V: Vector, const R: usize, const T: usize>(g: [V; R]) -> [V; T] {
    let (points, pairs) = (const { &Points::new(T) }, (T - 1) / 2);
    // SAFETY: passed on to the caller.
    unsafe {
        let mut line = [V::zero(); T];
        line[0] = V::splat(points.zero).mul_add(g[0], V::zero());
        for i in 0..pairs {
            let w = &points.weights[i];
            let (mut even, mut odd) = (V::splat(w[0]).mul_add(g[0], V::zero()), V::zero());
            for k in 1..R {
                let sum = if k % 2 == 0 { &mut even } else { &mut odd };
                *sum = V::splat(w[k]).mul_add(g[k], *sum);
            }
            line[1 + 2 * i] = even.add(odd);
            line[2 + 2 * i] = even.sub(odd);
        }
        if T.is_multiple_of(2) {
            line[T - 1] = g[R - 1];
        }
        line
    }
}

/// `Aᵀ`, along one axis.
#[inline(always)]
unsafe fn output_line<V: Vector, const T: usize, const M: usize>(m: [V; T]) -> [V; M] {
    let (points, pairs) = (const { &Points::new(T) }, (T - 1) / 2);
    // SAFETY: passed on to the caller.
    unsafe {
        let (mut even, mut odd) = ([V::zero(); PAIRS], [V::zero(); PAIRS]);
        for i in 0..pairs {
            even[i] = m[1 + 2 * i].add(m[2 + 2 * i]);
            odd[i] = m[1 + 2 * i].sub(m[2 + 2 * i]);
        }
        let mut line = [V::zero(); M];
        line[0] = m[0];
        if T.is_multiple_of(2) {
            line[M - 1] = m[T - 1];
        }
        for k in 0..M {
            for i in 0..pairs {
                let value = if k % 2 == 0 { even[i] } else { odd[i] };
                line[k] = V::splat(points.powers[i][k]).mul_add(value, line[k]);
            }
        }
        line
    }
}

/// A transform of a line of `R` values to the `T` positions of a tile.
trait Line<const R: usize, const T: usize> {
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn of<V: Vector>(values: [V; R]) -> [V; T];
}

struct Inputs;

impl<const T: usize> Line<T, T> for Inputs {
    #[inline(always)]
    unsafe fn of<V: Vector>(values: [V; T]) -> [V; T] {
        // SAFETY: passed on to the caller.
        unsafe { input_line(values) }
    }
}

struct Weights;

impl<const R: usize, const T: usize> Line<R, T> for Weights {
    #[inline(always)]
    unsafe fn of<V: Vector>(values: [V; R]) -> [V; T] {
        // SAFETY: passed on to the caller.
        unsafe { weight_line(values) }
    }
}

/// Transforms `R x R` pixels along both axes, for all channels.
#[inline(always)]
unsafe fn spread<V: Vector, L: Line<R, T>, const R: usize, const T: usize>(
    pixels: &[*const f32; MOST],
    to: *mut f32,
    stride: usize,
    channels: usize,
) {
    let mut channel = 0;
    while channel < channels {
        // The last vector may overlap the one before.
        let at = channel.min(channels - V::LANES);
        // SAFETY: the caller guarantees the floats.
        unsafe {
            let mut columns = [[V::zero(); T]; R];
            for x in 0..R {
                let mut column = [V::zero(); R];
                for y in 0..R {
                    column[y] = V::load(pixels[R * y + x].add(at));
                }
                columns[x] = L::of(column);
            }
            for y in 0..T {
                let mut row = [V::zero(); R];
                for x in 0..R {
                    row[x] = columns[x][y];
                }
                let row = L::of(row);
                for x in 0..T {
                    row[x].store(to.add((T * y + x) * stride + at));
                }
            }
        }
        channel += V::LANES;
    }
}

on_vectors! {
    /// `Bᵀ d B` of a tile, for all channels; the positions of the result lie `stride` apart.
    ///
    /// # Safety
    /// The machine has the instruction set. Each of the `T²` pixels has `channels` floats, at least as many as a vector
    /// has lanes, and so has each position of the result.
    pub(super) unsafe fn spread_input<V, T>(
        pixels: &[*const f32; MOST],
        to: *mut f32,
        stride: usize,
        channels: usize,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { spread::<V, Inputs, T, T>(pixels, to, stride, channels) }
    }

    /// `G g Gᵀ` of `R x R` pixels, for all channels; the positions of the result lie `stride` apart.
    ///
    /// # Safety
    /// The same as for [`spread_input`], with `R²` pixels.
    pub(super) unsafe fn spread_weights<V, R, T>(
        pixels: &[*const f32; MOST],
        to: *mut f32,
        stride: usize,
        channels: usize,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { spread::<V, Weights, R, T>(pixels, to, stride, channels) }
    }

    /// `leaky(Aᵀ m A + bias)` of `M x M` pixels, for all channels, gated if there are gates.
    ///
    /// # Safety
    /// The machine has the instruction set; `from` has `channels` floats, a whole number of vectors, at each of `T²`
    /// positions `stride` apart, and so have the bias, each of the `M²` places and each gate.
    pub(super) unsafe fn gather_output<V, T, M>(
        from: *const f32,
        stride: usize,
        bias: *const f32,
        slopes: (f32, f32),
        to: &[*mut f32; MOST],
        gates: Option<&[*const f32; MOST]>,
        channels: usize,
    ) {
        // SAFETY: the caller guarantees the floats.
        unsafe {
            let (slope, gate_slope) = (V::splat(slopes.0), V::splat(slopes.1));
            let mut at = 0;
            while at < channels {
                let mut columns = [[V::zero(); M]; T];
                for x in 0..T {
                    let mut column = [V::zero(); T];
                    for y in 0..T {
                        column[y] = V::load(from.add((T * y + x) * stride + at));
                    }
                    columns[x] = output_line(column);
                }
                let bias = V::load(bias.add(at));
                for y in 0..M {
                    let mut row = [V::zero(); T];
                    for x in 0..T {
                        row[x] = columns[x][y];
                    }
                    let row: [V; M] = output_line(row);
                    for x in 0..M {
                        let value = row[x].add(bias);
                        let mut value = value.gate(value, slope);
                        if let Some(gates) = gates {
                            value = value.gate(V::load(gates[M * y + x].add(at)), gate_slope);
                        }
                        value.store(to[M * y + x].add(at));
                    }
                }
                at += V::LANES;
            }
        }
    }
}
