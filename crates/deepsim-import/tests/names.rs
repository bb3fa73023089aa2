//! Names, prefixes and cut networks: the network of each file, and the errors for other files.

#[path = "names/efficientnet.rs"]
mod efficientnet;
#[path = "names/lpips.rs"]
mod lpips;
#[path = "names/torchvision.rs"]
mod torchvision;
#[path = "names/values.rs"]
mod values;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::Device;
use deepsim_import::{Fate, ImportOptions, Net, Report, import};
use deepsim_nets::ComparatorKind;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn filled(kind: &ComparatorKind) -> Tensors {
    let fill = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let values = (0..count).map(|i| ((i * 7 + name.len()) % 13 + 1) as f32 / 100.0).collect();
        (name, shape, values)
    };
    // Fully connected layers are large; the convolutions are enough where a file may end early.
    kind.tensors().into_iter().filter(|(name, _)| !name.starts_with("fc")).map(fill).collect()
}

fn renamed(mut tensors: Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.iter_mut().for_each(|(name, ..)| *name = rename(name));
    tensors
}

fn write(folder: &Path, tensors: &Tensors) -> PathBuf {
    let path = folder.join("file.safetensors");
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

/// Imports tensors under their names; the file must open as the network that was recognised.
fn imported(tensors: &Tensors, options: &ImportOptions) -> Result<Report, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let report = import(&write(folder.path(), tensors), folder.path(), options);
    let report = report.map_err(|error| error.to_string())?;
    if let Net::Comparator(kind) = &report.net {
        kind.open(Some(&report.output), 0, &Device::Cpu).expect("what was imported opens");
    }
    Ok(report)
}

fn guessed(tensors: &Tensors) -> Result<Report, String> {
    imported(tensors, &ImportOptions::default())
}

fn named(tensors: &Tensors, kind: &ComparatorKind) -> Result<Report, String> {
    let net = Some(Net::Comparator(kind.clone()));
    imported(tensors, &ImportOptions { net, ..Default::default() })
}

static SQUEEZE: LazyLock<ComparatorKind> = LazyLock::new(ComparatorKind::squeezenet);
static TORCH: LazyLock<ComparatorKind> = LazyLock::new(ComparatorKind::squeezenet_torchvision);

/// The authors' names of SqueezeNet's layers.
fn authors(name: &str) -> String {
    name.replace("conv1x1_1", "squeeze1x1")
        .replace("conv1x1_2", "expand1x1")
        .replace("conv3x3_2", "expand3x3")
        .replace("conv_final", "conv10")
}

#[test]
fn names_of_caffe2_and_onnx_are_known_with_any_separator() {
    let part = |name: &str| name.replace(".weight", "_w_0").replace(".bias", "_b_0");
    let forms: [&dyn Fn(&str) -> String; 5] = [
        &|name| part(&authors(name)),
        &|name| part(&authors(name)).replace('/', "_"),
        &|name| authors(name).replace('/', "."),
        &|name| authors(name).replace(['/', '.'], "_"),
        &|name| authors(name).replace(".weight", "_w").replace(".bias", "_b"),
    ];
    for (i, form) in forms.into_iter().enumerate() {
        let report =
            guessed(&renamed(filled(&SQUEEZE), form)).unwrap_or_else(|e| panic!("{i}: {e}"));
        assert_eq!(
            (&report.net, report.used().count()),
            (&Net::Comparator(SQUEEZE.clone()), 52),
            "{i}"
        );
    }
}

