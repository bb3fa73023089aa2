//! Small cases of every operation, each with its plain loop.

use candle_core::{Result, Tensor};
use deepsim_ops::{
    Conv2dConfig, LrnConfig, Pool2dConfig, absolute_error, conv_transpose2d, conv2d,
    global_avg_pool2d, leaky_relu, linear, local_response_norm, max_pool2d, relu,
    softmax_cross_entropy, squared_error,
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
    Conv2dConfig { stride, padding, groups, leaky: None }
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
    configs.into_iter().map(norm).collect()
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

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [convolutions(), pools(), norms(), others()].into_iter().flatten().collect()
}
