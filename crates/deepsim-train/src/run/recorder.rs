//! Writer of the log, pictures and checkpoints of a run.

use std::path::{Path, PathBuf};
use std::time::Instant;

use deepsim_data::Cursor;
use deepsim_data::atomic::{clear_temporary, write_atomic};
use deepsim_run::Done;
use deepsim_run::files::{DONE, GRIDS, LOG};
use deepsim_run::log::Record;
use deepsim_run::recipe::OnFailedWrite;

use tracing::{Span, info, info_span, trace_span, warn};

use crate::TrainError;
use crate::run::log::{Log, record};
use crate::run::monitor::Monitor;
use crate::run::session::{LoopSetup, Session};
use crate::run::tensorboard::{EventFile, Value};
use crate::step::report::StepReport;
use crate::store::Store;

/// Files of a run, and the time of its beginning.
pub(crate) struct Recorder<'a> {
    setup: &'a LoopSetup<'a>,
    grids: PathBuf,
    log: Log,
    last: Option<Record>,
    events: EventFile,
    store: Store,
    monitor: Monitor,
    /// Beginning of this session, and the seconds that earlier ones took.
    start: (Instant, f64),
    /// Since the last line of the log, and the steps made meanwhile.
    window: (Instant, u64),
    /// Span of this session's steps.
    progress: Span,
}

impl<'a> Recorder<'a> {
    /// Takes the run folder for this process alone, clears away what a killed one left, and cuts back
    /// the log to `step`.
    pub(crate) fn open(setup: &'a LoopSetup<'a>, step: u64) -> Result<Self, TrainError> {
        let out = setup.out;
        let grids = out.join(GRIDS);
        std::fs::create_dir_all(&grids).map_err(TrainError::io("creating folder", &grids))?;
        let (log, last) = Log::open(&out.join(LOG), step)?;
        let store = Store::new(out, setup.output.keep.clone());
        store.clear()?;
        clear_temporary(out)?;
        clear_temporary(&grids)?;
        let events = EventFile::open(out, step)?;
        let start = (Instant::now(), last.as_ref().map_or(0.0, |record| record.seconds));
        let (monitor, window) = (Monitor::default(), (Instant::now(), 0));
        Ok(Self {
            setup,
            grids,
            log,
            last,
            events,
            store,
            monitor,
            start,
            window,
            progress: Span::none(),
        })
    }

    /// Announces that training starts after `step` steps.
    pub(crate) fn begin(&mut self, step: u64) -> Result<(), TrainError> {
        remove(&self.setup.out.join(DONE))?;
        for line in &self.setup.heading {
            info!("{line}");
        }
        if step > 0 {
            info!("resuming after step {step}");
        }
        self.progress = info_span!("training", total = self.setup.steps, done = step);
        let now = Instant::now();
        (self.start.0, self.window.0) = (now, now);
        Ok(())
    }

    /// Warns of what looks wrong after a step, and writes a line of the log, if one is due or the step was `validated`,
    /// and a picture where it is due.
    pub(crate) fn record(
        &mut self,
        session: &dyn Session,
        report: &StepReport,
        histograms: Vec<Value>,
        validated: bool,
    ) -> Result<(), TrainError> {
        let LoopSetup { steps, output, loader, .. } = self.setup;
        let step = report.step;
        self.progress.record("done", step);
        self.window.1 += 1;
        for text in self.monitor.observe(report) {
            let logged = self.log.warn(step, &text);
            self.settle(logged)?;
            warn!("{text}");
        }
        if validated || step == 1 || step.is_multiple_of(output.log_every) || step == *steps {
            let (since, made) = self.window;
            let samples = made * (loader.batch * loader.world) as u64;
            let speed = samples as f64 / since.elapsed().as_secs_f64().max(1e-9);
            self.window = (Instant::now(), 0);
            let record = record(report, self.seconds(), speed, self.last.as_ref());
            let logged = self.log(record);
            self.settle(logged)?;
            if let Some(record) = &self.last {
                let text = format!("{:.0} images/s {}", record.items_per_s, record.summary());
                let _entered = self.progress.enter();
                info!(target: "deepsim_train::step", step, steps = self.setup.steps, "{text}");
            }
        }
        if self.setup.pictured(step) {
            let drawn = self.draw(session, histograms);
            self.settle(drawn)?;
        }
        Ok(())
    }

    /// Writes a checkpoint of a run that continues.
    pub(crate) fn save_on_the_way(
        &self,
        session: &dyn Session,
        cursor: Cursor,
    ) -> Result<(), TrainError> {
        let saved = self.save(session, cursor);
        let whole = saved.is_ok();
        self.settle(saved)?;
        if whole {
            info!("checkpoint at step {}", session.steps());
        }
        Ok(())
    }

    /// The last checkpoint of this session, and that the run is finished if it is.
    pub(crate) fn end(
        &self,
        session: &dyn Session,
        cursor: Cursor,
        finished: bool,
    ) -> Result<(), TrainError> {
        self.save(session, cursor).map_err(|error| TrainError::Write(Box::new(error)))?;
        info!("checkpoint at step {}", session.steps());
        if finished {
            let (name, step, seconds) =
                (self.setup.name.to_owned(), session.steps(), self.seconds());
            let done = Done { name, step, seconds };
            write_atomic(&self.setup.out.join(DONE), done.to_json().as_bytes())?;
        }
        Ok(())
    }

    /// Seconds of all sessions so far.
    fn seconds(&self) -> f64 {
        let (start, earlier) = self.start;
        earlier + start.elapsed().as_secs_f64()
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
        let _span = trace_span!("picture").entered();
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
        let _span = trace_span!("checkpoint").entered();
        let mut numbers: std::collections::BTreeMap<String, f64> =
            self.last.iter().flat_map(Record::scalars).collect();
        // Equal runs write equal checkpoints, however fast they are.
        numbers.remove("items_per_s");
        // JSON has no others, and the best is none of them.
        numbers.retain(|_, number| number.is_finite());
        self.store.save(session.steps(), numbers, &|put| session.save(cursor, put))?;
        let (name, bytes) = session.product()?;
        Ok(write_atomic(&self.setup.out.join(name), &bytes)?)
    }

    /// Stops the run after a failure to write, or warns, as its recipe says.
    fn settle(&self, written: Result<(), TrainError>) -> Result<(), TrainError> {
        match (written, self.setup.output.on_failed_write) {
            (Ok(()), _) => Ok(()),
            (Err(error), OnFailedWrite::Stop) => Err(TrainError::Write(Box::new(error))),
            (Err(error), OnFailedWrite::Continue) => {
                warn!("{error}; training continues");
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
