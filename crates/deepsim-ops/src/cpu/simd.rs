//! Vector operations of the kernels, for three instruction sets.

use std::sync::OnceLock;

use candle_core::{Error, Result};

/// Returns the name of the CPU kernels in use: `avx512`, `avx2` or `portable`. They are the best that this machine has,
/// or those that the environment variable `DEEPSIM_ISA` names, for tests and comparisons.
///
/// # Errors
/// If `DEEPSIM_ISA` names kernels that this machine does not have. Operations then use the best ones.
///
/// ```
/// assert!(["avx512", "avx2", "portable"].contains(&deepsim_ops::kernels()?));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn kernels() -> Result<&'static str> {
    Isa::chosen().map(Isa::name)
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 lanes that the compiler vectorises; for any machine.
    Portable,
}

impl Isa {
    /// Returns the one that `DEEPSIM_ISA` names, if this machine has it, or else the best.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::chosen().unwrap_or_else(|_| Self::available()[0]))
    }

    /// Returns the one that `DEEPSIM_ISA` names, or the best where it is not set.
    fn chosen() -> Result<Self> {
        let (all, wanted) = (Self::available(), std::env::var_os("DEEPSIM_ISA"));
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(all[0]) };
        let found = all.iter().copied().find(|isa| wanted == *isa.name());
        found.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|isa| isa.name()).collect();
            let (names, wanted) = (names.join(", "), wanted.display());
            Error::Msg(format!(
                "DEEPSIM_ISA: expected one of {names} on this machine, found {wanted}"
            ))
        })
    }

    /// Returns the name by which `DEEPSIM_ISA` knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Returns the instruction sets that this machine has, best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // Subsets of AVX-512 that Skylake-X and its successors have.
            let features = [
                is_x86_feature_detected!("avx512f"),
                is_x86_feature_detected!("avx512vl"),
                is_x86_feature_detected!("avx512dq"),
                is_x86_feature_detected!("avx512bw"),
            ];
            if features.iter().all(|has| *has) {
                all.push(Self::Avx512);
            }
            all.push(Self::Avx2);
        }
        all.push(Self::Portable);
        all
    }

    /// Floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            Self::Portable => 4,
        }
    }
}

