//! Operations that are composed of others on a GPU.

use candle_core::{DType, Tensor};
use deepsim_ops::{
    AvgPool2dConfig, BatchNormStatistics, Pool2dConfig, Upsampling, avg_pool2d, batch_norm2d,
    max_pool2d, mean_absolute_error, mean_squared_error, relu6, upsample,
};

use super::{compare, gpu};

#[test]
fn composed_operations() {
    let Some(gpu) = gpu() else { return };
    let windows = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new(3, 2) }.ceil();
    for count_include_pad in [true, false] {
        let config = AvgPool2dConfig { windows, count_include_pad };
        let what = format!("{config:?}");
        compare(&what, &gpu, &[&[2, 3, 9, 8]], 1e-5, &|t| avg_pool2d(&t[0], config));
    }
    for how in [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::BilinearAligned] {
        let what = format!("{how:?}");
        compare(&what, &gpu, &[&[2, 3, 5, 7]], 1e-5, &|t| upsample(&t[0], (13, 4), how));
    }
    compare("relu6", &gpu, &[&[3, 50]], 1e-6, &|t| relu6(&(&t[0] * 9.0)?));
    let shapes: &[&[usize]] = &[&[3, 4, 5, 2], &[4], &[4]];
    compare("batch_norm2d", &gpu, shapes, 1e-4, &|t| {
        batch_norm2d(&t[0], Some((&t[1], &t[2])), BatchNormStatistics::Batch, 1e-5)
    });
    let pair: &[&[usize]] = &[&[3, 50], &[3, 50]];
    compare("mean_squared_error", &gpu, pair, 1e-5, &|t| mean_squared_error(&t[0], &t[1]));
    compare("mean_absolute_error", &gpu, pair, 1e-5, &|t| mean_absolute_error(&t[0], &t[1]));
    // CUDA allocates no memory of no bytes: candle makes empty tensors where it asks for none.
    if let Ok(x) = Tensor::zeros((0, 3, 4, 4), DType::F32, &*gpu) {
        let error = max_pool2d(&x, Pool2dConfig::new(2, 2)).expect_err("no images").to_string();
        assert!(error.contains("expected an image on a GPU, found [0, 3, 4, 4]"), "{error}");
    }
}
