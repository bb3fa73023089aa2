//! `cargo xtask bench perceptual`

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::machine::Use;
use super::rounds::{self, Times};
use super::server::Server;
use super::{Common, report, torch};
use crate::folder::Folder;
use crate::process::say;
use crate::workspace;

/// Gradients of a perceptual loss at images, and the descent of Mahendran & Vedaldi.
///
/// Both sides have the same weights and images, and their values and gradients are compared before anything is timed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Threads of every contestant [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    common: Common,
}

/// Work that is timed.
struct Job {
    name: &'static str,
    net: &'static str,
    tap: &'static str,
    side: usize,
    batch: usize,
    /// Steps of the descent.
    steps: Option<usize>,
}

const JOBS: [Job; 3] = [
    Job {
        name: "VGG16 relu3_3, 64 pixels",
        net: "vgg16-caffe",
        tap: "relu3_3",
        side: 64,
        batch: 16,
        steps: None,
    },
    Job {
        name: "VGG16 relu3_3, 256 pixels",
        net: "vgg16-caffe",
        tap: "relu3_3",
        side: 256,
        batch: 4,
        steps: None,
    },
    Job {
        name: "Mahendran & Vedaldi, CaffeNet CONV5, 20 steps",
        net: "caffenet",
        tap: "CONV5",
        side: 227,
        batch: 4,
        steps: Some(20),
    },
];

const ROUNDS: u16 = 9;
/// Largest relative difference of values and gradients between both sides.
const TOLERANCE: f64 = 1e-3;
const NAMES: [&str; 3] = ["ours", "PyTorch", "PyTorch, best"];
const HEADER: [&str; 6] = ["work", "wall ms", "CPU ms", "ours / it", "memory MiB", "ours / it"];

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let target = workspace::target_dir()?;
    let python = torch::interpreter(common.python.as_deref(), torch::Wants::Cpu, &target)?;
    torch::build(&target, &[torch::PERCEPTUAL], false)?;
    let before = Use::before(common.save)?;
    let threads = arguments.threads.map_or_else(report::cores, usize::from);
    let rounds = usize::from(common.rounds.unwrap_or(ROUNDS));
    let (mut rows, mut numbers, mut version) = (vec![], vec![], Value::Null);
    for job in &JOBS {
        let contest = Contest { job, threads, python: &python, target: &target };
        let measured = contest.measure(rounds)?;
        rows.extend(measured.rows()?);
        numbers.push(measured.json()?);
        version = measured.torch;
    }
    say(&report::table(&HEADER, &rows));
    say(&format!("{threads} threads, {rounds} rounds"));
    let numbers = json!({ "threads": threads, "rounds": rounds, "work": numbers });
    report::finish("perceptual", common.save, before, &version, None, numbers)
}

/// A job with those who do it.
struct Contest<'a> {
    job: &'a Job,
    threads: usize,
    python: &'a Path,
    target: &'a Path,
}

impl Contest<'_> {
    fn measure(&self, rounds: usize) -> Result<Measured> {
        let Job { name, batch, .. } = self.job;
        say(&format!("== {name}, batch {batch}: check, then {rounds} rounds"));
        let folder = Folder::new(self.target.join("bench-perceptual"))?;
        drop(self.ours(folder.path(), true)?);
        let mut servers = vec![self.ours(folder.path(), false)?];
        for best in [false, true] {
            servers.push(self.theirs(folder.path(), best)?);
        }
        let found = servers.iter().map(|server| numbers(&server.facts["found"]));
        let found = found.collect::<Result<Vec<_>>>()?;
        let worst = differs(&found).context("the two do not compute the same")?;
        let times = rounds::play(&mut servers, &["1"; 3], rounds, true)?;
        Ok(Measured {
            name,
            batch: *batch,
            times,
            memory: servers.iter().map(Server::peak_memory).collect(),
            libraries: servers[1].facts["libraries"].as_u64(),
            worst,
            torch: servers[1].facts["torch"].clone(),
        })
    }

    fn ours(&self, folder: &Path, check: bool) -> Result<Server> {
        let mut command = torch::example(self.target, torch::PERCEPTUAL.1, self.threads);
        let Job { side, batch, .. } = self.job;
        command.args(["--side", &side.to_string(), "--batch", &batch.to_string()]);
        self.with_job(&mut command, folder);
        Server::start(NAMES[0], command.args(check.then_some("--check")))
    }

    fn theirs(&self, folder: &Path, best: bool) -> Result<Server> {
        let mut command = torch::script(self.python, "perceptual.py", self.threads);
        self.with_job(&mut command, folder);
        let name = NAMES[1 + usize::from(best)];
        Server::start(name, command.args(best.then_some("--channels-last")))
    }

    fn with_job(&self, command: &mut Command, folder: &Path) {
        let Job { net, tap, steps, .. } = self.job;
        command.args(["--net", net, "--tap", tap]).arg("--folder").arg(folder);
        if let Some(steps) = steps {
            command.args(["--steps", &steps.to_string()]);
        }
    }
}

