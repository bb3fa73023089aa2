//! Each layer against candle-nn's with the same weights: values, and gradients where candle's are right.

use candle_core::{DType, Device, Module, ModuleT, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use deepsim_ops::nn::{self, Conv2dConfig, ConvTranspose2dConfig, named_vars};

use crate::support::{assert_near, backward, bits, flat, tensor, var};

const TOLERANCE: f64 = 2e-6;

/// A builder over variables that all layers of a test share.
fn builder(vars: &VarMap) -> VarBuilder<'static> {
    VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu)
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    flat(tensor).into_iter().map(f64::from).collect()
}

/// Compares results and the gradients of the input and of all variables.
fn assert_same(
    what: &str,
    vars: &VarMap,
    ours: impl Module,
    candles: impl Module,
    x: &[usize],
) -> Result<()> {
    let x = var(x, 1);
    let (got, wanted) = (ours.forward(&x)?, candles.forward(&x)?);
    assert_eq!(got.dims(), wanted.dims(), "{what}");
    assert_near(what, &flat(&got), &wide(&wanted), TOLERANCE);
    let dy = tensor(got.dims(), 2);
    let (got, wanted) = (backward(&got, &dy)?, backward(&wanted, &dy)?);
    let mut inputs = named_vars(vars);
    inputs.push(("x".to_owned(), x));
    for (name, var) in inputs {
        let (got, wanted) = (got.get(&var).expect(&name), wanted.get(&var).expect(&name));
        assert_near(&format!("{what}: gradient of {name}"), &flat(got), &wide(wanted), TOLERANCE);
    }
    Ok(())
}

#[test]
fn convolutions_are_candles() -> Result<()> {
    let config =
        |padding, stride, groups| Conv2dConfig { padding, stride, groups, ..Default::default() };
    let dilated = Conv2dConfig { dilation: 2, ..config(2, 1, 2) };
    let plain = [(config(1, 1, 1), 3), (config(2, 2, 1), 5), (config(0, 1, 2), 1)];
    for (config, kernel) in plain.into_iter().chain([(dilated, 3)]) {
        let what = format!("{config:?}");
        let vars = VarMap::new();
        let ours = nn::conv2d(4, 6, kernel, config, builder(&vars))?;
        let candles = candle_nn::conv2d(4, 6, kernel, config, builder(&vars))?;
        assert_same(&what, &vars, ours, candles, &[2, 4, 9, 9])?;
        let vars = VarMap::new();
        let ours = nn::conv2d_no_bias(4, 6, kernel, config, builder(&vars))?;
        let candles = candle_nn::conv2d_no_bias(4, 6, kernel, config, builder(&vars))?;
        assert_same(&what, &vars, ours, candles.clone(), &[2, 4, 9, 9])?;
        assert_same(&what, &vars, nn::Conv2d::try_from(candles.clone())?, candles, &[2, 4, 9, 9])?;
    }
    Ok(())
}

/// Options that candle's configuration does not have.
#[test]
fn layers_take_the_operations_configuration() -> Result<()> {
    let mut config = deepsim_ops::Conv2dConfig::default().with_groups(2);
    (config.stride, config.padding) = ((1, 2), (1, 0));
    let (x, weight) = (tensor(&[1, 4, 5, 5], 1), tensor(&[4, 2, 3, 3], 2));
    let leaky = config.with_leaky(0.2);
    let layer = nn::Conv2d::new(weight.clone(), None, config).with_leaky(0.2);
    assert_eq!(layer.config(), &leaky);
    let wanted = deepsim_ops::conv2d(&x, &weight, None, leaky)?;
    assert_eq!(bits(&layer.forward(&x)?), bits(&wanted));
    let layer = nn::ConvTranspose2d::new(weight.clone(), None, config).with_leaky(0.2);
    let wanted = deepsim_ops::conv_transpose2d(&x, &weight, None, leaky)?;
    assert_eq!(bits(&layer.forward(&x)?), bits(&wanted));
    Ok(())
}

