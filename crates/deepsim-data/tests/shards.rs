//! Tar shards: what was written comes back, copies go on, and shards of others are read.

use std::path::{Path, PathBuf};

use deepsim_data::shards::{Limits, ShardWriter, Shards, copy, paths};
use deepsim_data::{DataError, PictureFiles};

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "support/hear.rs"]
mod hear;

use hear::{Told, heard};

/// Pictures that need not decode: shards do not look into them.
struct Made {
    count: usize,
    identity: &'static str,
    /// Reading this one fails.
    broken: Option<usize>,
}

impl Made {
    fn bytes(index: usize) -> Vec<u8> {
        let start: &[u8] = if index.is_multiple_of(3) { b"\x89PNG" } else { &[0xff, 0xd8] };
        start.iter().copied().chain((0..index * 37 % 900).map(|i| (i * index) as u8)).collect()
    }
}

impl PictureFiles for Made {
    fn len(&self) -> usize {
        self.count
    }
    fn path(&self, index: usize) -> PathBuf {
        index.to_string().into()
    }
    fn label(&self, index: usize) -> Option<u32> {
        (index != 4).then_some(index as u32 % 7)
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn identity(&self) -> String {
        self.identity.into()
    }
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        if self.broken == Some(index) {
            return Err(DataError::Argument {
                operation: "reading",
                wanted: "a picture".into(),
                got: index.to_string(),
            });
        }
        *bytes = Self::bytes(index);
        Ok(())
    }
}

const LIMITS: Limits = Limits { samples: 8, bytes: 12_000 };

fn made(count: usize) -> Made {
    Made { count, identity: "made", broken: None }
}

fn tars(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut all: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "tar"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a shard")))
        .collect();
    all.sort();
    all
}

#[test]
fn what_was_copied_comes_back_in_order_from_many_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let (written, told) = heard(|| copy(&made(50), folder.path(), "t", LIMITS));
    let step = |done| Told::Progress("writing shards".into(), done, Some(50));
    assert_eq!(told, (1..=50).map(step).collect::<Vec<_>>());
    let written = written.expect("shards");
    assert!(written.len() > 6, "{written:?}");
    assert!(written.iter().all(|shard| shard.samples <= 8 && shard.bytes <= 12_000), "{written:?}");
    let last = written.len() - 1;
    let pattern = folder.path().join(format!("t-{{000000..{last:06}}}.tar"));
    for open in [pattern.to_string_lossy().into_owned(), folder.path().display().to_string()] {
        let shards = Shards::open(&open).expect("all shards");
        assert_eq!(shards.len(), 50);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let shards = &shards;
                scope.spawn(move || {
                    let mut bytes = Vec::new();
                    for index in (0..50).map(|i| (i * 17 + thread * 5) % 50) {
                        shards.read(index, &mut bytes).expect("a picture");
                        assert!(bytes == Made::bytes(index), "picture {index}");
                        assert_eq!(shards.label(index), made(50).label(index));
                    }
                });
            }
        });
        assert!(shards.read(50, &mut Vec::new()).is_err());
        assert_eq!(shards.label(50), None);
        assert!(shards.path(3).ends_with("t-000000.tar/000000003.png"));
    }
    // Every second shard, as one of two machines reads them.
    let paths: Vec<PathBuf> =
        written.iter().step_by(2).map(|s| folder.path().join(&s.name)).collect();
    let half = Shards::open_files(&paths).expect("half of the shards");
    let wanted: u64 = written.iter().step_by(2).map(|shard| shard.samples).sum();
    assert_eq!(half.len() as u64, wanted);
}

