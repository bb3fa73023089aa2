//! Several tars as one list of members.

use std::path::PathBuf;

use super::TarIndex;
use crate::DataError;
use crate::content::Fingerprint;

/// The members of several tars, one tar after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct TarSet {
    tars: Vec<TarIndex>,
    /// Index after the last member of each tar.
    ends: Vec<usize>,
}

impl TarSet {
    /// Indexes all of them, or reads the indices beside them.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, DataError> {
        let mut set = Self::default();
        for path in paths {
            let tar = TarIndex::open(path)?;
            set.ends.push(set.len() + tar.len());
            set.tars.push(tar);
        }
        Ok(set)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(crate) fn tars(&self) -> &[TarIndex] {
        &self.tars
    }

    /// The tar of a member, and its place in it.
    pub(crate) fn find(&self, index: usize) -> Result<(&TarIndex, usize), DataError> {
        let number = self.ends.partition_point(|end| *end <= index);
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let tar = self.tars.get(number).ok_or_else(|| DataError::Argument {
            operation: "reading a member of a tar",
            wanted: format!("an index below {}", self.len()),
            got: index.to_string(),
        })?;
        Ok((tar, index - start))
    }

    /// Adds the group, name and size of a member to a fingerprint.
    pub(crate) fn describe(&self, index: usize, fingerprint: &mut Fingerprint) {
        if let Ok((tar, member)) = self.find(index) {
            fingerprint.add(tar.group(member).unwrap_or_default().as_bytes());
            fingerprint.add(tar.name(member).as_bytes());
            fingerprint.number(tar.length(member).unwrap_or_default());
        }
    }

    /// A text that changes when one of the tars does.
    pub(crate) fn identity(&self) -> String {
        let tars: Vec<String> = self.tars.iter().map(TarIndex::identity).collect();
        tars.join("; ")
    }
}
