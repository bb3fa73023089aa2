//! Files to networks: what is used, what is ignored, what is refused.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_import::{Fate, ImportOptions, Net, import};
use deepsim_nets::{ComparatorKind, Generator, GeneratorKind, InverterConfig};
use prost::Message;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

#[derive(Clone, PartialEq, Message)]
struct NetParameter {
    #[prost(message, repeated, tag = "100")]
    layer: Vec<Layer>,
}

#[derive(Clone, PartialEq, Message)]
struct Layer {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "7")]
    blobs: Vec<BlobProto>,
}

#[derive(Clone, PartialEq, Message)]
struct BlobProto {
    #[prost(float, repeated, tag = "5")]
    data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    shape: Option<BlobShape>,
}

#[derive(Clone, PartialEq, Message)]
struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    dim: Vec<i64>,
}

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn filled(tensors: Vec<(String, Vec<usize>)>) -> Tensors {
    let fill = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let values = (0..count).map(|i| ((i * 7 + name.len()) % 13) as f32 / 100.0).collect();
        (name, shape, values)
    };
    tensors.into_iter().map(fill).collect()
}

/// A `.caffemodel` of layers named as in the tensors.
fn caffemodel(folder: &Path, tensors: &Tensors, zeros: bool) -> PathBuf {
    let mut net = NetParameter::default();
    for (name, shape, values) in tensors {
        let (layer, part) = name.rsplit_once('.').expect("a layer and a part");
        let dim = shape.iter().map(|side| *side as i64).collect();
        let blob = BlobProto { data: values.clone(), shape: Some(BlobShape { dim }) };
        if part == "weight" {
            net.layer.push(Layer { name: layer.to_owned(), blobs: vec![blob] });
        } else {
            net.layer.last_mut().expect("a weight before").blobs.push(blob);
        }
    }
    // Biases of layers that have none here.
    for layer in net.layer.iter_mut().filter(|layer| layer.blobs.len() == 1 && zeros) {
        let shape = Some(BlobShape { dim: vec![2] });
        layer.blobs.push(BlobProto { data: vec![0.0; 2], shape });
    }
    let path = folder.join("net.caffemodel");
    std::fs::write(&path, net.encode_to_vec()).expect("a file");
    path
}

fn safetensors(folder: &Path, tensors: &Tensors) -> PathBuf {
    let path = folder.join("weights.safetensors");
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("values"))
    });
    serialize_to_file(views, None, &path).expect("a file");
    path
}

fn options(net: Net) -> ImportOptions {
    ImportOptions { net: Some(net), ..Default::default() }
}

#[test]
fn the_authors_generators_are_read_and_run() -> Result<(), Box<dyn std::error::Error>> {
    // The large ones differ from Pool5's and FC8's only in sizes that `deepsim-nets` tests.
    for kind in [GeneratorKind::Norm1, GeneratorKind::Norm2, GeneratorKind::Conv4] {
        let folder = tempfile::tempdir()?;
        let tensors = filled(kind.tensors());
        let file = caffemodel(folder.path(), &tensors, true);
        let report = import(&file, folder.path(), &options(Net::Generator(kind)))?;
        assert_eq!(report.used().count(), tensors.len());
        let zeros = report.lines.iter().filter(|l| l.fate == Fate::Ignored("zeros".into())).count();
        assert_eq!(
            zeros,
            tensors
                .iter()
                .filter(|(name, ..)| name.contains("onv") && !name.starts_with('R'))
                .count()
        );
        let Generator::Inverter(generator) = Generator::load(&report.output, &Device::Cpu)? else {
            panic!("a network that inverts features")
        };
        assert_eq!(*generator.config(), InverterConfig::released(kind));
        for ((name, _, values), (held, var)) in tensors.iter().zip(generator.params().iter()) {
            assert_eq!((name.as_str(), values), (held, &var.flatten_all()?.to_vec1::<f32>()?));
        }
        let features =
            Tensor::ones([&[1], kind.features()].concat(), candle_core::DType::F32, &Device::Cpu)?;
        generator.forward(&features, None)?;
    }
    Ok(())
}

#[test]
fn every_generator_of_the_release_has_its_layout() -> Result<(), Box<dyn std::error::Error>> {
    for kind in GeneratorKind::ALL {
        let folder = tempfile::tempdir()?;
        let tensors = filled(kind.tensors());
        let file = caffemodel(folder.path(), &tensors, false);
        // fc6 and fc7 have the same layout, as have conv3 and conv4; fc6_eucl is read as fc6.
        let report = import(&file, folder.path(), &options(Net::Generator(kind)))?;
        assert_eq!(report.used().count(), tensors.len(), "{}", kind.name());
        std::fs::remove_file(&report.output)?;
    }
    Ok(())
}

