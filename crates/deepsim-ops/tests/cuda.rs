//! The CUDA backend against the CPU. Without a GPU every test says so and passes.
#![cfg(feature = "cuda")]

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var};
use deepsim_ops::{
    AdamStep, Conv2dConfig, LrnConfig, Moments, Pool2dConfig, Precision, Step, absolute_error,
    adam_update, conv_transpose2d, conv2d, dropout, global_avg_pool2d, keep_freed_device_memory,
    leaky_relu, linear, local_response_norm, max_pool2d, relu, sequence, set_precision,
    softmax_cross_entropy, squared_error,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

#[allow(dead_code, reason = "shared with the tests of the CPU")]
#[path = "ops/support.rs"]
mod support;

#[path = "cuda/composed.rs"]
mod composed;
#[path = "cuda/graph.rs"]
mod graph;
#[path = "cuda/multi_tensor.rs"]
mod multi_tensor;

use support::{assert_near, bits, flat, tensor, values};

/// An operation on some inputs.
type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// The GPU, for one test at a time: the precision is for the whole process.
struct Gpu {
    device: Device,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Gpu {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

/// The first GPU; the reason why not is shown with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the reason for passing without a test")]
fn gpu() -> Option<Gpu> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed says so itself.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_precision(Precision::F32);
    match Device::new_cuda(0) {
        Ok(device) => Some(Gpu { device, _turn: turn }),
        Err(error) => {
            let error = error.to_string();
            assert!(std::env::var_os("DEEPSIM_NEEDS_GPU").is_none(), "no GPU: {error}");
            eprintln!("not tested, no GPU: {}", error.lines().next().unwrap_or_default());
            None
        }
    }
}

/// The result of an operation on variables, and the gradients of its distance to some target.
fn run(device: &Device, shapes: &[&[usize]], op: Op<'_>) -> Result<Vec<Tensor>> {
    let vars = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| Var::from_tensor(&tensor(shape, i).to_device(device)?));
    let vars = vars.collect::<Result<Vec<Var>>>()?;
    let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = op(&inputs)?;
    let target = tensor(y.dims(), 9).to_device(device)?;
    let gradients = squared_error(&y, &target)?.backward()?;
    let mut results = vec![y];
    for var in &vars {
        results.push(gradients.get(var).expect("all are variables").clone());
    }
    Ok(results)
}

/// Fails if the GPU's result or a gradient is off by more than `tolerance` of the largest value.
#[track_caller]
fn compare(what: &str, gpu: &Device, shapes: &[&[usize]], tolerance: f64, op: Op<'_>) {
    let wanted = run(&Device::Cpu, shapes, op).expect("the CPU computes it");
    let got = run(gpu, shapes, op).expect("the GPU computes it");
    for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        assert_eq!(got.dims(), wanted.dims(), "{what}: shape of result {i}");
        let wanted: Vec<f64> = flat(wanted).iter().map(|&value| f64::from(value)).collect();
        assert_near(&format!("{what}: result {i}"), &flat(got), &wanted, tolerance);
    }
}

struct ConvCase {
    transposed: bool,
    x: [usize; 4],
    w: [usize; 4],
    bias: bool,
    config: Conv2dConfig,
}

