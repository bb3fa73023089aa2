//! Archives written entry by entry, and what is expected of them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use deepsim_fetch::archive::{self, AllowList, Member, Size};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};
use tempfile::TempDir;

/// Returns the content that archives of these tests may have: `set/a.bin` of any size, `set/b.bin`
/// of 5 bytes.
pub(crate) fn allowed() -> AllowList {
    let member = |name: &str, size| Member { name: name.into(), size };
    AllowList {
        folder: "set".into(),
        members: vec![member("a.bin", Size::UpTo(100 << 20)), member("b.bin", Size::Exactly(5))],
        max_ratio: AllowList::MAX_RATIO,
    }
}

/// A tar that is written entry by entry, wrong ones too.
#[derive(Default)]
pub(crate) struct Crafted(pub(crate) Vec<u8>);

impl Crafted {
    /// An entry whose header says `size`, under a name that is not checked.
    pub(crate) fn entry(mut self, kind: EntryType, name: &[u8], size: u64, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").expect("a short name");
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), bytes.len() as u64, bytes)
    }

    /// The members that must be there.
    pub(crate) fn good() -> Self {
        Self::default().file("set/a.bin", b"first").file("set/b.bin", b"12345")
    }

    /// The whole archive with its end.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// A folder with an archive in it.
pub(crate) fn folder_with(archive: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("archive");
    fs::write(&path, archive).expect("the archive");
    let target = folder.path().join("unpacked");
    (folder, path, target)
}

/// Asserts that an archive is refused with these words, and that nothing is left.
pub(crate) fn assert_refused(archive: &[u8], words: &str) {
    let (folder, path, target) = folder_with(archive);
    let error = archive::extract(&path, &target, &allowed()).expect_err(words).to_string();
    assert!(error.contains(words), "`{words}` is not in: {error}");
    assert!(error.contains(&path.display().to_string()), "the archive is not named: {error}");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Asserts that an archive gives the two good members and nothing else.
pub(crate) fn assert_good(archive: &[u8]) {
    let (folder, path, target) = folder_with(archive);
    archive::extract(&path, &target, &allowed()).expect("a good archive");
    assert_eq!(fs::read(target.join("a.bin")).expect("a member"), b"first");
    assert_eq!(fs::read(target.join("b.bin")).expect("a member"), b"12345");
    assert_eq!(fs::read_dir(&target).expect("the members").count(), 2);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2);
}