/// The generators as bdpy (BrainDecoderToolbox2 for Python) has them in PyTorch: layers of the release's names, each
/// stored a second time by its place in one of two sequences, and biases of zeros in all of them.
#[test]
fn copies_of_the_generators_in_pytorch_are_read() -> Result<(), Box<dyn std::error::Error>> {
    for kind in [GeneratorKind::Norm1, GeneratorKind::Conv3] {
        let folder = tempfile::tempdir()?;
        let own = filled(kind.tensors());
        let mut tensors = own.clone();
        for (name, shape, _) in own.iter().filter(|(name, ..)| !name.starts_with('R')) {
            // Transposed convolutions have their outputs second.
            let transposed = name.starts_with("deconv")
                || kind == GeneratorKind::Conv3 && &name[4..6] != "2_" && &name[4..6] != "1_";
            let out = shape[usize::from(transposed)];
            tensors.push((name.replace(".weight", ".bias"), vec![out], vec![0.0; out]));
        }
        let mut places = std::collections::BTreeMap::new();
        for (name, shape, values) in tensors.clone() {
            let (layer, part) = name.rsplit_once('.').ok_or("a layer and a part")?;
            let sequence = if layer.starts_with('R') { "rconv" } else { "deconv" };
            let next = 2 * places.keys().filter(|(one, _)| *one == sequence).count();
            let place = *places.entry((sequence, layer.to_owned())).or_insert(next);
            tensors.push((format!("{sequence}.{place}.{part}"), shape, values));
        }
        let file = safetensors(folder.path(), &tensors);
        let report = import(&file, folder.path(), &options(Net::Generator(kind)))?;
        assert_eq!(report.used().count(), own.len(), "{}", kind.name());
        let Generator::Inverter(generator) = Generator::load(&report.output, &Device::Cpu)? else {
            panic!("a network that inverts features")
        };
        for ((name, _, values), (held, var)) in own.iter().zip(generator.params().iter()) {
            assert_eq!((name.as_str(), values), (held, &var.flatten_all()?.to_vec1::<f32>()?));
        }
    }
    Ok(())
}

#[test]
fn biases_that_are_not_zero_have_no_place() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let kind = GeneratorKind::Norm2;
    let mut tensors = filled(kind.tensors());
    tensors.push(("deconv1.bias".into(), vec![16], vec![0.5; 16]));
    tensors.sort_by_key(|(name, ..)| (!name.starts_with("deconv1"), name.ends_with("bias")));
    let file = caffemodel(folder.path(), &tensors, false);
    let net = options(Net::Generator(kind));
    let message = import(&file, folder.path(), &net).expect_err("a bias").to_string();
    assert!(message.contains("deconv1.bias: expected zeros"), "{message}");
    assert!(!folder.path().join("generator-norm2.safetensors").exists());
    Ok(())
}

#[test]
fn names_of_other_programs_are_known() -> Result<(), Box<dyn std::error::Error>> {
    type Rename = fn(&str) -> String;
    let cases: [(ComparatorKind, Rename); 4] = [
        (ComparatorKind::caffenet(), |name| {
            let (layer, part) = name.split_once('.').expect("two parts");
            format!("{layer}_{}_0", &part[..1])
        }),
        (ComparatorKind::alexnet_torchvision(), |name| {
            let (layer, part) = name.split_once('.').expect("two parts");
            let renamed = match layer {
                "conv1" => "features.0",
                "conv2" => "features.3",
                "conv3" => "features.6",
                "conv4" => "features.8",
                "conv5" => "features.10",
                "fc6" => "classifier.1",
                "fc7" => "classifier.4",
                _ => "classifier.6",
            };
            format!("{renamed}.{part}")
        }),
        (ComparatorKind::squeezenet(), |name| {
            name.replace("conv1x1_1", "squeeze1x1")
                .replace("conv1x1_2", "expand1x1")
                .replace("conv3x3_2", "expand3x3")
                .replace("conv_final", "conv10")
        }),
        (ComparatorKind::exemplar_cnn(), |name| name.replace("fc4", "fc6")),
    ];
    for (kind, rename) in cases {
        let folder = tempfile::tempdir()?;
        // Fully connected layers are large; the convolutions are enough where a file may end early.
        let mut tensors = filled(kind.tensors());
        if kind != ComparatorKind::exemplar_cnn() {
            tensors.retain(|(name, ..)| !name.starts_with("fc"));
        } else {
            // In the release this layer is fully connected.
            tensors[6].1 = vec![512, 256 * 8 * 8];
        }
        tensors.iter_mut().for_each(|(name, ..)| *name = rename(name));
        let file = safetensors(folder.path(), &tensors);
        let report = import(&file, folder.path(), &options(Net::Comparator(kind.clone())))?;
        assert_eq!(report.used().count(), tensors.len(), "{}", kind.name());
        kind.open(Some(&report.output), 0, &Device::Cpu)?;
    }
    Ok(())
}

