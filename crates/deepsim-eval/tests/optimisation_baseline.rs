//! The optimisation baseline: against JAX, alone and in company.

mod progress;

use candle_core::{Device, Tensor};
use deepsim_eval::EvalError;
use deepsim_eval::optimisation_baseline::{
    BaselineImages, Ending, Settings, Stage, invert, invert_from,
};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use progress::recorded;
use serde_json::Value;

const SIDE: usize = 35;
const SIZE: usize = 3 * SIDE * SIDE;
const CONV1: [usize; 4] = [96, 3, 11, 11];

/// `n` numbers in [-0.5, 0.5), by the fixture's formula.
fn spread(n: usize, factor: u64) -> impl Iterator<Item = f64> {
    (0..n as u64).map(move |i| (i * factor % (1 << 32)) as f64 / 4_294_967_296.0 - 0.5)
}

/// AlexNet to CONV1 with the fixture's weights.
fn network() -> Result<Box<dyn Comparator>, Box<dyn std::error::Error>> {
    let weight = spread(CONV1.iter().product(), 2_654_435_761).map(|v| (0.2 * v) as f32);
    let bias = spread(96, 2_246_822_519).map(|v| (4.0 * v) as f32);
    let weight = Tensor::from_vec(weight.collect::<Vec<f32>>(), &CONV1, &Device::Cpu)?;
    let bias = Tensor::from_vec(bias.collect::<Vec<f32>>(), 96, &Device::Cpu)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    let tensors = [("conv1.weight", weight), ("conv1.bias", bias)].map(|(k, v)| (k.to_owned(), v));
    candle_core::safetensors::save(&tensors.into(), &path)?;
    Ok(ComparatorKind::alexnet().open_to("CONV1", Some(&path), 0, &Device::Cpu)?)
}

/// The fixture's photographs.
fn photos() -> Result<Images, EvalError> {
    let value = |k: usize, c: usize, y: usize, x: usize| {
        ((y * (5 + 2 * k) + x * 3 + c * 40 + (y / 6 + x / 5) % 2 * 60) % 256) as f32
            - PixelFormat::CAFFE_BGR.mean[c]
    };
    let at = |i: usize| (i / SIZE, i / (SIDE * SIDE) % 3, i / SIDE % SIDE, i % SIDE);
    let values = (0..2 * SIZE).map(|i| {
        let (k, c, y, x) = at(i);
        value(k, c, y, x)
    });
    images(values.collect())
}

/// What the fixture's descents start from.
fn start() -> Result<Images, EvalError> {
    images(spread(2 * SIZE, 3_266_489_917).map(|v| (200.0 * v) as f32).collect())
}

fn images(values: Vec<f32>) -> Result<Images, EvalError> {
    let n = values.len() / SIZE;
    let tensor = Tensor::from_vec(values, (n, 3, SIDE, SIDE), &Device::Cpu)?;
    Ok(Images::new(tensor, PixelFormat::CAFFE_BGR)?)
}

fn values(images: &Images) -> Result<Vec<f32>, EvalError> {
    Ok(images.tensor().flatten_all()?.to_vec1()?)
}

#[test]
fn the_descent_is_that_of_jax_under_every_prior() -> Result<(), Box<dyn std::error::Error>> {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/optimisation_baseline.json"))?;
    let (net, photos, start) = (network()?, photos()?, start()?);
    let target = net.features(&photos, "CONV1")?;
    let stages = [(4e-3, 5), (4e-4, 10), (4e-5, 5)].map(|(rate, steps)| Stage { rate, steps });
    let cases = [
        ("mahendran-vedaldi", Settings::mahendran_vedaldi("CONV1")),
        ("l2", Settings { l2: 0.01, ..Settings::l2() }),
        ("blur", Settings { jitter: 0, ..Settings::blur() }),
    ];
    for (name, settings) in cases {
        let settings = Settings { stages, ..settings };
        let found = invert_from(&*net, "CONV1", &target, &start, &settings, 0, 0)?;
        let wanted: Vec<Vec<f64>> = serde_json::from_value(fixture[name]["objective"].clone())?;
        assert_eq!(wanted[0].len(), 21);
        for (got, wanted) in found.objective.iter().flatten().zip(wanted.iter().flatten()) {
            assert!((got / wanted - 1.0).abs() < 1e-3, "{name}: {got} against {wanted}");
        }
        let wanted: Vec<f64> = serde_json::from_value(fixture[name]["every_7th"].clone())?;
        let got = values(&found.images)?;
        let apart = got.iter().step_by(7).zip(&wanted).map(|(g, w)| (f64::from(*g) - w).abs());
        let apart = apart.fold(0.0, f64::max);
        assert!(apart < 0.05, "{name}: {apart} grey levels");
    }
    Ok(())
}

