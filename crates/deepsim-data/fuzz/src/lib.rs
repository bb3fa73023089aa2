//! What is fuzzed: readers of foreign bytes. Each takes any bytes and must return.
//!
//! With a nightly compiler, from the crate's folder:
//!
//! ```text
//! cargo fuzz run NAME fuzz/corpus/NAME fuzz/seeds/NAME -- -max_len=20000
//! ```
//!
//! calls one with ever new bytes. The test `tests/seeds.rs` of the crate calls all of them with the
//! seeds, and with changes of them.

use std::io::Write;
use std::path::Path;

use deepsim_data::ilsvrc::{parse_meta, parse_truth};
use deepsim_data::shards::Shards;
use deepsim_data::tar_index::TarIndex;
use deepsim_data::{PictureFiles, decode, stl10};

/// A target and its name, which is also that of its seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("stl10", stl10_files),
    ("tar_index", tar_index),
    ("devkit", devkit),
    ("picture", picture),
    ("shards", shards),
];

/// Labels and folds of STL-10.
pub fn stl10_files(bytes: &[u8]) {
    let path = Path::new("fuzz");
    for images in [bytes.len(), 1, 5000] {
        if let Ok(labels) = stl10::parse_labels(bytes, images, path) {
            assert!(labels.len() == images && labels.iter().all(|label| *label < 10));
        }
        let text = String::from_utf8_lossy(bytes);
        if let Ok(folds) = stl10::parse_folds(&text, images, path) {
            assert!(folds.iter().flatten().all(|index| *index < images));
        }
    }
}

/// The pass over a tar's headers, and reading all members.
pub fn tar_index(bytes: &[u8]) {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(bytes).is_err() {
        return;
    }
    let Ok(index) = TarIndex::build(file.path()) else { return };
    let mut member = Vec::new();
    for at in 0..index.len() {
        // What was indexed lies in the file.
        assert!(index.read(at, &mut member).is_ok(), "member {at}");
        assert_eq!(Some(member.len() as u64), index.length(at));
    }
}

/// The development kit's table of classes and ground truth.
pub fn devkit(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(synsets) = parse_meta(bytes, path) {
        assert!(!synsets.is_empty() && synsets.is_sorted_by(|a, b| a.wnid < b.wnid));
        let truth = format!("{}\n", synsets[0].ilsvrc2012_id);
        assert_eq!(parse_truth(truth.as_bytes(), &synsets, path).ok(), Some(vec![0]));
        if let Ok(classes) = parse_truth(bytes, &synsets, path) {
            assert!(classes.iter().all(|class| (*class as usize) < synsets.len()));
        }
    }
}

/// JPEG and PNG files, as of a data set and as somebody's photographs.
pub fn picture(bytes: &[u8]) {
    // Large pictures are decoded too, but not thousands of times a second.
    if bytes.len() >= 20_000 {
        return;
    }
    let path = Path::new("fuzz");
    let picture = decode::decode(bytes, path);
    let photo = decode::decode_photo(bytes, path);
    assert_eq!(picture.is_ok(), photo.is_ok());
    for picture in [&picture, &photo].into_iter().flatten() {
        assert_eq!(picture.rgb.len(), 3 * picture.height * picture.width);
    }
    // Turning a photograph upright keeps its pixels.
    if let (Ok(picture), Ok(photo)) = (picture, photo) {
        assert_eq!(picture.rgb.len(), photo.rgb.len());
    }
}

/// A tar whose members are the files of samples.
pub fn shards(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let file = folder.path().join("a-000000.tar");
    if std::fs::write(&file, bytes).is_err() {
        return;
    }
    let Ok(shards) = Shards::open_files(&[file]) else { return };
    assert!(!shards.is_empty());
    let mut picture = Vec::new();
    for at in 0..shards.len() {
        shards.read(at, &mut picture).expect("indexed pictures lie in the file");
        assert!(shards.path(at).starts_with(folder.path()) && shards.label(at) != Some(u32::MAX));
    }
}
