//! Archives made to harm, broken ones, and good ones.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use deepsim_data::archive::{self, AllowList, Member, Size};
use deepsim_data::stl10::IMAGE_BYTES;
use deepsim_data::{DataError, Dataset};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::TempDir;

/// What the archives of these tests may hold: `set/a.bin` of any size, `set/b.bin` of 5 bytes.
fn allowed() -> AllowList {
    let member = |name: &str, size| Member { name: name.into(), size };
    AllowList {
        folder: "set".into(),
        members: vec![member("a.bin", Size::UpTo(100 << 20)), member("b.bin", Size::Exactly(5))],
        max_ratio: AllowList::MAX_RATIO,
    }
}

/// A tar that is written entry by entry, wrong ones too.
#[derive(Default)]
struct Crafted(Vec<u8>);

impl Crafted {
    /// An entry whose header says `size`, under a name that is not checked.
    fn entry(mut self, kind: EntryType, name: &[u8], size: u64, bytes: &[u8]) -> Self {
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

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), bytes.len() as u64, bytes)
    }

    /// The members that must be there.
    fn good() -> Self {
        Self::default().file("set/a.bin", b"first").file("set/b.bin", b"12345")
    }

    /// The whole archive with its end.
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// A folder with an archive in it.
fn folder_with(archive: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("archive");
    fs::write(&path, archive).expect("the archive");
    let target = folder.path().join("unpacked");
    (folder, path, target)
}

/// Asserts that an archive is refused with these words, and that nothing is left.
fn assert_refused(archive: &[u8], words: &str) {
    let (folder, path, target) = folder_with(archive);
    let error = archive::extract(&path, &target, &allowed()).expect_err(words).to_string();
    assert!(error.contains(words), "`{words}` is not in: {error}");
    assert!(error.contains(&path.display().to_string()), "the archive is not named: {error}");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Asserts that an archive gives the two good members and nothing else.
fn assert_good(archive: &[u8]) {
    let (folder, path, target) = folder_with(archive);
    archive::extract(&path, &target, &allowed()).expect("a good archive");
    assert_eq!(fs::read(target.join("a.bin")).expect("a member"), b"first");
    assert_eq!(fs::read(target.join("b.bin")).expect("a member"), b"12345");
    assert_eq!(fs::read_dir(&target).expect("the members").count(), 2);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2);
}

