//! Splits and files from a hub, good and bad.

use std::path::{Path, PathBuf};

use deepsim_fetch::FetchError;
use deepsim_fetch::hub::{self, HubError, HubOptions, Split};

use crate::hear::{Told, heard};
use crate::server::{COMMIT, Fault, Server};

const FIRST: &str = "default/train/0000.parquet";
const SECOND: &str = "default/train/0001.parquet";

/// Bytes of file `i`, unlike those of all others.
fn bytes(i: usize) -> Vec<u8> {
    (0..300 + 7 * i).map(|k| ((k + 1) * (k + 3) * (i + 2) % 251) as u8).collect()
}

fn server() -> Server {
    Server::start(&[
        (FIRST, bytes(0)),
        (SECOND, bytes(1)),
        ("default/test/0000.parquet", bytes(2)),
        ("README.md", b"a card".to_vec()),
    ])
}

fn options(server: &Server, cache: &Path) -> HubOptions {
    HubOptions {
        endpoint: Some(server.url()),
        token: Some("a-secret".into()),
        cache: Some(cache.into()),
        attempts: 2,
        ..HubOptions::default()
    }
}

fn open(options: &HubOptions) -> Result<Split, FetchError> {
    hub::split("someone/pictures", "train", options)
}

fn refusal(options: &HubOptions) -> FetchError {
    open(options).expect_err("an error")
}

fn assert_whole(split: &Split) {
    assert_eq!(split.files.len(), 2);
    for (i, path) in split.files.iter().enumerate() {
        assert!(std::fs::read(path).expect("a file") == bytes(i), "{}", path.display());
    }
}

/// Resolves a link in the cache to its blob.
fn blob(split: &Split, file: usize) -> PathBuf {
    std::fs::canonicalize(&split.files[file]).expect("the file is there")
}

/// Changes a byte and leaves length and, if asked to, time as they are.
fn damage(path: &Path, keep_time: bool) {
    let time = std::fs::metadata(path).and_then(|m| m.modified()).expect("a time");
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[60] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    let later = time + std::time::Duration::from_secs(if keep_time { 0 } else { 5 });
    let file = std::fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(later).expect("a time");
}

#[test]
fn a_split_is_fetched_once_and_then_works_without_the_hub() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let mut options = options(&server, cache.path());
    let (first, told) = heard(|| open(&options).expect("a split"));
    assert_whole(&first);
    assert_eq!((first.commit.as_str(), first.rows), (COMMIT, None));
    assert_eq!(server.count("/revision/refs%2Fconvert%2Fparquet"), 1, "the default revision");
    let asked = |place: &str| (server.count(place), server.count_with_token(place));
    for place in ["/api/", "/resolve/"] {
        assert!(asked(place).0 >= 2 && asked(place).0 == asked(place).1, "{place}");
    }
    assert_eq!(server.count("default/test"), 0, "other splits stay where they are");
    let total = (bytes(0).len() + bytes(1).len()) as u64;
    let progress = |told: &Told| match told {
        Told::Progress(what, done, Some(all)) => {
            assert_eq!((what.as_str(), *all), ("fetching someone/pictures", total));
            Some(*done)
        }
        _ => None,
    };
    let told: Vec<u64> = told.iter().filter_map(progress).collect();
    assert!(told.is_sorted() && told.last() == Some(&total), "{told:?}");
    assert!(told.iter().any(|done| (1..total).contains(done)), "{told:?}");
    let transfers = server.count("GET /store");
    assert_eq!(transfers, 2);
    assert_whole(&open(&options).expect("a split"));
    assert_eq!(server.count("GET /store"), transfers, "what is here is not fetched again");
    drop(server);
    options.offline = true;
    let offline = open(&options).expect("a split");
    assert_whole(&offline);
    assert_eq!(offline, first);
    options.rehash = true;
    assert_whole(&open(&options).expect("a split"));
}

