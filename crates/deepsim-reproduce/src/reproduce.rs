//! A reproduction: checks, plans, trains, measures, reports.

use std::collections::BTreeSet;
use std::time::Instant;

use deepsim_data::dataset::DataOptions;
use deepsim_nets::ComparatorKind;
use deepsim_run::cost::Cost;

use crate::ReproduceError;
use crate::catalogue::{ALEXNET, Experiment, INSTANCE, Layer, Run, Work};
use crate::comparators::Comparator;
use crate::failures::Failures;
use crate::host::Host;
use crate::inputs::{self, Input};
use crate::job::Job;
use crate::options::{Device, Options};
use crate::plan::{Planned, Wanted, table};
use crate::record::{RECORD, Record, RecordedRun};
use crate::report::{self, Entry};
use crate::{evaluate, jobs, labels, released, shipped};

/// Runs and inversions to make.
struct Plan {
    /// Description, in lines.
    lines: Vec<String>,
    runs: Vec<Planned>,
    /// Layers that are inverted by optimisation.
    optimised: Vec<Layer>,
    /// Inputs that the runs need first.
    inputs: BTreeSet<Input>,
}

/// Checks the options and returns the plan with its estimates, in lines; trains and writes nothing.
///
/// # Errors
/// If an option makes no sense, or a run folder holds another run.
pub fn plan(options: &Options, host: &Host<'_>) -> Result<String, ReproduceError> {
    Ok(Job::new(options, host)?.plan()?.lines.join("\n"))
}

/// Reproduces: trains and measures what is missing, and writes the report.
///
/// Finished runs are reused, interrupted ones resumed. One run that fails takes only itself along.
///
/// # Errors
/// As [`plan`], if a signal to stop came, or, after everything else was done, if something failed.
pub fn reproduce(options: &Options, host: &Host<'_>) -> Result<(), ReproduceError> {
    let start = Instant::now();
    let job = Job::new(options, host)?;
    let Plan { lines, runs, optimised, inputs } = job.plan()?;
    lines.iter().for_each(|line| tracing::info!("{line}"));
    let (chosen, out) = (job.chosen(&runs), &options.out);
    std::fs::create_dir_all(out).map_err(ReproduceError::io("creating folder", out))?;
    let record = || job.record(&runs, start).write(&out.join(RECORD));
    record()?;
    let mut failures = Failures::default();
    inputs::have(&job, &inputs, &chosen, &mut failures)?;
    let mut failures = jobs::run(&job, &chosen, failures)?;
    if !options.only.is_empty() {
        // The report belongs to the command for all runs, which may continue beside this one.
        tracing::info!("the same command without --only makes the report of all runs");
        return failures.settle();
    }
    failures.note(OPTIMISED, evaluate::optimise(&job, &optimised))?;
    let mut entries: Vec<Entry> = runs.iter().map(Planned::entry).collect();
    let inverts = job.targets.iter().any(|target| target.experiment == Experiment::Inversion);
    if let Some(release) = options.reference.as_ref().filter(|_| inverts) {
        let measured = released::measure(&job, release, &options.layers(), &mut failures)?;
        entries.extend(measured.iter().map(Planned::entry));
    }
    entries.retain(|entry| entry.folder.is_dir());
    if !entries.is_empty() {
        entries.extend(shipped::measure(&job, &mut failures)?.iter().map(Planned::entry));
    }
    // With the time that it took.
    record()?;
    if !entries.is_empty() {
        let optimised = !optimised.is_empty() && !failures.has(OPTIMISED);
        failures.note("report", job.report(&entries, optimised, start))?;
    }
    host.check("report")?;
    failures.settle()
}

/// Name of the inversion by optimisation among failures.
const OPTIMISED: &str = "mahendran-vedaldi";

