//! Downloads that are verified or an error.
//!
//! A [`Registry`] says what there is, a [`Fetcher`] gets it: resumed where it was broken off, hashed
//! while it arrives, renamed to its name only when size and hashes are those of the registry.
//!
//! | module | holds |
//! |---|---|
//! | `registry` | [`Registry`], [`Artifact`]: addresses, sums, licences |
//! | `fetcher` | [`Fetcher`]: one artifact, or a group |
//! | `transfer` | one address, tried until it gives the file |
//! | `part` | the file on its way, and where it came from |
//! | `http` | one request |
//! | `sums` | [`Sums`], [`verify`] |
//! | `record` | what was verified before, what was pinned |
//! | `retry` | [`Retry`], and a [`Clock`] that tests replace |
//! | `unpack` | archives of the registry, with the sums of their members |
//! | [`archive`] | archives unpacked with care |
//! | `hub` | files of the Hugging Face hub (feature `hub`) |
//!
//! ```no_run
//! use std::path::Path;
//!
//! use deepsim_fetch::{Fetcher, Options, Registry, Watch};
//! # fn main() -> Result<(), deepsim_fetch::FetchError> {
//! let registry = Registry::built_in()?;
//! let fetcher = Fetcher::new(Path::new("data"), Options::default())?;
//! let mut watch = Watch::nobody();
//! for fetched in fetcher.fetch_selection(&registry.select("stl10")?, &mut watch)? {
//!     println!("{}", fetched.path.display());
//! }
//! # Ok(())
//! # }
//! ```

pub mod archive;
mod error;
mod fetcher;
mod http;
#[cfg(feature = "hub")]
pub mod hub;
mod part;
mod record;
mod registry;
mod retry;
mod sums;
mod transfer;
mod unpack;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use error::FetchError;
pub use fetcher::{Fetched, Fetcher, Options, State};
pub use http::Timeouts;
pub use registry::{Artifact, Group, Need, Registry, Selection, Unpack};
pub use retry::{Clock, Retry, SystemClock};
pub use sums::{Algorithm, Notice, Sums, verify};

/// Something that happens on the way, for whoever shows progress.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A file on the disk is read to verify it.
    Checking {
        /// The file.
        path: &'a Path,
        /// Bytes so far.
        done: u64,
        /// Bytes of the file.
        total: u64,
    },
    /// Bytes arrive.
    Receiving {
        /// From where.
        url: &'a str,
        /// Bytes of the file so far, those of earlier runs included.
        done: u64,
        /// Bytes of the file, if known.
        total: Option<u64>,
    },
    /// A try failed and there will be another one.
    Retrying {
        /// What went wrong.
        error: &'a FetchError,
        /// After how long.
        wait: Duration,
    },
    /// An address, or an artifact of which another will do, is given up and the next one taken.
    Next {
        /// What went wrong.
        error: &'a FetchError,
    },
    /// A member of an archive is written.
    Unpacking {
        /// Its name.
        member: &'a str,
        /// Bytes of all members so far.
        done: u64,
    },
}

/// Who is told of [`Event`]s, and what says that it is time to stop.
pub struct Watch<'a> {
    /// Called for every event, in the thread that works.
    pub report: &'a mut dyn FnMut(Event<'_>),
    /// Looked at between any two pieces; once true, the work ends with [`FetchError::Interrupted`].
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// Tells nobody and never stops.
    pub fn nobody() -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        // A closure without captures has no size: nothing is leaked, or even allocated.
        Watch { report: Box::leak(Box::new(|_: Event<'_>| {})), stop: &NEVER }
    }
}

/// `path` with `.ending` after its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
