//! Archives that are unpacked after their download.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deepsim_fetch::{Artifact, FetchError, State, Sums, Unpack};

use crate::bench::{Bench, artifact, noise, sha256};
use crate::hear::{Told, hear};
use crate::server::Server;

/// A tar of files in folder `things`.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("things/{name}"), *bytes).expect("an entry");
    }
    tar.into_inner().expect("a tar")
}

fn known(name: &str, bytes: &[u8]) -> (String, Sums) {
    let (len, sha256) = (Some(bytes.len() as u64), Some(sha256(bytes)));
    (name.into(), Sums { bytes: len, sha256, ..Sums::default() })
}

/// An archive of a known and a free file, and a server that has it.
fn things() -> (Artifact, Server, Vec<u8>) {
    let data = noise(200_000);
    let bytes = tar(&[("data.bin", &data), ("note.txt", b"hello")]);
    let server = Server::of(&bytes);
    let members = vec![known("data.bin", &data), ("note.txt".into(), Sums::default())];
    let unpack = Some(Unpack { folder: "things".into(), members });
    let thing = Artifact { unpack, ..artifact(&bytes, &[server.url("a")]) };
    (thing, server, data)
}

#[test]
fn an_archive_is_downloaded_once_and_unpacked_once() {
    let (bench, (mut thing, server, data)) = (Bench::new(), things());
    let fetched = bench.fetch(&thing).expect("the folder");
    assert_eq!((&fetched.path, fetched.downloaded), (&bench.path("things"), true));
    assert_eq!(fs::read(bench.path("things/data.bin")).expect("a member"), data);
    assert_eq!(fs::read(bench.path("things/note.txt")).expect("a member"), b"hello");
    assert!(!bench.fetch(&thing).expect("the folder").downloaded);
    // The folder is enough; the archive may be removed.
    fs::remove_file(bench.path("thing.bin")).expect("removed");
    assert!(!bench.fetch(&thing).expect("the folder").downloaded);
    assert_eq!(bench.fetcher().state(&thing), State::Present);
    assert_eq!(server.requests().len(), 1);
    // And the archive is enough without the network.
    fs::remove_dir_all(bench.path("things")).expect("removed");
    thing.urls.clear();
    fs::write(bench.path("thing.bin"), tar(&[("data.bin", &data), ("note.txt", b"hello")]))
        .expect("a copy");
    let mut offline = bench;
    offline.options.offline = true;
    assert!(!offline.fetch(&thing).expect("unpacked").downloaded);
    assert_eq!(fs::read(offline.path("things/data.bin")).expect("a member"), data);
}

#[test]
fn members_of_a_folder_are_verified_on_demand() {
    let (mut bench, (thing, _server, data)) = (Bench::new(), things());
    bench.fetch(&thing).expect("the folder");
    let mut rotten = data;
    rotten[77] ^= 1;
    fs::write(bench.path("things/data.bin"), &rotten).expect("a member");
    bench.fetch(&thing).expect("sizes are right");
    bench.options.verify_again = true;
    let error = bench.fetch(&thing).expect_err("one bit");
    assert!(
        matches!(&error, FetchError::Sum { path, .. } if path.ends_with("data.bin")),
        "{error}"
    );
}

#[test]
fn a_folder_that_is_not_complete_is_left_alone_and_named() {
    let (bench, (thing, server, _)) = (Bench::new(), things());
    fs::create_dir(bench.path("things")).expect("a folder");
    fs::write(bench.path("things/mine"), b"mine").expect("a file");
    let error = bench.fetch(&thing).expect_err("incomplete").to_string();
    assert!(error.contains("things/data.bin"), "{error}");
    assert!(bench.path("things/mine").exists() && server.requests().is_empty());
}

#[test]
fn a_member_with_a_wrong_hash_leaves_no_folder() {
    let (bench, (mut thing, _server, _)) = (Bench::new(), things());
    for (name, wrong) in [(0, "0".repeat(64)), (1, sha256(b"another"))] {
        let mut unpack = thing.unpack.clone().expect("members");
        unpack.members[name].1.sha256 = Some(wrong);
        let spoiled = Artifact { unpack: Some(unpack), ..thing.clone() };
        let error = bench.fetch(&spoiled).expect_err("a wrong member");
        assert!(matches!(error, FetchError::Sum { .. }), "{error}");
        assert!(!bench.path("things").exists());
    }
    // A member that lists another size than it has, too.
    thing.unpack.as_mut().expect("members").members[0].1.bytes = Some(7);
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Content { .. })));
    assert!(!bench.path("things").exists());
    let names: Vec<_> = fs::read_dir(bench.path("")).expect("the folder").collect();
    assert_eq!(names.len(), 3, "the archive, its record, its lock: {names:?}");
}

#[test]
fn an_empty_member_is_compared_too() {
    let bench = Bench::new();
    let bytes = tar(&[("data.bin", b"")]);
    let server = Server::of(&bytes);
    let sums = Sums { sha256: Some(sha256(b"not empty")), ..Sums::default() };
    let members = vec![("data.bin".to_owned(), sums)];
    let unpack = Some(Unpack { folder: "things".into(), members });
    let thing = Artifact { unpack, ..artifact(&bytes, &[server.url("a")]) };
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
}

#[test]
fn an_interrupted_unpacking_leaves_no_folder() {
    let (bench, (thing, _server, data)) = (Bench::new(), things());
    let stop = Arc::new(AtomicBool::new(false));
    let ask = stop.clone();
    let see = move |told: Told| match told {
        Told::Progress(what, ..) => ask.store(what == "unpacking thing.bin", Ordering::Relaxed),
        Told::Message(..) => {}
    };
    let error = hear(see, || bench.fetcher().fetch(&thing, &stop)).expect_err("interrupted");
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error}");
    assert!(!bench.path("things").exists() && bench.path("thing.bin").exists());
    bench.fetch(&thing).expect("the folder");
    assert_eq!(fs::read(bench.path("things/data.bin")).expect("a member"), data);
}
