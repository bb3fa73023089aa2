//! Run folders as training and measuring leave them, made up.

use std::collections::BTreeMap;
use std::path::Path;

use deepsim_data::picture::Picture;
use deepsim_reproduce::ReproduceError;
use deepsim_reproduce::catalogue::select;
use deepsim_reproduce::record::Record;
use deepsim_reproduce::report::{self, Entry};
use deepsim_run::log::{Record as Step, TermRecord};
use deepsim_run::plan::{DataPlan, Plan};
use deepsim_run::recipe::Recipe;
use deepsim_run::{Done, files, recipes};
use serde_json::{Value, json};

/// Writes a run of a built-in recipe, with overrides, on so many images; returns its folder.
pub(crate) fn run(folder: &Path, label: &str, recipe: &str, sets: &[&str], images: usize) -> Entry {
    let dir = folder.join(label.replace(' ', "-"));
    std::fs::create_dir_all(dir.join(files::EVAL)).expect("a folder");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let recipe = Recipe::parse(recipes::text(recipe).expect("built in"), &sets).expect("a recipe");
    let comparator = recipe.feature.as_ref().map(|_| "random weights (seed 0)".to_owned());
    let data =
        DataPlan { name: "some".into(), synthetic: images == 0, images, content: None, test: None };
    let plan = Plan { data, encoder: None, comparator, scale: Vec::new(), recipe };
    write(&dir, files::PLAN, plan.to_toml().expect("TOML"));
    let done = Done { name: label.into(), step: 40, seconds: 12.0 };
    write(&dir, files::DONE, done.to_json());
    Entry { label: label.into(), folder: dir }
}

/// Writes a file of a run folder.
pub(crate) fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(dir.join(name), text).expect("a file");
}

/// Writes a log.
pub(crate) fn log(dir: &Path, steps: impl Iterator<Item = Step>) {
    let lines: Vec<String> = steps.map(|step| json!(step).to_string()).collect();
    write(dir, files::LOG, format!("{{\"at_step\":1,\"warning\":\"w\"}}\n{}\n", lines.join("\n")));
}

/// A step without an adversary; terms by name, value and norm of the gradient.
pub(crate) fn step(step: u64, terms: &[(&str, f64, f64)]) -> Step {
    let term = |&(name, value, grad_norm): &(&str, f64, f64)| {
        (name.to_owned(), TermRecord { value, weight: 1.0, weighted: value, grad_norm })
    };
    Step {
        step,
        seconds: 1.0,
        items_per_s: 2.0,
        lr: 1e-4,
        terms: terms.iter().map(term).collect(),
        total: 3.0,
        gradients: BTreeMap::new(),
        measures: BTreeMap::new(),
        adversary: None,
    }
}

/// Writes a measurement.
pub(crate) fn measured(dir: &Path, measure: &str, rows: Value) {
    let text =
        json!({"measure": measure, "rows": rows, "dataset": "some pictures", "seconds": 1.0});
    write(dir, &format!("{}/{measure}.json", files::EVAL), text.to_string());
}

/// Writes a picture into the folder of measurements.
pub(crate) fn picture(dir: &Path, name: &str, width: usize, grey: u8) {
    let path = dir.join(files::EVAL).join(name).with_extension("png");
    Picture::new(8, width, [grey; 3]).write_png(&path).expect("a picture");
}

/// Writes a report on targets.
pub(crate) fn report(
    runs: &[Entry],
    optimised: Option<&Path>,
    targets: &[&str],
    record: &Record,
    out: &Path,
) -> Result<std::path::PathBuf, ReproduceError> {
    let names: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
    report::write(runs, optimised, &select(&names)?, record, out)
}

/// The numbers of a report.
pub(crate) fn results(out: &Path) -> Value {
    let text = std::fs::read_to_string(out.join("results.json")).expect("the numbers");
    serde_json::from_str(&text).expect("JSON")
}
