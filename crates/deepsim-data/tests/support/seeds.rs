//! Fuzz targets with their seeds, and with changes of them.

use std::path::{Path, PathBuf};

/// A reader and its name.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Changes of each seed.
const CHANGES: usize = 200;

/// Files of a folder; none if there is no such folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}

/// Calls each target, which must return, with the seeds for its name and with changes of them.
pub(crate) fn check(targets: &[Target], seeds: impl Fn(&'static str) -> Vec<PathBuf>) {
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n.max(1)
    };
    for (name, target) in targets {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
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
