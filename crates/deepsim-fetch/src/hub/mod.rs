//! Files of the Hugging Face hub: downloaded by its own client, each verified.
//!
//! [`split`] fetches the parquet files of one split of a data set, [`file`] one file of a model. Both go into the
//! cache folder that all of the hub's tools share, and every file is held against the hash that the hub's
//! repository states. The span `fetching` counts the bytes of all files.
//!
//! ```no_run
//! use deepsim_fetch::hub::{self, HubOptions};
//! let options = HubOptions::default();
//! let unlabeled = hub::split("jxie/stl10", "unlabeled", &options)?;
//! println!("{} parquet files of commit {}", unlabeled.files.len(), unlabeled.commit);
//! let weights = hub::file("hf://owner/name/alexnet.safetensors", &options)?;
//! # Ok::<(), deepsim_fetch::FetchError>(())
//! ```

mod download;
mod error;
mod known;
mod verify;

use std::path::PathBuf;

use hf_hub::{RepoTypeDataset, RepoTypeModel};

use crate::FetchError;
use download::{Wanted, obtain};

pub use error::HubError;
pub use known::{KNOWN, KnownRepository};

/// Options for fetching from the hub.
#[derive(Clone)]
pub struct HubOptions {
    /// Branch, tag or commit. `None`: the revision of [`KNOWN`], or the hub's own conversion to
    /// parquet. A full commit hash pins the data.
    pub revision: Option<String>,
    /// Restricts a split to the files below this folder, for repositories with several
    /// configurations of one split.
    pub folder: Option<String>,
    /// Uses what an earlier call downloaded and recorded, without the network. Default: the
    /// variable `HF_HUB_OFFLINE`, if it is 1, ON, YES or TRUE, as for the hub's own tools.
    pub offline: bool,
    /// Hashes files again that have not changed since they were verified. By default a file is
    /// skipped if its size and time equal the record's.
    pub rehash: bool,
    /// Address of the hub or a mirror. `None`: the variable `HF_ENDPOINT`, or the hub itself.
    pub endpoint: Option<String>,
    /// Access token. `None`: the variable `HF_TOKEN`, or the file that `hf auth login` wrote.
    pub token: Option<String>,
    /// The hub's cache folder. `None`: by `HF_HUB_CACHE` and `HF_HOME`, as for the hub's own tools.
    pub cache: Option<PathBuf>,
    /// Number of tries for a request or a broken transfer; at least one.
    pub attempts: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            revision: None,
            folder: None,
            offline: offline_by_variable(),
            rehash: false,
            endpoint: None,
            token: None,
            cache: None,
            attempts: 5,
        }
    }
}

fn offline_by_variable() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

/// Split of a data set on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The parquet files, in order.
    pub files: Vec<PathBuf>,
    /// Commit of the repository that they belong to; usable as [`HubOptions::revision`] of the next
    /// run.
    pub commit: String,
    /// Number of pictures, for repositories of [`KNOWN`].
    pub rows: Option<usize>,
}

/// Fetches the parquet files of a split that are not in the cache yet.
///
/// # Errors
/// [`FetchError::Hub`] if the hub refuses, does not have it or cannot be reached, or if it is not here and
/// `offline` is set; [`FetchError::Content`] if a file is not what the hub's repository says.
pub fn split(repository: &str, split: &str, options: &HubOptions) -> Result<Split, FetchError> {
    let known = known::find(repository);
    let revision = options.revision.as_deref();
    let revision = revision.or(known.map(|k| k.revision)).unwrap_or(known::CONVERTED);
    let found = obtain::<RepoTypeDataset>(repository, Wanted::Split(split), revision, options)?;
    let rows = known.and_then(|known| known.rows(split));
    Ok(Split { files: found.files, commit: found.commit, rows })
}

/// Prefix of a file's address.
pub const SCHEME: &str = "hf://";

/// Fetches one file of a model: `hf://owner/name/path`, or `hf://owner/name@revision/path`.
///
/// Without a revision in the address, [`HubOptions::revision`] is used, and `main` if that is
/// `None`.
///
/// # Errors
/// Those of [`split`], and [`HubError::Name`] for an address of another form.
pub fn file(address: &str, options: &HubOptions) -> Result<PathBuf, FetchError> {
    let bad = || HubError::Name { wanted: "`hf://owner/name/path`", got: address.into() };
    let rest = address.strip_prefix(SCHEME).ok_or_else(bad)?;
    let mut parts = rest.splitn(3, '/');
    let (Some(owner), Some(name), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad().into());
    };
    let (name, revision) = match name.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (name, options.revision.as_deref()),
    };
    if path.is_empty() || revision == Some("") {
        return Err(bad().into());
    }
    let repository = format!("{owner}/{name}");
    let revision = revision.unwrap_or("main");
    let found = obtain::<RepoTypeModel>(&repository, Wanted::File(path), revision, options)?;
    found.files.into_iter().next().ok_or_else(|| bad().into())
}