fn conv_cases() -> Vec<ConvCase> {
    let uneven = |stride, padding| Conv2dConfig { stride, padding, ..Conv2dConfig::default() };
    let case = |transposed, x, w, bias, config| ConvCase { transposed, x, w, bias, config };
    vec![
        case(false, [2, 3, 9, 8], [4, 3, 3, 3], true, Conv2dConfig::new(1, 1)),
        case(false, [2, 3, 23, 21], [6, 3, 11, 11], true, Conv2dConfig::new(4, 0)),
        case(false, [3, 4, 7, 5], [5, 4, 1, 1], false, Conv2dConfig::default()),
        case(false, [2, 6, 9, 9], [4, 3, 5, 5], true, Conv2dConfig::new(1, 2).with_groups(2)),
        case(false, [2, 4, 8, 8], [4, 1, 3, 3], true, Conv2dConfig::new(2, 1).with_groups(4)),
        case(false, [1, 2, 10, 7], [3, 2, 3, 2], true, uneven((2, 1), (1, 0))),
        case(false, [2, 3, 8, 11], [2, 3, 1, 4], false, uneven((1, 3), (0, 2))),
        case(true, [2, 4, 5, 6], [4, 3, 4, 4], true, Conv2dConfig::new(2, 1)),
        case(true, [2, 6, 4, 4], [6, 2, 3, 3], true, Conv2dConfig::new(1, 1).with_groups(3)),
        case(true, [1, 3, 5, 4], [3, 2, 5, 3], false, uneven((3, 2), (2, 1))),
        case(false, [2, 3, 11, 9], [4, 3, 3, 3], true, Conv2dConfig::new(2, 2).with_dilation(2)),
        case(
            true,
            [2, 4, 5, 6],
            [4, 3, 3, 3],
            true,
            Conv2dConfig::new(2, 1).with_output_padding(1),
        ),
        case(true, [1, 3, 4, 5], [3, 2, 3, 2], false, Conv2dConfig::new(1, 1).with_dilation(3)),
    ]
}

#[test]
fn convolutions() {
    let Some(gpu) = gpu() else { return };
    let precisions = [(Precision::F32, 1e-4), (Precision::Tf32, 1e-2), (Precision::Bf16, 3e-2)];
    for (precision, tolerance) in precisions {
        set_precision(precision);
        for (i, case) in conv_cases().iter().enumerate() {
            // A rounded value changes sign now and then, and its gradient with it.
            let slopes: &[_] =
                if precision == Precision::F32 { &[None, Some(0.3), Some(0.0)] } else { &[None] };
            for &leaky in slopes {
                let config = Conv2dConfig { leaky, ..case.config };
                let conv = if case.transposed { conv_transpose2d } else { conv2d };
                let outputs = if case.transposed { case.w[1] * config.groups } else { case.w[0] };
                let what = format!("{precision:?}, convolution {i}, leaky {leaky:?}");
                let shapes: &[&[usize]] = &[&case.x, &case.w, &[outputs]];
                if case.bias {
                    compare(&what, &gpu, shapes, tolerance, &|t| {
                        conv(&t[0], &t[1], Some(&t[2]), config)
                    });
                } else {
                    compare(&what, &gpu, &shapes[..2], tolerance, &|t| {
                        conv(&t[0], &t[1], None, config)
                    });
                }
            }
        }
        let shapes: &[&[usize]] = &[&[5, 33], &[7, 33], &[7]];
        compare(&format!("{precision:?}, linear"), &gpu, shapes, tolerance, &|t| {
            linear(&t[0], &t[1], Some(&t[2]))
        });
    }
    set_precision(Precision::Bf16);
    let rounded = rounded(&gpu).expect("the GPU computes it");
    set_precision(Precision::F32);
    assert_eq!(rounded[..4], [1.0, 1.015_625, 1.007_812_5, f32::INFINITY]);
    assert!(rounded[4].is_nan());
}

/// Two ties, a number just above one, a number beyond the largest `bf16`, and a NaN whose upper
/// half is infinity's, times 1.
fn rounded(gpu: &Device) -> Result<Vec<f32>> {
    let step = 1.0 / 256.0;
    let numbers =
        vec![1.0 + step, 1.0 + 3.0 * step, 1.00391, f32::MAX, f32::from_bits(0x7f80_0001)];
    let x = Tensor::from_vec(numbers, (1, 1, 1, 5), gpu)?;
    let one = Tensor::ones((1, 1, 1, 1), DType::F32, gpu)?;
    Ok(flat(&conv2d(&x, &one, None, Conv2dConfig::default())?))
}

