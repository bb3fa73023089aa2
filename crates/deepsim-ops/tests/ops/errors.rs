//! Bad input: every message names the operation, what was expected and what was found.

use candle_core::{DType, Device, Result, Tensor};
use deepsim_ops::{
    BatchNormStatistics, Conv2dConfig, LrnConfig, Pool2dConfig, Step, Upsampling, absolute_error,
    avg_pool2d, batch_norm2d, conv_transpose2d, conv2d, dropout, global_avg_pool2d, leaky_relu,
    linear, local_response_norm, max_pool2d, mean_absolute_error, mean_squared_error, relu, relu6,
    sequence, softmax_cross_entropy, squared_error, upsample,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{flat as flat_of, tensor, var};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a small tensor")
}

/// Fails unless `result` is an error that starts with `op` and contains every one of `wanted`.
#[track_caller]
fn refused(result: Result<Tensor>, op: &str, wanted: &[&str]) {
    let Err(error) = result else { panic!("{op}: accepted, expected a message with {wanted:?}") };
    let error = error.to_string();
    assert!(error.starts_with(&format!("{op}: ")), "expected the name {op}: {error}");
    for part in wanted {
        assert!(error.contains(part), "expected {part:?}: {error}");
    }
}

#[test]
fn convolutions_refuse_what_does_not_fit() {
    let x = |channels| zeros(&[2, channels, 8, 9]);
    let w = |o, c| zeros(&[o, c, 3, 3]);
    let plain = Conv2dConfig::default();
    let conv = |x: &Tensor, w: &Tensor, config| conv2d(x, w, None, config);
    let up = |x: &Tensor, w: &Tensor, config| conv_transpose2d(x, w, None, config);

    refused(
        conv(&x(3), &w(64, 5), plain),
        "conv2d",
        &["weight [64, 5, 3, 3] with 1 groups expects 5 input channels", "found [2, 3, 8, 9]"],
    );
    refused(
        conv(&x(4), &w(6, 4), plain.with_groups(2)),
        "conv2d",
        &["[6, 4, 3, 3] with 2 groups expects 8 input channels", "found [2, 4, 8, 9]"],
    );
    refused(
        conv(&x(4), &w(5, 2), plain.with_groups(2)),
        "conv2d",
        &["2 groups do not divide the outputs", "[5, 2, 3, 3]"],
    );
    refused(
        up(&x(3), &w(4, 5), plain),
        "conv_transpose2d",
        &["weight [4, 5, 3, 3] expects 4 input channels", "found [2, 3, 8, 9]"],
    );
    refused(
        up(&x(3), &w(3, 5), plain.with_groups(2)),
        "conv_transpose2d",
        &["2 groups do not divide the channels", "[2, 3, 8, 9]"],
    );
    refused(
        conv(&x(3), &zeros(&[4, 3, 9, 3]), plain),
        "conv2d",
        &["kernel 9x3 is larger than the input [2, 3, 8, 9] with padding (0, 0)"],
    );
    // The input as it was given: its padding stands beside it.
    refused(
        conv(&zeros(&[1, 3, 2, 2]), &zeros(&[4, 3, 7, 7]), Conv2dConfig::new(1, 1)),
        "conv2d",
        &["kernel 7x7 is larger than the input [1, 3, 2, 2] with padding (1, 1)"],
    );
    refused(
        up(&x(3), &w(3, 5), Conv2dConfig { padding: (5, 0), ..plain }),
        "conv_transpose2d",
        &["padding (5, 0) leaves nothing of the output 10x11"],
    );

    type Convolve = fn(&Tensor, &Tensor, Option<&Tensor>, Conv2dConfig) -> Result<Tensor>;
    let both: [(&str, Convolve); 2] = [("conv2d", conv2d), ("conv_transpose2d", conv_transpose2d)];
    let (x, w) = (x(4), w(4, 4));
    for (op, convolve) in both {
        for bias in [&[3][..], &[4, 1], &[]] {
            let wanted = format!("expected a bias [4], found {bias:?}");
            refused(convolve(&x, &w, Some(&zeros(bias)), plain), op, &[&wanted]);
        }
        let flat = zeros(&[4, 8, 9]);
        refused(
            convolve(&flat, &w, None, plain),
            op,
            &["expected an input (N, C, H, W), found [4, 8, 9]"],
        );
        let flat = zeros(&[4, 4]);
        refused(
            convolve(&x, &flat, None, plain),
            op,
            &["expected a weight of four axes, found [4, 4]"],
        );
        for (x, w) in [
            (zeros(&[2, 4, 8, 0]), w.clone()),
            (zeros(&[2, 4, 0, 9]), w.clone()),
            (x.clone(), zeros(&[4, 4, 0, 3])),
            (zeros(&[2, 0, 8, 9]), zeros(&[4, 0, 3, 3])),
        ] {
            let wanted = format!("{:?} and {:?}", x.dims(), w.dims());
            refused(convolve(&x, &w, None, plain), op, &["expected non-empty tensors", &wanted]);
        }
        for config in [
            Conv2dConfig { stride: (0, 1), ..plain },
            Conv2dConfig { stride: (1, 0), ..plain },
            plain.with_groups(0),
        ] {
            refused(convolve(&x, &w, None, config), op, &["strides and groups of at least 1"]);
        }
        for dilation in [(0, 1), (1, 0)] {
            let config = Conv2dConfig { dilation, ..plain };
            refused(convolve(&x, &w, None, config), op, &["expected dilations of at least 1"]);
        }
        for config in [
            Conv2dConfig { dilation: (usize::MAX, 1), ..plain },
            Conv2dConfig { output_padding: (0, usize::MAX), ..plain },
            Conv2dConfig { padding: (usize::MAX, 0), ..plain },
            Conv2dConfig { padding: (0, 1 << 63), ..plain },
            Conv2dConfig { stride: (1, usize::MAX), ..plain },
        ] {
            refused(convolve(&x, &w, None, config), op, &["at most 65535"]);
        }
        for slope in [-0.1, 1.0, f32::NAN] {
            let wanted = "expected a slope 0 <= s < 1";
            refused(convolve(&x, &w, None, plain.with_leaky(slope)), op, &[wanted]);
        }
        refused(convolve(&x, &w, None, plain.with_groups(usize::MAX)), op, &["groups do not"]);
    }
    refused(
        conv(&x, &w, plain.with_output_padding(1)),
        "conv2d",
        &["expected no output padding, found (1, 1)"],
    );
    refused(
        conv(&x, &w, plain.with_dilation(4)),
        "conv2d",
        &["kernel 3x3 with dilation (4, 4) is larger than the input [2, 4, 8, 9]"],
    );
    for (dilation, stride, more) in [(1, 1, 1), (1, 2, 2), (3, 2, 3)] {
        let config = Conv2dConfig::new(stride, 0).with_dilation(dilation).with_output_padding(more);
        let wanted = "expected an output padding less than stride or dilation";
        refused(up(&x, &w, config), "conv_transpose2d", &[wanted]);
    }
    let config = Conv2dConfig { padding: (65_535, 65_535), ..plain };
    refused(conv(&x, &w, config), "conv2d", &["[4, 131078, 131079]", "more than 2147483647"]);
    let config = Conv2dConfig { stride: (65_535, 65_535), ..plain };
    refused(up(&x, &w, config), "conv_transpose2d", &["[4, 458748, 524283]", "2147483647"]);
}

