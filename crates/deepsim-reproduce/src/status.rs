//! The status of reproductions: steps, speed and measures of every run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use deepsim_run::files::{DONE, EVAL, LOG};
use deepsim_run::log;

use crate::ReproduceError;
use crate::machine::duration;
use crate::record::{RECORD, Record, RecordedRun};

/// Folders of reproductions in a folder, sorted.
pub fn reproductions(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|folder| folder.join(RECORD).is_file()).collect();
    folders.sort();
    folders
}

/// The table of one reproduction.
///
/// # Errors
/// If the folder holds no reproduction, or a file of it is broken.
pub fn describe(folder: &Path, now: SystemTime) -> Result<String, ReproduceError> {
    let record = folder.join(RECORD);
    if !record.is_file() {
        let message = format!("{}: expected a reproduction, found no {RECORD}", folder.display());
        return Err(ReproduceError::usage(message));
    }
    let record = Record::read(&record)?;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".into());
    let mut table = format!(
        "{}: {} at scale {}, {}\n{:32}{:>22}{:>12}{:>26}  {}\n",
        folder.display(),
        record.targets.join(" "),
        text(&record.scale),
        text(&record.device),
        "run",
        "steps",
        "images/s",
        "left",
        "measured"
    );
    for run in &record.runs {
        table += &line(folder, run, now);
    }
    let report = folder.join("report/index.html");
    table += &match report.is_file() {
        true => format!("report: {}", report.display()),
        false => "no report yet".to_owned(),
    };
    Ok(table)
}

/// The line of one run.
fn line(out: &Path, run: &RecordedRun, now: SystemTime) -> String {
    let (name, wanted) = (&run.name, run.steps);
    let folder = out.join("runs").join(name);
    let log = folder.join(LOG);
    let (last, broken) = match log.is_file().then(|| log::read(&log)) {
        None => (None, None),
        Some(Ok(mut records)) => (records.pop(), None),
        // The other runs still have a status.
        Some(Err(error)) => (None, Some(error)),
    };
    let step = last.as_ref().map_or(0, |record| record.step);
    let speed = last.map(|record| record.items_per_s);
    let share = 100 * step / wanted.max(1);
    let finished = step >= wanted && folder.join(DONE).is_file();
    let left = match speed.filter(|speed| *speed > 0.0) {
        _ if finished => "-".to_owned(),
        Some(speed) => {
            duration((wanted - step.min(wanted)) as f64 * run.batch as f64 / speed / 60.0)
        }
        None => "?".to_owned(),
    };
    let measured = |name: &&String| folder.join(EVAL).join(format!("{name}.json")).is_file();
    let mut note =
        format!("{}/{}", run.measures.iter().filter(measured).count(), run.measures.len());
    let age = log.metadata().and_then(|data| data.modified()).ok();
    let age = age.and_then(|made| now.duration_since(made).ok()).map_or(0, |age| age.as_secs());
    // No log line for ten minutes: the run is stalled.
    if !finished && step > 0 && age > 600 {
        note += &format!("  no step for {}", duration(age as f64 / 60.0));
    }
    if let Some(error) = broken {
        note += &format!("  {error}");
    }
    let steps = format!("{step}/{wanted} ({share} %)");
    let speed = speed.map_or("-".to_owned(), |speed| format!("{speed:.1}"));
    format!("{name:32}{steps:>22}{speed:>12}{left:>26}  {note}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::json;

    #[test]
    fn every_run_of_the_record_has_a_line() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let run = |name: &str| {
            json!({"name": name, "label": name, "dir": name, "steps": 100, "batch": 4,
                   "measures": ["error", "grid"]})
        };
        let record = json!({"targets": ["table3"], "scale": "quick", "device": "cpu",
                            "runs": [run("new"), run("half"), run("done")]});
        std::fs::write(folder.path().join(RECORD), record.to_string())?;
        let step = |step: u64| {
            json!({"step": step, "seconds": 1.0, "items_per_s": 2.0, "lr": 1.0, "terms": {}, "total": 1.0})
                .to_string()
        };
        for (name, log) in [("half", step(50) + "\n{\"st"), ("done", step(100) + "\n")] {
            let run = folder.path().join("runs").join(name);
            std::fs::create_dir_all(run.join(EVAL))?;
            std::fs::write(run.join(LOG), log)?;
        }
        let done = folder.path().join("runs/done");
        std::fs::write(done.join(DONE), "{}")?;
        std::fs::write(done.join("eval/error.json"), "{}")?;
        assert_eq!(
            reproductions(folder.path().parent().expect("a parent"))
                .iter()
                .filter(|f| *f == folder.path())
                .count(),
            1
        );

        let described = |later: Duration| {
            describe(folder.path(), SystemTime::now() + later).expect("a reproduction")
        };
        let text = described(Duration::ZERO);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or("");
        assert!(line("new").contains("0/100 (0 %)") && line("new").contains('?'), "{text}");
        // 50 steps of 4 images at 2 images a second.
        assert!(
            line("half").contains("50/100 (50 %)") && line("half").contains("1.7 minutes"),
            "{text}"
        );
        assert!(line("done").contains("100/100") && line("done").ends_with("1/2"), "{text}");
        assert!(text.ends_with("no report yet"));
        std::fs::write(done.join(LOG), "{\n{}\n")?;
        let broken = described(Duration::ZERO);
        assert!(broken.contains("log.jsonl:1: expected") && broken.contains("50/100"), "{broken}");
        assert!(
            described(Duration::from_secs(7200)).contains("no step for 120 minutes (2.0 hours)")
        );
        Ok(())
    }

    #[test]
    fn a_folder_without_a_reproduction_is_refused() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let error = describe(folder.path(), SystemTime::now()).expect_err("nothing is there");
        assert_eq!(error.exit_code(), crate::error::USAGE);
        std::fs::write(folder.path().join(RECORD), "{")?;
        let error = describe(folder.path(), SystemTime::now()).expect_err("broken").to_string();
        assert!(error.contains("plan.json: expected the record of a reproduction"), "{error}");
        Ok(())
    }
}
