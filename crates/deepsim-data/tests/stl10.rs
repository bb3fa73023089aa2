//! STL-10's binary format: what a valid copy gives, and what the shared mini copy holds.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};

use deepsim_data::Subset;
use deepsim_data::duplicates::{self, Duplicate};
use deepsim_data::stl10::IMAGE_BYTES;
use deepsim_data::{Dataset, Rectangle, Source, Split, Stl10};

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
    let counts = |labels: &[u32]| (0..10).map(|c| labels.iter().filter(|l| **l == c).count()).min();
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

/// A copy of STL-10 in a folder: random unlabeled images, of which the second is the first test
/// image and the last the third; 20 training images, of which the sixth is the second test image.
fn write_copy(folder: &Path) {
    let image = |seed: usize| {
        (0..IMAGE_BYTES).map(move |i| (i * (2 * seed + 3) + i / 7 * seed) as u8).collect::<Vec<_>>()
    };
    let write = |name: &str, seeds: &[usize]| {
        let bytes: Vec<u8> = seeds.iter().flat_map(|seed| image(*seed)).collect();
        std::fs::write(folder.join(format!("{name}_X.bin")), bytes).expect("images");
        let labels: Vec<u8> = seeds.iter().map(|seed| (seed % 10) as u8 + 1).collect();
        std::fs::write(folder.join(format!("{name}_y.bin")), labels).expect("labels");
    };
    write("unlabeled", &[100, 1, 101, 102, 3]);
    write("test", &[1, 2, 3]);
    let train: Vec<usize> = (20..25).chain([2]).chain(26..40).collect();
    write("train", &train);
    std::fs::write(folder.join("fold_indices.txt"), "0 5 19\n4 6 7\n").expect("folds");
    std::fs::write(folder.join("class_names.txt"), "a b c d e f g h i j").expect("names");
}

#[test]
fn every_part_is_the_same_pixels_as_in_the_whole_image() {
    let folder = tempfile::tempdir().expect("a folder");
    write_copy(folder.path());
    let images = Stl10::open(folder.path(), Split::Test).expect("a copy");
    let mut whole = vec![0; IMAGE_BYTES];
    images.read(1, &mut whole).expect("an image");
    let bytes = std::fs::read(folder.path().join("test_X.bin")).expect("the file");
    let value = |c: usize, y: usize, x: usize| bytes[IMAGE_BYTES + (c * 96 + x) * 96 + y];
    for (top, left, height, width) in [
        (0, 0, 96, 96),
        (3, 5, 64, 64),
        (95, 0, 1, 96),
        (0, 95, 96, 1),
        (7, 1, 13, 29),
        (40, 40, 8, 8),
    ] {
        let part = Rectangle { top, left, height, width };
        let mut pixels = vec![0; 3 * height * width];
        images.read_part(1, part, &mut pixels).expect("a part");
        for (i, got) in pixels.iter().enumerate() {
            let (c, y, x) = (i / (height * width), i / width % height, i % width);
            assert_eq!(*got, value(c, top + y, left + x), "{part:?} at {c} {y} {x}");
        }
    }
    let mut pixels = [0; 12];
    for (top, left, height, width) in
        [(95, 0, 2, 2), (0, 95, 2, 2), (0, 0, 2, 1), (usize::MAX, 0, 2, 2)]
    {
        let part = Rectangle { top, left, height, width };
        assert!(images.read_part(1, part, &mut pixels).is_err(), "{part:?}");
    }
    assert_eq!((images.label(2), images.labels()), (Some(3), &[1, 2, 3][..]));
}

#[test]
fn test_images_in_the_other_splits_are_found_and_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    write_copy(folder.path());
    let dataset = Dataset::stl10(folder.path()).expect("a copy");
    let found = duplicates::find(&*dataset.unlabeled, &*dataset.test.images).expect("pairs");
    let pair = |index, of| Duplicate { index, of };
    assert_eq!(found, [pair(1, 0), pair(4, 2)]);
    let (clean, dropped) = dataset.without_duplicates().expect("a clean copy");
    assert_eq!((dropped.unlabeled, dropped.train), (2, 1));
    assert_eq!(
        (clean.unlabeled.len(), clean.train.images.len(), clean.train.labels.len()),
        (3, 19, 19)
    );
    // Training image 5 is gone from its fold, and those after it have moved up.
    assert_eq!(clean.folds, [vec![0, 18], vec![4, 5, 6]]);
    assert_eq!(clean.train.labels[5], 26 % 10);
    assert_eq!(clean.train.images.label(5), Some(26 % 10));
    assert!(clean.description.contains("without 2 unlabeled and 1 training"));
    assert!(duplicates::find(&*clean.unlabeled, &*clean.test.images).expect("none").is_empty());
    assert!(Subset::new(clean.unlabeled, vec![0, 3]).is_err());
}

#[test]
fn a_folder_that_is_no_data_set_is_refused_with_what_is_in_it() {
    let message = |files: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, b"x").expect("a file");
        }
        let opened = Dataset::open(Some(folder.path()), 0);
        opened.map(|_| ()).expect_err("no data set").to_string()
    };
    let cases: [(&[&str], &str); 5] = [
        // Formats that are not read, and none of what is read.
        (&["a/1.heic", "a/2.heic"], "found none; so far, 2 pictures are not read (2 .heic)"),
        // What file managers leave behind counts nowhere.
        (
            &["cat/._1.jpg", "__MACOSX/1.jpg", ".DS_Store", "Thumbs.db"],
            "found 1 folder, 0 files, none of these and no pictures",
        ),
        (&["x/y.txt"], "expected a folder with STL-10 in its binary format, with ILSVRC-2012"),
        (&["a.tar.gz"], "a.tar.gz: expected a tar that is not compressed"),
        (
            &["stl10_binary/test_X.bin", "unlabeled_X.bin"],
            "found a folder without unlabeled_X.bin, train_X.bin, train_y.bin, test_y.bin, class_names.txt, \
             fold_indices.txt",
        ),
    ];
    for (files, words) in cases {
        let error = message(files);
        assert!(error.contains(words), "{files:?}: {error}");
    }
}
