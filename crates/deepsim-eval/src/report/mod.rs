//! The report: tables and figures with the paper's numbers beside ours, as one HTML file without
//! any other file, and as JSON.

mod chart;
mod claims;
mod figures;
mod html;
mod optimised;
mod run;
mod tables;
mod targets;
mod warnings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deepsim_data::atomic::write_atomic;
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
}

impl Report {
    /// Seconds of training of all finished runs, of all their sessions, and of comparators that were trained
    /// for them.
    fn training_seconds(&self) -> f64 {
        let comparators = self.plan["comparators_seconds"].as_f64();
        self.runs.iter().filter_map(|run| run.seconds).chain(comparators).sum()
    }

    /// What that cost, in the currency of `--price-per-hour`.
    fn cost(&self) -> Option<f64> {
        Some(self.training_seconds() / 3600.0 * self.plan["price_per_hour"].as_f64()?)
    }
}

/// Writes a page with the curves of runs, whether of generators or of comparators, finished or not.
///
/// # Errors
/// If a run folder is missing, a file in it is broken, or the page cannot be written.
pub fn curves(runs: &[String], out: &Path) -> Result<(), EvalError> {
    let runs = runs.iter().map(|run| Run::open(run)).collect::<Result<Vec<_>, _>>()?;
    Ok(write_atomic(out, html::curves(&runs).as_bytes())?)
}

/// Writes `index.html`, `results.json` and a PNG file for each figure, e.g. `fig3.png`, and
/// `fig4-latent.png` for the second and later ones of a target, to a folder; returns the path of the page.
///
/// `runs` are `LABEL=DIR`, `optimised` the folder of `deepsim optimise`, `targets` names of tables
/// and figures, `plan` the file that `cargo xtask reproduce` writes.
///
/// # Errors
/// If a run folder is missing, a file in it is broken, or a target is unknown. If nothing at all was
/// measured for a target, that is an error too, after the report has been written.
pub fn write(
    runs: &[String],
    optimised: Option<&Path>,
    targets: &[String],
    plan: Option<&Path>,
    out: &Path,
) -> Result<PathBuf, EvalError> {
    let specs = targets.iter().map(|name| tables::spec(name)).collect::<Result<Vec<_>, _>>()?;
    let mut runs = runs.iter().map(|run| Run::open(run)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = optimised {
        runs.extend(optimised::open(folder)?);
    }
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
    let tables = specs.into_iter().map(|spec| tables::target(spec, &runs, differences.is_empty()));
    let measured = runs.iter().flat_map(|run| run.measurements.values()).next();
    let report = Report {
        targets: tables.collect::<Result<_, _>>()?,
        dataset: measured.map_or("missing: nothing was measured".into(), |m| m.dataset.clone()),
        warnings: warnings::of(&runs, &plan),
        runs,
        plan,
        synthetic,
        differences,
    };
    std::fs::create_dir_all(out).map_err(EvalError::io("creating folder", out))?;
    for target in &report.targets {
        for (index, figure) in target.figures.iter().enumerate() {
            let name = match index {
                0 => format!("{}.png", target.target),
                _ => format!("{}-{}.png", target.target, figure.name),
            };
            figure.whole().write_png(&out.join(name))?;
        }
    }
    write_atomic(&out.join("results.json"), &json(&results(&report), "results")?)?;
    let page = out.join("index.html");
    write_atomic(&page, html::page(&report)?.as_bytes())?;
    let empty = report.targets.iter().filter(|target| target.empty);
    let empty: Vec<String> = empty.map(|target| target.target.clone()).collect();
    if empty.is_empty() { Ok(page) } else { Err(EvalError::Empty { page, targets: empty }) }
}

/// Whether the paper trains such a run on ILSVRC-2012, and not on STL-10.
fn on_ilsvrc(run: &&Run) -> bool {
    run.inversion.is_some() || run.vae() == Some(false)
}

/// Training images of STL-10 and of ILSVRC-2012.
const PAPER_IMAGES: [i64; 2] = [100_000, 1_281_167];
/// Steps after which the paper's numbers are taken, at least.
const PAPER_STEPS: u64 = 500_000;

/// What differs from the paper's experiment, so that numbers cannot be compared with its numbers.
fn differences(runs: &[Run], plan: &Value, synthetic: bool) -> Vec<String> {
    let mut differences = Vec::new();
    if synthetic {
        differences.push("procedural scenes instead of photographs".to_owned());
    }
    let (inversions, others): (Vec<&Run>, Vec<&Run>) =
        runs.iter().filter(|run| run.trained()).partition(on_ilsvrc);
    for (runs, papers) in [others, inversions].iter().zip(PAPER_IMAGES) {
        let images = |run: &&Run| run.plan_value("data.images")?.as_integer();
        let images = runs.iter().filter_map(images).min();
        if let Some(images) = images.filter(|images| *images != papers && !synthetic) {
            differences.push(format!("{images} training images instead of {papers}"));
        }
    }
    let encoder =
        |run: &Run| Some(run.plan_value("recipe.inversion.encoder")?.as_str()?.to_owned());
    let encoders: BTreeSet<String> = runs.iter().filter_map(encoder).collect();
    differences.extend(
        encoders
            .iter()
            .filter(|name| *name != "caffenet")
            .map(|name| format!("{name} is inverted")),
    );
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
        "machine": report.plan["machine"],
        "training_seconds": report.training_seconds(),
        "cost": report.cost(),
        "seconds": report.plan["seconds"],
        "git_commit": report.plan["git_commit"],
        "plan": report.plan,
        "runs": report.runs.iter().map(run).collect::<Vec<_>>(),
        "warnings": report.warnings,
    })
}
