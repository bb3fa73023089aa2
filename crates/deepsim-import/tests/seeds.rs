//! The fuzz targets with their seeds, and with changes of them: what a nightly compiler would do for
//! longer (`fuzz/src/lib.rs`).

#[path = "../../deepsim-data/tests/support/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library to the fuzzer, a module here")]
mod targets;

use std::path::Path;

/// True if a fixture is for the target of this name.
fn is_for(target: &str, file: &Path) -> bool {
    let endings: &[&str] = match target {
        "torch" => &["pth", "pt", "pkl"],
        "caffe" => &["caffemodel", "binaryproto", "solverstate"],
        "onnx" => &["onnx"],
        _ => &[],
    };
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    target == "any" || endings.contains(&ending)
}

#[test]
fn every_reader_takes_any_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    seeds::check(targets::TARGETS, |name| {
        let fixtures = ["tests/fixtures", "tests/fixtures/kinds"].map(|folder| root.join(folder));
        let fixtures = fixtures.iter().flat_map(|folder| seeds::files(folder));
        let own = seeds::files(&root.join("fuzz/seeds").join(name));
        fixtures.filter(|file| is_for(name, file)).chain(own).collect()
    });
}
