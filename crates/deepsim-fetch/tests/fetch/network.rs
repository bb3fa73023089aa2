//! Servers that refuse, lie, stall and redirect.

use std::time::Duration;

use deepsim_fetch::{Algorithm, Artifact, FetchError, Notice, Sums};

use crate::bench::{Bench, artifact, content, sha256, unknown};
use crate::server::{Reply, Server};

#[test]
fn a_whole_file_arrives() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let fetched = bench.fetch(&artifact(&bytes, &[server.url("thing.bin")])).expect("the file");
    assert_eq!((fetched.path, fetched.downloaded), (bench.path("thing.bin"), true));
    assert!(fetched.notices.is_empty());
    bench.assert_arrived(&bytes);
    assert_eq!(server.requests()[0].path, "/thing.bin");
}

#[test]
fn every_kind_of_hash_is_compared() {
    let bytes = b"abc".to_vec();
    let server = Server::of(&bytes);
    let hash = |text: &str| Some(text.to_owned());
    let right = [
        (Algorithm::Md5, Sums { md5: hash("900150983cd24fb0d6963f7d28e17f72"), ..Sums::default() }),
        (
            Algorithm::Sha1,
            Sums { sha1: hash("a9993e364706816aba3e25717850c26c9cd0d89d"), ..Sums::default() },
        ),
        (Algorithm::Sha256, Sums { sha256: hash(&sha256(b"abc")), ..Sums::default() }),
    ];
    for (algorithm, sums) in right {
        let right = Artifact { sums, ..unknown(&bytes, &[server.url("a")]) };
        let bench = Bench::new();
        bench.fetch(&right).expect("the file");
        bench.assert_arrived(b"abc");
        let mut wrong = right;
        for hash in [&mut wrong.sums.md5, &mut wrong.sums.sha1, &mut wrong.sums.sha256] {
            *hash = hash.as_ref().map(|hash| "0".repeat(hash.len()));
        }
        let bench = Bench::new();
        let error = bench.fetch(&wrong).expect_err("another file");
        assert!(
            matches!(&error, FetchError::Sum { algorithm: a, .. } if *a == algorithm),
            "{error}"
        );
        bench.assert_absent();
    }
}

#[test]
fn a_wrong_hash_leaves_nothing_behind() {
    let (bench, bytes) = (Bench::new(), content());
    let mut other = bytes.clone();
    other[200_000] ^= 1;
    let server = Server::of(&other);
    let error = bench.fetch(&artifact(&bytes, &[server.url("thing.bin")])).expect_err("one bit");
    let FetchError::Sum { path, wanted, got, .. } = error else { panic!("{error}") };
    assert_eq!((path, wanted, got), (bench.path("thing.bin"), sha256(&bytes), sha256(&other)));
    bench.assert_absent();
    bench.assert_no_part();
    assert_eq!(server.requests().len(), 1, "the same bytes would come again");
}

#[test]
fn after_a_wrong_hash_the_next_address_is_taken() {
    let (bench, bytes) = (Bench::new(), content());
    let (bad, good) = (Server::of(&vec![7; bytes.len()]), Server::of(&bytes));
    bench.fetch(&artifact(&bytes, &[bad.url("a"), good.url("b")])).expect("the second address");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_second_hand_hash_that_differs_is_told_and_no_error() {
    let (bench, bytes) = (Bench::new(), b"abc".to_vec());
    let server = Server::of(&bytes);
    let sums = Sums {
        sha256: Some("0".repeat(64)),
        md5: Some("900150983cd24fb0d6963f7d28e17f72".into()),
        second_hand: vec![Algorithm::Sha256],
        ..Sums::default()
    };
    let reported = Artifact { sums, ..unknown(&bytes, &[server.url("a")]) };
    let expected = Notice::SecondHand {
        algorithm: Algorithm::Sha256,
        wanted: "0".repeat(64),
        got: sha256(&bytes),
    };
    // The second time the record is used, without reading the file.
    for _ in 0..2 {
        let fetched = bench.fetch(&reported).expect("its MD5 is right");
        assert_eq!(fetched.notices, std::slice::from_ref(&expected));
    }
}

#[test]
fn a_server_with_a_file_of_another_size_is_refused_before_the_body() {
    let bytes = content();
    for length in [bytes.len() - 10, bytes.len() + 10] {
        let bench = Bench::new();
        let body = bytes.clone();
        let server = Server::start(move |_, _| Reply::body(&body).with("Content-Length", length));
        let error = bench.fetch(&artifact(&bytes, &[server.url("a")])).expect_err("another size");
        let text = error.to_string();
        assert!(text.contains("content-length: expected 300000 bytes"), "{text}");
        assert!(text.contains(&format!("found {length} bytes")), "{text}");
        bench.assert_absent();
        bench.assert_no_part();
    }
}

#[test]
fn a_server_that_sends_less_than_it_announces_is_an_error_in_the_end() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    // No tag, so every try begins anew; 10 bytes are always missing.
    let server =
        Server::start(move |_, _| Reply::body(&body).with("Content-Length", body.len() + 10));
    let error = bench.fetch(&unknown(&bytes, &[server.url("a")])).expect_err("it never ends");
    assert!(matches!(error, FetchError::Network { operation: "receiving", .. }), "{error}");
    assert_eq!(server.requests().len(), 3, "as many as attempts");
    assert_eq!(bench.waits(), [1, 3]);
    bench.assert_absent();
}

