//! JPEGs of unusual sampling, scans and markers, against Pillow (`fixtures/jpeg_sweep.py --fixture`).

use std::path::{Path, PathBuf};

use deepsim_data::DataError;
use deepsim_data::decode::{decode, read};

use super::{bytes, difference, read_png};

/// Number of fixtures that zune-jpeg decodes; more are welcome.
const RIGHT: usize = 20;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn jpegs(name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder(name)).expect("a folder").map(|e| e.expect("e").path());
    files.filter(|path| path.extension() == Some("jpg".as_ref())).collect()
}

#[test]
fn odd_jpegs_have_pillows_pixels_or_are_refused() {
    let (mut right, mut refused, mut wrong) = (0, 0, Vec::new());
    for path in jpegs("odd-jpegs").into_iter().chain(jpegs("reported")) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("damaged") {
            continue;
        }
        // Files that differ in their scans alone share their pixels.
        let own = path.with_extension("png");
        let shared =
            path.with_file_name(format!("{}.png", name.split('_').next().expect("a kind")));
        let wanted = read_png(if own.exists() { &own } else { &shared });
        match read(&path) {
            Err(DataError::Decode { reason, .. }) if !reason.contains("panicked") => refused += 1,
            Err(error) => wrong.push((name, error.to_string())),
            Ok(found) => match difference(&found, &wanted).0 {
                0..=5 => right += 1,
                greatest => wrong.push((name, greatest.to_string())),
            },
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= RIGHT && refused > 0, "{right} right, {refused} refused");
}

#[test]
fn a_damaged_jpeg_of_an_odd_kind_is_an_error_and_no_panic() {
    let error = read(&folder("reported").join("damaged-panics.jpg")).expect_err("damaged");
    assert!(matches!(error, DataError::Decode { .. }), "{error}");
}

#[test]
fn progressive_jpegs_without_all_scans_are_refused_where_libjpeg_guesses() {
    let whole = bytes("progressive-444.jpg");
    assert!(decode(&whole, "a.jpg".as_ref()).is_ok());
    let scans: Vec<usize> =
        (2..whole.len()).filter(|at| whole[*at..].starts_with(&[0xff, 0xda])).collect();
    assert!(scans.len() > 3, "{scans:?}");
    // A file that ends after its first scan or the next, as a download that was stopped and given an end marker.
    for next in &scans[1..3] {
        let cut = [&whole[..*next], &[0xff, 0xd9]].concat();
        let error = decode(&cut, "a.jpg".as_ref()).expect_err("refused").to_string();
        assert!(error.contains("low frequencies"), "{error}");
    }
    // Adobe's marker between scans: the colours before and after it would differ.
    let adobe = [&[0xff, 0xee, 0, 14][..], b"Adobe", &[0, 100, 0, 0, 0, 0, 0]].concat();
    let late = [&whole[..scans[1]], &adobe, &whole[scans[1]..]].concat();
    let error = decode(&late, "a.jpg".as_ref()).expect_err("refused").to_string();
    assert!(error.contains("before the scans"), "{error}");
}

#[test]
fn bytes_between_segments_do_not_hide_that_a_file_is_cut_off() {
    let whole = bytes("bytes-between.jpg");
    assert!(decode(&whole, "a.jpg".as_ref()).is_ok());
    let error = decode(&whole[..whole.len() - 600], "a.jpg".as_ref()).expect_err("cut off");
    assert!(matches!(error, DataError::Decode { .. }), "{error}");
}

#[test]
fn jpegs_of_kinds_that_are_not_read_are_refused_by_name() {
    let whole = bytes("baseline-420.jpg");
    let at = whole.windows(2).position(|bytes| bytes == [0xff, 0xc0]).expect("a frame");
    let patched = |skip: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at + skip] = value;
        decode(&bytes, "n01_7.JPEG".as_ref()).expect_err("refused").to_string()
    };
    let cases = [
        // Lossless and arithmetic processes, twelve bits, two components.
        (1, 0xc3, "found process 3"),
        (1, 0xc9, "found process 9"),
        (4, 12, "8 bits in a value, found 12"),
        (9, 2, "1, 3 or 4 components, found 2"),
        (9, 5, "expected 5 components, found 3"),
    ];
    for (skip, value, words) in cases {
        let text = patched(skip, value);
        assert!(text.contains(words) && text.contains("n01_7.JPEG"), "{text}");
    }
}

#[test]
fn progressive_jpegs_of_too_many_scans_are_refused_before_they_are_decoded() {
    let whole = bytes("progressive-420.jpg");
    let at = whole.windows(2).rposition(|bytes| bytes == [0xff, 0xda]).expect("a scan");
    let last = whole[at..whole.len() - 2].to_vec();
    // The last scan again and again.
    let many =
        |count: usize| [&whole[..whole.len() - 2], &last.repeat(count), &[0xff, 0xd9]].concat();
    let error = decode(&many(2000), "a.jpg".as_ref()).expect_err("refused").to_string();
    assert!(error.contains("at most 100 scans of 83x61 pixels, found 20"), "{error}");
    // Fewer are allowed the larger the picture is.
    let mut large = many(40);
    let frame = large.windows(2).position(|bytes| bytes == [0xff, 0xc2]).expect("a frame");
    large[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
    let error = decode(&large, "a.jpg".as_ref()).expect_err("refused").to_string();
    assert!(error.contains("at most 16 scans of 8192x8192 pixels"), "{error}");
}
