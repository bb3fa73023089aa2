//! Pre-images judged by SqueezeNet's real weights.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::programs::{assert_success, bytes, run, workspace};
use crate::support::shared;

#[test]
fn pre_images_are_recognised_as_often_as_the_reconstructions_that_they_are() {
    let (Some(pack), Some(weights)) = (shared("stl10-pack/stl10_pack.tar"), shared("weights"))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    // Copied, because an index is written beside an archive.
    std::fs::copy(pack, folder.path().join("pack.tar")).expect("a copy");
    let weights = weights.to_str().expect("a name");
    let data = ["--data", "pack.tar", "--test-share", "0.1", "--weights", weights];
    let init = workspace().join("docs/results/preimages/inversion.safetensors");
    let init = format!("init={}", init.display());
    let train =
        ["train", "inversion-small", "--out", "run", "--set", "steps=1", "--set", "batch=2"];
    let sets = ["--set", "adversarial=", "--set", &init];
    assert_success(&run(folder.path(), &[&train[..], &sets, &data].concat()));
    let eval = ["eval", "preimages", "recognise", "--run", "run", "--limit", "48"];
    let output = run(folder.path(), &[&eval[..], &["--train-limit", "48"], &data].concat());
    assert_success(&output);
    let rows = |measure: &str| -> BTreeMap<String, f64> {
        let file = bytes(&folder.path().join("run"), &format!("eval/{measure}.json"));
        let measured: Value = serde_json::from_slice(&file).expect("JSON");
        let rows = measured["rows"].as_array().expect("rows");
        let text = |row: &Value| row["name"].as_str().expect("a name").to_owned();
        rows.iter().map(|row| (text(row), row["value"].as_f64().expect("a number"))).collect()
    };
    // A generator without noise has one draw of each photograph, its reconstruction.
    let (drawn, recognised) = (rows("preimages"), rows("recognise"));
    assert_eq!(recognised.len(), 2);
    for (name, share) in &recognised {
        assert_eq!(drawn[name], *share, "{name}");
    }
    // 12.7 % of 300 other photographs, by the results of this generator.
    let five = recognised["recognised, top-5"];
    assert!((2.0..35.0).contains(&five), "{five}");
    assert_eq!(drawn["share of photographs' distance, squeezenet FIRE9"], 0.0);
    assert!(drawn["kernel distance, squeezenet POOL4"] > 0.5, "{drawn:?}");
}
