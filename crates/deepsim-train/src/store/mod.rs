//! Checkpoints on disk: folders that are whole or do not count.
//!
//! `checkpoints/step-0001000/` holds files and, written last, `MANIFEST.json` with the size and
//! SHA-256 of each. A save goes to a folder aside, is flushed, and gets its name by one rename, so
//! that a crash at any moment leaves the earlier checkpoints and at most a folder that the next
//! session clears away. An older checkpoint is removed only after the new one has been read back.

pub mod checkpoint;
mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use deepsim_run::files::{CHECKPOINT, CHECKPOINTS, MANIFEST};
use deepsim_run::recipe::{Candidate, Retention};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TrainError;
pub use disk::{Disk, RealDisk};

/// Version of the layout.
const VERSION: u32 = 1;
const ASIDE: &str = ".saving-";

/// Content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub version: u32,
    /// Steps made.
    pub step: u64,
    /// The numbers of the log when it was made, for [`Retention::best`].
    pub numbers: BTreeMap<String, f64>,
    /// Every file by name.
    pub files: BTreeMap<String, FileEntry>,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A checkpoint that was found whole.
#[derive(Clone, Debug)]
pub struct Found {
    /// Folder of the checkpoint.
    pub folder: PathBuf,
    /// Manifest of the checkpoint.
    pub manifest: Manifest,
}

/// A folder that should be a checkpoint and is not whole.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The folder.
    pub folder: PathBuf,
    /// Reason.
    pub reason: String,
}

/// Result of [`Store::search`].
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The newest checkpoint that is whole.
    pub newest: Option<Found>,
    /// Newer ones that are not, the newest first.
    pub broken: Vec<Broken>,
}

/// The checkpoints of one run.
pub struct Store {
    folder: PathBuf,
    retention: Retention,
    disk: Box<dyn Disk>,
}

/// Takes the files of a checkpoint one by one, so that only one is in memory.
pub type Put<'a> = dyn FnMut(&str, &[u8]) -> Result<(), TrainError> + 'a;

impl Store {
    /// The checkpoints below `run`, a run folder; nothing is touched yet.
    pub fn new(run: &Path, retention: Retention) -> Self {
        Self::on(run, retention, Box::new(RealDisk))
    }

    /// [`Store::new`] on another file system.
    pub fn on(run: &Path, retention: Retention, disk: Box<dyn Disk>) -> Self {
        Self { folder: run.join(CHECKPOINTS), retention, disk }
    }

    /// Folders made in the same way for another purpose, all of which are kept.
    pub(crate) fn aside(folder: PathBuf) -> Self {
        let retention = Retention { last: usize::MAX, ..Retention::default() };
        Self { folder, retention, disk: Box::new(RealDisk) }
    }

    /// Looks for the newest checkpoint that is whole.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn search(&self) -> Result<Search, TrainError> {
        let mut search = Search::default();
        for folder in self.folders()?.into_iter().rev() {
            match verify(&folder) {
                Ok(manifest) => {
                    search.newest = Some(Found { folder, manifest });
                    break;
                }
                Err(reason) => search.broken.push(Broken { folder, reason }),
            }
        }
        Ok(search)
    }

    /// Saves a checkpoint; `write` hands over its files. One that is there already for this step is
    /// kept if it is whole.
    ///
    /// # Errors
    /// [`TrainError::Save`] if the file system refuses; the checkpoints that were there still are.
    pub fn save(
        &self,
        step: u64,
        numbers: BTreeMap<String, f64>,
        write: &dyn Fn(&mut Put<'_>) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        let place = self.folder.join(format!("step-{step:07}"));
        if place.exists() && verify(&place).is_ok() {
            // The process that made it may have been killed before it removed older ones.
            return self.thin().map(|()| place);
        }
        let aside = self.folder.join(format!("{ASIDE}{}", std::process::id()));
        let saved = self.write_aside(&aside, step, numbers, write).and_then(|()| {
            if place.exists() {
                self.remove(&place)?;
            }
            self.disk.rename(&aside, &place).map_err(failed("renaming to", &place))?;
            self.disk.sync_folder(&self.folder).map_err(failed("flushing", &self.folder))?;
            verify(&place).map_err(|reason| {
                let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
                failed("reading back", &place)(source)
            })?;
            self.thin()
        });
        if saved.is_err() && aside.exists() {
            // A remainder that cannot be removed now is cleared away at the next start.
            let _ = std::fs::remove_dir_all(&aside);
        }
        saved.map(|()| place)
    }

    fn write_aside(
        &self,
        aside: &Path,
        step: u64,
        numbers: BTreeMap<String, f64>,
        write: &dyn Fn(&mut Put<'_>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let disk = &self.disk;
        if !self.folder.exists() {
            disk.create_folder(&self.folder).map_err(failed("creating", &self.folder))?;
        }
        if aside.exists() {
            disk.remove_folder(aside).map_err(failed("clearing", aside))?;
        }
        disk.create_folder(aside).map_err(failed("creating", aside))?;
        let mut files = BTreeMap::new();
        write(&mut |name, bytes| {
            let path = aside.join(name);
            disk.write(&path, bytes).map_err(failed("writing", &path))?;
            let entry = FileEntry { bytes: bytes.len() as u64, sha256: hash(bytes) };
            files.insert(name.to_owned(), entry);
            Ok(())
        })?;
        let manifest = Manifest { version: VERSION, step, numbers, files };
        let text = format!("{:#}\n", serde_json::json!(manifest));
        let path = aside.join(MANIFEST);
        disk.write(&path, text.as_bytes()).map_err(failed("writing", &path))?;
        disk.sync_folder(aside).map_err(failed("flushing", aside))
    }

    /// Removes the folder of a step, if it is there.
    pub(crate) fn discard(&self, step: u64) -> Result<(), TrainError> {
        let place = self.folder.join(format!("step-{step:07}"));
        if place.exists() { self.remove(&place) } else { Ok(()) }
    }

    /// Removes what a crashed session left behind. Only while no other session uses the run.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn clear(&self) -> Result<(), TrainError> {
        for entry in read_folder(&self.folder)? {
            if name(&entry).starts_with(ASIDE) {
                self.disk.remove_folder(&entry).map_err(failed("clearing", &entry))?;
            } else if step_of(&entry).is_some() && !entry.join(MANIFEST).exists() {
                // Removal had begun: the manifest goes first.
                self.disk.remove_folder(&entry).map_err(failed("clearing", &entry))?;
            }
        }
        Ok(())
    }

    /// Removes the checkpoints that retention gives up.
    fn thin(&self) -> Result<(), TrainError> {
        let measure = self.retention.best.as_ref().map(|best| best.measure.as_str());
        let mut all = Vec::new();
        for folder in self.folders()? {
            // Unreadable entries are left to people.
            let Ok(manifest) = manifest(&folder) else { continue };
            let measure = measure.and_then(|name| manifest.numbers.get(name).copied());
            all.push((folder, Candidate { step: manifest.step, measure }));
        }
        let candidates: Vec<Candidate> = all.iter().map(|(_, candidate)| *candidate).collect();
        let discard = self.retention.discard(&candidates);
        let mut gone = all.iter().filter(|(_, candidate)| discard.contains(&candidate.step));
        gone.try_for_each(|(folder, _)| self.remove(folder))
    }

    /// Removes a checkpoint, the manifest first, so that half of one never counts.
    fn remove(&self, folder: &Path) -> Result<(), TrainError> {
        let path = folder.join(MANIFEST);
        if path.exists() {
            self.disk.remove_file(&path).map_err(failed("removing", &path))?;
        }
        self.disk.remove_folder(folder).map_err(failed("removing", folder))
    }

    /// Folders of checkpoints, whole or not, the oldest first.
    fn folders(&self) -> Result<Vec<PathBuf>, TrainError> {
        let mut steps: Vec<(u64, PathBuf)> = read_folder(&self.folder)?
            .into_iter()
            .filter_map(|path| Some((step_of(&path)?, path)))
            .collect();
        steps.sort();
        Ok(steps.into_iter().map(|(_, path)| path).collect())
    }
}

