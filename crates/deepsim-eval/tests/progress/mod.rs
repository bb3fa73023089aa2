//! A subscriber that takes down the progress and the warnings that the library emits.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span, in the order of their beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Name that is shown: the field `what`, or else the span's.
    pub(crate) what: String,
    /// Number of steps there are; `None` for what is no progress.
    pub(crate) total: Option<u64>,
    /// Values of `done`, in order.
    pub(crate) done: Vec<u64>,
    /// Text of an event at this place, e.g. of a warning.
    pub(crate) message: String,
}

impl Visit for Progress {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "total" => self.total = Some(value),
            "done" => self.done.push(value),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "what" {
            self.what = value.into();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Progress>>>);

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Progress { what: attributes.metadata().name().into(), ..Default::default() };
        attributes.record(&mut span);
        let mut all = self.0.lock().expect("no panic before");
        all.push(span);
        Id::from_u64(all.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let at = span.into_u64() as usize - 1;
        values.record(&mut self.0.lock().expect("no panic before")[at]);
    }

    fn event(&self, event: &Event<'_>) {
        let mut taken =
            Progress { what: event.metadata().level().to_string(), ..Default::default() };
        event.record(&mut taken);
        self.0.lock().expect("no panic before").push(taken);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs something; returns its result, and what it emitted.
pub(crate) fn recorded<T>(work: impl FnOnce() -> T) -> (T, Vec<Progress>) {
    let recorder = Recorder::default();
    let result = tracing::subscriber::with_default(recorder.clone(), || {
        // Other tests may be registering spans right now, without a subscriber, which disables them for all threads.
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(tracing::Dispatch::new(Recorder::default()));
        work()
    });
    let taken = recorder.0.lock().expect("no panic before").clone();
    (result, taken)
}