#[test]
fn transposed_convolutions_are_candles() -> Result<()> {
    for (padding, stride, output_padding, dilation) in [(0, 1, 0, 1), (1, 2, 0, 1), (1, 2, 1, 2)] {
        let config = ConvTranspose2dConfig { padding, stride, output_padding, dilation };
        let what = format!("{config:?}");
        let vars = VarMap::new();
        let ours = nn::conv_transpose2d(4, 6, 4, config, builder(&vars))?;
        let candles = candle_nn::conv_transpose2d(4, 6, 4, config, builder(&vars))?;
        assert_same(&what, &vars, ours, candles, &[2, 4, 5, 5])?;
        let vars = VarMap::new();
        let ours = nn::conv_transpose2d_no_bias(4, 6, 4, config, builder(&vars))?;
        let candles = candle_nn::conv_transpose2d_no_bias(4, 6, 4, config, builder(&vars))?;
        assert_same(&what, &vars, ours, candles.clone(), &[2, 4, 5, 5])?;
        let converted = nn::ConvTranspose2d::try_from(candles.clone())?;
        assert_same(&what, &vars, converted, candles, &[2, 4, 5, 5])?;
    }
    Ok(())
}

#[test]
fn fully_connected_layers_are_candles() -> Result<()> {
    for x in [&[3, 5][..], &[2, 3, 5], &[2, 1, 3, 5]] {
        for bias in [false, true] {
            let (what, vars) = (format!("{x:?}, bias {bias}"), VarMap::new());
            let ours = nn::linear_b(5, 4, bias, builder(&vars))?;
            let candles = candle_nn::linear_b(5, 4, bias, builder(&vars))?;
            assert_same(&what, &vars, ours, candles.clone(), x)?;
            assert_same(&what, &vars, nn::Linear::try_from(candles.clone())?, candles, x)?;
        }
    }
    // candle has no product of a vector alone, though its documentation says so.
    let layer = nn::Linear::new(tensor(&[4, 5], 1), None);
    let x = tensor(&[5], 2);
    assert_eq!(bits(&layer.forward(&x)?), bits(&layer.forward(&x.unsqueeze(0)?)?));
    Ok(())
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "candle's values are right; its gradient is not compared"
)]
fn max_pooling_has_candles_values_and_the_true_gradient() -> Result<()> {
    let x = var(&[2, 3, 8, 6], 1);
    let (y, dy) = (nn::max_pool2d(2).forward(&x)?, tensor(&[2, 3, 4, 3], 2));
    assert_eq!(bits(&y), bits(&x.max_pool2d(2)?));
    let alone = deepsim_ops::max_pool2d(&x, deepsim_ops::Pool2dConfig::new(2, 2))?;
    let (gradients, wanted) = (backward(&y, &dy)?, backward(&alone, &dy)?);
    let gradient = gradients.get(&x).expect("a gradient");
    assert_eq!(bits(gradient), bits(wanted.get(&x).expect("a gradient")));
    // The whole gradient arrives.
    let sum = |tensor: &Tensor| flat(tensor).into_iter().map(f64::from).sum::<f64>();
    assert!((sum(gradient) - sum(&dy)).abs() < 1e-5);
    Ok(())
}

#[test]
fn normalisation_and_rectifiers_are_the_operations() -> Result<()> {
    let x = tensor(&[2, 7, 3, 3], 1);
    let config = deepsim_ops::LrnConfig { size: 3, alpha: 0.5, beta: 0.75, k: 2.0 };
    let y = nn::LocalResponseNorm::new(config).forward(&x)?;
    assert_eq!(bits(&y), bits(&deepsim_ops::local_response_norm(&x, config)?));
    assert_eq!(flat(&nn::relu().forward(&x)?), flat(&x.relu()?));
    assert_near(
        "leaky",
        &flat(&nn::leaky_relu(0.2).forward(&x)?),
        &wide(&candle_nn::ops::leaky_relu(&x, 0.2)?),
        1e-7,
    );
    Ok(())
}

