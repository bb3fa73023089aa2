//! The rules of a registry, and the project's own registry.

use std::path::Path;

use deepsim_fetch::{Artifact, FetchError, Fetcher, Need, Options, Registry, Selection};

use crate::bench::{Bench, NEVER, artifact, content};
use crate::hear::{Told, heard};
use crate::server::{Reply, Server};

const GOOD: &str = r#"
[[artifact]]
id = "thing"
title = "A thing"
file = "thing.bin"
urls = ["https://example.org/thing.bin", "http://example.com/thing"]
bytes = 3
sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
md5 = "900150983cd24fb0d6963f7d28e17f72"
second_hand = ["md5"]
licence = "public domain"
[artifact.unpack]
folder = "things"
members = [{ name = "a.bin", bytes = 2 }, { name = "b.txt" }]

[[artifact]]
id = "other"
title = "Another thing"
file = "other.bin"
manual = "Ask for it."
max_bytes = 10
md5 = "900150983cd24fb0d6963f7d28e17f72"
licence = "for research"
accept = true

[[group]]
id = "both"
title = "Both"
need = "all"
members = ["thing", "other"]
"#;

/// The error of `GOOD` with a text replaced, as a user sees it.
fn spoiled(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    let error = Registry::parse(&text, "test.toml").expect_err(to);
    assert!(matches!(error, FetchError::Registry { .. }));
    let text = error.to_string();
    assert!(text.starts_with("registry test.toml: "), "{text}");
    text
}

#[test]
fn a_registry_says_what_there_is() {
    let registry = Registry::parse(GOOD, "test.toml").expect("a registry");
    let both = registry.select("both").expect("a group");
    assert_eq!((both.need, both.artifacts.len()), (Need::All, 2));
    let thing = registry.select("thing").expect("an artifact").artifacts[0];
    assert_eq!((thing.max_bytes, thing.accept, thing.urls.len()), (3, false, 2));
    let unpack = thing.unpack.as_ref().expect("members").allowed();
    assert!(unpack.members[0].size.fits(2) && !unpack.members[0].size.fits(3));
    assert!(unpack.members[1].size.fits(1000) && !unpack.members[1].size.fits(1 << 40));
    let error = registry.select("nothing").expect_err("no such name").to_string();
    assert_eq!(error, "no artifact or group `nothing`; there are both, thing, other");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = spoiled("licence = \"public", "license = \"public");
    assert!(error.contains("unknown field `license`") && error.contains("line 11"), "{error}");
    assert!(spoiled("folder = ", "path = ").contains("unknown field `path`"));
    assert!(spoiled("need = \"all\"", "need = \"some\"").contains("unknown variant `some`"));
    assert!(spoiled("bytes = 3", "bytes = -3").contains("line 7"));
}

#[test]
fn a_hash_of_a_wrong_length_or_other_digits_is_refused() {
    let error = spoiled("\"a9993e36", "\"a9993e3");
    assert!(
        error.contains("artifact thing: expected sha1 of 40 lower-case hexadecimal"),
        "{error}"
    );
    assert!(spoiled("\"a9993e36", "\"A9993E36").contains("expected sha1"));
    assert!(spoiled("\"90015098", "\"9001509g").contains("expected md5"));
}

#[test]
fn second_hand_hashes_need_a_better_one_beside_them() {
    assert!(spoiled("[\"md5\"]", "[\"sha256\"]").contains("hashes that are given, found sha256"));
    assert!(spoiled("[\"md5\"]", "[\"md5\", \"sha1\"]").contains("a hash that is not second-hand"));
}

#[test]
fn names_must_be_unique() {
    assert!(spoiled("id = \"other\"", "id = \"thing\"").contains("an id of its own"));
    assert!(spoiled("id = \"both\"", "id = \"thing\"").contains("an id of its own"));
    // Some disks do not tell capital letters from small ones.
    assert!(spoiled("\"other.bin\"", "\"Thing.BIN\"").contains("a file name of its own"));
    assert!(spoiled("\"other.bin\"", "\"things\"").contains("a file name of its own"));
    assert!(spoiled("\"b.txt\"", "\"A.bin\"").contains("a name of its own"));
}

#[test]
fn names_cannot_leave_the_folder_or_meet_the_files_beside_others() {
    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\\\b",
        "C:x",
        ".hidden",
        "a b",
        "a\\u0000",
        "x.",
        "thing.part",
        "x.PART.JSON",
        "x.lock",
        "x.verified.json",
        "\u{e4}",
    ] {
        assert!(spoiled("thing.bin\"\nurls", &format!("{bad}\"\nurls")).contains("a file name"));
        assert!(spoiled("\"things\"", &format!("\"{bad}\"")).contains("a file name"));
        assert!(spoiled("\"a.bin\"", &format!("\"{bad}\"")).contains("a file name"));
    }
    assert!(spoiled("id = \"thing\"", "id = \"Thing\"").contains("an id of a-z"));
    let long = "x".repeat(101);
    assert!(spoiled("\"things\"", &format!("\"{long}\"")).contains("a file name"));
}

