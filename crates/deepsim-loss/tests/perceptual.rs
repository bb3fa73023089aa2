//! Properties of perceptual distances: on features that are the pixels themselves, so that every
//! number can be computed by hand, and on a network.

use candle_core::{Device, Tensor, Var};
use deepsim_loss::{LossError, PerceptualDistance, Reduction, TapDistance, Term, Upsampling};
use deepsim_loss::{objective, term, terms};
use deepsim_nets::{Comparator, ComparatorKind, Images, NetError, PixelFormat, WeightsOrigin};
use proptest::prelude::*;

/// Features are the pixels (`pixels`), or their mean over positions (`mean`).
struct Pixels(WeightsOrigin);

impl Comparator for Pixels {
    fn name(&self) -> &str {
        "pixels"
    }

    fn format(&self) -> PixelFormat {
        PixelFormat::RGB_U8
    }

    fn taps(&self) -> Vec<String> {
        vec!["pixels".into(), "mean".into()]
    }

    fn origin(&self) -> &WeightsOrigin {
        &self.0
    }

    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
        let x = images.convert(self.format())?.tensor().clone();
        let features = |tap: &&str| match *tap {
            "mean" => Ok(deepsim_ops::global_avg_pool2d(&x)?),
            _ => Ok(x.clone()),
        };
        taps.iter().map(features).collect()
    }
}

fn distance(taps: Vec<TapDistance>) -> Result<PerceptualDistance, LossError> {
    let net = Pixels(WeightsOrigin::Memory("none".into()));
    PerceptualDistance::new(net, taps)
}

/// LPIPS and DeePSiM on all taps.
fn all_taps() -> Vec<TapDistance> {
    vec![
        TapDistance::lpips("pixels", vec![0.5, 0.0, 2.0]),
        TapDistance::lpips("mean", vec![1.0, 1.5, 0.25]).weight(0.5),
        TapDistance::deepsim("pixels", 1e-3),
        TapDistance::deepsim("mean", 2.0).reduction(Reduction::Mean),
    ]
}

const SHAPE: (usize, usize, usize, usize) = (2, 3, 3, 4);
const COUNT: usize = 2 * 3 * 3 * 4;