#[test]
fn an_interrupted_copy_goes_on_to_the_same_bytes() {
    let (whole, parts) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    copy(&made(50), whole.path(), "t", LIMITS).expect("shards");
    // Stopped by an error in the middle of a shard, and again before the first is complete.
    for stop in [3, 20, 33] {
        let broken = Made { broken: Some(stop), ..made(50) };
        assert!(copy(&broken, parts.path(), "t", LIMITS).is_err());
        let left: Vec<_> = std::fs::read_dir(parts.path()).expect("the folder").collect();
        let names = left.iter().map(|e| e.as_ref().expect("an entry").file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".tmp")));
    }
    let (rest, told) = heard(|| copy(&made(50), parts.path(), "t", LIMITS));
    rest.expect("the rest");
    let Some(Told::Progress(_, first, _)) = told.first() else { panic!("no progress: {told:?}") };
    assert!(*first > 20, "the copy began again at {first}");
    let names =
        |all: Vec<(String, Vec<u8>)>| all.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert!(names(tars(whole.path())) == names(tars(parts.path())));
    // Complete: nothing is read or written again.
    let unreadable = Made { broken: Some(49), ..made(50) };
    assert!(copy(&unreadable, parts.path(), "t", LIMITS).is_ok());
}

#[test]
fn a_copy_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let shards = copy(&made(20), folder.path(), "t", LIMITS).expect("shards");
    let message = |files: &Made, limits| match copy(files, folder.path(), "t", limits) {
        Ok(_) => panic!("this is another copy"),
        Err(error) => error.to_string(),
    };
    let other = Made { identity: "other", ..made(20) };
    assert!(message(&other, LIMITS).contains("shards of other"));
    let limits = Limits { samples: 9, ..LIMITS };
    assert!(message(&made(20), limits).contains("samples: 8"));
    let path = folder.path().join(&shards[1].name);
    let bytes = std::fs::read(&path).expect("a shard");
    std::fs::write(&path, &bytes[..600]).expect("a shard");
    assert!(message(&made(20), LIMITS).contains("found 600"));
    std::fs::write(folder.path().join("t.json"), "{").expect("the list");
    assert!(message(&made(20), LIMITS).contains("t.json"));
}

/// Names and contents of members.
type Contents<'a> = &'a [(&'a str, &'a [u8])];

/// A shard by another program: folders, notes, JSON, endings in capitals.
fn foreign(members: Contents<'_>) -> (tempfile::TempDir, Result<Shards, DataError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("train-0000.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).expect("a file"));
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).expect("a member");
    }
    builder.into_inner().expect("a tar");
    let shards = Shards::open_files(&[path]);
    (folder, shards)
}

#[test]
fn shards_of_other_programs_are_read() {
    let (_folder, shards) = foreign(&[
        ("README.md", b"x"),
        ("n01/a.cls", b"12\n"),
        ("n01/a.jpg", b"first"),
        ("n01/a.json", b"{}"),
        ("n01/c.PNG", b"second"),
    ]);
    let shards = shards.expect("two samples");
    assert_eq!((shards.len(), shards.label(0), shards.label(1)), (2, Some(12), None));
    let mut bytes = Vec::new();
    shards.read(1, &mut bytes).expect("a picture");
    assert_eq!(bytes, b"second");
}

#[test]
fn a_further_picture_of_every_sample_is_a_field_that_is_counted() {
    let (_folder, shards) = foreign(&[
        ("a.jpg", b"first"),
        ("a.SEG.png", b"a field"),
        ("n01.x/b.seg.png", b"a field"),
        ("n01.x/b.jpg", b"second"),
        ("c.heic", b"a sample that is not read"),
        ("c.seg.png", b"a field"),
    ]);
    let shards = shards.expect("two samples");
    let unread = shards.unread();
    assert_eq!((shards.len(), unread.fields().collect::<Vec<_>>()), (2, vec![("seg.png", 3)]));
    assert_eq!(
        unread.to_string(),
        "1 picture is not read (1 .heic): convert it to JPEG or PNG; `KEY.seg.png` of 3 samples is not \
         read: only `KEY.jpg` or the like is"
    );
}

