//! Where members of tars are: against the `tar` crate, and tars that are damaged or hostile.

use std::io::Read;
use std::path::Path;

use deepsim_data::DataError;
use deepsim_data::tar_index::TarIndex;
use proptest::prelude::*;

fn builder() -> tar::Builder<Vec<u8>> {
    tar::Builder::new(Vec::new())
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes).expect("a member");
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = builder();
    members.iter().for_each(|(name, bytes)| append(&mut builder, name, bytes));
    builder.into_inner().expect("a tar")
}

fn index(bytes: &[u8]) -> (tempfile::TempDir, Result<TarIndex, DataError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.tar");
    std::fs::write(&path, bytes).expect("a file");
    let index = TarIndex::open(&path);
    (folder, index)
}

proptest! {
    #[test]
    fn members_are_those_that_the_tar_crate_reads(
        members in prop::collection::vec(("[a-z/]{0,60}[a-z]{1,80}", 0usize..1600), 0..12)
    ) {
        let mut builder = builder();
        for (name, length) in &members {
            let name = name.trim_start_matches('/').replace("//", "/");
            append(&mut builder, &format!("x{name}"), &vec![name.len() as u8; *length]);
        }
        let bytes = builder.into_inner().expect("a tar");
        let (_folder, index) = index(&bytes);
        let index = index.expect("a whole tar");
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut at = 0;
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            prop_assert_eq!(index.name(at).as_bytes(), &*entry.path_bytes());
            let (mut wanted, mut got) = (Vec::new(), Vec::new());
            entry.read_to_end(&mut wanted).expect("content");
            index.read(at, &mut got).expect("content");
            prop_assert_eq!(got, wanted);
            at += 1;
        }
        prop_assert_eq!(index.len(), at);
    }

    #[test]
    fn no_change_of_bytes_makes_it_panic(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..6), cut in 0usize..4096) {
        let mut bytes = tar(&[("a.jpg", &[1; 700]), ("n01.tar", &tar(&[("n01_1.JPEG", &[2; 10])]))]);
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(1));
        let (_folder, index) = index(&bytes);
        if let Ok(index) = index {
            for at in 0..index.len() {
                let _ = index.read(at, &mut Vec::new());
            }
        }
    }
}

#[test]
fn tars_in_a_tar_are_groups_of_what_is_in_them() {
    let inner = tar(&[("n02_1.JPEG", b"a"), ("n02_2.JPEG", b"bc"), ("deeper.tar", b"d")]);
    let bytes = tar(&[("n02.tar", &inner), ("note", b"xyz"), ("n01.tar", &tar(&[]))]);
    let (folder, index) = index(&bytes);
    let index = index.expect("four members");
    let members: Vec<_> =
        (0..4).map(|i| (index.group(i), index.name(i), index.length(i))).collect();
    let wanted = [
        (Some("n02.tar"), "n02_1.JPEG", Some(1)),
        (Some("n02.tar"), "n02_2.JPEG", Some(2)),
        // One level deep: this one is a member.
        (Some("n02.tar"), "deeper.tar", Some(1)),
        (None, "note", Some(3)),
    ];
    assert_eq!(members, wanted);
    assert_eq!((index.len(), index.groups().collect::<Vec<_>>()), (4, vec!["n02.tar", "n01.tar"]));
    assert_eq!(index.member_path(1), folder.path().join("a.tar/n02.tar/n02_2.JPEG"));
    assert_eq!((index.name(4), index.group(4), index.length(4)), ("", None, None));
    let error = index.read(4, &mut Vec::new()).expect_err("no such member").to_string();
    assert!(error.contains("a member below 4, found 4"), "{error}");
}

