//! The networks as tables of layers: enough to count weights and FLOPs and to name every
//! convolution. The counts of weights are compared with those of the real networks in every run.

/// A layer with weights, and the size of its square input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its name in the network.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) kind: Kind,
    /// Channels of its input.
    pub(crate) inputs: usize,
    /// Channels of its output.
    pub(crate) outputs: usize,
    /// Side of its input in pixels.
    pub(crate) side: usize,
    /// Side of its kernel.
    pub(crate) kernel: usize,
    /// Stride, or up-sampling factor.
    pub(crate) stride: usize,
    /// Zeros on each side.
    pub(crate) padding: usize,
    /// Groups.
    pub(crate) groups: usize,
    /// Whether it has a bias.
    pub(crate) bias: bool,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Convolution; a fully connected layer is one of a single pixel.
    Conv,
    /// Transposed convolution.
    UpConv,
}

impl Layer {
    const fn conv(
        name: &'static str,
        side: usize,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        let (kind, groups, bias) = (Kind::Conv, 1, true);
        Self { name, kind, inputs, outputs, side, kernel, stride, padding, groups, bias }
    }

    const fn same(name: &'static str, side: usize, inputs: usize, outputs: usize) -> Self {
        Self::conv(name, side, inputs, outputs, 3, 1, 1)
    }

    const fn up(name: &'static str, side: usize, inputs: usize, outputs: usize) -> Self {
        let layer = Self::conv(name, side, inputs, outputs, 4, 2, 1).no_bias();
        Self { kind: Kind::UpConv, ..layer }
    }

    const fn linear(name: &'static str, inputs: usize, outputs: usize) -> Self {
        Self::conv(name, 1, inputs, outputs, 1, 1, 0)
    }

    const fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Side of the output in pixels.
    fn out_side(&self) -> usize {
        match self.kind {
            Kind::Conv => (self.side + 2 * self.padding - self.kernel) / self.stride + 1,
            Kind::UpConv => (self.side - 1) * self.stride + self.kernel - 2 * self.padding,
        }
    }

    /// Number of weights and biases.
    pub(crate) fn parameters(&self) -> usize {
        let weights = self.inputs * self.outputs / self.groups * self.kernel * self.kernel;
        weights + if self.bias { self.outputs } else { 0 }
    }

    /// Nominal FLOPs of one pass over one image: every tap counts, those on the padding too. The
    /// passes for the two gradients cost as much each.
    pub(crate) fn flops(&self) -> f64 {
        let positions = match self.kind {
            Kind::Conv => self.out_side().pow(2),
            Kind::UpConv => self.side.pow(2),
        };
        let taps = self.inputs * self.outputs / self.groups * self.kernel * self.kernel;
        2.0 * taps as f64 * positions as f64
    }

    /// Whether another layer is the same convolution under another name.
    pub(crate) fn same_shape(&self, other: &Self) -> bool {
        Self { name: "", bias: false, ..*self } == Self { name: "", bias: false, ..*other }
    }
}

/// Table of the autoencoder for 64 pixels.
pub(crate) const AUTOENCODER: [Layer; 14] = [
    Layer::conv("encoder.c1", 64, 3, 32, 5, 2, 2),
    Layer::same("encoder.c2", 32, 32, 64),
    Layer::conv("encoder.c3", 32, 64, 64, 3, 2, 1),
    Layer::same("encoder.c4", 16, 64, 128),
    Layer::conv("encoder.c5", 16, 128, 128, 3, 2, 1),
    Layer::same("encoder.c6", 8, 128, 64),
    Layer::same("encoder.c7", 8, 64, 8),
    Layer::same("decoder.c1", 8, 8, 64).no_bias(),
    Layer::same("decoder.c2", 8, 64, 128).no_bias(),
    Layer::up("decoder.u1", 8, 128, 64),
    Layer::same("decoder.c3", 16, 64, 64).no_bias(),
    Layer::up("decoder.u2", 16, 64, 32),
    Layer::same("decoder.c4", 32, 32, 32).no_bias(),
    Layer::up("decoder.u3", 32, 32, 3),
];

