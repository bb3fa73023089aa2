//! The fuzz targets with the fixtures and with inputs that were found, and with changes of both: what a
//! nightly compiler would do for longer (`fuzz/src/lib.rs`).

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

use std::path::{Path, PathBuf};

/// Changes of each seed.
const CHANGES: usize = 200;

/// Files of a folder that targets of this name should be given.
fn seeds(folder: &Path, target: &str) -> Vec<PathBuf> {
    let endings: &[&str] = match target {
        "torch" => &["pth", "pt", "pkl"],
        "caffe" => &["caffemodel", "binaryproto", "solverstate"],
        "onnx" => &["onnx"],
        _ => &[],
    };
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let files = files.map(|file| file.expect("an entry").path()).filter(|path| path.is_file());
    let ending = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        target == "any" || endings.contains(&ending) || folder.ends_with(target)
    };
    files.filter(ending).collect()
}

#[test]
fn every_reader_takes_any_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n.max(1)
    };
    for (name, target) in targets::TARGETS {
        let mut all = Vec::new();
        for folder in [
            "tests/fixtures".to_owned(),
            "tests/fixtures/kinds".into(),
            format!("fuzz/seeds/{name}"),
        ] {
            all.extend(seeds(&root.join(folder), name));
        }
        assert!(!all.is_empty(), "{name} has no seeds");
        for seed in all {
            let seed = std::fs::read(seed).expect("a seed");
            target(&seed);
            for _ in 0..CHANGES {
                let mut bytes = seed.clone();
                for _ in 0..1 + random(4) {
                    let at = random(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = random(256) as u8;
                    }
                }
                if random(4) == 0 {
                    bytes.truncate(random(bytes.len()));
                }
                target(&bytes);
            }
        }
    }
}
