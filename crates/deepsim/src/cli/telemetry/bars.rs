//! Messages and progress on a terminal: a bar for each long operation, and lines above them.

use std::io::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Message, Operation};
use super::{STEP, TRAINING};

/// The layer that draws.
#[derive(Default)]
pub(super) struct Bars {
    all: MultiProgress,
}

impl<S> Layer<S> for Bars
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(operation), Some(span)) = (Operation::of(attributes), context.span(id)) else {
            return;
        };
        let style = style(&operation, span.name());
        let bar = match operation.total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = bar.with_style(style).with_prefix(operation.what);
        // Without this, an earlier run's share counts as done in no time.
        let bar = bar.with_position(operation.done.unwrap_or_default());
        bar.reset_eta();
        let bar = self.all.add(bar);
        bar.tick();
        span.extensions_mut().insert(bar);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let Some(bar) = extensions.get::<ProgressBar>() else { return };
        let mut operation = Operation::default();
        values.record(&mut operation);
        operation.total.into_iter().for_each(|total| bar.set_length(total));
        operation.done.into_iter().for_each(|done| bar.set_position(done));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let message = Message::of(event);
        if event.metadata().target() == STEP {
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(bar) = span.extensions().get::<ProgressBar>() {
                    return bar.set_message(message.text);
                }
            }
        }
        let line = message.line(event);
        // Nobody is left to tell that nobody listens.
        let _ = self.all.suspend(|| writeln!(std::io::stderr(), "{line}"));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(bar) = span.extensions_mut().remove::<ProgressBar>() else { return };
        match span.name() {
            // The last position stays to be read.
            TRAINING => bar.abandon(),
            _ => bar.finish_and_clear(),
        }
    }
}

/// Look of an operation's bar.
fn style(operation: &Operation, name: &str) -> ProgressStyle {
    let template = match (operation.bytes, operation.total) {
        _ if name == TRAINING => "{bar:30} {pos}/{len} {elapsed}<{eta} {msg}",
        (true, Some(_)) => {
            "{prefix} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        }
        (true, None) => "{prefix} {bytes}, {bytes_per_sec}",
        (false, Some(_)) => "{prefix} {bar:30} {pos}/{len} {elapsed}<{eta}",
        (false, None) => "{prefix} {pos} {elapsed}",
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if operation.bytes { style.progress_chars("=> ") } else { style }
}
