//! The report: complete, self-contained, honest about what is missing.

use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_eval::report;
use serde_json::{Value, json};

const LABELS: [&str; 4] = ["SE", "l1", "Exemplar-CNN CONV3", "AlexNet CONV3"];

/// A run folder with everything that training and measuring leave behind.
fn run(folder: &Path, label: &str, error: f64, synthetic: bool) -> String {
    let dir = folder.join(label.replace(' ', "-"));
    std::fs::create_dir_all(dir.join("eval")).expect("a folder");
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("a file");
    write(
        "plan.toml",
        format!("comparator = \"random weights (seed 0)\"\n[data]\nsynthetic = {synthetic}\n"),
    );
    let line = |step: u64| {
        json!({"step": step, "total": 3.0, "d_real": 0.4, "d_fake": 0.6, "ratio": 1.0 / step as f64,
            "train_d": step % 20 == 1, "train_g": true,
            "terms": {"image": {"value": 9.0, "weighted": 2.0, "grad_norm": 0.001},
                      "adversarial": {"value": 0.5, "weighted": 50.0, "grad_norm": 5.0}}})
    };
    let log: Vec<String> = (1..=40).map(|step| line(step).to_string()).collect();
    write("log.jsonl", format!("{{\"start\": 1}}\n{}\n", log.join("\n")));
    write("done.json", json!({"step": 40, "seconds": 12.0}).to_string());
    let measured = |measure: &str, rows: Value| {
        let text =
            json!({"measure": measure, "rows": rows, "dataset": "some pictures", "seconds": 1.0});
        write(&format!("eval/{measure}.json"), text.to_string());
    };
    let row = |name: &str, value: f64| json!({"name": name, "value": value, "unit": "%", "spread": 1.5, "note": "n"});
    measured(
        "error",
        json!([row("image space", error), row("squeezenet FIRE9 feature space", 90.0 - error)]),
    );
    measured("svm", json!([row("code of the whole image", 2.0 * error)]));
    measured("sharpness", json!([row("high-frequency power", error)]));
    measured("grid", json!([]));
    for (name, grey) in [("originals", 200), ("reconstructions", error as u8)] {
        let picture = Picture::new(8, 24, [grey; 3]);
        picture.write_png(&dir.join(format!("eval/{name}.png"))).expect("a picture");
    }
    format!("{label}={}", dir.display())
}

fn all_runs(folder: &Path, synthetic: bool) -> Vec<String> {
    LABELS.iter().zip([15.0, 16.0, 20.0, 19.0]).map(|(l, e)| run(folder, l, e, synthetic)).collect()
}

fn targets() -> Vec<String> {
    ["table3", "table4", "fig3"].map(str::to_owned).to_vec()
}

#[test]
fn the_page_holds_everything_and_needs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("plan.json");
    std::fs::write(
        &plan,
        json!({"scale": "quick", "seconds": 61, "git_commit": "abc"}).to_string(),
    )
    .expect("a plan");
    let out = folder.path().join("report");
    let runs = all_runs(folder.path(), true);
    let page = report::write(&runs, &targets(), Some(&plan), &out).expect("a report");
    let html = std::fs::read_to_string(page).expect("the page");
    for label in LABELS {
        assert!(html.contains(label), "{label} is missing");
    }
    // Every number of the paper stands with its caveat.
    for number in ["15.30", "15.70", "19.80", "19.50", "34.60", "52.30"] {
        let after = html.split(number).nth(1).unwrap_or_else(|| panic!("{number} is missing"));
        let cell = after.split("</td>").next().unwrap_or_default();
        assert!(cell.contains("RECALLED"), "{number} stands without caveat: {cell}");
    }
    assert!(html.contains("Procedural scenes, not photographs"));
    assert!(html.contains("data:image/png;base64,"));
    for outside in ["http://", "https://", "<script", "<link", "src=\"/", "url("] {
        assert!(!html.contains(outside), "the page asks for something outside: {outside}");
    }
    assert!(html.contains("the comparator has random weights"));
    assert!(html.contains("the image term is dead"));
    assert!(html.contains("updated in only 5 % of the steps"));

    let text = std::fs::read_to_string(out.join("results.json")).expect("the numbers");
    let results: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(results["comparable_with_the_paper"], false);
    assert_eq!(results["git_commit"], "abc");
    let row = &results["targets"][0]["rows"][0];
    assert_eq!((&row["run"], &row["value"]), (&json!("SE"), &json!(15.0)));
    assert_eq!(row["paper"]["value"], 15.3);
    assert!(row["verdict"].as_str().is_some_and(|v| v.starts_with("not comparable")));
    let claims = results["targets"][0]["claims"].as_array().expect("claims");
    assert!(claims.iter().all(|claim| claim["holds"] == true), "{claims:?}");
    assert_eq!(claims.len(), 4, "two comparators, two claims each");
}

#[test]
fn directions_are_computed_and_not_assumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs =
        [run(folder.path(), "SE", 30.0, false), run(folder.path(), "AlexNet CONV3", 20.0, false)];
    let out = folder.path().join("report");
    report::write(&runs, &targets(), None, &out).expect("a report");
    let text = std::fs::read_to_string(out.join("results.json")).expect("the numbers");
    let results: Value = serde_json::from_str(&text).expect("JSON");
    for target in results["targets"].as_array().expect("targets") {
        for claim in target["claims"].as_array().expect("claims") {
            assert_eq!(claim["holds"], false, "{claim}");
        }
    }
}

#[test]
fn what_is_missing_is_said_and_what_is_broken_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("report");
    let runs = all_runs(folder.path(), false);
    let dir = folder.path().join("SE");
    std::fs::remove_file(dir.join("eval/svm.json")).expect("the file was there");
    std::fs::remove_file(dir.join("done.json")).expect("the file was there");
    let page = report::write(&runs, &targets(), None, &out).expect("a report");
    let html = std::fs::read_to_string(page).expect("the page");
    for words in
        ["SE: missing: svm was not measured", "SE: the run is not finished", "missing: svm"]
    {
        assert!(html.contains(words), "{words}");
    }

    let refused = |runs: &[String], targets: &[String]| {
        report::write(runs, targets, None, &out).expect_err("broken").to_string()
    };
    assert!(refused(&["SE=/no/such/run".into()], &targets()).contains("no such folder"));
    assert!(refused(&["SE".into()], &targets()).contains("LABEL=DIR"));
    assert!(refused(&runs, &["table9".into()]).contains("table3, table4, fig3"));
    let log = std::fs::read_to_string(dir.join("log.jsonl")).expect("the log");
    std::fs::write(dir.join("log.jsonl"), format!("{log}{{\"step\": 4")).expect("a broken log");
    let message = refused(&runs, &targets());
    assert!(message.contains("log.jsonl:42"), "{message}");
    std::fs::write(dir.join("log.jsonl"), log).expect("the log");
    Picture::new(8, 16, [0; 3])
        .write_png(&dir.join("eval/reconstructions.png"))
        .expect("a picture");
    let message = refused(&runs, &targets());
    assert!(message.contains("reconstructions.png") && message.contains("24x8"), "{message}");
}