#[test]
fn the_other_operations_refuse_what_does_not_fit() {
    let x = zeros(&[2, 3, 6, 7]);
    let flat = zeros(&[4, 5]);

    refused(linear(&x, &flat, None), "linear", &["[4, 5] expects 5 inputs, found [2, 3, 6, 7]"]);
    refused(linear(&zeros(&[]), &flat, None), "linear", &["input (.., I)", "found [] and [4, 5]"]);
    refused(linear(&flat, &x, None), "linear", &["weight (O, I)", "[4, 5] and [2, 3, 6, 7]"]);
    refused(
        linear(&flat, &zeros(&[2, 6]), None),
        "linear",
        &["weight [2, 6] expects 6 inputs, found [4, 5]"],
    );
    let (weight, bias) = (zeros(&[2, 5]), zeros(&[3]));
    refused(linear(&flat, &weight, Some(&bias)), "linear", &["expected a bias [2], found [3]"]);
    refused(linear(&zeros(&[4, 0]), &zeros(&[2, 0]), None), "linear", &["weight [2, 0]"]);

    let pool = Pool2dConfig::new;
    refused(max_pool2d(&flat, pool(2, 2)), "max_pool2d", &["(N, C, H, W), found [4, 5]"]);
    refused(max_pool2d(&zeros(&[2, 0, 6, 7]), pool(2, 2)), "max_pool2d", &["[2, 0, 6, 7]"]);
    for config in [
        pool(0, 1),
        pool(2, 0),
        pool(7, 1),
        Pool2dConfig { padding: (2, 0), ..pool(3, 1) },
        Pool2dConfig { padding: (0, 1 << 63), ..pool(3, 1) },
        Pool2dConfig { kernel: (usize::MAX, 3), ..pool(3, 1) },
    ] {
        refused(max_pool2d(&x, config), "max_pool2d", &["does not fit", "[2, 3, 6, 7]"]);
        refused(avg_pool2d(&x, config), "avg_pool2d", &["does not fit", "[2, 3, 6, 7]"]);
    }
    refused(avg_pool2d(&flat, pool(2, 2)), "avg_pool2d", &["(N, C, H, W), found [4, 5]"]);
    refused(avg_pool2d(&zeros(&[2, 0, 6, 7]), pool(2, 2)), "avg_pool2d", &["[2, 0, 6, 7]"]);
    refused(global_avg_pool2d(&flat), "global_avg_pool2d", &["(N, C, H, W), found [4, 5]"]);
    refused(global_avg_pool2d(&zeros(&[2, 3, 0, 7])), "global_avg_pool2d", &["[2, 3, 0, 7]"]);

    let lrn = LrnConfig::default();
    refused(local_response_norm(&flat, lrn), "local_response_norm", &["found [4, 5]"]);
    for size in [0, 4] {
        let wanted = format!("an odd window, found [2, 3, 6, 7] and {size}");
        let config = LrnConfig { size, ..lrn };
        refused(local_response_norm(&x, config), "local_response_norm", &[&wanted]);
    }

    let entropy = "softmax_cross_entropy";
    refused(softmax_cross_entropy(&x, &[0, 0]), entropy, &["(N, K), found [2, 3, 6, 7]"]);
    refused(softmax_cross_entropy(&flat, &[0; 3]), entropy, &["each of 4 samples, found 3 labels"]);
    refused(softmax_cross_entropy(&flat, &[0, 4, 5, 1]), entropy, &["labels below 5, found 5"]);
    refused(softmax_cross_entropy(&zeros(&[0, 5]), &[]), entropy, &["0 samples"]);

    for (op, distance) in [
        ("squared_error", squared_error as fn(&Tensor, &Tensor) -> Result<Tensor>),
        ("absolute_error", absolute_error),
        ("mean_squared_error", mean_squared_error),
        ("mean_absolute_error", mean_absolute_error),
    ] {
        let wanted = "equal shapes, found [4, 5] and [4]";
        refused(distance(&flat, &zeros(&[4])), op, &[wanted]);
        refused(distance(&flat, &zeros(&[5, 4])), op, &["found [4, 5] and [5, 4]"]);
    }

    for mean in [mean_squared_error, mean_absolute_error] {
        let error = mean(&zeros(&[0, 5]), &zeros(&[0, 5])).expect_err("no values").to_string();
        assert!(error.contains("expected values, found [0, 5]"), "{error}");
    }

    let mut rng = ChaCha12Rng::seed_from_u64(0);
    for p in [-0.1, 1.0, f64::NAN] {
        let wanted = format!("0 <= p < 1, found {p}");
        refused(dropout(&x, p, &mut rng), "dropout", &[&wanted]);
    }
}

