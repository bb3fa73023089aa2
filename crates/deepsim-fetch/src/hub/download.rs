//! Files of a repository, from the cache folder or the hub, each verified.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use deepsim_data::atomic::write_atomic;
use deepsim_data::splits;
use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, HFResult};
use hf_hub::{RepoType, RepoTypeDataset, RepoTypeModel};
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing::field::Empty;

use super::verify::{Stated, Verified, verify};
use super::{HubError, HubOptions};
use crate::FetchError;

/// Longest wait for the server's next bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait before the second attempt; doubled for each further one.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A kind of repository.
pub(super) trait Kind: RepoType {
    /// Returns the current commit of a revision.
    fn commit(repository: &HFRepositorySync<Self>, revision: &str) -> HFResult<Option<String>>;
}

impl Kind for RepoTypeDataset {
    fn commit(repository: &HFRepositorySync<Self>, revision: &str) -> HFResult<Option<String>> {
        Ok(repository.info().revision(revision).send()?.sha)
    }
}

impl Kind for RepoTypeModel {
    fn commit(repository: &HFRepositorySync<Self>, revision: &str) -> HFResult<Option<String>> {
        Ok(repository.info().revision(revision).send()?.sha)
    }
}

/// Selection of a repository's files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The parquet files of a split.
    Split(&'a str),
    /// The file of this path.
    File(&'a str),
}

impl Wanted<'_> {
    /// Name in records and messages.
    fn name(self) -> String {
        match self {
            Self::Split(name) => format!("split {name}"),
            Self::File(path) => path.to_owned(),
        }
    }

    /// Returns the selected names among all; the error holds what was expected and what there is.
    fn select(self, names: Vec<String>) -> Result<Vec<String>, (String, String)> {
        match self {
            Self::Split(split) => splits::select(names, split),
            Self::File(path) if names.iter().any(|name| name == path) => Ok(vec![path.to_owned()]),
            Self::File(path) => {
                let mut got = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
                if names.len() > 8 {
                    got += &format!(" and {} more", names.len() - 8);
                }
                Err((path.to_owned(), got))
            }
        }
    }
}

/// Files in the cache folder.
pub(super) struct Obtained {
    pub(super) commit: String,
    pub(super) files: Vec<PathBuf>,
}

/// Commit and hashes of fetched files, kept in the cache folder for offline use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    commit: String,
    files: Vec<Verified>,
}

/// Fetches the files that are not in the cache yet, and verifies all of them.
pub(super) fn obtain<T: Kind>(
    repository: &str,
    wanted: Wanted<'_>,
    revision: &str,
    options: &HubOptions,
) -> Result<Obtained, FetchError> {
    check_name(repository)?;
    let folder = options.cache.clone().unwrap_or_else(hf_hub::resolve_cache_dir);
    let folder =
        folder.join(format!("{}--{}", T::default().plural(), repository.replace('/', "--")));
    let folder = folder.join("verified");
    let record = folder.join(record_name(revision, wanted, options.folder.as_deref()));
    let earlier = read_record(&record);
    let hub = Hub::<T>::new(repository, options)?;
    if options.offline {
        let earlier = earlier?.ok_or_else(|| HubError::Offline {
            repository: repository.into(),
            wanted: format!("{} of {revision}", wanted.name()),
        })?;
        let files = earlier.files.iter().map(|file| hub.offline(&earlier.commit, file));
        return Ok(Obtained { files: files.collect::<Result<_, _>>()?, commit: earlier.commit });
    }
    std::fs::create_dir_all(&folder).map_err(FetchError::io("making", &folder))?;
    let _lock = lock(&record)?;
    // A damaged record only costs hashing the files again.
    let earlier = earlier.ok().flatten();
    let (commit, stated) = hub.list(wanted, revision)?;
    let total: u64 = stated.iter().map(|file| file.bytes).sum();
    let what = format!("fetching {repository}");
    let span = tracing::info_span!("fetching", what, unit = "B", total, done = Empty).entered();
    let (mut files, mut verified, mut done) = (Vec::new(), Vec::new(), 0);
    for stated in stated {
        let known = earlier.iter().flat_map(|e| &e.files).find(|file| file.stated == stated);
        let (path, file) = hub.fetch(&commit, &stated, known, (&span, done))?;
        done += stated.bytes;
        span.record("done", done);
        files.push(path);
        verified.push(file);
    }
    let new = Record { commit: commit.clone(), files: verified };
    if earlier.as_ref() != Some(&new) {
        let text = serde_json::to_vec_pretty(&new)
            .map_err(|e| FetchError::io("writing", &record)(e.into()))?;
        write_atomic(&record, &text)?;
    }
    Ok(Obtained { commit, files })
}

