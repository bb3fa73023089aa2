//! Tests of opening networks, and of descriptions.

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::Params;
use crate::layers::Stack;

#[test]
fn taps_have_the_papers_shapes() -> Result<(), NetError> {
    let device = Device::Cpu;
    let format = PixelFormat::CAFFE_BGR;
    let at =
        |side: usize| Images::from_u8(&vec![60; 3 * side * side], 1, side, side, format, &device);
    let cases: [(ComparatorKind, usize, &str, &[usize]); 25] = [
        (ComparatorKind::alexnet(), 227, "FC6", &[1, 4096]),
        (ComparatorKind::caffenet(), 227, "PROB", &[1, 1000]),
        (ComparatorKind::videonet(), 227, "FC7", &[1, 1024]),
        (ComparatorKind::alexnet_torchvision(), 224, "CONV5", &[1, 256, 6, 6]),
        (ComparatorKind::alexnet_torchvision(), 224, "FC8", &[1, 1000]),
        (ComparatorKind::squeezenet(), 64, "PROB", &[1, 1000]),
        (ComparatorKind::caffenet(), 227, "CONV5", &[1, 256, 6, 6]),
        (ComparatorKind::alexnet(), 227, "CONV5", &[1, 256, 6, 6]),
        (ComparatorKind::alexnet(), 64, "CONV3", &[1, 384, 3, 3]),
        (ComparatorKind::alexnet(), 64, "CONV5", &[1, 256, 1, 1]),
        (ComparatorKind::exemplar_cnn(), 64, "CONV3", &[1, 256, 16, 16]),
        (ComparatorKind::exemplar_cnn(), 96, "CONV3", &[1, 256, 24, 24]),
        (ComparatorKind::exemplar_cnn(), 32, "FC4", &[1, 512, 1, 1]),
        (ComparatorKind::squeezenet(), 64, "LOGITS", &[1, 1000]),
        (ComparatorKind::squeezenet_torchvision(), 224, "CONV1", &[1, 64, 111, 111]),
        (ComparatorKind::squeezenet_torchvision(), 224, "FIRE9", &[1, 512, 13, 13]),
        (ComparatorKind::squeezenet_torchvision(), 64, "LOGITS", &[1, 1000]),
        (ComparatorKind::vgg16(), 64, "relu3_3", &[1, 256, 16, 16]),
        (ComparatorKind::vgg16(), 35, "pool5", &[1, 512, 1, 1]),
        (ComparatorKind::vgg19(), 64, "relu5_4", &[1, 512, 4, 4]),
        (ComparatorKind::vgg19_caffe(), 35, "conv4_2", &[1, 512, 5, 5]),
        // Caffe rounds up.
        (ComparatorKind::vgg16_caffe(), 35, "pool5", &[1, 512, 2, 2]),
        (ComparatorKind::resnet18(), 64, "LAYER1", &[1, 64, 16, 16]),
        (ComparatorKind::resnet18(), 64, "LAYER4", &[1, 512, 2, 2]),
        (ComparatorKind::resnet18(), 33, "LOGITS", &[1, 1000]),
    ];
    for (kind, side, tap, shape) in cases {
        let net = kind.open_to(tap, None, 0, &device)?;
        assert_eq!(net.features(&at(side)?, tap)?.dims(), shape, "{} {tap}", net.name());
    }
    Ok(())
}

#[test]
fn several_taps_in_one_pass_are_those_one_by_one() -> Result<(), NetError> {
    let net = ComparatorKind::caffenet().open(None, 0, &Device::Cpu)?;
    let pixels: Vec<u8> = (0..3 * 64 * 64).map(|i| (i * 31 % 251) as u8).collect();
    let images = Images::from_u8(&pixels, 1, 64, 64, net.format(), &Device::Cpu)?;
    let taps = ["CONV5", "CONV1", "relu3", "CONV1"];
    for (tap, features) in taps.iter().zip(net.features_at(&images, &taps)?) {
        let alone = net.features(&images, tap)?;
        let apart = (features - alone)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart == 0.0, "{tap}: {apart}");
    }
    Ok(())
}

