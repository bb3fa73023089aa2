//! The count from tables of layers against the networks that are built from them.

use candle_core::{DType, Device, Tensor};
use deepsim_nets::layers::Op;
use deepsim_nets::random::stream;
use deepsim_nets::{
    Autoencoder, AutoencoderConfig, ComparatorKind, Discriminator, DiscriminatorConfig,
    GeneratorKind, Images, Inverter, InverterConfig, LayerKind, NetError, Pass, PixelFormat,
    SurrogateNet, Vae, VaeConfig, VaeEncoder, VideoNet,
};

/// Compares a pass with the operations of `run`, and with the number of weights that it returns.
fn compare(
    name: &str,
    pass: &Pass,
    run: impl FnOnce() -> Result<usize, NetError>,
) -> Result<(), NetError> {
    let before = deepsim_ops::flops();
    let weights = run()?;
    let operations = deepsim_ops::flops() - before;
    assert_eq!(pass.weights(), weights, "{name}");
    assert_eq!(pass.flops(), operations as f64, "{name}");
    assert!(pass.activations > 0);
    Ok(())
}

fn images(side: usize) -> Result<Images, NetError> {
    let shape = (1, 3, side, side);
    Images::new(Tensor::ones(shape, DType::F32, &Device::Cpu)?, PixelFormat::CAFFE_BGR)
}

// One test: operations are counted for the whole process.
#[test]
fn counts_are_those_of_the_networks() -> Result<(), NetError> {
    let device = Device::Cpu;
    for kind in ComparatorKind::all() {
        // VGG's fully connected layers, half a gigabyte, are counted as AlexNet's are.
        let vgg = kind.taps().into_iter().find(|tap| *tap == "pool5");
        let tap = vgg.or(kind.taps().pop()).expect("every network has taps");
        let sides = kind.sides(tap)?;
        let side = sides.most.unwrap_or(sides.least + 8);
        let net = kind.open_to(tap, None, 0, &device)?;
        let images = images(side)?.convert(net.format())?;
        // Batch normalisations are computed within the convolutions before them.
        let tensors = kind.tensors();
        let left_out = |op: Op| match op {
            Op::BatchNorm { .. } => true,
            Op::Linear(..) => vgg.is_some(),
            _ => false,
        };
        let mut rows = kind.spec().layers.clone();
        rows.retain(|row| left_out(row.op));
        let counted = tensors.iter().filter(|(name, _)| {
            !rows.iter().any(|row| name.rsplit_once('.').is_some_and(|(of, _)| of == row.name))
        });
        let weights = counted.map(|(_, shape)| shape.iter().product::<usize>()).sum();
        compare(kind.name(), &kind.cost(tap, side)?, || {
            net.features(&images, tap)?;
            Ok(weights)
        })?;
    }
    let config = AutoencoderConfig { code_channels: 5, slope: 0.1 };
    compare("autoencoder", &config.cost(32)?, || {
        let net = Autoencoder::new(config, 0, &device)?;
        net.forward(&images(32)?)?;
        Ok(net.params().count())
    })?;
    for (encoder, side) in [(VaeEncoder::Autoencoder, 40), (VaeEncoder::AlexNet, 227)] {
        let config = VaeConfig { encoder, latent: 33, side };
        compare(encoder.name(), &config.cost()?, || {
            let net = Vae::new(config, 0, &device)?;
            net.forward(&images(side)?, None)?;
            Ok(net.params().count())
        })?;
    }
    use GeneratorKind::{Conv3, Fc8, Norm1, Norm2, Pool5};
    for kind in [Norm1, Norm2, Conv3, Pool5, Fc8] {
        for (plain, noise) in [(false, 3), (true, 0)] {
            let config = InverterConfig { plain, noise, ..InverterConfig::released(kind) };
            // Only some layers have a plain network.
            let Ok(pass) = config.cost() else { continue };
            compare(kind.name(), &pass, || {
                let net = Inverter::new(config, 0, &device)?;
                let shape = [&[1], kind.features()].concat();
                let features = Tensor::ones(shape, DType::F32, &device)?;
                let noise = net.noise(1, &mut stream(0, "noise", 0))?;
                net.forward(&features, noise.as_ref())?;
                Ok(net.params().count())
            })?;
        }
    }
    for (stride, features) in [(2, None), (4, Some(96))] {
        let config = DiscriminatorConfig {
            stride,
            conditional: features.is_some(),
            ..DiscriminatorConfig::default()
        };
        let pass = config.cost(80, features)?;
        compare("discriminator", &pass, || {
            let net = Discriminator::new(config, features, 0, &device)?;
            let features = features.map(|n| Tensor::ones((1, n), DType::F32, &device));
            net.forward(&images(80)?, features.transpose()?.as_ref(), None)?;
            Ok(net.params().count())
        })?;
        let first = pass.layers.iter().filter(|layer| layer.first).map(|layer| &layer.name[..]);
        let expected = if features.is_some() { &["conv1", "feature_fc1"][..] } else { &["conv1"] };
        assert_eq!(first.collect::<Vec<_>>(), expected);
        let branch = config.branch_cost(features)?;
        let names = branch.layers.iter().map(|layer| &layer.name[..]).collect::<Vec<_>>();
        let expected = if features.is_some() { &["feature_fc1", "feature_fc2"][..] } else { &[] };
        assert_eq!(names, expected);
    }
    // Here, because channels are reordered by a convolution.
    let patches = images(32)?.convert(deepsim_nets::exemplar_cnn::FORMAT)?;
    compare(
        "exemplar-cnn",
        &SurrogateNet::cost(&ComparatorKind::exemplar_cnn(), "FC4", 32, 12)?,
        || {
            let net =
                SurrogateNet::new(&ComparatorKind::exemplar_cnn(), "FC4", 32, 12, 0, &device)?;
            net.forward(&patches, None)?;
            Ok(net.params().count())
        },
    )?;
    compare("videonet", &VideoNet::cost(224)?, || {
        let net = VideoNet::new(0, &device)?;
        net.forward(&images(224)?)?;
        Ok(net.params().count())
    })
}

