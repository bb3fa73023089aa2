//! Fuzz targets: readers of foreign bytes; see those of `deepsim-data`.

use deepsim_fetch::{Registry, archive as archives};

/// A target and its name, which is also that of its seeds.
pub type Target = (&'static str, fn(&[u8]));

/// Targets by name.
pub const TARGETS: &[Target] = &[("archive", archive), ("registry", registry)];

/// An archive that claims to be STL-10.
pub fn archive(bytes: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let (file, target) = (folder.path().join("a.tar.gz"), folder.path().join("stl10_binary"));
    if std::fs::write(&file, bytes).is_err() {
        return;
    }
    let whole = archives::extract(&file, &target, &archives::stl10()).is_ok();
    // The archive is unpacked whole or not at all, and leaves nothing beside it.
    let left = std::fs::read_dir(folder.path()).map_or(0, Iterator::count);
    assert_eq!((left, target.exists()), if whole { (2, true) } else { (1, false) });
}

/// The list of what can be downloaded.
pub fn registry(bytes: &[u8]) {
    if let Ok(registry) = Registry::parse(&String::from_utf8_lossy(bytes), "fuzz") {
        for artifact in registry.artifacts() {
            assert!(!artifact.file.contains(['/', '\\']) && artifact.file != "..");
            assert!(artifact.urls.iter().all(|url| url.starts_with("http")));
        }
    }
}
