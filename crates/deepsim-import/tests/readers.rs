//! Every form of file, as its own package writes it.

use std::path::{Path, PathBuf};

use deepsim_import::{Blob, Format, Net, parse, read};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn blobs(name: &str) -> (Format, Vec<Blob>) {
    let (_, contents) = read(&fixture(name), None).expect(name);
    (contents.format, contents.blobs)
}

/// The numbers that the script writes under a name.
fn values(name: &str, count: usize) -> Vec<f32> {
    let seed: usize = name.bytes().map(usize::from).sum();
    (0..count).map(|i| (((i * 37 + seed) % 211) as f64 / 100.0 - 1.0) as f32).collect()
}

fn assert_blob(blobs: &[Blob], name: &str, shape: &[usize], wanted: &[f32]) {
    let blob = blobs.iter().find(|blob| blob.name == name).expect(name);
    assert_eq!((&blob.shape[..], &blob.values[..]), (shape, wanted), "{name}");
}

#[test]
fn caffes_layers_new_and_old() {
    let (format, new) = blobs("new.caffemodel");
    assert_eq!((format, new.len()), (Format::Caffe, 4));
    assert_blob(&new, "conv1.weight", &[2, 3, 2, 2], &values("conv1.weight", 24));
    assert_blob(&new, "fc6.bias", &[4], &values("fc6.bias", 4));
    // Floats that are not packed, and shapes of four sides.
    let (format, old) = blobs("v1.caffemodel");
    assert_eq!((format, old.len()), (Format::Caffe, 4));
    assert_blob(&old, "conv1.weight", &[2, 3, 2, 2], &values("conv1.weight", 24));
    assert_blob(&old, "fc6.weight", &[1, 1, 4, 5], &values("fc6.weight", 20));
    let (_, double) = blobs("double.caffemodel");
    assert_blob(&double, "a.weight", &[3, 2], &values("a.weight", 6));
}

#[test]
fn mean_images() {
    let (format, mean) = blobs("mean.binaryproto");
    assert_eq!(format, Format::CaffeBlob);
    assert_blob(&mean, "mean", &[1, 3, 4, 5], &values("mean", 60));
}

#[test]
fn initialisers_of_onnx() {
    let (format, all) = blobs("mini.onnx");
    assert_eq!((format, all.len()), (Format::Onnx, 4), "whole numbers are left out");
    assert_blob(&all, "conv1_w_0", &[2, 3, 2, 2], &values("conv1_w_0", 24));
    assert_blob(&all, "conv1_b_0", &[2], &values("conv1_b_0", 2));
    assert_blob(&all, "double", &[4], &values("double", 4));
    let half = all.iter().find(|blob| blob.name == "half").expect("half");
    let apart = half.values.iter().zip(values("half", 6)).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-3);
}

#[test]
fn pytorchs_tensors_new_and_old() {
    for (name, wanted) in [("zip.pth", Format::TorchZip), ("legacy.pth", Format::TorchLegacy)] {
        let (format, all) = blobs(name);
        assert_eq!((format, all.len()), (wanted, 9), "{name}: whole numbers are left out");
        assert_blob(&all, "a.weight", &[2, 3], &values("a.weight", 6));
        assert_blob(&all, "parameter", &[2, 2], &values("parameter", 4));
        assert_blob(&all, "double", &[3], &values("double", 3));
        // A view of a transposed matrix, and two views of one storage.
        let matrix = values("turned", 12);
        let turned: Vec<f32> =
            (0..3).flat_map(|c| (0..4).map(|r| matrix[r * 3 + c]).collect::<Vec<_>>()).collect();
        assert_blob(&all, "turned", &[3, 4], &turned);
        assert_blob(&all, "first", &[2], &values("both", 6)[..2]);
        assert_blob(&all, "second", &[4], &values("both", 6)[2..]);
        for (short, digits) in [("half", 1e-3), ("bfloat", 1e-2)] {
            let blob = all.iter().find(|blob| blob.name == short).expect(short);
            let apart = blob.values.iter().zip(values(short, 3)).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < digits, "{name} {short}");
        }
    }
    let (_, checkpoint) = blobs("checkpoint.pth");
    let names: Vec<&str> = checkpoint.iter().map(|blob| blob.name.as_str()).collect();
    let wanted = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"];
    assert_eq!(names, wanted);
}

