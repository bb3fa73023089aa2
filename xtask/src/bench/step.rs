//! `cargo xtask bench step`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::{Map, Value, json};

use super::rounds::{self, Times};
use super::server::Server;
use super::trainings::{NETS, Net, Training};
use super::{Common, report, torch};
use crate::process::say;
use crate::workspace;

/// The whole training step, ours and PyTorch's.
///
/// Both train the same networks in the same order on data held in memory. Before anything is timed,
/// both make two steps from the same weights without dropout: if their losses or their numbers of
/// weights differ, there is no report.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What is trained
    #[arg(long, default_value = NETS[0].name, value_parser = names())]
    net: String,
    /// Images, patches or pairs per step; may be given several times [default: the recipe's; 64 and 16
    /// for autoencoder, 8 for inversions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Vec<u16>,
    /// Threads of every contestant [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    #[command(flatten)]
    common: Common,
}

fn names() -> PossibleValuesParser {
    NETS.iter().map(|net| PossibleValue::new(net.name).help(net.about)).collect::<Vec<_>>().into()
}

/// How far losses may differ between the two, relative to the larger.
const TOLERANCE: f64 = 1e-3;
/// Who is timed, in the order of the servers.
const CONTESTANTS: [&str; 3] = ["ours", "PyTorch", "PyTorch, best"];
/// Side of the matrices whose product shows what the machine can do.
const PRODUCT: usize = 1536;
const ROUNDS: u16 = 15;
const HEADER: [&str; 10] = [
    "step",
    "wall ms",
    "CPU ms",
    "GFLOP/s",
    "of sgemm",
    "ours / it",
    "memory MiB",
    "ours / it",
    "less libraries",
    "start s",
];

/// What the contestants share.
struct Job {
    net: &'static Net,
    threads: usize,
    rounds: usize,
    target: PathBuf,
    python: PathBuf,
}

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let target = workspace::target_dir()?;
    let job = Job {
        net: Net::named(&arguments.net).context("a net that there is not")?,
        threads: arguments.threads.map_or_else(report::cores, usize::from),
        rounds: usize::from(common.rounds.unwrap_or(ROUNDS)),
        python: torch::interpreter(common.python.as_deref(), &[], &target)?,
        target,
    };
    torch::build(&job.target, &[torch::OPS, torch::STEP])?;
    let load = report::load();
    let batches = if arguments.batch.is_empty() { job.net.batches } else { &arguments.batch };
    let (mut rows, mut numbers, mut version) = (vec![], vec![], Value::Null);
    for &batch in batches {
        let measured = job.measure(usize::from(batch))?;
        rows.extend(measured.rows()?);
        numbers.push(measured.json()?);
        version = measured.torch;
    }
    say(&report::table(&HEADER, &rows));
    let flops = job.net.training().flops().into_iter();
    let flops: Vec<_> = flops.map(|(net, flops)| format!("{net} {:.0}", flops / 1e6)).collect();
    say(&format!(
        "{} threads, {} rounds; MFLOP per image: {}",
        job.threads,
        job.rounds,
        flops.join(", ")
    ));
    let numbers = json!({
        "net": job.net.name,
        "threads": job.threads,
        "rounds": job.rounds,
        "batches": numbers,
    });
    // Each net has its own file.
    let other = format!("step-{}", job.net.name);
    let kind = if job.net.name == NETS[0].name { "step" } else { &other };
    report::finish(kind, common.save, load, &version, numbers)
}

