//! The fuzz targets with their seeds, and with changes of them: what a nightly compiler would do for
//! longer (`fuzz/src/lib.rs`).

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

use std::path::Path;

/// Changes of each seed.
const CHANGES: usize = 200;

#[test]
fn every_reader_takes_any_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n.max(1)
    };
    for (name, target) in targets::TARGETS {
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