#[test]
fn long_names_and_sizes_of_pax_headers_count() {
    let mut builder = builder();
    let long = format!("{}/picture.jpg", "folder".repeat(40));
    append(&mut builder, &long, b"gnu");
    let records: [(&str, &[u8]); 2] = [("path", b"pax/name.jpg"), ("size", b"5")];
    builder.append_pax_extensions(records).expect("a pax header");
    // The header itself says another size and name.
    let mut header = tar::Header::new_ustar();
    header.set_path("short").expect("a name");
    header.set_size(0);
    header.set_cksum();
    let mut bytes = builder.into_inner().expect("a tar");
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(header.as_bytes());
    bytes.extend(b"12345");
    // The last member lacks its padding, and the tar its end, as some programs leave them.
    let (_folder, index) = index(&bytes);
    let index = index.expect("two members");
    assert_eq!((index.len(), index.name(0), index.name(1)), (2, long.as_str(), "pax/name.jpg"));
    let mut content = Vec::new();
    index.read(1, &mut content).expect("the second");
    assert_eq!(content, b"12345");
}

#[test]
fn what_file_managers_leave_behind_is_no_member() {
    let junk = |name| (name, &b"no tar and no picture"[..]);
    let inner = tar(&[junk("._n01_1.JPEG"), ("n01_1.JPEG", b"1"), junk(".DS_Store")]);
    let bytes = tar(&[
        junk("./._n01.tar"),
        ("./n01.tar", &inner),
        junk("__MACOSX/n02.tar"),
        junk("x/Thumbs.db"),
        junk("x/Desktop.ini"),
        ("x/a.jpg", b"22"),
    ]);
    let (_folder, index) = index(&bytes);
    let index = index.expect("two members");
    let names: Vec<&str> = (0..index.len()).map(|at| index.name(at)).collect();
    assert_eq!(names, ["n01_1.JPEG", "x/a.jpg"]);
    assert_eq!(index.groups().collect::<Vec<_>>(), ["n01.tar"]);
}

#[test]
fn names_that_are_no_utf8_stay_apart_however_they_are_stored() {
    let plain = |name: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let long = |kind: tar::EntryType, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let padding = vec![0; content.len().next_multiple_of(512) - content.len()];
        [&header.as_bytes()[..], content, &padding, &plain(b"short")].concat()
    };
    let bytes = [
        plain(b"caf\xe9.jpg"),
        plain(b"caf\xe8.jpg"),
        plain("caf\u{e9}.jpg".as_bytes()),
        long(tar::EntryType::GNULongName, b"long/caf\xe9.jpg\0"),
        long(tar::EntryType::XHeader, b"21 path=pax/caf\xe9.jpg\n"),
    ];
    let (_folder, index) = index(&bytes.concat());
    let index = index.expect("five members");
    let names: Vec<&str> = (0..index.len()).map(|at| index.name(at)).collect();
    let wanted =
        [r"caf\xE9.jpg", r"caf\xE8.jpg", "caf\u{e9}.jpg", r"long/caf\xE9.jpg", r"pax/caf\xE9.jpg"];
    assert_eq!(names, wanted);
    // The names are those of the index beside the tar, too.
    assert_eq!(TarIndex::open(index.path()).expect("from beside"), index);
}

#[test]
fn an_index_of_an_earlier_version_is_made_again() {
    let bytes = tar(&[("._a.jpg", b"1"), ("a.jpg", b"22")]);
    let (_folder, index) = index(&bytes);
    let index = index.expect("an index");
    let beside = TarIndex::stored_at(index.path());
    let stored = std::fs::read(&beside).expect("it was written");
    let mut earlier = stored.clone();
    let digit = earlier.iter().position(|byte| *byte == b'2').expect("the version");
    assert_eq!(&earlier[..digit], b"deepsim index ");
    earlier[digit] = b'1';
    let end = earlier.len() - 4;
    let sum = crc32c::crc32c(&earlier[..end]).to_le_bytes();
    earlier[end..].copy_from_slice(&sum);
    std::fs::write(&beside, &earlier).expect("a file");
    assert_eq!(TarIndex::open(index.path()).expect("made again"), index);
    assert!(std::fs::read(&beside).expect("the index") == stored, "it is written again");
}

