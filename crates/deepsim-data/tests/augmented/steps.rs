//! Steps of pipelines: torchvision's distributions and pixels.

use std::path::Path;

use deepsim_data::decode;
use deepsim_data::picture::Picture;
use deepsim_data::pipeline::colour::{
    ColourJitter, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation,
};
use deepsim_data::pipeline::{Pipeline, RATIO, SCALE, Step, resized_crop};
use deepsim_data::random::SampleStream;
use proptest::prelude::*;

/// Made by `fixtures/make_augmented.py` with torchvision.
const FIXTURES: &str = "tests/fixtures/augmented";

fn fixture(name: &str) -> Picture {
    decode::read(&Path::new(FIXTURES).join(name)).expect("a fixture")
}

/// Largest distance of the distributions of two samples.
fn kolmogorov_smirnov(a: &mut [f64], b: &mut [f64]) -> f64 {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let below = |of: &[f64], value: f64| {
        of.partition_point(|other| *other <= value) as f64 / of.len() as f64
    };
    let all = a.iter().chain(b.iter()).copied();
    all.map(|value| (below(a, value) - below(b, value)).abs()).fold(0.0, f64::max)
}

#[test]
fn resized_crops_have_the_distribution_of_torchvision() {
    for (name, height, width) in [("wide", 300, 400), ("panorama", 200, 620)] {
        let path = format!("{FIXTURES}/resized-crops-{name}-{height}x{width}.bin");
        let bytes = std::fs::read(&path).expect("draws of torchvision");
        let numbers: Vec<f64> = bytes
            .chunks_exact(2)
            .map(|bytes| f64::from(u16::from_le_bytes([bytes[0], bytes[1]])))
            .collect();
        let theirs: Vec<[f64; 4]> = numbers.as_chunks::<4>().0.to_vec();
        assert_eq!(theirs.len(), 4000);
        let ours: Vec<[f64; 4]> = (0..40_000)
            .map(|position| {
                let mut stream = SampleStream::new(5, 0, position);
                let part = resized_crop((height, width), SCALE, RATIO, Some(&mut stream));
                [part.top, part.left, part.height, part.width].map(|number| number as f64)
            })
            .collect();
        type Statistic = fn([f64; 4], f64, f64) -> f64;
        let statistics: [(&str, Statistic); 4] = [
            ("area", |[_, _, h, w], _, _| h * w),
            ("proportion", |[_, _, h, w], _, _| w / h),
            // Of all places that there are for such a rectangle.
            ("row", |[top, _, h, _], height, _| (top + 0.5) / (height - h + 1.0)),
            ("column", |[_, left, _, w], _, width| (left + 0.5) / (width - w + 1.0)),
        ];
        for (what, statistic) in statistics {
            let (height, width) = (height as f64, width as f64);
            let of = |draws: &[[f64; 4]]| -> Vec<f64> {
                draws.iter().map(|draw| statistic(*draw, height, width)).collect()
            };
            let distance = kolmogorov_smirnov(&mut of(&ours), &mut of(&theirs));
            // One in a thousand pairs of such samples is further apart: 1.95 * sqrt(1/4000 + 1/40000).
            assert!(distance < 0.0323, "{name}: {what}: Kolmogorov-Smirnov distance {distance}");
        }
        // The test tells distributions apart: proportions that are uniform, not log-uniform.
        let uniform = |(at, [_, _, h, w]): (usize, &[f64; 4])| {
            let proportion = SampleStream::new(6, 0, at as u64).between(RATIO[0], RATIO[1]);
            (h * w / proportion).sqrt().round()
        };
        let mut other: Vec<f64> = ours.iter().enumerate().map(uniform).collect();
        let mut heights: Vec<f64> = theirs.iter().map(|draw| draw[2]).collect();
        assert!(kolmogorov_smirnov(&mut other, &mut heights) > 0.0323, "{name}");
    }
}

#[test]
fn colours_change_as_in_torchvision() {
    let source = fixture("colours.png");
    type Adjust = fn(&mut Picture, f64);
    let changes: [(&str, Adjust, f64); 8] = [
        ("brightness-0.6", adjust_brightness, 0.6),
        ("brightness-1.4", adjust_brightness, 1.4),
        ("contrast-0.6", adjust_contrast, 0.6),
        ("contrast-1.4", adjust_contrast, 1.4),
        ("saturation-0.6", adjust_saturation, 0.6),
        ("saturation-1.4", adjust_saturation, 1.4),
        ("hue-0.1", adjust_hue, 0.1),
        ("hue--0.3", adjust_hue, -0.3),
    ];
    for (name, adjust, factor) in changes {
        let mut adjusted = source.clone();
        adjust(&mut adjusted, factor);
        assert!(adjusted != source, "{name} changes something");
        let wanted = fixture(&format!("{name}.png"));
        let differing = adjusted.rgb.iter().zip(&wanted.rgb).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{name}: of {} values", wanted.rgb.len());
    }
}