#[test]
fn a_network_ends_early_only_where_its_file_ends() {
    // Layers under unknown names: only conv1 would be read.
    let strange = |name: &str| match name.starts_with("conv1.") {
        true => name.to_owned(),
        false => format!("block_{}", name.replace("conv", "c")),
    };
    let message = named(&renamed(filled(&SQUEEZE), strange), &SQUEEZE).expect_err("a cut network");
    assert!(message.contains("expected the file to end after conv1"), "{message}");
    assert!(message.contains("25 tensors that look like weights"), "{message}");
    // A file that ends there is fine, with counters and scales behind it.
    let mut short = filled(&SQUEEZE);
    short.truncate(8);
    short.push(("bn.num_batches".into(), vec![1], vec![3.0]));
    short.push(("offsets".into(), vec![96], vec![0.0; 96]));
    let report = named(&short, &SQUEEZE).expect("conv1 and fire2");
    assert_eq!(report.used().count(), 8);
    assert_eq!(report.notes, ["ends after fire2, as the file does"]);
    // Weights in a row, and averages of layers that are not there.
    for (name, shape) in [("fire3_flat", vec![64 * 128]), ("ema.f3", vec![16, 128, 1, 1])] {
        let count = shape.iter().product();
        let tensors = [&short[..], &[(name.into(), shape, vec![0.5; count])]].concat();
        let message = named(&tensors, &SQUEEZE).expect_err(name);
        assert!(message.contains("found 1 tensors that look like weights"), "{message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn tensors_of_numbers_that_are_not_read_count_as_layers() {
    let write = |is_float: fn(&str) -> bool| {
        let tensors = filled(&TORCH);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.safetensors");
        let bytes: Vec<(Dtype, Vec<u8>)> = tensors
            .iter()
            .map(|(name, _, values)| match is_float(name) {
                true => (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
                false => (Dtype::I8, values.iter().map(|value| (value * 100.0) as u8).collect()),
            })
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), (kind, bytes))| {
            (name.as_str(), TensorView::new(*kind, shape.clone(), bytes).expect("values"))
        });
        serialize_to_file(views, None, &path).expect("a file");
        let net = Some(Net::Comparator(TORCH.clone()));
        import(&path, folder.path(), &ImportOptions { net, ..Default::default() })
            .map_err(|error| error.to_string())
    };
    let message = write(|name| name.starts_with("features.0.")).expect_err("a stem alone");
    assert!(message.contains("expected the file to end after features.0"), "{message}");
    assert!(message.contains("found 25 tensors") && message.contains("`features.3."), "{message}");
    let message = write(|name| !name.starts_with("features.3.")).expect_err("a hole");
    let words = "features.3.squeeze.weight` is no tensor of weights";
    assert!(message.contains("missing") && message.contains(words), "{message}");
    let report = write(|name| name.starts_with("features.")).expect("the trunk");
    let words =
        "before classifier.1; not read, as their numbers are no weights: `classifier.1.weight`";
    assert!(report.notes.concat().contains(words), "{:?}", report.notes);
}

