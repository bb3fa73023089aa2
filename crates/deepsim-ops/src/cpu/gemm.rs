//! Matrix products through the `gemm` crate, single-threaded: parallelism is over images.

use gemm::Parallelism;

/// A matrix in a slice, element `(i, j)` at `i * rs + j * cs`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rs: usize,
    pub(crate) cs: usize,
}

impl<'a> Matrix<'a> {
    /// Row-major with rows `rs` apart.
    pub(crate) fn rows(data: &'a [f32], rs: usize) -> Self {
        Self { data, rs, cs: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { data: self.data, rs: self.cs, cs: self.rs }
    }

    fn covers(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.rs + (cols - 1) * self.cs < self.data.len()
    }
}

/// `dst (m, n) = a (m, k) b (k, n)`, plus the old `dst` if `accumulate`; `dst` is row-major with
/// rows `dst_rs` apart.
pub(crate) fn gemm(
    (m, n, k): (usize, usize, usize),
    a: Matrix<'_>,
    b: Matrix<'_>,
    dst: &mut [f32],
    dst_rs: usize,
    accumulate: bool,
) {
    assert!(a.covers(m, k) && b.covers(k, n), "gemm: an operand is too short");
    assert!(m == 0 || n == 0 || (m - 1) * dst_rs + n <= dst.len(), "gemm: dst is too short");
    // SAFETY: the assertions above keep every access inside the three slices, and `dst` is
    // borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_rs as isize,
            accumulate,
            a.data.as_ptr(),
            a.cs as isize,
            a.rs as isize,
            b.data.as_ptr(),
            b.cs as isize,
            b.rs as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
