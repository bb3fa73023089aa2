//! Verified, resumable downloads of data sets and weights.
//!
//! A [`Registry`] lists the artifacts and a [`Fetcher`] downloads them: resumed where they broke off, hashed
//! while they arrive, and renamed to their names only if size and hashes are those of the registry.
//!
//! Progress goes to [`tracing`]: spans `verifying`, `receiving` and `unpacking` with the bytes `done` of `total`, and
//! warnings about failed tries.
//!
//! | module | holds |
//! |---|---|
//! | `registry` | [`Registry`], [`Artifact`]: addresses, sums, licences |
//! | `fetcher` | [`Fetcher`]: downloads an artifact or a group |
//! | `transfer` | download from one address, with retries |
//! | `part` | unfinished download, and its source |
//! | `http` | HTTP requests |
//! | `sums` | [`Sums`], [`verify`] |
//! | `record` | records of verified and of pinned files |
//! | `retry` | [`Retry`], and a [`Clock`] that tests replace |
//! | `unpack` | archives of the registry, with the sums of their members |
//! | [`archive`] | archives, unpacked by an allow-list |
//! | `hub` | files of the Hugging Face hub (feature `hub`) |
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use deepsim_fetch::{Fetcher, Options, Registry};
//! # fn main() -> Result<(), deepsim_fetch::FetchError> {
//! let registry = Registry::built_in()?;
//! let fetcher = Fetcher::new(Path::new("data"), Options::default())?;
//! let stop = AtomicBool::new(false); // true, from another thread or a signal, interrupts
//! for fetched in fetcher.fetch_selection(&registry.select("stl10")?, &stop)? {
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

pub use error::FetchError;
pub use fetcher::{Fetched, Fetcher, Options, State};
pub use http::Timeouts;
pub use registry::{Artifact, Group, Need, Registry, Selection, Unpack};
pub use retry::{Clock, Retry, SystemClock};
pub use sums::{Algorithm, Notice, Sums, verify};

/// Returns `path` with `.ending` after its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
