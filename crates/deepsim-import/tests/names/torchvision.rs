//! VGG and ResNet-18 under the names of torchvision, of Caffe and of the ONNX model zoo.

use deepsim_import::{Fate, ImportOptions, Net};
use deepsim_nets::ComparatorKind;

use super::{Tensors, guessed, imported, named, renamed};

/// A tensor whose values differ from those of other names: copies of a network's own tensors are no other layers.
fn tensor(name: String, shape: &[usize]) -> (String, Vec<usize>, Vec<f32>) {
    let count: usize = shape.iter().product();
    let seed = name.bytes().fold(0u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mixed = |i: u64| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    let values = (0..count as u64).map(|i| (mixed(i) + 1) as f32 / 1000.0).collect();
    (name, shape.to_vec(), values)
}

/// Places of the convolutions among torchvision's modules, as PyTorch prints them.
const SIXTEEN: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
const NINETEEN: [usize; 16] = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34];
/// Names of the convolutions in the authors' models.
const CAFFE_SIXTEEN: [&str; 13] = [
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1",
    "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3",
];
const CAFFE_NINETEEN: [&str; 16] = [
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4",
    "conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3", "conv5_4",
];

/// The convolutions of a VGG, whose fully connected layers are too large for a test.
fn vgg(names: impl IntoIterator<Item = String>) -> Tensors {
    let names: Vec<String> = names.into_iter().collect();
    let of_block = if names.len() <= 13 { [2, 2, 3, 3, 3] } else { [2, 2, 4, 4, 4] };
    let channels = [64, 128, 256, 512, 512];
    let outputs = channels.iter().zip(of_block).flat_map(|(out, n)| vec![*out; n]);
    let mut inputs = 3;
    let mut tensors = Tensors::new();
    for (name, out) in names.into_iter().zip(outputs) {
        tensors.push(tensor(format!("{name}.weight"), &[out, inputs, 3, 3]));
        tensors.push(tensor(format!("{name}.bias"), &[out]));
        inputs = out;
    }
    tensors
}

fn modules(places: &[usize]) -> Tensors {
    vgg(places.iter().map(|place| format!("features.{place}")))
}

fn caffe(names: &[&str]) -> Tensors {
    vgg(names.iter().map(|name| (*name).to_owned()))
}

#[test]
fn vgg_is_told_from_the_names_of_torchvision_caffe_and_onnx() {
    let zoo = renamed(vgg((0..13).map(|number| format!("vgg0_conv{number}"))), |name| {
        name.replace('.', "_")
    });
    for (tensors, kind) in [
        (modules(&SIXTEEN), ComparatorKind::vgg16()),
        (modules(&NINETEEN), ComparatorKind::vgg19()),
        (caffe(&CAFFE_SIXTEEN), ComparatorKind::vgg16_caffe()),
        (caffe(&CAFFE_NINETEEN), ComparatorKind::vgg19_caffe()),
        (zoo, ComparatorKind::vgg16()),
    ] {
        let report = guessed(&tensors).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(report.net, Net::Comparator(kind.clone()));
        assert_eq!(report.used().count(), tensors.len(), "{kind}");
        assert!(report.notes.concat().contains("ends after "), "{:?}", report.notes);
    }
}

#[test]
fn a_vgg_is_not_taken_for_another() {
    let (sixteen, nineteen) = (ComparatorKind::vgg16_caffe(), ComparatorKind::vgg19_caffe());
    // The deeper one has all layers of the other under the same names.
    let message = named(&caffe(&CAFFE_NINETEEN), &sixteen).expect_err("VGG19 is no VGG16");
    assert!(message.contains("expected no other layers within the network"), "{message}");
    assert!(message.contains("`conv3_4.weight`"), "{message}");
    let message = named(&caffe(&CAFFE_SIXTEEN[..8]), &nineteen).expect_err("VGG16 is no VGG19");
    assert!(message.contains("conv3_4.weight [256, 256, 3, 3]: missing"), "{message}");
    // The other form takes other pixels.
    named(&caffe(&CAFFE_SIXTEEN[..4]), &ComparatorKind::vgg16()).expect_err("of Caffe");
    named(&modules(&SIXTEEN[..4]), &sixteen).expect_err("of torchvision");
    // Batch normalisation, as in torchvision's vgg16_bn.
    let mut normalised = modules(&SIXTEEN[..4]);
    normalised.push(tensor("features.1.running_mean".into(), &[64]));
    let message = named(&normalised, &ComparatorKind::vgg16()).expect_err("vgg16_bn");
    assert!(message.contains("`features.1.running_mean`"), "{message}");
}