#[test]
fn damaged_and_hostile_tars_are_refused_with_the_place() {
    let whole = tar(&[("a.jpg", &[1; 700]), ("b.jpg", &[2; 700])]);
    let with = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").expect("a name");
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_cksum();
        [&header.as_bytes()[..], &[b'9'; 1024]].concat()
    };
    let changed = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        bytes
    };
    let nested = tar(&[("n01.tar", &whole[..1000])]);
    use tar::EntryType as Kind;
    let cases: [(Vec<u8>, &str); 12] = [
        (whole[..1900].to_vec(), "header of 512 bytes at byte 1536, found 364"),
        (whole[..2200].to_vec(), "at most 152 bytes at byte 1536, found b.jpg of 700"),
        (changed(3, 7), "a header with checksum"),
        (changed(124, b'x'), "a header with checksum"),
        (nested, "at most 488 bytes at byte 512, found a.jpg of 700"),
        (with(Kind::Regular, 1 << 60), "x of 1152921504606846976 bytes"),
        (with(Kind::Symlink, 0), "x of type Symlink"),
        (with(Kind::Link, 0), "x of type Link"),
        (with(Kind::Block, 0), "x of type Block"),
        (with(Kind::GNUSparse, 10), "x of type GNUSparse"),
        (with(Kind::XHeader, 600), "records of a pax header"),
        (vec![b'x'; 3000], "a header"),
    ];
    for (bytes, words) in cases {
        let (_folder, index) = index(&bytes);
        let error = index.map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("a.tar"), "{words}: {error}");
    }
    assert!(TarIndex::open(Path::new("no such.tar")).is_err());
    // No members at all is no damage.
    let (_folder, empty) = index(&[]);
    assert!(empty.expect("nothing in it").is_empty());
}

#[test]
fn the_index_beside_a_tar_is_used_only_if_it_is_whole_and_of_this_tar() {
    let bytes = tar(&[("a.jpg", b"1"), ("n01.tar", &tar(&[("n01_1.JPEG", b"22")]))]);
    let (folder, first) = index(&bytes);
    let first = first.expect("an index");
    let path = folder.path().join("a.tar");
    let beside = TarIndex::stored_at(&path);
    let stored = std::fs::read(&beside).expect("it was written");
    assert_eq!(TarIndex::open(&path).expect("from beside"), first);
    // It is really read: with another name in it, and the right sum, that name shows.
    let mut renamed = stored.clone();
    let at = renamed.windows(5).position(|w| w == b"a.jpg").expect("the name");
    renamed[at] = b'z';
    let end = renamed.len() - 4;
    let sum = crc32c::crc32c(&renamed[..end]).to_le_bytes();
    renamed[end..].copy_from_slice(&sum);
    std::fs::write(&beside, &renamed).expect("a file");
    assert_eq!(TarIndex::open(&path).expect("from beside").name(0), "z.jpg");
    // Every damaged one is not.
    for length in 0..stored.len() {
        std::fs::write(&beside, &stored[..length]).expect("a file");
        assert_eq!(TarIndex::open(&path).expect("made again"), first, "{length} bytes");
    }
    for at in 0..stored.len() {
        let mut bytes = stored.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&beside, bytes).expect("a file");
        assert_eq!(TarIndex::open(&path).expect("made again"), first, "byte {at}");
    }
    // Nor the one of the tar before it was changed.
    let other = tar(&[("b.jpg", b"333")]);
    std::fs::write(&path, &other).expect("another tar");
    let error = first.read(0, &mut Vec::new()).expect_err("another size").to_string();
    assert!(error.contains("as when it was indexed"), "{error}");
    assert_eq!(TarIndex::open(&path).expect("a new index").name(0), "b.jpg");
}