fn images(values: &[f32]) -> Result<Images, LossError> {
    let tensor = Tensor::from_slice(values, SHAPE, &Device::Cpu)?;
    Ok(Images::new(tensor, PixelFormat::RGB_U8)?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, LossError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The loss and its gradient at the first images.
fn differentiate(
    distance: &PerceptualDistance,
    a: &[f32],
    b: &[f32],
) -> Result<(f32, Vec<f32>), LossError> {
    let leaf = Var::from_slice(a, SHAPE, &Device::Cpu)?;
    let output = Images::new(leaf.as_tensor().clone(), PixelFormat::RGB_U8)?;
    let loss = distance.loss(&output, &distance.targets(&images(b)?)?)?;
    let gradient = loss.backward()?.remove(&leaf).expect("a gradient at the images");
    Ok((loss.to_scalar()?, numbers(&gradient)?))
}

/// LPIPS on pixels in double precision, mean over the batch.
fn lpips_by_hand(a: &[f64], b: &[f64], channels: [f64; 3]) -> f64 {
    let plane = SHAPE.2 * SHAPE.3;
    let unit = |values: &[f64], at: usize| -> [f64; 3] {
        let v = [values[at], values[at + plane], values[at + 2 * plane]];
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-10;
        v.map(|v| v / length)
    };
    let mut sum = 0.0;
    for n in 0..SHAPE.0 {
        for position in 0..plane {
            let at = n * 3 * plane + position;
            let (a, b) = (unit(a, at), unit(b, at));
            sum += (0..3).map(|c| channels[c] * (a[c] - b[c]).powi(2)).sum::<f64>();
        }
    }
    sum / (SHAPE.0 * plane) as f64
}

/// Pixels among which are zeros, tiny and huge ones.
fn pixels() -> impl Strategy<Value = Vec<f32>> {
    let scale = prop_oneof![
        Just(0f32),
        Just(1e-30),
        Just(1e-19),
        Just(1e-12),
        Just(1e-10),
        Just(1.0),
        Just(255.0),
        Just(255e4),
    ];
    // One scale per position, so that whole feature vectors are zero or tiny.
    let plane = SHAPE.2 * SHAPE.3;
    let scales = prop::collection::vec(scale, plane);
    (scales, prop::collection::vec(-1f32..1.0, COUNT))
        .prop_map(move |(s, v)| v.iter().enumerate().map(|(i, v)| v * s[i % plane]).collect())
}

proptest! {
    #[test]
    fn everything_is_finite_everywhere_and_consistent(a in pixels(), b in pixels()) {
        let net = distance(all_taps()).expect("a distance");
        let (loss, gradient) = differentiate(&net, &a, &b).expect("a gradient");
        prop_assert!(loss.is_finite() && loss >= 0.0, "loss {loss}");
        prop_assert!(gradient.iter().all(|v| v.is_finite()), "{gradient:?}");

        let (a, b) = (images(&a).expect("images"), images(&b).expect("images"));
        let values = |tensor: Tensor| numbers(&tensor).expect("numbers");
        let per_sample = values(net.per_sample(&a, &b).expect("distances"));
        prop_assert_eq!(&per_sample, &values(net.per_sample(&b, &a).expect("distances")));
        let mut sums = vec![0f32; SHAPE.0];
        for (_, part) in net.per_tap(&a, &b).expect("distances") {
            sums.iter_mut().zip(values(part)).for_each(|(sum, value)| *sum += value);
        }
        for (sum, value) in sums.iter().zip(&per_sample) {
            prop_assert!((sum - value).abs() <= 1e-5 * value.abs());
        }
    }

    #[test]
    fn equal_images_have_distance_zero_and_gradient_zero(a in pixels()) {
        let (loss, gradient) = differentiate(&distance(all_taps()).expect("a distance"), &a, &a)
            .expect("a gradient");
        prop_assert_eq!(loss, 0.0);
        prop_assert!(gradient.iter().all(|&v| v == 0.0), "{:?}", gradient);
    }

    #[test]
    fn gradients_are_slopes(
        a in prop::collection::vec(0.1f32..1.0, COUNT),
        b in prop::collection::vec(0.1f32..1.0, COUNT),
        at in 0..COUNT,
        scale in prop_oneof![Just(1e-9f32), Just(1e-3), Just(1.0), Just(1e6)],
    ) {
        let channels = [0.5f32, 3.0, 1.25];
        let net = distance(vec![TapDistance::lpips("pixels", channels.to_vec())])
            .expect("a distance");
        let times = |v: &[f32]| v.iter().map(|v| v * scale).collect::<Vec<f32>>();
        let (a, b) = (times(&a), times(&b));
        let (loss, gradient) = differentiate(&net, &a, &b).expect("a gradient");
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (a, b, channels) = (wide(&a), wide(&b), channels.map(f64::from));
        let wanted = lpips_by_hand(&a, &b, channels);
        prop_assert!((f64::from(loss) / wanted - 1.0).abs() < 1e-5, "{loss} is not {wanted}");
        let step = 1e-5 * f64::from(scale);
        let moved = |by: f64| {
            let mut a = a.clone();
            a[at] += by;
            lpips_by_hand(&a, &b, channels)
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let largest = gradient.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
        let error = (f64::from(gradient[at]) - slope).abs() / largest;
        prop_assert!(error < 1e-4, "{} is not {slope}", gradient[at]);
    }
}

#[test]
fn zero_and_tiny_features_have_lpips_value_and_a_finite_gradient() -> Result<(), LossError> {
    // At zero the published code's gradient is NaN. One channel of 1 against nothing: distance 1.
    let net = distance(vec![TapDistance::lpips("pixels", vec![1.0; 3])])?;
    let mut ones = vec![0f32; COUNT];
    ones[..12].fill(1.0);
    ones[36..48].fill(1.0);
    for tiny in [0.0, 1e-30] {
        let (loss, gradient) = differentiate(&net, &vec![tiny; COUNT], &ones)?;
        assert!((loss - 1.0).abs() < 1e-6, "{loss}");
        // d/df of (f/1e-10 - 1)² is -2e10, over 24 positions.
        let wanted = -2e10 / 24.0;
        for (i, value) in gradient.into_iter().enumerate() {
            let wanted = if ones[i] > 0.0 { wanted } else { 0.0 };
            assert!((value - wanted).abs() < 1e-5 * 2e10 / 24.0, "{value} is not {wanted}");
        }
    }
    Ok(())
}

#[test]
fn a_network_is_taken_as_it_is_or_behind_a_pointer() -> Result<(), LossError> {
    let (a, b) = (images(&[3.0; COUNT])?, images(&(0..72).map(|i| i as f32).collect::<Vec<_>>())?);
    let (net, taps) = (|| Pixels(WeightsOrigin::Memory("none".into())), all_taps);
    let boxed: Box<dyn Comparator> = Box::new(net());
    let own = PerceptualDistance::new(net(), taps())?;
    for other in [
        PerceptualDistance::new(boxed, taps())?,
        PerceptualDistance::new(std::sync::Arc::new(net()), taps())?,
    ] {
        assert_eq!(numbers(&other.per_sample(&a, &b)?)?, numbers(&own.per_sample(&a, &b)?)?);
        assert_eq!(other.net().origin().to_string(), "weights none, in memory");
    }
    Ok(())
}

/// Two batches of two images of 64 pixels.
fn patterns() -> Result<(Images, Images), LossError> {
    let of = |from: usize| -> Result<Images, LossError> {
        let bytes: Vec<u8> = (0..2 * 3 * 64 * 64).map(|i| ((i * from) % 251) as u8).collect();
        Ok(Images::from_u8(&bytes, 2, 64, 64, PixelFormat::CAFFE_BGR, &Device::Cpu)?)
    };
    Ok((of(7)?, of(13)?))
}

#[test]
fn one_tap_is_the_feature_term() -> Result<(), LossError> {
    let device = Device::Cpu;
    let net = ComparatorKind::alexnet().open(None, 0, &device)?;
    let (a, b) = patterns()?;
    let wanted = terms::feature(&net.features(&a, "CONV3")?, &net.features(&b, "CONV3")?)?;
    let net = PerceptualDistance::new(net, vec![TapDistance::deepsim("CONV3", 1.0)])?;
    let targets = net.targets(&b)?;
    let loss = term::from_fn("feature", 0.5, |x: &Images| net.loss(x, &targets));
    let evaluated = objective::evaluate(&[&loss], &term::Inputs::new(&a, &b))?;
    let term = evaluated.read()?[0];
    let (got, wanted) = (term.value, f64::from(wanted.to_scalar::<f32>()?));
    assert!((got / wanted - 1.0).abs() < 1e-6, "{got} is not {wanted}");
    assert!(term.grad_norm > 0.0);
    Ok(())
}

#[test]
fn a_feature_term_compares_another_part_in_each_step() -> Result<(), LossError> {
    let device = Device::Cpu;
    let net = ComparatorKind::alexnet().open(None, 0, &device)?;
    let (a, b) = patterns()?;
    let whole = net.features(&b, "CONV3")?;
    let places = terms::FeatureTerm {
        places: 3,
        ..terms::FeatureTerm::new(ComparatorKind::alexnet().open(None, 0, &device)?, "CONV3", 1.0)
    };
    // Steps 9 and 18 are at the first place, step 14 at the second row's third.
    for (step, top, left) in [(9, 0, 0), (18, 0, 0), (14, 1, 2), (17, 2, 2)] {
        let part = |images: &Images| {
            let part = images.tensor().narrow(2, top, 62)?.narrow(3, left, 62)?;
            net.features(&images.with_tensor(part)?, "CONV3")
        };
        let expected = terms::feature(&part(&a)?, &part(&b)?)?.to_scalar::<f32>()?;
        // Features of the whole target, which other terms may need, are not those of the part.
        let inputs =
            term::Inputs { step, target_features: Some(&whole), ..term::Inputs::new(&a, &b) };
        let found = places.evaluate(&inputs)?;
        assert_eq!(found.value.to_scalar::<f32>()?, expected, "step {step}");
        let term::Gradients::Images(gradient) = found.gradients else { panic!("at the images") };
        let outside = |dim, place: usize, least: usize| -> Result<f32, LossError> {
            let edge = if place == least { 63 } else { 0 };
            Ok(gradient.narrow(dim, edge, 1)?.abs()?.sum_all()?.to_scalar()?)
        };
        assert_eq!((outside(2, top, 0)?, outside(3, left, 0)?), (0.0, 0.0), "step {step}");
    }
    let small = images(&[3.0; COUNT])?;
    let many = terms::FeatureTerm { places: 4, ..places };
    let message =
        many.evaluate(&term::Inputs::new(&small, &small)).expect_err("3 rows").to_string();
    assert!(
        message.contains("images larger than the 4 places") && message.contains("4x3"),
        "{message}"
    );
    Ok(())
}

#[test]
fn maps_keep_the_distance() -> Result<(), LossError> {
    // Nearest with whole factors: the mean, or the sum, of the map is the distance.
    let (a, b) = (images(&[3.0; COUNT])?, images(&(0..72).map(|i| i as f32).collect::<Vec<_>>())?);
    for (tap, sum) in [("pixels", true), ("mean", true), ("pixels", false), ("mean", false)] {
        let reduction = if sum { Reduction::HalfSum } else { Reduction::Mean };
        let net = distance(vec![TapDistance::deepsim(tap, 2.0).reduction(reduction)])?;
        for upsampling in [Upsampling::Nearest, Upsampling::Bilinear] {
            let map = net.map(&a, &b, upsampling)?;
            assert_eq!(map.dims(), [2, 1, 3, 4]);
            let map = map.flatten_from(1)?;
            let whole = numbers(&if sum { map.sum(1)? } else { map.mean(1)? })?;
            for (got, wanted) in whole.iter().zip(numbers(&net.per_sample(&a, &b)?)?) {
                assert!((got / wanted - 1.0).abs() < 1e-6, "{tap}: {got} is not {wanted}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<(), LossError> {
    let wrong = |taps| distance(taps).expect_err("wrong taps").to_string();
    assert!(wrong(vec![]).contains("no taps"));
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let message = wrong(vec![TapDistance::deepsim("pixels", weight)]);
        assert!(message.contains("at tap pixels"), "{message}");
        let message = wrong(vec![TapDistance::lpips("mean", vec![0.0, weight as f32])]);
        assert!(message.contains("at tap mean"), "{message}");
    }
    let a = images(&[1.0; COUNT])?;
    let short = distance(vec![TapDistance::lpips("pixels", vec![1.0; 2])])?;
    let message = short.targets(&a).expect_err("2 weights for 3 channels").to_string();
    assert!(message.contains("expected 3 channel weights at tap pixels, found 2"), "{message}");
    let net = distance(all_taps())?;
    let small = Images::new(a.tensor().narrow(3, 0, 3)?, PixelFormat::RGB_U8)?;
    let message = net.per_sample(&small, &a).expect_err("another size").to_string();
    assert!(message.contains("2 images of 4x3") && message.contains("3x3 pixels"), "{message}");
    let alexnet = ComparatorKind::alexnet().open(None, 0, &Device::Cpu)?;
    let net = PerceptualDistance::new(alexnet, vec![TapDistance::deepsim("CONV9", 1.0)])?;
    let message = net.per_sample(&a, &a).expect_err("no such tap").to_string();
    assert!(message.contains("no tap `CONV9`"), "{message}");
    Ok(())
}