#[test]
fn branches_classifiers_and_strangers_are_reported_and_left_out()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut tensors = filled(ComparatorKind::videonet().tensors());
    tensors.retain(|(name, ..)| !name.starts_with("fc"));
    tensors.push(("conv1_p.weight".into(), vec![96, 3, 11, 11], vec![0.0; 96 * 363]));
    tensors.push(("norml2.weight".into(), vec![1], vec![1.0]));
    let file = safetensors(folder.path(), &tensors);
    let net = options(Net::Comparator(ComparatorKind::videonet()));
    let report = import(&file, folder.path(), &net)?;
    let text = report.to_string();
    assert!(text.contains("conv1_p.weight [96, 3, 11, 11]: another branch"), "{text}");
    assert!(text.contains("norml2.weight [1]: no such layer"), "{text}");
    assert!(text.ends_with("videonet.safetensors") && text.contains("10 of 12 tensors"), "{text}");
    Ok(())
}

#[test]
fn everything_that_is_wrong_is_listed_and_nothing_is_written()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut tensors = filled(ComparatorKind::exemplar_cnn().tensors());
    tensors[0].1 = vec![3, 64, 5, 5];
    tensors.remove(3);
    let file = safetensors(folder.path(), &tensors);
    let net = options(Net::Comparator(ComparatorKind::exemplar_cnn()));
    let message = import(&file, folder.path(), &net).expect_err("broken").to_string();
    for words in [
        "weights.safetensors does not fit exemplar-cnn",
        "conv1.weight: expected shape [64, 3, 5, 5] of conv1.weight, found [3, 64, 5, 5]",
        "conv2.bias [128]: missing",
    ] {
        assert!(message.contains(words), "no `{words}` in {message}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path())?.collect();
    assert_eq!(left.len(), 1, "only the file itself: {left:?}");
    Ok(())
}

#[test]
fn a_layer_twice_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut tensors = filled(ComparatorKind::exemplar_cnn().tensors());
    // The same values again are no harm; others are.
    tensors.push(tensors[0].clone());
    let file = caffemodel(folder.path(), &tensors, false);
    import(&file, folder.path(), &options(Net::Comparator(ComparatorKind::exemplar_cnn())))?;
    tensors.last_mut().expect("a tensor").2[3] += 1.0;
    let file = caffemodel(folder.path(), &tensors, false);
    let net = options(Net::Comparator(ComparatorKind::exemplar_cnn()));
    let message = import(&file, folder.path(), &net).expect_err("twice").to_string();
    assert!(message.contains("conv1.weight is there twice"), "{message}");
    Ok(())
}

#[test]
fn networks_are_told_from_their_tensors_where_only_one_has_them()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for net in [
        Net::Comparator(ComparatorKind::squeezenet_torchvision()),
        Net::Generator(GeneratorKind::Norm1),
    ] {
        let file = safetensors(folder.path(), &filled(net.tensors()));
        assert_eq!(import(&file, &folder.path().join("out"), &ImportOptions::default())?.net, net);
    }
    let file = safetensors(folder.path(), &filled(GeneratorKind::Conv3.tensors()));
    let error = import(&file, folder.path(), &ImportOptions::default()).expect_err("two fit");
    assert!(error.to_string().contains("generator-conv3, generator-conv4"), "{error}");
    let file = safetensors(folder.path(), &vec![("a".into(), vec![1], vec![0.0])]);
    let error = import(&file, folder.path(), &ImportOptions::default()).expect_err("none fits");
    assert!(error.to_string().contains("fit no network"), "{error}");
    Ok(())
}

#[test]
fn half_precision_is_half_as_large_and_opens() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut tensors = filled(ComparatorKind::exemplar_cnn().tensors());
    tensors.truncate(6);
    let file = safetensors(folder.path(), &tensors);
    let net = Some(Net::Comparator(ComparatorKind::exemplar_cnn()));
    let report = import(
        &file,
        &folder.path().join("half.safetensors"),
        &ImportOptions { net, half: true, part: None },
    )?;
    let (whole, half) = (std::fs::metadata(&file)?.len(), std::fs::metadata(&report.output)?.len());
    assert!(half < whole / 2 + 2000, "{half} of {whole}");
    let opened = ComparatorKind::exemplar_cnn().open(Some(&report.output), 0, &Device::Cpu)?;
    assert_eq!(opened.taps(), ["CONV1", "CONV2", "CONV3"]);
    Ok(())
}

#[test]
fn a_mean_image_is_three_planes() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let report =
        import(&fixtures.join("mean.binaryproto"), folder.path(), &ImportOptions::default())?;
    assert_eq!((&report.net, report.used().count()), (&Net::Mean, 1));
    let error = import(&fixtures.join("new.caffemodel"), folder.path(), &options(Net::Mean));
    assert!(error.expect_err("a network").to_string().contains("expected one mean image, found 4"));
    Ok(())
}

#[test]
fn paths_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none.pth");
    let error = import(&missing, folder.path(), &ImportOptions::default()).expect_err("no file");
    assert!(error.to_string().contains("none.pth"), "{error}");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").expect("a file");
    let error =
        import(&fixtures.join("lpips-alex.pth"), &blocked.join("x"), &ImportOptions::default());
    assert!(error.expect_err("a file as a folder").to_string().contains("file"));
}