#[test]
fn bytes_beyond_the_announced_length_are_not_taken() {
    let (bench, bytes) = (Bench::new(), content());
    let mut longer = bytes.clone();
    longer.extend_from_slice(b"more");
    let length = bytes.len();
    let server = Server::start(move |_, _| Reply::body(&longer).with("Content-Length", length));
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the announced part is right");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_body_without_end_is_cut_off() {
    let (bench, bytes) = (Bench::new(), content());
    let flood = Server::start(|_, _| Reply::body(&vec![0; 3_000_000]).chunked());
    let error = bench.fetch(&unknown(&bytes, &[flood.url("a")])).expect_err("too much");
    assert!(error.to_string().contains("body: expected at most 1000000 bytes"), "{error}");
    let announced = Server::start(|_, _| Reply::body(b"").with("Content-Length", 1u64 << 50));
    let error = bench.fetch(&unknown(&bytes, &[announced.url("a")])).expect_err("too much");
    assert!(error.to_string().contains("content-length: expected at most 1000000"), "{error}");
    bench.assert_absent();
    bench.assert_no_part();
}

#[test]
fn a_body_in_chunks_needs_no_length() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |_, _| Reply::body(&body).chunked());
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the file");
    bench.assert_arrived(&bytes);
}

#[test]
fn chunks_that_break_off_are_no_whole_file() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, _| {
        let whole = Reply::body(&body).chunked();
        if number == 0 { whole.cut(150_000) } else { whole }
    });
    // Not even where no size is known.
    bench.fetch(&unknown(&bytes, &[server.url("a")])).expect("the second try");
    assert_eq!(server.requests().len(), 2);
    bench.assert_arrived(&bytes);
}

#[test]
fn chunks_that_end_too_early_every_time_are_given_up() {
    // More than a mebibyte each time, but never further: no progress.
    let (bench, bytes) = (Bench::new(), crate::bench::noise(2_000_000));
    let body = bytes[..1_500_000].to_vec();
    let server = Server::start(move |_, _| Reply::body(&body).chunked().with("ETag", "\"1\""));
    let error = bench.fetch(&artifact(&bytes, &[server.url("a")])).expect_err("too short");
    assert!(error.to_string().contains("expected 2000000 bytes, found 1500000 bytes"), "{error}");
    assert!(server.requests().len() < 10);
}

#[test]
fn a_body_without_a_marked_end_is_taken_only_with_a_hash() {
    let bytes = content();
    let body = bytes.clone();
    let server = Server::start(move |_, _| Reply::body(&body).without("Content-Length"));
    let bench = Bench::new();
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("its hash is right");
    bench.assert_arrived(&bytes);
    let bench = Bench::new();
    let error = bench.fetch(&unknown(&bytes, &[server.url("a")])).expect_err("who knows");
    assert!(error.to_string().contains("a marked end"), "{error}");
    bench.assert_absent();
}

#[test]
fn a_busy_server_is_asked_again_after_growing_waits() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, _| match number {
        0 | 1 => Reply::status(503),
        _ => Reply::body(&body),
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the third try");
    assert_eq!(bench.waits(), [1, 3]);
    bench.assert_arrived(&bytes);
}