#[test]
fn a_good_archive_is_unpacked_packed_or_not() {
    let tar = Crafted::good().end();
    assert_good(&tar);
    assert_good(&gzip(&tar));
    // With the folder itself, as `tar -c set` writes it; in another order; padded to 10 KiB.
    let folder = Crafted::default().entry(EntryType::Directory, b"set/", 0, b"");
    let mut padded = folder.file("set/b.bin", b"12345").file("set/a.bin", b"first").end();
    padded.resize(10_240, 0);
    assert_good(&padded);
    // From within the folder, and with `./` before every name.
    assert_good(&Crafted::default().file("a.bin", b"first").file("b.bin", b"12345").end());
    assert_good(&Crafted::default().file("./set/a.bin", b"first").file("./b.bin", b"12345").end());
    // Several gzip members one after another, as parallel packers write them.
    let (front, back) = tar.split_at(700);
    assert_good(&[gzip(front), gzip(back)].concat());
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let (folder, path, target) = folder_with(b"");
    let set = folder.path().join("set");
    fs::create_dir(&set).expect("a folder");
    fs::write(set.join("a.bin"), b"first").expect("a file");
    fs::write(set.join("b.bin"), b"12345").expect("a file");
    for format in ["gnu", "pax", "ustar"] {
        let mut tar = std::process::Command::new("tar");
        tar.arg("-C").arg(folder.path()).arg("-czf").arg(&path).arg(format!("--format={format}"));
        match tar.arg("set").status() {
            Ok(status) if status.success() => {}
            _ => {
                eprintln!("skipped: there is no GNU tar");
                return;
            }
        }
        archive::extract(&path, &target, &allowed()).expect(format);
        assert_eq!(fs::read(target.join("a.bin")).expect("a member"), b"first");
        fs::remove_dir_all(&target).expect("removed");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for (name, words) in [
        ("/etc/passwd", "an absolute path"),
        ("/set/a.bin", "an absolute path"),
        ("../a.bin", "a path with `..`"),
        ("set/../a.bin", "a path with `..`"),
        ("set/../../a.bin", "a path with `..`"),
        ("set/a.bin/..", "a path with `..`"),
        ("C:\\a.bin", "a backslash or a colon"),
        ("C:a.bin", "a backslash or a colon"),
        ("set\\a.bin", "a backslash or a colon"),
        ("..\\a.bin", "a backslash or a colon"),
        ("set/a.bin:stream", "a backslash or a colon"),
        ("set/a\n.bin", "control characters"),
        ("set/deep/a.bin", "a file of another folder"),
        ("other/a.bin", "a file of another folder"),
        ("set//a.bin", "a file of another folder"),
        ("set/set/a.bin", "a file of another folder"),
        ("set/a.bin/", "a file of another folder"),
    ] {
        assert_refused(&Crafted::good().file(name, b"x").end(), words);
    }
}

#[test]
fn links_devices_and_other_entries_are_refused() {
    for (kind, words) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a fifo"),
        (EntryType::Continuous, "an entry of another type"),
        (EntryType::XGlobalHeader, "an entry of another type"),
        (EntryType::new(b'V'), "an entry of another type"),
    ] {
        // Under an allowed name, before the good ones.
        let tar = Crafted::default().entry(kind, b"set/a.bin", 0, b"");
        assert_refused(&tar.file("set/b.bin", b"12345").end(), words);
    }
    // A sparse file that claims 8 GB of zeros: the header of GNU tar, without any data.
    let mut header = Header::new_gnu();
    header.set_path("set/a.bin").expect("a name");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("a GNU header");
    gnu.set_real_size(8 << 30);
    gnu.sparse[0].set_offset(8 << 30);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    assert_refused(&Crafted(header.as_bytes().to_vec()).end(), "a sparse file");
}

#[test]
fn members_that_nobody_expects_or_twice_are_refused() {
    assert_refused(&Crafted::good().file("set/c.bin", b"x").end(), "one of a.bin, b.bin");
    assert_refused(&Crafted::good().file("set/A.bin", b"x").end(), "one of a.bin, b.bin");
    assert_refused(&Crafted::good().file("set/a.bin", b"x").end(), "a second copy");
    assert_refused(&Crafted::good().file("a.bin", b"x").end(), "a second copy");
    let folder = Crafted::good().entry(EntryType::Directory, b"set/deep/", 0, b"");
    assert_refused(&folder.end(), "a file of another folder");
    let folder = Crafted::good().entry(EntryType::Directory, b"a.bin", 0, b"");
    assert_refused(&folder.end(), "only folder set");
    // A million entries of the folder itself cost time and say nothing.
    let twice = Crafted::good().entry(EntryType::Directory, b"set/", 0, b"");
    assert_refused(&twice.entry(EntryType::Directory, b"set/", 0, b"").end(), "only folder set");
}

#[test]
fn a_member_that_is_missing_is_named() {
    assert_refused(&Crafted::default().file("set/a.bin", b"x").end(), "wanted a member b.bin");
    assert_refused(&Crafted::default().end(), "wanted a member a.bin");
}

#[test]
fn a_member_of_a_wrong_size_is_refused_before_it_is_written() {
    let larger = Crafted::default().file("set/b.bin", b"123456").end();
    assert_refused(&larger, "set/b.bin: wanted 5 bytes, got 6 bytes");
    let smaller = Crafted::default().file("set/b.bin", b"1234").end();
    assert_refused(&smaller, "set/b.bin: wanted 5 bytes, got 4 bytes");
    // Only the header claims it; there is no such data.
    let claim = Crafted::default().entry(EntryType::Regular, b"set/a.bin", 1 << 60, b"").end();
    assert_refused(&claim, "wanted at most 104857600 bytes");
    let wrong = Crafted::default().entry(EntryType::Regular, b"set/a.bin", u64::MAX, b"").end();
    assert_refused(&wrong, "archive");
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let tar = Crafted::good().entry(EntryType::Regular, b"set/\xff\xfe", 1, b"x");
    assert_refused(&tar.end(), "a name that is not UTF-8");
}