/// One repository of the hub.
struct Hub<'a, T: RepoType> {
    name: &'a str,
    repository: HFRepositorySync<T>,
    options: &'a HubOptions,
}

impl<'a, T: Kind> Hub<'a, T> {
    fn new(name: &'a str, options: &'a HubOptions) -> Result<Self, FetchError> {
        let error = |error| HubError::new::<T>(name, "setting up the client", error);
        let http = reqwest::Client::builder()
            .user_agent(concat!("deepsim-fetch/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(READ_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|e| error(e.into()))?;
        let mut client = HFClient::builder()
            .client(http)
            .retry_max_attempts(options.attempts.saturating_sub(1))
            .retry_base_delay(RETRY_DELAY);
        if let Some(endpoint) = &options.endpoint {
            client = client.endpoint(endpoint);
        }
        if let Some(token) = &options.token {
            client = client.token(token);
        }
        if let Some(cache) = &options.cache {
            client = client.cache_dir(cache);
        }
        let client = client.build().and_then(HFClientSync::from_inner).map_err(error)?;
        let (owner, repository) = hf_hub::split_id(name);
        Ok(Self { name, repository: client.repository(T::default(), owner, repository), options })
    }

    /// Returns the current commit of a revision and the selected files in it.
    fn list(
        &self,
        wanted: Wanted<'_>,
        revision: &str,
    ) -> Result<(String, Vec<Stated>), FetchError> {
        let error = |error| {
            HubError::new::<T>(self.name, &format!("looking up revision {revision}"), error)
        };
        let commit = T::commit(&self.repository, revision).map_err(error)?;
        let commit = commit.ok_or_else(|| error(HFError::malformed_response("no commit")))?;
        let error =
            |error| HubError::new::<T>(self.name, &format!("listing commit {commit}"), error);
        let tree = self.repository.list_tree().revision(&commit).recursive(true);
        let entries = tree.send().map_err(error)?.into_iter();
        let inside = |path: &str| match &self.options.folder {
            Some(folder) => Path::new(path).starts_with(folder),
            None => true,
        };
        let mut stated: Vec<Stated> = entries
            .filter_map(|entry| match entry {
                RepoTreeEntry::File { oid, size, path, lfs, .. } if inside(&path) => {
                    Some(Stated { path, bytes: size, git_object: oid, lfs: lfs.is_some() })
                }
                _ => None,
            })
            .collect();
        let names = stated.iter().map(|file| file.path.clone()).collect();
        let selected = wanted.select(names).map_err(|(wanted, got)| HubError::Missing {
            repository: self.name.into(),
            wanted,
            got,
        })?;
        stated.retain(|file| selected.contains(&file.path));
        stated.sort_by(|a, b| a.path.cmp(&b.path));
        // The client makes files of these names in the cache folder.
        match stated.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(FetchError::Content {
                path: self.name.into(),
                wanted: "paths within the repository".into(),
                got: file.path.clone(),
            }),
            None => Ok((commit, stated)),
        }
    }

    /// Returns a verified file, from the cache folder if it is whole there, else from the hub.
    fn fetch(
        &self,
        commit: &str,
        stated: &Stated,
        earlier: Option<&Verified>,
        so_far: (&Span, u64),
    ) -> Result<(PathBuf, Verified), FetchError> {
        let earlier = earlier.filter(|_| !self.options.rehash);
        let mut damaged = false;
        if let Some(path) = self.cached(commit, &stated.path)? {
            match verify(&path, stated, earlier) {
                Ok(verified) => return Ok((path, verified)),
                Err(_) => damaged = true,
            }
        }
        let path = self.download(commit, stated, damaged, so_far)?;
        match verify(&path, stated, None) {
            Ok(verified) => return Ok((path, verified)),
            Err(error) if damaged => {
                discard(&path);
                return Err(error);
            }
            // The client trusts a blob in the cache by its name alone, so the hub itself is asked.
            Err(_) => {}
        }
        let path = self.download(commit, stated, true, so_far)?;
        match verify(&path, stated, None) {
            Ok(verified) => Ok((path, verified)),
            Err(error) => {
                discard(&path);
                Err(error)
            }
        }
    }

    /// Returns a file that was verified before, without the network.
    fn offline(&self, commit: &str, file: &Verified) -> Result<PathBuf, FetchError> {
        let path = self.cached(commit, &file.stated.path)?.ok_or_else(|| HubError::Offline {
            repository: self.name.into(),
            wanted: format!("{} of commit {commit}", file.stated.path),
        })?;
        verify(&path, &file.stated, Some(file).filter(|_| !self.options.rehash))?;
        Ok(path)
    }

    fn cached(&self, commit: &str, file: &str) -> Result<Option<PathBuf>, FetchError> {
        let cached = self.repository.download_file().filename(file).revision(commit);
        match cached.local_files_only(true).send() {
            Ok(path) => Ok(Some(path)),
            Err(HFError::LocalEntryNotFound { .. } | HFError::EntryNotFound { .. }) => Ok(None),
            Err(e) => Err(HubError::new::<T>(self.name, &format!("looking for {file}"), e).into()),
        }
    }

    /// Repeats a transfer that breaks off from its beginning, because the client cannot continue a
    /// part. The client itself repeats requests that fail.
    fn download(
        &self,
        commit: &str,
        stated: &Stated,
        replace: bool,
        so_far: (&Span, u64),
    ) -> Result<PathBuf, FetchError> {
        let mut delay = RETRY_DELAY;
        let mut attempts = self.options.attempts.max(1);
        loop {
            let file = self.repository.download_file().filename(&stated.path).revision(commit);
            let (span, done) = so_far;
            let progress = Progress::new(Teller { span: span.clone(), done });
            let file = file.force_download(replace).progress(progress);
            attempts -= 1;
            match file.send() {
                Ok(path) => return Ok(path),
                Err(error @ HFError::Request { .. }) if attempts > 0 => {
                    let seconds = delay.as_secs_f64();
                    tracing::warn!("{}: {error}; another try in {seconds:.1} s", stated.path);
                    std::thread::sleep(delay);
                }
                Err(e) => {
                    let operation = format!("downloading {}", stated.path);
                    return Err(HubError::new::<T>(self.name, &operation, e).into());
                }
            }
            delay *= 2;
        }
    }
}

/// Records the client's progress, which it reports from another thread.
struct Teller {
    span: Span,
    /// Bytes of the files before this one.
    done: u64,
}

impl ProgressHandler for Teller {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        let bytes = match event {
            DownloadEvent::Progress { files } => files.iter().map(|f| f.bytes_completed).sum(),
            DownloadEvent::AggregateProgress { bytes_completed, .. } => *bytes_completed,
            DownloadEvent::Start { .. } | DownloadEvent::Complete => return,
        };
        self.span.record("done", self.done + bytes);
    }
}

