//! `cargo xtask bench step`
//!
//! | module | holds |
//! |---|---|
//! | [`platform`] | CPU or GPU, precision, and who is timed there |
//! | [`mod@agree`] | whether both sides train alike |
//! | [`measured`] | the table and the file |

mod agree;
mod measured;
mod platform;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::{Value, json};

use self::agree::{agree, one_is_the_same};
use self::measured::Measured;
use self::platform::{Device, Platform, Precision};
use super::cost::Cost;
use super::machine::Use;
use super::rounds;
use super::server::Server;
use super::trainings::{NETS, Net};
use super::{Common, report, torch};
use crate::cuda::LIBRARIES;
use crate::folder::Folder;
use crate::process::{Failure, complain, say};
use crate::workspace;

/// The whole training step, ours and PyTorch's.
///
/// Both train the same networks in the same order on data held in memory. Before anything is timed,
/// both make two steps from the same weights without dropout: if their losses or their numbers of
/// weights differ, there is no report.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Training to time
    #[arg(long, default_value = NETS[0].name, value_parser = names())]
    net: String,
    /// Images, patches or pairs per step; may be given several times [default: the recipe's; on the CPU
    /// 64 and 16 for autoencoder, 8 for inversions]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Vec<u16>,
    /// Threads of every contestant [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Device to compute on
    #[arg(long, value_enum, default_value = "cpu")]
    device: Device,
    /// Type of the factors that convolutions multiply
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// With --device cuda: our side, built on another machine by `cargo xtask cuda build --tests`
    /// [default: it is built]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// With --device cuda: run our steps eagerly, not as CUDA graphs
    #[arg(long)]
    without_graphs: bool,
    /// With --device cuda: without PyTorch's compiled side, which takes a minute or more to begin
    #[arg(long)]
    without_compiled: bool,
    #[command(flatten)]
    common: Common,
}

fn names() -> PossibleValuesParser {
    NETS.iter().map(|net| PossibleValue::new(net.name).help(net.about)).collect::<Vec<_>>().into()
}

/// Settings of all contestants.
struct Job {
    net: &'static Net,
    cost: Cost,
    platform: Platform,
    threads: usize,
    rounds: usize,
    target: PathBuf,
    server: PathBuf,
    python: PathBuf,
    without_graphs: bool,
    /// Folders of CUDA's libraries, unless the user named others.
    libraries: Option<OsString>,
}

/// Bytes in use on a GPU above which it counts as busy.
const BUSY: u64 = 2 << 30;

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let platform =
        Platform::new(arguments.device, arguments.precision, !arguments.without_compiled)?;
    let gpu = platform.device == Device::Cuda;
    if arguments.server.is_some() && !gpu {
        return Err(Failure::usage("--server needs --device cuda"));
    }
    let target = workspace::target_dir()?;
    let net = Net::named(&arguments.net).context("a net that there is not")?;
    let wants = if gpu { torch::Wants::Gpu } else { torch::Wants::Cpu };
    let python = torch::interpreter(common.python.as_deref(), wants, &target)?;
    let server = match &arguments.server {
        Some(server) => std::path::absolute(server).context("--server")?,
        None if gpu => {
            let target = target.join("cuda");
            torch::build(&target, &[torch::STEP], true)?;
            torch::path(&target, torch::STEP.1)
        }
        None => {
            torch::build(&target, &[torch::OPS, torch::STEP], false)?;
            torch::path(&target, torch::STEP.1)
        }
    };
    let job = Job {
        net,
        cost: Cost::ask(&server, &net.recipe(), &[])?,
        platform,
        threads: arguments.threads.map_or_else(report::cores, usize::from),
        rounds: usize::from(common.rounds.unwrap_or_else(|| platform.rounds())),
        target,
        server,
        without_graphs: arguments.without_graphs,
        libraries: (gpu && env::var_os(LIBRARIES).is_none())
            .then(|| torch::libraries(&python))
            .flatten(),
        python,
    };
    // On a GPU other work of the processor matters less; the file says how much there was.
    let before = Use::before(common.save && !gpu)?;
    let batches = match &arguments.batch[..] {
        [] if gpu => vec![net.recipes_batch()?],
        [] => net.batches.to_vec(),
        given => given.to_vec(),
    };
    let (mut rows, mut numbers, mut version) = (vec![], vec![], Value::Null);
    for batch in batches {
        let measured = job.measure(usize::from(batch))?;
        rows.extend(measured.rows()?);
        numbers.push(measured.json()?);
        version = measured.torch;
    }
    say(&report::table(&measured::HEADER, &rows));
    let flops = job.cost.flops().into_iter();
    let flops: Vec<_> = flops.map(|(net, flops)| format!("{net} {:.0}", flops / 1e6)).collect();
    say(&format!(
        "{} threads, {}, {} rounds; MFLOP per image: {}",
        job.threads,
        platform.precision.name(),
        job.rounds,
        flops.join(", ")
    ));
    let numbers = json!({
        "net": net.name,
        "precision": platform.precision.name(),
        "threads": job.threads,
        "rounds": job.rounds,
        "steps_of_a_round": platform.steps(),
        "side_of_the_product": platform.side(),
        "batches": numbers,
    });
    // Each net and each precision of a GPU has its own file.
    let mut kind = "step".to_owned();
    if net.name != NETS[0].name {
        kind += &format!("-{}", net.name);
    }
    if gpu {
        kind += &format!("-{}", platform.precision.name());
        // Batches that are given may be measured one by one.
        kind.extend(arguments.batch.iter().map(|batch| format!("-{batch}")));
    }
    let gpu = platform.gpu().map(|gpu| (gpu.name, gpu.driver));
    report::finish(&kind, common.save, before, &version, gpu, numbers)
}

