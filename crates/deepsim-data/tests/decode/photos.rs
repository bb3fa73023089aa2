//! Photographs turned upright and composited, against Pillow (`fixtures/make_photos.py`).

use std::path::{Path, PathBuf};

use deepsim_data::dataset::DataOptions;
use deepsim_data::decode::{decode, decode_photo, read, read_photo};

use super::{difference, read_png};

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)
}

#[test]
fn photographs_of_all_orientations_are_turned_as_pillow_turns_them() {
    for orientation in 1..=8 {
        let wanted = read_png(&photo(&format!("upright-{orientation}.decoded.png")));
        for (ending, greatest) in [("jpg", 2), ("png", 0)] {
            let path = photo(&format!("upright-{orientation}.{ending}"));
            let (found, _) = difference(&read_photo(&path).expect("a photograph"), &wanted);
            assert!(found <= greatest, "{ending} of orientation {orientation}: {found}");
            // `decode` leaves it as stored.
            let stored = read_png(&photo("upright-1.decoded.png"));
            assert!(difference(&read(&path).expect("a picture"), &stored).0 <= greatest);
        }
    }
    let late = read_photo(&photo("late-exif.png")).expect("a photograph");
    assert_eq!(late, read_png(&photo("upright-6.decoded.png")));
}

#[test]
fn a_folder_is_turned_upright_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    for orientation in 1..=8 {
        let name = format!("upright-{orientation}.png");
        std::fs::copy(photo(&name), folder.path().join(name)).expect("a copy");
    }
    let options = DataOptions {
        data: Some(folder.path().into()),
        test_share: Some(0.5),
        upright: true,
        ..DataOptions::default()
    };
    let [turned, stored] = [true, false].map(|upright| {
        let sets = DataOptions { upright, ..options.clone() }.picture_sets().expect("pictures");
        let (_, files) = &sets[0];
        let picture = |index| {
            let mut bytes = Vec::new();
            files.read(index, &mut bytes).expect("a picture");
            decode(&bytes, &files.path(index)).expect("a picture")
        };
        ((0..files.len()).map(picture).collect::<Vec<_>>(), files.content())
    });
    assert_eq!(turned.0.len(), 4);
    let files = options.picture_sets().expect("pictures").remove(0).1;
    let paths: Vec<PathBuf> = (0..files.len()).map(|index| files.path(index)).collect();
    assert!(stored.0 != turned.0);
    for (picture, path) in turned.0.iter().zip(&paths) {
        let name =
            path.file_name().expect("a name").to_string_lossy().replace(".png", ".decoded.png");
        assert_eq!(*picture, read_png(&photo(&name)), "{name}");
    }
    assert_ne!(turned.1, stored.1, "a run is not continued on pictures that are turned otherwise");
}

#[test]
fn damaged_exif_data_turn_nothing() {
    let stored = read(&photo("upright-6.jpg")).expect("a picture");
    let turned = read_photo(&photo("upright-6.jpg")).expect("a photograph");
    let whole = std::fs::read(photo("upright-6.jpg")).expect("a file");
    let tiff = whole.windows(4).position(|bytes| bytes == b"MM\0*").expect("EXIF data");
    let patched = |at: usize, bytes: &[u8]| {
        let mut patched = whole.clone();
        patched[tiff + at..tiff + at + bytes.len()].copy_from_slice(bytes);
        decode_photo(&patched, "a.jpg".as_ref()).expect("a photograph")
    };
    // After the TIFF header and the count comes one entry before that of the orientation.
    let entry = 8 + 2 + 12;
    let cases: [(usize, &[u8]); 11] = [
        (0, b"XX"),                     // byte order
        (2, &[0, 43]),                  // BigTIFF
        (4, &[0xff; 4]),                // the entries' place
        (4, &[0x7f, 0xff, 0xff, 0xff]), // the same, without overflow
        (8, &[0, 0]),                   // no entries
        (8, &[0, 1]),                   // too few
        (entry, &[0x0f, 0]),            // another tag
        (entry + 2, &[0, 2]),           // text
        (entry + 4, &[0, 0, 0, 2]),     // two values
        (entry + 8, &[0, 0]),           // no such orientation
        (entry + 8, &[0, 9]),
    ];
    for (at, bytes) in cases {
        assert!(patched(at, bytes) == stored, "{bytes:?} at {at}");
    }
    assert!(patched(entry, &[0x01, 0x12]) == turned);
    // The same number in 32 bits.
    assert!(patched(entry + 2, &[0, 4, 0, 0, 0, 1, 0, 0, 0, 6]) == turned);
    // More entries than there are do not hide those that exist.
    assert!(patched(8, &[0xff; 2]) == turned);
    // The end of the segment, anywhere.
    let length = tiff - 8;
    let end = length + usize::from(u16::from_be_bytes([whole[length], whole[length + 1]]));
    for end_of_exif in tiff..end {
        let mut short = whole.clone();
        short.drain(end_of_exif..end);
        short[length..length + 2].copy_from_slice(&((end_of_exif - length) as u16).to_be_bytes());
        let found = decode_photo(&short, "a.jpg".as_ref()).expect("a photograph");
        assert!(found == if end_of_exif < tiff + entry + 10 { &stored } else { &turned }.clone());
    }
}

#[test]
fn no_change_of_exif_data_makes_a_photograph_an_error() {
    let whole = std::fs::read(photo("upright-5.jpg")).expect("a file");
    let tiff = whole.windows(4).position(|bytes| bytes == b"II*\0").expect("EXIF data");
    for at in tiff..tiff + 60 {
        for byte in [0, 1, 3, 9, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            decode_photo(&bytes, "a.jpg".as_ref()).expect("a photograph");
        }
    }
}

#[test]
fn transparent_photographs_are_composited_over_white() {
    for kind in ["rgba", "grey", "palette", "grey-key", "rgb-key"] {
        let found = read_photo(&photo(&format!("alpha-{kind}.png"))).expect("a photograph");
        let wanted = read_png(&photo(&format!("alpha-{kind}.decoded.png")));
        let (greatest, _) = difference(&found, &wanted);
        assert!(greatest <= 1, "{kind}: {greatest}");
    }
    // Where nothing is visible, the colour that is stored does not matter.
    let hidden = read_photo(&photo("alpha-rgba.png")).expect("a photograph");
    for row in hidden.rgb.chunks_exact(3 * hidden.width) {
        assert_eq!(row[..3], [255; 3]);
    }
    let bytes = std::fs::read(photo("alpha-rgba.png")).expect("a file");
    let stored = decode(&bytes, "a.png".as_ref()).expect("a picture");
    assert_eq!(stored.rgb[..3], [0, 255, 0]);
}
