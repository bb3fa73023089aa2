//! Labels of shards: by file, by key of a JSON object, by name; their cache; and paths of shards.

use std::path::Path;
use std::time::Instant;

use deepsim_data::shards::{
    CLASS_NAMES, Classes, Label, Limits, ShardOptions, ShardWriter, Shards, copy, paths,
};
use deepsim_data::{DataError, PictureFiles};

/// Writes a tar of these members.
fn tar(path: &Path, members: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).expect("a file"));
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).expect("a member");
    }
    tar.finish().expect("a tar");
}

fn open(path: &Path, options: &ShardOptions) -> Result<Shards, DataError> {
    Shards::open_with(&path.to_string_lossy(), options)
}

fn labels(shards: &Shards) -> Vec<Option<u32>> {
    (0..shards.len()).map(|index| shards.label(index)).collect()
}

fn message<T>(result: Result<T, DataError>) -> String {
    result.err().expect("this should be refused").to_string()
}

#[test]
fn labels_come_from_the_file_and_the_key_that_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pets.tar");
    tar(
        &path,
        &[
            ("0.jpg", b"0"),
            ("0.json", br#"{"class": "dog", "number": 4, "list": [1]}"#),
            ("0.txt", b"a dog\n"),
            ("1.jpg", b"1"),
            ("1.json", br#"{"class": "cat", "number": 2}"#),
            ("2.json", br#"{"class": "dog", "number": 0}"#),
            ("2.jpg", b"2"),
            ("2.txt", b" a cat "),
        ],
    );
    let json = |key: &str, classes| ShardOptions { label: Label::Json(key.into()), classes };
    assert_eq!(labels(&open(&path, &ShardOptions::default()).expect("no labels")), [None; 3]);
    let numbers = open(&path, &json("number", Classes::Numbered)).expect("numbers");
    assert_eq!(
        (labels(&numbers), numbers.class_names()),
        (vec![Some(4), Some(2), Some(0)], &[][..])
    );
    let sorted = open(&path, &json("class", Classes::Sorted)).expect("names");
    assert_eq!(labels(&sorted), [Some(1), Some(0), Some(1)]);
    assert_eq!(sorted.class_names(), ["cat", "dog"]);
    let named = Classes::Named(["dog", "bird", "cat"].map(String::from).to_vec());
    let named = open(&path, &json("class", named)).expect("names");
    assert_eq!(labels(&named), [Some(0), Some(2), Some(0)]);
    assert_eq!(named.class_names(), ["dog", "bird", "cat"]);
    let text = ShardOptions { label: Label::File("txt".into()), classes: Classes::Sorted };
    let text = open(&path, &text).expect("texts");
    assert_eq!(labels(&text), [Some(1), None, Some(0)]);
    assert_eq!(text.class_names(), ["a cat", "a dog"]);
    for (key, classes, words) in [
        ("class", Classes::Numbered, "0.json: expected a class index, found `dog`"),
        ("class", Classes::Named(vec!["cat".into()]), "one of the 1 classes, found `dog`"),
        ("list", Classes::Sorted, "a number or a text as `list`, found [1]"),
        ("colour", Classes::Sorted, "as `colour`, found none in {\"class\":"),
    ] {
        let error = message(open(&path, &json(key, classes)));
        assert!(error.contains(words), "{error}");
    }
    let broken = folder.path().join("broken.tar");
    tar(&broken, &[("0.jpg", b"0"), ("0.json", b"{")]);
    let error = message(open(&broken, &json("class", Classes::Sorted)));
    assert!(error.contains("0.json: expected a JSON object"), "{error}");
}

#[test]
fn labels_are_read_once_and_again_when_the_shard_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.tar");
    let open = || labels(&Shards::open_files(std::slice::from_ref(&path)).expect("a shard"));
    tar(&path, &[("a.jpg", b"1"), ("a.cls", b"3"), ("b.jpg", b"1")]);
    assert_eq!(open(), [Some(3), None]);
    let cache = folder.path().join("t.tar.cls.deepsim-labels");
    let written = std::fs::read(&cache).expect("a cache");
    // Read from the cache: it decides, if its checksum is right.
    assert_eq!(open(), [Some(3), None]);
    // Each byte of a damaged cache is noticed.
    for at in 0..written.len() {
        let mut damaged = written.clone();
        damaged[at] ^= 0x11;
        std::fs::write(&cache, &damaged).expect("written");
        assert_eq!(open(), [Some(3), None], "byte {at}");
    }
    for length in [0, 1, written.len() / 2, written.len() - 1] {
        std::fs::write(&cache, &written[..length]).expect("written");
        assert_eq!(open(), [Some(3), None], "{length} bytes");
    }
    assert_eq!(std::fs::read(&cache).expect("a cache"), written, "it is made again");
    tar(&path, &[("a.jpg", b"12"), ("a.cls", b"5"), ("b.jpg", b"1"), ("b.cls", b"6")]);
    assert_eq!(open(), [Some(5), Some(6)]);
    // A folder that cannot hold the cache costs time only.
    std::fs::remove_file(&cache).expect("removed");
    std::fs::create_dir(&cache).expect("in its place");
    assert_eq!(open(), [Some(5), Some(6)]);
}

#[test]
fn labels_of_many_samples_come_from_their_cache() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { samples: 20_000, bytes: 1 << 30 };
    let mut writer = ShardWriter::new(folder.path(), "t", limits);
    for index in 0..20_000u32 {
        writer.add(&format!("{index:06}"), "jpg", b"\xff\xd8", Some(index % 1000)).expect("added");
    }
    writer.finish().expect("a shard");
    let pattern = folder.path().to_string_lossy().into_owned();
    let time = || {
        let start = Instant::now();
        let shards = Shards::open(&pattern).expect("shards");
        assert_eq!((shards.len(), shards.label(19_999)), (20_000, Some(999)));
        start.elapsed()
    };
    let first = time();
    let again = (0..3).map(|_| time()).min().expect("times");
    // 50,000 labels in 10 shards: 0.21 s, then 0.025 s, on a Xeon with AVX-512.
    assert!(again < first / 2, "first {first:?}, then {again:?}");
}