/// A record of a pax header.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..6).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len);
    format!("{} {key}={value}\n", len.expect("a length")).into_bytes()
}

#[test]
fn long_names_of_pax_and_gnu_obey_the_same_rules() {
    let good = pax("path", "set/a.bin");
    let named = |record: &[u8]| {
        let len = record.len() as u64;
        Crafted::default().entry(EntryType::XHeader, b"pax", len, record)
    };
    let rest = |tar: Crafted| tar.file("ignored", b"first").file("set/b.bin", b"12345").end();
    assert_good(&rest(named(&good)));
    assert_refused(&rest(named(&pax("path", "../../a.bin"))), "a path with `..`");
    assert_refused(&rest(named(&pax("path", "/a.bin"))), "an absolute path");
    let deep = format!("set/{}a.bin", "d/".repeat(200));
    assert_refused(&rest(named(&pax("path", &deep))), "a file of another folder");
    // A size in pax overrides the header's.
    let sized = [pax("path", "set/b.bin"), pax("size", "6")].concat();
    assert_refused(&rest(named(&sized)), "wanted 5 bytes, got 6 bytes");
    let long = b"../../a.bin\0";
    let gnu = Crafted::default().entry(EntryType::GNULongName, b"L", long.len() as u64, long);
    assert_refused(&rest(gnu), "a path with `..`");
}

#[test]
fn a_name_of_gigabytes_does_not_reach_the_memory() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let name = vec![b'x'; 200_000];
        let tar = Crafted::default().entry(kind, b"long", name.len() as u64, &name);
        assert_refused(&tar.end(), "headers, names and padding of a usual size");
        let claim = Crafted::default().entry(kind, b"long", 1 << 40, &name);
        assert_refused(&claim.end(), "headers, names and padding of a usual size");
    }
}

#[test]
fn a_truncated_tar_is_named_wherever_it_ends() {
    let whole = Crafted::good().end();
    for len in (0..whole.len() - 512).step_by(29) {
        let words = if len == 0 { "an end-of-archive mark" } else { "archive" };
        assert_refused(&whole[..len], words);
    }
    // Between two members there is no sign of it but the missing end.
    assert_refused(&whole[..whole.len() - 1024], "an end-of-archive mark");
    let error = &whole[..512 + 3];
    assert_refused(error, "set/a.bin: wanted 5 bytes, got 3 bytes, then the end of the archive");
}

#[test]
fn a_truncated_or_damaged_gzip_is_named() {
    let whole = gzip(&Crafted::good().end());
    for len in 2..whole.len() {
        assert_refused(&whole[..len], "archive");
    }
    let mut harmless = 0;
    for at in 10..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let (_folder, path, target) = folder_with(&damaged);
        if archive::extract(&path, &target, &allowed()).is_ok() {
            // Bits after the end mark, in the last byte before the sums, mean nothing.
            assert_good(&damaged);
            harmless += 1;
        } else {
            assert_refused(&damaged, "archive");
        }
    }
    assert!(harmless <= 2, "{harmless} changes were not noticed");
    // What is no archive at all.
    assert_refused(b"<html>not found</html>", "archive");
    assert_refused(&[0xff; 2000], "archive");
}

#[test]
fn what_follows_the_end_is_refused() {
    let mut tar = Crafted::good().end();
    tar.extend_from_slice(&Crafted::default().file("../a.bin", b"x").end());
    assert_refused(&tar, "zeros after the end-of-archive mark");
    assert_refused(&gzip(&tar), "zeros after the end-of-archive mark");
    let mut garbage = gzip(&Crafted::good().end());
    garbage.extend_from_slice(b"garbage");
    assert_refused(&garbage, "archive");
}

#[test]
fn a_gzip_bomb_is_refused() {
    // 90 MiB of zeros, which the list allows, from 90 KB: 1000 to 1.
    let bomb = gzip(&Crafted::default().file("set/a.bin", &vec![0; 90 << 20]).end());
    assert_refused(&bomb, "at most 200 unpacked bytes per packed one");
    // Zeros without end after the last member.
    let mut endless = Crafted::good().end();
    endless.resize(8 << 20, 0);
    assert_refused(&gzip(&endless), "padding of a usual size");
}

