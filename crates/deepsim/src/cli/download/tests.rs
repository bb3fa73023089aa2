use clap::Parser;

use super::*;

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../../../deepsim-fetch/tests/support/server.rs"]
mod server;

use server::Server;

/// Arguments as on a command line.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// A folder with a registry of one file at `server`.
fn folder(server: &Server) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
[[artifact]]
id = "abc"
title = "Three letters"
file = "abc.txt"
urls = ["{}"]
bytes = 3
sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
licence = "for tests only"
accept = true

[[group]]
id = "letters"
title = "Both"
need = "all"
members = ["mine", "abc"]
"#,
        server.url("abc")
    );
    let text = text + include_str!("../../../tests/fixtures/registry.toml");
    std::fs::write(folder.path().join("registry.toml"), text).expect("a registry");
    folder
}

/// The command in `folder`: its exit code and error.
fn download(folder: &tempfile::TempDir, words: &[&str]) -> (u8, String) {
    let path = folder.path().display().to_string();
    let registry = format!("{path}/registry.toml");
    let fixed = ["download", "--to", &path, "--registry", &registry];
    let line = Line::try_parse_from(fixed.iter().chain(words)).expect("arguments");
    match run(&line.arguments) {
        Ok(()) => (0, String::new()),
        Err(error) => (exit::code(&error), format!("{error:#}")),
    }
}

#[test]
fn the_command_downloads_verifies_and_says_by_its_exit_code_what_is_missing() {
    let server = Server::of(b"abc");
    let folder = folder(&server);
    let (code, error) = download(&folder, &["nothing"]);
    assert_eq!(code, exit::USAGE);
    assert!(error.contains("there are letters, abc, mine"), "{error}");
    let (code, error) = download(&folder, &["abc"]);
    assert_eq!(code, exit::USAGE);
    assert!(error.contains("--accept-licence"), "{error}");
    assert_eq!(download(&folder, &["abc", "--mirror", "nowhere"]).0, exit::USAGE);
    assert_eq!(download(&folder, &["abc", "--offline"]).0, 1);
    assert!(server.requests().is_empty());

    // A file that only the user can get does not keep the rest from being fetched.
    assert_eq!(download(&folder, &["letters", "--accept-licence"]).0, 1);
    assert_eq!(std::fs::read(folder.path().join("abc.txt")).expect("the file"), b"abc");
    std::fs::write(folder.path().join("mine.txt"), b"abc").expect("the user's file");
    assert_eq!(download(&folder, &["letters"]), (0, String::new()));
    assert_eq!(download(&folder, &["letters", "--offline", "--verify"]).0, 0);
    std::fs::write(folder.path().join("mine.txt"), b"xyz").expect("a wrong file");
    assert_eq!(download(&folder, &["letters", "--offline"]).0, 1);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(download(&folder, &["--list"]).0, 0);
}

#[test]
fn a_missing_registry_is_named_with_its_cause_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, error) = download(&folder, &["abc"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("registry.toml") && error.matches("os error").count() == 1, "{error}");
}

#[test]
fn a_name_or_list_is_needed() {
    assert!(Line::try_parse_from(["download"]).is_err());
    assert!(Line::try_parse_from(["download", "--list"]).is_ok());
    let both = ["download", "x", "--offline", "--mirror", "http://example.org"];
    assert!(Line::try_parse_from(both).is_err());
}