#[test]
fn an_end_with_more_behind_it_is_no_end() {
    let content = [7; 100_000];
    let names: Vec<String> = (0..40).map(|i| format!("{i}.jpg")).collect();
    let members: Vec<_> = names.iter().map(|name| (name.as_str(), &content[..])).collect();
    let whole = tar(&members);
    // A download for which room was made in advance: all after the fifth member never came.
    let mut hole = whole.clone();
    hole[5 * (512 + 100_352)..].fill(0);
    let two = [tar(&[("a.jpg", b"1")]), tar(&[("b.jpg", b"2")])].concat();
    let nested = tar(&[("n01.tar", &two)]);
    let cases = [
        (&hole, "at most 1048576 bytes of padding after its end at byte 504320"),
        (&two, "nothing but zeros after its end at byte 1024, found other bytes at byte 2048"),
        (&nested, "nothing but zeros after its end at byte 1536"),
    ];
    for (bytes, words) in cases {
        let (_folder, index) = index(bytes);
        let error = index.map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    // The padding of real programs is none of these.
    for padding in [0, 512, 10_240, (1 << 20) - 1024] {
        let (_folder, index) = index(&[&whole[..], &vec![0; padding]].concat());
        assert_eq!(index.expect("a padded tar").len(), 40, "{padding}");
    }
}

#[test]
fn many_threads_read_one_tar() {
    let contents: Vec<Vec<u8>> = (0..90u8).map(|i| vec![i; usize::from(i) * 31]).collect();
    let names: Vec<String> = (0..90).map(|i| format!("n0{}_{i}.JPEG", i / 30)).collect();
    let inner = |group: usize| {
        let members = (group * 30..group * 30 + 30).map(|i| (names[i].as_str(), &contents[i][..]));
        tar(&members.collect::<Vec<_>>())
    };
    let bytes = tar(&[("n00.tar", &inner(0)), ("n01.tar", &inner(1)), ("n02.tar", &inner(2))]);
    let (_folder, index) = index(&bytes);
    let index = index.expect("ninety members");
    std::thread::scope(|scope| {
        for start in 0..8 {
            let (index, contents) = (&index, &contents);
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for at in (0..90).map(|i| (start * 11 + i) % 90) {
                    index.read(at, &mut bytes).expect("a member");
                    assert_eq!(bytes, contents[at]);
                }
            });
        }
    });
}

#[test]
fn a_tar_that_was_replaced_by_one_of_the_same_size_is_noticed() {
    let (folder, index) = index(&tar(&[("a.jpg", b"old")]));
    let index = index.expect("an index");
    let path = folder.path().join("a.tar");
    std::fs::write(&path, tar(&[("b.jpg", b"new")])).expect("another tar");
    // Clocks of file systems may be too coarse to tell the two apart.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let file = std::fs::File::options().write(true).open(&path).expect("the tar");
    file.set_modified(later).expect("another time");
    let error = index.read(0, &mut Vec::new()).expect_err("another tar").to_string();
    assert!(error.contains("as when it was indexed"), "{error}");
}

#[test]
fn a_compressed_tar_is_named_and_no_bytes_of_it_are_printed() {
    for (first, kind) in [
        (&b"\x1f\x8b\x08\0"[..], "a gzip file"),
        (b"BZh91AY", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
        (b"\xff\xd8\xff\xe0", "other bytes"),
    ] {
        for length in [300, 2000] {
            let noise = (0..length).map(|i: usize| (i * 37 % 251) as u8 | 0x80);
            let bytes: Vec<u8> = first.iter().copied().chain(noise).collect();
            let error = index(&bytes).1.expect_err(kind).to_string();
            let short = kind == "other bytes" && length < 512;
            assert!(short || error.contains(kind), "{error}");
            assert_eq!(error.contains("unpack it first"), kind != "other bytes", "{error}");
            assert!(error.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{error}");
        }
    }
    // A member may be called so.
    let (_folder, index) = index(&tar(&[("BZh.jpg", b"x")]));
    assert_eq!(index.expect("a tar").name(0), "BZh.jpg");
}

#[test]
fn a_member_with_an_absolute_name_is_below_its_tar() {
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    // The crate's own functions refuse such names.
    header.as_mut_bytes()[..10].copy_from_slice(b"/abs/a.jpg");
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.push(b'x');
    let (folder, index) = index(&bytes);
    let index = index.expect("a tar");
    assert_eq!(index.name(0), "/abs/a.jpg");
    assert_eq!(index.member_path(0), folder.path().join("a.tar/abs/a.jpg"));
}
