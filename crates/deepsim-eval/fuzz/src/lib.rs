//! Fuzz targets: readers of foreign bytes. Each takes any bytes and must return.
//!
//! With a nightly compiler, from the crate's folder:
//!
//! ```text
//! cargo fuzz run features fuzz/corpus/features -- -max_len=8000
//! ```
//!
//! calls one with ever new bytes. The test `tests/seeds.rs` of the crate calls all of them with files that it writes, and
//! with changes of them.

use std::path::Path;

use deepsim_eval::features::Features;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Targets by name.
pub const TARGETS: &[Target] = &[("features", features)];

/// Features in `.npy` and `.safetensors`: what is taken has features of one picture or more, all finite.
pub fn features(bytes: &[u8]) {
    let Ok(features) = Features::parse(Path::new("features"), bytes) else { return };
    assert!(!features.is_empty());
    for (tap, tensor) in features.tensors() {
        let values = tensor.flatten_all().and_then(|all| all.to_vec1::<f32>());
        assert!(values.is_ok_and(|all| all.iter().all(|value| value.is_finite())), "{tap}");
    }
}