#[test]
fn addresses_must_be_http_or_https() {
    for bad in ["example.org/x", "ftp://example.org/x", "file:///x", "http://a:b@example.org/x"] {
        assert!(spoiled("http://example.com/thing", bad).contains("an address"), "{bad}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    assert!(spoiled("manual = \"Ask for it.\"", "").contains("either urls or manual"));
    assert!(spoiled("bytes = 3", "bytes = 3\nmanual = \"x\"").contains("either urls or manual"));
    assert!(spoiled("max_bytes = 10", "").contains("either bytes or max_bytes"));
    assert!(spoiled("max_bytes = 10", "max_bytes = 0").contains("1 to 2^40 bytes"));
    assert!(spoiled("bytes = 3", "bytes = 2000000000000").contains("1 to 2^40 bytes"));
    let unverified = spoiled("10\nmd5 = \"900150983cd24fb0d6963f7d28e17f72\"", "10");
    assert!(unverified.contains("a hash, since the user brings the file"), "{unverified}");
    assert!(spoiled("\"thing\", \"other\"", "").contains("expected members, found none"));
    assert!(spoiled("\"thing\", \"other\"", "\"x\"").contains("ids of artifacts, found x"));
}

#[test]
fn a_registry_that_is_too_large_or_missing_is_named() {
    let bench = Bench::new();
    let path = bench.path("registry.toml");
    assert!(Registry::open(&path).expect_err("missing").to_string().contains("registry.toml"));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).expect("a file");
    assert!(Registry::open(&path).expect_err("too large").to_string().contains("1048577 bytes"));
    std::fs::write(&path, GOOD).expect("a file");
    assert_eq!(Registry::open(&path).expect("a registry").artifacts().len(), 2);
}

#[test]
fn a_mirror_must_be_an_address() {
    let options = Options { mirror: Some("mirror".into()), ..Options::default() };
    let error = Fetcher::new(Path::new("x"), options).err().expect("no address").to_string();
    assert!(error.contains("mirror: expected an address"), "{error}");
}

/// Two artifacts of which one will do.
fn any<'a>(first: &'a Artifact, second: &'a Artifact) -> Selection<'a> {
    Selection { id: "any", need: Need::Any, artifacts: vec![first, second] }
}

#[test]
fn where_one_will_do_the_first_that_can_be_had_is_taken() {
    let (bench, bytes) = (Bench::new(), content());
    let (down, good) = (Server::start(|_, _| Reply::status(404)), Server::of(&bytes));
    let first = artifact(&bytes, &[down.url("a")]);
    let second = Artifact {
        id: "second".into(),
        file: "second.bin".into(),
        ..artifact(&bytes, &[good.url("b")])
    };
    let selection = any(&first, &second);
    let (fetched, told) = heard(|| bench.fetcher().fetch_selection(&selection, &NEVER));
    let fetched = fetched.expect("the second");
    let told: Vec<String> = told.into_iter().filter_map(Told::warning).collect();
    assert_eq!((fetched.len(), fetched[0].id.as_str()), (1, "second"));
    assert!(told.len() == 1 && told[0].contains("404"), "{told:?}");
    // A file on the disk is not looked for elsewhere.
    bench.fetcher().fetch_selection(&selection, &NEVER).expect("it is there");
    assert_eq!(down.requests().len(), 1);
}

#[test]
fn where_none_can_be_had_all_are_named() {
    let (mut bench, bytes) = (Bench::new(), content());
    bench.options.offline = true;
    let first = artifact(&bytes, &["http://example.org/a".into()]);
    let second = Artifact { id: "second".into(), file: "second.bin".into(), ..first.clone() };
    let selection = any(&first, &second);
    let error = bench.fetcher().fetch_selection(&selection, &NEVER);
    let text = error.expect_err("offline").to_string();
    assert!(text.contains("thing.bin") && text.contains("second.bin"), "{text}");
}

#[test]
fn the_projects_registry_is_valid() {
    let registry = Registry::built_in().expect("a registry");
    for name in [
        "stl10",
        "alexnet",
        "caffenet",
        "alexnet-torchvision",
        "vgg16",
        "vgg19",
        "vgg16-caffe",
        "vgg19-caffe",
        "resnet18",
        "deepsim-generators",
    ] {
        assert!(!registry.select(name).expect(name).artifacts.is_empty());
    }
    let ilsvrc = registry.select("ilsvrc").expect("ilsvrc");
    assert_eq!(ilsvrc.artifacts.len(), 3);
    assert!(ilsvrc.artifacts.iter().all(|artifact| artifact.manual.is_some()));
    let stl10 = registry.select("stl10").expect("stl10").artifacts[0];
    let members = &stl10.unpack.as_ref().expect("members").members;
    // The same files that any archive in this format must hold.
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let format = deepsim_fetch::archive::stl10();
    let mut wanted: Vec<&str> = format.members.iter().map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    // 100,000, 5,000 and 8,000 images of 27,648 bytes.
    let bytes =
        |name: &str| members.iter().find(|(n, _)| n == name).and_then(|(_, sums)| sums.bytes);
    for (split, images) in [("unlabeled", 100_000), ("train", 5_000), ("test", 8_000)] {
        assert_eq!(bytes(&format!("{split}_X.bin")), Some(images * 27_648));
    }
    assert!(registry.select("deepsim-generators").expect("it").artifacts.iter().all(|a| a.accept));
}
