//! Pixels of pictures against Pillow, torchvision and OpenCV (`fixtures/make_pictures.py`), and
//! pictures that are damaged.

#[path = "decode/hostile.rs"]
mod hostile;
#[path = "decode/odd_jpegs.rs"]
mod odd_jpegs;
#[path = "decode/photos.rs"]
mod photos;

use std::path::{Path, PathBuf};

use deepsim_data::picture::Picture;
use deepsim_data::transform::{Filter, Fit};
use deepsim_data::{Crop, DataError, Transform, decode};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures")
}

fn png(name: &str) -> Picture {
    read_png(&folder().join(format!("{name}.png")))
}

fn read_png(path: &Path) -> Picture {
    Picture::read_png(path).expect("a PNG")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).expect(name)
}

/// Greatest and mean difference of two pictures.
fn difference(a: &Picture, b: &Picture) -> (u8, f64) {
    assert_eq!((a.height, a.width), (b.height, b.width));
    let differences = || a.rgb.iter().zip(&b.rgb).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (differences().max().unwrap_or(0), sum as f64 / a.rgb.len() as f64)
}

#[test]
fn every_kind_of_file_is_decoded_as_pillow_decodes_it() {
    // Name, greatest and mean difference allowed: those measured. Decoders differ in the rounding
    // of the inverse transform and of colours, and in how they enlarge colour planes.
    let cases = [
        ("baseline-444.jpg", 2, 0.015),
        ("baseline-422.jpg", 3, 0.185),
        ("baseline-420.jpg", 4, 0.385),
        ("progressive-444.jpg", 2, 0.015),
        ("progressive-422.jpg", 3, 0.185),
        ("progressive-420.jpg", 4, 0.385),
        ("quality-40.jpg", 3, 0.355),
        ("optimised.jpg", 4, 0.385),
        ("restarts.jpg", 4, 0.385),
        ("bytes-between.jpg", 4, 0.385),
        ("exif-rotated.jpg", 4, 0.385),
        ("narrow.jpg", 2, 0.2),
        ("one-pixel.jpg", 0, 0.0),
        ("grey.jpg", 1, 0.005),
        ("cmyk-adobe.jpg", 1, 0.006),
        ("cmyk-plain.jpg", 1, 0.006),
        ("ycck.jpg", 2, 0.007),
        ("rgb.jpg", 1, 0.006),
        ("png-inside.JPEG", 0, 0.0),
        ("palette.png", 0, 0.0),
        ("grey-alpha.png", 0, 0.0),
        ("alpha.png", 0, 0.0),
    ];
    let mut wrong = Vec::new();
    for (name, greatest, mean) in cases {
        let wanted = png(&format!("{}.decoded", name.split_once('.').expect("a dot").0));
        let got = decode::read(&folder().join(name)).expect(name);
        let found = difference(&got, &wanted);
        if found.0 > greatest || found.1 > mean {
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn named_transforms_are_those_of_opencv_pillow_and_torchvision() {
    let caffe = |side| Transform { height: side, width: side, ..Transform::CAFFE };
    assert_eq!(caffe(256), Transform::CAFFE);
    assert_eq!(Transform::TORCHVISION, Transform::short_side(256, 224));
    let mut cases = vec![
        ("caffe-64".to_owned(), caffe(64)),
        ("caffe-256".to_owned(), caffe(256)),
        ("stretch-64".to_owned(), Transform::stretch(64, 64)),
        ("stretch-256".to_owned(), Transform::stretch(256, 256)),
    ];
    for (side, crop) in [(96, 84), (75, 62), (256, 224)] {
        for shape in ["wide", "high"] {
            let name = format!("short-side-{side}-{crop}-{shape}");
            cases.push((name, Transform::short_side(side, crop)));
        }
    }
    let wide = png("transform.source");
    let mut high = Picture::new(wide.width, wide.height, [0; 3]);
    for y in 0..wide.height {
        for x in 0..wide.width {
            let (from, to) = (3 * (y * wide.width + x), 3 * (x * wide.height + y));
            high.rgb[to..to + 3].copy_from_slice(&wide.rgb[from..from + 3]);
        }
    }
    let mut wrong = Vec::new();
    for (name, transform) in cases {
        let source = if name.ends_with("high") { &high } else { &wide };
        let got = transform.apply(source).expect("an image");
        let found = difference(&got, &png(&name));
        if found.0 > 1 || found.1 > 0.25 {
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn transforms_that_do_not_fit_are_refused() {
    let picture = Picture::new(30, 40, [1, 2, 3]);
    let error = Transform::short_side(20, 21).apply(&picture).expect_err("21 of 20").to_string();
    assert!(error.contains("no 21x21 in it"), "{error}");
    assert!(Transform::stretch(0, 5).apply(&picture).is_err());
    assert!(Transform::short_side(0, 0).apply(&picture).is_err());
    assert!(Transform::CAFFE.apply(&Picture::default()).is_err());
    let wide =
        Transform { fit: Fit::ShortSide(10), filter: Filter::FourNearest, height: 10, width: 13 };
    let image = wide.apply(&picture).expect("13 of 13.33 columns");
    assert_eq!((image.height, image.width, &image.rgb[..3]), (10, 13, &[1, 2, 3][..]));
    assert!(Crop::Center(14).rectangle(10, 13).is_err());
}

#[test]
fn damaged_pictures_are_named() {
    let whole = bytes("baseline-420.jpg");
    let patched = |at: &[u8], skip: usize, new: &[u8]| {
        let mut bytes = whole.clone();
        let start = bytes.windows(at.len()).position(|w| w == at).expect("the segment") + skip;
        bytes[start..start + new.len()].copy_from_slice(new);
        bytes
    };
    let middle = whole.len() - whole.len() / 4;
    let mut codes = whole.clone();
    // Ones without end, which are no code of any table; wrong codes that exist cannot be noticed.
    codes[middle..middle + 40].copy_from_slice(&[0xff, 0].repeat(20));
    let cases = [
        (Vec::new(), "found an empty file"),
        (b"%PDF-1".to_vec(), "found a PDF"),
        (vec![0xff, 0xd8], "n01_7.JPEG: "),
        (whole[..300].to_vec(), "n01_7.JPEG: "),
        (whole[..middle].to_vec(), "n01_7.JPEG: "),
        (codes, "n01_7.JPEG: "),
        // Height and width of 65535 in the frame header: refused before memory is taken.
        (patched(&[0xff, 0xc0], 5, &[0xff; 4]), "found 65535x65535"),
        (patched(&[0xff, 0xc0], 5, &[0; 4]), "n01_7.JPEG: "),
        // Twelve bits for each value.
        (patched(&[0xff, 0xc0], 4, &[12]), "n01_7.JPEG: "),
        // No such table of codes.
        (patched(&[0xff, 0xda], 6, &[0x33]), "n01_7.JPEG: "),
        (bytes("progressive-420.jpg")[..900].to_vec(), "n01_7.JPEG: "),
        (bytes("png-inside.JPEG")[..900].to_vec(), "n01_7.JPEG: "),
    ];
    for (i, (bytes, words)) in cases.iter().enumerate() {
        let error = decode::decode(bytes, "set.tar/n01.tar/n01_7.JPEG".as_ref());
        let Err(error) = error else { panic!("case {i} was decoded") };
        assert!(matches!(error, DataError::Decode { .. } | DataError::Content { .. }));
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("n01_7.JPEG"), "case {i}: {text}");
    }
    // A PNG of 100,000 x 100,000 pixels in its header, with the right checksum.
    let mut header = vec![0, 0, 0, 13];
    header.extend(b"IHDR\0\x01\x86\xa0\0\x01\x86\xa0\x08\x02\0\0\0\x23\x09\x82\xd2");
    let huge = [&b"\x89PNG\r\n\x1a\n"[..], &header].concat();
    assert!(decode::decode(&huge, "a.png".as_ref()).is_err());
}

#[test]
fn no_change_of_a_byte_makes_the_decoder_panic() {
    // A picture of every kind, with bytes changed here and there.
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let mut errors = 0;
    for name in ["baseline-420.jpg", "progressive-444.jpg", "cmyk-adobe.jpg", "palette.png"] {
        let whole = bytes(name);
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(3) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(bytes.len() - random(2) * random(whole.len()));
            errors += usize::from(decode::decode(&bytes, name.as_ref()).is_err());
        }
    }
    assert!(errors > 500, "{errors} of 2000 were refused");
}

#[cfg(feature = "formats")]
#[path = "decode/formats.rs"]
mod formats;