#[test]
fn layers_have_the_shapes_and_flops_counted_by_hand() -> Result<(), NetError> {
    // 2 * outputs * inputs * kernel * kernel * positions of each layer, in the order of the table.
    let by_hand = [
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
    let pass = AutoencoderConfig::default().cost(64)?;
    assert_eq!(pass.layers.len(), by_hand.len());
    for (layer, flops) in pass.layers.iter().zip(by_hand) {
        assert_eq!(layer.flops, f64::from(flops), "{}", layer.name);
    }
    let up = pass.layers.iter().find(|layer| layer.name == "decoder.u1").expect("a layer");
    assert_eq!((up.kind, up.inputs, up.outputs, up.side), (LayerKind::UpConv, 128, 64, 8));
    assert_eq!((up.kernel, up.stride, up.padding, up.groups, up.bias), (4, 2, 1, 1, false));
    let sides = |pass: Pass| pass.layers.iter().map(|layer| layer.side).collect::<Vec<_>>();
    let discriminator = |side, stride| {
        DiscriminatorConfig { stride, ..DiscriminatorConfig::default() }.cost(side, None)
    };
    assert_eq!(sides(discriminator(64, 2)?), [64, 29, 25, 12, 10, 1, 1]);
    assert_eq!(sides(discriminator(227, 4)?), [227, 56, 52, 25, 23, 1, 1]);
    assert_eq!(sides(ComparatorKind::alexnet().cost("CONV5", 64)?), [64, 7, 3, 3, 3]);
    assert_eq!(sides(ComparatorKind::alexnet().cost("CONV5", 227)?), [227, 27, 13, 13, 13]);
    assert_eq!(sides(ComparatorKind::exemplar_cnn().cost("CONV3", 64)?), [64, 32, 16]);
    assert_eq!(
        sides(SurrogateNet::cost(&ComparatorKind::exemplar_cnn(), "FC4", 32, 10)?),
        [32, 16, 8, 8, 1]
    );
    let grouped = &ComparatorKind::alexnet().cost("CONV2", 64)?.layers[1];
    assert_eq!((grouped.inputs, grouped.outputs, grouped.groups), (96, 256, 2));
    Ok(())
}
