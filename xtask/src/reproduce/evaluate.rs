//! Measuring one run, unless that is done already.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;
use serde_json::json;

use super::{Job, write_atomic};
use crate::plan::Planned;
use crate::process::{self, say};
use crate::targets::Experiment;

/// File of a run's `eval` folder with the options it was measured under.
const OPTIONS: &str = "options.json";

/// Measures a run, or says that its measures are reused.
pub(super) fn evaluate(job: &Job<'_>, planned: &Planned) -> Result<()> {
    let (label, size) = (&planned.run.label, planned.size);
    let mut options = Command::new("");
    job.inputs(planned.run.experiment, &mut options);
    options.args(["--seed", &job.arguments.seed.to_string()]);
    if let Some(limit) = size.limit {
        options.args(["--limit", &limit.to_string()]);
    }
    match planned.run.experiment {
        Experiment::Autoencoder => {
            if let Some(draws) = size.svm_draws {
                options.args(["--svm-draws", &draws.to_string()]);
            }
            if size.code_only {
                options.args(["--svm-input", "code"]);
            }
        }
        Experiment::Inversion => {
            if let Some(limit) = size.train_limit {
                options.args(["--train-limit", &limit.to_string()]);
            }
        }
        Experiment::Vae | Experiment::SmallVae => {}
    }
    let mut measures = planned.measures.clone();
    if planned.run.experiment == Experiment::Inversion && judged(job) {
        measures.push("recognise");
    }
    let options: Vec<OsString> = options.get_args().map(ToOwned::to_owned).collect();
    let words: Vec<_> = options.iter().map(|word| word.to_string_lossy()).collect();
    let described = json!({ "options": words }).to_string();

    if is_fresh(&planned.folder, &measures, &described) {
        say(&format!("== evaluate {label}: done earlier, reused"));
        return Ok(());
    }
    say(&format!("== evaluate {label}"));
    let mut command = job.program("eval");
    command.args(measures).arg("--run").arg(&planned.folder).args(options);
    job.threads(&mut command);
    job.lane.take(&mut command, planned)?;
    process::run(&mut command, &format!("evaluating {label}"))?;
    write_atomic(&planned.folder.join("eval").join(OPTIONS), described.as_bytes())
}

/// Whether the weights of the network are there that recognises classes.
fn judged(job: &Job<'_>) -> bool {
    let names = job.arguments.weights().and_then(|folder| folder.read_dir().ok());
    names.into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("squeezenet")
            && !name.contains("torchvision")
            && name.ends_with(".safetensors")
    })
}

/// Whether every measure was made of this generator and under these options.
fn is_fresh(run: &Path, measures: &[&str], options: &str) -> bool {
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let eval = run.join("eval");
    let newer = |generator: SystemTime| {
        let file = |measure: &&str| eval.join(measure).with_extension("json");
        measures.iter().all(|measure| time(&file(measure)).is_some_and(|made| made > generator))
    };
    time(&run.join("generator.safetensors")).is_some_and(newer)
        && std::fs::read_to_string(eval.join(OPTIONS)).is_ok_and(|text| text == options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn measures_are_reused_only_of_the_same_generator_under_the_same_options() -> Result<()> {
        const MEASURES: [&str; 3] = ["error", "svm", "grid"];
        let folder = tempfile::tempdir()?;
        let run = folder.path();
        let eval = run.join("eval");
        std::fs::create_dir(&eval)?;
        let made = SystemTime::now();
        let write = |path: &Path, text: &str, later: u64| -> Result<()> {
            std::fs::write(path, text)?;
            let file = std::fs::File::options().write(true).open(path)?;
            Ok(file.set_modified(made + Duration::from_secs(later))?)
        };
        write(&run.join("generator.safetensors"), "", 10)?;
        for measure in &MEASURES[1..] {
            write(&eval.join(measure).with_extension("json"), "{}", 20)?;
        }
        write(&eval.join(OPTIONS), "same", 20)?;
        assert!(!is_fresh(run, &MEASURES, "same"), "a measure is missing");
        let missing = eval.join(MEASURES[0]).with_extension("json");
        write(&missing, "{}", 5)?;
        assert!(!is_fresh(run, &MEASURES, "same"), "a measure is older than the generator");
        write(&missing, "{}", 20)?;
        assert!(is_fresh(run, &MEASURES, "same"));
        assert!(!is_fresh(run, &MEASURES, "other"));
        Ok(())
    }
}
