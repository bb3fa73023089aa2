//! `cargo xtask reproduce`

mod arguments;
mod comparators;
mod evaluate;
mod failures;
mod inputs;
mod jobs;
mod optimise;
mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cuda;
use crate::plan::{Machine, Planned, State, Wanted, table};
use crate::process::{self, Failure, say};
use crate::runs::Run;
use crate::runs::inversion::Layer;
use crate::status;
use crate::targets::{Experiment, Target, Work};
use crate::workspace;

pub(crate) use arguments::Arguments;
use arguments::{DeviceKind, check};
use comparators::Comparator;
use failures::Failures;
use jobs::Lane;

/// What the steps below share.
#[derive(Clone)]
struct Job<'a> {
    arguments: &'a Arguments,
    out: PathBuf,
    /// Folder of the built programs.
    target: PathBuf,
    lane: Lane,
}

/// Checks, plans, builds, trains, evaluates, reports.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    check(arguments)?;
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let gpus = if arguments.device == DeviceKind::Cuda { cuda::gpus().len() } else { 0 };
    jobs::check(arguments, visible.as_deref(), gpus)?;
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => default_out(arguments),
    };
    let job = Job { arguments, out, target: workspace::target_dir()?, lane: Lane::default() };
    let (plan, optimised) = job.plan()?;
    let inputs = inputs::of(&job, &job.chosen(&plan))?;
    inputs::table(&job, &inputs)?;
    if arguments.dry_run {
        return Ok(());
    }
    job.build()?;
    std::fs::create_dir_all(&job.out)
        .with_context(|| format!("creating folder {}", job.out.display()))?;
    write_plan(&job, &plan, &job.out.join(status::PLAN), start)?;
    // One run that fails takes only itself along.
    let mut failures = Failures::default();
    inputs::have(&job, &inputs, &job.chosen(&plan), &mut failures)?;
    let mut failures = jobs::run(&job, &job.chosen(&plan), failures)?;
    if !arguments.only.is_empty() {
        // What is shared belongs to the command for all runs, which may go on beside this one.
        say("the same command without --only makes the report of all runs");
        return failures.settle();
    }
    failures.note(OPTIMISED, optimise::optimise(&job, &optimised))?;
    let optimised = if failures.has(OPTIMISED) { Vec::new() } else { optimised };
    // With the time that it took.
    write_plan(&job, &plan, &job.out.join(status::PLAN), start)?;
    let mut there: Vec<Planned> =
        plan.into_iter().filter(|planned| planned.folder.is_dir()).collect();
    let inverts = job.targets().iter().any(|target| target.experiment() == Experiment::Inversion);
    if let Some(release) = arguments.reference.as_ref().filter(|_| inverts) {
        let layers = arguments.layers();
        there.extend(reference::measure(&job, release, &layers, &mut failures)?);
    }
    if !there.is_empty() {
        failures.note("report", job.report(&there, &optimised, start))?;
    }
    failures.settle()
}

/// What is inverted by optimisation, among what can fail.
const OPTIMISED: &str = "mahendran-vedaldi";

/// `out/SCALE` in the workspace, short where that is the current folder. A GPU's numbers are not
/// those of the CPU to the last bit, so its runs have a folder of their own.
fn default_out(arguments: &Arguments) -> PathBuf {
    let scale = arguments.scale.name();
    let out = Path::new("out").join(match arguments.device {
        DeviceKind::Cpu => scale.to_owned(),
        DeviceKind::Cuda => format!("{scale}-cuda"),
    });
    let here = std::env::current_dir().is_ok_and(|folder| folder == workspace::root());
    if here { out } else { workspace::root().join(out) }
}