#[test]
fn a_network_is_as_deep_as_its_file() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    let kind = ComparatorKind::exemplar_cnn();
    let save = |names: &[&str]| -> Result<(), NetError> {
        let all = kind
            .tensors()
            .into_iter()
            .filter(|(name, _)| names.iter().any(|layer| name.starts_with(layer)));
        let var = |(name, shape): (String, Vec<usize>)| {
            let tensor = Tensor::ones(shape, DType::F32, &Device::Cpu)?;
            Ok((name, Var::from_tensor(&tensor)?))
        };
        all.map(var).collect::<Result<Params, NetError>>()?.save(&path, "{}")
    };
    save(&["conv1", "conv2"])?;
    let open = || kind.open(Some(&path), 0, &Device::Cpu);
    assert_eq!(open()?.taps(), ["CONV1", "CONV2"]);
    assert!(kind.open_to("CONV3", Some(&path), 0, &Device::Cpu).is_err());
    // Deeper tensors are left alone where they are not asked for.
    save(&["conv1", "conv2", "conv3", "fc4"])?;
    assert_eq!(kind.open_to("CONV1", Some(&path), 0, &Device::Cpu)?.taps(), ["CONV1"]);
    assert_eq!(open()?.taps(), ["CONV1", "CONV2", "CONV3", "FC4"]);
    // A hole in the middle is no early end.
    save(&["conv1", "conv3"])?;
    let Err(error) = open() else { panic!("a network without conv2") };
    assert!(error.to_string().contains("conv2.weight: missing"), "{error}");
    save(&[])?;
    assert!(open().is_err());
    Ok(())
}

#[test]
fn unknown_taps_and_missing_files_are_named() -> Result<(), NetError> {
    let net = ComparatorKind::alexnet().open(None, 0, &Device::Cpu)?;
    let images = Images::from_u8(&[0; 3 * 64 * 64], 1, 64, 64, net.format(), &Device::Cpu)?;
    let message = net.features(&images, "CONV9").expect_err("no such tap").to_string();
    assert!(message.contains("no tap `CONV9`") && message.contains("CONV1, CONV2"), "{message}");
    let missing = Path::new("no/such/file.safetensors");
    let Err(error) = ComparatorKind::alexnet().open(Some(missing), 0, &Device::Cpu) else {
        panic!("a missing file was loaded");
    };
    assert!(error.to_string().contains("no/such/file.safetensors"), "{error}");
    Ok(())
}

const RESIDUAL: &str = r#"
name = "residual"
pixels = { order = "rgb", mean = [0.0, 0.0, 0.0], scale = [0.1, 0.1, 0.1] }
taps = { BLOCK = "relu2", STEM = "relu1" }
aliases = { "stem.conv" = "conv1" }
layers = [
    { name = "conv1", op = "conv", out = 8, kernel = 3, stride = 2, padding = 1, bias = false },
    { name = "bn1", op = "batch-norm", epsilon = 1e-3 },
    { name = "relu1", op = "relu6" },
    { name = "conv2", op = "conv", out = 8, kernel = 3, padding = 1, groups = 8 },
    { name = "bn2", op = "batch-norm" },
    { name = "down", op = "conv", from = "relu1", out = 8, kernel = 1 },
    { name = "add", op = "add", from = ["bn2", "down"] },
    { name = "relu2", op = "relu" },
]
"#;

/// A folder with a description, and weights that are not those of an untrained network.
fn described(text: &str) -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("net.toml");
    std::fs::write(&path, text)?;
    let mut rng = crate::random::stream(3, "weights", 0);
    let vars = ComparatorKind::read(&path)?.tensors().into_iter().map(|(name, shape)| {
        let values = crate::random::normal(&mut rng, shape.iter().product(), 0.5);
        // Variances are positive.
        let values =
            values.into_iter().map(|v| if name.ends_with("var") { 0.5 + v.abs() } else { v });
        let tensor = Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu)?;
        Ok((name, Var::from_tensor(&tensor)?))
    });
    vars.collect::<Result<Params, NetError>>()?.save(&path.with_extension("safetensors"), "{}")?;
    Ok(folder)
}

