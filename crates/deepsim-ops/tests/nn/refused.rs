//! Bad inputs end in errors that say what was expected.

use candle_core::{DType, Device, ModuleT, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use deepsim_ops::Upsampling;
use deepsim_ops::nn::{self, Conv2dConfig};

use crate::support::tensor;

fn builder(dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_varmap(&VarMap::new(), dtype, &Device::Cpu)
}

/// Fails unless the error contains a text.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, wanted: &str) {
    let Err(error) = result else { panic!("expected an error: {wanted}") };
    let error = error.to_string();
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn options_that_the_operations_lack() -> Result<()> {
    let half = candle_nn::Linear::new(Tensor::zeros((2, 2), DType::F16, &Device::Cpu)?, None);
    let error = nn::Linear::try_from(half).unwrap_err();
    assert_eq!(error.to_string(), "linear: expected weights of type f32, found f16");
    let half = candle_nn::conv2d(2, 2, 3, Conv2dConfig::default(), builder(DType::F16))?;
    let error = nn::Conv2d::try_from(half).unwrap_err();
    assert_eq!(error.to_string(), "conv2d: expected weights of type f32, found f16");
    assert_eq!(error.option(), "weights of type");
    let config = nn::BatchNormConfig { remove_mean: false, ..Default::default() };
    let wanted = "batch_norm: expected remove_mean true, found false";
    refused(nn::batch_norm(3, config, builder(DType::F32)), wanted);
    Ok(())
}

#[test]
fn layers_that_do_not_fit() {
    for groups in [0, 3] {
        let config = Conv2dConfig { groups, ..Default::default() };
        let wanted = format!("expected groups that divide 4 and 6 channels, found {groups}");
        refused(nn::conv2d(4, 6, 3, config, builder(DType::F32)), &wanted);
    }
    let layer = nn::Linear::new(tensor(&[2, 3], 1), None);
    refused(tensor(&[2, 4], 1).apply(&layer), "linear: weight [2, 3] expects 3 inputs");
    refused(
        tensor(&[], 1).apply(&layer),
        "linear: expected an input (.., I) and a weight (O, I), found [] and [2, 3]",
    );
    for (eps, momentum) in [(-1.0, 0.1), (f64::NAN, 0.1), (1e-5, 1.5)] {
        let config = nn::BatchNormConfig { eps, momentum, ..Default::default() };
        let wanted =
            format!("expected eps >= 0 and 0 <= momentum <= 1, found {eps} and {momentum}");
        refused(nn::batch_norm(3, config, builder(DType::F32)), &wanted);
    }
    let norm = nn::batch_norm(3, 1e-5, builder(DType::F32)).expect("a layer");
    let wanted = "batch_norm: expected an input (N, C, ..), found [3]";
    refused(norm.forward_t(&tensor(&[3], 1), true), wanted);
    refused(norm.forward_t(&tensor(&[2, 4, 5], 1), true), "expected a shape [4], found [3]");
    let twice = nn::Upsample::by(2, Upsampling::Nearest);
    refused(tensor(&[2, 4], 1).apply(&twice), "expected an input (N, C, H, W), found [2, 4]");
    refused(
        tensor(&[1, 1, 2, 2], 1).apply(&nn::Upsample::by(usize::MAX, Upsampling::Nearest)),
        "at most 2147483647 values",
    );
    for p in [1.0, -0.1, f64::NAN] {
        refused(nn::Dropout::new(p, 1), "dropout: expected a probability");
    }
}