#[test]
fn a_picture_is_the_same_in_any_company() -> Result<(), Box<dyn std::error::Error>> {
    let net = network()?;
    let photos = photos()?;
    let settings =
        Settings { tv: 1.0, power: 8e-10, l2: 0.01, jitter: 2, ..Settings::blur().with_steps(6) };
    let of = |photos: &Images, seed, first| -> Result<BaselineImages, EvalError> {
        let target = net.features(photos, "CONV1")?;
        invert(&*net, "CONV1", &target, (SIDE, SIDE), &settings, seed, first)
    };
    let bits = |found: &BaselineImages| -> Result<Vec<u32>, EvalError> {
        Ok(values(&found.images)?.iter().map(|value| value.to_bits()).collect())
    };
    let both = of(&photos, 5, 3)?;
    for (at, first) in [(0, 3), (1, 4)] {
        let one = photos.with_tensor(photos.tensor().narrow(0, at, 1)?)?;
        let alone = of(&one, 5, first)?;
        assert!(bits(&both)?[at * SIZE..][..SIZE] == bits(&alone)?, "picture {at}");
        assert_eq!(both.objective[at], alone.objective[0]);
    }
    assert!(bits(&both)? == bits(&of(&photos, 5, 3)?)?, "the same seed gives the same bits");
    assert!(bits(&both)? != bits(&of(&photos, 6, 3)?)?, "another seed gives other noise");
    // The same target twice: pictures draw from their own streams.
    let one = photos.with_tensor(photos.tensor().narrow(0, 0, 1)?)?;
    let twice = bits(&of(&one.followed_by(&one)?, 5, 0)?)?;
    assert!(twice[..SIZE] != twice[SIZE..]);
    Ok(())
}

#[test]
fn every_prior_lowers_the_objective() -> Result<(), Box<dyn std::error::Error>> {
    let net = network()?;
    let target = net.features(&photos()?, "CONV1")?;
    for settings in [Settings::mahendran_vedaldi("CONV1"), Settings::l2(), Settings::blur()] {
        let size = (SIDE, SIDE);
        let (found, spans) = recorded(|| invert(&*net, "CONV1", &target, size, &settings, 0, 0));
        let found = found?;
        for span in &spans {
            assert_eq!((&*span.what, span.total), ("CONV1", Some(400)));
        }
        assert_eq!(spans.last().map(|span| span.done.clone()), Some((1..=400).collect()));
        for objective in &found.objective {
            let (first, last) = (objective[0], objective[400]);
            assert!(last < 0.5 * first, "{settings:?}: {first} to {last}");
        }
    }
    Ok(())
}

