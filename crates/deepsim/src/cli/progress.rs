//! Progress of a training run: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use deepsim_run::log::Record;
use deepsim_train::run::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// Shows the events of a run.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    start: (Instant, u64),
    last_line: Option<Instant>,
}

impl Progress {
    const LINE_EVERY: Duration = Duration::from_secs(5);

    pub(crate) fn new() -> Self {
        Self { bar: None, steps: 0, start: (Instant::now(), 0), last_line: None }
    }

    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { heading, steps, from } => self.started(heading, *steps, *from),
            Event::Step(record) => self.step(record),
            Event::Warning(text) => match &self.bar {
                Some(bar) => bar.suspend(|| eprintln!("warning: {text}")),
                None => eprintln!("warning: {text}"),
            },
            Event::Saved(step) => {
                if self.bar.is_none() {
                    eprintln!("checkpoint at step {step}");
                }
            }
        }
    }

    fn started(&mut self, heading: &[String], steps: u64, from: u64) {
        heading.iter().for_each(|line| eprintln!("{line}"));
        if from > 0 {
            eprintln!("resuming after step {from}");
        }
        self.steps = steps;
        self.start = (Instant::now(), from);
        if std::io::stderr().is_terminal() {
            let style = "{bar:30} {pos}/{len} {elapsed}<{eta} {msg}";
            let bar = ProgressBar::new(steps).with_position(from);
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()),
            );
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, record: &Record) {
        let text = format!("{:.0} images/s {}", record.items_per_s, record.summary());
        if let Some(bar) = &self.bar {
            bar.set_position(record.step);
            bar.set_message(text);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= Self::LINE_EVERY);
        if due || record.step == self.steps {
            let (start, from) = self.start;
            let per_step = start.elapsed().as_secs_f64() / (record.step - from).max(1) as f64;
            let eta = per_step * (self.steps - record.step) as f64;
            eprintln!("step {}/{} ETA {eta:.0} s, {text}", record.step, self.steps);
            self.last_line = Some(Instant::now());
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
