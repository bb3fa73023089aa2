//! `cargo xtask cuda proof`
//!
//! | module | holds |
//! |---|---|
//! | [`part`] | a part: programs with a budget of seconds, whose output is kept |
//! | [`steps`] | twenty steps on the GPU against the CPU |
//! | [`pack`] | what has to travel to a machine without Rust |

mod pack;
mod part;
mod steps;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::part::{Log, Part};
use super::gpu::gpus;
use super::test::emulator;
use crate::process::{Failure, say};
use crate::{bench, workspace};

/// Test, compare and time everything for GPUs in eight minutes.
///
/// A part that fails or runs out of time does not stop the others. DIR gets proof.json with the end of each part, proof.log
/// with all that was said, the trace of 20 steps, and the files of the benchmarks.
#[derive(clap::Args)]
#[command(after_help = "\
On a machine with a GPU and Rust:
  cargo xtask cuda proof --out DIR
On one without Rust: build and pack elsewhere, carry the pack and the checkout, and run it there:
  cargo xtask cuda build --tests && cargo xtask cuda proof --pack out/proof
  sh out/proof/run.sh DIR")]
pub(super) struct Arguments {
    /// Folder for the results
    #[arg(long, value_name = "DIR", required_unless_present = "pack")]
    out: Option<PathBuf>,
    /// Pack the programs, and say what has to travel and how large it is; runs nothing
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pack: Option<PathBuf>,
    /// Folder of the programs of `cuda build --tests` [default: target/cuda/programs]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Python interpreter with the PyTorch to compare with
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Rehearse on the emulator: smaller parts, no benchmark, and nothing said of speed
    #[arg(long)]
    emulate: bool,
}

/// What parts need to know.
struct Machine<'a> {
    programs: &'a Path,
    python: &'a Path,
    out: &'a Path,
    emulate: bool,
    /// Variables of every program.
    environment: Vec<(&'static str, OsString)>,
}

impl Machine<'_> {
    /// A program of `cuda build`.
    fn program(&self, name: &str) -> Command {
        self.with_environment(Command::new(self.programs.join(name)))
    }

    /// A command of this program.
    fn own(&self, arguments: &[&str]) -> Result<Command> {
        let own = env::current_exe().context("the path of this program")?;
        let mut command = self.with_environment(Command::new(own));
        command.args(arguments);
        Ok(command)
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command.current_dir(workspace::root());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Name of the summary and of the output of all parts.
const SUMMARY: &str = "proof.json";
const LOG: &str = "proof.log";
const TRACE: &str = "trace.json";

/// Runs all parts; fails at the end if one has.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = workspace::target_dir()?.join("cuda");
    let programs = arguments.programs.clone().unwrap_or_else(|| target.join("programs"));
    let programs = std::path::absolute(programs).context("--programs")?;
    if !programs.join("step_server").is_file() {
        let folder = programs.display();
        return Err(Failure::usage(format!(
            "{folder}: expected the programs of `cargo xtask cuda build --tests`, found none"
        )));
    }
    if let Some(folder) = &arguments.pack {
        return pack::run(&programs, folder);
    }
    let Some(out) = &arguments.out else { bail!("expected --out") };
    std::fs::create_dir_all(out).with_context(|| format!("creating folder {}", out.display()))?;
    let out = std::path::absolute(out).context("--out")?;
    let mut environment = vec![("DEEPSIM_BOX", workspace::root().join("data").into_os_string())];
    if arguments.emulate {
        say("on an emulator of CUDA: a rehearsal, which says nothing of a GPU");
        environment.push(("LD_LIBRARY_PATH", emulator(&target)?));
    } else if gpus().is_empty() {
        bail!("nvidia-smi names no GPU; --emulate rehearses without one");
    } else if let Some(libraries) = bench::cuda_libraries(&arguments.python) {
        environment.push(("DEEPSIM_CUDA_LIBRARIES", libraries));
    }
    let machine = Machine {
        programs: &programs,
        python: &arguments.python,
        out: &out,
        emulate: arguments.emulate,
        environment,
    };
    let began = SystemTime::now();
    let mut log = Log::create(&out.join(LOG))?;
    let mut ends: Vec<Value> = Vec::new();
    let mut failed = Vec::new();
    for part in parts(&machine)? {
        say(&format!("== {} ({} s at most)", part.name, part.budget.as_secs()));
        let end = part.run(&mut log)?;
        say(&format!("   {}", end.said()));
        if !end.passed() {
            failed.push(end.name.clone());
        }
        ends.push(end.json());
        // After each part, so that nothing is lost where a later one takes the machine down.
        write_summary(&machine, &ends)?;
    }
    copy_benchmarks(&out, began)?;
    say(&format!("{}: read this first", out.join(SUMMARY).display()));
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{} of {} parts failed: {}", failed.len(), ends.len(), failed.join(", ")),
    }
}

