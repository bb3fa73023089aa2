//! Twenty steps on the GPU against the CPU: the losses of every step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Machine;
use super::part::Part;

/// A way of computing, and how far its losses may be from the CPU's.
#[derive(Clone, Copy)]
pub(super) struct Case {
    name: &'static str,
    precision: &'static str,
    graphs: bool,
    /// Largest relative difference of a term in the first step.
    first: f64,
}

const CASES: [Case; 4] = [
    Case { name: "f32", precision: "f32", graphs: true, first: 1e-3 },
    Case { name: "f32 without graphs", precision: "f32", graphs: false, first: 1e-3 },
    Case { name: "tf32", precision: "tf32", graphs: true, first: 1e-2 },
    Case { name: "bf16", precision: "bf16", graphs: true, first: 0.1 },
];

/// Growth of the tolerance over all steps. Rounding grows with training: weights of one process and of two differ by 1e-4
/// after 20 steps on the CPU, and losses of the discriminator by more.
const GROWTH: f64 = 20.0;

/// Warning of a program whose steps are not graphs.
const REFUSED: &str = "not recorded as CUDA graphs";

/// Steps of a run: as many as a graph needs to be captured and launched in the rehearsal.
fn count(emulate: bool) -> usize {
    if emulate { 5 } else { 20 }
}