#[test]
fn batch_normalisation_is_candles() -> Result<()> {
    for (dims, affine) in [(&[3, 4, 5, 2][..], true), (&[6, 4], true), (&[2, 4, 7], false)] {
        let config = nn::BatchNormConfig { affine, momentum: 0.3, ..Default::default() };
        let (mut own, theirs) = (VarMap::new(), VarMap::new());
        let ours = nn::batch_norm(4, config, builder(&own))?;
        let candles = candle_nn::batch_norm(4, config, builder(&theirs))?;
        let names: Vec<String> = named_vars(&own).into_iter().map(|(name, _)| name).collect();
        let wanted = named_vars(&theirs).into_iter().map(|(name, _)| name);
        assert_eq!(names, wanted.collect::<Vec<_>>());
        assert_eq!(ours.weight_and_bias().is_some(), affine);
        if affine {
            own.set_one("weight", tensor(&[4], 5))?;
            own.set_one("bias", tensor(&[4], 6))?;
            named_vars(&theirs)
                .into_iter()
                .zip(named_vars(&own))
                .try_for_each(|(a, b)| a.1.set(&b.1))?;
        }
        let x = var(dims, 1);
        // Twice in training, then by the statistics that this left.
        for train in [true, true, false] {
            let what = format!("{dims:?}, training {train}");
            let (got, wanted) = (ours.forward_t(&x, train)?, candles.forward_t(&x, train)?);
            assert_near(&what, &flat(&got), &wide(&wanted), 1e-5);
            let dy = tensor(dims, 2);
            let (got, wanted) = (backward(&got, &dy)?, backward(&wanted, &dy)?);
            let gradient = |store: &candle_core::backprop::GradStore, x: &Var| {
                store.get(x).expect("a gradient").clone()
            };
            assert_near(&what, &flat(&gradient(&got, &x)), &wide(&gradient(&wanted, &x)), 1e-5);
            for ((name, a), (_, b)) in named_vars(&own).into_iter().zip(named_vars(&theirs)) {
                assert_near(&name, &flat(&a), &wide(&b), 1e-6);
                if name == "weight" || name == "bias" {
                    let (a, b) = (gradient(&got, &a), gradient(&wanted, &b));
                    assert_near(&name, &flat(&a), &wide(&b), 1e-5);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn average_pooling_and_upsampling_are_candles() -> Result<()> {
    let x = var(&[2, 3, 8, 6], 1);
    let same = |what: &str, ours: Tensor, candles: Tensor| -> Result<()> {
        assert_near(what, &flat(&ours), &wide(&candles), 1e-6);
        let dy = tensor(ours.dims(), 2);
        let (got, wanted) = (backward(&ours, &dy)?, backward(&candles, &dy)?);
        let (got, wanted) = (got.get(&x).expect("one"), wanted.get(&x).expect("one"));
        assert_near(what, &flat(got), &wide(wanted), 1e-6);
        Ok(())
    };
    same("average", nn::avg_pool2d(2).forward(&x)?, x.avg_pool2d(2)?)?;
    let nearest = nn::Upsample::by(2, deepsim_ops::Upsampling::Nearest);
    same("nearest", nearest.forward(&x)?, x.upsample_nearest2d(16, 12)?)?;
    // candle has no gradient of the other interpolations.
    for (how, aligned) in [
        (deepsim_ops::Upsampling::Bilinear, false),
        (deepsim_ops::Upsampling::BilinearAligned, true),
    ] {
        let ours = nn::Upsample::to((11, 9), how).forward(&x)?;
        let candles = x.upsample_bilinear2d(11, 9, aligned)?;
        assert_near("bilinear", &flat(&ours), &wide(&candles), 1e-6);
    }
    let (ours, wanted) = (nn::relu6().forward(&x)?, deepsim_ops::relu6(&x)?);
    assert_eq!(bits(&ours), bits(&wanted));
    let windows = deepsim_ops::Pool2dConfig::new(3, 2).ceil();
    let ours = nn::AvgPool2d::new(windows).forward(&x)?;
    assert_eq!(bits(&ours), bits(&deepsim_ops::avg_pool2d(&x, windows)?));
    Ok(())
}

#[test]
fn dropout_is_active_in_training_only() -> Result<()> {
    let x = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
    let layer = nn::Dropout::new(0.25, 3)?;
    assert_eq!(bits(&layer.forward_t(&x, false)?), bits(&x));
    assert_eq!(layer.position()?, 0);
    let first = flat(&layer.forward_t(&x, true)?);
    let kept = first.iter().filter(|&&value| value != 0.0).count();
    assert!((650..850).contains(&kept), "{kept}");
    assert_eq!(layer.position()?, 1000);
    assert_ne!(flat(&layer.forward_t(&x, true)?), first);
    layer.set_position(0)?;
    assert_eq!(flat(&layer.forward_t(&x, true)?), first);
    Ok(())
}

#[test]
fn a_step_is_a_module() -> Result<()> {
    let x = Var::from_tensor(&tensor(&[1, 2, 6, 6], 1))?;
    let step = deepsim_ops::Step::GlobalAvgPool2d;
    assert_eq!(bits(&x.apply(&step)?), bits(&deepsim_ops::global_avg_pool2d(&x)?));
    Ok(())
}