/// The newest checkpoint of a run, for those who only look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Steps made.
    pub step: u64,
    /// File with the state, as [`checkpoint::read_state`] takes it.
    pub checkpoint: PathBuf,
}

/// Looks for the newest checkpoint of a run by manifests and sizes of files alone. Unlike [`Store::search`], it
/// hashes nothing, so it takes no time and may find a file whose bytes are damaged.
///
/// # Errors
/// If the folder cannot be read.
pub fn newest(run: &Path) -> Result<Option<Newest>, TrainError> {
    let folders = Store::new(run, Retention::default()).folders()?;
    let complete = |folder: &PathBuf| {
        let manifest = manifest(folder).ok()?;
        let size = |name: &str| std::fs::metadata(folder.join(name)).ok().map(|file| file.len());
        let mut files = manifest.files.iter();
        let whole = files.all(|(name, entry)| size(name) == Some(entry.bytes));
        let checkpoint = folder.join(CHECKPOINT);
        whole.then_some(Newest { step: manifest.step, checkpoint })
    };
    Ok(folders.iter().rev().find_map(complete))
}

/// Checks every file of a checkpoint against its manifest.
fn verify(folder: &Path) -> Result<Manifest, String> {
    let manifest = manifest(folder)?;
    for (name, wanted) in &manifest.files {
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!("{MANIFEST}: expected names of files, found `{name}`"));
        }
        let bytes = std::fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
        let got = FileEntry { bytes: bytes.len() as u64, sha256: hash(&bytes) };
        if got != *wanted {
            let show = |entry: &FileEntry| format!("{} bytes, {}", entry.bytes, entry.sha256);
            return Err(format!("{name}: expected {}, found {}", show(wanted), show(&got)));
        }
    }
    Ok(manifest)
}

fn manifest(folder: &Path) -> Result<Manifest, String> {
    let text =
        std::fs::read_to_string(folder.join(MANIFEST)).map_err(|e| format!("{MANIFEST}: {e}"))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| format!("{MANIFEST}: {e}"))?;
    if manifest.version != VERSION {
        return Err(format!("{MANIFEST}: expected version {VERSION}, found {}", manifest.version));
    }
    if step_of(folder) != Some(manifest.step) {
        return Err(format!("{MANIFEST}: it is of step {}", manifest.step));
    }
    Ok(manifest)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn step_of(folder: &Path) -> Option<u64> {
    name(folder).strip_prefix("step-")?.parse().ok()
}

/// Paths in a folder; none if it does not exist.
fn read_folder(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let io = TrainError::io("reading folder", folder);
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>();
            paths.map_err(io)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(error)),
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_path_buf();
    move |source| TrainError::Save { operation, path, source }
}

#[cfg(test)]
mod tests;
