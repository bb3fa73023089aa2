//! Kinds of files that people have, beyond those that the formats' own packages write today.

use std::path::{Path, PathBuf};

use deepsim_import::{Blob, Contents, Format, ImportOptions, Net, Skipped, import, parse, read};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds").join(name)
}

fn contents(name: &str) -> Contents {
    read(&fixture(name), None).unwrap_or_else(|error| panic!("{error}")).1
}

fn error(name: &str) -> String {
    read(&fixture(name), None).expect_err(name).to_string()
}

/// The numbers that the script writes under a name.
fn values(name: &str, count: usize) -> Vec<f32> {
    let seed: usize = name.bytes().map(usize::from).sum();
    (0..count).map(|i| (((i * 37 + seed) % 211) as f64 / 100.0 - 1.0) as f32).collect()
}

/// The weight and the bias that most files hold.
fn assert_layer(name: &str, blobs: &[Blob]) {
    let held: Vec<_> =
        blobs.iter().map(|b| (b.name.as_str(), &b.shape[..], &b.values[..])).collect();
    let (weight, bias) = (values("a.weight", 6), values("a.bias", 2));
    let expected = [("a.weight", &[2, 3][..], &weight[..]), ("a.bias", &[2], &bias)];
    assert_eq!(held, expected, "{name}");
}

#[test]
fn legacy_checkpoints_hold_tensors_outside_of_the_state_and_come_in_every_protocol() {
    for name in ["checkpoint-legacy", "protocol-2", "protocol-3", "protocol-4", "protocol-5"] {
        let name = format!("{name}.pth");
        let contents = contents(&name);
        assert_eq!(contents.format, Format::TorchLegacy, "{name}");
        assert_eq!(contents.container.as_deref(), Some("state_dict"), "{name}");
        assert_layer(&name, &contents.blobs);
    }
}

/// The archive that PyTorch writes of the same members under a folder of another name.
fn in_folder(folder: &str, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members {
        archive.start_file(format!("{folder}/{name}"), stored).expect("a member");
        std::io::Write::write_all(&mut archive, bytes).expect("its bytes");
    }
    let mut bytes = archive.finish().expect("an archive").into_inner();
    // PyTorch always writes the records of large archives, 76 bytes before the end record.
    let end = bytes.split_off(bytes.len() - 22);
    let wide = |at: usize| u64::from(u32::from_le_bytes(*end[at..].first_chunk().expect("four")));
    let (count, size, start) = (members.len() as u64, wide(12), wide(16));
    let records = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [count, count, size, start].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(records.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(end);
    bytes
}

#[test]
fn archives_open_whatever_the_length_of_their_folders_name() {
    let name = "twenty-one-characters.pth";
    assert_layer(name, &contents(name).blobs);
    let bytes = std::fs::read(fixture(name)).expect(name);
    let mut archive = zip::ZipArchive::with_config(
        zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) },
        std::io::Cursor::new(&bytes),
    )
    .expect("an archive");
    let members: Vec<(String, Vec<u8>)> = (0..archive.len())
        .map(|i| {
            let mut member = archive.by_index(i).expect("a member");
            let name = member.name().expect("its name").into_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut member, &mut bytes).expect("its bytes");
            (name.split_once('/').expect("a folder").1.to_owned(), bytes)
        })
        .collect();
    let members: Vec<_> = members.iter().map(|(n, bytes)| (n.as_str(), &bytes[..])).collect();
    for length in 1..=60 {
        let bytes = in_folder(&"n".repeat(length), &members);
        let contents = parse(&bytes, None).unwrap_or_else(|error| panic!("{length}: {error}"));
        assert_layer(&format!("a folder of {length} characters"), &contents.blobs);
    }
}

#[test]
fn values_that_are_no_tensors_are_passed_over() {
    for name in ["opaque.pth", "opaque-legacy.pth"] {
        let contents = contents(name);
        assert_eq!(contents.container.as_deref(), Some("model"), "{name}");
        assert_layer(name, &contents.blobs);
    }
}

#[test]
fn a_value_that_is_no_tensor_is_listed_where_a_tensor_is_expected() {
    let contents = contents("opaque-needed.pth");
    assert_eq!(contents.blobs.len(), 1);
    let Skipped { name, what, weights } = &contents.skipped[0];
    assert_eq!(name, "a.weight");
    assert!(what.contains("torch._utils._rebuild_qtensor") && *weights, "{what}");
}

