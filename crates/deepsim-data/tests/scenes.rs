//! Procedural scenes: reproducible, different from one another, with the spectrum of photographs.

use deepsim_data::{Crop, Dataset, Scenes, read_range, scenes};

fn luma(index: usize) -> Vec<f64> {
    let source = Scenes::new(1, scenes::UNLABELED, 1000);
    let batch = read_range(&source, index..index + 1, Crop::Center(64)).expect("a scene");
    let plane = |c: usize| batch.pixels[c * 4096..(c + 1) * 4096].iter();
    plane(0)
        .zip(plane(1))
        .zip(plane(2))
        .map(|((r, g), b)| f64::from(*r) + f64::from(*g) + f64::from(*b))
        .collect()
}

/// Power of a horizontal frequency, mean over rows, by the plain definition of the transform.
fn power(luma: &[f64], cycles: usize) -> f64 {
    let rows = luma.chunks_exact(64).map(|row| {
        let mean = row.iter().sum::<f64>() / 64.0;
        let (mut re, mut im) = (0.0, 0.0);
        for (x, value) in row.iter().enumerate() {
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * (x as f64 + 0.5) / 64.0).cos();
            let angle = std::f64::consts::TAU * (cycles * x) as f64 / 64.0;
            re += (value - mean) * window * angle.cos();
            im += (value - mean) * window * angle.sin();
        }
        re * re + im * im
    });
    rows.sum::<f64>() / 64.0
}

#[test]
fn power_falls_with_frequency_as_in_photographs() {
    // Slope of log power over log frequency: photographs have about -2.
    let frequencies = [2usize, 3, 4, 6, 8, 12, 16, 24];
    let scenes: Vec<Vec<f64>> = (0..60).map(luma).collect();
    let points: Vec<(f64, f64)> = frequencies
        .iter()
        .map(|&f| {
            let mean = scenes.iter().map(|s| power(s, f)).sum::<f64>() / scenes.len() as f64;
            ((f as f64).ln(), mean.ln())
        })
        .collect();
    let n = points.len() as f64;
    let (mx, my) = points.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let covariance: f64 = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
    let slope = covariance / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>();
    assert!((-2.6..=-1.4).contains(&slope), "slope {slope}");
}

#[test]
fn a_scene_is_a_function_of_seed_split_and_index() {
    let pixels = |seed, split, index: usize| {
        let source = Scenes::new(seed, split, 1000);
        read_range(&source, index..index + 1, Crop::Full).expect("a scene").pixels
    };
    let first = pixels(0, scenes::TEST, 7);
    assert_eq!(first, pixels(0, scenes::TEST, 7));
    for other in
        [pixels(1, scenes::TEST, 7), pixels(0, scenes::TRAIN, 7), pixels(0, scenes::TEST, 17)]
    {
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < first.len() / 4, "{same} of {} values are equal", first.len());
    }
}

#[test]
fn the_default_data_set_has_balanced_folds() {
    let dataset = Dataset::open(None, 0).expect("scenes need no file");
    assert!(dataset.synthetic);
    assert_eq!(dataset.folds.len(), 10);
    for fold in &dataset.folds {
        for class in 0..10u32 {
            let count = fold.iter().filter(|i| dataset.train.labels[**i] == class).count();
            assert_eq!(count, fold.len() / 10);
        }
    }
}

#[test]
fn classes_can_be_told_from_the_colours_in_the_middle_better_than_by_chance() {
    // Mean chromaticity of the middle, nearest class mean: far from perfect, far from 10 %.
    let feature = |split, index: usize| -> [f64; 2] {
        let source = Scenes::new(0, split, 1000);
        let pixels =
            read_range(&source, index..index + 1, Crop::Center(40)).expect("a scene").pixels;
        let sum =
            |c: usize| pixels[c * 1600..(c + 1) * 1600].iter().map(|v| f64::from(*v)).sum::<f64>();
        let total = sum(0) + sum(1) + sum(2);
        [sum(0) / total, sum(1) / total]
    };
    let mut means = [[0.0; 2]; 10];
    for index in 0..500 {
        let f = feature(scenes::TRAIN, index);
        means[index % 10] =
            [means[index % 10][0] + f[0] / 50.0, means[index % 10][1] + f[1] / 50.0];
    }
    let distance = |a: &[f64; 2], b: &[f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let nearest = |f: &[f64; 2]| {
        (0..10).min_by(|a, b| distance(f, &means[*a]).total_cmp(&distance(f, &means[*b])))
    };
    let right = (0..500).filter(|i| nearest(&feature(scenes::TEST, *i)) == Some(i % 10)).count();
    assert!((100..400).contains(&right), "{right} of 500 right");
}
