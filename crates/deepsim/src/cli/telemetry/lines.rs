//! Messages and progress where there is no terminal: lines on standard error.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Message, Operation};
use super::{STEP, TRAINING};

/// Time between two lines about one operation.
const EVERY: Duration = Duration::from_secs(5);

/// The layer that writes lines.
pub(super) struct Lines<W = std::io::Stderr> {
    out: Mutex<W>,
    every: Duration,
}

impl Default for Lines {
    fn default() -> Self {
        Self::to(std::io::stderr(), EVERY)
    }
}

impl<W: Write> Lines<W> {
    fn to(out: W, every: Duration) -> Self {
        Self { out: Mutex::new(out), every }
    }

    fn line(&self, text: &str) {
        // Nobody is left to tell that nobody listens.
        let _ = writeln!(self.out.lock().unwrap_or_else(PoisonError::into_inner), "{text}");
    }
}

/// An operation, when it began after how much, and when there was a line about it.
struct Told {
    operation: Operation,
    start: (Instant, u64),
    last: Option<Instant>,
}

impl Told {
    /// True if the last line, or the beginning, is `every` ago; a line follows.
    fn due(&mut self, every: Duration) -> bool {
        let due = self.last.unwrap_or(self.start.0).elapsed() >= every;
        if due {
            self.last = Some(Instant::now());
        }
        due
    }

    /// A line about a step of training, if one is due.
    fn step(&mut self, message: &Message, every: Duration) -> Option<String> {
        let Message { text, step, steps } = message;
        let due = self.last.is_none_or(|last| last.elapsed() >= every);
        if !due && step != steps {
            return None;
        }
        self.last = Some(Instant::now());
        let (start, from) = self.start;
        let per_step = start.elapsed().as_secs_f64() / step.saturating_sub(from).max(1) as f64;
        let eta = per_step * steps.saturating_sub(*step) as f64;
        Some(format!("step {step}/{steps} ETA {}, {text}", duration(eta)))
    }
}

/// Writes seconds in the two largest units that they fill, e.g. `4 min 10 s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let (Some(operation), Some(span)) = (Operation::of(attributes), context.span(id)) else {
            return;
        };
        let start = (Instant::now(), operation.done.unwrap_or_default());
        span.extensions_mut().insert(Told { operation, start, last: None });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(told) = extensions.get_mut::<Told>() else { return };
        values.record(&mut told.operation);
        if span.name() == TRAINING || !told.due(self.every) {
            return;
        }
        let Operation { what, total, done, bytes } = &told.operation;
        let amount = |amount: u64| match bytes {
            true => HumanBytes(amount).to_string(),
            false => amount.to_string(),
        };
        let done = amount(done.unwrap_or_default());
        match total {
            Some(total) => self.line(&format!("{what}: {done}/{}", amount(*total))),
            None => self.line(&format!("{what}: {done}")),
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let message = Message::of(event);
        if event.metadata().target() == STEP {
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(told) = span.extensions_mut().get_mut::<Told>() {
                    return told.step(&message, self.every).iter().for_each(|line| self.line(line));
                }
            }
        }
        self.line(&message.line(event));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        let Some(Told { operation, .. }) = extensions.get::<Told>() else { return };
        let Operation { what, total: Some(total), done, bytes } = operation else { return };
        if *done == Some(*total) && span.name() != TRAINING {
            match bytes {
                true => self.line(&format!("{what}: {}", HumanBytes(*total))),
                false => self.line(&format!("{what}: {total}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::field::Empty;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Lines that are written about some work.
    fn lines(every: Duration, work: impl FnOnce()) -> Vec<String> {
        let out = Shared::default();
        let subscriber = tracing_subscriber::registry().with(Lines::to(out.clone(), every));
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(out.0.lock().expect("no panic").clone()).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    const NEVER: Duration = Duration::MAX;
    const ALWAYS: Duration = Duration::ZERO;

    #[test]
    fn a_long_operation_has_a_line_now_and_then_and_one_at_its_end() {
        let work = || {
            let span = tracing::info_span!("counting", total = 2_u64, done = Empty).entered();
            span.record("done", 1_u64);
            span.record("done", 2_u64);
        };
        assert_eq!(lines(NEVER, work), ["counting: 2"]);
        assert_eq!(lines(ALWAYS, work), ["counting: 1/2", "counting: 2/2", "counting: 2"]);
        let interrupted = || {
            let total = Some(2048_u64);
            let what = "receiving x".to_owned();
            let span = tracing::info_span!("receiving", what, unit = "B", total, done = 1_u64);
            span.record("done", 1024_u64);
        };
        assert_eq!(lines(NEVER, interrupted), [""; 0], "it is not complete");
        assert_eq!(lines(ALWAYS, interrupted), ["receiving x: 1.00 KiB/2.00 KiB"]);
        let unknown = || {
            let total = None::<u64>;
            let span = tracing::info_span!("receiving", unit = "B", total, done = Empty);
            span.record("done", 10_u64);
        };
        assert_eq!(lines(ALWAYS, unknown), ["receiving: 10 B"]);
        assert_eq!(lines(ALWAYS, || drop(tracing::info_span!("no operation"))), [""; 0]);
    }

    #[test]
    fn time_is_in_units_that_people_use() {
        for (seconds, words) in [
            (0.4, "0 s"),
            (59.6, "1 min 0 s"),
            (250.0, "4 min 10 s"),
            (3600.0, "1 h 0 min"),
            (86_399.0, "23 h 59 min"),
            (200_000.0, "2 d 7 h"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }

    #[test]
    fn messages_have_their_level() {
        let told = lines(NEVER, || {
            tracing::info!("number {}", 1);
            tracing::warn!("number 2");
            tracing::error!("number 3");
        });
        assert_eq!(told, ["number 1", "warning: number 2", "error: number 3"]);
    }

    #[test]
    fn steps_have_the_time_that_is_left_and_the_last_one_is_told() {
        let work = || {
            let span = tracing::info_span!("training", total = 30_u64, done = 10_u64).entered();
            for step in 11..=30_u64 {
                span.record("done", step);
                tracing::info!(target: STEP, step, steps = 30_u64, "9 images/s");
            }
        };
        assert_eq!(
            lines(NEVER, work),
            ["step 11/30 ETA 0 s, 9 images/s", "step 30/30 ETA 0 s, 9 images/s"]
        );
        assert_eq!(lines(ALWAYS, work).len(), 20);
        let alone = || tracing::info!(target: STEP, step = 1_u64, steps = 2_u64, "no span");
        assert_eq!(lines(NEVER, alone), ["no span"]);
    }
}