#[test]
fn a_broken_vgg_is_named() {
    let kind = ComparatorKind::vgg16();
    let mut hole = modules(&SIXTEEN[..7]);
    hole.retain(|(name, ..)| name != "features.12.bias");
    let message = named(&hole, &kind).expect_err("a missing bias");
    assert!(message.contains("features.12.bias [256]: missing"), "{message}");
    let mut narrow = modules(&SIXTEEN[..7]);
    narrow[8] = tensor("features.10.weight".into(), &[256, 64, 3, 3]);
    let message = named(&narrow, &kind).expect_err("other channels");
    let words = "expected shape [256, 128, 3, 3] of features.10.weight, found [256, 64, 3, 3]";
    assert!(message.contains(words), "{message}");
}

#[test]
fn the_trunk_and_the_heads_of_lpips_on_vgg_are_read() {
    // The slices of LPIPS keep the places of the modules.
    let mut tensors = renamed(modules(&SIXTEEN), |name| {
        let place: usize = name.split('.').nth(1).and_then(|n| n.parse().ok()).expect("a place");
        let slice = [4, 9, 16, 23].iter().filter(|first| place >= **first).count() + 1;
        name.replace("features.", &format!("net.slice{slice}."))
    });
    for (i, channels) in [64, 128, 256, 512, 512].into_iter().enumerate() {
        tensors.push(tensor(format!("lin{i}.model.1.weight"), &[1, channels, 1, 1]));
    }
    let report = named(&tensors, &ComparatorKind::vgg16()).expect("the trunk");
    assert_eq!((report.used().count(), report.prefix.as_deref()), (26, Some("net.")));
    let message = guessed(&tensors).expect_err("two networks");
    assert!(message.contains("fit lpips-vgg, vgg16"), "{message}");
    let net = Some(Net::LpipsVgg);
    let report = imported(&tensors, &ImportOptions { net, ..Default::default() });
    assert_eq!(report.expect("the heads").used().count(), 5);
}

/// State dictionary of torchvision's ResNet with this number of blocks in each stage: [2, 2, 2, 2] is ResNet-18.
fn resnet(blocks: [usize; 4]) -> Tensors {
    let mut tensors = Tensors::new();
    let mut normalised = |conv: String, norm: String, shape: [usize; 4]| {
        tensors.push(tensor(format!("{conv}.weight"), &shape));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push(tensor(format!("{norm}.{part}"), &shape[..1]));
        }
        tensors.push(tensor(format!("{norm}.num_batches_tracked"), &[]));
    };
    normalised("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    let mut inputs = 64;
    for (stage, (blocks, out)) in (1..).zip(blocks.into_iter().zip([64, 128, 256, 512])) {
        for number in 0..blocks {
            let block = format!("layer{stage}.{number}");
            let part = |name: &str| format!("{block}.{name}");
            normalised(part("conv1"), part("bn1"), [out, inputs, 3, 3]);
            normalised(part("conv2"), part("bn2"), [out, out, 3, 3]);
            if inputs != out {
                normalised(part("downsample.0"), part("downsample.1"), [out, inputs, 1, 1]);
            }
            inputs = out;
        }
    }
    tensors.push(tensor("fc.weight".into(), &[1000, 512]));
    tensors.push(tensor("fc.bias".into(), &[1000]));
    tensors
}

#[test]
fn resnet_is_told_from_the_state_dictionary_of_torchvision() {
    let kind = ComparatorKind::resnet18();
    let tensors = resnet([2; 4]);
    assert_eq!(tensors.len(), 122, "as many as PyTorch lists");
    let report = guessed(&tensors).expect("all of its tensors");
    assert_eq!(report.net, Net::Comparator(kind.clone()));
    // Without the counters of 20 batch normalisations.
    assert_eq!(report.used().count(), 102);
    for line in report.used() {
        assert!(matches!(&line.fate, Fate::Used(name, _) if *name == line.blob));
    }
    // A classifier of other classes leaves the network before it.
    let mut other = tensors.clone();
    other.truncate(120);
    other.push(tensor("fc.weight".into(), &[7, 512]));
    other.push(tensor("fc.bias".into(), &[7]));
    let report = named(&other, &kind).expect("the network before its classifier");
    assert_eq!(report.used().count(), 100);
    // ResNet-34 has all of these tensors, in their shapes, and more blocks.
    let message = named(&resnet([3, 4, 6, 3]), &kind).expect_err("another network");
    assert!(message.contains("expected no other layers within the network"), "{message}");
    assert!(message.contains("`layer1.2.bn1.weight`"), "{message}");
    let mut hole = tensors;
    hole.retain(|(name, ..)| name != "layer3.0.downsample.1.running_var");
    let message = named(&hole, &kind).expect_err("a missing statistic");
    assert!(message.contains("layer3.0.downsample.1.running_var [256]: missing"), "{message}");
}