#[test]
fn a_cut_is_resized_as_in_torchvision() {
    let source = decode::read(Path::new("tests/fixtures/pictures/transform.source.png"));
    let source = source.expect("a picture");
    let part = deepsim_data::Rectangle { top: 10, left: 20, height: 70, width: 55 };
    let stretch = Pipeline::new(vec![Step::Stretch { side: 48, filter: Default::default() }]);
    let ours = stretch.expect("a step").apply(&source.part(part), None).expect("a picture");
    let theirs = fixture("resized-crop-10-20-70-55-48.png");
    let most = ours.rgb.iter().zip(&theirs.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "values differ by up to {most:?}");
    // The random step takes the same way: a rectangle that is the whole picture.
    let whole = Step::RandomResizedCrop {
        side: 48,
        scale: [1.0, 1.0],
        ratio: [55.0 / 70.0, 55.0 / 70.0],
        filter: Default::default(),
    };
    let whole = Pipeline::new(vec![whole]).expect("a step");
    let drawn = whole.apply(&source.part(part), Some(&mut SampleStream::new(0, 0, 0)));
    assert_eq!(drawn.expect("a picture"), ours);
}

#[test]
fn random_crops_reach_every_place_of_a_rectangle() {
    let mut picture = Picture::new(20, 50, [0; 3]);
    for (i, pixel) in picture.rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = [(i / 50) as u8, (i % 50) as u8, 0];
    }
    let pipeline = Pipeline::resize_and_crop(20, 12);
    let corners: std::collections::BTreeSet<(u8, u8)> = (0..20_000)
        .map(|position| {
            let mut stream = SampleStream::new(0, 0, position);
            let crop = pipeline.apply(&picture, Some(&mut stream)).expect("a crop");
            assert_eq!((crop.height, crop.width), (12, 12));
            (crop.rgb[0], crop.rgb[1])
        })
        .collect();
    assert_eq!(corners.len(), 9 * 39, "rows 0 to 8, columns 0 to 38");
    assert_eq!(corners.last(), Some(&(8, 38)));
}

#[test]
fn steps_that_make_no_sense_are_refused_by_name() {
    let parse =
        |text: &str| serde_json::from_str::<Pipeline>(text).map(|_| ()).map_err(|e| e.to_string());
    for (text, words) in [
        (r#"[{"random_crop": {"side": 0}}]"#, "expected a side of 1 to 16384 pixels, found 0"),
        (r#"[{"random_resized_crop": {"side": 8, "scale": [0.5, 0.1]}}]"#, "found [0.5, 0.1]"),
        (r#"[{"random_resized_crop": {"side": 8, "scale": [0.5, 1.5]}}]"#, "up to 1"),
        (r#"[{"random_resized_crop": {"side": 8, "ratio": [0, 1]}}]"#, "proportions above 0"),
        (r#"[{"mirror": {"probability": 1.5}}]"#, "from 0 to 1, found 1.5"),
        (r#"[{"colour_jitter": {"hue": 0.7}}]"#, "a hue from 0 to 0.5, found 0.7"),
        (r#"[{"colour_jitter": {"contrast": -1}}]"#, "a contrast of at least 0, found -1"),
        (r#"[{"color_jitter": {}}]"#, "unknown variant `color_jitter`"),
        (r#"[{"mirror": {"p": 1}}]"#, "unknown field `p`"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(words), "{error}");
    }
}

proptest! {
    #[test]
    fn rectangles_lie_in_the_picture(
        height in 1usize..700,
        width in 1usize..700,
        position: u64,
        low in 0.001f64..1.0,
        proportion in 0.01f64..100.0,
        drawn: bool,
    ) {
        let mut stream = SampleStream::new(1, 2, position);
        let ratio = [proportion, proportion * 1.5];
        let random = drawn.then_some(&mut stream);
        let part = resized_crop((height, width), [low, 1.0], ratio, random);
        prop_assert!(part.height >= 1 && part.top + part.height <= height);
        prop_assert!(part.width >= 1 && part.left + part.width <= width);
    }

    #[test]
    fn jitter_of_nothing_changes_nothing(position: u64, value: [u8; 3]) {
        let picture = Picture::new(2, 2, value);
        let none = Pipeline::new(vec![Step::ColourJitter(ColourJitter::default())]).expect("a step");
        let mut stream = SampleStream::new(0, 0, position);
        prop_assert_eq!(none.apply(&picture, Some(&mut stream)).expect("a picture"), picture);
    }
}
