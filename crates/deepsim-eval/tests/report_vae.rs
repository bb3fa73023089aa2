//! The report on section 4.2, from runs that were made up.

use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_eval::report;
use serde_json::{Value, json};

/// A trained variational autoencoder, with the distance and the sharpness of its samples.
fn run(
    folder: &Path,
    label: &str,
    encoder: &str,
    terms: &str,
    distance: f64,
    sharp: f64,
) -> String {
    let dir = folder.join(label.replace(' ', "-"));
    std::fs::create_dir_all(dir.join("eval")).expect("a folder");
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("a file");
    write(
        "plan.toml",
        format!(
            "[data]\nsynthetic = false\nimages = 5000\n[recipe.image]\nweight = 1.0\n\
             distance = \"squared-error\"\n[recipe.vae]\nencoder = \"{encoder}\"\n{terms}"
        ),
    );
    let terms = json!({ "image": {"value": 1.0, "grad_norm": 1.0},
                        "divergence": {"value": 9.0, "grad_norm": 1e-6} });
    write("log.jsonl", format!("{}\n", json!({"step": 900, "terms": terms})));
    write("done.json", json!({"step": 900, "seconds": 12.0}).to_string());
    let measured = |measure: &str, rows: Value| {
        let text =
            json!({"measure": measure, "rows": rows, "dataset": "photographs", "seconds": 1.0});
        write(&format!("eval/{measure}.json"), text.to_string());
    };
    let named = |name: &str, value: f64| json!({"name": name, "value": value, "unit": "%"});
    let estimate = json!({"name": "Frechet distance, squeezenet FIRE9", "value": distance, "unit": "",
                          "spread": 2.0, "samples": 1});
    measured("samples", json!([named("high-frequency power of samples", sharp), estimate]));
    measured("latent", json!([named("active units", 30.0)]));
    for measure in ["error", "sharpness", "grid"] {
        measured(measure, json!([]));
    }
    for file in ["samples-row", "originals", "reconstructions", "interpolations", "latent"] {
        let grey = if file == "originals" { 9 } else { sharp as u8 };
        let row = Picture::new(8, 40, [grey; 3]);
        row.write_png(&dir.join("eval").join(file).with_extension("png")).expect("a picture");
    }
    format!("{label}={}", dir.display())
}

#[test]
fn samples_are_compared_and_every_picture_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let full = "[recipe.feature]\ncomparator = \"alexnet\"\n[recipe.adversarial]\nweight = 100.0\n";
    let runs = [
        run(at, "small SE", "autoencoder", "", 50.0, 10.0),
        run(at, "small near", "autoencoder", full, 40.0, 90.0),
        run(at, "small alike", "autoencoder", full, 47.0, 60.0),
        run(at, "large", "caffenet", full, 1.0, 100.0),
    ];
    let targets = ["fig4", "fig4-small"].map(str::to_owned);
    let out = at.join("report");
    report::write(&runs, None, &targets, None, &out).expect("a report");
    let text = std::fs::read_to_string(out.join("results.json")).expect("results");
    let results: Value = serde_json::from_str(&text).expect("JSON");

    let small = &results["targets"][1];
    assert_eq!(small["target"], "fig4-small");
    let rows = small["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["run"] != "large"), "{rows:?}");
    let claims = small["claims"].as_array().expect("claims");
    let verdicts: Vec<&Value> = claims.iter().map(|claim| &claim["holds"]).collect();
    // Both are sharper; of 47 ± 2 against 50 ± 2 nothing can be said.
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
    assert_eq!(results["warnings"], json!([]));
    let differences = results["differences_from_the_paper"].to_string();
    assert!(differences.contains("5000 training images instead of 1281167"), "{differences}");
}
