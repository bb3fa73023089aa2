//! The report: tables and figures with the paper's numbers beside ours, as one HTML file without
//! any other file, and as JSON.

mod chart;
mod claims;
mod html;
mod run;
mod tables;
mod warnings;

use std::path::{Path, PathBuf};

use deepsim_data::atomic::write_atomic;
use deepsim_data::picture::Picture;
use serde_json::{Value, json};

use crate::EvalError;
use crate::measure::json;
use run::Run;
use tables::Target;

/// Everything the page shows.
struct Report {
    runs: Vec<Run>,
    targets: Vec<Target>,
    /// What was run, as xtask wrote it; null without one.
    plan: Value,
    /// One sentence on the data.
    dataset: String,
    synthetic: bool,
    /// What keeps our numbers from being compared with the paper's.
    differences: Vec<String>,
    warnings: Vec<String>,
    figure: Option<Figure>,
}

/// Figure 3: one strip per label, all of equal size.
struct Figure {
    rows: Vec<(String, Picture)>,
    picture: Picture,
}

/// Writes a page with the curves of runs, whether of generators or of comparators, finished or not.
///
/// # Errors
/// If a run folder is missing, a file in it is broken, or the page cannot be written.
pub fn curves(runs: &[String], out: &Path) -> Result<(), EvalError> {
    let runs = runs.iter().map(|run| Run::open(run)).collect::<Result<Vec<_>, _>>()?;
    Ok(write_atomic(out, html::curves(&runs).as_bytes())?)
}

/// Writes `index.html`, `results.json` and `fig3.png` to a folder; returns the path of the page.
///
/// `runs` are `LABEL=DIR`, `targets` names of tables and figures, `plan` the file that
/// `cargo xtask reproduce` writes.
///
/// # Errors
/// If a run folder is missing, a file in it is broken, or a target is unknown. If nothing at all was
/// measured for a target, that is an error too, after the report has been written.
pub fn write(
    runs: &[String],
    targets: &[String],
    plan: Option<&Path>,
    out: &Path,
) -> Result<PathBuf, EvalError> {
    let runs = runs.iter().map(|run| Run::open(run)).collect::<Result<Vec<_>, _>>()?;
    let plan = match plan {
        None => Value::Null,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(EvalError::io("reading", path))?;
            serde_json::from_str(&text)
                .map_err(|e| EvalError::content(path, None, "JSON", e.to_string()))?
        }
    };
    let synthetic = runs.iter().any(Run::synthetic);
    let differences = differences(&runs, &plan, synthetic);
    // A handful of steps shows that everything works and no more.
    let telling = !plan["scale"].as_str().is_some_and(|scale| scale.starts_with("smoke"));
    let tables =
        targets.iter().map(|target| tables::target(target, &runs, differences.is_empty(), telling));
    let measured = runs.iter().flat_map(|run| run.measurements.values()).next();
    let report = Report {
        targets: tables.collect::<Result<_, _>>()?,
        dataset: measured.map_or("missing: nothing was measured".into(), |m| m.dataset.clone()),
        warnings: warnings::of(&runs, &plan),
        figure: figure(&runs)?,
        runs,
        plan,
        synthetic,
        differences,
    };
    std::fs::create_dir_all(out).map_err(EvalError::io("creating folder", out))?;
    if let Some(figure) = &report.figure {
        figure.picture.write_png(&out.join("fig3.png"))?;
    }
    write_atomic(&out.join("results.json"), &json(&results(&report), "results")?)?;
    let page = out.join("index.html");
    write_atomic(&page, html::page(&report)?.as_bytes())?;
    let empty = report.targets.iter().filter(|target| target.empty);
    let empty: Vec<String> = empty.map(|target| target.target.clone()).collect();
    if empty.is_empty() { Ok(page) } else { Err(EvalError::Empty { page, targets: empty }) }
}

/// Training images of STL-10.
const PAPER_IMAGES: i64 = 100_000;
/// Steps after which the paper's numbers are taken, at least.
const PAPER_STEPS: u64 = 500_000;

/// What differs from the paper's experiment, so that numbers cannot be compared with its numbers.
fn differences(runs: &[Run], plan: &Value, synthetic: bool) -> Vec<String> {
    let mut differences = Vec::new();
    if synthetic {
        differences.push("procedural scenes instead of photographs".to_owned());
    }
    let images = runs.iter().filter_map(|run| run.plan_value("data.images")?.as_integer()).min();
    if let Some(images) = images.filter(|images| *images != PAPER_IMAGES && !synthetic) {
        differences.push(format!("{images} training images instead of {PAPER_IMAGES}"));
    }
    let steps = runs.iter().filter_map(Run::steps).min();
    if let Some(steps) = steps.filter(|steps| *steps < PAPER_STEPS) {
        differences.push(format!("{steps} steps of training instead of {PAPER_STEPS}"));
    }
    match plan["scale"].as_str() {
        Some("paper") => {}
        Some(scale) => differences.push(format!("scale {scale}")),
        None => differences.push("the scale is not recorded".into()),
    }
    differences
}

/// The content of `results.json`.
fn results(report: &Report) -> Value {
    let run = |run: &Run| {
        json!({
            "label": run.label,
            "folder": run.folder,
            "steps": run.steps(),
            "training_seconds": run.seconds,
            "comparator": run.comparator(),
            "measurements": run.measurements,
        })
    };
    json!({
        "targets": report.targets,
        "dataset": { "description": report.dataset, "synthetic": report.synthetic },
        "comparable_with_the_paper": report.differences.is_empty(),
        "differences_from_the_paper": report.differences,
        "device": report.plan["device"],
        "seconds": report.plan["seconds"],
        "git_commit": report.plan["git_commit"],
        "plan": report.plan,
        "runs": report.runs.iter().map(run).collect::<Vec<_>>(),
        "warnings": report.warnings,
    })
}

/// The originals above what each run made of them, in the paper's order.
fn figure(runs: &[Run]) -> Result<Option<Figure>, EvalError> {
    let order = ["AlexNet CONV3", "Exemplar-CNN CONV3", "SE", "l1"];
    let place = |run: &&Run| order.iter().position(|label| *label == run.label).unwrap_or(9);
    let mut sorted: Vec<&Run> = runs.iter().collect();
    sorted.sort_by_key(place);
    let mut rows: Vec<(String, Picture)> = Vec::new();
    for run in sorted {
        let Some((originals, reconstructions)) = run.strips()? else { continue };
        match rows.first() {
            None => rows.push(("image".into(), originals)),
            Some((_, first)) if *first != originals => {
                let wanted = "the same test images as in the other runs";
                let path = run.folder.join("eval").join(crate::measure::grid::ORIGINALS);
                return Err(EvalError::content(&path, None, wanted, "other ones"));
            }
            Some(_) => {}
        }
        rows.push((run.label.clone(), reconstructions));
    }
    let Some((_, first)) = rows.first() else { return Ok(None) };
    let mut picture = Picture::new(first.height * rows.len(), first.width, [255; 3]);
    for (index, (_, strip)) in rows.iter().enumerate() {
        picture.paste(strip, index * first.height, 0);
    }
    Ok(Some(Figure { rows, picture: picture.upscale(2) }))
}
