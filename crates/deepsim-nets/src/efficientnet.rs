//! EfficientNet-Lite0 (Tan & Le 2019; TensorFlow's `efficientnet/lite`), an ImageNet classifier of inverted residual
//! blocks with ReLU6, without squeeze-and-excitation.
//!
//! Not one of the paper's comparators: an independent judge, with which nothing is trained, whose weights come with
//! the project (`data/weights/efficientnet-lite0.safetensors`). Rows with weights are named as the modules of the
//! PyTorch package `efficientnet_lite_pytorch`, so that its state dictionary is the weight file.

use deepsim_ops::{ChannelOrder, PixelFormat};

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Table};

/// Pixels of the original: RGB minus 127, divided by 128.
pub const FORMAT: PixelFormat =
    PixelFormat { order: ChannelOrder::Rgb, mean: [127.0; 3], scale: [1.0 / 128.0; 3] };

/// Side in pixels that smaller images are enlarged to. Of 400 validation pictures of ImageNet reduced to 64 pixels it
/// recognises 12 % as they are, 30 % enlarged to 128, 42 % to 160 and 44 % to 224, which costs twice as much as 160.
pub const INPUT: usize = 160;

/// Added to the variance by every batch normalisation.
const EPSILON: f64 = 1e-3;

/// Blocks of one stage, which share kernel and width.
struct Stage {
    blocks: usize,
    kernel: usize,
    /// Stride of the first block; the others have 1.
    stride: usize,
    /// Channels within a block, as a multiple of those of its input.
    expand: usize,
    out: usize,
}

const fn stage(blocks: usize, kernel: usize, stride: usize, expand: usize, out: usize) -> Stage {
    Stage { blocks, kernel, stride, expand, out }
}

/// Stages between stem and head.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// Names of the features, each with its row: the stem, the output of each stage, the last convolution, scores and
/// probabilities of the 1000 classes. Maps have a 2nd, 2nd, 4th, 8th, 16th, 16th, 32nd, 32nd and 32nd of the input's
/// side.
pub(crate) const TAPS: [(&str, &str); 11] = [
    ("STEM", "stem"),
    ("STAGE1", "_blocks.0._bn2"),
    ("STAGE2", "_blocks.2"),
    ("STAGE3", "_blocks.4"),
    ("STAGE4", "_blocks.7"),
    ("STAGE5", "_blocks.10"),
    ("STAGE6", "_blocks.14"),
    ("STAGE7", "_blocks.15._bn2"),
    ("HEAD", "head"),
    ("LOGITS", "_fc"),
    ("PROB", "prob"),
];

impl Table {
    /// Convolution and batch normalisation. Padding is TensorFlow's `SAME` for an even input: where the stride is 2,
    /// one zero less in front than behind.
    fn same_normalised(&mut self, [name, norm]: [String; 2], conv: Conv) {
        let around = conv.kernel - conv.stride;
        let conv = match around % 2 {
            0 => conv.pad(around / 2),
            _ => {
                let (top, bottom) = (around / 2, around / 2 + 1);
                let pad = Op::Pad { top, bottom, left: top, right: bottom };
                self.row(format!("{name}.pad"), pad);
                conv
            }
        };
        self.row(name, Op::Conv(conv.no_bias()));
        self.row(norm, Op::BatchNorm { epsilon: EPSILON });
    }

    /// Inverted residual block: 1x1 to more channels, depthwise, 1x1 to few channels, and the input where it has the
    /// shape of the output. Its last row has the name of the block.
    fn inverted_block(&mut self, number: usize, inputs: usize, stride: usize, stage: &Stage) {
        let block = format!("_blocks.{number}");
        let input = self.last();
        let [expand, depthwise, project] =
            [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
                .map(|(conv, norm)| [conv, norm].map(|part| format!("{block}.{part}")));
        let wide = inputs * stage.expand;
        let adds = stride == 1 && inputs == stage.out;
        if stage.expand > 1 {
            self.same_normalised(expand, Conv::new(wide, 1));
            self.row(format!("{block}.expanded"), Op::Relu6);
        }
        self.same_normalised(depthwise, Conv::new(wide, stage.kernel).stride(stride).groups(wide));
        self.row(format!("{block}.filtered"), Op::Relu6);
        let [project, norm] = project;
        // The last row of a block without an addition is its normalisation, which needs the name of its weights.
        self.same_normalised([project, norm.clone()], Conv::new(stage.out, 1));
        if adds {
            self.row(block, Op::Add).from = vec![norm.into(), input];
        }
    }
}

/// The layers for `(N, 3, H, W)`, 224 pixels in the original.
pub(crate) fn layers() -> Vec<Layer> {
    let mut table = Table::default();
    let own = |names: [&str; 2]| names.map(str::to_owned);
    table.same_normalised(own(["_conv_stem", "_bn0"]), Conv::new(32, 3).stride(2));
    table.row("stem".into(), Op::Relu6);
    let (mut number, mut inputs) = (0, 32);
    for stage in &STAGES {
        for block in 0..stage.blocks {
            table.inverted_block(number, inputs, if block == 0 { stage.stride } else { 1 }, stage);
            (number, inputs) = (number + 1, stage.out);
        }
    }
    table.same_normalised(own(["_conv_head", "_bn1"]), Conv::new(1280, 1));
    table.row("head".into(), Op::Relu6);
    table.row("pool".into(), Op::GlobalAvgPool);
    table.row("_fc".into(), Op::Linear(1000, Filler::Gaussian { std: 0.01, bias: 0.0 }));
    table.row("prob".into(), Op::Softmax);
    table.0
}
