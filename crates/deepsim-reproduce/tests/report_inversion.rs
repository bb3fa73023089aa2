//! The report on section 4.3, from runs that were made up.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::path::{Path, PathBuf};

use deepsim_data::picture::Picture;
use deepsim_eval::measure::Row;
use deepsim_eval::optimisation_baseline::{Inversion, Job, Prior};
use deepsim_reproduce::record::Record;
use deepsim_reproduce::report::Entry;
use deepsim_run::{Identity, Method, files};
use serde_json::{Value, json};
use support::{log, measured, report, results, step, write};

const SIDE: usize = 8;

fn strip(path: &Path, n: usize, gap: usize, grey: u8) {
    let mut row = Picture::new(SIDE, n * SIDE + (n - 1) * gap, [255; 3]);
    for i in 0..n {
        row.paste(&Picture::new(SIDE, SIDE, [grey + i as u8; 3]), 0, i * (SIDE + gap));
    }
    row.write_png(path).expect("a picture");
}

/// A trained generator for a layer, with overrides of its recipe.
fn run(
    folder: &Path,
    label: &str,
    tap: &str,
    sets: &[&str],
    errors: [f64; 2],
    sharp: f64,
) -> Entry {
    let recipe = format!("inversion-{}", tap.to_lowercase());
    let run = support::run(folder, label, &recipe, sets, 800);
    let dir = &run.folder;
    log(dir, std::iter::once(step(900, &[])));
    let row = |name: String, value: f64| json!({"name": name, "value": value, "unit": "%"});
    let space = format!("caffenet {tap} feature space");
    let judge = "squeezenet FIRE9 feature space".to_owned();
    let image = row("image space".into(), errors[0]);
    measured(dir, "error", json!([image, row(space, errors[1]), row(judge, 80.0)]));
    measured(dir, "sharpness", json!([row("high-frequency power".into(), sharp)]));
    measured(dir, "grid", json!([]));
    strip(&dir.join("eval/originals.png"), 5, 0, 200);
    strip(&dir.join("eval/reconstructions.png"), 5, 0, sharp as u8);
    run
}

fn optimised(folder: &Path, tap: &str) -> PathBuf {
    let out = folder.join("optimised");
    std::fs::create_dir_all(&out).expect("a folder");
    let prior = Prior::MahendranVedaldi;
    let job = Job {
        comparator: "caffenet".into(),
        weights: "caffenet.safetensors".into(),
        tap: tap.into(),
        prior,
        settings: prior.settings(tap),
        seed: 0,
        dataset: "photographs".into(),
        size: [SIDE, SIDE],
        pictures: 3,
        pairs: 3,
    };
    let space = format!("caffenet {tap} feature space");
    let rows = vec![Row::new("image space", 70.0, "%", ""), Row::new(space, 20.0, "%", "")];
    let text = serde_json::to_string(&Inversion { job, rows, left_out: Vec::new() }).expect("JSON");
    std::fs::write(out.join(format!("{prior}-{tap}.json")), text).expect("a file");
    strip(&out.join(format!("{prior}-{tap}.png")), 3, 2, 90);
    out
}

/// A folder with one of the authors' generators that was measured.
fn released(folder: &Path, tap: &str, method: Method, errors: [f64; 2]) -> Entry {
    let loss = if method == Method::Released { "" } else { ", image loss only" };
    let label = format!("{tap} the authors' generator{loss}");
    let run = run(folder, &label, tap, &[], errors, 65.0);
    for trained in [files::PLAN, files::LOG, files::DONE] {
        std::fs::remove_file(run.folder.join(trained)).expect("a file of a run");
    }
    let identity = Identity { id: label, method, layer: Some(tap.into()) };
    write(&run.folder, files::IDENTITY, identity.to_json());
    run
}

fn target<'a>(results: &'a Value, name: &str) -> &'a Value {
    let targets = results["targets"].as_array().expect("targets");
    targets.iter().find(|target| target["target"] == name).expect("the target")
}

