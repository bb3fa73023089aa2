//! Operations as the fixture names them.

use candle_core::{Device, Tensor, Var};
use deepsim_ops::{
    AvgPool2dConfig, BatchNormStatistics, Conv2dConfig, LrnConfig, Pool2dConfig, Upsampling,
    absolute_error, avg_pool2d, batch_norm2d, conv_transpose2d, conv2d, global_avg_pool2d,
    leaky_relu, linear, local_response_norm, max_pool2d, mean_absolute_error, mean_squared_error,
    relu, relu6, softmax_cross_entropy, squared_error, upsample,
};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) op: Op,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Op {
    Conv2d(Convolution),
    ConvTranspose2d(Convolution),
    MaxPool2d {
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
        ceil: bool,
    },
    AvgPool2d {
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
        ceil: bool,
        count: bool,
    },
    Upsample {
        size: (usize, usize),
        how: How,
    },
    BatchNorm2d(BatchNorm),
    GlobalAvgPool2d,
    Relu6,
    Lrn {
        size: usize,
        alpha: f32,
        beta: f32,
        k: f32,
    },
    LeakyRelu {
        slope: f64,
    },
    Linear,
    SoftmaxCrossEntropy {
        labels: Vec<u32>,
    },
    SquaredError,
    AbsoluteError,
    MeanSquaredError,
    MeanAbsoluteError,
    Adam {
        steps: u64,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        weight_decay: f64,
    },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    Nearest,
    Bilinear,
    BilinearAligned,
}

/// Statistics before, and after an update.
#[derive(Deserialize)]
pub(super) struct BatchNorm {
    pub(super) training: bool,
    epsilon: f64,
    momentum: f64,
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
    pub(super) new_mean: Vec<f32>,
    pub(super) new_variance: Vec<f32>,
}

impl BatchNorm {
    /// The result, and the statistics after it.
    pub(super) fn run(&self, t: &[Tensor]) -> candle_core::Result<(Tensor, [Var; 2])> {
        let [mean, variance] =
            [&self.mean, &self.variance].map(|values| Var::new(&values[..], &Device::Cpu));
        let (mean, variance) = (mean?, variance?);
        let statistics = match self.training {
            true => BatchNormStatistics::Update {
                mean: &mean,
                variance: &variance,
                momentum: self.momentum,
            },
            false => BatchNormStatistics::Fixed { mean: &mean, variance: &variance },
        };
        let y = batch_norm2d(&t[0], Some((&t[1], &t[2])), statistics, self.epsilon)?;
        Ok((y, [mean, variance]))
    }
}

#[derive(Deserialize)]
pub(super) struct Convolution {
    pub(super) x: Vec<usize>,
    pub(super) w: Vec<usize>,
    pub(super) b: Option<Vec<usize>>,
    pub(super) w_amplitude: f32,
    stride: (usize, usize),
    padding: (usize, usize),
    #[serde(default = "dense")]
    dilation: (usize, usize),
    #[serde(default)]
    output_padding: (usize, usize),
    groups: usize,
    leaky: Option<f32>,
}

fn dense() -> (usize, usize) {
    (1, 1)
}

impl Convolution {
    fn config(&self) -> Conv2dConfig {
        let &Self { stride, padding, dilation, output_padding, groups, leaky, .. } = self;
        Conv2dConfig { stride, padding, dilation, output_padding, groups, leaky }
    }
}

/// An operation on its inputs.
type Apply<'a> = dyn Fn(&[Tensor]) -> candle_core::Result<Tensor> + 'a;

/// Inputs with their names, and the operation on them.
pub(super) struct Run<'a> {
    pub(super) inputs: &'a [&'a str],
    pub(super) apply: Box<Apply<'a>>,
}