impl Job<'_> {
    /// The runs that are to be made now.
    fn chosen<'p>(&self, plan: &'p [Planned]) -> Vec<&'p Planned> {
        let Arguments { only, from, .. } = self.arguments;
        let before = |run: &&Planned| from.as_ref().is_some_and(|from| run.run.name != *from);
        let wanted = |run: &&Planned| only.is_empty() || only.contains(&run.run.name);
        plan.iter().skip_while(before).filter(wanted).collect()
    }

    fn cores(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.arguments.threads.map_or_else(all, usize::from)
    }

    /// What estimates are for.
    fn machine(&self) -> Machine {
        match self.arguments.device {
            DeviceKind::Cpu => Machine::Cores(self.cores()),
            DeviceKind::Cuda => Machine::Gpu,
        }
    }

    /// `deepsim` with one of its commands.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(workspace::binary(&self.target, "deepsim"));
        command.arg(name);
        command
    }

    fn build(&self) -> Result<()> {
        say("== build");
        let mut command = workspace::cargo(&workspace::optimised("build"));
        command.args(["--bin", "deepsim"]).arg("--target-dir").arg(&self.target);
        if self.arguments.device == DeviceKind::Cuda {
            command.args(["--features", "deepsim/cuda"]);
            cuda::prepare(&mut command, None).context("--device cuda")?;
        }
        process::run(&mut command, "build")
    }

    /// What is to be done: runs, and layers that are inverted by optimisation.
    fn plan(&self) -> Result<(Vec<Planned>, Vec<Layer>)> {
        let (arguments, targets) = (self.arguments, self.targets());
        let work = Work::of(&targets, &arguments.layers(), &arguments.encoder());
        let known: Vec<&str> = work.runs.iter().map(|(run, _)| run.name.as_str()).collect();
        let named = arguments.only.iter().map(|name| ("--only", name));
        let mut named = named.chain(arguments.from.iter().map(|name| ("--from", name)));
        if let Some((option, name)) = named.find(|(_, name)| !known.contains(&name.as_str())) {
            let message = format!("{option} {name}: no such run; there are {}", known.join(", "));
            return Err(Failure::usage(message));
        }
        let look = |run: (_, _)| {
            let (wanted, folder) = self.wanted(&run)?;
            Planned::look(run, folder, &wanted)
        };
        let plan = work.runs.into_iter().map(look).collect::<Result<Vec<_>>>()?;
        let names: Vec<_> = targets.iter().map(|target| target.name()).collect();
        let scale = arguments.scale.name();
        say(&format!("== plan: {} at scale {scale}, in {}", names.join(" "), self.out.display()));
        for experiment in Experiment::ALL {
            if targets.iter().any(|target| target.experiment() == experiment) {
                let data = arguments.data(experiment).map(|folder| folder.display().to_string());
                let scenes = "built-in procedural scenes; numbers on them are not the paper's";
                let what = experiment.name();
                say(&format!("data, {what}: {}", data.unwrap_or_else(|| scenes.into())));
            }
        }
        say(&format!(
            "weights: {}",
            match arguments.weights() {
                Some(folder) => folder.display().to_string(),
                None => "none; comparators have random weights".into(),
            }
        ));
        say(&table(&self.chosen(&plan), self.machine(), arguments.jobs.into()));
        for layer in &work.optimised {
            let (pictures, _) = arguments.size(Experiment::Inversion)?.optimised;
            say(&format!("Mahendran & Vedaldi: {} of {pictures} pictures", layer.name()));
        }
        Ok((plan, work.optimised))
    }

    /// What a run must be, and its folder.
    fn wanted(&self, (run, _): &(Run, Vec<&'static str>)) -> Result<(Wanted, PathBuf)> {
        let wanted = Wanted {
            size: self.arguments.size(run.experiment)?,
            seed: self.arguments.seed,
            synthetic: self.arguments.data(run.experiment).is_none(),
        };
        Ok((wanted, self.out.join("runs").join(&run.name)))
    }

    /// The scale for reports: with overrides it is not the scale of that name any more.
    fn scale(&self) -> String {
        let name = self.arguments.scale.name();
        match self.arguments.sets().is_empty() {
            true => name.to_owned(),
            false => format!("{name}, changed by {}", self.arguments.sets().join(" ")),
        }
    }

    fn targets(&self) -> Vec<Target> {
        Target::expand(&self.arguments.targets)
    }

    /// Says where data and weights are and where to compute; both programs take these options.
    fn inputs(&self, experiment: Experiment, command: &mut Command) {
        let arguments = self.arguments;
        command.args(["--device", arguments.device.name()]);
        let (data, weights) = (arguments.data(experiment), arguments.weights());
        for (option, folder) in [("--data", data), ("--weights", weights)] {
            if let Some(folder) = folder {
                command.arg(option).arg(folder);
            }
        }
        if arguments.without_duplicates && experiment.on_stl10() {
            command.arg("--without-duplicates");
        }
    }

    /// Folder of what is inverted by optimisation.
    fn optimised_folder(&self) -> PathBuf {
        self.out.join("optimised")
    }

    fn threads(&self, command: &mut Command) {
        if let Some(threads) = self.lane.threads.or(self.arguments.threads) {
            command.arg("--threads").arg(threads.to_string());
        }
    }

    /// `deepsim train` with a recipe, that goes on with what is in the folder.
    fn trainer(&self, recipe: &str, out: &Path) -> Command {
        let recipes = workspace::root().join("crates/deepsim-train/recipes");
        let mut command = self.program("train");
        command.arg(recipes.join(recipe).with_extension("toml"));
        command.arg("--out").arg(out).arg("--resume");
        self.threads(&mut command);
        command
    }

    fn train(&self, planned: &Planned) -> Result<()> {
        let (run, size, arguments) = (&planned.run, planned.size, self.arguments);
        let done = if planned.state == State::Finished { ": finished earlier" } else { "" };
        say(&format!("== train {}{done}", run.label));
        let mut command = self.trainer(&run.recipe, &planned.folder);
        self.inputs(run.experiment, &mut command);
        let sets = [
            format!("steps={}", size.steps),
            format!("batch={}", size.batch),
            format!("seed={}", arguments.seed),
        ];
        let trained = Comparator::overrides(self, run);
        for set in run
            .sets
            .iter()
            .chain(&trained)
            .chain(&sets)
            .chain(arguments.sets().iter().filter(|set| run.takes(set)))
        {
            command.args(["--set", set]);
        }
        self.lane.take(&mut command, planned)?;
        process::run(&mut command, &format!("training {}", run.label)).inspect_err(|error| {
            if planned.state != State::New && process::exit_code(error) == 1 {
                process::complain(&format!(
                    "hint: {} already held a run. If it is one of another plan (scale, data, \
                     weights, seed, --set), choose another --out.",
                    planned.folder.display()
                ));
            }
        })
    }

    fn report(&self, plan: &[Planned], optimised: &[Layer], start: Instant) -> Result<()> {
        say("== report");
        let report = self.out.join("report");
        std::fs::create_dir_all(&report)
            .with_context(|| format!("creating folder {}", report.display()))?;
        let file = self.out.join(status::PLAN);
        let mut command = self.program("report");
        for planned in plan {
            let folder = planned.folder.display();
            command.arg("--run").arg(format!("{}={folder}", planned.run.label));
        }
        if !optimised.is_empty() {
            command.arg("--optimised").arg(self.optimised_folder());
        }
        for target in self.targets() {
            command.args(["--target", &target.name()]);
        }
        command.arg("--plan").arg(&file).arg("--out").arg(&report);
        process::run(&mut command, "report")?;
        let seconds = start.elapsed().as_secs_f64();
        say(&format!("report: {}", report.join("index.html").display()));
        say(&format!("numbers: {}", report.join("results.json").display()));
        say(&format!("total time: {:.1} minutes", seconds / 60.0));
        Ok(())
    }
}