#[test]
fn a_damaged_file_is_noticed_offline_and_fetched_again_online() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let online = options(&server, cache.path());
    let offline = HubOptions { offline: true, ..online.clone() };
    let path = blob(&open(&online).expect("a split"), 1);

    damage(&path, false);
    let error = refusal(&offline);
    assert!(matches!(&error, FetchError::Content { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("0001.parquet") && message.contains("sha256"), "{message}");
    assert_whole(&open(&online).expect("a split"));
    assert_whole(&open(&offline).expect("a split"));

    damage(&path, true);
    let thorough = HubOptions { rehash: true, ..offline.clone() };
    assert!(matches!(refusal(&thorough), FetchError::Content { .. }), "same length, same time");
    assert_whole(&open(&HubOptions { rehash: true, ..online.clone() }).expect("a split"));

    std::fs::write(&path, "short").expect("a file");
    let message = refusal(&offline).to_string();
    assert!(message.ends_with("found 5"), "{message}");
    std::fs::remove_file(&path).expect("the file is gone");
    assert!(matches!(refusal(&offline), FetchError::Hub(HubError::Offline { .. })));
    assert_whole(&open(&online).expect("a split"));
}

#[test]
fn wrong_bytes_of_the_hub_are_an_error_and_do_not_stay() {
    for fault in [Fault::WrongBytes, Fault::Short] {
        let cache = tempfile::tempdir().expect("a folder");
        let server = server();
        let online = options(&server, cache.path());
        server.fault("GET /store/default/train/0001", fault, usize::MAX);
        let error = refusal(&online);
        assert!(matches!(&error, FetchError::Content { .. }), "{error}");
        assert!(error.to_string().contains("0001.parquet"), "{error}");
        let blobs = cache.path().join("datasets--someone--pictures/blobs");
        assert_eq!(std::fs::read_dir(blobs).expect("a folder").count(), 1, "the first, good file");
        let offline = HubOptions { offline: true, ..online };
        assert!(matches!(refusal(&offline), FetchError::Hub(HubError::Offline { .. })));
    }
}

#[test]
fn a_transfer_that_goes_wrong_once_is_repeated() {
    for fault in [Fault::Drop, Fault::WrongBytes, Fault::Status(503)] {
        let cache = tempfile::tempdir().expect("a folder");
        let server = server();
        server.fault("GET /store", fault, 1);
        assert_whole(&open(&options(&server, cache.path())).expect("a split"));
    }
}

#[test]
fn transfers_that_keep_breaking_off_are_an_error() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    server.fault("GET /store/default/train/0000", Fault::Drop, usize::MAX);
    let error = refusal(&options(&server, cache.path()));
    assert!(matches!(&error, FetchError::Hub(HubError::Transfer { .. })), "{error}");
    assert!(error.to_string().contains("downloading default/train/0000.parquet"), "{error}");
    assert_eq!(server.count("GET /store"), 2, "the attempts asked for");
}

#[test]
fn an_error_page_in_place_of_a_file_is_not_taken_for_it() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    server.fault("GET /store", Fault::Status(403), usize::MAX);
    let error = refusal(&options(&server, cache.path()));
    assert!(matches!(&error, FetchError::Content { .. }), "{error}");
}

#[test]
fn a_gated_repository_says_what_to_do() {
    for (place, status) in [("GET /api", 401), ("GET /api", 403), ("/tree/", 401), ("HEAD", 401)] {
        let cache = tempfile::tempdir().expect("a folder");
        let server = server();
        server.fault(place, Fault::Status(status), usize::MAX);
        let error = refusal(&options(&server, cache.path()));
        assert!(
            matches!(&error, FetchError::Hub(HubError::Refused { status: s, .. }) if *s == status),
            "{place}: {error}"
        );
        let message = error.to_string();
        for part in ["huggingface.co/datasets/someone/pictures", "accept its terms", "HF_TOKEN"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("a-secret"), "{message}");
    }
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let options = options(&server, cache.path());
    let error = hub::split("someone/pictures", "validation", &options).err();
    let message = error.expect("no such split").to_string();
    assert!(message.contains("split validation") && message.contains(FIRST), "{message}");
    server.fault("/revision/nowhere", Fault::Status(404), 1);
    let error = refusal(&HubOptions { revision: Some("nowhere".into()), ..options.clone() });
    assert!(matches!(&error, FetchError::Hub(HubError::Missing { .. })), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
    let error = refusal(&HubOptions { offline: true, ..options.clone() });
    assert!(matches!(&error, FetchError::Hub(HubError::Offline { .. })), "{error}");
    for name in ["", "a/b/c", "../x", "a/..", "a b/c", "/a", "a/"] {
        let error = hub::split(name, "train", &options).expect_err("no such name");
        assert!(matches!(&error, FetchError::Hub(HubError::Name { .. })), "{name}: {error}");
    }
}

#[test]
fn a_hub_that_is_down_is_an_error_and_one_that_comes_back_is_not() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let options = options(&server, cache.path());
    server.fault("GET /api", Fault::Status(503), usize::MAX);
    let error = refusal(&options);
    assert!(matches!(&error, FetchError::Hub(HubError::Transfer { .. })), "{error}");
    assert!(error.to_string().contains("503"), "{error}");
    let again = self::server();
    again.fault("GET /api", Fault::Status(503), 1);
    again.fault("HEAD", Fault::Status(503), 1);
    assert_whole(
        &open(&HubOptions { endpoint: Some(again.url()), ..options.clone() }).expect("a split"),
    );
    drop((server, again));
    let error = refusal(&options);
    assert!(matches!(&error, FetchError::Hub(HubError::Transfer { .. })), "{error}");
}

