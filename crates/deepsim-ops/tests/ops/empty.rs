//! Batches of no images: results without values, and gradients of 0.

use candle_core::{DType, Device, Result, Tensor, Var};
use deepsim_ops::{
    BatchNormStatistics, Conv2dConfig, LrnConfig, Pool2dConfig, Step, Upsampling, absolute_error,
    avg_pool2d, batch_norm2d, conv_transpose2d, conv2d, dropout, global_avg_pool2d, leaky_relu,
    linear, local_response_norm, max_pool2d, relu, relu6, sequence, squared_error, upsample,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{backward, flat, tensor, var};

#[test]
fn a_batch_of_no_images_has_a_result_and_gradients_of_zero() -> Result<()> {
    let x = Var::zeros((0, 4, 6, 5), DType::F32, &Device::Cpu)?;
    let (w, up, b) = (var(&[8, 4, 3, 3], 1), var(&[4, 8, 3, 3], 2), var(&[8], 3));
    let (weight, bias) = (var(&[4], 4), var(&[4], 5));
    let matrix = var(&[8, 5], 6);
    let config = Conv2dConfig::new(2, 1).with_leaky(0.1);
    let affine = Some((weight.as_tensor(), bias.as_tensor()));
    let (mean, variance) = (var(&[4], 7), Var::from_tensor(&var(&[4], 8).sqr()?)?);
    let before = (flat(&mean), flat(&variance));
    let update = BatchNormStatistics::Update { mean: &mean, variance: &variance, momentum: 0.5 };
    let fixed = BatchNormStatistics::Fixed { mean: &mean, variance: &variance };
    let steps = [
        Step::Conv2d { weight: w.as_tensor().clone(), bias: None, config },
        Step::MaxPool2d(Pool2dConfig::new(2, 1)),
        Step::GlobalAvgPool2d,
    ];
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let of_conv = vec![&x, &w, &b];
    let of_norm = || vec![&x, &weight, &bias];
    let cases: Vec<(Result<Tensor>, &[usize], Vec<&Var>)> = vec![
        (conv2d(&x, &w, Some(&b), config), &[0, 8, 3, 3], of_conv),
        (conv_transpose2d(&x, &up, Some(&b), config), &[0, 8, 11, 9], vec![&x, &up, &b]),
        (linear(&x, &matrix, Some(&b)), &[0, 4, 6, 8], vec![&x, &matrix, &b]),
        (max_pool2d(&x, Pool2dConfig::new(2, 2)), &[0, 4, 3, 2], vec![&x]),
        (avg_pool2d(&x, Pool2dConfig::new(2, 2)), &[0, 4, 3, 2], vec![&x]),
        (global_avg_pool2d(&x), &[0, 4], vec![&x]),
        (local_response_norm(&x, LrnConfig::default()), &[0, 4, 6, 5], vec![&x]),
        (batch_norm2d(&x, affine, update, 1e-5), &[0, 4, 6, 5], of_norm()),
        (batch_norm2d(&x, affine, fixed, 1e-5), &[0, 4, 6, 5], of_norm()),
        (upsample(&x, (7, 9), Upsampling::Bilinear), &[0, 4, 7, 9], vec![&x]),
        (relu(&x), &[0, 4, 6, 5], vec![&x]),
        (relu6(&x), &[0, 4, 6, 5], vec![&x]),
        (leaky_relu(&x, 0.1), &[0, 4, 6, 5], vec![&x]),
        (dropout(&x, 0.5, &mut rng), &[0, 4, 6, 5], vec![&x]),
        (sequence(&x, &steps), &[0, 8], vec![&x, &w]),
        (sequence(&x, &[]), &[0, 4, 6, 5], vec![&x]),
        (squared_error(&x, &x.zeros_like()?), &[], vec![&x]),
        (absolute_error(&x, &x.zeros_like()?), &[], vec![&x]),
    ];
    for (i, (y, dims, inputs)) in cases.into_iter().enumerate() {
        let y = y?;
        assert_eq!(y.dims(), dims, "case {i}");
        let gradients = backward(&y, &tensor(dims, 9))?;
        for input in inputs {
            let gradient = gradients.get(input).unwrap_or_else(|| panic!("case {i}: a gradient"));
            assert_eq!(gradient.dims(), input.dims(), "case {i}");
            assert!(flat(gradient).iter().all(|&value| value == 0.0), "case {i}");
        }
    }
    assert_eq!((flat(&mean), flat(&variance)), before, "running statistics stay");
    Ok(())
}
