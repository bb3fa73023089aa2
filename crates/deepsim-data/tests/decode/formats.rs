//! WebP, BMP, TIFF and GIF, as Pillow decodes them.

use std::path::{Path, PathBuf};

use deepsim_data::decode::{self, decode};
use deepsim_data::folder::ImageFolder;
use deepsim_data::{PictureFiles, Prepared, Source, Transform};

/// Made by `fixtures/make_formats.py` with Pillow.
const FIXTURES: &str = "tests/fixtures/formats";

fn pictures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FIXTURES).expect("fixtures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending != "png")).collect()
}

#[test]
fn other_formats_are_decoded_as_by_pillow() {
    let all = pictures();
    assert_eq!(all.len(), 11);
    for path in all {
        let ours = decode::read(&path).expect("a picture");
        let theirs = decode::read(Path::new(&format!("{}.decoded.png", path.display())));
        let theirs = theirs.expect("Pillow's");
        assert_eq!((ours.height, ours.width), (29, 37), "{}", path.display());
        let most = ours.rgb.iter().zip(&theirs.rgb).map(|(a, b)| a.abs_diff(*b)).max();
        // Chroma of lossy WebP is interpolated otherwise than by libwebp.
        let allowed = if path.ends_with("lossy.webp") { 3 } else { 0 };
        assert!(most <= Some(allowed), "{}: {most:?}", path.display());
    }
}

#[test]
fn cut_and_damaged_files_are_errors_and_no_panics() {
    for path in pictures() {
        let bytes = std::fs::read(&path).expect("a file");
        for length in [0, 2, 11, 20, bytes.len() / 2] {
            let error = decode(&bytes[..length], &path).expect_err("cut off").to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        for at in 0..bytes.len().min(400) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            // Pixels or an error.
            let _ = decode(&damaged, &path);
        }
    }
}

#[test]
fn a_folder_of_them_is_read_like_any_other() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in pictures() {
        std::fs::copy(&path, folder.path().join(path.file_name().expect("a name")))
            .expect("a copy");
    }
    let files = ImageFolder::open(folder.path()).expect("pictures");
    assert_eq!((files.len(), files.unread().is_empty()), (11, true));
    let images = Prepared::new(std::sync::Arc::new(files), Transform::short_side(24, 24));
    let mut pixels = vec![0; 3 * 24 * 24];
    (0..11).for_each(|index| images.read(index, &mut pixels).expect("an image"));
}
