//! Messages and progress that libraries tell by `tracing`, for tests.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Progress of a long operation: its name, what is done, and all there is to do, if that is known.
    Progress(String, u64, Option<u64>),
    /// A message.
    Message(Level, String),
}

impl Told {
    /// The text of a warning.
    pub(crate) fn warning(self) -> Option<String> {
        match self {
            Self::Message(Level::WARN, text) => Some(text),
            _ => None,
        }
    }
}

/// Does some work and shows `see` at once what it tells in this thread.
pub(crate) fn hear<T>(see: impl Fn(Told) + Send + Sync + 'static, work: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(Ear(see));
    tracing::subscriber::with_default(subscriber, || {
        enable_all();
        work()
    })
}

/// Enables spans and events that other tests are registering right now. Without a subscriber of their own they
/// disable them for all threads, and a subscriber that is made at that very moment does not notice.
fn enable_all() {
    std::thread::sleep(std::time::Duration::from_millis(20));
    // A new subscriber has all of them looked at again.
    drop(tracing::Dispatch::new(tracing_subscriber::registry()));
}

/// Does some work and returns what it told in this thread.
pub(crate) fn heard<T>(work: impl FnOnce() -> T) -> (T, Vec<Told>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let to = all.clone();
    let result = hear(move |told| to.lock().expect("no panic").push(told), work);
    let all = std::mem::take(&mut *all.lock().expect("no panic"));
    (result, all)
}

struct Ear<F>(F);

#[derive(Clone, Default)]
struct Fields {
    message: String,
    what: Option<String>,
    total: Option<u64>,
    done: Option<u64>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "total" => self.total = Some(value),
            "done" => self.done = Some(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => self.what = Some(value.to_owned()),
            name => assert_ne!(name, "message", "messages are formatted"),
        }
    }
}

impl<S, F> Layer<S> for Ear<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn(Told) + Send + Sync + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).expect("a new span");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("a span");
        let fields = {
            let mut extensions = span.extensions_mut();
            let fields = extensions.get_mut::<Fields>().expect("its fields");
            values.record(fields);
            fields.clone()
        };
        if let Some(done) = fields.done {
            let name = fields.what.unwrap_or_else(|| span.name().to_owned());
            (self.0)(Told::Progress(name, done, fields.total));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        (self.0)(Told::Message(*event.metadata().level(), fields.message));
    }
}
