//! Conversion between candle's channels-first and the engine's channels-last images.

use rayon::prelude::*;

use super::simd::{Isa, on_vectors};

/// `(n, rows, columns) -> (n, columns, rows)`: channels-first to channels-last with channels as rows,
/// and back with pixels as rows.
pub(crate) fn transpose(isa: Isa, from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    assert!(from.len() == to.len() && from.len().is_multiple_of((rows * columns).max(1)));
    let image = (rows * columns).max(1);
    to.par_chunks_mut(image).zip(from.par_chunks(image)).for_each(|(to, from)| {
        if rows == 1 || columns == 1 {
            return to.copy_from_slice(from);
        }
        // SAFETY: the instruction set was detected; both hold rows x columns values.
        unsafe { transpose_image(isa, from, rows, columns, to) };
    });
}

on_vectors! {
    unsafe fn transpose_image<V>(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
        let (whole_rows, whole_columns) = (rows / V::LANES * V::LANES, columns / V::LANES * V::LANES);
        for row in (0..whole_rows).step_by(V::LANES) {
            for column in (0..whole_columns).step_by(V::LANES) {
                // SAFETY: the square lies within the matrix.
                unsafe {
                    let from = from.as_ptr().add(row * columns + column);
                    let to = to.as_mut_ptr().add(column * rows + row);
                    V::transpose(from, to, (columns, rows));
                }
            }
        }
        // Columns at the right and rows at the bottom that fill no square.
        for column in 0..columns {
            let start = if column < whole_columns { whole_rows } else { 0 };
            let from = from[column..].iter().skip(start * columns).step_by(columns);
            for (to, from) in to[column * rows + start..(column + 1) * rows].iter_mut().zip(from) {
                *to = *from;
            }
        }
    }
}
