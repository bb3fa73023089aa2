//! cuBLAS's matrix products, which candle calls.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use crate::counts::{self, count};
use crate::device::{device, fail, stream};

/// The stream of the handle; candle makes one.
static STREAM: Mutex<usize> = Mutex::new(0);

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasCreate_v2(out: *mut usize) -> c_int {
    // SAFETY: the caller's pointer, as in all functions here.
    unsafe { *out = 1 };
    0
}

#[unsafe(no_mangle)]
extern "C" fn cublasDestroy_v2(_: usize) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn cublasSetStream_v2(_: usize, stream: usize) -> c_int {
    *STREAM.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    0
}

/// Matrix by columns: address, true if transposed, distance of columns and of matrices.
#[derive(Clone, Copy)]
struct Matrix {
    at: usize,
    transposed: bool,
    columns: usize,
    matrices: usize,
}

impl Matrix {
    fn index(self, batch: usize, row: usize, column: usize) -> usize {
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        batch * self.matrices + column * self.columns + row
    }
}

/// Real numbers of 32 bits, `CUDA_R_32F`.
const F32: c_int = 0;

#[unsafe(no_mangle)]
unsafe extern "C" fn cublasGemmStridedBatchedEx(
    _: usize,
    transpose_a: c_int,
    transpose_b: c_int,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const c_void,
    a: usize,
    a_type: c_int,
    a_columns: c_int,
    a_matrices: i64,
    b: usize,
    b_type: c_int,
    b_columns: c_int,
    b_matrices: i64,
    beta: *const c_void,
    c: usize,
    c_type: c_int,
    c_columns: c_int,
    c_matrices: i64,
    batches: c_int,
    _compute: c_int,
    _algorithm: c_int,
) -> c_int {
    if [a_type, b_type, c_type] != [F32; 3] {
        fail("matrix product: expected f32");
    }
    // SAFETY: numbers on the host.
    let (alpha, beta) = unsafe { (*alpha.cast::<f32>(), *beta.cast::<f32>()) };
    let matrix = |at, transposed, columns: c_int, matrices: i64| {
        let (columns, matrices) = (columns as usize, matrices as usize);
        Matrix { at, transposed, columns, matrices }
    };
    let a = matrix(a, transpose_a != 0, a_columns, a_matrices);
    let b = matrix(b, transpose_b != 0, b_columns, b_matrices);
    let c = matrix(c, false, c_columns, c_matrices);
    let [m, n, k, batches] = [m, n, k, batches].map(|size| size as usize);
    count(&counts::LIBRARY);
    let stream = stream(*STREAM.lock().unwrap_or_else(PoisonError::into_inner));
    device().enqueue(stream, move |device| {
        const WHAT: &str = "matrix product";
        if m * n * k * batches == 0 {
            return;
        }
        let whole = |matrix: Matrix, rows: usize, columns: usize| -> Vec<f32> {
            let last = matrix.index(batches - 1, rows - 1, columns - 1);
            device.values(WHAT, matrix.at, last + 1)
        };
        let (left, right) = (whole(a, m, k), whole(b, k, n));
        let mut product = whole(c, m, n);
        let mut sums = vec![0f32; m];
        for batch in 0..batches {
            for column in 0..n {
                sums.fill(0.0);
                for inner in 0..k {
                    let factor = right[b.index(batch, inner, column)];
                    for (row, sum) in sums.iter_mut().enumerate() {
                        *sum += left[a.index(batch, row, inner)] * factor;
                    }
                }
                for (row, sum) in sums.iter().enumerate() {
                    let to = &mut product[c.index(batch, row, column)];
                    // The old value is not read if its factor is 0.
                    *to = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *to };
                }
            }
        }
        device.set_values(WHAT, c.at, &product);
    });
    0
}
