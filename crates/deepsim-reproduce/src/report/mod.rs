//! The report: tables and figures with the paper's numbers beside ours, as one HTML file without
//! any other file, and as JSON.

mod chart;
mod claims;
mod figures;
mod html;
mod optimised;
mod run;
mod tables;
mod warnings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use deepsim_data::atomic::write_atomic;
use serde_json::{Value, json};

use crate::ReproduceError;
use crate::catalogue;
use crate::record::Record;
pub use run::Entry;
use run::Run;
use tables::Target;

/// Everything the page shows.
struct Report {
    runs: Vec<Run>,
    targets: Vec<Target>,
    /// Record of what was asked for.
    record: Record,
    /// One sentence on the data.
    dataset: String,
    synthetic: bool,
    /// Differences from the paper's experiment, which forbid a comparison of numbers.
    differences: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    /// The runs that were trained here.
    fn trained(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.trained())
    }

    /// Seconds of training of all finished runs, of all their sessions, and of comparators that were trained
    /// for them.
    fn training_seconds(&self) -> f64 {
        self.runs.iter().filter_map(Run::seconds).sum::<f64>() + self.record.comparators_seconds
    }

    /// Cost of that time, in the currency of `--price-per-hour`.
    fn cost(&self) -> Option<f64> {
        Some(self.training_seconds() / 3600.0 * self.record.price_per_hour?)
    }
}

/// Writes a page with the curves of runs, whether of generators or of comparators, finished or not.
///
/// # Errors
/// If a run folder is missing, a file in it is broken, or the page cannot be written.
pub fn curves(runs: &[Entry], out: &Path) -> Result<(), ReproduceError> {
    let runs = runs.iter().map(Run::open).collect::<Result<Vec<_>, _>>()?;
    Ok(write_atomic(out, html::curves(&runs).as_bytes())?)
}

/// Writes `index.html`, `results.json` and a PNG file for each figure, e.g. `fig3.png`, and `fig4-latent.png` for the
/// second and later ones of a target, to a folder; returns the path of the page.
///
/// `optimised` is the folder of `deepsim optimise`, if its inversions are to be compared with.
///
/// # Errors
/// If a run folder is missing or a file in it is broken. If nothing at all was measured for a target, that is an error
/// too, after the report has been written.
pub fn write(
    runs: &[Entry],
    optimised: Option<&Path>,
    targets: &[&catalogue::Target],
    record: &Record,
    out: &Path,
) -> Result<PathBuf, ReproduceError> {
    let mut runs = runs.iter().map(Run::open).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = optimised {
        runs.extend(optimised::open(folder)?);
    }
    let synthetic = runs.iter().any(Run::synthetic);
    let differences = differences(&runs, record, synthetic);
    let comparable = differences.is_empty();
    let tables = targets.iter().map(|target| tables::target(target, &runs, comparable));
    let measured = runs.iter().flat_map(|run| run.measurements.values()).next();
    let report = Report {
        targets: tables.collect::<Result<_, _>>()?,
        dataset: measured.map_or("missing: nothing was measured".into(), |m| m.dataset.clone()),
        warnings: warnings::of(&runs, record),
        runs,
        record: record.clone(),
        synthetic,
        differences,
    };
    std::fs::create_dir_all(out).map_err(ReproduceError::io("creating folder", out))?;
    for target in &report.targets {
        for (index, figure) in target.figures.iter().enumerate() {
            let name = match index {
                0 => format!("{}.png", target.target),
                _ => format!("{}-{}.png", target.target, figure.name),
            };
            figure.whole().write_png(&out.join(name))?;
        }
    }
    write_atomic(&out.join("results.json"), format!("{:#}\n", results(&report)).as_bytes())?;
    let page = out.join("index.html");
    write_atomic(&page, html::page(&report)?.as_bytes())?;
    let empty = report.targets.iter().filter(|target| target.empty);
    let empty: Vec<String> = empty.map(|target| target.target.to_owned()).collect();
    if empty.is_empty() { Ok(page) } else { Err(ReproduceError::Empty { page, targets: empty }) }
}

/// Training images of STL-10 and of ILSVRC-2012.
const PAPER_IMAGES: [usize; 2] = [100_000, 1_281_167];
/// True for the data set that [`deepsim_data::Dataset::photos`] draws.
fn is_crops(data: &str) -> bool {
    data.starts_with("photographs")
}

/// Steps after which the paper's numbers are taken, at least.
const PAPER_STEPS: u64 = 500_000;

/// Lists what differs from the paper's experiment, so that numbers cannot be compared.
fn differences(runs: &[Run], record: &Record, synthetic: bool) -> Vec<String> {
    let mut differences = Vec::new();
    if synthetic {
        differences.push("procedural scenes instead of photographs".to_owned());
    }
    let of_photographs = |run: &Run| run.plan().is_some_and(|plan| is_crops(&plan.data.name));
    if runs.iter().any(of_photographs) {
        differences.push("crops of a few photographs, labelled with the photograph".to_owned());
    }
    let trained = || runs.iter().filter(|run| run.trained());
    for (on_stl10, papers) in [true, false].into_iter().zip(PAPER_IMAGES) {
        let on = |run: &&Run| run.experiment.is_some_and(|e| e.on_stl10() == on_stl10);
        let images = trained().filter(on).filter_map(|run| Some(run.plan()?.data.images)).min();
        if let Some(images) = images.filter(|images| *images != papers && !synthetic) {
            differences.push(format!("{images} training images instead of {papers}"));
        }
    }
    let encoder =
        |run: &Run| Some(run.plan()?.recipe.inversion.as_ref()?.encoder.name().to_owned());
    let encoders: BTreeSet<String> = runs.iter().filter_map(encoder).collect();
    let others = encoders.into_iter().filter(|name| *name != "caffenet");
    differences.extend(others.map(|name| format!("{name} is inverted")));
    if runs.iter().any(Run::begun) {
        differences.push("generators that begin with the weights of another run".to_owned());
    }
    let steps = runs.iter().filter_map(Run::steps).min();
    if let Some(steps) = steps.filter(|steps| *steps < PAPER_STEPS) {
        differences.push(format!("{steps} steps of training instead of {PAPER_STEPS}"));
    }
    match record.scale.as_deref() {
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
            "id": run.id,
            "folder": run.run.path,
            "steps": run.steps(),
            "training_seconds": run.seconds(),
            "comparator": run.comparator(),
            "measurements": run.measurements,
        })
    };
    json!({
        "targets": report.targets,
        "dataset": { "description": report.dataset, "synthetic": report.synthetic },
        "comparable_with_the_paper": report.differences.is_empty(),
        "differences_from_the_paper": report.differences,
        "device": report.record.device,
        "machine": report.record.machine,
        "training_seconds": report.training_seconds(),
        "cost": report.cost(),
        "seconds": report.record.seconds,
        "git_commit": report.record.git_commit,
        "plan": report.record,
        "runs": report.runs.iter().map(run).collect::<Vec<_>>(),
        "warnings": report.warnings,
    })
}