#[test]
fn every_network_of_the_crate_is_read_from_its_description() -> Result<(), NetError> {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in ComparatorKind::all() {
        let path = folder.path().join(format!("{}.toml", kind.name()));
        std::fs::write(&path, kind.to_toml()).expect("written");
        let read = ComparatorKind::read(&path)?;
        // Files, and whether they come with the project, are no matter of a description.
        let spec = kind.spec().clone();
        let expected = ComparatorSpec { files: Vec::new(), trunk: None, shipped: false, ..spec };
        let mut found = read.spec().clone();
        // A table of TOML has no order.
        let sorted = |spec: &ComparatorSpec| {
            let mut aliases = spec.aliases.clone();
            aliases.sort();
            aliases
        };
        assert_eq!(sorted(&found), sorted(&expected));
        found.aliases = expected.aliases.clone();
        assert_eq!(found, expected, "{}", kind.name());
        assert_ne!(read, kind);
        assert_eq!(path.display().to_string().parse::<ComparatorKind>()?, read);
    }
    Ok(())
}

#[test]
fn a_description_with_weights_beside_it_is_a_comparator() -> Result<(), Box<dyn std::error::Error>>
{
    let folder = described(RESIDUAL)?;
    let kind = ComparatorKind::read(&folder.path().join("net.toml"))?;
    // Taps are in the order of the layers.
    assert_eq!((kind.name(), kind.taps()), ("residual", vec!["STEM", "BLOCK"]));
    let weights = kind.find_weights(None).expect("beside the description");
    let net = kind.open(Some(&weights), 0, &Device::Cpu)?;
    let pixels: Vec<u8> = (0..3 * 9 * 9).map(|i| (i * 31 % 251) as u8).collect();
    let images = Images::from_u8(&pixels, 1, 9, 9, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
    assert_eq!(net.features(&images, "BLOCK")?.dims(), [1, 8, 5, 5]);

    // Normalisation within the convolution, against the four numbers of its definition.
    let (stack, params) = Stack::new(&kind.spec().layers, 3, "residual", 0, &Device::Cpu)?;
    params.load(&weights, "residual")?;
    let x = images.convert(kind.spec().pixels)?;
    let outputs = stack.forward_to(x.tensor(), &[0, 1])?;
    let folded = stack.frozen().folded(&[])?.forward_to(x.tensor(), &[1])?.remove(0);
    let channel = |name: &str| -> candle_core::Result<Tensor> {
        params.get(&format!("bn1.{name}")).expect(name).reshape((1, 8, 1, 1))
    };
    let deviation = (channel("running_var")? + 1e-3)?.sqrt()?;
    let by_hand = outputs[0]
        .broadcast_sub(&channel("running_mean")?)?
        .broadcast_div(&deviation)?
        .broadcast_mul(&channel("weight")?)?
        .broadcast_add(&channel("bias")?)?;
    for found in [&outputs[1], &folded] {
        let apart = (found - &by_hand)?.abs()?.max_all()?.to_scalar::<f32>()?;
        let size = by_hand.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart < 1e-5 * size, "{apart} of {size}");
    }
    // A row that is folded into the next one is not a tap.
    let message = net.features(&images, "conv1").expect_err("folded").to_string();
    assert!(message.contains("no tap `conv1`"), "{message}");
    Ok(())
}

