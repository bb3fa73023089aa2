//! Conventions that differ between libraries: ties, zeros, borders, extremes, randomness.

use candle_core::{Device, Result, Tensor, Var};
use deepsim_ops::{
    AvgPool2dConfig, BatchNormStatistics, Conv2dConfig, Pool2dConfig, absolute_error, avg_pool2d,
    batch_norm2d, conv_transpose2d, conv2d, dropout, dropout_each, leaky_relu, max_pool2d, relu,
    relu6, softmax_cross_entropy, squared_error,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{backward, bits, flat, tensor, var};

fn pool(kernel: usize, stride: usize, padding: usize, ceil_mode: bool) -> Pool2dConfig {
    let both = |number| (number, number);
    Pool2dConfig { kernel: both(kernel), stride: both(stride), padding: both(padding), ceil_mode }
}

#[test]
fn rectifiers_at_zero_have_the_gradient_of_the_negative_side() -> Result<()> {
    let x = Var::new(&[-1f32, -0.0, 0.0, 1.0], &Device::Cpu)?;
    let dy = Tensor::full(2f32, 4, &Device::Cpu)?;
    let gradient = |y: Tensor| {
        Ok::<_, candle_core::Error>(flat(&backward(&y, &dy)?.get(&x).expect("a gradient").clone()))
    };
    assert_eq!(gradient(relu(&x)?)?, [0.0, 0.0, 0.0, 2.0]);
    assert_eq!(gradient(leaky_relu(&x, 0.25)?)?, [0.5, 0.5, 0.5, 2.0]);
    assert_eq!(gradient(relu6(&x)?)?, [0.0, 0.0, 0.0, 2.0]);
    let x = Var::new(&[5.5f32, 6.0, 7.0, f32::INFINITY], &Device::Cpu)?;
    let y = relu6(&x)?;
    assert_eq!(flat(&y), [5.5, 6.0, 6.0, 6.0]);
    assert_eq!(flat(backward(&y, &dy)?.get(&x).expect("a gradient")), [2.0, 0.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn a_fused_leaky_relu_is_the_separate_one() -> Result<()> {
    for slope in [0.0, 0.3] {
        for (op, w) in [
            (conv2d as fn(&Tensor, &Tensor, Option<&Tensor>, Conv2dConfig) -> _, [4, 3, 3, 3]),
            (conv_transpose2d, [3, 4, 3, 3]),
        ] {
            let vars = [var(&[2, 3, 8, 18], 1), var(&w, 2), var(&[4], 3)];
            let [x, w, bias] = vars.each_ref().map(|var| var.as_tensor());
            let config = Conv2dConfig::new(1, 1);
            let fused = op(x, w, Some(bias), config.with_leaky(slope))?;
            let separate = leaky_relu(&op(x, w, Some(bias), config)?, f64::from(slope))?;
            assert_eq!(bits(&fused), bits(&separate));
            let dy = tensor(fused.dims(), 4);
            let (fused, separate) = (backward(&fused, &dy)?, backward(&separate, &dy)?);
            for var in &vars {
                assert_eq!(fused.get(var).map(bits), separate.get(var).map(bits));
            }
        }
    }
    Ok(())
}

#[test]
fn of_equal_values_the_first_in_a_window_gets_the_gradient() -> Result<()> {
    let x = Var::from_tensor(&Tensor::zeros((1, 1, 4, 5), candle_core::DType::F32, &Device::Cpu)?)?;
    let y = max_pool2d(&x, pool(3, 1, 0, false))?;
    let dy = Tensor::from_vec(vec![1f32, 2.0, 4.0, 8.0, 16.0, 32.0], (1, 1, 2, 3), &Device::Cpu)?;
    let gradients = backward(&y, &dy)?;
    let dx = flat(gradients.get(&x).expect("a gradient"));
    assert_eq!(dx[..5], [1.0, 2.0, 4.0, 0.0, 0.0]);
    assert_eq!(dx[5..10], [8.0, 16.0, 32.0, 0.0, 0.0]);
    assert!(dx[10..].iter().all(|&value| value == 0.0));
    Ok(())
}

#[test]
fn overlapping_windows_add_their_gradients() -> Result<()> {
    let x = Var::new(&[[[[0f32, 1.0, 9.0, 1.0, 0.0]]]], &Device::Cpu)?;
    let config = Pool2dConfig { kernel: (1, 3), stride: (1, 1), padding: (0, 0), ceil_mode: false };
    let y = max_pool2d(&x, config)?;
    assert_eq!(flat(&y), [9.0, 9.0, 9.0]);
    let dy = Tensor::new(&[[[[1f32, 2.0, 4.0]]]], &Device::Cpu)?;
    assert_eq!(flat(backward(&y, &dy)?.get(&x).expect("a gradient")), [0.0, 0.0, 7.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn padding_is_never_the_maximum_and_nan_always_is() -> Result<()> {
    let x = Tensor::full(-3f32, (1, 1, 4, 4), &Device::Cpu)?.contiguous()?;
    assert!(flat(&max_pool2d(&x, pool(3, 2, 1, true))?).iter().all(|&y| y == -3.0));
    let mut values = vec![1f32; 9];
    values[4] = f32::NAN;
    let x = Tensor::from_vec(values, (1, 1, 3, 3), &Device::Cpu)?;
    assert!(flat(&max_pool2d(&x, pool(2, 1, 0, false))?).iter().all(|y| y.is_nan()));
    Ok(())
}

#[test]
fn pools_count_their_windows_as_caffe_does() -> Result<()> {
    for (size, kernel, stride, padding, ceil, wanted) in [
        (14, 3, 2, 0, true, 7), // AlexNet at 64 x 64
        (7, 3, 2, 0, true, 3),
        (55, 3, 2, 0, true, 27), // AlexNet at 227 x 227
        (14, 3, 2, 0, false, 6),
        (8, 3, 2, 0, true, 4),
        (112, 3, 2, 0, true, 56),
        (5, 2, 2, 1, false, 3),
        (5, 2, 2, 1, true, 3), // a fourth window would start beyond the image
        (6, 2, 2, 1, true, 4),
        (6, 2, 2, 1, false, 4),
        (7, 2, 2, 1, true, 4),
        (4, 1, 4, 0, true, 1),
    ] {
        let x = tensor(&[1, 1, size, size], 1);
        let y = max_pool2d(&x, pool(kernel, stride, padding, ceil))?;
        let what = format!("size {size}, kernel {kernel}, stride {stride}, padding {padding}");
        assert_eq!(y.dims(), [1, 1, wanted, wanted], "{what}, ceil {ceil}");
        assert!(flat(&y).iter().all(|y| y.is_finite()), "{what}, ceil {ceil}");
    }
    Ok(())
}

#[test]
fn the_mean_of_a_window_counts_padding_or_not() -> Result<()> {
    let x = Tensor::ones((1, 1, 5, 5), candle_core::DType::F32, &Device::Cpu)?;
    let windows = pool(3, 2, 1, true);
    let corner =
        |config: AvgPool2dConfig| Ok::<_, candle_core::Error>(flat(&avg_pool2d(&x, config)?));
    let padded = corner(windows.into())?;
    assert_eq!((padded.len(), padded[4]), (9, 1.0));
    assert!((padded[0] - 4.0 / 9.0).abs() < 1e-6, "{padded:?}");
    let without = corner(AvgPool2dConfig { windows, count_include_pad: false })?;
    assert!(without.iter().all(|y| (y - 1.0).abs() < 1e-6), "{without:?}");
    Ok(())
}

#[test]
fn batch_normalisation_is_exact_far_from_zero() -> Result<()> {
    // A deviation of 1 around 4096, with steps of 1/2048 between neighbouring numbers.
    let values: Vec<f32> = (0..6000).map(|i| if i % 2 == 0 { 4095.0 } else { 4097.0 }).collect();
    let x = Tensor::from_vec(values, (2, 1, 60, 50), &Device::Cpu)?;
    let y = flat(&batch_norm2d(&x, None, BatchNormStatistics::Batch, 0.0)?);
    assert!(y.iter().enumerate().all(|(i, &y)| y == if i % 2 == 0 { -1.0 } else { 1.0 }));
    Ok(())
}

#[test]
fn cross_entropy_of_extreme_logits_is_finite_and_exact() -> Result<()> {
    let logits = Var::new(&[[1e30f32, -1e30, 0.0], [3e4, 3e4, -3e38]], &Device::Cpu)?;
    let loss = softmax_cross_entropy(&logits, &[0, 1])?;
    assert!((loss.to_scalar::<f32>()? - 0.5 * 2f32.ln()).abs() < 1e-6);
    let gradients = loss.backward()?;
    let gradient = flat(gradients.get(&logits).expect("a gradient"));
    assert_eq!(gradient, [0.0, 0.0, 0.0, 0.25, -0.25, 0.0]);

    // A confident, right answer: p - 1 is tiny, and still exact.
    let logits = Var::new(&[[20f32, 0.0]], &Device::Cpu)?;
    let gradients = softmax_cross_entropy(&logits, &[0])?.backward()?;
    let gradient = flat(gradients.get(&logits).expect("a gradient"));
    let wanted = 1.0 / (1.0 + 20f64.exp());
    for (got, wanted) in gradient.iter().zip([-wanted, wanted]) {
        assert!((f64::from(*got) / wanted - 1.0).abs() < 1e-6, "{got} instead of {wanted}");
    }
    Ok(())
}

#[test]
fn non_finite_values_are_passed_on() -> Result<()> {
    // The check of the loss must see them.
    let bad = Tensor::new(&[[1f32, f32::NAN]], &Device::Cpu)?;
    let good = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
    assert!(softmax_cross_entropy(&bad, &[0])?.to_scalar::<f32>()?.is_nan());
    assert!(squared_error(&bad, &good)?.to_scalar::<f32>()?.is_nan());
    assert!(absolute_error(&good, &bad)?.to_scalar::<f32>()?.is_nan());
    assert!(flat(&relu(&bad)?)[1].is_nan());
    assert!(flat(&relu6(&bad)?)[1].is_nan());
    assert!(flat(&leaky_relu(&bad, 0.3)?)[1].is_nan());
    Ok(())
}

#[test]
fn distances_are_summed_in_double_precision() -> Result<()> {
    const N: usize = 1 << 20;
    let (a, b) = (Tensor::full(0.1f32, N, &Device::Cpu)?, Tensor::full(0f32, N, &Device::Cpu)?);
    let difference = f64::from(0.1f32);
    let sum = f64::from(absolute_error(&a, &b)?.to_scalar::<f32>()?);
    assert!((sum / (difference * N as f64) - 1.0).abs() < 1e-7, "{sum}");
    let sum = f64::from(squared_error(&a, &b)?.to_scalar::<f32>()?);
    assert!((sum / (difference.powi(2) * N as f64) - 1.0).abs() < 1e-7, "{sum}");
    Ok(())
}

#[test]
fn the_absolute_error_of_equal_values_has_no_gradient() -> Result<()> {
    let a = Var::new(&[1f32, 2.0, 3.0], &Device::Cpu)?;
    let b = Var::new(&[1f32, 5.0, 0.0], &Device::Cpu)?;
    let gradients = absolute_error(&a, &b)?.backward()?;
    assert_eq!(flat(gradients.get(&a).expect("a gradient")), [0.0, -1.0, 1.0]);
    assert_eq!(flat(gradients.get(&b).expect("a gradient")), [0.0, 1.0, -1.0]);
    Ok(())
}

#[test]
fn dropout_of_a_sample_does_not_depend_on_the_others() -> Result<()> {
    let streams = |seeds: [u64; 4]| seeds.map(ChaCha12Rng::seed_from_u64);
    let x = tensor(&[4, 50], 1);
    let all = dropout_each(&x, 0.5, &mut streams([1, 2, 3, 4]))?;
    let half =
        dropout_each(&x.narrow(0, 2, 2)?.contiguous()?, 0.5, &mut streams([3, 4, 0, 0])[..2])?;
    assert_eq!(bits(&all)[100..], bits(&half));
    assert_ne!(bits(&all)[..50], bits(&dropout_each(&x, 0.5, &mut streams([5, 2, 3, 4]))?)[..50]);
    let message = dropout_each(&x, 0.5, &mut streams([1, 2, 3, 4])[..3]).expect_err("3 for 4");
    let wanted = "expected equal parts for 3 random streams, found 4 samples";
    assert!(message.to_string().contains(wanted), "{message}");
    Ok(())
}

#[test]
fn dropout_keeps_its_share_and_scales_it() -> Result<()> {
    const N: usize = 100_000;
    let stream = || ChaCha12Rng::seed_from_u64(7);
    for p in [0.1, 0.5, 0.9] {
        let x = var(&[N], 1);
        let y = dropout(&x, p, &mut stream())?;
        assert_eq!(bits(&y), bits(&dropout(&x, p, &mut stream())?), "the stream decides");
        let dy = tensor(&[N], 2);
        let gradients = backward(&y, &dy)?;
        let dx = flat(gradients.get(&x).expect("a gradient"));
        let (x, y, dy, scale) = (flat(&x), flat(&y), flat(&dy), (1.0 / (1.0 - p)) as f32);
        let mut kept = 0f64;
        for i in 0..N {
            let factor = if y[i] == 0.0 { 0.0 } else { scale };
            assert_eq!((y[i], dx[i]), (x[i] * factor, dy[i] * factor), "p {p}, value {i}");
            kept += f64::from(u8::from(factor != 0.0));
        }
        let deviation = (N as f64 * p * (1.0 - p)).sqrt();
        assert!((kept - N as f64 * (1.0 - p)).abs() < 5.0 * deviation, "p {p}: {kept} kept");
    }
    let (x, mut used) = (tensor(&[10], 1), stream());
    assert_eq!(bits(&dropout(&x, 0.0, &mut used)?), bits(&x));
    let next = dropout(&x, 0.5, &mut used)?;
    assert_eq!(bits(&next), bits(&dropout(&x, 0.5, &mut stream())?), "nothing was drawn for p = 0");
    Ok(())
}

#[test]
fn a_stride_far_beyond_the_image_takes_no_time() -> Result<()> {
    let config = Conv2dConfig { stride: (65535, 65535), ..Conv2dConfig::default() };
    let x = var(&[1, 2, 5, 4], 1);
    let w = var(&[3, 2, 2, 2], 2);
    let y = conv2d(&x, &w, None, config)?;
    assert_eq!(y.dims(), [1, 3, 1, 1]);
    let gradients = y.sum_all()?.backward()?;
    let dx = flat(gradients.get(&x).expect("a gradient"));
    // Pixels that no window reaches have no gradient.
    assert!(dx[0] != 0.0 && dx[1] != 0.0 && dx[2..4] == [0.0; 2] && dx[8..20] == [0.0; 12]);
    assert_eq!(conv_transpose2d(&y, &w, None, config)?.dims(), [1, 2, 2, 2]);
    Ok(())
}