#[test]
fn poolings() {
    let Some(gpu) = gpu() else { return };
    let uneven = Pool2dConfig { kernel: (3, 2), stride: (2, 1), padding: (1, 1), ceil_mode: true };
    let padded = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new(3, 2) };
    let configs = [
        Pool2dConfig::new(2, 2),
        Pool2dConfig::new(3, 2),
        Pool2dConfig::new(3, 2).ceil(),
        Pool2dConfig::new(2, 3).ceil(),
        padded,
        padded.ceil(),
        uneven,
    ];
    for config in configs {
        for x in [[2, 3, 13, 14], [1, 2, 6, 5]] {
            let what = format!("{config:?} on {x:?}");
            compare(&what, &gpu, &[&x], 1e-6, &|t| max_pool2d(&t[0], config));
        }
    }
    compare("global_avg_pool2d", &gpu, &[&[3, 5, 6, 7]], 1e-5, &|t| global_avg_pool2d(&t[0]));
    compare("one plane", &gpu, &[&[1, 1, 40, 41]], 1e-5, &|t| global_avg_pool2d(&t[0]));
}

/// A small network: weights and biases of three convolutions.
fn network(t: &[Tensor]) -> [Step; 8] {
    let layer = |i: usize| (t[2 * i].clone(), Some(t[2 * i + 1].clone()));
    let leaky = |config: Conv2dConfig| config.with_leaky(0.3);
    let ((w0, b0), (w1, b1), (w2, _)) = (layer(0), layer(1), layer(2));
    [
        Step::Conv2d { weight: w0, bias: b0, config: leaky(Conv2dConfig::new(2, 1)) },
        Step::LocalResponseNorm(LrnConfig { alpha: 0.5, ..LrnConfig::default() }),
        Step::MaxPool2d(Pool2dConfig::new(3, 2).ceil()),
        Step::ConvTranspose2d { weight: w1, bias: b1, config: leaky(Conv2dConfig::new(2, 1)) },
        Step::Conv2d { weight: w2, bias: None, config: Conv2dConfig::new(1, 0).with_groups(2) },
        Step::LeakyRelu(0.1),
        Step::MaxPool2d(Pool2dConfig::new(2, 1)),
        Step::GlobalAvgPool2d,
    ]
}

/// Input, and weights and biases of [`network`]; the last convolution does not use its bias.
const NETWORK: [&[usize]; 7] =
    [&[2, 3, 21, 18], &[6, 3, 3, 3], &[6], &[6, 4, 4, 4], &[4], &[8, 2, 3, 3], &[8]];

/// The output of [`network`], and the gradients of what is tracked of [`NETWORK`].
fn network_gradients(
    device: &Device,
    tracked: impl Fn(usize) -> bool,
) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let vars = NETWORK.iter().enumerate();
    let vars = vars.map(|(i, shape)| Var::from_tensor(&tensor(shape, i + 1).to_device(device)?));
    let vars = vars.collect::<Result<Vec<Var>>>()?;
    let used = |(i, var): (usize, &Var)| match tracked(i) {
        true => var.as_tensor().clone(),
        false => var.as_detached_tensor(),
    };
    let inputs: Vec<Tensor> = vars.iter().enumerate().map(used).collect();
    let y = sequence(&inputs[0], &network(&inputs[1..]))?;
    let target = tensor(y.dims(), 9).to_device(device)?;
    let gradients = squared_error(&y, &target)?.backward()?;
    let found = vars.iter().map(|var| gradients.get(var).cloned()).collect();
    Ok((y, found))
}