#[test]
fn batch_normalisation_and_upsampling_refuse_what_does_not_fit() {
    let (x, flat, op) = (zeros(&[2, 3, 6, 7]), zeros(&[4, 5]), "batch_norm2d");
    let (three, four) = (zeros(&[3]), zeros(&[4]));
    let batch = BatchNormStatistics::Batch;
    let norm = |x: &Tensor, statistics| batch_norm2d(x, None, statistics, 1e-5);
    refused(norm(&flat, batch), op, &["expected an input (N, C, H, W), found [4, 5]"]);
    refused(norm(&zeros(&[2, 3, 0, 7]), batch), op, &["not 0, found [2, 3, 0, 7]"]);
    refused(norm(&zeros(&[1, 3, 1, 1]), batch), op, &["more than one value", "[1, 3, 1, 1]"]);
    for (weight, bias, name) in [(&four, &three, "weight"), (&three, &four, "bias")] {
        let wanted = format!("{name}: expected a shape [3], found [4]");
        refused(batch_norm2d(&x, Some((weight, bias)), batch, 1e-5), op, &[&wanted]);
    }
    for (mean, variance, name) in [(&four, &three, "mean"), (&three, &four, "variance")] {
        let wanted = format!("{name}: expected a shape [3], found [4]");
        refused(norm(&x, BatchNormStatistics::Fixed { mean, variance }), op, &[&wanted]);
    }
    let double = three.to_dtype(DType::F64).expect("a cast");
    let fixed = BatchNormStatistics::Fixed { mean: &three, variance: &double };
    refused(norm(&x, fixed), op, &["variance: expected f32, found f64"]);
    for epsilon in [-1e-5, f64::NAN] {
        refused(batch_norm2d(&x, None, batch, epsilon), op, &["expected an epsilon of at least 0"]);
    }
    let (mean, variance) = (var(&[3], 1), var(&[3], 2));
    let before = flat_of(&mean);
    for momentum in [-0.1, 1.1, f64::NAN] {
        let update = BatchNormStatistics::Update { mean: &mean, variance: &variance, momentum };
        refused(norm(&x, update), op, &["expected a momentum 0 <= m <= 1"]);
    }
    let update = BatchNormStatistics::Update { mean: &mean, variance: &variance, momentum: 0.5 };
    refused(batch_norm2d(&x, Some((&four, &three)), update, 1e-5), op, &["weight"]);
    assert_eq!(flat_of(&mean), before, "what is refused changes nothing");

    let (op, how) = ("upsample", Upsampling::Bilinear);
    refused(upsample(&flat, (3, 3), how), op, &["expected an input (N, C, H, W), found [4, 5]"]);
    for (x, size) in [(zeros(&[1, 1, 0, 3]), (3, 3)), (x.clone(), (0, 3)), (x.clone(), (3, 0))] {
        let wanted = format!("sides that are not 0, found {:?} to {size:?}", x.dims());
        refused(upsample(&x, size, how), op, &[&wanted]);
    }
    for size in [(usize::MAX, usize::MAX), (1 << 31, 1), (1 << 15, 1 << 15)] {
        refused(upsample(&x, size, how), op, &["at most 2147483647 values"]);
    }
}

