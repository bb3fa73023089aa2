//! Pictures and files that appear whole or not at all.

use deepsim_data::DataError;
use deepsim_data::atomic::write_atomic;
use deepsim_data::picture::{Picture, grid};

fn sample() -> Picture {
    Picture { width: 5, height: 3, rgb: (0..45).map(|i| i * 5).collect() }
}

#[test]
fn png_files_give_back_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.png");
    sample().write_png(&path).expect("the file is written");
    assert_eq!(Picture::read_png(&path).expect("the file is read"), sample());
    let planes = sample().to_planes();
    assert_eq!(Picture::from_planes(&planes, 3, 5), sample());
}

#[test]
fn grey_and_transparent_pictures_are_read_as_rgb() {
    use png::{BitDepth, ColorType, Encoder};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("b.png");
    let write = |color, depth, data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(data).expect("pixels");
        drop(writer);
        std::fs::write(&path, bytes).expect("a file");
        Picture::read_png(&path).expect("a picture").rgb
    };
    assert_eq!(write(ColorType::Grayscale, BitDepth::Eight, &[9, 200]), [9, 9, 9, 200, 200, 200]);
    assert_eq!(
        write(ColorType::GrayscaleAlpha, BitDepth::Eight, &[9, 0, 7, 255]),
        [9, 9, 9, 7, 7, 7]
    );
    let rgba = [1, 2, 3, 0, 4, 5, 6, 255];
    assert_eq!(write(ColorType::Rgba, BitDepth::Eight, &rgba), [1, 2, 3, 4, 5, 6]);
    let deep = [1, 99, 2, 99, 3, 99, 4, 99, 5, 99, 6, 99];
    assert_eq!(write(ColorType::Rgb, BitDepth::Sixteen, &deep), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn broken_pictures_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.png");
    assert!(matches!(Picture::read_png(&path), Err(DataError::Io { .. })));
    std::fs::write(&path, "no picture").expect("a file");
    let message = Picture::read_png(&path).expect_err("no picture").to_string();
    assert!(message.contains("c.png"), "{message}");
    let whole = sample().to_png().expect("a PNG");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
    assert!(matches!(Picture::read_png(&path), Err(DataError::Decode { .. })));
}

#[test]
fn grids_and_enlargements_put_pixels_where_they_belong() {
    let (red, blue) = (Picture::new(2, 2, [255, 0, 0]), Picture::new(2, 2, [0, 0, 255]));
    let picture = grid(&[vec![red.clone(), blue.clone()], vec![blue]], 1);
    assert_eq!((picture.width, picture.height), (5, 5));
    let pixel = |x: usize, y: usize| &picture.rgb[3 * (y * 5 + x)..][..3];
    assert_eq!(pixel(0, 0), [255, 0, 0]);
    assert_eq!(pixel(2, 0), [255; 3], "the gap");
    assert_eq!(pixel(4, 1), [0, 0, 255]);
    assert_eq!(pixel(1, 4), [0, 0, 255]);
    assert_eq!(pixel(4, 4), [255; 3], "the missing cell");
    let large = sample().upscale(3);
    assert_eq!((large.width, large.height), (15, 9));
    assert_eq!(large.rgb[3 * (8 * 15 + 14)..], sample().rgb[42..]);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    write_atomic(&path, b"old").expect("the first write");
    write_atomic(&path, b"new").expect("the second write");
    assert_eq!(std::fs::read(&path).expect("the file"), b"new");
    // A folder in the way of the rename.
    let blocked = folder.path().join("blocked");
    std::fs::create_dir(&blocked).expect("a folder");
    let message = write_atomic(&blocked, b"x").expect_err("a folder is in the way").to_string();
    assert!(message.contains("blocked"), "{message}");
    let missing = folder.path().join("no/such/file");
    assert!(write_atomic(&missing, b"x").is_err());
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 2, "only `state` and `blocked` are there");
}