#[test]
fn what_exists_is_left_alone() {
    let (folder, path, target) = folder_with(&Crafted::good().end());
    fs::create_dir(&target).expect("a folder");
    fs::write(target.join("mine"), b"mine").expect("a file");
    let error = archive::extract(&path, &target, &allowed()).expect_err("it exists").to_string();
    assert!(error.contains("it is left as it is") && error.contains("unpacked"), "{error}");
    assert_eq!(fs::read(target.join("mine")).expect("still there"), b"mine");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 2);
    // Also a link that leads nowhere.
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        assert!(archive::extract(&path, &link, &allowed()).is_err());
    }
}

#[test]
fn a_missing_archive_or_folder_is_named() {
    let (folder, path, target) = folder_with(&Crafted::good().end());
    let absent = folder.path().join("absent");
    let error = archive::extract(&absent, &target, &allowed()).expect_err("no archive");
    assert!(matches!(error, DataError::Io { operation: "opening", path, .. } if path == absent));
    let error = archive::extract(&path, &absent.join("x"), &allowed()).expect_err("no folder");
    assert!(matches!(error, DataError::Io { .. }), "{error}");
    assert!(!absent.exists());
}

#[test]
fn an_error_of_the_watcher_ends_the_work_and_nothing_is_left() {
    let (folder, path, target) = folder_with(&Crafted::good().end());
    let mut seen = Vec::new();
    let staged = archive::stage(&path, &target, &allowed(), &mut |name, bytes| {
        seen.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    });
    assert_eq!(seen, [("a.bin".into(), b"first".into()), ("b.bin".into(), b"12345".to_vec())]);
    assert!(!target.exists(), "not before it is committed");
    drop(staged);
    let refuse = &mut |_: &str, _: &[u8]| {
        Err(DataError::Argument { operation: "x", wanted: "y".into(), got: "z".into() })
    };
    archive::stage(&path, &target, &allowed(), refuse).expect_err("refused");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
}

#[cfg(unix)]
#[test]
fn unpacked_files_are_not_programs_and_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let mut tar = Crafted::good().end();
    let mut header = Header::from_byte_slice(&tar[..512]).clone();
    header.set_mode(0o6777);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    let (folder, path, target) = folder_with(&tar);
    archive::extract(&path, &target, &allowed()).expect("a good archive");
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o7777;
    let plain = folder.path().join("plain");
    fs::write(&plain, b"").expect("a file");
    assert_eq!(mode(&target.join("a.bin")), mode(&plain), "as any file of this user");
    fs::remove_file(&plain).expect("removed");
    fs::create_dir(&plain).expect("a folder");
    assert_eq!(mode(&target), mode(&plain), "as any folder of this user");
}

/// An archive in STL-10's format with a few images.
fn small_stl10(images: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..images * IMAGE_BYTES).map(|i| (i * 31 % 251) as u8).collect();
    let labels: Vec<u8> = (0..images).map(|i| (i % 10) as u8 + 1).collect();
    let mut tar = Crafted::default().entry(EntryType::Directory, b"stl10_binary/", 0, b"");
    for split in ["unlabeled", "train", "test"] {
        tar = tar.file(&format!("stl10_binary/{split}_X.bin"), &pixels);
    }
    tar.file("stl10_binary/train_y.bin", &labels)
        .file("stl10_binary/test_y.bin", &labels)
        .file("stl10_binary/fold_indices.txt", b"0 1\n1 2\n")
        .file(
            "stl10_binary/class_names.txt",
            b"airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n",
        )
        .end()
}

