//! Fetching of artifacts: verified on the disk, downloaded, or an error that says what to do.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::http::{Client, Timeouts, check_url};
use crate::part::Part;
use crate::registry::{Artifact, Need, Selection};
use crate::sums::{Algorithm, Notice, Sums, verify_until};
use crate::transfer::Transfer;
use crate::{Clock, FetchError, Retry, SystemClock, beside, record, unpack};

/// Options of a [`Fetcher`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Opens no socket: files on the disk are verified, a missing one is an error.
    pub offline: bool,
    /// Address that replaces everything before the file name in every address.
    pub mirror: Option<String>,
    /// Accepts the licences that must be accepted.
    pub accept_licence: bool,
    /// Hashes files again that were verified before and have not changed since.
    pub verify_again: bool,
    /// Number of retries and waits between them.
    pub retry: Retry,
    /// Timeouts of the network.
    pub timeouts: Timeouts,
}

/// Artifact on the disk, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The artifact.
    pub id: String,
    /// The file, or the folder it was unpacked to.
    pub path: PathBuf,
    /// True if anything was downloaded.
    pub downloaded: bool,
    /// Notices for the user.
    pub notices: Vec<Notice>,
}

/// State of an artifact on the disk, by names and sizes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// A download that stopped after this many bytes; the next call continues it.
    Partial(u64),
    /// The file, or the folder it was unpacked to.
    Present,
}

/// Fetches artifacts into a folder.
pub struct Fetcher {
    folder: PathBuf,
    options: Options,
    clock: Box<dyn Clock>,
}

impl Fetcher {
    /// Creates a fetcher for `folder`, which is made when the first file is downloaded.
    ///
    /// # Errors
    /// If the mirror is not an address.
    pub fn new(folder: &Path, options: Options) -> Result<Self, FetchError> {
        if let Some(mirror) = &options.mirror {
            check_url(mirror).map_err(|wanted| FetchError::Registry {
                origin: "options".into(),
                place: "mirror".into(),
                wanted: wanted.into(),
                got: mirror.clone(),
            })?;
        }
        Ok(Self { folder: folder.to_path_buf(), options, clock: Box::new(SystemClock) })
    }

    /// Replaces the clock that measures waits.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Returns the path at which an artifact's file is, or will be.
    pub fn path(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(&artifact.file)
    }

    /// Returns the state of an artifact on the disk.
    pub fn state(&self, artifact: &Artifact) -> State {
        let path = self.path(artifact);
        let size = |path: &Path| path.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
        let whole = size(&path).is_some_and(|len| artifact.sums.bytes.is_none_or(|b| b == len));
        let unpacked = artifact.unpack.as_ref().is_some_and(|unpack| {
            unpack.allowed().check(&self.folder.join(&unpack.folder)).is_ok()
        });
        match size(&beside(&path, "part")) {
            _ if whole || unpacked => State::Present,
            Some(bytes) if bytes > 0 => State::Partial(bytes),
            _ => State::Absent,
        }
    }