#[test]
fn containers_are_opened_and_named() {
    for key in ["model", "net", "model_state_dict", "network"] {
        let name = format!("under-{key}.pth");
        let contents = contents(&name);
        assert_eq!(contents.container.as_deref(), Some(key));
        assert_layer(&name, &contents.blobs);
    }
    let nested = contents("nested.pth");
    assert_eq!(nested.container.as_deref(), Some("model.state_dict"));
    assert_eq!(nested.blobs[0].name, "module.a.weight");
}

#[test]
fn other_containers_are_named_where_the_likeliest_fits_no_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let net = Net::by_name("alexnet").ok();
    for options in [ImportOptions::default(), ImportOptions { net, ..Default::default() }] {
        let message = import(&fixture("two-containers.pth"), folder.path(), &options);
        let message = message.expect_err("no network").to_string();
        let words = "in `state_dict`; others are in `model`, which --part model reads";
        assert!(message.contains(words), "{message}");
    }
    let (_, contents) = read(&fixture("two-containers.pth"), Some("model")).expect("the other");
    assert_layer("two-containers.pth", &contents.blobs);
}

#[test]
fn dictionaries_of_classes_of_their_own_are_read_as_dictionaries() {
    for name in ["own-dictionary.pth", "own-dictionary-legacy.pth", "own-dictionary-inside.pth"] {
        assert_layer(name, &contents(name).blobs);
    }
    assert_eq!(contents("own-dictionary-inside.pth").container.as_deref(), Some("model"));
}

#[test]
fn averaged_weights_are_read_on_request_only_and_mentioned_otherwise() {
    let plain = contents("averaged.pth");
    assert_layer("averaged.pth", &plain.blobs);
    assert!(plain.notes[0].contains("--part state_dict_ema"), "{:?}", plain.notes);
    let (_, averaged) =
        read(&fixture("averaged.pth"), Some("state_dict_ema")).expect("the averages");
    assert_eq!(averaged.container.as_deref(), Some("state_dict_ema"));
    let halves: Vec<f32> = values("a.weight", 6).iter().map(|value| value * 0.5).collect();
    assert_eq!(averaged.blobs[0].values, halves);
}

#[test]
fn programs_and_whole_models_are_answered_with_the_line_of_python_that_helps() {
    for name in ["whole.pth", "whole-legacy.pth"] {
        let message = error(name);
        assert!(message.contains("torch.nn.modules.linear.Linear"), "{message}");
        assert!(
            message.contains("weights_only=False).state_dict(), \"weights.pth\")"),
            "{message}"
        );
    }
    assert!(error("whole-inside.pth").contains("weights_only=False)[\"model\"].state_dict()"));
    let message = error("script.pt");
    assert!(message.contains("TorchScript") && message.contains("torch.jit.load"), "{message}");
}

#[test]
fn tensors_of_any_strides_are_read_in_the_order_of_their_shapes() {
    let contents = contents("strided.pth");
    let blob = |name: &str| contents.blobs.iter().find(|blob| blob.name == name).expect(name);
    assert_eq!(blob("turned").values, values("turned", 24));
    let every: Vec<f32> = values("every", 8).into_iter().step_by(2).collect();
    assert_eq!(blob("every").values, every);
    assert_eq!(blob("repeated").values, values("repeated", 3).repeat(2));
}

#[test]
fn caffes_raw_values_double_shapes_and_nets_without_a_name() {
    for name in ["raw-f8", "raw-f4", "both-shapes", "no-name", "input-first"] {
        let contents = contents(&format!("{name}.caffemodel"));
        assert_eq!(contents.format, Format::Caffe, "{name}");
        let [blob] = &contents.blobs[..] else { panic!("{name}: {:?}", contents.blobs) };
        assert_eq!((blob.name.as_str(), &blob.shape[..]), ("conv1.weight", &[2, 3, 1, 2][..]));
        assert_eq!(blob.values, values("conv1.weight", 12), "{name}");
    }
    let half = &contents("raw-f2.caffemodel").blobs[0];
    let apart = half.values.iter().zip(values("conv1.weight", 12)).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-3);
}

