//! A small copy of STL-10.

use std::path::Path;

/// Side of its images.
pub(crate) const SIDE: usize = 96;

/// Writes STL-10's binary layout with these pictures, each three planes, in every split.
pub(crate) fn write(folder: &Path, pictures: &[Vec<u8>]) -> std::io::Result<()> {
    let column_major = |plane: &[u8]| -> Vec<u8> {
        (0..SIDE * SIDE).map(|i| plane[i % SIDE * SIDE + i / SIDE]).collect()
    };
    let planes = pictures.iter().flat_map(|picture| picture.chunks(SIDE * SIDE));
    let bytes: Vec<u8> = planes.flat_map(column_major).collect();
    for split in ["unlabeled", "train", "test"] {
        std::fs::write(folder.join(format!("{split}_X.bin")), &bytes)?;
        std::fs::write(folder.join(format!("{split}_y.bin")), vec![1; pictures.len()])?;
    }
    std::fs::write(folder.join("fold_indices.txt"), "0\n1\n")?;
    std::fs::write(folder.join("class_names.txt"), "a b c d e f g h i j\n")
}