fn numbers(found: &Value) -> Result<Vec<f64>> {
    let list = found.as_array().context("a server found nothing")?;
    list.iter().map(|number| number.as_f64().context("a number is missing or not finite")).collect()
}

/// Returns the largest relative difference of any contestant's numbers from ours, which come first.
///
/// # Errors
/// If it is too large.
fn differs(found: &[Vec<f64>]) -> Result<f64> {
    let mut worst = 0f64;
    for others in &found[1..] {
        if others.len() != found[0].len() {
            bail!("ours {:?}, PyTorch's {others:?}", found[0]);
        }
        for (ours, theirs) in found[0].iter().zip(others) {
            let difference = (ours - theirs).abs() / ours.abs().max(theirs.abs());
            if difference.is_nan() || difference > TOLERANCE {
                bail!("ours {:?}, PyTorch's {others:?}", found[0]);
            }
            worst = worst.max(difference);
        }
    }
    Ok(worst)
}

/// Results of one job.
struct Measured {
    name: &'static str,
    batch: usize,
    /// Ours, PyTorch's, and PyTorch's best.
    times: Vec<Times>,
    memory: Vec<Option<u64>>,
    /// Bytes that PyTorch holds before there is any network.
    libraries: Option<u64>,
    worst: f64,
    torch: Value,
}

impl Measured {
    fn rows(&self) -> Result<Vec<Vec<String>>> {
        let row = |at: usize| {
            let memory = |at: usize| self.memory[at].map(|bytes| bytes as f64);
            let share = memory(0).zip(memory(at)).map(|(ours, its)| format!("{:.2}", ours / its));
            let ratio = rounds::ratio(&self.times[0].wall, &self.times[at].wall)?;
            let beside = |text: String| if at == 0 { String::new() } else { text };
            Ok(vec![
                format!("{}, batch {}: {}", self.name, self.batch, NAMES[at]),
                format!("{:.1}", rounds::median(&self.times[at].wall)?),
                format!("{:.1}", rounds::median(&self.times[at].cpu)?),
                beside(report::ratio(ratio)),
                memory(at).map_or("?".into(), |bytes| format!("{:.0}", bytes / f64::from(1 << 20))),
                beside(share.unwrap_or_default()),
            ])
        };
        (0..NAMES.len()).map(row).collect()
    }

    fn json(&self) -> Result<Value> {
        let contestant = |at: usize| {
            let times = &self.times[at];
            Ok(json!({
                "name": NAMES[at],
                "wall_ms": rounds::median(&times.wall)?,
                "cpu_ms": rounds::median(&times.cpu)?,
                "ours_to_it": report::ratio_json(rounds::ratio(&self.times[0].wall, &times.wall)?),
                "peak_memory_bytes": self.memory[at],
                "wall_ms_of_rounds": times.wall,
            }))
        };
        Ok(json!({
            "name": self.name,
            "batch": self.batch,
            "largest_difference": self.worst,
            "bytes_of_pytorchs_libraries": self.libraries,
            "contestants": (0..NAMES.len()).map(contestant).collect::<Result<Vec<_>>>()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_that_compute_otherwise_are_refused() -> Result<()> {
        let apart = |theirs: &[f64]| differs(&[vec![2.0, 10.0], theirs.to_vec()]);
        assert!((apart(&[2.0, 10.005])? - 5e-4).abs() < 1e-6);
        for other in [&[2.0, 10.02][..], &[2.0], &[2.0, f64::NAN]] {
            assert!(apart(other).is_err(), "{other:?}");
        }
        assert!(numbers(&json!([1.0, null])).is_err() && numbers(&Value::Null).is_err());
        Ok(())
    }
}
