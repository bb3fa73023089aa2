//! Small cases of every operation, each with its plain loop.

use candle_core::{Result, Tensor};
use deepsim_ops::{
    AvgPool2dConfig, BatchNormStatistics, Conv2dConfig, LrnConfig, Pool2dConfig, Upsampling,
    absolute_error, avg_pool2d, batch_norm2d, conv_transpose2d, conv2d, global_avg_pool2d,
    leaky_relu, linear, local_response_norm, max_pool2d, mean_absolute_error, mean_squared_error,
    relu, relu6, softmax_cross_entropy, squared_error, upsample,
};

use crate::reference::{self, Four};

/// The operation under test.
type Apply = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;
/// The same in double precision.
type Reference = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64>>;

/// An operation, the shapes of its inputs, and what it should compute.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Vec<usize>>,
    pub(crate) apply: Apply,
    pub(crate) reference: Reference,
}

fn case(
    name: impl Into<String>,
    inputs: &[&[usize]],
    apply: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64> + 'static,
) -> Case {
    Case {
        name: name.into(),
        inputs: inputs.iter().map(|shape| shape.to_vec()).collect(),
        apply: Box::new(apply),
        reference: Box::new(reference),
    }
}

fn convolution(transposed: bool, x: Four, w: Four, bias: bool, config: Conv2dConfig) -> Case {
    let out = if transposed { w[1] * config.groups } else { w[0] };
    let op = if transposed { "conv_transpose2d" } else { "conv2d" };
    let inputs: [&[usize]; 3] = [&x, &w, &[out]];
    case(
        format!("{op} {x:?} {w:?} bias {bias} {config:?}"),
        &inputs[..if bias { 3 } else { 2 }],
        move |t| {
            let op = if transposed { conv_transpose2d } else { conv2d };
            op(&t[0], &t[1], t.get(2), config)
        },
        move |t| {
            let bias = t.get(2).map(Vec::as_slice);
            if transposed {
                reference::conv_transpose2d((&t[0], x), (&t[1], w), bias, config)
            } else {
                reference::conv2d((&t[0], x), (&t[1], w), bias, config)
            }
        },
    )
}

