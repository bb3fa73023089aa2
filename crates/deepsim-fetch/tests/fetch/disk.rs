//! Files that are there already, records of them, and disks that refuse.

use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use deepsim_fetch::{Artifact, FetchError, Fetcher, Notice, State, verify};

use crate::bench::{Bench, NEVER, artifact, content, sha256, unknown};
use crate::hear::{Told, heard};
use crate::server::{Reply, Server};

/// Returns how many times a file is read for its verification.
fn checks(bench: &Bench, artifact: &Artifact) -> usize {
    let (fetched, told) = heard(|| bench.fetcher().fetch(artifact, &NEVER));
    fetched.expect("the file");
    let whole = |told: &&Told| match told {
        Told::Progress(what, done, total) => {
            *what == format!("verifying {}", artifact.file) && Some(*done) == *total
        }
        Told::Message(..) => false,
    };
    told.iter().filter(whole).count()
}

#[test]
fn a_verified_file_is_read_again_only_if_it_changed_or_on_demand() {
    let (mut bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    assert_eq!(checks(&bench, &thing), 0, "hashed while it arrives");
    assert_eq!(checks(&bench, &thing), 0, "remembered");
    let path = bench.path("thing.bin");
    let later =
        fs::metadata(&path).expect("the file").modified().expect("a time") + Duration::from_secs(2);
    let file = fs::File::options().write(true).open(&path).expect("the file");
    file.set_modified(later).expect("a new time");
    assert_eq!(checks(&bench, &thing), 1, "its time changed");
    assert_eq!(checks(&bench, &thing), 0);
    fs::write(bench.path("thing.bin.verified.json"), "{").expect("a broken record");
    assert_eq!(checks(&bench, &thing), 1, "no record");
    bench.options.verify_again = true;
    assert_eq!(checks(&bench, &thing), 1, "asked for");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_record_does_not_hide_that_the_registry_changed() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let mut thing = artifact(&bytes, &[server.url("a")]);
    bench.fetch(&thing).expect("the file");
    thing.sums.sha256 = Some("0".repeat(64));
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
}

#[test]
fn a_hash_that_the_record_does_not_tell_is_computed() {
    let (bench, bytes) = (Bench::new(), b"abc".to_vec());
    let server = Server::of(&bytes);
    let mut thing = artifact(&bytes, &[server.url("a")]);
    bench.fetch(&thing).expect("the file");
    thing.sums.md5 = Some("900150983cd24fb0d6963f7d28e17f72".into());
    assert_eq!(checks(&bench, &thing), 1);
    assert_eq!(checks(&bench, &thing), 0, "now it is told");
}

#[test]
fn a_users_file_that_is_wrong_is_left_alone_and_named() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    fs::write(bench.path("thing.bin"), b"mine").expect("a file");
    let error = bench.fetch(&thing).expect_err("another size").to_string();
    assert!(error.contains("thing.bin: expected 300000 bytes, found 4 bytes"), "{error}");
    fs::write(bench.path("thing.bin"), vec![1; bytes.len()]).expect("a file");
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
    assert_eq!(fs::read(bench.path("thing.bin")).expect("still there"), vec![1; bytes.len()]);
    assert!(server.requests().is_empty());
}