/// All parts, in the order of what matters most.
fn parts(machine: &Machine<'_>) -> Result<Vec<Part>> {
    let tests = |name: &str| {
        let mut command = machine.program(&format!("{name}-cuda-tests"));
        command.arg("--nocapture");
        // Kernels that the emulator computes thread by thread take minutes.
        if machine.emulate {
            command.arg(if name == "deepsim-ops" { "adam" } else { "by_graphs" });
        }
        vec![command]
    };
    let seconds = |on_gpu: u64| Duration::from_secs(if machine.emulate { 1200 } else { on_gpu });
    let mut parts = vec![
        Part::programs("cuda check", seconds(10), vec![machine.own(&["cuda", "check"])?]),
        Part::programs("every operation", seconds(50), tests("deepsim-ops")),
        Part::programs("training", seconds(60), tests("deepsim-train")),
    ];
    for case in steps::cases(machine.emulate) {
        parts.push(steps::part(machine, case, seconds(20))?);
    }
    parts.push(profile(machine, seconds(20)));
    if !machine.emulate {
        parts.push(benchmark(machine, &[], seconds(110))?);
        for batch in ["8", "64"] {
            let net = ["--net", "inversion-fc6", "--batch", batch];
            parts.push(benchmark(machine, &net, seconds(80))?);
        }
    }
    Ok(parts)
}

/// Where the time of 20 steps goes, for chrome://tracing.
fn profile(machine: &Machine<'_>, budget: Duration) -> Part {
    let mut command = machine.program("deepsim");
    let run = machine.out.join("run-profile");
    command
        .args(["train", "autoencoder-exemplar-cnn-conv3", "--device", "cuda", "--out"])
        .arg(&run);
    command.args(steps::sets(machine.emulate)).arg("--trace").arg(machine.out.join(TRACE));
    Part::programs("profile", budget, vec![command]).without(run)
}

/// A benchmark against the machine's own PyTorch, eager and compiled.
fn benchmark(machine: &Machine<'_>, net: &[&str], budget: Duration) -> Result<Part> {
    let mut command = machine.own(&["bench", "step", "--device", "cuda", "--precision", "tf32"])?;
    command.args(net).args(["--rounds", "15", "--save", "--server"]);
    command.arg(machine.programs.join("step_server")).arg("--python").arg(machine.python);
    let name = match net {
        [] => "bench: autoencoder".to_owned(),
        words => format!("bench: {}", words.join(" ")),
    };
    Ok(Part::programs(name, budget, vec![command]))
}

fn write_summary(machine: &Machine<'_>, ends: &[Value]) -> Result<()> {
    let gpus: Vec<String> = gpus().iter().map(ToString::to_string).collect();
    let summary = json!({
        "git_commit": workspace::git_commit(),
        "emulated": machine.emulate,
        "gpus": gpus,
        "parts": ends,
    });
    let text = serde_json::to_string_pretty(&summary)? + "\n";
    workspace::write_atomic(&machine.out.join(SUMMARY), text.as_bytes())
}

/// Copies the files that benchmarks have saved since then.
fn copy_benchmarks(out: &Path, since: SystemTime) -> Result<()> {
    let folder = workspace::root().join("docs/benchmarks");
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let json = path.extension().is_some_and(|ending| ending == "json");
        let changed = path.metadata().and_then(|data| data.modified());
        let name = path.file_name().filter(|_| json && changed.is_ok_and(|time| time >= since));
        if let Some(name) = name {
            std::fs::copy(&path, out.join(name))
                .with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}