impl Op {
    /// Name of the operation's function.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(_) => "conv2d",
            Op::ConvTranspose2d(_) => "conv_transpose2d",
            Op::MaxPool2d { .. } => "max_pool2d",
            Op::AvgPool2d { .. } => "avg_pool2d",
            Op::GlobalAvgPool2d => "global_avg_pool2d",
            Op::Upsample { .. } => "upsample",
            Op::BatchNorm2d(_) => "batch_norm2d",
            Op::Lrn { .. } => "local_response_norm",
            Op::LeakyRelu { .. } => "relu, leaky_relu",
            Op::Relu6 => "relu6",
            Op::Linear => "linear",
            Op::SoftmaxCrossEntropy { .. } => "softmax_cross_entropy",
            Op::SquaredError => "squared_error",
            Op::AbsoluteError => "absolute_error",
            Op::MeanSquaredError => "mean_squared_error",
            Op::MeanAbsoluteError => "mean_absolute_error",
            Op::Adam { .. } => "adam_update",
        }
    }

    pub(super) fn run(&self) -> Option<Run<'_>> {
        let run = |inputs, apply| Some(Run { inputs, apply });
        match self {
            Op::Conv2d(c) => run(
                if c.b.is_some() { &["x", "w", "b"] } else { &["x", "w"] },
                Box::new(|t| conv2d(&t[0], &t[1], t.get(2), c.config())),
            ),
            Op::ConvTranspose2d(c) => run(
                if c.b.is_some() { &["x", "w", "b"] } else { &["x", "w"] },
                Box::new(|t| conv_transpose2d(&t[0], &t[1], t.get(2), c.config())),
            ),
            &Op::MaxPool2d { kernel, stride, padding, ceil: ceil_mode } => run(
                &["x"],
                Box::new(move |t| {
                    max_pool2d(&t[0], Pool2dConfig { kernel, stride, padding, ceil_mode })
                }),
            ),
            &Op::AvgPool2d { kernel, stride, padding, ceil: ceil_mode, count } => run(
                &["x"],
                Box::new(move |t| {
                    let windows = Pool2dConfig { kernel, stride, padding, ceil_mode };
                    avg_pool2d(&t[0], AvgPool2dConfig { windows, count_include_pad: count })
                }),
            ),
            &Op::Upsample { size, how } => run(
                &["x"],
                Box::new(move |t| {
                    let how = match how {
                        How::Nearest => Upsampling::Nearest,
                        How::Bilinear => Upsampling::Bilinear,
                        How::BilinearAligned => Upsampling::BilinearAligned,
                    };
                    upsample(&t[0], size, how)
                }),
            ),
            Op::BatchNorm2d(norm) => {
                run(&["x", "w", "b"], Box::new(|t| norm.run(t).map(|(y, _)| y)))
            }
            Op::Relu6 => run(&["x"], Box::new(|t| relu6(&t[0]))),
            Op::MeanSquaredError => {
                run(&["a", "b"], Box::new(|t| mean_squared_error(&t[0], &t[1])))
            }
            Op::MeanAbsoluteError => {
                run(&["a", "b"], Box::new(|t| mean_absolute_error(&t[0], &t[1])))
            }
            Op::GlobalAvgPool2d => run(&["x"], Box::new(|t| global_avg_pool2d(&t[0]))),
            &Op::Lrn { size, alpha, beta, k } => run(
                &["x"],
                Box::new(move |t| local_response_norm(&t[0], LrnConfig { size, alpha, beta, k })),
            ),
            &Op::LeakyRelu { slope } => run(
                &["x"],
                Box::new(
                    move |t| if slope == 0.0 { relu(&t[0]) } else { leaky_relu(&t[0], slope) },
                ),
            ),
            Op::Linear => run(&["x", "w", "b"], Box::new(|t| linear(&t[0], &t[1], Some(&t[2])))),
            Op::SoftmaxCrossEntropy { labels } => {
                run(&["x"], Box::new(|t| softmax_cross_entropy(&t[0], labels)))
            }
            Op::SquaredError => run(&["a", "b"], Box::new(|t| squared_error(&t[0], &t[1]))),
            Op::AbsoluteError => run(&["a", "b"], Box::new(|t| absolute_error(&t[0], &t[1]))),
            Op::Adam { .. } => None,
        }
    }
}