impl Job<'_> {
    /// The runs that are to be made now.
    fn chosen<'p>(&self, runs: &'p [Planned]) -> Vec<&'p Planned> {
        let Options { only, from, .. } = self.options;
        let before = |run: &&Planned| from.as_ref().is_some_and(|from| run.run.id != *from);
        let wanted = |run: &&Planned| only.is_empty() || only.contains(&run.run.id);
        runs.iter().skip_while(before).filter(wanted).collect()
    }

    /// Settles what is to be done.
    fn plan(&self) -> Result<Plan, ReproduceError> {
        let options = self.options;
        let mut work = Work::of(&self.targets, &options.layers(), &options.encoder());
        let named = |id: &str| options.only.iter().chain(&options.from).any(|name| name == id);
        let replaced = if self.has_alexnet() { INSTANCE } else { ALEXNET };
        let has = |id: &str| work.runs.iter().any(|(run, _)| run.id == id);
        if has(ALEXNET) && has(INSTANCE) && !named(replaced) {
            work.runs.retain(|(run, _)| run.id != replaced);
        }
        let known: Vec<&str> = work.runs.iter().map(|(run, _)| run.id.as_str()).collect();
        let named = options.only.iter().map(|name| ("--only", name));
        let mut named = named.chain(options.from.iter().map(|name| ("--from", name)));
        if let Some((option, name)) = named.find(|(_, name)| !known.contains(&name.as_str())) {
            let message = format!("{option} {name}: no such run; there are {}", known.join(", "));
            return Err(ReproduceError::usage(message));
        }
        for (run, measures) in &mut work.runs {
            if self.unlabelled.contains_key(&run.experiment) {
                measures.retain(|measure| *measure != labels::MEASURE);
            }
        }
        let runs =
            work.runs.into_iter().map(|run| self.look(run)).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = self.targets.iter().map(|target| target.id).collect();
        let (scale, out) = (options.scale.name(), options.out.display());
        let mut lines = Vec::new();
        lines.push(format!("== plan: {} at scale {scale}, in {out}", names.join(" ")));
        for experiment in Experiment::ALL {
            if self.targets.iter().any(|target| target.experiment == experiment) {
                lines.push(format!("data, {}: {}", experiment.name(), data(options, experiment)));
            }
        }
        lines.extend(self.unlabelled.values().map(|reason| format!("left out: {reason}")));
        let weights = options.weights(self.host).map(|folder| folder.display().to_string());
        let weights = weights.unwrap_or_else(|| "none; comparators have random weights".into());
        lines.push(format!("weights: {weights}"));
        let chosen = self.chosen(&runs);
        lines.push(table(&chosen, self.machine(), options.jobs.into()));
        if options.only.is_empty() && shipped::are_measured(self) {
            lines.push("measured beside them: autoencoders that come with the project".into());
        }
        for layer in &work.optimised {
            let (images, _) = options.size(Experiment::Inversion)?.optimised;
            lines.push(format!("Mahendran & Vedaldi: {} of {images} images", layer.name()));
        }
        let inputs = inputs::of(self, &chosen);
        lines.extend(inputs::lines(self, &inputs)?);
        Ok(Plan { lines, runs, optimised: work.optimised, inputs })
    }

    /// Every run that the targets need, whether or not it is to be made now.
    #[cfg(test)]
    pub(crate) fn planned(&self) -> Result<Vec<Planned>, ReproduceError> {
        Ok(self.plan()?.runs)
    }

    /// True if AlexNet's weights are there, or will be.
    fn has_alexnet(&self) -> bool {
        let weights = self.options.weights(self.host);
        let fetched = self.options.fetch_to.is_some() && self.options.weights.is_none();
        fetched || ComparatorKind::alexnet().find_weights(weights.as_deref()).is_some()
    }

    /// Plans a run: how far it is, and its cost with the overrides of the command line.
    fn look(&self, (run, measures): (Run, Vec<&'static str>)) -> Result<Planned, ReproduceError> {
        let options = self.options;
        let wanted = Wanted {
            size: options.size(run.experiment)?.of(&run),
            seed: options.seed,
            synthetic: options.on_scenes(run.experiment),
        };
        let mut changed = run.clone();
        changed.overrides.extend(options.sets().into_iter().filter(|set| run.takes(set)));
        let cost = Cost::of(&changed.recipe()?)?;
        let folder = options.out.join("runs").join(&run.id);
        Planned::look((run, measures), cost, folder, &wanted)
    }

    /// The preset for reports: with overrides it is not the preset of that name any more.
    fn scale(&self) -> String {
        let name = self.options.scale.name();
        match self.options.sets().is_empty() {
            true => name.to_owned(),
            false => format!("{name}, changed by {}", self.options.sets().join(" ")),
        }
    }

    fn report(
        &self,
        entries: &[Entry],
        optimised: bool,
        start: Instant,
    ) -> Result<(), ReproduceError> {
        tracing::info!("== report");
        let report = self.options.out.join("report");
        let optimised = optimised.then(|| self.optimised_folder());
        let record = Record::read(&self.options.out.join(RECORD))?;
        let page = report::write(entries, optimised.as_deref(), &self.targets, &record, &report)?;
        tracing::info!("report: {}", page.display());
        tracing::info!("numbers: {}", report.join("results.json").display());
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        tracing::info!("total time: {minutes:.1} minutes");
        Ok(())
    }

    /// Collects what was asked for, for the report and the status.
    fn record(&self, runs: &[Planned], start: Instant) -> Record {
        let runs = runs.iter().map(|planned| RecordedRun {
            batch: planned.size.batch,
            dir: planned.folder.clone(),
            label: planned.run.label.clone(),
            measures: planned.measures.iter().map(|name| (*name).to_owned()).collect(),
            name: planned.run.id.clone(),
            steps: planned.size.steps,
        });
        Record {
            command: Some(self.host.command.clone()),
            comparators_seconds: Comparator::seconds(self),
            device: Some(self.options.device.name().to_owned()),
            git_commit: self.host.commit.clone(),
            machine: self.processor(),
            price_per_hour: self.options.price_per_hour,
            runs: runs.collect(),
            scale: Some(self.scale()),
            seconds: Some(start.elapsed().as_secs_f64()),
            seed: Some(self.options.seed),
            targets: self.targets.iter().map(|target| target.id.to_owned()).collect(),
            threads: Some(self.cores()),
            warnings: Vec::new(),
        }
    }

    /// Name of the processor or the GPUs.
    fn processor(&self) -> Option<String> {
        match self.options.device {
            Device::Cpu => {
                let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
                let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
                Some(name.trim_start_matches([' ', '\t', ':']).trim().to_owned())
            }
            Device::Cuda => Some(self.host.gpus.join("; ")).filter(|gpus| !gpus.is_empty()),
        }
    }
}

/// Describes the data of an experiment in the plan.
fn data(options: &Options, experiment: Experiment) -> String {
    let DataOptions { data, test, test_share, upright, cache, .. } =
        options.data_options(experiment);
    let Some(data) = data else {
        return "the photographs that come with the project; numbers on them are not the paper's"
            .into();
    };
    let words = [
        Some(data.display().to_string()),
        test.map(|test| format!("tested on {}", test.display())),
        test_share.map(|share| format!("a share of {share} held out")),
        upright.then(|| "turned upright".into()),
        cache.map(|folder| format!("kept in {}", folder.display())),
    ];
    words.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

impl Planned {
    /// Folder and label, for the report.
    fn entry(&self) -> Entry {
        Entry { label: self.run.label.clone(), folder: self.folder.clone() }
    }
}
