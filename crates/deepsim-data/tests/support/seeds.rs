//! Fuzz targets with their seeds, and with changes of them.

use std::path::Path;

/// Changes of each seed.
const CHANGES: usize = 200;

/// Calls each target, which must return, with all that lies in the folder of its name in `fuzz/seeds`.
pub(crate) fn check(targets: &[(&'static str, fn(&[u8]))], package: &str) {
    let folder = Path::new(package).join("fuzz/seeds");
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n.max(1)
    };
    for (name, target) in targets {
        let seeds = std::fs::read_dir(folder.join(name)).expect("a folder of seeds");
        let seeds: Vec<_> = seeds.map(|seed| seed.expect("a seed").path()).collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let seed = std::fs::read(seed).expect("a seed");
            target(&seed);
            for _ in 0..CHANGES {
                let mut bytes = seed.clone();
                for _ in 0..1 + random(4) {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
                if random(4) == 0 {
                    bytes.truncate(random(bytes.len()));
                }
                target(&bytes);
            }
        }
    }
}