/// Refuses names that are more than one component of a path or an address.
fn check_name(repository: &str) -> Result<(), HubError> {
    let good = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(plain) && !part.starts_with('.')
    };
    if repository.split('/').count() <= 2 && repository.split('/').all(good) {
        return Ok(());
    }
    Err(HubError::Name { wanted: "`owner/name`", got: repository.into() })
}

fn record_name(revision: &str, wanted: Wanted<'_>, folder: Option<&str>) -> String {
    let (Wanted::Split(name) | Wanted::File(name)) = wanted;
    let parts = [Some(revision), folder, Some(name)];
    let name = Vec::from_iter(parts.into_iter().flatten()).join("--");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    name.chars().map(plain).collect::<String>() + ".json"
}

fn read_record(path: &Path) -> Result<Option<Record>, FetchError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FetchError::io("reading", path)(error)),
    };
    let broken = |got: String| FetchError::Content {
        path: path.into(),
        wanted: "a record of verified files".into(),
        got,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    match record.files.iter().find(|file| !is_inside(&file.stated.path)) {
        Some(file) => Err(broken(file.stated.path.clone())),
        None => Ok(Some(record)),
    }
}

fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Locks out other processes that fetch the same files; they wait, if the file system can lock.
fn lock(record: &Path) -> Result<File, FetchError> {
    let path = record.with_extension("lock");
    let file = File::create(&path).map_err(FetchError::io("making", &path))?;
    match file.lock() {
        Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
            Err(FetchError::io("locking", &path)(error))
        }
        _ => Ok(file),
    }
}

/// Removes a wrong file from the cache: the link and the file behind it.
fn discard(path: &Path) {
    if let Ok(blob) = std::fs::canonicalize(path) {
        let _ = std::fs::remove_file(blob);
    }
    let _ = std::fs::remove_file(path);
}