#[test]
fn an_unknown_file_is_pinned_and_told() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = unknown(&bytes, &[server.url("a")]);
    let notice = Notice::Pinned { bytes: 300_000, sha256: sha256(&bytes) };
    assert_eq!(bench.fetch(&thing).expect("the file").notices, [notice]);
    let pin = fs::read_to_string(bench.path("thing.bin.sha256")).expect("the pin");
    assert_eq!(pin, format!("{}  thing.bin\n", sha256(&bytes)), "the format of sha256sum");
    assert!(bench.fetch(&thing).expect("it is there").notices.is_empty());

    // A later copy must be the same, downloaded or not.
    fs::write(bench.path("thing.bin"), vec![1; bytes.len()]).expect("another file");
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
    fs::remove_file(bench.path("thing.bin")).expect("removed");
    let other = Server::of(b"another");
    let moved = unknown(&bytes, &[other.url("a")]);
    assert!(matches!(bench.fetch(&moved), Err(FetchError::Sum { .. })));
    bench.fetch(&thing).expect("the same file again");

    // A pin that cannot be read must not be forgotten.
    fs::write(bench.path("thing.bin.sha256"), "what?").expect("a broken pin");
    let error = bench.fetch(&thing).expect_err("no pin").to_string();
    assert!(error.contains("thing.bin.sha256: expected a line of `sha256sum`"), "{error}");
}

#[test]
fn offline_verifies_what_is_there_and_opens_no_socket() {
    let (mut bench, bytes) = (Bench::new(), content());
    bench.options.offline = true;
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    let error = bench.fetch(&thing).expect_err("absent");
    assert!(matches!(&error, FetchError::Offline { path, .. } if *path == bench.path("thing.bin")));
    fs::write(bench.path("thing.bin"), &bytes).expect("a copy");
    assert!(!bench.fetch(&thing).expect("it is right").downloaded);
    fs::write(bench.path("thing.bin"), vec![0; bytes.len()]).expect("a corrupt copy");
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
    assert!(server.requests().is_empty());
}

#[test]
fn a_file_that_only_the_user_can_get_is_asked_for_and_then_verified() {
    let (bench, bytes) = (Bench::new(), content());
    let how = Some("Register at example.org.".to_owned());
    let thing = Artifact { manual: how, ..artifact(&bytes, &[]) };
    let text = bench.fetch(&thing).expect_err("absent").to_string();
    assert!(text.contains("Register at example.org."), "{text}");
    assert!(text.contains(&bench.path("thing.bin").display().to_string()), "{text}");
    fs::write(bench.path("thing.bin"), &bytes).expect("the user's copy");
    bench.fetch(&thing).expect("it is right");
    fs::write(bench.path("thing.bin"), &bytes[1..]).expect("the user's copy, broken");
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Content { .. })));
}

#[test]
fn a_licence_is_shown_and_must_be_accepted() {
    let (mut bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let licence = "for research only".to_owned();
    let thing = Artifact { accept: true, licence, ..artifact(&bytes, &[server.url("a")]) };
    let error = bench.fetch(&thing).expect_err("not accepted");
    assert!(
        matches!(&error, FetchError::Licence { licence, .. } if licence == "for research only")
    );
    assert!(server.requests().is_empty());
    bench.options.accept_licence = true;
    bench.fetch(&thing).expect("accepted");
    bench.assert_arrived(&bytes);
}

#[test]
fn two_at_once_do_not_mix() {
    let (bench, bytes) = (Bench::new(), content());
    let begun = Arc::new(Barrier::new(2));
    let (body, first) = (bytes.clone(), begun.clone());
    let server = Server::start(move |_, request| {
        first.wait();
        Reply::file(request, &body, "\"1\"")
    });
    let thing = artifact(&bytes, &[server.url("a")]);
    let (fetcher, second) = (bench.fetcher(), bench.fetcher());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetcher.fetch(&thing, &NEVER));
        while server.requests().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        // The first one waits for the server, and the server for this thread.
        let error = second.fetch(&thing, &NEVER).expect_err("the other holds it");
        assert!(matches!(error, FetchError::Locked { .. }), "{error}");
        begun.wait();
        first.join().expect("the first").expect("the file");
    });
    bench.assert_arrived(&bytes);
    // The lock ended with its holder.
    assert!(!bench.fetch(&thing).expect("it is there").downloaded);
}