#[test]
fn bad_input_is_refused_and_named() -> Result<(), Box<dyn std::error::Error>> {
    let net = network()?;
    let target = net.features(&photos()?, "CONV1")?;
    let of = |tap: &str, target: &Tensor, side: usize, settings: Settings| {
        let settings = settings.with_steps(1);
        let found = invert(&*net, tap, target, (side, side), &settings, 0, 0);
        found.expect_err("bad input").to_string()
    };
    let good = Settings::l2();
    let empty = Tensor::zeros((0, 96, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
    let cases = [
        (of("CONV9", &target, SIDE, good), "alexnet has no tap `CONV9`"),
        (of("CONV1", &empty, SIDE, good), "expected features of one picture or more"),
        (of("CONV1", &target, SIDE + 8, good), "[96, 4, 4] of 43x43 images, found [96, 3, 3]"),
        (of("CONV1", &target, 0, good), "0"),
        (of("CONV1", &target, 5, good), "5"),
        (of("CONV1", &target, SIDE, Settings { momentum: 1.0, ..good }), "momentum 1"),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{message}");
    }
    let one = start()?.with_tensor(start()?.tensor().narrow(0, 0, 1)?)?;
    assert!(invert_from(&*net, "CONV1", &target, &one, &good, 0, 0).is_err());
    Ok(())
}

/// Flat, faint and extreme pictures, as planes.
fn odd_pictures(side: usize) -> Vec<(&'static str, Vec<u8>)> {
    let size = 3 * side * side;
    let photo = |i: usize| {
        let (c, y, x) = (i / (side * side), i / side % side, i % side);
        ((y * 5 + x * 3 + c * 40 + (y / 6 + x / 5) % 2 * 60) % 256) as u8
    };
    let noise = |i: usize| if (i as u32).wrapping_mul(2_654_435_761) >> 31 == 0 { 0 } else { 255 };
    let dot = |i: usize| if i == side * side / 2 { 255 } else { 128 };
    vec![
        ("photo", (0..size).map(photo).collect()),
        ("grey", vec![128; size]),
        ("faint", (0..size).map(|i| 120 + photo(i) / 16).collect()),
        ("black", vec![0; size]),
        ("white", vec![255; size]),
        ("dot", (0..size).map(dot).collect()),
        ("noise", (0..size).map(noise).collect()),
    ]
}

#[test]
fn flat_faint_and_extreme_pictures_are_found_as_well() -> Result<(), Box<dyn std::error::Error>> {
    let net = ComparatorKind::alexnet().open_to("CONV2", None, 0, &Device::Cpu)?;
    let side = 67;
    let pictures = odd_pictures(side);
    let bytes: Vec<u8> = pictures.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let format = PixelFormat::CAFFE_BGR;
    let photos = Images::from_u8(&bytes, pictures.len(), side, side, format, &Device::Cpu)?;
    for tap in ["CONV1", "CONV2"] {
        let settings = Settings::mahendran_vedaldi(tap);
        let target = net.features(&photos, tap)?;
        let size = (side, side);
        let found = invert(&*net, tap, &target, size, &settings, 0, 0)?;
        assert!(
            found.images.to_u8().is_ok() && values(&found.images)?.iter().all(|x| x.is_finite())
        );
        for ((name, _), (ending, objective)) in
            pictures.iter().zip(found.endings.iter().zip(&found.objective))
        {
            let (first, last) = (objective[0], objective[objective.len() - 1]);
            assert!(ending.is_finished(), "{tap} {name}: {ending}");
            assert!(last < 1.0, "{tap} {name}: {first} to {last}, {ending}");
        }
        // What converged before is not touched.
        assert_eq!(found.endings[0], Ending::Finished { divisor: 1 }, "{tap}");
    }
    Ok(())
}

#[test]
fn a_zero_image_without_a_gradient_ends_before_the_first_step()
-> Result<(), Box<dyn std::error::Error>> {
    // Without biases, features and gradient of a zero image are zero.
    let net = ComparatorKind::alexnet().open_to("CONV1", None, 0, &Device::Cpu)?;
    let photos = photos()?;
    let (target, settings) = (net.features(&photos, "CONV1")?, Settings::l2().with_steps(20));
    let (found, spans) =
        recorded(|| invert(&*net, "CONV1", &target, (SIDE, SIDE), &settings, 0, 0));
    let found = found?;
    assert!(
        found.endings.iter().all(|ending| *ending == Ending::ZeroGradient),
        "{:?}",
        found.endings
    );
    assert!(found.endings[0].to_string().starts_with("no gradient at the zero image"));
    let once = |of: &Vec<f64>| of.len() == 1 && (of[0] - 1.0).abs() < 1e-9;
    assert!(found.objective.iter().all(once), "{:?}", found.objective);
    assert!(spans.len() == 1 && spans[0].done.is_empty(), "no step: {spans:?}");

    // Others of the batch go on.
    let mut start = values(&photos)?;
    start[..SIZE].fill(0.0);
    let start =
        photos.with_tensor(Tensor::from_vec(start, photos.tensor().shape(), &Device::Cpu)?)?;
    let settings = Settings::mahendran_vedaldi("CONV1").with_steps(3);
    let found = invert_from(&*net, "CONV1", &target, &start, &settings, 0, 0)?;
    assert_eq!(found.endings[0], Ending::ZeroGradient);
    assert!(found.objective[1].len() == 4 && found.endings[1] != Ending::ZeroGradient);
    Ok(())
}

#[test]
fn a_descent_that_cannot_converge_stops_with_a_named_reason()
-> Result<(), Box<dyn std::error::Error>> {
    let net = network()?;
    let target = net.features(&photos()?, "CONV1")?;
    let one = |at: usize| target.narrow(0, at, 1);
    let nan = (one(1)? * f64::NAN)?;
    let mixed = Tensor::cat(&[one(0)?.zeros_like()?, nan, one(0)?, (one(0)? * 1e-18)?], 0)?;
    let settings = Settings::mahendran_vedaldi("CONV1").with_steps(20);
    let found = invert(&*net, "CONV1", &mixed, (SIDE, SIDE), &settings, 0, 0)?;
    let reasons: Vec<String> = found.endings.iter().map(ToString::to_string).collect();
    assert_eq!(reasons[0], "target features are all zero: normalised error undefined");
    assert_eq!(reasons[1], "target features are not finite");
    assert_eq!(reasons[2], "finished");
    // Far fainter than any picture is.
    assert!(reasons[3].starts_with("diverged at step "), "{}", reasons[3]);
    assert!(values(&found.images)?.iter().all(|value| value.is_finite()));

    // The third picture is what it is alone.
    let alone = invert(&*net, "CONV1", &one(0)?, (SIDE, SIDE), &settings, 0, 2)?;
    assert!(values(&found.images)?[2 * SIZE..3 * SIZE] == values(&alone.images)?[..]);
    Ok(())
}