    /// Fetches all artifacts of a selection or, if one is enough, the first that is available. Once
    /// `stop` is true the call ends with [`FetchError::Interrupted`]; `stop` is checked between any
    /// two chunks.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`]; if one artifact is enough, only if none is available.
    pub fn fetch_selection(
        &self,
        selection: &Selection<'_>,
        stop: &AtomicBool,
    ) -> Result<Vec<Fetched>, FetchError> {
        if selection.need == Need::All {
            return selection.artifacts.iter().map(|a| self.fetch(a, stop)).collect();
        }
        // An artifact on the disk is preferred to any download.
        let mut artifacts = selection.artifacts.clone();
        artifacts.sort_by_key(|artifact| self.state(artifact) != State::Present);
        let mut tried = Vec::new();
        for artifact in artifacts {
            match self.fetch(artifact, stop) {
                Ok(fetched) => return Ok(vec![fetched]),
                Err(error @ FetchError::Offline { .. }) => tried.push(error),
                Err(error) if error.is_of_the_source() => {
                    tracing::warn!("{error}; the next one is tried");
                    tried.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(FetchError::AllFailed { id: selection.id.to_owned(), tried })
    }

    /// Fetches one artifact: verifies it if it is there, downloads it if not, and unpacks it if the
    /// registry says so.
    ///
    /// # Errors
    /// If it is not available or is not what the registry describes. No wrong file is ever left
    /// under the artifact's name, except one that the user put there, which is not touched.
    pub fn fetch(&self, artifact: &Artifact, stop: &AtomicBool) -> Result<Fetched, FetchError> {
        let id = artifact.id.clone();
        let unpacked = artifact.unpack.as_ref().map(|u| (u, self.folder.join(&u.folder)));
        if let Some((unpack, folder)) = &unpacked
            && unpack::is_there(unpack, folder, self.options.verify_again, stop)?
        {
            let path = folder.clone();
            return Ok(Fetched { id, path, downloaded: false, notices: Vec::new() });
        }
        let path = self.path(artifact);
        let (downloaded, notices) = match self.present(artifact, &path, stop)? {
            Some(notices) => (false, notices),
            None => self.download(artifact, &path, stop)?,
        };
        match unpacked {
            None => Ok(Fetched { id, path, downloaded, notices }),
            Some((unpack, folder)) => {
                unpack::unpack(&path, unpack, &folder, stop)?;
                Ok(Fetched { id, path: folder, downloaded, notices })
            }
        }
    }

    /// Verifies the file if it exists; `None` if it does not.
    fn present(
        &self,
        artifact: &Artifact,
        path: &Path,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Notice>>, FetchError> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FetchError::io("looking for", path)(error)),
            Ok(_) => {}
        }
        let wanted = wanted(artifact, path)?;
        if !self.options.verify_again
            && wanted.can_verify()
            && let Some(sums) = record::remembered(path, &wanted)
        {
            return wanted.compare(&sums, path).map(Some);
        }
        let (sums, mut notices) = verify_until(path, &wanted, stop)?;
        if !wanted.can_verify() {
            notices.push(pin(path, &sums)?);
        }
        // If the folder is read-only, the file is verified but is read again next time.
        let _ = record::remember(path, &sums);
        Ok(Some(notices))
    }

    /// Downloads the file; returns false if it was already there.
    fn download(
        &self,
        artifact: &Artifact,
        path: &Path,
        stop: &AtomicBool,
    ) -> Result<(bool, Vec<Notice>), FetchError> {
        let id = artifact.id.clone();
        if let Some(how) = &artifact.manual {
            let (path, how) = (path.to_path_buf(), how.clone());
            return Err(FetchError::Manual { id, path, how });
        }
        if self.options.offline {
            return Err(FetchError::Offline { id, path: path.to_path_buf() });
        }
        if artifact.accept && !self.options.accept_licence {
            return Err(FetchError::Licence { id, licence: artifact.licence.clone() });
        }
        std::fs::create_dir_all(&self.folder).map_err(FetchError::io("making", &self.folder))?;
        let _lock = lock(&beside(path, "lock"))?;
        // Another process may have finished the download between the check above and the lock.
        if let Some(notices) = self.present(artifact, path, stop)? {
            return Ok((false, notices));
        }
        let wanted = wanted(artifact, path)?;
        let mut algorithms = wanted.algorithms();
        if !algorithms.contains(&Algorithm::Sha256) {
            algorithms.push(Algorithm::Sha256);
        }
        let mut part = Part::open(path, algorithms, stop)?;
        let result = self.try_addresses(artifact, &wanted, path, &mut part, stop);
        let mut notices = match result {
            Ok(notices) => notices,
            Err(error) if part.len() == 0 => {
                part.discard()?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let sums = part.sums();
        if !wanted.can_verify() {
            notices.push(pin(path, &sums)?);
        }
        part.finish()?;
        record::remember(path, &sums)?;
        Ok((true, notices))
    }

    /// Fills `part` from the first address that gives the right file.
    fn try_addresses(
        &self,
        artifact: &Artifact,
        wanted: &Sums,
        path: &Path,
        part: &mut Part,
        stop: &AtomicBool,
    ) -> Result<Vec<Notice>, FetchError> {
        let client = Client::new(self.options.timeouts);
        let mut urls = self.urls(artifact);
        // The address of the existing part comes first, because any other would start from nothing.
        urls.sort_by_key(|url| part.url() != Some(url));
        let mut tried = Vec::new();
        let count = urls.len();
        for (at, url) in urls.iter().enumerate() {
            let transfer = Transfer {
                client: &client,
                retry: &self.options.retry,
                clock: &*self.clock,
                url,
                bytes: wanted.bytes,
                max_bytes: artifact.max_bytes,
                verified: wanted.can_verify(),
            };
            let error = match self.verified(&transfer, wanted, path, part, stop) {
                Err(error) if error.is_of_the_source() => error,
                done => return done,
            };
            if at + 1 < count {
                tracing::warn!("{error}; the next one is tried");
            }
            tried.push(error);
        }
        match tried.pop() {
            Some(only) if tried.is_empty() => Err(only),
            last => {
                tried.extend(last);
                Err(FetchError::AllFailed { id: artifact.id.clone(), tried })
            }
        }
    }

    /// Downloads the file from one address and compares its sums.
    fn verified(
        &self,
        transfer: &Transfer<'_>,
        wanted: &Sums,
        path: &Path,
        part: &mut Part,
        stop: &AtomicBool,
    ) -> Result<Vec<Notice>, FetchError> {
        loop {
            transfer.run(part, stop)?;
            let error = match wanted.compare(&part.sums(), path) {
                Ok(notices) => return Ok(notices),
                Err(error) => error,
            };
            // An earlier run wrote the beginning and may have ended in a power failure: retry once
            // from the start before blaming the server.
            let inherited = part.inherited;
            part.restart(None)?;
            if !inherited {
                return Err(error);
            }
            tracing::warn!("{error}; another try from the beginning");
        }
    }

    fn urls(&self, artifact: &Artifact) -> Vec<String> {
        match &self.options.mirror {
            Some(mirror) => vec![format!("{}/{}", mirror.trim_end_matches('/'), artifact.file)],
            None => artifact.urls.clone(),
        }
    }
}

/// Returns the registry's sums, with the pinned hash if the registry has none.
fn wanted(artifact: &Artifact, path: &Path) -> Result<Sums, FetchError> {
    let mut sums = artifact.sums.clone();
    if !sums.can_verify() {
        sums.sha256 = record::pinned(path)?;
    }
    Ok(sums)
}

fn pin(path: &Path, sums: &Sums) -> Result<Notice, FetchError> {
    let sha256 = sums.sha256.clone().unwrap_or_default();
    record::pin(path, &sha256)?;
    Ok(Notice::Pinned { bytes: sums.bytes.unwrap_or_default(), sha256 })
}

/// Takes the lock, which holds as long as the file is open. The lock file is never removed, because
/// another process may be waiting on it.
fn lock(path: &Path) -> Result<File, FetchError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(FetchError::io("opening", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FetchError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(FetchError::io("locking", path)(error)),
    }
}