/// What was asked for, for the report and for `cargo xtask status`.
fn write_plan(job: &Job<'_>, plan: &[Planned], file: &Path, start: Instant) -> Result<()> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let runs: Vec<_> = plan
        .iter()
        .map(|planned| {
            json!({
                "label": planned.run.label,
                "name": planned.run.name,
                "dir": planned.folder,
                "steps": planned.size.steps,
                "batch": planned.size.batch,
                "measures": planned.measures,
            })
        })
        .collect();
    let plan = json!({
        "targets": job.targets().iter().map(|target| target.name()).collect::<Vec<_>>(),
        "scale": job.scale(),
        "device": job.arguments.device.name(),
        "command": format!("cargo xtask {}", command.join(" ")),
        "seed": job.arguments.seed,
        "threads": job.cores(),
        "machine": machine(job.arguments.device),
        "comparators_seconds": Comparator::seconds(job),
        "price_per_hour": job.arguments.price_per_hour,
        "git_commit": workspace::git_commit(),
        "seconds": start.elapsed().as_secs_f64(),
        "dataset": null,
        "runs": runs,
    });
    write_atomic(file, serde_json::to_string_pretty(&plan)?.as_bytes())
}

/// What is computed on, as the system tells it.
fn machine(device: DeviceKind) -> Option<String> {
    match device {
        DeviceKind::Cpu => {
            let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
            let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
            Some(name.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        }
        DeviceKind::Cuda => {
            let gpus: Vec<_> = cuda::gpus().iter().map(ToString::to_string).collect();
            Some(gpus.join("; ")).filter(|gpus| !gpus.is_empty())
        }
    }
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}