impl Job {
    fn measure(&self, batch: usize) -> Result<Measured> {
        let name = self.net.name;
        let folder = Folder::new(self.target.join(format!("bench-{name}-{batch}")))?;
        say(&format!("== {name}, batch {batch}: check"));
        let ours = self.ours(&folder.0, batch, true)?;
        let mut worst = 0f64;
        for best in [false, true] {
            let theirs = self.theirs(&folder.0, best, true)?;
            let difference = agree(&self.net.training(), &ours.facts, &theirs.facts)
                .context("the two do not train alike, so there is nothing to report")?;
            worst = worst.max(difference);
        }
        drop(ours);
        say(&format!("weights as many, losses of two steps differ by {worst:.1e} at most"));

        say(&format!("== {name}, batch {batch}: {} rounds", self.rounds));
        let mut servers = [
            self.ours(&folder.0, batch, false)?,
            self.theirs(&folder.0, false, false)?,
            self.theirs(&folder.0, true, false)?,
            Server::start("sgemm", &mut torch::example(&self.target, "op_server", self.threads))?,
        ];
        let product = format!("sgemm {PRODUCT}");
        let requests = ["step", "step", "step", &product];
        let mut times = rounds::play(&mut servers, &requests, self.rounds, true)?;
        let products = times.pop().context("no product was timed")?.wall;
        let fastest = products.into_iter().fold(f64::INFINITY, f64::min);
        let flops: f64 = self.net.training().flops().iter().map(|(_, flops)| flops).sum();
        Ok(Measured {
            batch,
            times,
            memory: servers[..3].iter().map(Server::peak_memory).collect(),
            start: servers[..3].iter().map(|server| server.start_seconds).collect(),
            libraries: servers[1].facts["libraries"].as_u64(),
            gflop: flops * batch as f64 / 1e9,
            sgemm: 2.0 * (PRODUCT as f64).powi(3) / (fastest * 1e6),
            worst,
            torch: servers[1].facts["torch"].clone(),
        })
    }

    fn ours(&self, folder: &Path, batch: usize, check: bool) -> Result<Server> {
        let mut command = torch::example(&self.target, "step_server", self.threads);
        command.arg("--recipe").arg(self.net.recipe());
        command.args(["--batch", &batch.to_string()]).arg("--folder").arg(folder);
        command.args(check.then_some("--check"));
        Server::start(CONTESTANTS[0], &mut command)
    }

    fn theirs(&self, folder: &Path, best: bool, check: bool) -> Result<Server> {
        let mut command = torch::script(&self.python, "step.py", self.threads);
        command.args(["--net", self.net.name]).arg("--folder").arg(folder);
        command.args(check.then_some("--check")).args(best.then_some("--best"));
        Server::start(CONTESTANTS[1 + usize::from(best)], &mut command)
    }
}

