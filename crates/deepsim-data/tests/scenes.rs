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
        for class in 0..10u8 {
            let count = fold.iter().filter(|i| dataset.train.labels[**i] == class).count();
            assert_eq!(count, fold.len() / 10);
        }
    }
}