#[test]
fn a_picture_whose_key_may_have_a_dot_is_never_dropped() {
    for names in [
        &["img.jpg", "img.txt", "img.v2.jpg", "img.v2.txt", "x.jpg", "x.txt"][..],
        &["x.jpg", "img.jpg", "img.v2.jpg"],
        &["img.jpg", "img.json", "img.v2.jpg", "img.v2.json"],
        &["img.jpg", "img.v2.jpg", "img.v3.jpg"],
        &["img.jpg", "img.cls", "img.v2.jpg", "img.v2.json"],
        &["1.jpg", "1.v2.jpg", "1.cls", "1.v2.json"],
        &["img.heic", "img.v2.jpg"],
        &["img.heic", "img.v2.jpg", "x.jpg"],
        // A field of all samples, but there are notes on it, or it is there twice.
        &["a.jpg", "a.v2.jpg", "a.v2.txt", "b.jpg", "b.v2.jpg"],
        &["a.jpg", "a.v2.jpg", "a.V2.jpg", "b.jpg", "b.v2.jpg"],
        &["a.jpg", "a.v2.jpg", "a.v2.jpg", "b.jpg"],
        // The second sample lacks it, or the first.
        &["a.jpg", "a.v2.jpg", "b.jpg", "b.v3.jpg"],
        &["a.jpg", "a.v2.jpg", "b.jpg", "c.jpg", "c.v2.jpg"],
    ] {
        let members: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (*name, if name.ends_with("cls") { &b"1"[..] } else { b"x" }))
            .collect();
        let (_folder, shards) = foreign(&members);
        let error = shards.map(|_| ()).expect_err("a key with a dot").to_string();
        assert!(error.contains("expected keys without dots"), "{names:?}: {error}");
        assert!(error.contains("; rename it"), "{names:?}: {error}");
    }
}

fn fixture(name: &str) -> Result<Shards, DataError> {
    // Copied, because an index is written beside it.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::copy(Path::new("tests/fixtures/shards").join(name), &path).expect("a copy");
    let shards = Shards::open_files(&[path]);
    // Kept until the end of the test's process: the shard is read later.
    std::mem::forget(folder);
    shards
}

/// Names and labels of samples.
fn samples(shards: &Shards) -> Vec<(String, Option<u32>)> {
    let name = |index| {
        let mut bytes = Vec::new();
        shards.read(index, &mut bytes).expect("a picture");
        assert!(bytes.starts_with(&[0xff, 0xd8]), "a JPEG");
        let path = shards.path(index);
        path.file_name().expect("a name").to_string_lossy().into_owned()
    };
    (0..shards.len()).map(|index| (name(index), shards.label(index))).collect()
}

#[test]
fn what_a_mac_writes_beside_a_sample_is_nothing() {
    let shards = fixture("mac.tar").expect("one sample");
    assert_eq!(samples(&shards), [("000.jpg".to_owned(), Some(1))]);
}

#[test]
fn names_that_are_no_utf8_are_samples_of_their_own() {
    let shards = fixture("latin1-pairs.tar").expect("three samples");
    let wanted = [(r"caf\xE9.jpg", 0), (r"caf\xE8.jpg", 1), ("x.jpg", 2)];
    let wanted = wanted.map(|(name, label)| (name.to_owned(), Some(label)));
    assert_eq!(samples(&shards), wanted);
}

#[test]
fn a_sample_whose_key_has_a_dot_is_not_dropped() {
    let error = fixture("dots-in-some-keys.tar").map(|_| ()).expect_err("it cannot be kept");
    let error = error.to_string();
    assert!(error.contains("img.v2.jpg: expected keys without dots"), "{error}");
}

#[test]
fn a_label_in_a_json_file_is_none() {
    let shards = fixture("json-label.tar").expect("two samples");
    assert_eq!(samples(&shards), [("000.jpg".into(), None), ("001.jpg".into(), None)]);
}

#[test]
fn samples_in_other_formats_are_counted() {
    let (_folder, shards) = foreign(&[
        ("a.jpg", b"1"),
        ("a.depth.avif", b"another picture of a"),
        ("b.heic", b"2"),
        ("b.cls", b"1"),
        ("__MACOSX/._c.heic", b"3"),
        ("Thumbs.db", b"4"),
        ("c.JXL", b"5"),
    ]);
    let shards = shards.expect("one sample");
    let endings: Vec<_> = shards.unread().endings().collect();
    assert_eq!((shards.len(), endings), (1, vec![("avif", 1), ("heic", 1), ("jxl", 1)]));
}