#[test]
fn sequences() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    type Tracked = fn(usize) -> bool;
    let cases: [(&str, Tracked); 4] = [
        ("all tracked", |_| true),
        ("frozen weights", |i| i == 0),
        ("a frozen input", |i| i > 0),
        ("one frozen layer", |i| ![3, 4].contains(&i)),
    ];
    for (what, tracked) in cases {
        let (wanted, wanted_gradients) = network_gradients(&Device::Cpu, tracked)?;
        let (got, gradients) = network_gradients(&gpu, tracked)?;
        assert_eq!(got.dims(), [2, 8], "{what}");
        let double = |t: &Tensor| flat(t).iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        assert_near(&format!("{what}: result"), &flat(&got), &double(&wanted), 1e-4);
        for (i, (got, wanted)) in gradients.iter().zip(&wanted_gradients).enumerate() {
            let expected = tracked(i) && i + 1 < NETWORK.len();
            assert_eq!((got.is_some(), wanted.is_some()), (expected, expected), "{what}: {i}");
            let (Some(got), Some(wanted)) = (got, wanted) else { continue };
            assert_eq!(got.dims(), wanted.dims(), "{what}: gradient {i}");
            assert_near(&format!("{what}: gradient {i}"), &flat(got), &double(wanted), 1e-4);
        }
    }
    let x = tensor(NETWORK[0], 1).to_device(&gpu)?;
    assert_eq!(flat(&sequence(&x, &[])?), flat(&x), "no operation at all");
    Ok(())
}

#[test]
fn elementwise() {
    let Some(gpu) = gpu() else { return };
    let shape: &[usize] = &[3, 7, 101];
    compare("relu", &gpu, &[shape], 1e-6, &|t| relu(&t[0]));
    compare("leaky_relu", &gpu, &[shape], 1e-6, &|t| leaky_relu(&t[0], 0.3));
    compare("dropout", &gpu, &[shape], 1e-6, &|t| {
        dropout(&t[0], 0.4, &mut ChaCha12Rng::seed_from_u64(5))
    });
    for config in [
        LrnConfig::default(),
        LrnConfig { size: 3, alpha: 2.0, beta: 0.6, k: 1.5 },
        LrnConfig { size: 1, alpha: 1.0, beta: 0.5, k: 1.0 },
    ] {
        compare(&format!("{config:?}"), &gpu, &[&[2, 7, 3, 4]], 1e-4, &|t| {
            local_response_norm(&t[0], config)
        });
    }
}

#[test]
fn losses() {
    let Some(gpu) = gpu() else { return };
    for [rows, classes] in [[4, 3], [3, 1000], [1, 1]] {
        let labels: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
        compare(&format!("softmax {rows}x{classes}"), &gpu, &[&[rows, classes]], 1e-5, &|t| {
            softmax_cross_entropy(&(&t[0] * 20.0)?, &labels)
        });
    }
    for len in [1, 700, 300_001] {
        let shapes: &[&[usize]] = &[&[len], &[len]];
        let scale = |distance: Tensor| distance / len as f64;
        compare("squared_error", &gpu, shapes, 1e-5, &|t| scale(squared_error(&t[0], &t[1])?));
        compare("absolute_error", &gpu, shapes, 1e-5, &|t| scale(absolute_error(&t[0], &t[1])?));
    }
}

const STEP: AdamStep = AdamStep {
    learning_rate: 0.01,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-3,
    weight_decay: 0.05,
    t: 1,
};

/// A parameter and its moments after some updates, taken apart and put together in between.
fn trained(device: &Device) -> Result<(Var, Moments)> {
    let shape = [7, 501];
    let parameter = Var::from_tensor(&tensor(&shape, 1).to_device(device)?)?;
    let mut moments = Moments::zeros_like(&parameter)?;
    for t in 1..=6 {
        let gradient = tensor(&shape, 100 + t as usize).to_device(device)?;
        adam_update(&parameter, &gradient, &mut moments, AdamStep { t, ..STEP })?;
        if t == 3 {
            moments = Moments::from_parts(moments.first().to_vec(), moments.second().to_vec());
        }
    }
    Ok((parameter, moments))
}