#[test]
fn means_of_one_pixel_and_with_two_shapes() {
    for (name, shape, expected) in [
        ("mean-pixel", &[3, 1, 1][..], vec![104.0, 117.0, 123.0]),
        ("mean-pixel-old", &[1, 3, 1, 1], vec![104.0, 117.0, 123.0]),
        ("mean-both", &[1, 3, 2, 2], values("mean", 12)),
        ("mean-double", &[1, 3, 2, 2], values("mean", 12)),
    ] {
        let contents = contents(&format!("{name}.binaryproto"));
        assert_eq!(contents.format, Format::CaffeBlob, "{name}");
        assert_eq!((&contents.blobs[0].shape[..], &contents.blobs[0].values), (shape, &expected));
    }
}

#[test]
fn onnx_in_short_forms_in_any_order_and_in_constants() {
    for (name, most) in [
        ("bfloat16", 1e-2),
        ("bfloat16-int32", 1e-2),
        ("float16-int32", 1e-3),
        ("order", 0.0),
        ("constant", 0.0),
    ] {
        let contents = contents(&format!("{name}.onnx"));
        assert_eq!(contents.format, Format::Onnx, "{name}");
        let [blob] = &contents.blobs[..] else { panic!("{name}: {:?}", contents.blobs) };
        assert_eq!((blob.name.as_str(), &blob.shape[..]), ("conv1_w_0", &[2, 3][..]), "{name}");
        let apart = blob.values.iter().zip(values("conv1_w_0", 6)).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) <= most, "{name}");
    }
    let message = error("external.onnx");
    assert!(message.contains("conv1_w_0") && message.contains("weights.bin"), "{message}");
}

#[test]
fn what_is_no_file_of_weights_is_called_what_it_is() {
    let html = b"\n<!DOCTYPE html><html><head><title>404</title></head></html>";
    let comment = b"<!-- saved from a mirror -->\n<body>Not found</body>";
    let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(order).collect()
    };
    let page = "<!DOCTYPE html>\r\n<html>\u{e9}</html>";
    let (little, big) = (wide(page, u16::to_le_bytes), wide(page, u16::to_be_bytes));
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 243862414\n";
    let prototxt = b"# AlexNet\nname: \"AlexNet\"\nlayer {\n  name: \"data\"\n}\n";
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (html, "an HTML page"),
        (comment, "an HTML page"),
        (&little, "an HTML page"),
        (&big, "an HTML page"),
        (lfs, "git lfs pull"),
        (prototxt, "a prototxt"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
        (b"{\"error\": \"no such file\"}", "text that begins with `{\"error\""),
        (&[0; 64], "nothing but zeros"),
        (&[0xfe, 0xca, 0, 1], "none of them"),
    ] {
        let message = parse(bytes, None).expect_err(words);
        assert!(message.contains(words), "no `{words}` in {message}");
    }
    assert!(error("plain.pkl").contains("a pickle that torch.save did not write"));
    assert!(error("state.solverstate").contains("net_iter_1000.caffemodel"));
    assert!(error("no-weights.caffemodel").contains("without a tensor"));
}

#[test]
fn a_download_that_stopped_is_said_to_have_stopped() {
    let stopped = "as if its download had stopped";
    assert!(error("cut.caffemodel").contains(stopped));
    for (name, share) in [
        ("under-model.pth", 2),
        ("checkpoint-legacy.pth", 1),
        ("constant.onnx", 2),
        ("mean-double.binaryproto", 2),
    ] {
        let bytes = std::fs::read(fixture(name)).expect(name);
        // The pickles of a legacy file are most of one as small as this.
        let end = if share == 1 { bytes.len() - 10 } else { bytes.len() / share };
        let message = parse(&bytes[..end], None).expect_err(name);
        assert!(message.contains(stopped), "{name}: {message}");
    }
    // In any of its pickles: the first is enough to know the form.
    let bytes = std::fs::read(fixture("checkpoint-legacy.pth")).expect("a legacy file");
    for end in (14..bytes.len()).step_by(7) {
        let message = parse(&bytes[..end], None).expect_err("a part of a file");
        assert!(message.contains(stopped), "{end}: {message}");
    }
}