#[test]
fn other_types_are_refused() -> Result<()> {
    let double = |shape: &[usize]| tensor(shape, 1).to_dtype(DType::F64);
    let (map, matrix, vector) = (double(&[1, 4, 5, 5])?, double(&[4, 4])?, double(&[4])?);
    let (single_map, single) = (zeros(&[1, 4, 5, 5]), zeros(&[4, 4]));
    let (kernel, single_kernel) = (double(&[4, 4, 3, 3])?, zeros(&[4, 4, 3, 3]));
    let config = Conv2dConfig::default();
    let mut rng = ChaCha12Rng::seed_from_u64(0);
    let up = conv_transpose2d;
    let results = [
        ("conv2d", "x", conv2d(&map, &single_kernel, None, config)),
        ("conv2d", "weight", conv2d(&single_map, &kernel, None, config)),
        ("conv2d", "bias", conv2d(&single_map, &single_kernel, Some(&vector), config)),
        ("conv_transpose2d", "x", up(&map, &single_kernel, None, config)),
        ("conv_transpose2d", "weight", up(&single_map, &kernel, None, config)),
        ("linear", "x", linear(&matrix, &single, None)),
        ("linear", "weight", linear(&single, &matrix, None)),
        ("linear", "bias", linear(&single, &single, Some(&vector))),
        ("max_pool2d", "x", max_pool2d(&map, Pool2dConfig::new(2, 2))),
        ("global_avg_pool2d", "x", global_avg_pool2d(&map)),
        ("local_response_norm", "x", local_response_norm(&map, LrnConfig::default())),
        ("avg_pool2d", "x", avg_pool2d(&map, Pool2dConfig::new(2, 2))),
        ("batch_norm2d", "x", batch_norm2d(&map, None, BatchNormStatistics::Batch, 1e-5)),
        ("upsample", "x", upsample(&map, (2, 2), Upsampling::Nearest)),
        ("relu", "x", relu(&map)),
        ("relu6", "x", relu6(&map)),
        ("leaky_relu", "x", leaky_relu(&map, 0.3)),
        ("dropout", "x", dropout(&map, 0.5, &mut rng)),
        ("softmax_cross_entropy", "logits", softmax_cross_entropy(&matrix, &[0; 4])),
        ("squared_error", "a", squared_error(&matrix, &single)),
        ("absolute_error", "b", absolute_error(&single, &matrix)),
    ];
    for (op, tensor, result) in results {
        refused(result, op, &[&format!("{op}: {tensor}: expected f32, found f64")]);
    }
    let half = single_kernel.to_dtype(DType::BF16)?;
    let message = "conv2d: weight: expected f32, found bf16";
    refused(conv2d(&single_map, &half, None, config), "conv2d", &[message]);
    Ok(())
}