fn config(stride: (usize, usize), padding: (usize, usize), groups: usize) -> Conv2dConfig {
    Conv2dConfig { stride, padding, groups, ..Conv2dConfig::default() }
}

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    // Maps wide and narrow, so that both engines run; sizes that a stride does not divide.
    let conv: [(Four, Four, Conv2dConfig); 12] = [
        ([2, 3, 7, 9], [5, 3, 3, 3], config((1, 1), (1, 1), 1)),
        ([2, 4, 8, 7], [6, 2, 3, 2], config((2, 1), (1, 0), 2)),
        ([1, 2, 9, 18], [3, 2, 2, 5], config((1, 2), (0, 2), 1)),
        ([1, 1, 11, 20], [9, 1, 5, 4], config((3, 2), (2, 1), 1)),
        ([3, 6, 2, 3], [9, 2, 2, 3], config((1, 1), (1, 2), 3)),
        ([2, 3, 5, 17], [4, 3, 1, 1], config((1, 1), (0, 0), 1)),
        ([2, 2, 6, 7], [4, 1, 1, 1], config((2, 3), (0, 0), 2)),
        ([1, 2, 6, 6], [2, 2, 6, 6], config((1, 1), (0, 0), 1)),
        ([1, 2, 3, 4], [3, 2, 2, 2], config((1, 1), (3, 4), 1)),
        ([1, 2, 7, 8], [3, 2, 2, 3], config((4, 5), (1, 0), 1)),
        ([1, 4, 5, 21], [4, 1, 3, 3], config((1, 1), (1, 1), 4)),
        ([2, 3, 2, 3], [4, 3, 3, 3], config((1, 2), (1, 1), 1)),
    ];
    for (i, (x, w, config)) in conv.into_iter().enumerate() {
        cases.push(convolution(false, x, w, i % 2 == 0, config));
    }
    let transposed: [(Four, Four, Conv2dConfig); 8] = [
        ([2, 3, 4, 5], [3, 4, 4, 4], config((2, 2), (1, 1), 1)),
        ([1, 4, 3, 9], [4, 3, 3, 2], config((1, 2), (0, 1), 2)),
        ([2, 2, 5, 3], [2, 5, 2, 3], config((3, 1), (0, 0), 1)),
        ([1, 2, 4, 4], [2, 1, 3, 5], config((2, 3), (1, 2), 2)),
        ([1, 3, 9, 17], [3, 2, 3, 3], config((1, 1), (1, 1), 1)),
        ([1, 2, 3, 3], [2, 2, 1, 2], config((2, 3), (0, 0), 1)),
        ([2, 5, 1, 1], [5, 3, 4, 4], config((1, 1), (0, 0), 1)),
        ([2, 6, 3, 3], [6, 1, 2, 2], config((2, 2), (0, 0), 3)),
    ];
    for (i, (x, w, config)) in transposed.into_iter().enumerate() {
        cases.push(convolution(true, x, w, i % 2 == 1, config));
    }
    // Dilations with and without a factor that the stride has too; more taps than the image has pixels.
    let dilated =
        |dilation, more, config| Conv2dConfig { dilation, output_padding: more, ..config };
    let none = (0, 0);
    let conv: [(Four, Four, Conv2dConfig); 7] = [
        ([2, 3, 9, 11], [5, 3, 3, 3], dilated((2, 2), none, config((1, 1), (2, 2), 1))),
        ([1, 2, 12, 13], [3, 2, 3, 2], dilated((3, 4), none, config((1, 1), (0, 1), 1))),
        ([2, 4, 13, 12], [6, 2, 3, 3], dilated((2, 3), none, config((2, 2), (2, 1), 2))),
        ([1, 2, 14, 16], [2, 2, 3, 3], dilated((4, 6), none, config((6, 4), (4, 6), 1))),
        ([1, 2, 4, 5], [3, 2, 3, 3], dilated((4, 5), none, config((1, 1), (5, 5), 1))),
        ([1, 1, 9, 17], [33, 1, 1, 4], dilated((7, 2), none, config((2, 1), (0, 3), 1))),
        ([1, 4, 10, 10], [4, 1, 3, 3], dilated((3, 3), none, config((1, 1), (3, 3), 4))),
    ];
    for (i, (x, w, config)) in conv.into_iter().enumerate() {
        cases.push(convolution(false, x, w, i % 2 == 0, config));
    }
    let transposed: [(Four, Four, Conv2dConfig); 7] = [
        ([2, 3, 4, 5], [3, 4, 3, 3], dilated((1, 1), (1, 1), config((2, 2), (1, 1), 1))),
        ([1, 2, 5, 4], [2, 3, 3, 2], dilated((1, 1), (2, 0), config((3, 2), (0, 1), 1))),
        ([1, 4, 5, 6], [4, 2, 3, 3], dilated((2, 3), none, config((1, 1), (1, 2), 2))),
        ([1, 3, 4, 5], [3, 2, 3, 3], dilated((2, 3), (1, 1), config((2, 2), (1, 0), 1))),
        ([1, 2, 3, 4], [2, 2, 3, 2], dilated((4, 6), (3, 5), config((6, 4), (2, 1), 1))),
        ([1, 2, 4, 4], [2, 3, 2, 2], dilated((3, 4), (2, 3), config((1, 1), (1, 1), 1))),
        ([1, 17, 3, 3], [17, 33, 3, 3], dilated((2, 2), (1, 1), config((3, 3), (0, 0), 1))),
    ];
    for (i, (x, w, config)) in transposed.into_iter().enumerate() {
        cases.push(convolution(true, x, w, i % 2 == 1, config));
    }
    for slope in [0.0, 0.3] {
        let fused = Conv2dConfig::new(2, 1).with_leaky(slope);
        for bias in [false, true] {
            cases.push(convolution(false, [2, 3, 6, 7], [5, 3, 3, 3], bias, fused));
            cases.push(convolution(true, [2, 3, 4, 4], [3, 5, 4, 4], bias, fused));
        }
    }
    cases
}