/// A vector of `LANES` floats.
///
/// # Safety
/// Methods may only be called where the CPU has the instruction set; `load` and `store` need
/// `LANES` readable or writable floats.
pub(crate) trait Vector: Copy {
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    /// `self * b + acc`
    unsafe fn mul_add(self, b: Self, acc: Self) -> Self;
    /// Lane by lane: `self` where `by` is positive, else `self * slope`.
    unsafe fn gate(self, by: Self, slope: Self) -> Self;
    /// Transposes a square of `LANES` rows, which lie `strides.0` and then `strides.1` apart.
    unsafe fn transpose(from: *const f32, to: *mut f32, strides: (usize, usize));
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    #[inline(always)]
    unsafe fn gate512(v: __m512, by: __m512, slope: __m512) -> __m512 {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let shut = _mm512_cmp_ps_mask::<_CMP_NGT_UQ>(by, _mm512_setzero_ps());
            _mm512_mask_mul_ps(v, shut, v, slope)
        }
    }

    #[inline(always)]
    unsafe fn gate256(v: __m256, by: __m256, slope: __m256) -> __m256 {
        // SAFETY: the caller guarantees the instruction set.
        unsafe {
            let open = _mm256_cmp_ps::<_CMP_GT_OQ>(by, _mm256_setzero_ps());
            _mm256_blendv_ps(_mm256_mul_ps(v, slope), v, open)
        }
    }

    /// 16x16, in squares of 4x4 lanes that are then put in their places.
    #[inline(always)]
    unsafe fn transpose512(from: *const f32, to: *mut f32, (rows, columns): (usize, usize)) {
        // SAFETY: the caller guarantees the instruction set and the square.
        unsafe {
            let r: [__m512; 16] = std::array::from_fn(|i| _mm512_loadu_ps(from.add(i * rows)));
            // q[4 g + j]: element 4 l + j of each lane l of the four rows 4 g ..
            let mut q = r;
            for g in 0..4 {
                let low = |a, b| _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let high = |a, b| _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let (a, b) = (low(r[4 * g], r[4 * g + 1]), low(r[4 * g + 2], r[4 * g + 3]));
                let (c, d) = (high(r[4 * g], r[4 * g + 1]), high(r[4 * g + 2], r[4 * g + 3]));
                q[4 * g] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                q[4 * g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                q[4 * g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
                q[4 * g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
            }
            for j in 0..4 {
                let (a, b, c, d) = (q[j], q[4 + j], q[8 + j], q[12 + j]);
                // Lanes 0 and 2, or 1 and 3, of two vectors each.
                let (ab0, ab1) =
                    (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
                let (cd0, cd1) =
                    (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
                let store = |l: usize, v| _mm512_storeu_ps(to.add((4 * l + j) * columns), v);
                store(0, _mm512_shuffle_f32x4::<0x88>(ab0, cd0));
                store(1, _mm512_shuffle_f32x4::<0x88>(ab1, cd1));
                store(2, _mm512_shuffle_f32x4::<0xdd>(ab0, cd0));
                store(3, _mm512_shuffle_f32x4::<0xdd>(ab1, cd1));
            }
        }
    }

    /// 8x8, likewise.
    #[inline(always)]
    unsafe fn transpose256(from: *const f32, to: *mut f32, (rows, columns): (usize, usize)) {
        // SAFETY: the caller guarantees the instruction set and the square.
        unsafe {
            let r: [__m256; 8] = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * rows)));
            let mut q = r;
            for g in 0..2 {
                let low = |a, b| _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
                let high = |a, b| _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
                let (a, b) = (low(r[4 * g], r[4 * g + 1]), low(r[4 * g + 2], r[4 * g + 3]));
                let (c, d) = (high(r[4 * g], r[4 * g + 1]), high(r[4 * g + 2], r[4 * g + 3]));
                q[4 * g] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                q[4 * g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
                q[4 * g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
                q[4 * g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
            }
            for j in 0..4 {
                let (a, b) = (q[j], q[4 + j]);
                _mm256_storeu_ps(to.add(j * columns), _mm256_permute2f128_ps::<0x20>(a, b));
                _mm256_storeu_ps(to.add((4 + j) * columns), _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
    }

    macro_rules! vector {
        ($type:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $fma:ident, $gate:ident, $transpose:ident) => {
            impl Vector for $type {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: the caller guarantees the instruction set.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: as above.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: as above, and the caller guarantees the floats.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: as above, and the caller guarantees the floats.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $add(self, b) }
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $sub(self, b) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, acc: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(self, b, acc) }
                }
                #[inline(always)]
                unsafe fn gate(self, by: Self, slope: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $gate(self, by, slope) }
                }
                #[inline(always)]
                unsafe fn transpose(from: *const f32, to: *mut f32, strides: (usize, usize)) {
                    // SAFETY: as above, and the caller guarantees the square.
                    unsafe { $transpose(from, to, strides) }
                }
            }
        };
    }
    vector!(
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_fmadd_ps,
        gate512,
        transpose512
    );
    vector!(
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_fmadd_ps,
        gate256,
        transpose256
    );
}

/// Four floats for the compiler to vectorise.
#[derive(Clone, Copy)]
pub(crate) struct Four([f32; 4]);

impl Vector for Four {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller guarantees four floats; the read needs no alignment.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller guarantees four floats; the write needs no alignment.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, acc: Self) -> Self {
        // Not `f32::mul_add`, which is a slow library call where there is no such instruction.
        Self(std::array::from_fn(|i| self.0[i] * b.0[i] + acc.0[i]))
    }
    #[inline(always)]
    unsafe fn gate(self, by: Self, slope: Self) -> Self {
        let lane = |i| if by.0[i] > 0.0 { self.0[i] } else { self.0[i] * slope.0[i] };
        Self(std::array::from_fn(lane))
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, to: *mut f32, (rows, columns): (usize, usize)) {
        for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
            // SAFETY: the caller guarantees the square.
            unsafe { *to.add(j * columns + i) = *from.add(i * rows + j) };
        }
    }
}

/// Functions with loops that the compiler vectorises itself, compiled for every instruction set; the
/// first argument of each is the one to use.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        $vis fn $name(isa: $crate::cpu::simd::Isa, $($arg: $type),*) {
            #[inline(always)]
            fn body($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
            unsafe fn avx512($($arg: $type),*) {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                body($($arg),*)
            }

            match isa {
                // SAFETY: the instruction set was detected.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::simd::Isa::Avx2 => unsafe { avx2($($arg),*) },
                $crate::cpu::simd::Isa::Portable => body($($arg),*),
            }
        }
    )*};
}
pub(crate) use vectorised;

/// Functions on vectors, and of constant sizes, for every instruction set; the first argument is the one to use.
macro_rules! on_vectors {
    ($($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<V $(, $size:ident)*>($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        $vis unsafe fn $name<$(const $size: usize),*>(isa: $crate::cpu::simd::Isa, $($arg: $type),*) {
            #[inline(always)]
            unsafe fn body<V: $crate::cpu::simd::Vector, $(const $size: usize),*>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,fma")]
            unsafe fn avx512<$(const $size: usize),*>($($arg: $type),*) {
                // SAFETY: passed on to the caller.
                unsafe { body::<std::arch::x86_64::__m512, $($size),*>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<$(const $size: usize),*>($($arg: $type),*) {
                // SAFETY: passed on to the caller.
                unsafe { body::<std::arch::x86_64::__m256, $($size),*>($($arg),*) }
            }

            // SAFETY: passed on to the caller.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::cpu::simd::Isa::Avx512 => avx512::<$($size),*>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::cpu::simd::Isa::Avx2 => avx2::<$($size),*>($($arg),*),
                    $crate::cpu::simd::Isa::Portable => body::<$crate::cpu::simd::Four, $($size),*>($($arg),*),
                }
            }
        }
    )*};
}
pub(crate) use on_vectors;