#[test]
fn small_images_are_enlarged_to_the_input_of_a_network() -> Result<(), Box<dyn std::error::Error>> {
    let plain = described(RESIDUAL)?;
    let large = described(&format!("input = 16{RESIDUAL}"))?;
    let [plain, large] = [plain, large].map(|folder| -> Result<_, NetError> {
        let kind = ComparatorKind::read(&folder.path().join("net.toml"))?;
        let net = kind.open(kind.find_weights(None).as_deref(), 0, &Device::Cpu)?;
        Ok((kind, net))
    });
    let ((plain_kind, plain), (kind, net)) = (plain?, large?);
    assert_eq!(kind.sides("BLOCK")?, crate::Sides { least: 1, most: None });
    assert_eq!(kind.cost("BLOCK", 3)?, plain_kind.cost("BLOCK", 16)?);
    // The shorter side is brought to 16, the longer one in proportion; larger images stay as they are.
    for ((height, width), (by_height, by_width)) in [
        ((8, 8), (16, 16)),
        ((4, 6), (16, 24)),
        ((9, 5), (29, 16)),
        ((1, 1), (16, 16)),
        ((16, 40), (16, 40)),
        ((20, 17), (20, 17)),
    ] {
        let pixels: Vec<u8> = (0..3 * height * width).map(|i| (i * 31 % 251) as u8).collect();
        let images =
            Images::from_u8(&pixels, 1, height, width, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
        let enlarged = deepsim_ops::upsample(
            images.convert(kind.spec().pixels)?.tensor(),
            (by_height, by_width),
            deepsim_ops::Upsampling::Bilinear,
        )?;
        let enlarged = Images::new(enlarged, kind.spec().pixels)?;
        let (found, expected) =
            (net.features(&images, "BLOCK")?, plain.features(&enlarged, "BLOCK")?);
        assert_eq!(kind.shape("BLOCK", height, width)?, expected.dims()[1..]);
        let apart = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart < 1e-5, "{height}x{width}: {apart}");
    }
    // The gradient reaches the small image.
    let leaf =
        Var::from_tensor(&Tensor::ones((1, 3, 8, 8), candle_core::DType::F32, &Device::Cpu)?)?;
    let images = Images::new(leaf.as_tensor().clone(), PixelFormat::UNIT)?;
    let gradients = net.features(&images, "BLOCK")?.sum_all()?.backward()?;
    let gradient = gradients.get(&leaf).expect("a gradient at the images");
    assert_eq!(gradient.dims(), [1, 3, 8, 8]);
    assert!(gradient.abs()?.max_all()?.to_scalar::<f32>()? > 0.0);
    Ok(())
}

#[test]
fn files_of_other_programs_are_read_by_aliases() -> Result<(), Box<dyn std::error::Error>> {
    let folder = described(RESIDUAL)?;
    let kind = ComparatorKind::read(&folder.path().join("net.toml"))?;
    let own = kind.find_weights(Some(folder.path())).expect("weights");
    let bytes = std::fs::read(&own)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let counter = 7i64.to_le_bytes();
    let count = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![], &counter)?;
    let renamed = |name: String| match name.strip_prefix("conv1.") {
        Some(part) => format!("stem.conv.{part}"),
        None => name,
    };
    let tensors = file.tensors().into_iter().map(|(name, view)| (renamed(name), view));
    let tensors: Vec<_> = tensors.chain([("bn1.num_batches_tracked".to_owned(), count)]).collect();
    let foreign = folder.path().join("torch.safetensors");
    std::fs::write(&foreign, safetensors::serialize(tensors, None)?)?;
    let images = Images::from_u8(&[70; 3 * 64], 1, 8, 8, PixelFormat::RGB_U8, &Device::Cpu)?;
    let features = |path: &Path| -> Result<Vec<f32>, NetError> {
        let net = kind.open(Some(path), 0, &Device::Cpu)?;
        Ok(net.features(&images, "BLOCK")?.flatten_all()?.to_vec1()?)
    };
    assert_eq!(features(&foreign)?, features(&own)?);
    Ok(())
}

