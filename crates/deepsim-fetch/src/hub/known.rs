//! Repositories whose layout is known.

/// The branch on which the hub itself keeps a parquet form of every data set.
pub(super) const CONVERTED: &str = "refs/convert/parquet";

/// A data set on the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRepository {
    /// Owner and name.
    pub repository: &'static str,
    /// Default revision.
    pub revision: &'static str,
    /// Names of the splits and their numbers of images.
    pub splits: &'static [(&'static str, usize)],
    /// True if the owner's terms must be accepted on the hub before any download.
    pub gated: bool,
}

impl KnownRepository {
    pub(super) fn rows(&self, split: &str) -> Option<usize> {
        self.splits.iter().find(|(name, _)| *name == split).map(|(_, rows)| *rows)
    }
}

/// The repositories that are checked for completeness; others can be opened too.
pub const KNOWN: &[KnownRepository] = &[
    KnownRepository {
        repository: "jxie/stl10",
        revision: CONVERTED,
        splits: &[("train", 5_000), ("test", 8_000), ("unlabeled", 100_000)],
        gated: false,
    },
    KnownRepository {
        repository: "tanganke/stl10",
        revision: CONVERTED,
        splits: &[("train", 5_000), ("test", 8_000)],
        gated: false,
    },
    // The hub's conversion holds only the first part of a data set as large as this one.
    KnownRepository {
        repository: "ILSVRC/imagenet-1k",
        revision: "main",
        splits: &[("train", 1_281_167), ("validation", 50_000), ("test", 100_000)],
        gated: true,
    },
];

pub(super) fn find(repository: &str) -> Option<&'static KnownRepository> {
    KNOWN.iter().find(|known| known.repository == repository)
}