#[test]
fn runs_are_told_apart_by_their_plans_and_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let image = ["name=inversion-conv5-image", "feature=", "adversarial="];
    let plain = ["name=inversion-conv5-plain", "feature=", "adversarial=", "inversion.plain=true"];
    let runs = [
        run(at, "FC6 DeePSiM", "FC6", &[], [50.0, 45.0], 60.0),
        run(at, "CONV5 DeePSiM", "CONV5", &[], [55.0, 60.0], 70.0),
        run(at, "CONV5 image loss only", "CONV5", &image, [45.0, 75.0], 20.0),
        run(at, "CONV5 Dosovitskiy & Brox 2015", "CONV5", &plain, [46.0, 74.0], 21.0),
        run(at, "my own name", "CONV5", &["name=mine", "adversarial="], [50.0, 58.0], 90.0),
        released(at, "CONV5", Method::Released, [44.0, 38.5]),
        released(at, "CONV5", Method::ReleasedImageOnly, [41.0, 70.0]),
    ];
    let (found, out) = (optimised(at, "CONV5"), at.join("report"));
    let record = Record::default();
    let page = report(&runs, Some(&found), &["table6", "fig6", "fig7"], &record, &out);
    let page = page.expect("a report");
    let results = results(&out);

    let table = target(&results, "table6");
    let row = |run: &str, name: &str| {
        let rows = table["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["run"] == run && row["name"] == name).expect("the row").clone()
    };
    let feature = "feature space of the inverted layer";
    let mv = row("CONV5 Mahendran & Vedaldi", feature);
    assert_eq!((&mv["value"], &mv["paper"]["value"]), (&json!(20.0), &json!(19.0)));
    assert_eq!(row("CONV5 DeePSiM", "image space")["paper"]["value"], json!(43.0));
    assert!(
        row("FC7 DeePSiM", "image space")["verdict"]
            .as_str()
            .is_some_and(|v| v.contains("missing"))
    );
    let verdict = row("CONV5 DeePSiM", "image space")["verdict"].clone();
    assert!(verdict.as_str().is_some_and(|v| v.starts_with("not comparable")), "{verdict}");
    // The authors' generator, measured here, beside what they printed, and ours beside it.
    let theirs = row("CONV5 the authors' generator", feature);
    assert_eq!((&theirs["value"], &theirs["paper"]["value"]), (&json!(38.5), &json!(37.0)));
    let wanted = "; +11.0 against the authors' generator, measured here";
    assert!(verdict.as_str().is_some_and(|v| v.contains(wanted)), "{verdict}");

    // Theirs with a part of the loss stands beside ours with that part.
    let alone = row("CONV5 image loss only", feature)["verdict"].clone();
    let wanted = "; +5.0 against the authors' generator, measured here";
    assert!(alone.as_str().is_some_and(|v| v.contains(wanted)), "{alone}");

    let claims = |name: &str| -> Vec<(String, Option<bool>)> {
        let claims = target(&results, name)["claims"].as_array().expect("claims").clone();
        let claim =
            |c: &Value| (c["claim"].as_str().unwrap_or("").to_owned(), c["holds"].as_bool());
        claims.iter().map(claim).collect()
    };
    let holds = |name: &str, part: &str| {
        let all = claims(name);
        let found = all.iter().find(|(claim, _)| claim.contains(part));
        found.unwrap_or_else(|| panic!("{part}: {all:?}")).1
    };
    // Layers from the image up, whatever the order of arguments: FC6's error is not the larger one here.
    assert_eq!(holds("table6", "FC6 DeePSiM: larger error in image space than CONV5"), Some(false));
    assert_eq!(holds("table6", "image loss only: smaller error in image space"), Some(true));
    assert_eq!(holds("table6", "image loss only: larger error in feature space"), Some(true));
    assert_eq!(holds("table6", "Vedaldi: larger error in image space"), Some(true));
    assert_eq!(holds("table6", "Vedaldi: smaller error in feature space"), Some(true));
    assert_eq!(holds("fig7", "image loss only is smoother"), Some(true));
    assert_eq!(holds("fig7", "my own name is noisier"), Some(true));

    // Figure 6 has three pictures in each row, as many as were inverted by optimisation, layer by layer;
    // Figure 7 has no other layer, and the authors' generator with the image loss alone too.
    let size = |name: &str| {
        let picture = Picture::read_png(&out.join(name)).expect("a picture");
        (picture.height / (2 * SIDE), picture.width / (2 * SIDE))
    };
    assert_eq!((size("fig6.png"), size("fig7.png")), ((6, 3), (5, 5)));
    let html = std::fs::read_to_string(page).expect("the page");
    assert!(html.contains("section 4.3") && html.contains("RECALLED"));
    assert!(!html.contains("Mahendran &amp; Vedaldi: the run is not finished"));
}

#[test]
fn what_optimisation_left_must_be_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let runs = [run(at, "CONV5 DeePSiM", "CONV5", &[], [55.0, 60.0], 70.0)];
    let found = optimised(at, "CONV5");
    let write = |found: &Path| {
        report(&runs, Some(found), &["fig6"], &Record::default(), &at.join("report"))
    };
    let file = found.join("mahendran-vedaldi-CONV5.json");
    let whole = std::fs::read(&file).expect("the file");
    std::fs::write(&file, "{}").expect("a file");
    let message = write(&found).expect_err("a broken file").to_string();
    assert!(message.contains("mahendran-vedaldi-CONV5.json"), "{message}");
    std::fs::write(&file, whole).expect("a file");
    strip(&found.join("mahendran-vedaldi-CONV5.png"), 3, 2, 10);
    Picture::new(5, 50, [0; 3])
        .write_png(&found.join("mahendran-vedaldi-CONV5.png"))
        .expect("a picture");
    let message = write(&found).expect_err("pictures of another size").to_string();
    assert!(message.contains("expected pictures of 8x8"), "{message}");
    assert!(write(&at.join("nothing")).is_err());
}
