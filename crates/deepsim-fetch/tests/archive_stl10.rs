//! Archives in STL-10's format.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

#[path = "support/crafted.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod crafted;

use std::fs;
use std::path::{Path, PathBuf};

use crafted::{Crafted, folder_with, gzip};
use deepsim_data::Dataset;
use deepsim_data::stl10::IMAGE_BYTES;
use deepsim_fetch::archive::{self, Size};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::EntryType;

/// An archive in STL-10's format with a few images.
fn small_stl10(images: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..images * IMAGE_BYTES).map(|i| (i * 31 % 251) as u8).collect();
    let labels: Vec<u8> = (0..images).map(|i| (i % 10) as u8 + 1).collect();
    let mut tar = Crafted::default().entry(EntryType::Directory, b"stl10_binary/", 0, b"");
    for split in ["unlabeled", "train", "test"] {
        tar = tar.file(&format!("stl10_binary/{split}_X.bin"), &pixels);
    }
    tar.file("stl10_binary/train_y.bin", &labels)
        .file("stl10_binary/test_y.bin", &labels)
        .file("stl10_binary/fold_indices.txt", b"0 1\n1 2\n")
        .file(
            "stl10_binary/class_names.txt",
            b"airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n",
        )
        .end()
}

#[test]
fn an_archive_in_stl10s_format_of_any_size_becomes_a_data_set() {
    for images in [3, 7] {
        let (_folder, path, target) = folder_with(&gzip(&small_stl10(images)));
        archive::extract(&path, &target, &archive::stl10()).expect("an archive");
        archive::stl10().check(&target).expect("all members");
        let dataset = Dataset::open(Some(&target), 0).expect("a data set");
        assert_eq!((dataset.unlabeled.len(), dataset.test.images.len()), (images, images));
        // A file that goes missing or is cut is found without the archive.
        fs::write(target.join("test_X.bin"), [0; IMAGE_BYTES - 1]).expect("a file");
        let error = archive::stl10().check(&target).expect_err("cut").to_string();
        assert!(error.contains("test_X.bin: expected a positive multiple of 27648"), "{error}");
        fs::remove_file(target.join("test_X.bin")).expect("removed");
        assert!(archive::stl10().check(&target).is_err());
    }
}

#[test]
fn an_archive_of_parts_of_images_or_too_many_is_refused() {
    let (_folder, path, target) = folder_with(&gzip(&small_stl10(0)));
    let error = archive::extract(&path, &target, &archive::stl10()).expect_err("no images");
    assert!(error.to_string().contains("unlabeled_X.bin: expected a positive multiple of 27648"));
    let images = Size::MultipleOf { unit: 27_648, max: 27_648_000_000 };
    for (bytes, fits) in [
        (27_648, true),
        (2_764_800_000, true),
        (27_648_000_000, true),
        (0, false),
        (27_647, false),
        (27_649, false),
        (27_648_000_000 + 27_648, false),
    ] {
        assert_eq!(images.fits(bytes), fits, "{bytes}");
    }
    assert!(!Size::MultipleOf { unit: 0, max: 10 }.fits(10));
}

#[test]
fn the_shared_copy_of_stl10s_format_goes_through_an_archive() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    let shared = shared.join("data/stl10-mini/stl10_binary");
    if !shared.is_dir() {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return;
    }
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_dir_all("stl10_binary", &shared).expect("packed");
    let packed = tar.into_inner().and_then(GzEncoder::finish).expect("packed");
    let (_folder, path, target) = folder_with(&packed);
    archive::extract(&path, &target, &archive::stl10()).expect("an archive");
    for name in ["unlabeled_X.bin", "test_y.bin", "fold_indices.txt"] {
        let read = |folder: &Path| fs::read(folder.join(name)).expect("a file");
        assert!(read(&target) == read(&shared), "{name}");
    }
    assert_eq!(Dataset::open(Some(&target), 0).expect("a data set").unlabeled.len(), 200);
}