fn pools() -> Vec<Case> {
    let pool =
        |kernel, stride, padding, ceil_mode| Pool2dConfig { kernel, stride, padding, ceil_mode };
    let configs: [(Four, Pool2dConfig); 8] = [
        ([2, 3, 7, 9], pool((3, 3), (2, 2), (0, 0), false)),
        ([2, 3, 8, 6], pool((3, 3), (2, 2), (0, 0), true)),
        ([1, 2, 5, 8], pool((2, 3), (2, 1), (1, 1), false)),
        ([1, 2, 5, 8], pool((2, 3), (2, 2), (1, 1), true)),
        ([1, 1, 6, 7], pool((5, 4), (1, 3), (2, 2), true)),
        ([1, 1, 4, 5], pool((1, 2), (3, 3), (0, 1), false)),
        ([1, 2, 4, 4], pool((4, 4), (4, 4), (0, 0), false)),
        ([2, 1, 3, 10], pool((3, 2), (1, 2), (1, 0), true)),
    ];
    let mut cases: Vec<Case> = configs
        .into_iter()
        .map(|(x, config)| {
            case(
                format!("max_pool2d {x:?} {config:?}"),
                &[&x],
                move |t| max_pool2d(&t[0], config),
                move |t| reference::max_pool2d(&t[0], x, config),
            )
        })
        .collect();
    for (x, windows) in configs {
        for count_include_pad in [true, false] {
            let config = AvgPool2dConfig { windows, count_include_pad };
            cases.push(case(
                format!("avg_pool2d {x:?} {config:?}"),
                &[&x],
                move |t| avg_pool2d(&t[0], config),
                move |t| reference::avg_pool2d(&t[0], x, config),
            ));
        }
    }
    let x: Four = [3, 4, 5, 6];
    cases.push(case(
        "global_avg_pool2d",
        &[&x],
        |t| global_avg_pool2d(&t[0]),
        move |t| reference::global_avg_pool2d(&t[0], x),
    ));
    cases
}

fn norms() -> Vec<Case> {
    // Alpha is large so that the window matters; the usual beta takes another path.
    let configs = [
        ([2, 7, 3, 4], LrnConfig { size: 5, alpha: 2.0, beta: 0.75, k: 1.0 }),
        ([1, 4, 2, 5], LrnConfig { size: 3, alpha: 1.5, beta: 0.6, k: 2.0 }),
        ([1, 3, 2, 2], LrnConfig { size: 9, alpha: 3.0, beta: 0.75, k: 1.0 }),
        ([1, 3, 2, 2], LrnConfig { size: 1, alpha: 1.0, beta: 0.5, k: 0.5 }),
        ([2, 6, 3, 3], LrnConfig::default()),
    ];
    let norm = |(x, config): (Four, LrnConfig)| {
        case(
            format!("local_response_norm {x:?} {config:?}"),
            &[&x],
            move |t| local_response_norm(&t[0], config),
            move |t| reference::local_response_norm(&t[0], x, config),
        )
    };
    let mut cases: Vec<Case> = configs.into_iter().map(norm).collect();
    for (x, epsilon) in [([3, 2, 3, 4], 1e-5), ([2, 5, 1, 1], 0.1), ([1, 3, 5, 7], 0.0)] {
        let c = x[1];
        let inputs: [&[usize]; 3] = [&x, &[c], &[c]];
        cases.push(case(
            format!("batch_norm2d {x:?}, of the batch"),
            &inputs,
            move |t| batch_norm2d(&t[0], Some((&t[1], &t[2])), BatchNormStatistics::Batch, epsilon),
            move |t| reference::batch_norm2d(&t[0], x, (&t[1], &t[2]), None, epsilon),
        ));
        cases.push(case(
            format!("batch_norm2d {x:?}, without weight and bias"),
            &inputs[..1],
            move |t| batch_norm2d(&t[0], None, BatchNormStatistics::Batch, epsilon),
            move |t| {
                let affine = (&vec![1.0; c][..], &vec![0.0; c][..]);
                reference::batch_norm2d(&t[0], x, affine, None, epsilon)
            },
        ));
        let fixed: [Vec<f32>; 2] =
            [(0..c).map(|c| c as f32 - 1.5).collect(), (0..c).map(|c| c as f32 + 0.25).collect()];
        let wide = fixed.clone().map(|values| values.into_iter().map(f64::from).collect());
        let wide: [Vec<f64>; 2] = wide;
        cases.push(case(
            format!("batch_norm2d {x:?}, of running statistics"),
            &inputs,
            move |t| {
                let [mean, variance] =
                    fixed.each_ref().map(|values| Tensor::new(&values[..], t[0].device()));
                let statistics = BatchNormStatistics::Fixed { mean: &mean?, variance: &variance? };
                batch_norm2d(&t[0], Some((&t[1], &t[2])), statistics, epsilon)
            },
            move |t| {
                let fixed = Some((&wide[0][..], &wide[1][..]));
                reference::batch_norm2d(&t[0], x, (&t[1], &t[2]), fixed, epsilon)
            },
        ));
    }
    cases
}