#[test]
fn a_listing_cannot_lead_out_of_the_cache() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[("../../../train/0000.parquet", bytes(0))]);
    let error = refusal(&options(&server, cache.path()));
    assert!(error.to_string().contains("../../../train/0000.parquet"), "{error}");
    assert_eq!(server.count("/resolve/") + server.count("/store/"), 0);
}

#[test]
fn a_known_repository_says_how_many_pictures_it_has() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let known = hub::split("tanganke/stl10", "train", &options(&server, cache.path()));
    assert_eq!(known.expect("a split").rows, Some(5000));
}

#[test]
fn small_files_that_are_not_in_lfs_are_verified_too() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[("small/train/0000.parquet", bytes(0))]);
    let options = options(&server, cache.path());
    let split = open(&options).expect("a split");
    assert_eq!(std::fs::read(&split.files[0]).expect("a file"), bytes(0));
    let other = tempfile::tempdir().expect("a folder");
    server.fault("GET /store", Fault::WrongBytes, usize::MAX);
    let error = refusal(&HubOptions { cache: Some(other.path().into()), ..options });
    assert!(matches!(&error, FetchError::Content { .. }), "{error}");
}

#[test]
fn a_folder_chooses_between_configurations() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[("a/train/0.parquet", bytes(0)), ("b/train/0.parquet", bytes(1))]);
    let options = options(&server, cache.path());
    let message = refusal(&options).to_string();
    assert!(message.contains("a/train, b/train"), "{message}");
    let split = open(&HubOptions { folder: Some("b".into()), ..options }).expect("a split");
    assert_eq!(std::fs::read(&split.files[0]).expect("a file"), bytes(1));
}

#[test]
fn a_file_of_a_model_has_an_address_and_works_without_the_hub() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = Server::start(&[("weights/a.safetensors", bytes(3)), ("README.md", bytes(4))]);
    let mut options = options(&server, cache.path());
    let address = "hf://someone/net/weights/a.safetensors";
    let path = hub::file(address, &options).expect("a file");
    assert_eq!(std::fs::read(&path).expect("a file"), bytes(3));
    assert!(server.count("/api/models/someone/net/revision/main") >= 1);
    assert_eq!(server.count("README.md"), 0, "other files stay where they are");
    hub::file("hf://someone/net@v1/weights/a.safetensors", &options).expect("a file");
    assert_eq!(server.count("/revision/v1"), 1);

    let error = hub::file("hf://someone/net/b.safetensors", &options).expect_err("missing");
    let message = error.to_string();
    assert!(message.contains("expected b.safetensors, found README.md, weights/a"), "{message}");
    for address in
        ["hf://a/b", "hf://a/b/", "hf://a/../c", "https://a/b/c", "hf://a/b@/c", "hf:///b/c"]
    {
        let error = hub::file(address, &options).expect_err(address);
        assert!(matches!(&error, FetchError::Hub(HubError::Name { .. })), "{address}: {error}");
    }
    server.fault("GET /api", Fault::Status(401), usize::MAX);
    let message = hub::file(address, &options).expect_err("refused").to_string();
    assert!(message.contains("https://huggingface.co/someone/net,"), "{message}");
    drop(server);
    options.offline = true;
    assert_eq!(hub::file(address, &options).expect("it is here"), path);
}

#[test]
fn two_at_once_fetch_a_split_once() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = server();
    let options = &options(&server, cache.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_whole(&open(options).expect("a split")));
        }
    });
    assert_eq!(server.count("GET /store"), 2);
}
