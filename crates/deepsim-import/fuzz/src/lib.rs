//! Fuzz targets: readers of foreign bytes. Each takes any bytes and must return.
//!
//! With a nightly compiler, from the crate's folder:
//!
//! ```text
//! cargo fuzz run NAME fuzz/corpus/NAME tests/fixtures tests/fixtures/kinds fuzz/seeds/NAME -- -max_len=8000
//! ```
//!
//! calls one with ever new bytes. The test `tests/seeds.rs` of the crate calls all of them with the
//! fixtures, with inputs that were found (`fuzz/seeds`), and with changes of both.

use deepsim_import::{Blob, caffe, onnx, parse, safetensors, torch};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Targets by name.
pub const TARGETS: &[Target] = &[
    ("torch", pth),
    ("caffe", caffemodel),
    ("onnx", model),
    ("safetensors", tensors),
    ("any", any),
];

/// Checks the promises of every reader about a tensor.
fn check(blobs: &[Blob]) {
    for blob in blobs {
        assert_eq!(blob.shape.iter().product::<usize>(), blob.values.len(), "{}", blob.name);
    }
}

/// PyTorch's archives and legacy files, and a pickle alone.
pub fn pth(bytes: &[u8]) {
    for part in [None, Some("model")] {
        for contents in [torch::archive::read(bytes, part), torch::legacy::read(bytes, part)] {
            check(&contents.map_or(Vec::new(), |contents| contents.blobs));
        }
        if let Ok(pickle) = torch::pickle::read(bytes) {
            let _ = pickle.state(part);
        }
    }
}

/// Caffe's networks and mean images.
pub fn caffemodel(bytes: &[u8]) {
    check(&caffe::blobs(bytes).unwrap_or_default());
    check(&caffe::mean(bytes).map_or(Vec::new(), |blob| vec![blob]));
}

/// ONNX.
pub fn model(bytes: &[u8]) {
    check(&onnx::blobs(bytes).unwrap_or_default().0);
}

/// safetensors.
pub fn tensors(bytes: &[u8]) {
    check(&safetensors::blobs(bytes).unwrap_or_default().0);
}

/// Any file, whose form is told from its bytes.
pub fn any(bytes: &[u8]) {
    match parse(bytes, None) {
        Ok(contents) => check(&contents.blobs),
        Err(reason) => assert!(!reason.is_empty()),
    }
}
