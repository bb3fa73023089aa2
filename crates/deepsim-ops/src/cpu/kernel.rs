//! The two inner loops of direct convolution, for every instruction set.
//!
//! Both keep a tile of accumulators in registers: [`Sum`] for some output channels times some
//! vectors of positions, [`dots`] for some output channels times some taps. The tile sizes are
//! constants so that the compiler unrolls every loop over the tile; a loop that is not unrolled
//! would move the accumulators to memory and cost half the speed.
#![expect(clippy::needless_range_loop, reason = "the tiles read as in the formulas")]

use super::simd::{Four, Isa, Vector};

/// `flat[o][p] = Σ_k weights[o][k] * x[offsets[k] + p]` for `p < len`.
pub(crate) struct Sum<'a> {
    /// Padded planes, readable some vectors beyond the last position.
    pub(crate) x: &'a [f32],
    /// Where each tap starts in `x`.
    pub(crate) offsets: &'a [u32],
    /// Packed by [`pack`].
    pub(crate) weights: &'a [f32],
    /// Positions wanted.
    pub(crate) len: usize,
    /// Floats between two output channels: `len` rounded up to whole vectors.
    pub(crate) stride: usize,
    /// Output channels in a block of packed weights.
    pub(crate) block: usize,
}

/// Output channels computed together.
pub(crate) fn block(isa: Isa, out: usize) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if out > 4 => 8,
        _ => {
            let _ = out;
            4
        }
    }
}

/// Weights `w(o, k)` as blocks of channels, taps, channels of the block; missing channels are 0.
pub(crate) fn pack(
    block: usize,
    out: usize,
    taps: usize,
    w: impl Fn(usize, usize) -> f32,
) -> Vec<f32> {
    let mut packed = vec![0f32; out.next_multiple_of(block) * taps];
    for (b, packed) in packed.chunks_exact_mut((block * taps).max(1)).enumerate() {
        for (k, packed) in packed.chunks_exact_mut(block).enumerate() {
            for (i, value) in packed.iter_mut().enumerate().take(out - b * block) {
                *value = w(b * block + i, k);
            }
        }
    }
    packed
}

impl Sum<'_> {
    /// Computes all blocks.
    ///
    /// `flat` holds `stride` floats for each channel, their number rounded up to whole blocks.
    pub(crate) fn run(&self, isa: Isa, flat: &mut [f32]) {
        let (taps, last) = (self.offsets.len(), self.offsets.iter().max().copied().unwrap_or(0));
        let blocks = self.weights.len() / (self.block * taps).max(1);
        assert!(self.stride >= self.len && self.stride.is_multiple_of(isa.lanes()));
        assert!(last as usize + self.stride <= self.x.len(), "planes are too short");
        assert!(blocks * self.block * self.stride <= flat.len(), "the output is too short");
        // SAFETY: the instruction set was detected; reads reach at most to the last offset plus
        // `stride`, writes to `blocks * block * stride`, both checked above.
        unsafe {
            match (isa, self.block) {
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, 8) => x86::sum_avx512_8(self, blocks, flat.as_mut_ptr()),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, _) => x86::sum_avx512_4(self, blocks, flat.as_mut_ptr()),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, _) => x86::sum_avx2(self, blocks, flat.as_mut_ptr()),
                (Isa::Portable, _) => sum_blocks::<Four, 4, 2>(self, blocks, flat.as_mut_ptr()),
            }
        }
    }
}