#[test]
fn content_of_shards_is_the_same_wherever_they_are() {
    let [one, two] = [(), ()].map(|()| {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&made(20), folder.path(), "t", LIMITS).expect("shards");
        folder
    });
    let open = |folder: &Path| Shards::open(&folder.to_string_lossy()).expect("shards");
    let content = open(one.path()).content();
    assert_eq!(open(two.path()).content(), content);
    assert_ne!(open(two.path()).identity(), open(one.path()).identity());
    let three = tempfile::tempdir().expect("a folder");
    copy(&made(19), three.path(), "t", LIMITS).expect("shards");
    assert_ne!(open(three.path()).content(), content);
}

#[test]
fn samples_that_make_no_sense_are_named() {
    let cases: [(Contents<'_>, &str); 11] = [
        (&[("a.jpg", b"1"), ("a.png", b"2")], "one picture in a sample"),
        (
            &[("a.jpg", b"1"), ("a.cls", b"1"), ("a.CLS", b"2")],
            "one class in a sample, found another",
        ),
        (&[("a.jpg", b"1"), ("a.cls", b"cat")], "found `cat`"),
        (&[("a.jpg", b"1"), ("a.cls", b"4294967295")], "a class index"),
        (&[("a.cls", b"1"), ("b.jpg", b"2")], "a picture beside the class"),
        (&[("a.txt", b"1")], "without any"),
        (&[("a.heic", b"1")], "without any; 1 picture is not read (1 .heic)"),
        (&[("b.jpg", b"1"), ("a.v2.jpg", b"1")], "the sample `a.v2`; rename it"),
        (&[("a.jpg", b"1"), ("a.v2.jpg", b"1"), ("a.v2.cls", b"1")], "the sample `a.v2`"),
        (&[("a.v2.jpg", b"1"), ("a.v3.jpg", b"1")], "keys without dots"),
        (&[("b.jpg", b"1"), ("a.v2.cls", b"1")], "a picture beside the class"),
    ];
    for (members, words) in cases {
        let (_folder, shards) = foreign(members);
        let error = shards.map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = Shards::open("no/such-{0..1}.tar").map(|_| ()).expect_err("no file").to_string();
    assert!(error.contains("no/such-0.tar"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = ShardWriter::new(folder.path(), "t", Limits::default());
    for (key, ending) in [("a.b", "jpg"), ("../a", "jpg"), ("", "jpg"), ("a", "tar/x")] {
        assert!(writer.add(key, ending, b"x", None).is_err(), "{key} {ending}");
    }
    assert!(writer.finish().expect("nothing").is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_list_of_more_samples_than_there_are_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&made(20), folder.path(), "t", LIMITS).expect("shards");
    let path = folder.path().join("t.json");
    let text = std::fs::read_to_string(&path).expect("the list");
    let mut list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (samples, words) in [(21, "at most 20 samples, found"), (u64::MAX, "more than")] {
        list["shards"][0]["samples"] = samples.into();
        std::fs::write(&path, list.to_string()).expect("a file");
        let error = copy(&made(20), folder.path(), "t", LIMITS).expect_err(words);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn machines_that_take_whole_shards_have_every_sample_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = copy(&made(50), folder.path(), "t", LIMITS).expect("shards");
    let last = written.len() - 1;
    let pattern = folder.path().join(format!("t-{{000000..{last:06}}}.tar"));
    let all = paths(&pattern.to_string_lossy()).expect("a pattern");
    assert_eq!(paths(&folder.path().to_string_lossy()).expect("a folder"), all);
    let mut seen = Vec::new();
    for rank in 0..3 {
        let mine: Vec<_> = all.iter().skip(rank).step_by(3).cloned().collect();
        let shards = Shards::open_files(&mine).expect("a share");
        for index in 0..shards.len() {
            let path = shards.path(index);
            let key = path.file_stem().and_then(|key| key.to_str()).expect("a key");
            let number: usize = key.parse().expect("a number");
            assert_eq!(shards.label(index), made(50).label(number));
            seen.push(number);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}
