//! PNGs that claim what they do not hold, and what they would cost if they were believed.

use std::io::Write;
use std::path::{Path, PathBuf};

use deepsim_data::DataError;
use deepsim_data::decode::{decode, decode_photo, read};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::bytes;

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(content);
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], kind, content, &crc.sum().to_be_bytes()].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A PNG of a size, depth and kind of colour, with these chunks.
fn png(width: u32, height: u32, depth: u8, colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, colour, 0, 0, 0]);
    let start = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat();
    [start, chunks.concat(), chunk(b"IEND", b"")].concat()
}

fn refused(bytes: &[u8]) -> String {
    let path: PathBuf = "set/a.png".into();
    assert!(decode_photo(bytes, &path).is_err());
    match decode(bytes, &path) {
        Err(error @ DataError::Decode { .. }) => error.to_string(),
        other => panic!("expected an error, found {other:?}"),
    }
}

#[test]
fn sizes_that_overflow_are_errors() {
    let pixels = chunk(b"IDAT", &zlib(&[0; 100]));
    for (width, height) in
        [(0, 1), (1, 0), (u32::MAX, u32::MAX), (1 << 31, 2), (0x7fff_ffff, 0x7fff_ffff)]
    {
        for (depth, colour) in [(8, 2), (16, 6), (1, 0)] {
            refused(&png(width, height, depth, colour, std::slice::from_ref(&pixels)));
        }
    }
    let text = refused(&png(50_000, 40_000, 8, 2, &[pixels]));
    assert!(text.contains("found 50000x40000"), "{text}");
}

#[test]
fn a_png_that_unpacks_to_more_than_its_pixels_costs_no_more_than_these() {
    // 512 MiB of zeros in half a megabyte, for one pixel; and as a profile and a text.
    let bomb = zlib(&vec![0; 512 << 20]);
    let pixel = chunk(b"IDAT", &zlib(&[0, 10, 20, 30]));
    let named = |kind: &[u8; 4]| chunk(kind, &[b"name\0\0".as_slice(), &bomb].concat());
    let start = std::time::Instant::now();
    for chunks in [
        vec![chunk(b"IDAT", &bomb)],
        vec![named(b"iCCP"), pixel.clone()],
        vec![named(b"zTXt"), pixel.clone()],
        vec![pixel, named(b"zTXt")],
    ] {
        let png = png(1, 1, 8, 2, &chunks);
        if let Ok(picture) = decode(&png, "a.png".as_ref()) {
            assert_eq!((picture.width, picture.height), (1, 1));
        }
        let _ = decode_photo(&png, "a.png".as_ref());
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn wrong_lengths_in_a_png_are_errors() {
    let whole = bytes("palette.png");
    let at = |kind: &[u8]| whole.windows(4).position(|w| w == kind).expect("a chunk") - 4;
    for kind in [&b"IHDR"[..], b"PLTE", b"IDAT"] {
        for length in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0, 0, 0, 1]] {
            let mut bytes = whole.clone();
            bytes[at(kind)..][..4].copy_from_slice(&length);
            refused(&bytes);
        }
    }
    // No palette, and too few of the pixels.
    let row = |length: usize| chunk(b"IDAT", &zlib(&vec![0; length]));
    refused(&png(4, 4, 8, 3, &[row(20)]));
    refused(&png(4, 4, 8, 2, &[row(13 * 4 - 1)]));
    refused(&png(4, 4, 8, 2, &[]));
}

#[test]
fn sixteen_bits_keep_the_upper_eight() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reported/grey16.png");
    // 0, 640, 1280 of 65535.
    assert_eq!(read(&path).expect("a picture").rgb[..9], [0, 0, 0, 2, 2, 2, 5, 5, 5]);
}
