//! STL-10's binary format: what a valid copy gives, and what the shared mini copy holds.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};

use deepsim_data::stl10::IMAGE_BYTES;
use deepsim_data::{Dataset, Source, Split, Stl10};

#[test]
fn columns_become_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    // Red is 100 in the third column of the first image, green grows downwards in the second.
    let mut bytes = vec![0u8; 2 * IMAGE_BYTES];
    bytes[2 * 96..3 * 96].fill(100);
    let green = IMAGE_BYTES + 96 * 96;
    for x in 0..96 {
        for y in 0..96 {
            bytes[green + x * 96 + y] = y as u8;
        }
    }
    // Also in the subfolder that the archive unpacks to.
    let inner = folder.path().join("stl10_binary");
    std::fs::create_dir(&inner).expect("a folder");
    std::fs::write(inner.join("unlabeled_X.bin"), &bytes).expect("a file");
    for at in [folder.path(), &inner] {
        let images = Stl10::open(at, Split::Unlabeled).expect("two images");
        assert_eq!((images.len(), images.height(), images.width()), (2, 96, 96));
        let mut pixels = vec![0; IMAGE_BYTES];
        images.read(0, &mut pixels).expect("the first image");
        for (i, value) in pixels.iter().enumerate() {
            let wanted = if i < 96 * 96 && i % 96 == 2 { 100 } else { 0 };
            assert_eq!(*value, wanted, "value {i}");
        }
        images.read(1, &mut pixels).expect("the second image");
        for (i, value) in pixels[96 * 96..2 * 96 * 96].iter().enumerate() {
            assert_eq!(usize::from(*value), i / 96);
        }
        assert!(images.read(2, &mut pixels).is_err());
        assert!(images.read(0, &mut pixels[1..]).is_err());
    }
}

/// The folder of real photographs beside the project, if there is one.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

#[test]
fn the_shared_copy_opens_and_its_pictures_are_not_transposed() {
    let Some(shared) = shared() else {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return;
    };
    let dataset = Dataset::open(Some(&shared.join("data/stl10-mini")), 0).expect("the mini copy");
    let sizes = [dataset.unlabeled.len(), dataset.train.images.len(), dataset.test.images.len()];
    assert_eq!(sizes, [200, 100, 100]);
    assert_eq!((dataset.folds.len(), dataset.folds[0].len()), (10, 20));
    assert_eq!(dataset.class_names.len(), 10);
    assert!(!dataset.synthetic);
    let counts = |labels: &[u8]| (0..10).map(|c| labels.iter().filter(|l| **l == c).count()).min();
    assert!(counts(&dataset.test.labels) > Some(0), "every class is there");

    // Photographs vary less along rows than along columns (horizons): a transposed reader would
    // turn this round.
    let mut pixels = vec![0; IMAGE_BYTES];
    let (mut along_rows, mut along_columns) = (0u64, 0u64);
    for index in 0..dataset.unlabeled.len() {
        dataset.unlabeled.read(index, &mut pixels).expect("an image");
        for (i, value) in pixels.iter().enumerate().filter(|(i, _)| i % 96 < 95 && i / 96 % 96 < 95)
        {
            along_rows += u64::from(value.abs_diff(pixels[i + 1]));
            along_columns += u64::from(value.abs_diff(pixels[i + 96]));
        }
    }
    assert!(along_rows < along_columns, "{along_rows} along rows, {along_columns} along columns");
}