#[test]
fn an_archive_in_stl10s_format_of_any_size_becomes_a_data_set() {
    for images in [3, 7] {
        let (_folder, path, target) = folder_with(&gzip(&small_stl10(images)));
        archive::extract(&path, &target, &archive::stl10()).expect("an archive");
        archive::stl10().check(&target).expect("all members");
        let dataset = Dataset::open(Some(&target), 0).expect("a data set");
        assert_eq!((dataset.unlabeled.len(), dataset.test.images.len()), (images, images));
        // A file that goes missing or is cut is found without the archive.
        fs::write(target.join("test_X.bin"), [0; IMAGE_BYTES - 1]).expect("a file");
        let error = archive::stl10().check(&target).expect_err("cut").to_string();
        assert!(error.contains("test_X.bin: wanted a positive multiple of 27648"), "{error}");
        fs::remove_file(target.join("test_X.bin")).expect("removed");
        assert!(archive::stl10().check(&target).is_err());
    }
}

#[test]
fn an_archive_of_parts_of_images_or_too_many_is_refused() {
    let (_folder, path, target) = folder_with(&gzip(&small_stl10(0)));
    let error = archive::extract(&path, &target, &archive::stl10()).expect_err("no images");
    assert!(error.to_string().contains("unlabeled_X.bin: wanted a positive multiple of 27648"));
    let images = Size::MultipleOf { unit: 27_648, max: 27_648_000_000 };
    for (bytes, fits) in [
        (27_648, true),
        (2_764_800_000, true),
        (27_648_000_000, true),
        (0, false),
        (27_647, false),
        (27_649, false),
        (27_648_000_000 + 27_648, false),
    ] {
        assert_eq!(images.fits(bytes), fits, "{bytes}");
    }
    assert!(!Size::MultipleOf { unit: 0, max: 10 }.fits(10));
}

#[test]
fn the_shared_copy_of_stl10s_format_goes_through_an_archive() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    let shared = shared.join("data/stl10-mini/stl10_binary");
    if !shared.is_dir() {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return;
    }
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append_dir_all("stl10_binary", &shared).expect("packed");
    let packed = tar.into_inner().and_then(GzEncoder::finish).expect("packed");
    let (_folder, path, target) = folder_with(&packed);
    archive::extract(&path, &target, &archive::stl10()).expect("an archive");
    for name in ["unlabeled_X.bin", "test_y.bin", "fold_indices.txt"] {
        let read = |folder: &Path| fs::read(folder.join(name)).expect("a file");
        assert!(read(&target) == read(&shared), "{name}");
    }
    assert_eq!(Dataset::open(Some(&target), 0).expect("a data set").unlabeled.len(), 200);
}

/// Paths as an attacker would try them: pieces that matter, joined.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"set".to_vec()),
        Just(b"a.bin".to_vec()),
        Just(b"b.bin".to_vec()),
        Just(b"..".to_vec()),
        Just(b".".to_vec()),
        Just(b"/".to_vec()),
        Just(b"/".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"C:".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_the_paths_everything_lies_inside_the_folder(
        names in prop::collection::vec(paths(), 0..4)
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        // Room above, so that `..` would be seen.
        let deep = folder.path().join("x/y");
        fs::create_dir_all(&deep).expect("a folder");
        let mut tar = Crafted::good();
        for name in &names {
            let name = &name[..name.len().min(99)];
            tar = tar.entry(EntryType::Regular, name, 5, b"12345");
        }
        let path = deep.join("archive");
        fs::write(&path, tar.end()).expect("the archive");
        let target = deep.join("unpacked");
        let result = archive::extract(&path, &target, &allowed());
        // Any further entry is a second copy or none of the list.
        prop_assert_eq!(result.is_ok(), names.is_empty());
        prop_assert_eq!(target.exists(), names.is_empty());
        let count = |path: &Path| fs::read_dir(path).expect("a folder").count();
        prop_assert_eq!(count(folder.path()), 1);
        prop_assert_eq!(count(&folder.path().join("x")), 1);
        prop_assert_eq!(count(&deep), 1 + usize::from(names.is_empty()));
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_nothing_is_left(
        start in prop::collection::vec(any::<u8>(), 0..600),
        flips in prop::collection::vec((0usize..3072, any::<u8>()), 0..4),
        random in any::<bool>(),
    ) {
        let mut bytes = if random { start } else { Crafted::good().end() };
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let (folder, path, target) = folder_with(&bytes);
        let done = archive::extract(&path, &target, &allowed()).is_ok();
        prop_assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1 + usize::from(done));
    }
}
