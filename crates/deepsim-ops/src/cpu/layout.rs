//! Between candle's channels-first and the engine's channels-last images.

use rayon::prelude::*;

/// Side of the square blocks that are transposed in the cache.
const BLOCK: usize = 16;

/// `(n, rows, columns) -> (n, columns, rows)`: channels-first to channels-last with channels as rows,
/// and back with pixels as rows.
pub(crate) fn transpose(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    let image = (rows * columns).max(1);
    to.par_chunks_mut(image).zip(from.par_chunks(image)).for_each(|(to, from)| {
        if rows == 1 || columns == 1 {
            to.copy_from_slice(from);
            return;
        }
        for row in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - row);
            for column in (0..columns).step_by(BLOCK) {
                for c in column..(column + BLOCK).min(columns) {
                    let target = &mut to[c * rows + row..][..height];
                    let source = from[row * columns + c..].iter().step_by(columns);
                    for (t, v) in target.iter_mut().zip(source) {
                        *t = *v;
                    }
                }
            }
        }
    });
}
