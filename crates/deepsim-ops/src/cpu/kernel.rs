//! The two inner loops of convolution, for every instruction set.
//!
//! Both keep a tile of accumulators in registers, `P` broadcast values times `NV` vectors of output
//! channels: [`Sum`] for `P` pixels, [`Product`] for `P` rows of the weights. The sizes are
//! constants so that the compiler unrolls every loop over the tile; a loop that is not unrolled
//! moves the accumulators to memory and costs half the speed. Keep the loops small for that reason.
#![expect(clippy::needless_range_loop, reason = "the tiles read as in the formulas")]

use super::simd::{Four, Isa, Vector};

/// Most pixels, or rows of weights, in a tile.
pub(crate) const MOST: usize = 14;

/// Contiguous values, in the source and in the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// From a pixel's first value in the source.
    pub(crate) source: usize,
    /// From the panel's first weight, in channels of the source (times the panel's width).
    pub(crate) weights: usize,
    pub(crate) len: usize,
}

/// `out[place] = leaky(bias + Σ_segments source[pixel + i] * weights[i])` for some pixels, and one
/// panel of output channels.
pub(crate) struct Sum {
    pub(crate) source: *const f32,
    /// First value of each pixel.
    pub(crate) pixels: *const u32,
    pub(crate) segments: *const Segment,
    pub(crate) segment_count: usize,
    pub(crate) weights: *const f32,
    /// Null if the sums are stored as they are.
    pub(crate) bias: *const f32,
    pub(crate) slope: f32,
    pub(crate) out: *mut f32,
    /// Destination of each pixel's result.
    pub(crate) places: *const u32,
    /// Values by whose sign the results are gated, at the same places, or null.
    pub(crate) gate: *const f32,
    pub(crate) gate_slope: f32,
}

/// `sums[row] += Σ_pixels x[pixel + row] * y[pixel]` for some rows and one panel.
pub(crate) struct Product {
    pub(crate) x: *const f32,
    /// Floats between images, rows and pixels of `x`.
    pub(crate) x_strides: (usize, usize, usize),
    pub(crate) y: *const f32,
    /// Floats between images, rows and pixels of `y`.
    pub(crate) y_strides: (usize, usize, usize),
    /// Images, rows, pixels of a row.
    pub(crate) counts: (usize, usize, usize),
    pub(crate) sums: *mut f32,
    /// Floats between rows of `sums`.
    pub(crate) sums_stride: usize,
}

/// The functions of one instruction set, by number of vectors in the panel and size of the tile.
pub(crate) struct Kernels {
    /// Largest tile.
    pub(crate) most: usize,
    sums: [&'static [unsafe fn(&Sum)]; 2],
    products: [&'static [unsafe fn(&Product)]; 2],
}

impl Kernels {
    pub(crate) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &x86::AVX2,
            Isa::Portable => &PORTABLE,
        }
    }

    /// # Safety
    /// The machine must have the instruction set, and every pointer must have the floats that the fields describe.
    pub(crate) unsafe fn sum(&self, vectors: usize, pixels: usize, sum: &Sum) {
        // SAFETY: passed on to the caller.
        unsafe { self.sums[vectors - 1][pixels - 1](sum) }
    }

    /// # Safety
    /// As for [`Kernels::sum`].
    pub(crate) unsafe fn product(&self, vectors: usize, rows: usize, product: &Product) {
        // SAFETY: passed on to the caller.
        unsafe { self.products[vectors - 1][rows - 1](product) }
    }
}

/// Tables of all tile sizes.
macro_rules! kernels {
    ($most:literal, $sum:ident, $product:ident, [$($p:literal)*]) => {
        Kernels {
            most: $most,
            sums: [&[$($sum::<$p, 1>),*], &[$($sum::<$p, 2>),*]],
            products: [&[$($product::<$p, 1>),*], &[$($product::<$p, 2>),*]],
        }
    };
}

static PORTABLE: Kernels = kernels!(6, portable_sum, portable_product, [1 2 3 4 5 6]);

unsafe fn portable_sum<const P: usize, const NV: usize>(a: &Sum) {
    // SAFETY: passed on to the caller.
    unsafe { sum::<Four, P, NV>(a) }
}

