//! Twenty steps on the GPU against the CPU: the losses of every step.

use std::path::Path;
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
    /// Largest relative difference of a term in any step. Rounding grows with training: between one process and two on the
    /// CPU weights differ by 1e-4 after 20 steps.
    tolerance: f64,
}

const CASES: [Case; 4] = [
    Case { name: "f32", precision: "f32", graphs: true, tolerance: 5e-3 },
    Case { name: "f32-without-graphs", precision: "f32", graphs: false, tolerance: 5e-3 },
    Case { name: "tf32", precision: "tf32", graphs: true, tolerance: 5e-2 },
    Case { name: "bf16", precision: "bf16", graphs: true, tolerance: 0.3 },
];

/// The cases; of those the emulator, which computes all in `f32`, has two.
pub(super) fn cases(emulate: bool) -> &'static [Case] {
    if emulate { &CASES[..2] } else { &CASES }
}

/// Options that make a run short: 20 steps, or 5 tiny ones.
pub(super) fn sets(emulate: bool) -> Vec<&'static str> {
    let sets: &[&str] = match emulate {
        true => &["steps=5", "batch=2", "crop=40"],
        false => &["steps=20", "batch=16"],
    };
    // Both networks are trained in every step: a pause that rounding decides would part the runs.
    let common = ["adversarial.balance=off", "output.log_every=1", "output.grid_every=1000000"];
    sets.iter().copied().chain(common).flat_map(|set| ["--set", set]).collect()
}

/// Trains on both devices, and compares the logs.
///
/// # Errors
/// If the logs' folders have no names.
pub(super) fn part(machine: &Machine<'_>, case: &Case, budget: Duration) -> Result<Part> {
    let [cpu, gpu] =
        ["cpu", "cuda"].map(|device| machine.out.join(format!("run-{}-{device}", case.name)));
    let train = |device: &str, out: &Path, precision: &str| {
        let mut command = machine.program("deepsim");
        command.args(["train", "autoencoder-exemplar-cnn-conv3", "--device", device, "--out"]);
        command.arg(out).args(sets(machine.emulate));
        command.args(["--set", &format!("precision={precision}")]);
        command
    };
    let mut on_gpu = train("cuda", &gpu, case.precision);
    if !case.graphs {
        on_gpu.arg("--without-graphs");
    }
    let commands = vec![train("cpu", &cpu, "f32"), on_gpu];
    let name = format!("20 steps: {}", case.name);
    let part = Part::programs(name, budget, commands).without(cpu.clone()).without(gpu.clone());
    let tolerance = case.tolerance;
    Ok(part.finding(move || {
        let difference = differs(&losses(&cpu)?, &losses(&gpu)?)?;
        if difference > tolerance {
            bail!("losses differ by {difference:.1e}, expected at most {tolerance:.0e}");
        }
        Ok(json!({ "largest_difference_of_losses": difference, "tolerance": tolerance }))
    }))
}

/// The terms of every step of a run, by name, with those of the discriminator.
fn losses(run: &Path) -> Result<Vec<Vec<(String, f64)>>> {
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

/// The largest relative difference of a number in any step.
///
/// # Errors
/// If there are no steps, or other numbers.
fn differs(cpu: &[Vec<(String, f64)>], gpu: &[Vec<(String, f64)>]) -> Result<f64> {
    if cpu.is_empty() || cpu.len() != gpu.len() {
        bail!("{} steps on the CPU, {} on the GPU", cpu.len(), gpu.len());
    }
    let mut worst = 0f64;
    for (cpu, gpu) in cpu.iter().flatten().zip(gpu.iter().flatten()) {
        let difference = (cpu.1 - gpu.1).abs() / cpu.1.abs().max(gpu.1.abs());
        if cpu.0 != gpu.0 || difference.is_nan() {
            bail!("{} is {} on the CPU, {} is {} on the GPU", cpu.0, cpu.1, gpu.0, gpu.1);
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_compared_number_by_number() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let run = |name: &str, image: f64| {
            let run = folder.path().join(name);
            std::fs::create_dir(&run)?;
            let line = |step: u64| {
                let terms = json!({ "image": { "value": image, "weight": 1.0 } });
                json!({ "step": step, "terms": terms, "d_real": 0.7, "d_fake": 0.6 }).to_string()
            };
            let warning = json!({ "at_step": 1, "warning": "dead" }).to_string();
            std::fs::write(run.join("log.jsonl"), [line(1), warning, line(2)].join("\n"))?;
            losses(&run)
        };
        let (cpu, gpu) = (run("cpu", 2.0)?, run("gpu", 2.002)?);
        assert_eq!((cpu.len(), cpu[0].len()), (2, 3));
        assert!((differs(&cpu, &gpu)? - 1e-3).abs() < 1e-5);
        assert!(differs(&cpu, &gpu[..1]).is_err() && differs(&[], &[]).is_err());
        assert!(differs(&cpu, &run("broken", f64::NAN)?).is_err());
        assert!(losses(&folder.path().join("missing")).is_err());
        Ok(())
    }
}
