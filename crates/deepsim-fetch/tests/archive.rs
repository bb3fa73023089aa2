//! Archives made to harm, broken ones, and good ones.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

#[path = "support/crafted.rs"]
mod crafted;

use std::fs;
use std::path::Path;

use crafted::{Crafted, allowed, assert_good, assert_refused, folder_with, gzip};
use deepsim_fetch::{FetchError, archive};
use proptest::prelude::*;
use tar::{EntryType, Header};

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
    assert_refused(&Crafted::default().file("set/a.bin", b"x").end(), "expected a member b.bin");
    assert_refused(&Crafted::default().end(), "expected a member a.bin");
}

#[test]
fn a_member_of_a_wrong_size_is_refused_before_it_is_written() {
    let larger = Crafted::default().file("set/b.bin", b"123456").end();
    assert_refused(&larger, "set/b.bin: expected 5 bytes, found 6 bytes");
    let smaller = Crafted::default().file("set/b.bin", b"1234").end();
    assert_refused(&smaller, "set/b.bin: expected 5 bytes, found 4 bytes");
    // Only the header claims it; there is no such data.
    let claim = Crafted::default().entry(EntryType::Regular, b"set/a.bin", 1 << 60, b"").end();
    assert_refused(&claim, "expected at most 104857600 bytes");
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
    assert_refused(&rest(named(&sized)), "expected 5 bytes, found 6 bytes");
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
    assert_refused(
        error,
        "set/a.bin: expected 5 bytes, found 3 bytes, then the end of the archive",
    );
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
    // Bytes that are no archive.
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
    assert!(matches!(error, FetchError::Io { operation: "opening", path, .. } if path == absent));
    let error = archive::extract(&path, &absent.join("x"), &allowed()).expect_err("no folder");
    assert!(matches!(error, FetchError::Io { .. }), "{error}");
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
        Err(FetchError::Unknown { name: "x".into(), known: "y, z".into() })
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