unsafe fn portable_product<const P: usize, const NV: usize>(a: &Product) {
    // SAFETY: passed on to the caller.
    unsafe { product::<Four, P, NV>(a) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{Kernels, Product, Sum, product, sum};

    // 14 x 2 accumulators, 2 vectors of weights and a broadcast fill 31 of 32 registers; 6 x 2 the
    // 16 of AVX2.
    pub(super) static AVX512: Kernels =
        kernels!(14, sum512, product512, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]);
    pub(super) static AVX2: Kernels = kernels!(6, sum256, product256, [1 2 3 4 5 6]);

    #[target_feature(enable = "avx512f,fma")]
    unsafe fn sum512<const P: usize, const NV: usize>(a: &Sum) {
        // SAFETY: passed on to the caller.
        unsafe { sum::<__m512, P, NV>(a) }
    }

    #[target_feature(enable = "avx512f,fma")]
    unsafe fn product512<const P: usize, const NV: usize>(a: &Product) {
        // SAFETY: passed on to the caller.
        unsafe { product::<__m512, P, NV>(a) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn sum256<const P: usize, const NV: usize>(a: &Sum) {
        // SAFETY: passed on to the caller.
        unsafe { sum::<__m256, P, NV>(a) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn product256<const P: usize, const NV: usize>(a: &Product) {
        // SAFETY: passed on to the caller.
        unsafe { product::<__m256, P, NV>(a) }
    }
}

#[inline(always)]
unsafe fn sum<V: Vector, const P: usize, const NV: usize>(a: &Sum) {
    // SAFETY: the caller guarantees the floats.
    unsafe {
        let mut acc = [[V::zero(); NV]; P];
        let mut from = [a.source; P];
        for i in 0..P {
            from[i] = a.source.add(*a.pixels.add(i) as usize);
        }
        for s in 0..a.segment_count {
            let segment = *a.segments.add(s);
            let mut weights = a.weights.add(segment.weights * NV * V::LANES);
            let mut at = segment.source;
            let end = at + segment.len;
            macro_rules! step {
                ($u:expr) => {{
                    let mut w = [V::zero(); NV];
                    for j in 0..NV {
                        w[j] = V::load(weights.add(($u * NV + j) * V::LANES));
                    }
                    for i in 0..P {
                        let value = V::splat(*from[i].add(at + $u));
                        for j in 0..NV {
                            acc[i][j] = value.mul_add(w[j], acc[i][j]);
                        }
                    }
                }};
            }
            while at + 4 <= end {
                step!(0);
                step!(1);
                step!(2);
                step!(3);
                at += 4;
                weights = weights.add(4 * NV * V::LANES);
            }
            while at < end {
                step!(0);
                at += 1;
                weights = weights.add(NV * V::LANES);
            }
        }
        if a.bias.is_null() {
            for i in 0..P {
                let out = a.out.add(*a.places.add(i) as usize);
                for j in 0..NV {
                    acc[i][j].store(out.add(j * V::LANES));
                }
            }
            return;
        }
        let slope = V::splat(a.slope);
        let mut bias = [V::zero(); NV];
        for j in 0..NV {
            bias[j] = V::load(a.bias.add(j * V::LANES));
        }
        for i in 0..P {
            let out = a.out.add(*a.places.add(i) as usize);
            for j in 0..NV {
                let value = acc[i][j].add(bias[j]);
                value.gate(value, slope).store(out.add(j * V::LANES));
            }
        }
        if a.gate.is_null() {
            return;
        }
        // A second pass over values that are still in the cache. In the loop above, it would keep the
        // accumulators from staying in registers.
        let slope = V::splat(a.gate_slope);
        for i in 0..P {
            let place = *a.places.add(i) as usize;
            for j in 0..NV {
                let (out, by) = (a.out.add(place + j * V::LANES), a.gate.add(place + j * V::LANES));
                V::load(out).gate(V::load(by), slope).store(out);
            }
        }
    }
}

#[inline(always)]
unsafe fn product<V: Vector, const P: usize, const NV: usize>(a: &Product) {
    // SAFETY: the caller guarantees the floats.
    unsafe {
        // Added to the sums at the end: sums of sums lose fewer digits than a single long one.
        let mut acc = [[V::zero(); NV]; P];
        let (images, rows, pixels) = a.counts;
        for image in 0..images {
            for row in 0..rows {
                let mut x = a.x.add(image * a.x_strides.0 + row * a.x_strides.1);
                let mut y = a.y.add(image * a.y_strides.0 + row * a.y_strides.1);
                for _ in 0..pixels {
                    let mut values = [V::zero(); NV];
                    for j in 0..NV {
                        values[j] = V::load(y.add(j * V::LANES));
                    }
                    for i in 0..P {
                        let x = V::splat(*x.add(i));
                        for j in 0..NV {
                            acc[i][j] = x.mul_add(values[j], acc[i][j]);
                        }
                    }
                    x = x.add(a.x_strides.2);
                    y = y.add(a.y_strides.2);
                }
            }
        }
        for i in 0..P {
            for j in 0..NV {
                let sums = a.sums.add(i * a.sums_stride + j * V::LANES);
                V::load(sums).add(acc[i][j]).store(sums);
            }
        }
    }
}