impl Job {
    fn measure(&self, batch: usize) -> Result<Measured> {
        let (name, platform) = (self.net.name, self.platform);
        let folder = Folder::new(self.target.join(format!("bench-{name}-{batch}")))?;
        say(&format!("== {name}, batch {batch}: check"));
        let (mut worst, mut exact) = (0f64, None);
        for precision in platform.checked() {
            let (difference, losses) = self.check(folder.path(), batch, precision)?;
            worst = difference;
            let name = precision.name();
            say(&format!(
                "{name}: weights as many, losses of two steps differ by {worst:.1e} at most"
            ));
            let exact = exact.get_or_insert_with(|| losses.clone());
            if precision != Precision::F32 && one_is_the_same(&losses, exact) {
                bail!(
                    "{name}: losses of f32 to the last digit: one of the sides ignores the precision"
                );
            }
        }

        say(&format!("== {name}, batch {batch}: {} rounds", self.rounds));
        let steps = platform.steps().to_string();
        let used = || platform.gpu()?.used;
        if let Some(used) = used().filter(|used| *used > BUSY) {
            complain(&format!(
                "warning: {} MiB of the GPU's memory are in use already; numbers from a busy GPU are \
                 worthless",
                used >> 20
            ));
        }
        let product = || platform.product(&self.target, &self.python, self.threads);
        let mut rate = Vec::new();
        if platform.device == Device::Cuda {
            // Measured alone, so that thermal throttling does not bias the next contestant.
            let (server, request) = product()?;
            rate = rounds::play(&mut [server], &[&request], self.rounds, true)?.remove(0).wall;
        }
        let (mut servers, mut names, mut on_gpu) = (vec![], vec!["ours"], vec![]);
        for at in 0..=platform.contestants().len() {
            let before = used();
            let mut server = match at.checked_sub(1) {
                None => self.ours(folder.path(), batch, platform.precision, false)?,
                Some(at) => {
                    names.push(platform.contestants()[at].name);
                    self.theirs(folder.path(), at, platform.precision, false)?
                }
            };
            // First steps select kernels and allocate memory.
            server.ask(&steps)?;
            on_gpu.push(used().zip(before).and_then(|(now, then)| now.checked_sub(then)));
            servers.push(server);
        }
        let mut requests = vec![steps; names.len()];
        if platform.device == Device::Cpu {
            let (server, request) = product()?;
            servers.push(server);
            requests.push(request);
        }
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let mut times = rounds::play(&mut servers, &requests, self.rounds, true)?;
        rate.extend(times.drain(names.len()..).flat_map(|times| times.wall));
        let fastest = rate.into_iter().fold(f64::INFINITY, f64::min);
        let flops: f64 = self.cost.flops().iter().map(|(_, flops)| flops).sum();
        servers.truncate(names.len());
        let memory = |(server, on_gpu): (&Server, Option<u64>)| match platform.device {
            Device::Cpu => server.peak_memory(),
            Device::Cuda => on_gpu,
        };
        let libraries = servers[1].facts["libraries"].as_u64();
        Ok(Measured {
            batch,
            names,
            times,
            memory: servers.iter().zip(on_gpu).map(memory).collect(),
            start: servers.iter().map(|server| server.start_seconds).collect(),
            libraries: libraries.filter(|_| platform.device == Device::Cpu),
            gflop: flops * batch as f64 / 1e9,
            product: 2.0 * (platform.side() as f64).powi(3) / (fastest * 1e6),
            worst,
            torch: servers[1].facts["torch"].clone(),
            cuda: ["cuda", "cudnn"].map(|name| servers[1].facts[name].clone()),
            on_gpu: platform.device == Device::Cuda,
        })
    }

    /// Returns the largest difference between our losses and those of any other contestant, and the
    /// losses of all.
    fn check(
        &self,
        folder: &Path,
        batch: usize,
        precision: Precision,
    ) -> Result<(f64, Vec<Value>)> {
        let ours = self.ours(folder, batch, precision, true)?;
        let (mut worst, mut losses) = (0f64, vec![ours.facts["losses"].clone()]);
        for at in 0..self.platform.contestants().len() {
            let theirs = self.theirs(folder, at, precision, true)?;
            let tolerance = precision.tolerance();
            let difference = agree(&self.cost, &ours.facts, &theirs.facts, tolerance)
                .context("the two do not train alike, so there is nothing to report")?;
            worst = worst.max(difference);
            losses.push(theirs.facts["losses"].clone());
        }
        Ok((worst, losses))
    }

    fn ours(
        &self,
        folder: &Path,
        batch: usize,
        precision: Precision,
        check: bool,
    ) -> Result<Server> {
        let mut command = torch::ours(&self.server, self.threads);
        if let Some(folders) = &self.libraries {
            command.env(LIBRARIES, folders);
        }
        command.arg("--recipe").arg(self.net.recipe());
        command.args(["--batch", &batch.to_string()]).arg("--folder").arg(folder);
        command.args(self.platform.flags(precision)).args(check.then_some("--check"));
        command.args(self.without_graphs.then_some("--without-graphs"));
        Server::start("ours", &mut command)
    }

    /// The contestant with this number.
    fn theirs(
        &self,
        folder: &Path,
        at: usize,
        precision: Precision,
        check: bool,
    ) -> Result<Server> {
        let contestant = &self.platform.contestants()[at];
        let mut command = torch::script(&self.python, "step.py", self.threads);
        command.args(["--net", self.net.name]).arg("--folder").arg(folder);
        command.args(self.platform.flags(precision)).args(contestant.flags);
        Server::start(contestant.name, command.args(check.then_some("--check")))
    }
}