#[test]
fn other_layers_within_a_network_make_another_of_it() {
    let alex = &ComparatorKind::alexnet_torchvision();
    let row = |name: &str, n: usize| (name.to_owned(), vec![n], vec![0.5; n]);
    let kernels = |name: &str, shape: [usize; 4]| {
        (name.to_owned(), shape.to_vec(), vec![0.5; shape.iter().product()])
    };
    for (kind, stranger) in [
        (alex, row("bn1.running_mean", 64)),
        (alex, row("bn1.running_var", 64)),
        (alex, row("bn1.weight", 64)),
        (alex, row("relu1.weight", 64)),
        (alex, kernels("extra.0.weight", [5, 256, 3, 3])),
        (alex, kernels("conv2.lora.weight", [8, 64, 1, 1])),
        (&SQUEEZE, row("scale_fire2.weight", 128)),
        (&TORCH, kernels("features.3.bypass.weight", [128, 64, 1, 1])),
        (&TORCH, row("features.1.running_var", 64)),
    ] {
        let name = stranger.0.clone();
        let tensors = [filled(kind), vec![stranger]].concat();
        for message in [named(&tensors, kind), guessed(&tensors)] {
            let message = message.expect_err(&name);
            assert!(message.contains("expected no other layers within the network"), "{message}");
            assert!(message.contains(&name), "{message}");
        }
        // Beside the network they are other parts of a larger one.
        let mut beside = renamed(tensors, |name| format!("backbone.{name}"));
        beside.last_mut().expect("the stranger").0 = format!("decoder.{name}");
        named(&beside, kind).unwrap_or_else(|error| panic!("{error}"));
    }
    for (name, shape) in [
        ("top_layer.weight", vec![2, 9216]),
        ("top.weight", vec![1, 4096]),
        ("fc8_flickr.weight", vec![20, 4096]),
        ("conv10_new.weight", vec![1, 512, 1, 1]),
        ("classifier.bn.running_mean", vec![64]),
        ("ema.conv1.weight", vec![64, 3, 11, 11]),
        ("num_batches_tracked", vec![1]),
        ("scaling_layer.shift", vec![1, 3, 1, 1]),
        ("data_mean", vec![1, 3, 227, 227]),
    ] {
        let count = shape.iter().product();
        let tensors = [filled(alex), vec![(name.into(), shape, vec![0.5; count])]].concat();
        named(&tensors, alex).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut tied = filled(alex);
    tied.push(("alias".into(), tied[2].1.clone(), tied[2].2.clone()));
    let row = 64 * 25;
    tied.push(("view".into(), vec![10, 64, 5, 5], tied[2].2[5 * row..15 * row].to_vec()));
    named(&tied, alex).expect("a tensor under two names, and a part of it");
    tied.last_mut().expect("the part").2[7] += 1.0;
    let message = named(&tied, alex).expect_err("other kernels");
    assert!(message.contains("found 1 tensors of some: `view`"), "{message}");
}

#[test]
fn prefixes_are_peeled_and_said() {
    for prefix in ["module.", "_orig_mod.", "model.", "net.module.", "a.b.backbone.", "alexnet/"] {
        let tensors = renamed(filled(&TORCH), |name| format!("{prefix}{name}"));
        let report = guessed(&tensors).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        assert_eq!(report.prefix.as_deref(), Some(prefix));
        assert_eq!((&report.net, report.used().count()), (&Net::Comparator(TORCH.clone()), 52));
        assert!(report.to_string().contains(prefix), "{report}");
    }
    // The features alone, as they call themselves.
    let tensors = filled(&TORCH).into_iter().filter(|(name, ..)| name.starts_with("features."));
    let alone = renamed(tensors.collect(), |name| name.replace("features.", ""));
    let report = guessed(&alone).expect("features without their name");
    assert_eq!((report.used().count(), report.prefix), (50, None));
    assert_eq!(report.notes, ["ends after features.12, before classifier.1"]);
}

#[test]
fn two_copies_of_a_network_are_told_apart_or_asked_about() {
    let copy = |prefix: &str, factor: f32| {
        let mut copy = renamed(filled(&TORCH), |name| format!("{prefix}{name}"));
        copy.iter_mut().flat_map(|(_, _, values)| values).for_each(|value| *value *= factor);
        copy
    };
    let both = [copy("student.", 1.0), copy("teacher.", 2.0)].concat();
    let message = named(&both, &TORCH).expect_err("two copies");
    assert!(
        message.contains("under `student.` and under `teacher.`; say which with --part"),
        "{message}"
    );
    let part = Some("teacher".to_owned());
    let report =
        imported(&both, &ImportOptions { part, ..Default::default() }).expect("one of them");
    assert_eq!(report.prefix.as_deref(), Some("teacher."));
    // Averages are not taken without a request.
    let averaged = [copy("ema.", 0.5), copy("model.", 1.0)].concat();
    let report = guessed(&averaged).expect("two copies");
    assert_eq!(report.prefix.as_deref(), Some("model."));
    assert_eq!(report.notes, ["averaged weights are there too; --part ema reads them"]);
}

#[test]
fn a_classifier_of_another_task_leaves_the_trunk() {
    let classes = |name: &str, classes: usize| -> Tensors {
        let mut tensors = filled(&TORCH);
        tensors.truncate(50);
        tensors.push((
            format!("{name}.weight"),
            vec![classes, 512, 1, 1],
            vec![0.5; classes * 512],
        ));
        tensors.push((format!("{name}.bias"), vec![classes], vec![0.5; classes]));
        tensors
    };
    for tensors in [classes("classifier.1", 2), classes("classifier_new", 20)] {
        let report = guessed(&tensors).expect("a trunk");
        assert_eq!((&report.net, report.used().count()), (&Net::Comparator(TORCH.clone()), 50));
        let note = "ends after features.12, before classifier.1; the file has the classifier of another task";
        assert_eq!(report.notes, [note]);
    }
}

/// Convolutions 1 to 5 of AlexNet.
fn alexnet() -> Tensors {
    filled(&ComparatorKind::alexnet())
}

#[test]
fn grouped_convolutions_stored_without_groups_are_read_if_the_rest_is_zero() {
    let mut tensors = alexnet();
    let expected = tensors[2].clone();
    let (name, shape, values) = &mut tensors[2];
    assert_eq!((name.as_str(), &shape[..]), ("conv2.weight", &[256, 48, 5, 5][..]));
    let row = 48 * 25;
    let dense = values.chunks(row).enumerate().flat_map(|(i, row)| {
        let zeros = vec![0.0; row.len()];
        if i < 128 { [row, &zeros[..]].concat() } else { [&zeros[..], row].concat() }
    });
    *values = dense.collect();
    *shape = vec![256, 96, 5, 5];
    let folder = tempfile::tempdir().expect("a folder");
    let net = Some(Net::Comparator(ComparatorKind::alexnet()));
    let options = ImportOptions { net, ..Default::default() };
    let report = import(&write(folder.path(), &tensors), folder.path(), &options).expect("dense");
    let bytes = std::fs::read(&report.output).expect("a file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let held = deepsim_nets::params::values_of(&file.tensor("conv2.weight").expect("conv2"));
    assert_eq!(held.as_deref(), Some(&expected.2[..]));
    tensors[2].2[row] = 1e-9;
    let message = named(&tensors, &ComparatorKind::alexnet()).expect_err("no groups");
    assert!(message.contains("conv2.weight: expected zeros outside of the blocks"), "{message}");
}

#[test]
fn a_file_that_fits_no_network_is_told_the_nearest_and_shown_its_own_names() {
    let other = |name: &str| name.replace("conv1.", "conv1_1.").replace("conv2.", "conv2_1.");
    let message = guessed(&renamed(alexnet(), other)).expect_err("other names");
    for words in [
        "fit no network",
        "the nearest is alexnet, of which it has 6 of 16 tensors",
        "conv1.weight [96, 3, 11, 11]: missing; `conv1_1.weight` has its shape",
        "tensors of the file: `conv1_1.bias`",
    ] {
        assert!(message.contains(words), "no `{words}` in {message}");
    }
    assert!(message.lines().count() < 12, "{message}");
    let message =
        guessed(&vec![("a".into(), vec![2, 3], vec![0.0; 6])]).expect_err("another network");
    assert!(message.contains("no network has tensors of these names or shapes"), "{message}");
    let mut hole = alexnet();
    hole.drain(4..6);
    let message = named(&hole, &ComparatorKind::alexnet()).expect_err("no conv3");
    assert!(message.contains("conv3.weight [384, 256, 3, 3]: missing"), "{message}");
    assert!(!message.contains("fc6"), "{message}");
}

#[test]
fn ignored_tensors_have_their_reasons() {
    let mut tensors = renamed(filled(&TORCH), |name| format!("model.{name}"));
    tensors.push(("ema.features.0.bias".into(), vec![64], vec![0.5; 64]));
    let report = guessed(&tensors).expect("a network and a stranger");
    let line = report.lines.iter().find(|line| line.blob.starts_with("ema")).expect("its line");
    assert_eq!(line.fate, Fate::Ignored("not under the prefix of the network".into()));
}

/// A file of real weights, if it is on this machine.
#[expect(clippy::print_stderr, reason = "says that it is skipped")]
fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("data/weights").join(name);
    if !path.is_file() {
        eprintln!("skipped: no {name}; set DEEPSIM_SHARED");
        return None;
    }
    Some(path)
}

#[test]
fn shared_weights_under_caffe2s_names_keep_every_value() {
    let Some(path) = shared("squeezenet_v1.0_deepcompressed.safetensors") else { return };
    let (_, contents) = deepsim_import::read(&path, None).expect("real weights");
    let tensors: Tensors = contents
        .blobs
        .iter()
        .map(|b| (b.name.clone(), b.shape.clone(), b.values.clone()))
        .collect();
    let zoo = renamed(tensors.clone(), |name| {
        authors(name).replace(".weight", "_w_0").replace(".bias", "_b_0")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let options = ImportOptions::default();
    let report = import(&write(folder.path(), &zoo), folder.path(), &options).expect("SqueezeNet");
    assert_eq!((&report.net, report.used().count()), (&Net::Comparator(SQUEEZE.clone()), 52));
    let (_, written) = deepsim_import::read(&report.output, None).expect("what was written");
    let written = written.blobs.into_iter().map(|blob| (blob.name, blob.shape, blob.values));
    assert_eq!(written.collect::<Tensors>(), tensors);
}
