//! Fields of spans and events that people are shown.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Level};

/// Long operation, by the fields of its span.
#[derive(Clone, Debug, Default)]
pub(super) struct Operation {
    pub(super) what: String,
    pub(super) total: Option<u64>,
    pub(super) done: Option<u64>,
    pub(super) bytes: bool,
}

impl Operation {
    /// The operation that a new span stands for, if it is one.
    pub(super) fn of(span: &Attributes<'_>) -> Option<Self> {
        span.metadata().fields().field("done")?;
        let mut operation = Self { what: span.metadata().name().into(), ..Self::default() };
        span.record(&mut operation);
        Some(operation)
    }
}

impl Visit for Operation {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "total" => self.total = Some(value),
            "done" => self.done = Some(value),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => value.clone_into(&mut self.what),
            "unit" => self.bytes = value == "B",
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "what" {
            self.what = format!("{value:?}");
        }
    }
}

/// Message of an event, and the step that it is about.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) step: u64,
    pub(super) steps: u64,
}

impl Message {
    /// The message of an event.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut message = Self::default();
        event.record(&mut message);
        message
    }

    /// The text for people, with the level of the event if that is not `INFO`.
    pub(super) fn line(&self, event: &Event<'_>) -> String {
        let text = &self.text;
        match *event.metadata().level() {
            Level::ERROR => format!("error: {text}"),
            Level::WARN => format!("warning: {text}"),
            Level::INFO => text.clone(),
            Level::DEBUG => format!("debug: {text}"),
            Level::TRACE => format!("trace: {text}"),
        }
    }
}

impl Visit for Message {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "step" => self.step = value,
            "steps" => self.steps = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.text);
        }
    }
}