/// Table of the generator that inverts FC6.
pub(crate) const FC6_GENERATOR: [Layer; 12] = [
    Layer::linear("defc7", 4096, 4096),
    Layer::linear("defc6", 4096, 4096),
    Layer::linear("defc5", 4096, 4096),
    Layer::up("deconv5", 4, 256, 256),
    Layer::same("conv5_1", 8, 256, 512).no_bias(),
    Layer::up("deconv4", 8, 512, 256),
    Layer::same("conv4_1", 16, 256, 256).no_bias(),
    Layer::up("deconv3", 16, 256, 128),
    Layer::same("conv3_1", 32, 128, 128).no_bias(),
    Layer::up("deconv2", 32, 128, 64),
    Layer::up("deconv1", 64, 64, 32),
    Layer::up("deconv0", 128, 32, 3),
];

/// The discriminator for 64 pixels, or with stride 4 for 227.
pub(crate) fn discriminator(side: usize, stride: usize) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut side = side;
    for (name, inputs, outputs, kernel, stride) in [
        ("conv1", 3, 32, 7, stride),
        ("conv2", 32, 64, 5, 1),
        ("conv3", 64, 128, 3, 2),
        ("conv4", 128, 256, 3, 1),
        ("conv5", 256, 256, 3, 2),
    ] {
        layers.push(Layer::conv(name, side, inputs, outputs, kernel, stride, 0));
        side = layers[layers.len() - 1].out_side();
    }
    layers.extend([Layer::linear("fc1", 256, 512), Layer::linear("fc2", 512, 2)]);
    layers
}

/// The five convolutions of AlexNet; Caffe rounds the size of a pooled map up.
pub(crate) fn alexnet(side: usize) -> [Layer; 5] {
    let pooled = |side: usize| (side - 3).div_ceil(2) + 1;
    let conv1 = Layer::conv("conv1", side, 3, 96, 11, 4, 0);
    let two = pooled(conv1.out_side());
    let three = pooled(two);
    [
        conv1,
        Layer::conv("conv2", two, 96, 256, 5, 1, 2).groups(2),
        Layer::same("conv3", three, 256, 384),
        Layer::same("conv4", three, 384, 384).groups(2),
        Layer::same("conv5", three, 384, 256).groups(2),
    ]
}

/// A training step: its networks, and how many layers of the comparator it runs.
pub(crate) struct Training {
    /// The generator.
    pub(crate) generator: Vec<Layer>,
    /// The discriminator.
    pub(crate) discriminator: Vec<Layer>,
    /// The comparator, all that its file of weights holds.
    pub(crate) comparator: Vec<Layer>,
    /// Layers of the comparator that are run.
    pub(crate) tap: usize,
}

impl Training {
    /// The autoencoder with AlexNet's CONV3.
    pub(crate) fn autoencoder() -> Self {
        Self {
            generator: AUTOENCODER.into(),
            discriminator: discriminator(64, 2),
            comparator: alexnet(64).into(),
            tap: 3,
        }
    }

    /// The inversion of FC6 with AlexNet's pool5.
    pub(crate) fn fc6() -> Self {
        Self {
            generator: FC6_GENERATOR.into(),
            discriminator: discriminator(227, 4),
            comparator: alexnet(227).into(),
            tap: 5,
        }
    }

