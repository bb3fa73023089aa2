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
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::part::{Log, Part};
use super::gpu::gpus;
use super::test::emulator;
use super::{LIBRARIES, build};
use crate::folder::Folder;
use crate::process::{Failure, complain, say};
use crate::{bench, workspace};

/// Test, compare and time everything for GPUs in eight minutes.
///
/// A part that fails or runs out of time does not stop the others. DIR gets proof.json with the end of each part, proof.log
/// with all that was said, the trace of a few steps, and the files of the benchmarks.
#[derive(clap::Args)]
#[command(after_help = "\
On a machine with a GPU and Rust:
  cargo xtask cuda build --tests && cargo xtask cuda proof --out DIR
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
    /// Rehearse on the emulator: fewer and smaller parts, and nothing said of speed
    #[arg(long)]
    emulate: bool,
}

/// Programs, folders and variables of all parts.
struct Machine<'a> {
    programs: &'a Path,
    python: &'a Path,
    out: &'a Path,
    /// Folder for runs, which are removed.
    work: &'a Path,
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

const SUMMARY: &str = "proof.json";
const LOG: &str = "proof.log";
const TRACE: &str = "trace.json";
/// Time for all parts together.
const ALL: Duration = Duration::from_secs(480);
/// Time for a part, and for all, of a rehearsal, where kernels are computed thread by thread.
const REHEARSAL: Duration = Duration::from_secs(1200);

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
    let began = (Instant::now(), SystemTime::now());
    let Some(out) = &arguments.out else { bail!("expected --out") };
    std::fs::create_dir_all(out).with_context(|| format!("creating folder {}", out.display()))?;
    let out = std::path::absolute(out).context("--out")?;
    let work = Folder::new(env::temp_dir().join(format!("deepsim-proof-{}", std::process::id())))?;
    let python = match arguments.python.components().count() {
        1 => arguments.python.clone(),
        _ => std::path::absolute(&arguments.python).context("--python")?,
    };
    let machine = Machine {
        programs: &programs,
        python: &python,
        out: &out,
        work: work.path(),
        emulate: arguments.emulate,
        environment: environment(arguments, &python, &target)?,
    };
    let mut log = Log::create(&out.join(LOG))?;
    let gpus: Vec<String> = gpus().iter().map(ToString::to_string).collect();
    if gpus.is_empty() && !arguments.emulate {
        complain("warning: nvidia-smi names no GPU; --emulate rehearses without one");
    }
    let mut summary = json!({
        "built": built(&programs),
        "git_commit": workspace::git_commit(),
        "emulated": machine.emulate,
        "gpus": gpus,
        "parts": [],
    });
    let last = began.0 + if machine.emulate { REHEARSAL } else { ALL };
    let (mut failed, mut all) = (Vec::new(), 0);
    for part in parts(&machine)? {
        say(&format!("== {} ({} s at most)", part.name, part.budget.as_secs()));
        let end = part.run(&mut log, last)?;
        say(&format!("   {}", end.said()));
        all += 1;
        if !end.passed() {
            failed.push(end.name.clone());
        }
        if let Some(parts) = summary["parts"].as_array_mut() {
            parts.push(end.json());
        }
        // After each part, so that nothing is lost where a later one takes the machine down.
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        workspace::write_atomic(&out.join(SUMMARY), text.as_bytes())?;
        copy_benchmarks(&out, began.1)?;
    }
    say(&format!("{}: read this first", out.join(SUMMARY).display()));
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{} of {all} parts failed: {}", failed.len(), failed.join(", ")),
    }
}

/// Variables of every program: where CUDA's libraries are, and that tests must not pass without a GPU.
fn environment(
    arguments: &Arguments,
    python: &Path,
    target: &Path,
) -> Result<Vec<(&'static str, OsString)>> {
    let data = workspace::root().join("data").into_os_string();
    let mut all = vec![("DEEPSIM_BOX", data), ("DEEPSIM_NEEDS_GPU", "1".into())];
    if arguments.emulate {
        say("on an emulator of CUDA: a rehearsal, which says nothing of a GPU");
        all.push(("LD_LIBRARY_PATH", emulator(target)?));
    } else if env::var_os(LIBRARIES).is_none()
        && let Some(libraries) = bench::cuda_libraries(python)
    {
        // Libraries that others open by name are found by the loader alone.
        let old = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let folders = env::split_paths(&libraries).chain(env::split_paths(&old));
        all.push(("LD_LIBRARY_PATH", env::join_paths(folders)?));
        all.push((LIBRARIES, libraries));
    }
    Ok(all)
}

/// Commit and compiler of the programs, as their build has noted them.
fn built(programs: &Path) -> Value {
    let text = std::fs::read_to_string(programs.join(build::NOTE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// All parts, in the order of what matters most.
fn parts(machine: &Machine<'_>) -> Result<Vec<Part>> {
    let seconds = |on_gpu: u64| match machine.emulate {
        true => REHEARSAL,
        false => Duration::from_secs(on_gpu),
    };
    let tests = |name: &str, package: &str, filter: &str, on_gpu: u64| {
        let mut command = machine.program(&format!("{package}-cuda-tests"));
        command.arg("--nocapture").args(machine.emulate.then_some(filter));
        Part::programs(name, seconds(on_gpu), vec![command])
    };
    let mut parts = Vec::new();
    if !machine.emulate {
        let check = machine.own(&["cuda", "check"])?;
        parts.push(Part::programs("cuda check", seconds(10), vec![check]));
    }
    parts.push(tests("every operation", "deepsim-ops", "adam", 50));
    parts.push(tests("training", "deepsim-train", "by_graphs", 60));
    parts.extend(steps::parts(machine, seconds(20)));
    parts.push(profile(machine, seconds(20)));
    if !machine.emulate {
        // First what begins quickly: whatever comes later may find no time.
        for more in [&["--without-compiled"][..], &["--without-compiled", "--without-graphs"]] {
            parts.push(benchmark(machine, more, seconds(60))?);
        }
        for batch in ["8", "64"] {
            let net = ["--net", "inversion-fc6", "--batch", batch, "--without-compiled"];
            parts.push(benchmark(machine, &net, seconds(50))?);
        }
        parts.push(benchmark(machine, &[], seconds(150))?);
    }
    Ok(parts)
}

/// Time of each operation of a few steps, for chrome://tracing: the host waits for each, so that what it waited for is that
/// operation.
fn profile(machine: &Machine<'_>, budget: Duration) -> Part {
    let mut command = machine.program("deepsim");
    command.args(["train", "autoencoder-alexnet-conv3", "--device", "cuda", "--without-graphs"]);
    command.arg("--out").arg(machine.work.join("profile")).args(steps::sets(machine.emulate));
    command.arg("--trace").arg(machine.out.join(TRACE)).env("CUDA_LAUNCH_BLOCKING", "1");
    Part::programs("profile", budget, vec![command])
}

/// A benchmark against the machine's own PyTorch.
fn benchmark(machine: &Machine<'_>, more: &[&str], budget: Duration) -> Result<Part> {
    let mut command = machine.own(&["bench", "step", "--device", "cuda", "--precision", "tf32"])?;
    command.args(more).args(["--rounds", "15", "--save", "--server"]);
    command.arg(machine.programs.join("step_server")).arg("--python").arg(machine.python);
    Ok(Part::programs(format!("bench step {}", more.join(" ")), budget, vec![command]))
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