/// Two files of two classes.
struct Two;

impl PictureFiles for Two {
    fn len(&self) -> usize {
        2
    }
    fn path(&self, index: usize) -> std::path::PathBuf {
        index.to_string().into()
    }
    fn label(&self, index: usize) -> Option<u32> {
        Some(index as u32)
    }
    fn class_names(&self) -> &[String] {
        static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        NAMES.get_or_init(|| vec!["great owl".into(), "pelican".into()])
    }
    fn identity(&self) -> String {
        "two".into()
    }
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        *bytes = vec![0xff, 0xd8, index as u8];
        Ok(())
    }
}

#[test]
fn names_of_classes_are_copied_and_must_suffice() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&Two, folder.path(), "t", Limits::default()).expect("shards");
    let open = || Shards::open(&folder.path().to_string_lossy());
    assert_eq!(open().expect("shards").class_names(), Two.class_names());
    // A second set in the folder has the same classes.
    copy(&Two, folder.path(), "val", Limits::default()).expect("the same names");
    let names = folder.path().join(CLASS_NAMES);
    std::fs::write(&names, "owl\n").expect("written");
    assert!(message(open()).contains("a name for each class up to 1, one a line, found 1 names"));
    let error = message(copy(&Two, folder.path(), "u", Limits::default()));
    assert!(error.contains("the names of 2 classes as in the source, found 1 others"), "{error}");
}

#[test]
fn paths_are_patterns_and_compressed_shards_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for name in ["t-00.tar", "t-01.tar", "v-00.tar", "notes.txt", ".t-02.tar"] {
        std::fs::write(folder.path().join(name), "").expect("written");
    }
    let names = |pattern: &str| -> Result<Vec<String>, String> {
        let found = paths(&place(pattern)).map_err(|error| error.to_string())?;
        Ok(found
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into())
            .collect())
    };
    assert_eq!(names("t-*.tar").expect("two"), ["t-00.tar", "t-01.tar"]);
    assert_eq!(names("?-00.tar").expect("two"), ["t-00.tar", "v-00.tar"]);
    assert_eq!(names("t-{00..01}.tar").expect("two"), ["t-00.tar", "t-01.tar"]);
    assert_eq!(names("").expect("all"), ["t-00.tar", "t-01.tar", "v-00.tar"]);
    assert!(
        names("x-*.tar")
            .expect_err("none")
            .contains("x-*.tar: expected shards of such names, found none")
    );
    let refused = "expected a tar that is not compressed";
    for name in ["x.tar.gz", "x.tgz", "x-{0..3}.tar.zst"] {
        assert!(names(name).expect_err("compressed").contains(refused), "{name}");
    }
    std::fs::write(place("t-03.tar.gz"), "").expect("written");
    for pattern in ["", "t-*"] {
        let error = names(pattern).expect_err("samples would be missing");
        assert!(error.contains("t-03.tar.gz: ") && error.contains(refused), "{error}");
    }
    // The archive that a folder of pictures came in is none of its shards.
    let pictures = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(pictures.path().join("cat")).expect("a folder");
    std::fs::write(pictures.path().join("pets.tar.gz"), "").expect("written");
    assert!(paths(&pictures.path().to_string_lossy()).expect("no shards").is_empty());
}