/// `sums[o][k] += Σ_p y[o * stride + p] * x[offsets[k] + p]` for `p < stride`.
///
/// `stride` is a whole number of vectors.
pub(crate) fn dots(
    isa: Isa,
    y: &[f32],
    stride: usize,
    x: &[f32],
    offsets: &[u32],
    sums: &mut [f32],
) {
    let (out, last) = (y.len() / stride, offsets.iter().max().copied().unwrap_or(0));
    assert!(stride.is_multiple_of(isa.lanes()) && out * stride <= y.len());
    assert!(last as usize + stride <= x.len(), "planes are too short");
    assert!(out * offsets.len() == sums.len(), "one sum for each channel and tap");
    // SAFETY: the instruction set was detected; reads reach at most to `out * stride` in `y` and
    // the last offset plus `stride` in `x`, both checked above.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::dots_avx512(y, stride, x, offsets, sums),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::dots_avx2(y, stride, x, offsets, sums),
            Isa::Portable => dot_tiles::<Four, 2, 4>(y, stride, x, offsets, sums),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256, __m512};

    use super::{Sum, dot_tiles, sum_blocks};

    // 8 x 3 or 4 x 6 accumulators of 32 registers; 4 x 3 of 16.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn sum_avx512_8(sum: &Sum<'_>, blocks: usize, flat: *mut f32) {
        // SAFETY: passed on to the caller.
        unsafe { sum_blocks::<__m512, 8, 3>(sum, blocks, flat) }
    }

    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn sum_avx512_4(sum: &Sum<'_>, blocks: usize, flat: *mut f32) {
        // SAFETY: passed on to the caller.
        unsafe { sum_blocks::<__m512, 4, 6>(sum, blocks, flat) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn sum_avx2(sum: &Sum<'_>, blocks: usize, flat: *mut f32) {
        // SAFETY: passed on to the caller.
        unsafe { sum_blocks::<__m256, 4, 3>(sum, blocks, flat) }
    }

    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn dots_avx512(
        y: &[f32],
        stride: usize,
        x: &[f32],
        offsets: &[u32],
        sums: &mut [f32],
    ) {
        // SAFETY: passed on to the caller.
        unsafe { dot_tiles::<__m512, 4, 6>(y, stride, x, offsets, sums) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn dots_avx2(
        y: &[f32],
        stride: usize,
        x: &[f32],
        offsets: &[u32],
        sums: &mut [f32],
    ) {
        // SAFETY: passed on to the caller.
        unsafe { dot_tiles::<__m256, 2, 4>(y, stride, x, offsets, sums) }
    }
}

/// All blocks of `MR` channels, `NV` vectors of positions at a time, then fewer.
#[inline(always)]
unsafe fn sum_blocks<V: Vector, const MR: usize, const NV: usize>(
    sum: &Sum<'_>,
    blocks: usize,
    flat: *mut f32,
) {
    let taps = sum.offsets.len();
    let vectors = sum.stride / V::LANES;
    for block in 0..blocks {
        // SAFETY: within the packed weights, the planes and the output, as checked by `run`.
        unsafe {
            let weights = sum.weights.as_ptr().add(block * MR * taps);
            let flat = flat.add(block * MR * sum.stride);
            let mut v = 0;
            while v < vectors {
                let (x, out) = (sum.x.as_ptr().add(v * V::LANES), flat.add(v * V::LANES));
                v += match vectors - v {
                    left if left >= NV => sum_tile::<V, MR, NV>(x, sum, weights, out),
                    5 => sum_tile::<V, MR, 5>(x, sum, weights, out),
                    4 => sum_tile::<V, MR, 4>(x, sum, weights, out),
                    3 => sum_tile::<V, MR, 3>(x, sum, weights, out),
                    2 => sum_tile::<V, MR, 2>(x, sum, weights, out),
                    _ => sum_tile::<V, MR, 1>(x, sum, weights, out),
                };
            }
        }
    }
}

/// `MR` channels x `NV` vectors; returns `NV`.
#[inline(always)]
unsafe fn sum_tile<V: Vector, const MR: usize, const NV: usize>(
    x: *const f32,
    sum: &Sum<'_>,
    mut weights: *const f32,
    out: *mut f32,
) -> usize {
    // SAFETY: within bounds, as checked by `run`.
    unsafe {
        let mut acc = [[V::zero(); NV]; MR];
        for &offset in sum.offsets {
            let from = x.add(offset as usize);
            let mut values = [V::zero(); NV];
            for j in 0..NV {
                values[j] = V::load(from.add(j * V::LANES));
            }
            for i in 0..MR {
                let weight = V::splat(*weights.add(i));
                for j in 0..NV {
                    acc[i][j] = weight.mul_add(values[j], acc[i][j]);
                }
            }
            weights = weights.add(MR);
        }
        for i in 0..MR {
            for j in 0..NV {
                acc[i][j].store(out.add(i * sum.stride + j * V::LANES));
            }
        }
    }
    NV
}

/// All sums, `MO` channels x `MK` taps at a time; the last tiles repeat the last tap.
#[inline(always)]
unsafe fn dot_tiles<V: Vector, const MO: usize, const MK: usize>(
    y: &[f32],
    stride: usize,
    x: &[f32],
    offsets: &[u32],
    sums: &mut [f32],
) {
    let (out, taps) = (y.len() / stride, offsets.len());
    let mut o = 0;
    while o < out {
        let rows = if out - o >= MO { MO } else { 1 };
        for k in (0..taps).step_by(MK) {
            let tile: [u32; MK] = std::array::from_fn(|i| offsets[(k + i).min(taps - 1)]);
            let mut results = [[0f32; MK]; MO];
            // SAFETY: within bounds, as checked by `dots`.
            unsafe {
                let y = y.as_ptr().add(o * stride);
                if rows == MO {
                    dot_tile::<V, MO, MK>(y, stride, x.as_ptr(), &tile, &mut results);
                } else {
                    let mut one = [[0f32; MK]; 1];
                    dot_tile::<V, 1, MK>(y, stride, x.as_ptr(), &tile, &mut one);
                    results[0] = one[0];
                }
            }
            for (i, results) in results.iter().enumerate().take(rows) {
                let sums = &mut sums[(o + i) * taps + k..];
                for (sum, result) in sums.iter_mut().zip(results).take(taps - k) {
                    *sum += result;
                }
            }
        }
        o += rows;
    }
}

#[inline(always)]
unsafe fn dot_tile<V: Vector, const MO: usize, const MK: usize>(
    y: *const f32,
    stride: usize,
    x: *const f32,
    offsets: &[u32; MK],
    results: &mut [[f32; MK]; MO],
) {
    // SAFETY: within bounds, as checked by `dots`.
    unsafe {
        let mut acc = [[V::zero(); MK]; MO];
        for v in 0..stride / V::LANES {
            let p = v * V::LANES;
            let mut values = [V::zero(); MO];
            for i in 0..MO {
                values[i] = V::load(y.add(i * stride + p));
            }
            for k in 0..MK {
                let tap = V::load(x.add(offsets[k] as usize + p));
                for i in 0..MO {
                    acc[i][k] = tap.mul_add(values[i], acc[i][k]);
                }
            }
        }
        for i in 0..MO {
            for k in 0..MK {
                results[i][k] = acc[i][k].sum();
            }
        }
    }
}