fn upsamplings() -> Vec<Case> {
    // Larger, smaller, the same, from and to a single pixel.
    let sizes = [([2, 3, 4, 5], (8, 15)), ([1, 2, 7, 6], (5, 13)), ([1, 2, 3, 5], (3, 5))];
    let sizes = [&sizes[..], &[([2, 1, 1, 4], (3, 1)), ([1, 1, 9, 2], (4, 7))]].concat();
    let hows = [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::BilinearAligned];
    let both = sizes.into_iter().flat_map(|size| hows.map(|how| (size, how)));
    both.map(|((x, size), how)| {
        case(
            format!("upsample {x:?} to {size:?}, {how:?}"),
            &[&x],
            move |t| upsample(&t[0], size, how),
            move |t| reference::upsample(&t[0], x, size, how),
        )
    })
    .collect()
}

fn others() -> Vec<Case> {
    let map = |x: &[f64], slope: f64| x.iter().map(|&x| reference::leaky(x, slope)).collect();
    let sum = |a: &[f64], b: &[f64], f: fn(f64) -> f64| {
        vec![a.iter().zip(b).map(|(a, b)| f(a - b)).sum::<f64>()]
    };
    const LABELS: [u32; 4] = [2, 0, 4, 2];
    vec![
        case("relu", &[&[2, 3, 5, 7]], |t| relu(&t[0]), move |t| map(&t[0], 0.0)),
        case(
            "leaky_relu",
            &[&[3, 50]],
            |t| leaky_relu(&t[0], 0.3),
            move |t| map(&t[0], f64::from(0.3f32)),
        ),
        case(
            "relu6",
            &[&[3, 50]],
            // Values on both sides of 6.
            |t| relu6(&(&t[0] * 9.0)?),
            |t| t[0].iter().map(|x| (9.0 * x).clamp(0.0, 6.0)).collect(),
        ),
        case(
            "linear of tokens",
            &[&[2, 3, 7], &[3, 7], &[3]],
            |t| linear(&t[0], &t[1], Some(&t[2])),
            |t| reference::linear(&t[0], &t[1], Some(&t[2]), 7),
        ),
        case(
            "linear of a vector",
            &[&[7], &[3, 7]],
            |t| linear(&t[0], &t[1], None),
            |t| reference::linear(&t[0], &t[1], None, 7),
        ),
        case(
            "mean_squared_error",
            &[&[2, 3, 4, 5], &[2, 3, 4, 5]],
            |t| mean_squared_error(&t[0], &t[1]),
            move |t| vec![sum(&t[0], &t[1], |d| d * d)[0] / 120.0],
        ),
        case(
            "mean_absolute_error",
            &[&[2, 3, 4, 5], &[2, 3, 4, 5]],
            |t| mean_absolute_error(&t[0], &t[1]),
            move |t| vec![sum(&t[0], &t[1], f64::abs)[0] / 120.0],
        ),
        case(
            "linear with bias",
            &[&[5, 7], &[3, 7], &[3]],
            |t| linear(&t[0], &t[1], Some(&t[2])),
            |t| reference::linear(&t[0], &t[1], Some(&t[2]), 7),
        ),
        case(
            "linear",
            &[&[1, 33], &[19, 33]],
            |t| linear(&t[0], &t[1], None),
            |t| reference::linear(&t[0], &t[1], None, 33),
        ),
        case(
            "softmax_cross_entropy",
            &[&[4, 5]],
            |t| softmax_cross_entropy(&t[0], &LABELS),
            |t| vec![reference::softmax_cross_entropy(&t[0], &LABELS)],
        ),
        case(
            "squared_error",
            &[&[2, 3, 4, 5], &[2, 3, 4, 5]],
            |t| squared_error(&t[0], &t[1]),
            move |t| sum(&t[0], &t[1], |d| d * d),
        ),
        case(
            "absolute_error",
            &[&[2, 3, 4, 5], &[2, 3, 4, 5]],
            |t| absolute_error(&t[0], &t[1]),
            move |t| sum(&t[0], &t[1], f64::abs),
        ),
    ]
}

/// Returns every case.
pub(crate) fn all() -> Vec<Case> {
    [convolutions(), pools(), norms(), upsamplings(), others()].into_iter().flatten().collect()
}
