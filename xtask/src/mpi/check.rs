//! `cargo xtask mpi check`

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, say};
use crate::workspace;

/// Train with two processes, and lose one of them.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Steps of each run
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(30..))]
    steps: u64,
    /// Folder for the runs, which is emptied first [default: target/mpi/runs]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const RECIPE: &str = "crates/deepsim-run/recipes/autoencoder-alexnet-conv3.toml";
/// Eight images in each step, four for each of two processes.
const SETTINGS: [&str; 4] =
    ["batch=8", "output.checkpoint_every=10", "output.log_every=10", "output.grid_every=1000"];
const HALVES: [&str; 2] = ["--set", "micro_batch=4"];
const RESUME: [&str; 1] = ["--resume"];

/// A checkpoint that must be there before a process is lost.
const LOST_AFTER: &str = "checkpoints/step-0000020";
/// Longest time for a job to end after that.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// The runs, one after the other; the first thing that is not as it should be ends it.
pub(super) fn run(arguments: &Arguments, program: &Path) -> Result<()> {
    let default = || Ok::<_, anyhow::Error>(workspace::target_dir()?.join("mpi/runs"));
    let folder = arguments.out.clone().map_or_else(default, Ok)?;
    let folder = std::path::absolute(&folder).with_context(|| folder.display().to_string())?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let check = Check { program, folder, steps: arguments.steps };

    say("== one process, with the batch in two parts; two processes");
    check.train("halves", 1, &HALVES)?;
    check.train("two", 2, &[])?;
    check.same_generator("halves", "two")?;
    say("== one process, with the whole batch: only rounding is another");
    check.train("whole", 1, &[])?;
    check.compare("whole", "two")?;

    say("== a process is killed");
    let status = check.lose_one("killed", "KILL", &[])?;
    say(&format!("the job ended: {status}"));
    check.copy("killed", "killed-one")?;
    check.train("killed", 2, &RESUME)?;
    ensure!(check.compare("two", "killed")?, "what two processes resumed is another run");
    say("== one process continues it");
    check.train("killed-one", 1, &RESUME)?;
    check.compare("whole", "killed-one")?;

    say("== a process answers no more");
    let status = check.lose_one("silent", "STOP", &[("DEEPSIM_PATIENCE", "3")])?;
    let log = check.log("silent")?;
    let told = log.lines().find(|line| line.contains("no answer from another process"));
    say(told.with_context(|| format!("the job ended without saying why ({status}):\n{log}"))?);
    check.train("silent", 2, &RESUME)?;
    ensure!(check.compare("two", "silent")?, "what two processes resumed is another run");
    say("== two processes train as one");
    Ok(())
}

struct Check<'a> {
    program: &'a Path,
    folder: PathBuf,
    steps: u64,
}

impl Check<'_> {
    /// The command of a run with so many processes.
    fn command(&self, run: &str, processes: usize, more: &[&str]) -> Command {
        let mut command = match processes {
            1 => Command::new(self.program),
            _ => {
                let mut mpirun = Command::new("mpirun");
                // In a container everybody is root, and there may be a single core.
                mpirun.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
                mpirun.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
                mpirun.args(["--oversubscribe", "-n", &processes.to_string()]).arg(self.program);
                mpirun
            }
        };
        command.current_dir(workspace::root()).args(["train", RECIPE]);
        let steps = format!("steps={}", self.steps);
        for setting in SETTINGS.into_iter().chain([&*steps]) {
            command.args(["--set", setting]);
        }
        command.arg("--out").arg(self.folder.join(run)).args(more);
        command
    }

    /// Trains to the end; what the program says goes to a file beside the run.
    fn train(&self, run: &str, processes: usize, more: &[&str]) -> Result<()> {
        let mut command = self.command(run, processes, more);
        let (mut child, start) = (self.start(&mut command, run)?, Instant::now());
        let status = child.wait().context("waiting for a run")?;
        if !status.success() {
            let log = self.log(run)?;
            bail!("{run} failed ({status}): {}\n{log}", process::shown(&command));
        }
        say(&format!("{run}: {processes} process(es), {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    fn start(&self, command: &mut Command, run: &str) -> Result<Child> {
        let path = self.log_path(run);
        let log = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("starting {}", process::shown(command)))
    }

    fn log_path(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.log"))
    }

    fn log(&self, run: &str) -> Result<String> {
        let path = self.log_path(run);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Starts two processes, sends `signal` to one of them in the middle of the run, and waits until the job
    /// has ended by itself, which must be with an error.
    fn lose_one(&self, run: &str, signal: &str, variables: &[(&str, &str)]) -> Result<ExitStatus> {
        let mut command = self.command(run, 2, &[]);
        let mut child = self.start(command.envs(variables.iter().copied()), run)?;
        let checkpoint = self.folder.join(run).join(LOST_AFTER);
        while !checkpoint.exists() {
            if let Some(status) = child.try_wait()? {
                bail!("{run} ended too early ({status}):\n{}", self.log(run)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let processes = children(child.id())?;
        let lost = processes.last().context("mpirun has no children")?;
        kill(signal, lost)?;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if start.elapsed() > ENDS_WITHIN {
                for process in &processes {
                    kill("KILL", process)?;
                }
                child.wait()?;
                bail!("{run} had not ended {} s after a process was lost", ENDS_WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        ensure!(!status.success(), "{run} ended as if nothing had happened");
        let left = self.folder.join(run).join("done.json");
        ensure!(!left.exists(), "{run} had ended before the process was lost");
        Ok(status)
    }

    /// Fails unless two runs made the same weights, bit for bit.
    fn same_generator(&self, a: &str, b: &str) -> Result<()> {
        let read = |run: &str| {
            let path = self.folder.join(run).join("generator.safetensors");
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        ensure!(read(a)? == read(b)?, "{a} and {b} made different weights");
        say(&format!("{a}, {b}: the same weights after {} steps, bit for bit", self.steps));
        Ok(())
    }

    /// Says how two runs differ; true if they do not.
    fn compare(&self, a: &str, b: &str) -> Result<bool> {
        let mut command = Command::new(self.program);
        command.arg("diff-runs").args([a, b]).current_dir(&self.folder);
        let output = command.output().context("starting deepsim diff-runs")?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().for_each(|line| say(&format!("{a}, {b}: {line}")));
        match output.status.code() {
            Some(0) => Ok(true),
            Some(5) => Ok(false),
            _ => bail!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let mut command = Command::new("cp");
        command.arg("-r").args([from, to]).current_dir(&self.folder);
        process::run(&mut command, "copying a run")
    }
}

/// The processes that `parent` started, by number.
fn children(parent: u32) -> Result<Vec<String>> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output();
    let output = output.context("starting ps")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn kill(signal: &str, process: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{signal}"), process]).status();
    ensure!(status.context("starting kill")?.success(), "kill -{signal} {process} failed");
    Ok(())
}
