//! Weights and photographs that come with the project: `data/weights` and `data/photos` of its source.
//!
//! Networks whose weights are there ([`ComparatorSpec::shipped`](crate::ComparatorSpec)) need no folder of weights:
//! [`ComparatorKind::open_shipped`](crate::ComparatorKind::open_shipped) opens these files, and
//! [`ComparatorKind::find_weights`](crate::ComparatorKind::find_weights) falls back to them, from whatever folder a
//! program is started. Other files that were imported into the same folder are not taken unless it is named.
//!
//! The folders in which `weights` and `photos` are searched, in this order:
//!
//! 1. the one that the variable `DEEPSIM_BOX` names;
//! 2. that of the program, for programs that are copied to another machine;
//! 3. `data` of the source that this crate was built from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variable that names a folder with `weights` and `photos`.
pub const VARIABLE: &str = "DEEPSIM_BOX";

/// Generators that come with the project, each a file `weights/NAME.safetensors` with a card beside it; the first is taken where
/// none is named.
pub const GENERATORS: [&str; 3] =
    ["autoencoder-alexnet-conv3", "autoencoder-se", "inverter-instance-conv5"];

/// Returns the file of this name among the shipped weights, if it is there.
///
/// ```
/// let file = deepsim_nets::shipped::find("exemplar-cnn.safetensors");
/// assert!(file.is_some_and(|path| path.is_file()));
/// assert_eq!(deepsim_nets::shipped::find("no-such-network.safetensors"), None);
/// ```
pub fn find(name: &str) -> Option<PathBuf> {
    first(&Path::new("weights").join(name)).filter(|path| path.is_file())
}

/// Returns the folder of the shipped photographs, if it is there.
///
/// ```
/// let folder = deepsim_nets::shipped::photos();
/// assert!(folder.is_some_and(|folder| folder.join("photos.toml").is_file()));
/// ```
pub fn photos() -> Option<PathBuf> {
    first(Path::new("photos"))
}

fn first(name: &Path) -> Option<PathBuf> {
    let folders = folders(std::env::var_os(VARIABLE), std::env::current_exe().ok());
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

fn folders(variable: Option<OsString>, program: Option<PathBuf>) -> Vec<PathBuf> {
    let named = variable.filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let beside = program.and_then(|path| path.parent().map(Path::to_path_buf));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    named.into_iter().chain(beside).chain(source.map(|root| root.join("data"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ComparatorKind;

    #[test]
    fn the_variable_comes_first_then_the_program_then_the_source() {
        let found = folders(Some("/box".into()), Some("/bin/deepsim".into()));
        assert_eq!(found[..2], [PathBuf::from("/box"), PathBuf::from("/bin")]);
        assert!(found[2].ends_with("data") && found[2].is_dir(), "{found:?}");
        assert_eq!(folders(Some(OsString::new()), None), found[2..]);
    }

    #[test]
    fn every_network_that_is_shipped_is_found_and_opens_and_no_other_is() {
        let device = candle_core::Device::Cpu;
        let mut shipped = Vec::new();
        for kind in ComparatorKind::all() {
            let Some(path) = kind.find_weights(None) else {
                assert!(!kind.spec().shipped, "{}: not found", kind.name());
                continue;
            };
            let net = kind.open(Some(&path), 0, &device).expect("shipped weights open");
            // The Exemplar-CNN's file ends with its convolutions.
            let taps = net.taps();
            assert!(
                taps.len() >= 3
                    && kind.taps().starts_with(&taps.iter().map(|t| &**t).collect::<Vec<_>>())
            );
            shipped.push(kind.name().to_owned());
        }
        assert_eq!(shipped, ["alexnet-instance", "exemplar-cnn", "efficientnet-lite0"]);
    }
}