/// Options of a run with these overrides, whose log has every step.
pub(super) fn sets(emulate: bool) -> Vec<String> {
    let size = if emulate { ["batch=2", "crop=40"] } else { ["batch=16", "crop=64"] };
    // Both networks are trained in every step: a pause that rounding decides would part the runs.
    let common = ["adversarial.balance=off", "output.log_every=1", "output.grid_every=1000000"];
    let sets = size.into_iter().chain(common).map(str::to_owned);
    let sets = sets.chain([format!("steps={}", count(emulate))]);
    sets.flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// Trains on the CPU, and then in each way on the GPU; the emulator computes all in `f32`.
pub(super) fn parts(machine: &Machine<'_>, budget: Duration) -> Vec<Part> {
    let steps = count(machine.emulate);
    let cpu = machine.work.join("cpu");
    let on_cpu = train(machine, "cpu", "f32", &cpu);
    let mut parts = vec![Part::programs(format!("{steps} steps on the CPU"), budget, vec![on_cpu])];
    let graphs = machine.work.join(CASES[0].name);
    for case in &CASES[..if machine.emulate { 2 } else { CASES.len() }] {
        let gpu = machine.work.join(case.name);
        let mut command = train(machine, "cuda", case.precision, &gpu);
        if !case.graphs {
            command.arg("--without-graphs");
        }
        let part = Part::programs(format!("{steps} steps, {}", case.name), budget, vec![command]);
        let (case, cpu, graphs) = (*case, cpu.clone(), graphs.clone());
        parts.push(part.finding(move |said| judge(case, [&cpu, &gpu, &graphs], said)));
    }
    parts
}

fn train(machine: &Machine<'_>, device: &str, precision: &str, out: &Path) -> Command {
    let mut command = machine.program("deepsim");
    command.args(["train", "autoencoder-exemplar-cnn-conv3", "--device", device, "--out"]).arg(out);
    command.args(sets(machine.emulate)).args(["--set", &format!("precision={precision}")]);
    command
}

/// Compares the logs of runs: on the CPU, on the GPU, and on the GPU with graphs.
fn judge(case: Case, [cpu, gpu, graphs]: [&PathBuf; 3], said: &str) -> (Value, Result<()>) {
    let logs = || Ok::<_, anyhow::Error>((losses(cpu)?, losses(gpu)?));
    let (cpu, gpu) = match logs() {
        Ok(both) => both,
        Err(error) => return (Value::Null, Err(error)),
    };
    let apart = differences(&cpu, &gpu);
    let found = json!({ "largest_differences": apart, "of_the_first_step": case.first });
    let check = || {
        if case.graphs && said.contains(REFUSED) {
            bail!("the steps are {REFUSED}");
        }
        if cpu.is_empty() || cpu.len() != gpu.len() {
            bail!("the runs have other numbers of steps");
        }
        for (name, [first, all]) in &apart {
            // What is not a number is not below anything.
            let near = *first <= case.first && *all <= GROWTH * case.first;
            if !near {
                bail!("{name} differs by {first:.1e} in the first step, and {all:.1e} in any");
            }
        }
        if !case.graphs && gpu != losses(graphs)? {
            bail!("expected the losses of graphs to the bit, found others");
        }
        Ok(())
    };
    (found, check())
}

/// Losses of a step by name, with those of the discriminator.
type Losses = BTreeMap<String, f64>;

/// The losses of every step of a run.
fn losses(run: &Path) -> Result<Vec<Losses>> {
    let path = run.join("log.jsonl");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut steps = Vec::new();
    for line in text.lines() {
        let line: Value =
            serde_json::from_str(line).with_context(|| format!("reading {}", path.display()))?;
        let Some(terms) = line["terms"].as_object() else { continue };
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let terms = terms.iter().map(|(name, term)| (name.clone(), number(&term["value"])));
        let own = ["d_real", "d_fake"].map(|name| (name.to_owned(), number(&line[name])));
        steps.push(terms.chain(own).collect());
    }
    Ok(steps)
}

/// The largest relative difference of each loss in the first step, and in any; infinite where one is missing or not a
/// number.
fn differences(cpu: &[Losses], gpu: &[Losses]) -> BTreeMap<String, [f64; 2]> {
    let mut apart: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for (step, (cpu, gpu)) in cpu.iter().zip(gpu).enumerate() {
        for (name, cpu) in cpu {
            let gpu = gpu.get(name).copied().unwrap_or(f64::NAN);
            let difference = (cpu - gpu).abs() / cpu.abs().max(gpu.abs());
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            let [first, all] = apart.entry(name.clone()).or_default();
            if step == 0 {
                *first = difference;
            }
            *all = all.max(difference);
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_compared_number_by_number() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = |name: &str, image: [f64; 2]| -> Result<PathBuf> {
            let run = folder.path().join(name);
            std::fs::create_dir(&run)?;
            let line = |step: usize| {
                let terms = json!({ "image": { "value": image[step], "weight": 1.0 } });
                json!({ "step": step, "terms": terms, "d_real": 0.7, "d_fake": 0.6 }).to_string()
            };
            let warning = json!({ "at_step": 1, "warning": "dead" }).to_string();
            std::fs::write(run.join("log.jsonl"), [line(0), warning, line(1)].join("\n"))?;
            Ok(run)
        };
        let cpu = run("cpu", [2.0, 2.0])?;
        let near = run("near", [2.001, 2.01])?;
        let ends = |case: usize, gpu: &PathBuf, graphs: &PathBuf, said: &str| {
            let (found, end) = judge(CASES[case], [&cpu, gpu, graphs], said);
            (found, end.err().map_or(String::new(), |error| error.to_string()))
        };
        let (found, end) = ends(0, &near, &near, "");
        assert_eq!(end, "");
        let image = &found["largest_differences"]["image"];
        assert!((image[0].as_f64().unwrap_or_default() - 5e-4).abs() < 1e-6, "{found}");
        assert!(
            ends(0, &near, &near, "steps are not recorded as CUDA graphs: no").1.contains(REFUSED)
        );
        assert!(ends(1, &near, &cpu, "").1.contains("to the bit"));
        let far = run("far", [2.0, 2.1])?;
        assert!(ends(0, &far, &far, "").1.starts_with("image differs by 0.0e0 in the first"));
        let early = run("early", [2.01, 2.01])?;
        assert!(ends(0, &early, &early, "").1.starts_with("image differs by 5.0e-3"));
        let broken = run("broken", [f64::NAN, 2.0])?;
        assert!(ends(0, &broken, &broken, "").1.contains("differs by inf"));
        assert!(ends(0, &folder.path().join("missing"), &cpu, "").1.contains("log.jsonl"));
        Ok(())
    }
}
