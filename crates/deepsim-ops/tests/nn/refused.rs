//! Bad inputs end in errors that say what was expected.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use deepsim_ops::nn::{self, Conv2dConfig, ConvTranspose2dConfig};

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
    let dilated = Conv2dConfig { dilation: 2, ..Default::default() };
    refused(
        nn::conv2d(2, 2, 3, dilated, builder(DType::F32)),
        "conv2d: expected dilation 1, found 2",
    );
    let layer = candle_nn::conv2d(2, 2, 3, dilated, builder(DType::F32))?;
    assert_eq!(nn::Conv2d::try_from(layer).unwrap_err().option(), "dilation");

    let default = ConvTranspose2dConfig::default();
    for (config, option) in [
        (ConvTranspose2dConfig { output_padding: 1, stride: 2, ..default }, "output_padding"),
        (ConvTranspose2dConfig { dilation: 3, ..default }, "dilation"),
    ] {
        let refusal = nn::conv_transpose2d(2, 2, 3, config, builder(DType::F32));
        refused(refusal, &format!("conv_transpose2d: expected {option}"));
        let layer = candle_nn::conv_transpose2d_no_bias(2, 2, 3, config, builder(DType::F32))?;
        assert_eq!(nn::ConvTranspose2d::try_from(layer).unwrap_err().option(), option);
    }
    let half = candle_nn::Linear::new(Tensor::zeros((2, 2), DType::F16, &Device::Cpu)?, None);
    let error = nn::Linear::try_from(half).unwrap_err();
    assert_eq!(error.to_string(), "linear: expected weights of type f32, found f16");
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
    refused(tensor(&[2, 4], 1).apply(&layer), "linear: weight [2, 3] wants 3 inputs");
    refused(tensor(&[], 1).apply(&layer), "linear: expected an input (.., I) and a weight (O, I), found [] and [2, 3]");
    for p in [1.0, -0.1, f64::NAN] {
        refused(nn::Dropout::new(p, 1), "dropout: expected a probability");
    }
}