#[test]
fn a_server_is_asked_again_when_it_says() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, _| match number {
        0 => Reply::status(429).with("Retry-After", 17),
        _ => Reply::body(&body),
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the second try");
    assert_eq!(bench.waits(), [17]);
}

#[test]
fn a_server_that_asks_for_too_long_a_wait_is_left() {
    let (bench, bytes) = (Bench::new(), content());
    let busy = Server::start(|_, _| Reply::status(503).with("Retry-After", 3600));
    let good = Server::of(&bytes);
    bench.fetch(&artifact(&bytes, &[busy.url("a"), good.url("b")])).expect("the second address");
    assert_eq!((busy.requests().len(), bench.waits().len()), (1, 0));
}

#[test]
fn a_missing_file_is_looked_for_at_the_next_address_at_once() {
    let (bench, bytes) = (Bench::new(), content());
    let (gone, good) = (Server::start(|_, _| Reply::status(404)), Server::of(&bytes));
    bench.fetch(&artifact(&bytes, &[gone.url("a"), good.url("b")])).expect("the second address");
    assert_eq!((gone.requests().len(), bench.waits().len()), (1, 0));
    bench.assert_arrived(&bytes);
}

#[test]
fn where_all_addresses_fail_each_is_named() {
    let (bench, bytes) = (Bench::new(), content());
    let gone = Server::start(|_, _| Reply::status(404));
    // A port that no longer has a listener.
    let closed = Server::of(&bytes).url("b");
    let urls = [gone.url("a"), closed.clone()];
    let error = bench.fetch(&artifact(&bytes, &urls)).expect_err("nobody has it");
    let text = error.to_string();
    assert!(text.contains("thing") && text.contains("404"), "{text}");
    assert!(text.contains(&gone.url("a")) && text.contains(&closed), "{text}");
    assert_eq!(bench.waits(), [1, 3], "a refused connection may be a restart");
    bench.assert_absent();
    bench.assert_no_part();
}

#[test]
fn redirects_are_followed_and_loops_end() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/old" => Reply::status(302).with("Location", "/new"),
        "/new" => Reply::body(&body),
        _ => Reply::status(302).with("Location", "/loop"),
    });
    let error = bench.fetch(&artifact(&bytes, &[server.url("loop")])).expect_err("a loop");
    assert!(matches!(error, FetchError::Network { transient: false, .. }), "{error}");
    assert!(server.requests().len() < 20);
    bench.fetch(&artifact(&bytes, &[server.url("old")])).expect("the new place");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let (bench, bytes) = (Bench::new(), content());
    let mute = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(8));
        Reply::status(200)
    });
    let good = Server::of(&bytes);
    bench.fetch(&artifact(&bytes, &[mute.url("a"), good.url("b")])).expect("the second address");
    assert_eq!(mute.requests().len(), 3);
    bench.assert_arrived(&bytes);
}

#[test]
fn a_slow_server_is_waited_for_as_long_as_it_sends() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    // 2 s in all, twice what a single pause may last.
    let server = Server::start(move |_, _| Reply {
        pieces: (30_000, Duration::from_millis(200)),
        ..Reply::body(&body)
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("in the end");
    assert_eq!((server.requests().len(), bench.waits().len()), (1, 0));
    bench.assert_arrived(&bytes);
}

#[test]
fn a_mirror_takes_the_place_of_all_addresses_and_is_verified() {
    let (mut bench, bytes) = (Bench::new(), content());
    let (original, mirror) = (Server::of(&bytes), Server::of(&bytes));
    bench.options.mirror = Some(mirror.url("copies/"));
    let thing = artifact(&bytes, &[original.url("some/where/else.bin")]);
    bench.fetch(&thing).expect("the mirror's copy");
    assert_eq!(mirror.requests()[0].path, "/copies/thing.bin");
    assert!(original.requests().is_empty());
    bench.assert_arrived(&bytes);

    let mut bench = Bench::new();
    let false_mirror = Server::of(&vec![0; bytes.len()]);
    bench.options.mirror = Some(false_mirror.url(""));
    assert!(matches!(bench.fetch(&thing), Err(FetchError::Sum { .. })));
    bench.assert_absent();
}
