//! Bytes in the formats of networks, and Caffe's mean images.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};

use deepsim_data::{Batch, Crop, Format, MeanImage, Rectangle, Sample, Scenes, read_range, scenes};

/// A blob as Caffe writes it: num 1, channels 3, height 2, width 3, values 0 to 17.
fn binaryproto(new_shape: bool, values: usize) -> Vec<u8> {
    let mut bytes = if new_shape {
        vec![0x3a, 6, 0x0a, 4, 1, 3, 2, 3] // shape { dim: [1, 3, 2, 3] }, packed
    } else {
        vec![0x08, 1, 0x10, 3, 0x18, 2, 0x20, 3]
    };
    bytes.extend([0x2a, 4 * values as u8]);
    bytes.extend((0..values).flat_map(|v| (v as f32).to_le_bytes()));
    bytes
}

fn parse(bytes: &[u8]) -> Result<MeanImage, String> {
    MeanImage::parse(bytes, Path::new("mean.binaryproto")).map_err(|error| error.to_string())
}

/// One image of 1x2 pixels, cut at the second row and column.
fn batch(mirrored: bool) -> Batch {
    let part = Rectangle { top: 1, left: 1, height: 1, width: 2 };
    let samples = vec![Sample { index: 0, label: None, part, mirrored }];
    let pixels = vec![100, 101, 110, 111, 120, 121];
    Batch { pixels, n: 1, height: 1, width: 2, samples, ..Batch::default() }
}

#[test]
fn a_mean_image_is_subtracted_where_the_crop_was_cut_as_caffe_does() {
    for new_shape in [false, true] {
        let mean = parse(&binaryproto(new_shape, 18)).expect("a mean image");
        assert_eq!((mean.height(), mean.width(), mean.channels()), (2, 3, [2.5, 8.5, 14.5]));
        let format = Format::caffe_mean_image(mean);
        // Planes are blue, green, red; the part's means are 4 5, 10 11, 16 17.
        let values = batch(false).to_f32(&format).expect("values");
        assert_eq!(values, [120. - 4., 121. - 5., 110. - 10., 111. - 11., 100. - 16., 101. - 17.]);
        let values = batch(true).to_f32(&format).expect("values");
        assert_eq!(values, [120. - 5., 121. - 4., 110. - 11., 111. - 10., 100. - 17., 101. - 16.]);
        let mut outside = batch(false);
        outside.samples[0].part.left = 2;
        let error = outside.to_f32(&format).expect_err("beyond the mean").to_string();
        assert!(error.contains("parts of images of 2x3"), "{error}");
    }
}

#[test]
fn channel_means_and_scales_are_those_of_the_format() {
    let values = batch(false).to_f32(&Format::CAFFE_BGR).expect("values");
    assert_eq!(values, [16.0, 17.0, -7.0, -6.0, -23.0, -22.0]);
    let values = batch(false).to_f32(&Format::BYTES).expect("values");
    assert_eq!(values, [100.0, 101.0, 110.0, 111.0, 120.0, 121.0]);
    assert!(Batch::default().to_f32(&Format::BYTES).is_err());
    assert!(Batch { samples: vec![], ..batch(false) }.to_f32(&Format::BYTES).is_err());
    // torchvision's Normalize(ToTensor(image)).
    let wanted = [(100.0 / 255.0 - 0.485) / 0.229, (121.0 / 255.0 - 0.406) / 0.225];
    let values = batch(false).to_f32(&Format::TORCHVISION).expect("values");
    assert!((values[0] - wanted[0]).abs() < 1e-5 && (values[5] - wanted[1]).abs() < 1e-5);
}

#[test]
fn broken_mean_images_say_what_is_wrong() {
    let nan = {
        let mut bytes = binaryproto(false, 18);
        bytes.splice(14..18, f32::NAN.to_le_bytes());
        bytes
    };
    let huge = [vec![0x10, 3, 0x18], vec![0xff; 4], vec![7, 0x20], vec![0xff; 4], vec![7]].concat();
    let cases: [(&[u8], &str); 6] = [
        (&binaryproto(false, 17), "17 numbers for [3, 2, 3]"),
        (&binaryproto(false, 18)[..30], "mean.binaryproto"),
        (&[], "a blob of [0, 0, 0]"),
        (&[0x10, 1, 0x18, 1, 0x20, 1], "a blob of [1, 1, 1]"),
        (&huge, "0 numbers"),
        (&nan, "NaN at place 1"),
    ];
    for (bytes, words) in cases {
        let error = parse(bytes).expect_err("a broken file");
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn the_shared_mean_of_ilsvrc_has_the_known_channels() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("data/weights/ilsvrc12_imagenet_mean.binaryproto");
    if !path.is_file() {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return;
    }
    let mean = MeanImage::read(&path).expect("BVLC's mean image");
    assert_eq!((mean.height(), mean.width()), (256, 256));
    for (got, wanted) in mean.channels().iter().zip([104.007, 116.669, 122.679]) {
        assert!((got - wanted).abs() < 1e-3, "{got} for {wanted}");
    }
    assert!(MeanImage::read(&shared.join("no such file")).is_err());
    let batch = read_range(&Scenes::new(0, scenes::TEST, 1), 0..1, Crop::Full).expect("a scene");
    assert!(batch.to_f32(&Format::caffe_mean_image(mean)).is_ok());
}
