//! VGG16 and VGG19 (Simonyan & Zisserman 2015), the trunks of most perceptual losses, in the two forms in which their
//! weights exist.
//!
//! Not among the paper's comparators. torchvision's networks take RGB and have rows with the names of PyTorch's
//! modules, so that a state dictionary is a weight file; VGG16 is the trunk of one LPIPS (Zhang et al. 2018). The
//! authors' Caffe models take BGR minus a mean, and Caffe rounds the sizes of pooled maps up. Weights of one form do
//! not fit the other, although their shapes are the same.
//!
//! Taps have the field's names in both: `relu3_3` is the output of the third block's third convolution and its ReLU.

use std::borrow::Cow;

use deepsim_ops::{ChannelOrder, PixelFormat, Pool2dConfig};

use crate::comparator::ComparatorSpec;
use crate::init::Filler;
use crate::layers::{Conv, Layer, Op};

/// Pixels of the authors' models: BGR minus the mean of ImageNet's training images.
pub const CAFFE_FORMAT: PixelFormat =
    PixelFormat { order: ChannelOrder::Bgr, mean: [103.939, 116.779, 123.68], scale: [1.0; 3] };

/// Convolutions in each block of VGG16: configuration D of the paper.
pub(crate) const VGG16: [usize; 5] = [2, 2, 3, 3, 3];
/// Convolutions in each block of VGG19: configuration E.
pub(crate) const VGG19: [usize; 5] = [2, 2, 4, 4, 4];
/// Channels of each block.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];
/// Side of the maps that the fully connected layers take: that of an image of 224 pixels after five poolings.
const REACHED: usize = 7;

/// Program that a network's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The authors' Caffe models.
    Caffe,
    /// PyTorch's torchvision.
    Torchvision,
}

/// The network while it is written.
struct Table {
    form: Form,
    layers: Vec<Layer>,
    taps: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Names in the ONNX model zoo, with those of the rows.
    zoo: Vec<(String, String)>,
}

impl Table {
    /// Adds a row, which is called as in Caffe or as torchvision's module. Returns its name.
    fn row(&mut self, caffe: &str, module: String, op: Op) -> String {
        let name = match self.form {
            Form::Caffe => caffe.to_owned(),
            Form::Torchvision => module,
        };
        self.layers.push(Layer { name: name.clone().into(), op, from: Vec::new() });
        name
    }

    /// Adds a row of the convolutional part, in which every row is a module of torchvision.
    fn feature(&mut self, caffe: &str, op: Op) -> String {
        self.row(caffe, format!("features.{}", self.layers.len()), op)
    }

    /// Names a feature.
    fn tap(&mut self, tap: String, row: String) {
        self.taps.push((tap.into(), row.into()));
    }

    /// Adds the convolutional part, for `(N, 3, H, W)`.
    fn features(&mut self, blocks: [usize; 5]) {
        let windows = Pool2dConfig::new(2, 2);
        let pool = match self.form {
            Form::Caffe => Op::MaxPool(windows.ceil()),
            Form::Torchvision => Op::MaxPool(windows),
        };
        let mut count = 0;
        for (block, (convolutions, channels)) in (1..).zip(blocks.into_iter().zip(CHANNELS)) {
            for number in 1..=convolutions {
                let op = Op::Conv(Conv::new(channels, 3).pad(1));
                let row = self.feature(&format!("conv{block}_{number}"), op);
                self.zoo.push((format!("vgg0_conv{count}"), row));
                count += 1;
                let relu = format!("relu{block}_{number}");
                let row = self.feature(&relu, Op::Relu);
                self.tap(relu, row);
            }
            let name = format!("pool{block}");
            let row = self.feature(&name, pool);
            self.tap(name, row);
        }
    }

