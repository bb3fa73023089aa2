//! ResNet-18 (He et al. 2016), an ImageNet classifier of residual blocks, as torchvision has it.
//!
//! Not among the paper's comparators. Rows with weights are named as PyTorch's modules, so that torchvision's state
//! dictionary is the weight file. Batch normalisations use the running statistics of training and are computed within
//! the convolutions before them.

use deepsim_ops::Pool2dConfig;

use crate::init::Filler;
use crate::layers::{Conv, Layer, Op, Table};

/// Added to the variance by every batch normalisation.
const EPSILON: f64 = 1e-5;
/// Channels of the four stages, each of [`BLOCKS`] blocks. All but the first halve the side of the maps.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];
const BLOCKS: usize = 2;
/// Max-pooling 3x3 with stride 2 and a border of one.
const POOL: Op = Op::MaxPool(Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new(3, 2) });

/// Names of the features, each with its row: the pooled stem, the output of each stage, the mean over its positions,
/// scores and probabilities of the 1000 classes. Maps have a 4th, 4th, 8th, 16th and 32nd of the input's side.
pub(crate) const TAPS: [(&str, &str); 8] = [
    ("STEM", "maxpool"),
    ("LAYER1", "layer1.1"),
    ("LAYER2", "layer2.1"),
    ("LAYER3", "layer3.1"),
    ("LAYER4", "layer4.1"),
    ("HEAD", "avgpool"),
    ("LOGITS", "fc"),
    ("PROB", "prob"),
];

impl Table {
    /// Adds a convolution that keeps the size, except for its stride, and a batch normalisation.
    fn normalised(&mut self, [name, norm]: [String; 2], conv: Conv) {
        let conv = conv.pad(conv.kernel / 2).no_bias();
        self.row(name, Op::Conv(conv));
        self.row(norm, Op::BatchNorm { epsilon: EPSILON });
    }

    /// Adds a residual block: two convolutions 3x3, and the input of the block, brought to the shape of the output
    /// where its shape is another. The last row has the name of the block.
    fn residual_block(&mut self, block: String, stride: usize, channels: usize) {
        let input = self.last();
        let names = |names: [&str; 2]| names.map(|name| format!("{block}.{name}"));
        let narrow = |kernel| Conv::new(channels, kernel);
        self.normalised(names(["conv1", "bn1"]), narrow(3).stride(stride));
        self.row(format!("{block}.relu"), Op::Relu);
        self.normalised(names(["conv2", "bn2"]), narrow(3));
        let mut shortcut = input.clone();
        if stride > 1 {
            let first = self.0.len();
            let [convolution, norm] = names(["downsample.0", "downsample.1"]);
            shortcut = norm.clone().into();
            self.normalised([convolution, norm], narrow(1).stride(stride));
            self.0[first].from = vec![input];
        }
        let sum = self.row(format!("{block}.add"), Op::Add);
        sum.from = vec![format!("{block}.bn2").into(), shortcut];
        self.row(block, Op::Relu);
    }
}

/// The layers for `(N, 3, H, W)`, 224 pixels in the original.
pub(crate) fn layers() -> Vec<Layer> {
    let mut table = Table::default();
    table.normalised(["conv1".into(), "bn1".into()], Conv::new(64, 7).stride(2));
    table.row("relu".into(), Op::Relu);
    table.row("maxpool".into(), POOL);
    for (stage, channels) in (1..).zip(CHANNELS) {
        for block in 0..BLOCKS {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            table.residual_block(format!("layer{stage}.{block}"), stride, channels);
        }
    }
    table.row("avgpool".into(), Op::GlobalAvgPool);
    table.row("fc".into(), Op::Linear(1000, Filler::Gaussian { std: 0.01, bias: 0.0 }));
    table.row("prob".into(), Op::Softmax);
    table.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_network_has_the_published_number_of_weights() {
        let tensors = crate::layers::tensors(&super::layers(), 3).concat();
        let statistic = |name: &str| name.contains("running_");
        let count = |of: bool| -> usize {
            let some = tensors.iter().filter(|(name, _)| statistic(name) == of);
            some.map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        assert_eq!((count(false), count(true)), (11_689_512, 9_600));
    }
}
