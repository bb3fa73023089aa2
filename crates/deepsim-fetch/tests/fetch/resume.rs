//! Downloads that break off and are continued.

use std::sync::Mutex;
use std::time::Duration;

use deepsim_fetch::{FetchError, Retry};

use crate::bench::{Bench, artifact, content, noise, unknown};
use crate::server::{Reply, Request, Server};

/// Asserts that a request asks for the rest from `from` of the file with this tag.
fn assert_resumes(request: &Request, from: usize, validator: &str) {
    assert_eq!(request.from(), Some(from), "{request:?}");
    assert_eq!(request.header("if-range"), Some(validator));
}

#[test]
fn a_connection_that_drops_is_resumed_where_it_dropped() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, request| {
        let reply = Reply::file(request, &body, "\"1\"");
        if number == 0 { reply.cut(150_000) } else { reply }
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the rest");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].from(), None);
    assert_resumes(&requests[1], 150_000, "\"1\"");
    assert_eq!(bench.waits(), [1]);
    bench.assert_arrived(&bytes);
}

#[test]
fn a_server_that_stalls_is_asked_for_the_rest() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, request| {
        let reply = Reply::file(request, &body, "\"1\"");
        match number {
            0 => Reply { hold: Duration::from_secs(5), ..reply.cut(150_000) },
            _ => reply,
        }
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the rest");
    assert_resumes(&server.requests()[1], 150_000, "\"1\"");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_date_stands_in_for_a_tag_and_a_weak_tag_does_not() {
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let bytes = content();
    for (weak, dated) in [(false, true), (true, true), (true, false)] {
        let bench = Bench::new();
        let body = bytes.clone();
        let server = Server::start(move |number, request| {
            let mut reply = Reply::file(request, &body, date).without("ETag");
            if weak {
                reply = reply.with("ETag", "W/\"1\"");
            }
            if dated {
                reply = reply.with("Last-Modified", date);
            }
            if number == 0 { reply.cut(150_000) } else { reply }
        });
        bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the rest");
        let second = &server.requests()[1];
        match dated {
            true => assert_resumes(second, 150_000, date),
            false => assert_eq!((second.from(), second.header("if-range")), (None, None)),
        }
        bench.assert_arrived(&bytes);
    }
}

#[test]
fn a_file_that_changed_meanwhile_starts_over() {
    let (bench, bytes) = (Bench::new(), content());
    let (old, new) = (vec![1; bytes.len()], bytes.clone());
    let server = Server::start(move |number, request| match number {
        0 => Reply::file(request, &old, "\"old\"").cut(150_000),
        _ => Reply::file(request, &new, "\"new\""),
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the new file");
    let requests = server.requests();
    assert_resumes(&requests[1], 150_000, "\"old\"");
    assert_eq!(requests.len(), 2, "the answer to the second request is the whole new file");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_server_that_ignores_if_range_is_found_out() {
    // The server sends the rest of the new file for the tag of the old one.
    let (bench, bytes) = (Bench::new(), content());
    let (old, new) = (vec![1; bytes.len()], bytes.clone());
    let server = Server::start(move |number, request| match number {
        0 => Reply::file(request, &old, "\"old\"").cut(150_000),
        1 => Reply::file(request, &new, "\"old\"").with("ETag", "\"new\""),
        _ => Reply::file(request, &new, "\"new\""),
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the new file");
    let requests = server.requests();
    assert_eq!((requests.len(), requests[2].from()), (3, None));
    bench.assert_arrived(&bytes);
}

#[test]
fn a_server_that_cannot_resume_sends_everything_again() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, _| {
        let whole = Reply::body(&body).with("ETag", "\"1\"");
        if number == 0 { whole.cut(150_000) } else { whole }
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("all of it");
    assert_resumes(&server.requests()[1], 150_000, "\"1\"");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_range_that_the_server_cannot_satisfy_starts_over() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, request| match number {
        0 => Reply::file(request, &body, "\"1\"").cut(150_000),
        1 => Reply::status(416).with("Content-Range", "bytes */300000"),
        _ => Reply::file(request, &body, "\"1\""),
    });
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("from the start");
    let requests = server.requests();
    assert_eq!((requests.len(), requests[1].from(), requests[2].from()), (3, Some(150_000), None));
    bench.assert_arrived(&bytes);
}

#[test]
fn a_rest_from_another_byte_or_of_another_file_is_not_appended() {
    let bytes = content();
    for wrong in ["bytes 150001-299999/300000", "bytes 150000-299999/300001", "nonsense"] {
        let bench = Bench::new();
        let body = bytes.clone();
        let server = Server::start(move |number, request| {
            let reply = Reply::file(request, &body, "\"1\"");
            match number {
                0 => reply.cut(150_000),
                1 => reply.with("Content-Range", wrong),
                _ => reply,
            }
        });
        bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("from the start");
        let requests = server.requests();
        assert_eq!((requests.len(), requests[2].from()), (3, None), "{wrong}");
        bench.assert_arrived(&bytes);
    }
}

#[test]
fn redirected_requests_keep_their_range() {
    let (bench, bytes) = (Bench::new(), content());
    let body = bytes.clone();
    let server = Server::start(move |number, request| match request.path.as_str() {
        "/hub" => Reply::status(302).with("Location", "/store"),
        _ if number == 1 => Reply::file(request, &body, "\"1\"").cut(150_000),
        _ => Reply::file(request, &body, "\"1\""),
    });
    bench.fetch(&artifact(&bytes, &[server.url("hub")])).expect("the rest");
    assert_resumes(&server.requests()[3], 150_000, "\"1\"");
    bench.assert_arrived(&bytes);
}

#[test]
fn failures_do_not_add_up_as_long_as_bytes_arrive() {
    // Breaks off after 1.2 MB each time: 5 tries with 2 attempts.
    let (mut bench, bytes) = (Bench::new(), noise(6_000_000));
    bench.options.retry = Retry { attempts: 2, ..Retry::default() };
    let body = bytes.clone();
    let server =
        Server::start(move |_, request| Reply::file(request, &body, "\"1\"").cut(1_200_000));
    bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("piece by piece");
    assert_eq!(server.requests().len(), 5);
    assert_eq!(bench.waits(), [1; 4]);
    bench.assert_arrived(&bytes);
}

#[test]
fn an_interrupted_download_goes_on_in_the_next_run() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    let error = bench.fetch_until(&thing, 100_000);
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error}");
    bench.assert_absent();
    let kept = std::fs::read(bench.path("thing.bin.part")).expect("the part");
    assert!(kept.len() > 100_000 && kept.len() < bytes.len() && bytes.starts_with(&kept));

    let fetched = bench.fetch(&thing).expect("the rest");
    assert!(fetched.downloaded);
    assert_resumes(&server.requests()[1], kept.len(), "\"1\"");
    bench.assert_arrived(&bytes);
}

#[test]
fn a_download_that_ended_just_before_its_renaming_needs_no_network() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    bench.fetch_until(&thing, bytes.len() as u64 - 1);
    assert_eq!(bench.path("thing.bin.part").metadata().expect("the part").len(), 300_000);
    bench.fetch(&thing).expect("the file");
    assert_eq!(server.requests().len(), 1);
    bench.assert_arrived(&bytes);
}

#[test]
fn a_part_whose_bytes_rotted_is_replaced() {
    let (bench, bytes) = (Bench::new(), content());
    let server = Server::of(&bytes);
    let thing = artifact(&bytes, &[server.url("a")]);
    bench.fetch_until(&thing, 100_000);
    let mut part = std::fs::read(bench.path("thing.bin.part")).expect("the part");
    part[5] ^= 1;
    std::fs::write(bench.path("thing.bin.part"), &part).expect("the part");
    bench.fetch(&thing).expect("the file");
    let requests = server.requests();
    assert_eq!((requests.len(), requests[2].from()), (3, None));
    bench.assert_arrived(&bytes);
}

#[test]
fn a_part_without_a_readable_note_starts_over() {
    let bytes = content();
    for note in [None, Some("{"), Some(r#"{"url": "", "validator": null, "total": 1, "x": 1}"#)] {
        let bench = Bench::new();
        let server = Server::of(&bytes);
        std::fs::write(bench.path("thing.bin.part"), vec![9; 400_000]).expect("a part");
        if let Some(note) = note {
            std::fs::write(bench.path("thing.bin.part.json"), note).expect("a note");
        }
        bench.fetch(&artifact(&bytes, &[server.url("a")])).expect("the file");
        assert_eq!(server.requests()[0].from(), None);
        bench.assert_arrived(&bytes);
    }
}

#[test]
fn a_part_is_continued_at_the_address_it_came_from() {
    let (bench, bytes) = (Bench::new(), content());
    let first_works = std::sync::Arc::new(Mutex::new(false));
    let (works, body) = (first_works.clone(), bytes.clone());
    let first = Server::start(move |_, request| match *works.lock().expect("a switch") {
        true => Reply::file(request, &body, "\"1\""),
        false => Reply::status(404),
    });
    let second = Server::of(&bytes);
    let thing = artifact(&bytes, &[first.url("a"), second.url("b")]);
    bench.fetch_until(&thing, 100_000);
    *first_works.lock().expect("a switch") = true;
    bench.fetch(&thing).expect("the rest");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
    assert!(second.requests()[1].from().is_some());
    bench.assert_arrived(&bytes);
}

#[test]
fn a_part_of_an_unknown_file_is_not_mixed_with_another_version() {
    let (bench, bytes) = (Bench::new(), content());
    let (old, new) = (vec![1; bytes.len()], bytes.clone());
    let old = Server::start(move |_, request| Reply::file(request, &old, "\"old\""));
    bench.fetch_until(&unknown(&bytes, &[old.url("a")]), 100_000);
    let new = Server::start(move |_, request| Reply::file(request, &new, "\"new\""));
    bench.fetch(&unknown(&bytes, &[new.url("a")])).expect("the new file");
    assert_eq!(new.requests()[0].from(), None);
    bench.assert_arrived(&bytes);
}
