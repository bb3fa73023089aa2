//! Messages and progress of all crates, as bars, lines or JSON, and traces of where the time goes.
//!
//! Libraries tell by [`tracing`] alone. A span with a field `done` is a long operation: `total` is all there is to do,
//! `what` its name if that is not the span's, and `unit = "B"` says that both are bytes.
//!
//! | module | holds |
//! |---|---|
//! | [`bars`] | messages and progress bars on a terminal |
//! | [`lines`] | messages and progress in lines, elsewhere |
//! | [`fields`] | fields of spans and events |
//! | [`trace`] | the file of `--trace` |
//!
//! The bars are indicatif's own. The crate tracing-indicatif finds a bar by a handle of its span, which a library that
//! records a field does not pass on: a layer knows spans by their numbers only.

mod bars;
mod fields;
mod lines;
mod trace;

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, dynamic_filter_fn};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::exit::Failure;
use trace::Trace;

/// Target of the error that ends the program, which no filter hides.
const FAILURE: &str = "deepsim::failure";
/// Target of the steps of a training run.
const STEP: &str = "deepsim_train::step";
/// Name of the span around a training run.
const TRAINING: &str = "training";
/// Filter where `RUST_LOG` names none.
const DEFAULT: &str = "warn,deepsim=info";

/// Options of all commands.
#[derive(Args)]
pub(crate) struct Options {
    /// Form of messages and progress on standard error; json is one object per line. RUST_LOG chooses them
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = "Messages")]
    pub(crate) log_format: Format,
    /// Record where the time goes in this file, for chrome://tracing or ui.perfetto.dev
    #[arg(long, global = true, value_name = "FILE", help_heading = "Messages")]
    trace: Option<PathBuf>,
}

/// Form of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Starts to tell what happens, until the result is dropped: then the trace is whole.
///
/// # Errors
/// If `RUST_LOG` is malformed, or the file of the trace cannot be written.
pub(crate) fn start(options: &Options) -> Result<Option<Trace>> {
    let filter = filter(std::env::var("RUST_LOG"))?;
    let (trace, traced) = match &options.trace {
        Some(path) => Trace::start(path).map(|(layer, trace)| (Some(layer), Some(trace)))?,
        None => (None, None),
    };
    let told = told(options.log_format).with_filter(filter.and(
        dynamic_filter_fn(|event, _| !is_quiet(event)).with_max_level_hint(LevelFilter::TRACE),
    ));
    tracing_subscriber::registry().with(trace).with(told).try_init()?;
    Ok(traced)
}

/// Tells the error that ends the program.
pub(crate) fn failed(error: &anyhow::Error) {
    tracing::error!(target: FAILURE, "{error:#}");
}

/// True in a process that leaves talking to the first of several.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Tells errors only from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

fn is_quiet(event: &Metadata<'_>) -> bool {
    *event.level() > Level::ERROR && QUIET.load(Ordering::Relaxed)
}

/// The filter that a value of `RUST_LOG` describes.
fn filter(value: Result<String, std::env::VarError>) -> Result<EnvFilter> {
    let refuse = |found: String| {
        let message = format!("RUST_LOG: expected directives as {DEFAULT}, found {found}");
        anyhow::Error::from(Failure::usage(message))
    };
    let text = match value {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) | Err(std::env::VarError::NotPresent) => DEFAULT.into(),
        Err(std::env::VarError::NotUnicode(text)) => return Err(refuse(format!("{text:?}"))),
    };
    let filter = EnvFilter::builder().parse(&text);
    let filter = filter.map_err(|error| refuse(format!("`{text}` ({error})")))?;
    Ok(filter.add_directive(format!("{FAILURE}=error").parse()?))
}

/// The layer that tells people, or programs, what happens.
fn told<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        Format::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(stderr)
            .boxed(),
        Format::Text if stderr().is_terminal() => bars::Bars::default().boxed(),
        Format::Text => lines::Lines::default().boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::env::VarError;
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn filters_are_parsed_or_refused_with_code_2() {
        for good in ["", " ", "info", "deepsim_train=debug,warn", "off"] {
            let filter = filter(Ok(good.into())).expect(good).to_string();
            assert!(filter.contains("deepsim::failure=error"), "{good}: {filter}");
        }
        let default = filter(Err(VarError::NotPresent)).expect("the default").to_string();
        assert!(default.contains("deepsim=info") && default.contains("warn"), "{default}");
        let bad = [
            Ok("deepsim=loud".to_owned()),
            Ok("deepsim=info,,=".into()),
            Err(VarError::NotUnicode(OsString::from("x"))),
        ];
        for bad in bad {
            let error = filter(bad.clone()).expect_err("malformed");
            assert_eq!(super::super::exit::code(&error), 2, "{bad:?}");
            assert!(error.to_string().starts_with("RUST_LOG: expected directives"), "{error}");
        }
    }
}