#[test]
fn adam() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (wanted, wanted_moments) = trained(&Device::Cpu)?;
    let (got, moments) = trained(&gpu)?;
    let double = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    assert_near("parameter", &flat(&got), &double(&flat(&wanted)), 1e-6);
    assert_near("first moment", moments.first(), &double(wanted_moments.first()), 1e-6);
    assert_near("second moment", moments.second(), &double(wanted_moments.second()), 1e-6);
    assert_eq!(moments.to_host()?, moments);
    Ok(())
}

#[test]
fn an_update_leaves_clones_of_the_moments_alone() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (parameter, mut moments) = trained(&gpu)?;
    let (before, clone) = (moments.to_host()?, moments.clone());
    let gradient = tensor(parameter.dims(), 3).to_device(&gpu)?;
    adam_update(&parameter, &gradient, &mut moments, AdamStep { t: 7, ..STEP })?;
    assert_eq!(clone, before);
    assert_ne!(moments, before);
    Ok(())
}

#[test]
fn results_can_be_repeated_to_the_bit() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let shapes: &[&[usize]] = &[&[8, 16, 31, 29], &[32, 16, 3, 3], &[32]];
    let net: Op<'_> = &|t| {
        let y = conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(1, 1).with_leaky(0.3))?;
        let y = max_pool2d(&y, Pool2dConfig::new(3, 2).ceil())?;
        local_response_norm(&y, LrnConfig::default())
    };
    let once = run(&gpu, shapes, net)?;
    for _ in 0..3 {
        for (first, again) in once.iter().zip(&run(&gpu, shapes, net)?) {
            assert_eq!(bits(first), bits(again));
        }
    }
    Ok(())
}

#[test]
fn frozen_weights_get_no_gradient() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let x = Var::from_tensor(&tensor(&[1, 2, 5, 5], 1).to_device(&gpu)?)?;
    let weight = Var::from_tensor(&tensor(&[3, 2, 3, 3], 2).to_device(&gpu)?)?;
    let y = conv2d(&x, &weight.as_detached_tensor(), None, Conv2dConfig::new(1, 1))?;
    let gradients = squared_error(&y, &y.zeros_like()?)?.backward()?;
    assert!(gradients.get(&x).is_some());
    assert!(gradients.get(&weight).is_none());
    Ok(())
}

#[test]
fn parts_of_larger_tensors_and_transposed_ones_are_read_where_they_are() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    compare("narrow", &gpu, &[&[4, 3, 6, 6], &[2, 3, 3, 3]], 1e-4, &|t| {
        conv2d(&t[0].narrow(0, 1, 2)?, &t[1], None, Conv2dConfig::new(1, 1))
    });
    compare("transposed", &gpu, &[&[2, 3, 5, 6]], 1e-6, &|t| {
        max_pool2d(&t[0].transpose(2, 3)?, Pool2dConfig::new(3, 2))
    });
    Ok(())
}

#[test]
fn a_nan_does_not_vanish() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let mut numbers = values(36, 1);
    numbers[14] = f32::NAN;
    let x = Tensor::from_vec(numbers, (1, 1, 6, 6), &gpu)?;
    for y in [relu(&x)?, max_pool2d(&x, Pool2dConfig::new(3, 2))?] {
        assert!(flat(&y).iter().any(|value| value.is_nan()));
    }
    Ok(())
}

#[test]
fn freed_memory_can_be_kept() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    keep_freed_device_memory(&gpu)?;
    assert!(keep_freed_device_memory(&Device::Cpu).is_err());
    Ok(())
}

#[test]
fn wrong_types_and_devices_are_errors() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (x, w) = (tensor(&[1, 2, 5, 5], 1), tensor(&[3, 2, 3, 3], 2));
    let here = x.to_device(&gpu)?;
    let double = here.to_dtype(DType::F64)?;
    for (result, wanted) in [
        (relu(&double), "relu: x: expected f32, found f64"),
        (
            conv2d(&here, &w, None, Conv2dConfig::default()),
            "conv2d: weight: expected a CUDA tensor",
        ),
    ] {
        let error = result.expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error}");
    }
    Ok(())
}
