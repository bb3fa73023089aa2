//! The loop of every run: batches in, steps, and from time to time a line of the log, a picture and a
//! checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use candle_core::Tensor;
use deepsim_data::atomic::{clear_temporary, write_atomic};
use deepsim_data::picture::Picture;
use deepsim_data::{Batch, Cursor, Loader, LoaderConfig, Source};
use deepsim_nets::Params;

use crate::TrainError;
use crate::error::NonFinite;
use crate::failure;
use crate::gradients::See;
use crate::log::{Log, Record};
use crate::recipe::{OnFailedWrite, OutputConfig};
use crate::run::{CHECKPOINT, DONE, Event, LOG, Outcome, Requests};
use crate::store::{Put, Store};
use crate::tensorboard::{EventFile, Value};
use crate::trainer::StepReport;
use crate::watch::Watch;

/// Something that is trained.
pub(crate) trait Session {
    /// Steps made.
    fn steps(&self) -> u64;

    /// One step; every gradient is shown to `see`.
    fn step(&mut self, batch: &Batch, see: &mut See<'_>) -> Result<StepReport, TrainError>;

    /// A picture that shows how far it is.
    fn draw(&self) -> Result<Picture, TrainError>;

    /// The networks that are trained, by name.
    fn networks(&self) -> Vec<(&'static str, &Params)>;

    /// Hands over the files of a checkpoint: all that a run needs to go on from here, and what it made
    /// so far.
    fn save(&self, cursor: Cursor, put: &mut Put<'_>) -> Result<(), TrainError>;

    /// What it made so far, as a file of the run folder: its name and bytes.
    fn product(&self) -> Result<(&'static str, Vec<u8>), TrainError>;
}

/// Where a run goes, and how far.
pub(crate) struct Course<'a> {
    /// The run folder, which exists.
    pub(crate) out: &'a Path,
    /// Name of the run.
    pub(crate) name: &'a str,
    /// What is trained on what, in a few lines.
    pub(crate) heading: Vec<String>,
    /// Steps of the whole run.
    pub(crate) steps: u64,
    /// What is learned from, one after the other.
    pub(crate) phases: Vec<Phase>,
    /// How batches are made.
    pub(crate) loader: LoaderConfig,
    /// What is written, and how often.
    pub(crate) output: &'a OutputConfig,
}

/// A part of a run with its own data.
pub(crate) struct Phase {
    /// Steps of the run after which it ends.
    pub(crate) until: u64,
    /// The data.
    pub(crate) source: Arc<dyn Source>,
}

/// The checkpoint file that the run in `out` goes on from, if there is one.
pub(crate) fn earlier(
    out: &Path,
    resume: bool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Option<PathBuf>, TrainError> {
    let search = Store::new(out, Default::default()).search()?;
    let Some(found) = search.newest else {
        return match search.broken.into_iter().next() {
            None => Ok(None),
            Some(broken) => Err(TrainError::Checkpoint {
                path: broken.folder,
                reason: format!("{}; there is no other that is whole", broken.reason),
            }),
        };
    };
    if !resume {
        return Err(TrainError::Folder {
            path: out.into(),
            reason: format!(
                "it holds a run at step {}; continue it with --resume or choose another folder",
                found.manifest.step
            ),
        });
    }
    for broken in &search.broken {
        let (folder, step) = (broken.folder.display(), found.manifest.step);
        let text = format!("{folder} is broken, going on from step {step}: {}", broken.reason);
        tell(Event::Warning(&text));
    }
    Ok(Some(found.folder.join(CHECKPOINT)))
}

/// Trains until all steps are made or a stop is requested.
pub(crate) fn drive(
    session: &mut dyn Session,
    course: &Course<'_>,
    mut cursor: Cursor,
    requests: &Requests,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let Course { out, steps, output, .. } = *course;
    let mut files = Files::open(course, session.steps())?;
    let earlier_seconds = files.last.as_ref().map_or(0.0, |record| record.seconds);
    if session.steps() >= steps && out.join(DONE).exists() {
        return Ok(Outcome::Finished);
    }
    remove(&out.join(DONE))?;

    tell(Event::Started { heading: &course.heading, steps, from: session.steps() });
    let start = Instant::now();
    let (mut window, mut window_steps) = (Instant::now(), 0u64);
    let mut batches: Option<Loader> = None;
    let mut watch = Watch::default();
    while session.steps() < steps && !requests.stop.load(Ordering::Relaxed) {
        let empty = || TrainError::recipe("the data set is empty");
        let phase = course.phases.iter().find(|phase| session.steps() < phase.until);
        let phase = phase.ok_or_else(empty)?;
        let loader = match &mut batches {
            Some(loader) => loader,
            none => none.insert(Loader::new(phase.source.clone(), course.loader, cursor)?),
        };
        let batch = loader.next().ok_or_else(empty)??;
        let pictured = |step: u64| step.is_multiple_of(output.grid_every) || step == steps;
        let looked_at = pictured(session.steps() + 1);
        let mut histograms = Vec::new();
        let mut see = |net: &str, name: &str, gradient: &Tensor| {
            if looked_at {
                let values = gradient.flatten_all()?.to_vec1::<f32>()?;
                histograms.push(Value::histogram(&format!("gradients/{net}/{name}"), &values));
            }
            Ok(())
        };
        let report = match session.step(&batch, &mut see) {
            Err(TrainError::NonFinite(found)) => {
                return Err(TrainError::NonFinite(explained(found, out, session, cursor, &batch)));
            }
            other => other?,
        };
        cursor = batch.next;
        window_steps += 1;

        let step = report.step;
        for text in watch.see(&report) {
            let logged = files.log.warn(step, &text);
            files.settle(logged, tell)?;
            tell(Event::Warning(&text));
        }
        if step == phase.until {
            (cursor, batches) = (Cursor::default(), None);
        }
        let last = step == steps;
        if step == 1 || step.is_multiple_of(output.log_every) || last {
            let speed = (window_steps * course.loader.batch as u64) as f64
                / window.elapsed().as_secs_f64().max(1e-9);
            (window, window_steps) = (Instant::now(), 0);
            let seconds = earlier_seconds + start.elapsed().as_secs_f64();
            let record = Record::new(&report, seconds, speed, files.last.as_ref());
            let logged = files.log(record);
            files.settle(logged, tell)?;
            if let Some(record) = &files.last {
                tell(Event::Step(record));
            }
        }
        if pictured(step) {
            let drawn = files.draw(session, histograms);
            files.settle(drawn, tell)?;
        }
        let asked = requests.save.swap(false, Ordering::Relaxed);
        if (asked || step.is_multiple_of(output.checkpoint_every)) && !last {
            let saved = files.save(session, cursor);
            let whole = saved.is_ok();
            files.settle(saved, tell)?;
            if whole {
                tell(Event::Saved(step));
            }
        }
    }

    files.save(session, cursor).map_err(|error| TrainError::Write(Box::new(error)))?;
    tell(Event::Saved(session.steps()));
    if session.steps() < steps {
        return Ok(Outcome::Interrupted(session.steps()));
    }
    let done = serde_json::json!({
        "name": course.name,
        "step": session.steps(),
        "seconds": earlier_seconds + start.elapsed().as_secs_f64(),
    });
    write_atomic(&out.join(DONE), done.to_string().as_bytes())?;
    Ok(Outcome::Finished)
}

/// What is known of a step that was undone, with all that is needed to make it again.
fn explained(
    mut found: Box<NonFinite>,
    out: &Path,
    session: &dyn Session,
    cursor: Cursor,
    batch: &Batch,
) -> Box<NonFinite> {
    found.batch = batch.samples.iter().map(|sample| sample.index).collect();
    // If the disk is full as well, the loss is still what must be told.
    found.reproducer = failure::keep(out, session, cursor, batch).ok();
    found
}

/// What a run writes to.
struct Files<'a> {
    out: &'a Path,
    grids: PathBuf,
    log: Log,
    last: Option<Record>,
    events: EventFile,
    store: Store,
    on_failed_write: OnFailedWrite,
}

impl<'a> Files<'a> {
    /// Takes the run folder for this process alone, clears away what a killed one left, and cuts back
    /// the log to `step`.
    fn open(course: &Course<'a>, step: u64) -> Result<Self, TrainError> {
        let out = course.out;
        let grids = out.join("grids");
        std::fs::create_dir_all(&grids).map_err(TrainError::io("creating folder", &grids))?;
        let (log, last) = Log::open(&out.join(LOG), step)?;
        let store = Store::new(out, course.output.keep.clone());
        store.clear()?;
        clear_temporary(out)?;
        clear_temporary(&grids)?;
        let events = EventFile::open(out, step)?;
        let on_failed_write = course.output.on_failed_write;
        Ok(Self { out, grids, log, last, events, store, on_failed_write })
    }

    /// Appends a record to the log, and its numbers to the events.
    fn log(&mut self, record: Record) -> Result<(), TrainError> {
        let values: Vec<Value> =
            record.scalars().iter().map(|(name, x)| Value::scalar(name, *x)).collect();
        let logged = self.log.append(&record);
        let step = record.step;
        self.last = Some(record);
        logged?;
        self.events.append(step, &values)
    }

    /// A picture of the run as it is, how its weights are distributed, and what `values` say.
    fn draw(&mut self, session: &dyn Session, mut values: Vec<Value>) -> Result<(), TrainError> {
        let step = session.steps();
        let picture = session.draw()?;
        let png = picture.to_png()?;
        write_atomic(&self.grids.join(format!("step-{step:07}.png")), &png)?;
        values.push(Value::picture("grid", &png, picture.height, picture.width));
        for (net, params) in session.networks() {
            for (name, var) in params.iter() {
                let weights = var.flatten_all()?.to_vec1::<f32>()?;
                values.push(Value::histogram(&format!("weights/{net}/{name}"), &weights));
            }
        }
        self.events.append(step, &values)
    }

    /// A checkpoint, and then what the run made so far for those who use it: at worst that is older
    /// than the checkpoint.
    fn save(&self, session: &dyn Session, cursor: Cursor) -> Result<(), TrainError> {
        let mut numbers: std::collections::BTreeMap<String, f64> =
            self.last.iter().flat_map(Record::scalars).collect();
        // Equal runs write equal checkpoints, however fast they are.
        numbers.remove("items_per_s");
        self.store.save(session.steps(), numbers, &|put| session.save(cursor, put))?;
        let (name, bytes) = session.product()?;
        Ok(write_atomic(&self.out.join(name), &bytes)?)
    }

    /// What a failure to write means to this run.
    fn settle(
        &self,
        written: Result<(), TrainError>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainError> {
        match (written, self.on_failed_write) {
            (Ok(()), _) => Ok(()),
            (Err(error), OnFailedWrite::Stop) => Err(TrainError::Write(Box::new(error))),
            (Err(error), OnFailedWrite::Continue) => {
                tell(Event::Warning(&format!("{error}; training goes on")));
                Ok(())
            }
        }
    }
}

fn remove(path: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::io("removing", path)(e))
        }
        _ => Ok(()),
    }
}
