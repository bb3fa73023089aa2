//! The report on section 4.2, from runs that were made up.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_reproduce::record::Record;
use deepsim_reproduce::report::Entry;
use serde_json::{Value, json};
use support::{log, measured, picture, report, results, step};

/// A trained variational autoencoder, with the distance and the sharpness of its samples.
fn run(folder: &Path, label: &str, recipe: &str, distance: f64, sharp: f64) -> Entry {
    let name = format!("name={}", label.replace(' ', "-"));
    let run = support::run(folder, label, recipe, &[&name], 5000);
    let dir = &run.folder;
    log(dir, std::iter::once(step(900, &[("image", 1.0, 1.0), ("divergence", 9.0, 1e-6)])));
    let named = |name: &str, value: f64| json!({"name": name, "value": value, "unit": "%"});
    let estimate = json!({"name": "Frechet distance, judge", "value": distance, "unit": "", "spread": 2.0,
                          "samples": 1, "independent": true});
    measured(
        dir,
        "samples",
        json!([named("distance of samples' band powers", 100.0 - sharp), estimate]),
    );
    measured(dir, "latent", json!([named("active units", 30.0)]));
    for measure in ["error", "sharpness", "grid"] {
        measured(dir, measure, json!([]));
    }
    for file in ["samples-row", "originals", "reconstructions", "interpolations", "latent"] {
        picture(dir, file, 40, if file == "originals" { 9 } else { sharp as u8 });
    }
    run
}

#[test]
fn samples_are_compared_and_every_picture_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let small = "vae-small-alexnet-conv3";
    let runs = [
        run(at, "small SE", "vae-small-se", 50.0, 10.0),
        run(at, "small near", small, 40.0, 90.0),
        run(at, "small alike", small, 47.0, 60.0),
        run(at, "large", "vae-alexnet-conv5", 1.0, 100.0),
    ];
    let out = at.join("report");
    report(&runs, None, &["fig4", "fig4-small"], &Record::default(), &out).expect("a report");
    let results = results(&out);

    let small = &results["targets"][1];
    assert_eq!(small["target"], "fig4-small");
    let rows = small["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["run"] != "large"), "{rows:?}");
    let claims = small["claims"].as_array().expect("claims");
    let verdicts: Vec<&Value> = claims.iter().map(|claim| &claim["holds"]).collect();
    // Both have detail nearer to that of photographs; of 47 ± 2 against 50 ± 2 nothing can be said.
    assert_eq!(verdicts, [&json!(true), &json!(true), &json!(true), &Value::Null], "{claims:?}");
    // A single run is compared with nothing.
    assert_eq!(results["targets"][0]["claims"], json!([]));
    for figure in ["", "-reconstructions", "-interpolations", "-latent"] {
        for target in ["fig4", "fig4-small"] {
            assert!(out.join(format!("{target}{figure}.png")).is_file(), "{target}{figure}");
        }
    }
    let whole = Picture::read_png(&out.join("fig4-small-reconstructions.png")).expect("a picture");
    assert_eq!(whole.height, 2 * 4 * 8, "the originals and three runs");
    // The divergence's gradient is at codes: it is small and not dead.
    let warnings = results["warnings"].as_array().expect("warnings");
    assert!(warnings.iter().all(|w| w.to_string().contains("random weights")), "{warnings:?}");
    let differences = results["differences_from_the_paper"].to_string();
    assert!(differences.contains("5000 training images instead of 1281167"), "{differences}");
}
