//! Measuring one run, unless that is done already, and the baseline that needs no run.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use deepsim_data::atomic::write_atomic;
use deepsim_run::files::{EVAL, GENERATOR};
use serde_json::json;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Layer};
use crate::job::Job;
use crate::plan::Planned;

/// File of a run's `eval` folder with the options it was measured under.
const OPTIONS: &str = "options.json";

/// Experiments whose generators invert features.
const INVERSIONS: &[Experiment] = &[Experiment::Inversion, Experiment::SmallInversion];

/// Measures a run, or says that its measures are reused.
pub(crate) fn evaluate(job: &Job<'_>, planned: &Planned) -> Result<(), ReproduceError> {
    let (label, size, experiment) = (&planned.run.label, planned.size, planned.run.experiment);
    let mut options = Command::new("");
    job.inputs(experiment, &mut options);
    let limit = |experiments: &[Experiment], limit: Option<usize>| {
        limit.filter(|_| experiments.contains(&experiment)).map(|limit| limit.to_string())
    };
    let numbers = [
        ("--seed", Some(job.options.seed.to_string())),
        ("--limit", limit(&Experiment::ALL, size.limit)),
        ("--svm-draws", limit(&[Experiment::Autoencoder], size.svm_draws)),
        ("--train-limit", limit(INVERSIONS, size.train_limit)),
    ];
    for (option, number) in numbers {
        if let Some(number) = number {
            options.args([option, &number]);
        }
    }
    if size.code_only && experiment == Experiment::Autoencoder {
        options.args(["--svm-input", "code"]);
    }
    let mut measures = planned.measures.clone();
    if INVERSIONS.contains(&experiment) && judged(job) {
        measures.push("recognise");
    }
    let options: Vec<OsString> = options.get_args().map(ToOwned::to_owned).collect();
    let words: Vec<_> = options.iter().map(|word| word.to_string_lossy()).collect();
    let described = json!({ "options": words }).to_string();

    if is_fresh(&planned.folder, &measures, &described) {
        tracing::info!("== evaluate {label}: done earlier, reused");
        return Ok(());
    }
    tracing::info!("== evaluate {label}");
    let mut command = job.program("eval");
    command.args(measures).arg("--run").arg(&planned.folder).args(options);
    job.threads(&mut command);
    job.lane.run(job.host, &mut command, &planned.folder, &format!("evaluating {label}"))?;
    Ok(write_atomic(&planned.folder.join(EVAL).join(OPTIONS), described.as_bytes())?)
}

/// True if the weights of the network that recognises classes are there.
fn judged(job: &Job<'_>) -> bool {
    let names = job.options.weights(job.host).and_then(|folder| folder.read_dir().ok());
    names.into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("squeezenet")
            && !name.contains("torchvision")
            && name.ends_with(".safetensors")
    })
}

/// True if every measure was made of this generator and under these options.
fn is_fresh(run: &Path, measures: &[&str], options: &str) -> bool {
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let eval = run.join(EVAL);
    let newer = |generator: SystemTime| {
        let file = |measure: &&str| eval.join(measure).with_extension("json");
        measures.iter().all(|measure| time(&file(measure)).is_some_and(|made| made > generator))
    };
    time(&run.join(GENERATOR)).is_some_and(newer)
        && std::fs::read_to_string(eval.join(OPTIONS)).is_ok_and(|text| text == options)
}

/// Inverts layers by optimisation; those that are there are left as they are.
pub(crate) fn optimise(job: &Job<'_>, layers: &[Layer]) -> Result<(), ReproduceError> {
    if layers.is_empty() {
        return Ok(());
    }
    tracing::info!("== Mahendran & Vedaldi");
    let size = job.options.size(Experiment::Inversion)?;
    let (images, iterations) = size.optimised;
    let mut command = job.program("optimise");
    command.args(["--net", &job.options.encoder().name]);
    command.args(["--resize", "256", "--random-weights"]);
    for layer in layers {
        command.args(["--tap", layer.name()]);
    }
    job.inputs(Experiment::Inversion, &mut command);
    let numbers = [
        ("--seed", Some(job.options.seed)),
        ("--limit", Some(images as u64)),
        ("--iterations", iterations.map(|n| n as u64)),
        ("--pairs", size.limit.map(|n| n as u64)),
    ];
    for (option, number) in numbers {
        if let Some(number) = number {
            command.args([option, &number.to_string()]);
        }
    }
    if let Some(threads) = job.options.threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    command.arg("--out").arg(job.optimised_folder());
    job.host.run(&mut command, "inverting by optimisation", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn measures_are_reused_only_of_the_same_generator_under_the_same_options() -> std::io::Result<()>
    {
        const MEASURES: [&str; 3] = ["error", "svm", "grid"];
        let folder = tempfile::tempdir()?;
        let run = folder.path();
        let eval = run.join(EVAL);
        std::fs::create_dir(&eval)?;
        let made = SystemTime::now();
        let write = |path: &Path, text: &str, later: u64| -> std::io::Result<()> {
            std::fs::write(path, text)?;
            let file = std::fs::File::options().write(true).open(path)?;
            file.set_modified(made + Duration::from_secs(later))
        };
        write(&run.join(GENERATOR), "", 10)?;
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