    /// Numbers of weights under the names of the networks.
    pub(crate) fn parameters(&self) -> [(&'static str, usize); 3] {
        let count = |layers: &[Layer]| layers.iter().map(Layer::parameters).sum();
        [
            ("generator", count(&self.generator)),
            ("discriminator", count(&self.discriminator)),
            ("comparator", count(&self.comparator)),
        ]
    }

    /// FLOPs of one step for one image, of generator, comparator and discriminator.
    pub(crate) fn flops(&self) -> [f64; 3] {
        let sum = |layers: &[Layer]| layers.iter().map(Layer::flops).sum::<f64>();
        let (generator, discriminator) = (sum(&self.generator), sum(&self.discriminator));
        [
            // Forward, both gradients, but none to the image or code that comes in.
            3.0 * generator - self.generator[0].flops(),
            // Forward on two images, gradient to one of them.
            3.0 * sum(&self.comparator[..self.tap]),
            // Forward three times; both gradients for the update on two images, without those to
            // the images; gradient to the image for the generator.
            8.0 * discriminator - 2.0 * self.discriminator[0].flops(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_autoencoders_step_has_the_flops_counted_by_hand() {
        // 2 * outputs * inputs * kernel² * positions of each layer, in the order of the table.
        let generator = [
            2 * 32 * 3 * 25 * 1024,
            2 * 64 * 32 * 9 * 1024,
            2 * 64 * 64 * 9 * 256,
            2 * 128 * 64 * 9 * 256,
            2 * 128 * 128 * 9 * 64,
            2 * 64 * 128 * 9 * 64,
            2 * 8 * 64 * 9 * 64,
            2 * 64 * 8 * 9 * 64,
            2 * 128 * 64 * 9 * 64,
            2 * 64 * 128 * 16 * 64,
            2 * 64 * 64 * 9 * 256,
            2 * 32 * 64 * 16 * 256,
            2 * 32 * 32 * 9 * 1024,
            2 * 3 * 32 * 16 * 1024,
        ];
        for (layer, flops) in AUTOENCODER.iter().zip(generator) {
            assert_eq!(layer.flops(), f64::from(flops), "{}", layer.name);
        }
        let sum = f64::from(generator.iter().sum::<i32>());
        let step = Training::autoencoder().flops();
        assert_eq!(step[0], 3.0 * sum - f64::from(generator[0]));
        let mflop = step.map(|flops| (flops / 1e6).round());
        assert_eq!(mflop, [633.0, 179.0, 1354.0]);
    }

    #[test]
    fn discriminator_and_comparator_have_the_papers_sizes() {
        let sides = |layers: &[Layer]| layers.iter().map(|l| l.side).collect::<Vec<_>>();
        assert_eq!(sides(&discriminator(64, 2)[..5]), [64, 29, 25, 12, 10]);
        assert_eq!(sides(&discriminator(227, 4)[..5]), [227, 56, 52, 25, 23]);
        assert_eq!(sides(&alexnet(64)), [64, 7, 3, 3, 3]);
        assert_eq!(sides(&alexnet(227)), [227, 27, 13, 13, 13]);
        // 29² positions of 7x7x3 taps to 32 channels, and so on; fully connected layers last.
        let forward = [
            2 * 841 * 49 * 3 * 32,
            2 * 625 * 25 * 32 * 64,
            2 * 144 * 9 * 64 * 128,
            2 * 100 * 9 * 128 * 256,
            2 * 16 * 9 * 256 * 256,
            2 * 256 * 512,
            2 * 512 * 2,
        ];
        let sum: f64 = forward.map(f64::from).iter().sum();
        assert_eq!(Training::autoencoder().flops()[2], 8.0 * sum - 2.0 * f64::from(forward[0]));
        let forward = [2 * 196 * 121 * 3 * 96, 2 * 49 * 25 * 48 * 256, 2 * 9 * 9 * 256 * 384];
        let sum: f64 = forward.map(f64::from).iter().sum();
        assert_eq!(Training::autoencoder().flops()[1], 3.0 * sum);
    }

    #[test]
    fn weights_are_as_many_as_the_papers() {
        let [_, discriminator, comparator] = Training::autoencoder().parameters();
        assert_eq!(discriminator.1, 1_015_104 + 132_610);
        assert_eq!(comparator.1, 2_334_080);
        assert_eq!(Training::fc6().parameters()[0].1, 56_096_256);
    }

    #[test]
    fn only_equal_convolutions_are_the_same() {
        let [a, b] = [Layer::same("a", 8, 4, 4), Layer::same("b", 8, 4, 4).no_bias()];
        assert!(a.same_shape(&b));
        assert!(!a.same_shape(&Layer::same("a", 16, 4, 4)));
        assert!(!a.same_shape(&a.groups(2)));
    }
}