    /// Adds the fully connected part, for maps of 7x7. Dropout is left out, because a comparator is never trained
    /// here.
    fn classifier(&mut self) {
        let filler = Filler::Gaussian { std: 0.01, bias: 0.0 };
        let positions = REACHED * REACHED;
        self.row("flatten", "flatten".into(), Op::Flatten(positions));
        // Layer, outputs, and its place among torchvision's modules.
        for (number, (layer, outputs, place)) in
            [(6, 4096, 0), (7, 4096, 3), (8, 1000, 6)].into_iter().enumerate()
        {
            let module = |place| format!("classifier.{place}");
            let op = Op::Linear(outputs, filler);
            let mut row = self.row(&format!("fc{layer}"), module(place), op);
            self.zoo.push((format!("vgg0_dense{number}"), row.clone()));
            // FC8 are the class scores before the softmax.
            if layer < 8 {
                row = self.row(&format!("relu{layer}"), module(place + 1), Op::Relu);
            }
            self.tap(format!("FC{layer}"), row);
        }
        let row = self.row("prob", "prob".into(), Op::Softmax);
        self.tap("PROB".into(), row);
    }
}

/// The network with these blocks. The fully connected layers take images of 224 pixels, the others any size from 32.
pub(crate) fn spec(name: &'static str, blocks: [usize; 5], form: Form) -> ComparatorSpec {
    let mut table = Table { form, layers: Vec::new(), taps: Vec::new(), zoo: Vec::new() };
    table.features(blocks);
    table.classifier();
    let Table { layers, taps, zoo, .. } = table;
    let spec = |pixels| ComparatorSpec::new(name, layers, &[], pixels);
    match form {
        Form::Caffe => ComparatorSpec { taps, ..spec(CAFFE_FORMAT) },
        // The model zoo's networks take the same pixels as torchvision's.
        Form::Torchvision => ComparatorSpec { taps, ..spec(PixelFormat::TORCHVISION) }.aliases(zoo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convolutions(spec: &ComparatorSpec) -> Vec<&str> {
        let convolution = |layer: &&Layer| matches!(layer.op, Op::Conv(_));
        spec.layers.iter().filter(convolution).map(|layer| &*layer.name).collect()
    }

    #[test]
    fn rows_are_called_as_where_the_weights_come_from() {
        let places = |numbers: &[usize]| -> Vec<String> {
            numbers.iter().map(|number| format!("features.{number}")).collect()
        };
        // As printed by PyTorch.
        let sixteen = places(&[0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
        let nineteen = places(&[0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]);
        assert_eq!(convolutions(&spec("vgg16", VGG16, Form::Torchvision)), sixteen);
        assert_eq!(convolutions(&spec("vgg19", VGG19, Form::Torchvision)), nineteen);
        let caffe = spec("vgg16-caffe", VGG16, Form::Caffe);
        assert_eq!(convolutions(&caffe)[4..8], ["conv3_1", "conv3_2", "conv3_3", "conv4_1"]);
        let torchvision = spec("vgg16", VGG16, Form::Torchvision);
        for (tap, row) in [
            ("relu1_2", "features.3"),
            ("relu3_3", "features.15"),
            ("pool5", "features.30"),
            ("FC6", "classifier.1"),
            ("FC8", "classifier.6"),
        ] {
            let at = torchvision.row(tap).expect(tap);
            assert_eq!(torchvision.layers[at].name, row);
            // Caffe's rows have the names of the taps.
            assert_eq!(caffe.row(tap), Some(at));
        }
        assert_eq!(torchvision.alias("vgg0_conv12"), Some("features.28"));
        assert_eq!(torchvision.alias("vgg0_dense1"), Some("classifier.3"));
    }

    #[test]
    fn networks_have_the_published_numbers_of_weights() {
        for (blocks, expected) in [(VGG16, 138_357_544), (VGG19, 143_667_240)] {
            for form in [Form::Caffe, Form::Torchvision] {
                let tensors = spec("vgg", blocks, form).tensors().concat();
                let count: usize =
                    tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
                assert_eq!(count, expected);
            }
        }
    }
}