#[test]
fn the_published_heads_of_lpips() {
    // Sums that PyTorch gives.
    let sums = |name: &str| -> Vec<f32> {
        let sum = |blob: &Blob| blob.values.iter().sum::<f32>();
        blobs(name).1.iter().map(sum).collect()
    };
    let near = |got: Vec<f32>, wanted: &[f32]| {
        assert_eq!(got.len(), wanted.len());
        let apart = got.iter().zip(wanted).map(|(a, b)| (a - b).abs() / b);
        assert!(apart.fold(0.0, f32::max) < 1e-5, "{got:?}");
    };
    near(sums("lpips-alex.pth"), &LPIPS_ALEX);
    near(sums("lpips-squeeze.pth"), &LPIPS_SQUEEZE);
    near(sums("lpips-vgg.pth"), &LPIPS_VGG);
}

/// Sums of the weights of each head, by PyTorch.
const LPIPS_ALEX: [f32; 5] = [2.349532, 16.143027, 39.26844, 27.197178, 20.317177];
const LPIPS_SQUEEZE: [f32; 7] =
    [5.690101, 1.185279, 16.326565, 71.01262, 37.370723, 24.262872, 17.590553];
const LPIPS_VGG: [f32; 5] = [6.925991, 8.858334, 17.515005, 51.521324, 47.03485];

#[test]
fn nothing_is_run_and_nothing_is_unpacked() {
    for (name, words) in [
        ("evil.pth", "posix.system"),
        ("evil-legacy.pth", "nothing is run"),
        ("bomb.pth", "x/data.pkl: compressed"),
        ("stretched.pth", "shape [1099511627776], but a storage of 1 values"),
    ] {
        let message = read(&fixture(name), None).expect_err(name).to_string();
        assert!(message.contains(words) && message.contains(name), "{message}");
    }
    assert!(!Path::new("/tmp/deepsim-import-was-here").exists());
}

#[test]
fn files_cut_short_or_changed_are_errors_or_other_files_but_never_more() {
    for name in [
        "new.caffemodel",
        "v1.caffemodel",
        "mean.binaryproto",
        "mini.onnx",
        "zip.pth",
        "legacy.pth",
        "checkpoint.pth",
        "lpips-alex.pth",
    ] {
        let bytes = std::fs::read(fixture(name)).expect(name);
        let whole = parse(&bytes, None).expect(name).blobs;
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 500) {
            if let Ok(contents) = parse(&bytes[..end], None) {
                assert!(contents.blobs.len() <= whole.len(), "{name} cut at {end}");
            }
        }
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 700) {
            for change in [0x01, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= change;
                let _ = parse(&broken, None);
            }
        }
    }
}

#[test]
fn what_is_no_file_of_weights_is_said_so() {
    for bytes in
        [&b""[..], b"hello", &[0; 64], b"PK\x03\x04", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]]
    {
        assert!(parse(bytes, None).is_err(), "{bytes:?}");
    }
    let message = parse(b"hello", None).expect_err("no file of weights");
    assert!(message.contains(".caffemodel") && message.contains("safetensors"), "{message}");
    // A length of 2^62 in a header of safetensors, and a packed field of 2^31 bytes.
    let mut long = (1u64 << 62).to_le_bytes().to_vec();
    long.push(b'{');
    assert!(parse(&long, None).is_err());
    assert!(parse(&[0x2a, 0xff, 0xff, 0xff, 0xff, 0x07, 0], None).is_err());
}

#[test]
fn names_of_networks_are_distinct() {
    let names: Vec<String> = Net::all().iter().map(Net::name).collect();
    for (i, name) in names.iter().enumerate() {
        assert!(!names[..i].contains(name), "{name}");
        assert_eq!(Net::by_name(name).expect("a network").name(), *name);
    }
}