#[test]
fn a_missing_folder_is_made() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let folder = bench.path("some/where");
    let fetcher = Fetcher::new(&folder, bench.options.clone()).expect("options");
    let thing = artifact(&bytes, &[server.url("a")]);
    fetcher.fetch(&thing, &NEVER).expect("the file");
    assert_eq!(fs::read(folder.join("thing.bin")).expect("the file"), bytes);
}

#[test]
fn a_file_in_the_way_of_the_folder_is_named() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    fs::write(bench.path("file"), b"").expect("a file");
    let fetcher = Fetcher::new(&bench.path("file"), bench.options.clone()).expect("options");
    let thing = artifact(&bytes, &[server.url("a")]);
    let error = fetcher.fetch(&thing, &NEVER).expect_err("no folder");
    assert!(
        matches!(&error, FetchError::Io { .. }) && error.to_string().contains("file"),
        "{error}"
    );
    assert!(server.requests().is_empty());
}

#[test]
fn a_folder_in_the_way_of_a_name_is_an_error_and_stays() {
    let bytes = content();
    let server = Server::of(&bytes);
    for name in ["thing.bin", "thing.bin.part", "thing.bin.lock"] {
        let bench = Bench::new();
        fs::create_dir(bench.path(name)).expect("a folder");
        let error = bench.fetch(&artifact(&bytes, &[server.url("a")])).expect_err("in the way");
        assert!(error.to_string().contains(name), "{error}");
        assert!(bench.path(name).is_dir());
    }
    assert!(server.requests().is_empty());
}

#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let (bench, bytes) = (Bench::new(), content());
    let folder = bench.path("closed");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).expect("closed");
    if fs::write(folder.join("try"), b"").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let server = Server::of(&bytes);
    let fetcher = Fetcher::new(&folder, bench.options.clone()).expect("options");
    let thing = artifact(&bytes, &[server.url("a")]);
    let error = fetcher.fetch(&thing, &NEVER).expect_err("closed");
    let FetchError::Io { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), ErrorKind::PermissionDenied);
    assert!(server.requests().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_at_once() {
    let (bench, bytes) = (Bench::new(), content());
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", bench.path("thing.bin.part")).expect("a link");
    let requests = Arc::new(AtomicUsize::new(0));
    let (counted, body) = (requests.clone(), bytes.clone());
    let server = Server::start(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::body(&body)
    });
    let urls = [server.url("a"), server.url("b")];
    let error = bench.fetch(&artifact(&bytes, &urls)).expect_err("full");
    let FetchError::Io { operation, source, .. } = &error else { panic!("{error}") };
    assert_eq!((*operation, source.kind()), ("writing", ErrorKind::StorageFull));
    assert_eq!(requests.load(Ordering::Relaxed), 1, "another server does not empty the disk");
    bench.assert_absent();
}

#[test]
fn what_is_on_the_disk_is_told_without_reading_it() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    assert_eq!(bench.fetcher().state(&thing), State::Absent);
    bench.fetch_until(&thing, 100_000);
    assert!(matches!(bench.fetcher().state(&thing), State::Partial(n) if n > 100_000));
    bench.fetch(&thing).expect("the file");
    assert_eq!(bench.fetcher().state(&thing), State::Present);
    fs::write(bench.path("thing.bin"), b"short").expect("a file");
    assert_eq!(bench.fetcher().state(&thing), State::Absent);
}

#[test]
fn any_file_can_be_verified() {
    let (bench, bytes) = (Bench::new(), content());
    let sums = artifact(&bytes, &[]).sums;
    let path = bench.path("x");
    let missing = verify(&path, &sums).expect_err("missing");
    assert!(missing.to_string().contains("x: "), "{missing}");
    fs::write(&path, &bytes).expect("a file");
    assert_eq!(verify(&path, &sums).expect("right"), []);
    fs::write(&path, &bytes[1..]).expect("a file");
    assert!(matches!(verify(&path, &sums), Err(FetchError::Content { .. })));
    assert!(matches!(verify(&bench.path(""), &sums), Err(FetchError::Content { .. })));
}
