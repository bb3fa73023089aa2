//! The fuzz targets with their seeds, and with changes of them: what a nightly compiler would do for
//! longer (`fuzz/src/lib.rs`).

#[path = "../../deepsim-data/tests/support/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

use std::path::Path;

#[test]
fn every_reader_takes_any_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    seeds::check(targets::TARGETS, |name| seeds::files(&root.join("fuzz/seeds").join(name)));
}
