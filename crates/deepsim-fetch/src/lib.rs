//! Downloads that are verified or an error.
//!
//! A [`Registry`] says what there is, a [`Fetcher`] gets it: resumed where it was broken off, hashed
//! while it arrives, renamed to its name only when size and hashes are those of the registry.
//!
//! Progress is told by [`tracing`]: spans `verifying`, `receiving` and `unpacking` with the bytes `done` of `total`,
//! warnings of tries that failed.
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

/// `path` with `.ending` after its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