#[test]
fn sequences_name_the_step_that_does_not_fit() -> Result<()> {
    let x = zeros(&[2, 3, 8, 8]);
    let after = |step: Step| sequence(&x, &[Step::MaxPool2d(Pool2dConfig::new(2, 2)), step]);
    let config = Conv2dConfig::new(1, 1);
    let conv = |weight: Tensor, bias: Option<Tensor>| Step::Conv2d { weight, bias, config };
    let up = |weight: Tensor| Step::ConvTranspose2d { weight, bias: None, config };
    let (w, b) = (zeros(&[4, 3, 3, 3]), zeros(&[4]));
    for (step, name, wanted) in [
        (
            Step::LeakyRelu(1.5),
            "leaky_relu",
            "expected a slope 0 <= s < 1 of the leaky ReLU, found 1.5",
        ),
        (
            conv(zeros(&[4, 5, 3, 3]), None),
            "conv2d",
            "expects 5 input channels, found [2, 3, 4, 4]",
        ),
        (
            conv(zeros(&[4, 3, 7, 7]), None),
            "conv2d",
            "kernel 7x7 is larger than the input [2, 3, 4, 4] with padding (1, 1)",
        ),
        (conv(w.to_dtype(DType::F16)?, None), "conv2d", "weight: expected f32, found f16"),
        (conv(w, Some(b.to_dtype(DType::F64)?)), "conv2d", "bias: expected f32, found f64"),
        (up(zeros(&[4, 3, 3, 3])), "conv_transpose2d", "expects 4 input channels"),
        (
            Step::MaxPool2d(Pool2dConfig::new(5, 1)),
            "max_pool2d",
            "does not fit an input [2, 3, 4, 4]",
        ),
        (
            Step::LocalResponseNorm(LrnConfig { size: 2, ..LrnConfig::default() }),
            "local_response_norm",
            "an odd window",
        ),
    ] {
        let result = after(step);
        let start = format!("sequence, step 2 ({name}): ");
        let message = result.expect_err(name).to_string();
        assert!(message.starts_with(&start) && message.contains(wanted), "{message}");
    }
    let end = sequence(&x, &[Step::GlobalAvgPool2d, Step::LeakyRelu(0.0)]);
    let wanted = "sequence, step 2 (leaky_relu): nothing can follow global average pooling";
    assert!(end.expect_err("a mean").to_string().starts_with(wanted));
    let x = x.to_dtype(DType::F64)?;
    refused(sequence(&x, &[]), "sequence", &["sequence: x: expected f32, found f64"]);
    Ok(())
}