/// A folder for exchanged weights and images, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path)
            .with_context(|| format!("creating folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies below the target folder, where it does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The largest relative difference between the losses of both.
///
/// # Errors
/// If it is too large, or the networks have other numbers of weights than one another or the table.
fn agree(training: &Training, ours: &Value, theirs: &Value) -> Result<f64> {
    for (net, wanted) in training.parameters() {
        let count = |facts: &Value| facts["parameters"][net].as_u64();
        let [ours, theirs] = [count(ours), count(theirs)];
        if ours != theirs || ours != Some(wanted as u64) {
            bail!(
                "weights of the {net}: ours {ours:?}, PyTorch's {theirs:?}, the table's {wanted}"
            );
        }
    }
    let mut worst = 0f64;
    for step in 0..2 {
        let losses = |facts: &Value| facts["losses"][step].as_object().cloned();
        let (ours, theirs) = (losses(ours), losses(theirs));
        let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
        let names = |losses: &Map<String, Value>| losses.keys().cloned().collect::<Vec<_>>();
        if ours.is_empty() || names(&ours) != names(&theirs) {
            bail!(
                "losses of step {}: ours {:?}, PyTorch's {:?}",
                step + 1,
                names(&ours),
                names(&theirs)
            );
        }
        for (term, ours) in &ours {
            let (Some(ours), Some(theirs)) = (ours.as_f64(), theirs[term].as_f64()) else {
                bail!("loss `{term}` of step {} is missing or not finite", step + 1);
            };
            let difference = (ours - theirs).abs() / ours.abs().max(theirs.abs());
            if difference.is_nan() || difference > TOLERANCE {
                bail!("loss `{term}` of step {}: ours {ours}, PyTorch's {theirs}", step + 1);
            }
            worst = worst.max(difference);
        }
    }
    Ok(worst)
}

/// What came out for one batch size.
struct Measured {
    batch: usize,
    /// In the order of [`CONTESTANTS`], as are the next two.
    times: Vec<Times>,
    memory: Vec<Option<u64>>,
    start: Vec<f64>,
    /// Bytes that PyTorch holds before there is any network.
    libraries: Option<u64>,
    /// Nominal work of a step.
    gflop: f64,
    /// Best GFLOP/s of the matrix product.
    sgemm: f64,
    /// Largest relative difference between losses in the check.
    worst: f64,
    torch: Value,
}

impl Measured {
    fn rows(&self) -> Result<Vec<Vec<String>>> {
        let row = |(at, name): (usize, &&str)| {
            let wall = rounds::median(&self.times[at].wall)?;
            let rate = self.gflop / wall * 1e3;
            let ratio = rounds::ratio(&self.times[0].wall, &self.times[at].wall)?;
            let memory = self.memory[at].map_or("?".to_owned(), |m| (m >> 20).to_string());
            // Ours over another's, of which what its libraries hold may be left out.
            let share = |left_out: Option<u64>| {
                let its = self.memory[at]?.checked_sub(left_out?)?;
                (at > 0).then_some(self.memory[0]? as f64 / its as f64)
            };
            let shares = [share(Some(0)), share(self.libraries)];
            let [whole, rest] = shares.map(|s| s.map_or(String::new(), |s| format!("{s:.2}")));
            Ok(vec![
                format!("batch {}: {name}", self.batch),
                format!("{wall:.1}"),
                format!("{:.1}", rounds::median(&self.times[at].cpu)?),
                format!("{rate:.0}"),
                format!("{:.0} %", 100.0 * rate / self.sgemm),
                if at == 0 { String::new() } else { report::ratio(ratio) },
                memory,
                whole,
                rest,
                format!("{:.2}", self.start[at]),
            ])
        };
        CONTESTANTS.iter().enumerate().map(row).collect()
    }

    fn json(&self) -> Result<Value> {
        let contestant = |(at, name): (usize, &&str)| {
            let times = &self.times[at];
            let wall = rounds::median(&times.wall)?;
            Ok(json!({
                "name": name,
                "wall_ms": wall,
                "cpu_ms": rounds::median(&times.cpu)?,
                "gflop_per_s": self.gflop / wall * 1e3,
                "ours_to_it": report::ratio_json(rounds::ratio(&self.times[0].wall, &times.wall)?),
                "peak_memory_bytes": self.memory[at],
                "start_to_first_step_s": self.start[at],
                "wall_ms_of_rounds": times.wall,
            }))
        };
        let contestants =
            CONTESTANTS.iter().enumerate().map(contestant).collect::<Result<Vec<_>>>()?;
        Ok(json!({
            "batch": self.batch,
            "gflop_per_step": self.gflop,
            "sgemm_gflop_per_s": self.sgemm,
            "largest_difference_of_losses": self.worst,
            "bytes_of_pytorchs_libraries": self.libraries,
            "contestants": contestants,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(loss: f64) -> Value {
        let parameters: Map<_, _> = NETS[0]
            .training()
            .parameters()
            .into_iter()
            .map(|(net, count)| (net.to_owned(), count.into()))
            .collect();
        let losses = json!([{ "real": 0.7, "image": 3e7 }, { "real": 1, "image": loss }]);
        json!({ "parameters": parameters, "losses": losses })
    }

    #[test]
    fn equal_trainings_agree_and_others_are_refused() -> Result<()> {
        let training = NETS[0].training();
        assert_eq!(agree(&training, &facts(2.0), &facts(2.0))?, 0.0);
        assert!((agree(&training, &facts(2.0), &facts(2.001))? - 5e-4).abs() < 1e-6);
        let refused = |ours: Value, theirs: Value| {
            agree(&training, &ours, &theirs).expect_err("they differ").to_string()
        };
        let message = refused(facts(2.0), facts(2.003));
        assert_eq!(message, "loss `image` of step 2: ours 2, PyTorch's 2.003");
        // JSON has no NaN: it arrives as null.
        assert!(refused(facts(2.0), facts(f64::NAN)).contains("missing or not finite"));
        let mut other = facts(2.0);
        other["losses"][1] = json!({ "real": 1 });
        assert!(refused(facts(2.0), other.clone()).contains("PyTorch's [\"real\"]"));
        // Neither of two without losses trains.
        other["losses"] = json!([{}, {}]);
        assert!(refused(other.clone(), other).contains("losses of step 1"));
        let mut smaller = facts(2.0);
        smaller["parameters"]["generator"] = 7.into();
        assert!(refused(facts(2.0), smaller.clone()).contains("PyTorch's Some(7)"));
        // Two that agree with one another, but not with the table that FLOPs are counted from.
        assert!(refused(smaller.clone(), smaller).contains("weights of the generator"));
        Ok(())
    }
}
