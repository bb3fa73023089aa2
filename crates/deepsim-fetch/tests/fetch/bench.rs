//! A folder, a clock that does not wait, and an artifact to fetch.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deepsim_fetch::{
    Artifact, Clock, FetchError, Fetched, Fetcher, Options, Retry, Sums, Timeouts,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hear::{Told, hear};

/// Nobody asks to stop.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// 300,000 bytes that look random: more than two pieces of a transfer.
pub(crate) fn content() -> Vec<u8> {
    noise(300_000)
}

/// Bytes that look random.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An artifact of known size and hash.
pub(crate) fn artifact(bytes: &[u8], urls: &[String]) -> Artifact {
    Artifact {
        id: "thing".into(),
        title: "A thing".into(),
        file: "thing.bin".into(),
        urls: urls.to_vec(),
        manual: None,
        sums: Sums {
            bytes: Some(bytes.len() as u64),
            sha256: Some(sha256(bytes)),
            ..Sums::default()
        },
        max_bytes: bytes.len() as u64,
        licence: "public domain".into(),
        accept: false,
        unpack: None,
    }
}

/// The same artifact, of which the registry knows neither size nor hash.
pub(crate) fn unknown(bytes: &[u8], urls: &[String]) -> Artifact {
    Artifact { sums: Sums::default(), max_bytes: 1_000_000, ..artifact(bytes, urls) }
}

/// Writes down the waits instead of waiting.
#[derive(Clone, Default)]
pub(crate) struct Waits(Arc<Mutex<Vec<Duration>>>);

impl Clock for Waits {
    fn sleep(&self, wait: Duration, _: &AtomicBool) {
        self.0.lock().expect("the waits").push(wait);
    }
}

/// A folder to download to.
pub(crate) struct Bench {
    folder: TempDir,
    waits: Waits,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let retry = Retry { attempts: 3, ..Retry::default() };
        let timeouts = Timeouts { connect: Duration::from_secs(5), stall: Duration::from_secs(1) };
        let options = Options { retry, timeouts, ..Options::default() };
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, waits: Waits::default(), options }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seconds that would have been waited.
    pub(crate) fn waits(&self) -> Vec<u64> {
        self.waits.0.lock().expect("the waits").iter().map(Duration::as_secs).collect()
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        let fetcher = Fetcher::new(self.folder.path(), self.options.clone()).expect("options");
        fetcher.with_clock(self.waits.clone())
    }

    pub(crate) fn fetch(&self, artifact: &Artifact) -> Result<Fetched, FetchError> {
        self.fetcher().fetch(artifact, &NEVER)
    }

    /// Fetches until more than `bytes` have arrived, then asks to stop.
    pub(crate) fn fetch_until(&self, artifact: &Artifact, bytes: u64) -> FetchError {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = stop.clone();
        let see = move |told: Told| match told {
            Told::Progress(what, done, _) if what.starts_with("receiving") => {
                ask.store(done > bytes, Ordering::Relaxed);
            }
            _ => {}
        };
        hear(see, || self.fetcher().fetch(artifact, &stop)).expect_err("it was interrupted")
    }

    /// Asserts that the artifact has these bytes, and that its download left no other files.
    pub(crate) fn assert_arrived(&self, bytes: &[u8]) {
        let got = std::fs::read(self.path("thing.bin")).expect("the file");
        assert!(got == bytes, "{} bytes differ from the {} expected", got.len(), bytes.len());
        self.assert_no_part();
    }

    /// Asserts that nothing stands under the artifact's name.
    pub(crate) fn assert_absent(&self) {
        assert!(!self.path("thing.bin").exists());
        assert!(!self.path("thing.bin.verified.json").exists());
    }

    pub(crate) fn assert_no_part(&self) {
        assert!(!self.path("thing.bin.part").exists());
        assert!(!self.path("thing.bin.part.json").exists());
    }
}
