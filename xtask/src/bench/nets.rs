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

/// Table of the variational autoencoder for 64 pixels.
pub(crate) fn small_vae() -> Vec<Layer> {
    let (maps, latent) = (64 * 8 * 8, 128);
    let codes = [
        Layer::linear("encoder.mean", maps, latent),
        Layer::linear("encoder.log_variance", maps, latent),
        Layer::linear("decoder.fc", latent, maps),
        Layer::same("decoder.c1", 8, 64, 64).no_bias(),
    ];
    [&AUTOENCODER[..6], &codes, &AUTOENCODER[8..]].concat()
}

/// Table of the variational autoencoder for 227 pixels.
pub(crate) fn large_vae() -> Vec<Layer> {
    let heads = ["encoder.mean", "encoder.log_variance"];
    let heads = heads.map(|name| Layer::linear(name, 256 * 6 * 6, 4096));
    [&alexnet(227)[..], &heads, &FC6_GENERATOR].concat()
}

/// Table of the generator that inverts CONV5 (pool5).
pub(crate) fn conv5_generator() -> Vec<Layer> {
    let reducing = [
        Layer::same("Rconv6", 6, 256, 512),
        Layer::same("Rconv7", 6, 512, 512),
        Layer::conv("Rconv8", 6, 512, 512, 3, 1, 0),
        Layer::up("deconv5", 4, 512, 256),
    ];
    [&reducing[..], &FC6_GENERATOR[4..]].concat()
}

/// Table of the generator that inverts FC8.
pub(crate) fn fc8_generator() -> Vec<Layer> {
    [&[Layer::linear("defc7", 1000, 4096)], &FC6_GENERATOR[1..]].concat()
}

/// What features go through in a discriminator that sees them.
pub(crate) fn branch(features: usize) -> Vec<Layer> {
    vec![Layer::linear("feature_fc1", features, 1024), Layer::linear("feature_fc2", 1024, 512)]
}

/// The discriminator for 64 pixels, or with stride 4 for 227; 512 of its `pooled` numbers are of
/// features if it sees them.
pub(crate) fn discriminator(side: usize, stride: usize, pooled: usize) -> Vec<Layer> {
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
    layers.extend([Layer::linear("fc1", pooled, 512), Layer::linear("fc2", 512, 2)]);
    layers
}

/// Side of a map pooled 3x3 with stride 2; Caffe rounds it up.
fn pooled(side: usize) -> usize {
    (side - 3).div_ceil(2) + 1
}

/// The five convolutions of AlexNet.
pub(crate) fn alexnet(side: usize) -> [Layer; 5] {
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

/// AlexNet's fully connected layers; the second has 1024 outputs in VideoNet.
pub(crate) fn alexnet_head(fc7: usize) -> [Layer; 3] {
    [
        Layer::linear("fc6", 256 * 6 * 6, 4096),
        Layer::linear("fc7", 4096, fc7),
        Layer::linear("fc8", fc7, 1000),
    ]
}

/// The three convolutions of Exemplar-CNN.
pub(crate) fn exemplar_cnn(side: usize) -> [Layer; 3] {
    let [two, three] = [pooled(side), pooled(pooled(side))];
    [
        Layer::conv("conv1", side, 3, 64, 5, 1, 2),
        Layer::conv("conv2", two, 64, 128, 5, 1, 2),
        Layer::conv("conv3", three, 128, 256, 5, 1, 2),
    ]
}

/// What follows them in training, on patches of 32 pixels.
pub(crate) fn exemplar_cnn_head(classes: usize) -> [Layer; 2] {
    [Layer::conv("fc4", 8, 256, 512, 8, 1, 0), Layer::linear("classifier", 512, classes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_autoencoder_has_the_flops_counted_by_hand() {
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
    }

    #[test]
    fn discriminator_and_comparator_have_the_papers_sizes() {
        let sides = |layers: &[Layer]| layers.iter().map(|l| l.side).collect::<Vec<_>>();
        assert_eq!(sides(&discriminator(64, 2, 256)[..5]), [64, 29, 25, 12, 10]);
        assert_eq!(sides(&discriminator(227, 4, 256)[..5]), [227, 56, 52, 25, 23]);
        assert_eq!(sides(&alexnet(64)), [64, 7, 3, 3, 3]);
        assert_eq!(sides(&alexnet(227)), [227, 27, 13, 13, 13]);
        assert_eq!(sides(&exemplar_cnn(64)), [64, 32, 16]);
        assert_eq!(exemplar_cnn(32)[2].side, exemplar_cnn_head(10)[0].side);
    }

    #[test]
    fn only_equal_convolutions_are_the_same() {
        let [a, b] = [Layer::same("a", 8, 4, 4), Layer::same("b", 8, 4, 4).no_bias()];
        assert!(a.same_shape(&b));
        assert!(!a.same_shape(&Layer::same("a", 16, 4, 4)));
        assert!(!a.same_shape(&a.groups(2)));
    }
}