#[test]
fn broken_descriptions_name_the_row_and_the_key() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("net.toml");
    let cases = [
        ("padding = 1, groups", "pading = 1, groups", "row `conv2`: unknown field `pading`"),
        ("op = \"relu6\"", "op = \"relu7\"", "row `relu1`: unknown variant `relu7`"),
        ("op = \"relu6\"", "op = \"relu6\", slope = 1", "row `relu1`: unknown field `slope`"),
        ("op = \"relu6\" ", "", "row `relu1`: missing field `op`"),
        (
            "groups = 8",
            "groups = 3",
            "row `conv2`: expected sizes of 1 to 65536, groups that divide",
        ),
        ("groups = 8", "groups = 8, kernel = 0", "duplicate key"),
        ("stride = 2", "stride = -2", "row `conv1`: invalid value"),
        ("out = 8, kernel = 1", "out = 9, kernel = 1", "row `add`: expected an input that fits"),
        ("\"bn2\", \"down\"", "\"bn2\"", "row `add`: expected 2 inputs, found 1"),
        (
            "\"bn2\", \"down\"",
            "\"bn2\", \"up\"",
            "row `add`: expected inputs from rows above, found `up`",
        ),
        ("{ name = \"conv1\", ", "{ ", "layers, row 1: name: expected text"),
        (
            "STEM = \"relu1\"",
            "STEM = \"relu9\"",
            "tap `STEM`: expected the name of a row, found `relu9`",
        ),
        ("order = \"rgb\"", "order = \"hsv\"", "pixels"),
        ("scale = [0.1, 0.1, 0.1]", "scale = [0.1, 0.0, 0.1]", "scales that are not 0"),
        ("name = \"residual\"", "name = \"a b\"", "name: expected letters"),
        (
            "name = \"residual\"",
            "name = \"residual\"\ninput = 5000",
            "input: expected a side of 1 to 4096, found 5000",
        ),
        ("name = \"residual\"", "name = \"residual\"\ntap = 1", "unknown field `tap`"),
        (
            "= \"conv1\" }",
            "= \"conv7\" }",
            "alias `stem.conv`: expected the name of a row, found `conv7`",
        ),
        ("epsilon = 1e-3", "epsilon = -1e-3", "row `bn1`"),
    ];
    for (from, to, words) in cases {
        assert!(RESIDUAL.contains(from.trim_end()), "{from}");
        let text = RESIDUAL.replacen(from.trim_end(), to, 1);
        std::fs::write(&path, text)?;
        let message = ComparatorKind::read(&path).expect_err(words).to_string();
        assert!(message.contains(words), "{words}: {message}");
        assert!(message.starts_with(&path.display().to_string()), "{message}");
    }
    std::fs::remove_file(&path)?;
    let message = ComparatorKind::read(&path).expect_err("no file").to_string();
    assert!(
        message.contains("reading a network from") && message.contains("net.toml"),
        "{message}"
    );
    let message = "alexnot".parse::<ComparatorKind>().expect_err("no such network").to_string();
    assert!(message.contains("unknown network `alexnot`, expected one of `alexnet`"), "{message}");
    Ok(())
}

#[test]
fn a_name_with_a_side_is_the_network_for_images_that_are_enlarged() -> Result<(), NetError> {
    let kind: ComparatorKind = "alexnet@227".parse()?;
    assert_eq!((kind.to_string().as_str(), kind.name()), ("alexnet@227", "alexnet"));
    assert_ne!(kind, ComparatorKind::alexnet());
    assert_eq!(kind.shape("CONV5", 64, 64)?, [256, 6, 6]);
    assert_eq!(kind.cost("CONV5", 64)?, ComparatorKind::alexnet().cost("CONV5", 227)?);
    for (wrong, words) in [
        ("alexnet@0", "expected a side of 1 to 4096, found 0"),
        ("alexnet@9999", "expected a side of 1 to 4096, found 9999"),
        ("alexnet@large", "alexnet@large"),
        ("lenet@227", "lenet"),
        ("@227", "alexnet"),
    ] {
        let message = wrong.parse::<ComparatorKind>().expect_err(wrong).to_string();
        assert!(message.contains(words), "{message}");
    }
    Ok(())
}
