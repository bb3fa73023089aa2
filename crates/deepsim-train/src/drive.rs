//! The loop of every run: batches in, steps, and from time to time a line of the log, a picture and a
//! checkpoint.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use deepsim_data::atomic::write_atomic;
use deepsim_data::{Batch, Cursor, Loader, LoaderConfig, Source};

use crate::TrainError;
use crate::log::{Log, Record};
use crate::recipe::OutputConfig;
use crate::run::{DONE, Event, LOG, Outcome};
use crate::tensorboard::EventFile;
use crate::trainer::StepReport;

/// Something that is trained.
pub(crate) trait Session {
    /// Steps made.
    fn steps(&self) -> u64;

    /// One step.
    fn step(&mut self, batch: &Batch) -> Result<StepReport, TrainError>;

    /// Writes a PNG that shows how far it is.
    fn draw(&self, path: &Path) -> Result<(), TrainError>;

    /// Writes all that a run needs to go on from here, and what it made so far.
    fn save(&self, out: &Path, cursor: Cursor) -> Result<(), TrainError>;
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
    pub(crate) output: OutputConfig,
}

/// A part of a run with its own data.
pub(crate) struct Phase {
    /// Steps of the run after which it ends.
    pub(crate) until: u64,
    /// The data.
    pub(crate) source: Arc<dyn Source>,
}

/// Trains until all steps are made or `stop` is set.
pub(crate) fn drive(
    session: &mut dyn Session,
    course: &Course<'_>,
    mut cursor: Cursor,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let Course { out, steps, output, .. } = *course;
    let grids = out.join("grids");
    std::fs::create_dir_all(&grids).map_err(TrainError::io("creating folder", &grids))?;
    let (mut log, last) = Log::open(&out.join(LOG), session.steps())?;
    let earlier_seconds = last.map_or(0.0, |record| record.seconds);
    if session.steps() >= steps && out.join(DONE).exists() {
        return Ok(Outcome::Finished);
    }
    remove(&out.join(DONE))?;
    let mut events = EventFile::create(out)?;

    tell(Event::Started { heading: &course.heading, steps, from: session.steps() });
    let start = Instant::now();
    let (mut window, mut window_steps) = (Instant::now(), 0u64);
    let mut batches: Option<Loader> = None;
    while session.steps() < steps && !stop.load(Ordering::Relaxed) {
        let empty = || TrainError::recipe("the data set is empty");
        let phase = course.phases.iter().find(|phase| session.steps() < phase.until);
        let phase = phase.ok_or_else(empty)?;
        let loader = match &mut batches {
            Some(loader) => loader,
            none => none.insert(Loader::new(phase.source.clone(), course.loader, cursor)?),
        };
        let batch = loader.next().ok_or_else(empty)??;
        let report = session.step(&batch)?;
        cursor = batch.next;
        window_steps += 1;

        let step = report.step;
        if step == phase.until {
            (cursor, batches) = (Cursor::default(), None);
        }
        let last = step == steps;
        if step == 1 || step.is_multiple_of(output.log_every) || last {
            let speed = (window_steps * course.loader.batch as u64) as f64
                / window.elapsed().as_secs_f64().max(1e-9);
            (window, window_steps) = (Instant::now(), 0);
            let seconds = earlier_seconds + start.elapsed().as_secs_f64();
            let record = Record::new(&report, seconds, speed);
            log.append(&record)?;
            events.scalars(step, &record.scalars())?;
            tell(Event::Step(&record));
        }
        if step.is_multiple_of(output.grid_every) || last {
            session.draw(&grids.join(format!("step-{step:07}.png")))?;
        }
        if step.is_multiple_of(output.checkpoint_every) && !last {
            session.save(out, cursor)?;
            tell(Event::Saved(step));
        }
    }

    session.save(out, cursor)?;
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

fn remove(path: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::io("removing", path)(e))
        }
        _ => Ok(()),
    }
}
