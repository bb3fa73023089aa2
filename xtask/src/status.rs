//! `cargo xtask status`: where a long reproduction stands.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::plan::duration;
use crate::process::{Failure, say};
use crate::workspace;

/// Show where reproductions stand: steps, speed and measures of every run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder of a reproduction (--out of reproduce) [default: all of out/]
    #[arg(value_name = "DIR")]
    out: Vec<PathBuf>,
}

/// File of a reproduction's folder with what it is to do.
pub(crate) const PLAN: &str = "plan.json";

/// Prints a table for each folder.
///
/// # Errors
/// If a folder holds no reproduction, or a file of it is broken.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut folders = arguments.out.clone();
    if folders.is_empty() {
        let all = workspace::root().join("out");
        let entries = all.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        folders.extend(entries.filter(|folder| folder.join(PLAN).is_file()));
        folders.sort();
    }
    if folders.is_empty() {
        say("no reproduction has been started in out/; name its folder if it has another");
    }
    for folder in &folders {
        say(&describe(folder, SystemTime::now())?);
    }
    Ok(())
}

/// The table of one reproduction.
fn describe(folder: &Path, now: SystemTime) -> Result<String> {
    let plan = folder.join(PLAN);
    if !plan.is_file() {
        let message = format!("{}: no reproduction: it holds no {PLAN}", folder.display());
        return Err(Failure::usage(message));
    }
    let plan = read(&plan)?;
    let text = |key: &str| plan[key].as_str().unwrap_or("?").to_owned();
    let targets = plan["targets"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut table = format!(
        "{}: {} at scale {}, {}\n{:32}{:>22}{:>12}{:>26}  {}\n",
        folder.display(),
        targets.collect::<Vec<_>>().join(" "),
        text("scale"),
        text("device"),
        "run",
        "steps",
        "images/s",
        "left",
        "measured"
    );
    for run in plan["runs"].as_array().into_iter().flatten() {
        table += &line(folder, run, now)?;
    }
    let report = folder.join("report/index.html");
    table += &match report.is_file() {
        true => format!("report: {}", report.display()),
        false => "no report yet".to_owned(),
    };
    Ok(table)
}

/// The line of one run of the plan.
fn line(out: &Path, run: &Value, now: SystemTime) -> Result<String> {
    let name = run["name"].as_str().unwrap_or("?");
    let folder = out.join("runs").join(name);
    let wanted = run["steps"].as_u64().unwrap_or(0);
    let log = folder.join("log.jsonl");
    let last = last_step(&log)?;
    let step = last.as_ref().and_then(|line| line["step"].as_u64()).unwrap_or(0);
    let share = 100 * step / wanted.max(1);
    let speed = last.as_ref().and_then(|line| line["items_per_s"].as_f64());
    let batch = run["batch"].as_u64().unwrap_or(0);
    let finished = step >= wanted && folder.join("done.json").is_file();
    let left = match speed.filter(|speed| *speed > 0.0) {
        _ if finished => "-".to_owned(),
        Some(speed) => duration((wanted - step.min(wanted)) as f64 * batch as f64 / speed / 60.0),
        None => "?".to_owned(),
    };
    let measures = run["measures"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (mut done, mut all) = (0, 0);
    for measure in measures {
        all += 1;
        done += usize::from(folder.join(format!("eval/{measure}.json")).is_file());
    }
    let mut note = format!("{done}/{all}");
    // A log that nobody has written to for a while is that of a run that stands still.
    let age = log.metadata().and_then(|data| data.modified()).ok();
    let age = age.and_then(|made| now.duration_since(made).ok()).map_or(0, |age| age.as_secs());
    if !finished && step > 0 && age > 600 {
        note += &format!("  no step for {}", duration(age as f64 / 60.0));
    }
    let steps = format!("{step}/{wanted} ({share} %)");
    let speed = speed.map_or("-".to_owned(), |speed| format!("{speed:.1}"));
    Ok(format!("{name:32}{steps:>22}{speed:>12}{left:>26}  {note}\n"))
}

/// The last line of a log that is a step; none without a log.
fn last_step(log: &Path) -> Result<Option<Value>> {
    let text = match std::fs::read_to_string(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("reading {}", log.display()))?,
    };
    // The very last line may be half written.
    let steps = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(steps.into_iter().find(|line| line.get("step").is_some()))
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::json;

    #[test]
    fn every_run_of_the_plan_has_a_line() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = |name: &str| json!({"name": name, "steps": 100, "batch": 4, "measures": ["error", "grid"]});
        let plan = json!({"targets": ["table3"], "scale": "quick", "device": "cpu",
                          "runs": [run("new"), run("half"), run("done")]});
        std::fs::write(folder.path().join(PLAN), plan.to_string())?;
        let step = |step: u64| json!({"step": step, "items_per_s": 2.0}).to_string();
        for (name, log) in [("half", step(50) + "\n{\"st"), ("done", step(100) + "\n")] {
            let run = folder.path().join("runs").join(name);
            std::fs::create_dir_all(run.join("eval"))?;
            std::fs::write(run.join("log.jsonl"), log)?;
        }
        let done = folder.path().join("runs/done");
        std::fs::write(done.join("done.json"), "{}")?;
        std::fs::write(done.join("eval/error.json"), "{}")?;

        let text = describe(folder.path(), SystemTime::now())?;
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or("");
        assert!(line("new").contains("0/100 (0 %)") && line("new").contains('?'), "{text}");
        // 50 steps of 4 images at 2 images a second.
        assert!(
            line("half").contains("50/100 (50 %)") && line("half").contains("1.7 minutes"),
            "{text}"
        );
        assert!(line("done").contains("100/100") && line("done").ends_with("1/2"), "{text}");
        assert!(text.ends_with("no report yet"));
        let later = SystemTime::now() + Duration::from_secs(7200);
        assert!(describe(folder.path(), later)?.contains("no step for 120 minutes (2.0 hours)"));
        Ok(())
    }

    #[test]
    fn a_folder_without_a_reproduction_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let error = describe(folder.path(), SystemTime::now()).expect_err("nothing is there");
        assert_eq!(crate::process::exit_code(&error), crate::process::USAGE);
        std::fs::write(folder.path().join(PLAN), "{")?;
        let error = describe(folder.path(), SystemTime::now()).expect_err("broken");
        assert!(format!("{error:#}").contains("plan.json: not JSON"), "{error:#}");
        Ok(())
    }
}
