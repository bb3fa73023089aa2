//! The file of `--trace`: spans of all threads in Chrome's format.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tracing::{Level, Subscriber};
use tracing_chrome::{ChromeLayerBuilder, EventOrSpan, FlushGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Message;

/// A trace that is being written; it is whole once this is dropped.
pub(crate) struct Trace {
    path: PathBuf,
    guard: Option<FlushGuard>,
    failure: Failure,
}

/// The error that ended a trace before its time.
type Failure = Arc<Mutex<Option<std::io::Error>>>;

impl Trace {
    /// Opens the file; the layer records all spans of our crates in it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn start<S>(path: &Path) -> Result<(impl Layer<S> + use<S>, Self)>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let path = of_this_process(path, |name| std::env::var(name).ok());
        let file = File::create(&path).with_context(|| format!("--trace {}", path.display()))?;
        let failure = Failure::default();
        let writer = Writer { file, failure: failure.clone() };
        let name = |entry: &EventOrSpan<'_, '_, S>| match entry {
            EventOrSpan::Event(event) => Message::of(event).text,
            EventOrSpan::Span(span) => span.name().to_owned(),
        };
        let builder = ChromeLayerBuilder::new().writer(writer).include_args(true);
        let (layer, guard) = builder.name_fn(Box::new(name)).build();
        let ours = Targets::new().with_target("deepsim", Level::TRACE);
        Ok((layer.with_filter(ours), Self { path, guard: Some(guard), failure }))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        drop(self.guard.take());
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = failure {
            tracing::warn!("--trace {}: {error}; the trace is not whole", self.path.display());
        }
    }
}

/// Writes up to the first error, and keeps that: tracing-chrome panics of one.
struct Writer {
    file: File,
    failure: Failure,
}

impl Writer {
    fn unless_failed(&self, write: impl FnOnce(&File) -> std::io::Result<()>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = write(&self.file).err();
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unless_failed(|mut file| file.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.unless_failed(|mut file| file.flush());
        Ok(())
    }
}

/// The file of this process: all that a launcher started have the same options. The first has the file that is named,
/// process 3 of `trace.json` has `trace.json.3`.
fn of_this_process(path: &Path, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let ranks = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "RANK"];
    let rank = ranks.iter().find_map(|name| variable(name)?.trim().parse::<usize>().ok());
    match rank {
        None | Some(0) => path.to_path_buf(),
        Some(rank) => {
            let mut path = path.as_os_str().to_owned();
            path.push(format!(".{rank}"));
            path.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_file_of_its_own() {
        let of = |rank: &'static str| {
            let variable = move |name: &str| (name == "RANK").then(|| rank.to_owned());
            of_this_process(Path::new("a/t.json"), variable)
        };
        assert_eq!(of_this_process(Path::new("a/t.json"), |_| None), Path::new("a/t.json"));
        assert_eq!(of("0"), Path::new("a/t.json"));
        assert_eq!(of("3"), Path::new("a/t.json.3"));
        assert_eq!(of("first"), Path::new("a/t.json"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_ends_the_trace_and_not_the_program() {
        let (layer, trace) = Trace::start(Path::new("/dev/full")).expect("a file");
        let subscriber =
            tracing_subscriber::layer::SubscriberExt::with(tracing_subscriber::registry(), layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace_span!(target: "deepsim", "work").in_scope(|| {});
        });
        let failure = trace.failure.clone();
        let mut trace = trace;
        drop(trace.guard.take());
        let error = failure.lock().expect("no panic").take().expect("a full disk");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}
