//! Commands of the pages, run where they need nothing but pictures: in the order of the page, with two steps of
//! training. `-- --nocapture` lists those that are left out, and why.

mod support {
    pub(crate) mod printed;
}

use std::path::Path;
use std::process::Command;

use deepsim_nets::shipped::GENERATORS;
use support::printed::{commands, pages};

/// Pages on which a command may need what the ones before made.
const PAGES: [&str; 6] = [
    "README.md",
    "docs/comparators.md",
    "docs/data.md",
    "docs/measures.md",
    "docs/reproduction.md",
    "docs/training.md",
];
/// Options whose value must be there.
const INPUTS: [&str; 7] =
    ["--data", "--generator", "--ilsvrc", "--run", "--test", "--weights", "--tracks"];
/// Commands whose first argument must be there.
const OF_FILES: [&str; 3] = ["diff-runs", "import", "replay"];
const PHOTOGRAPHS: [&str; 6] =
    ["fig.jpg", "coffee.jpg", "panda.jpg", "china.jpg", "beacon-street-sunset.jpg", "rocket.jpg"];

/// What a command lacks here.
fn lacks(words: &[String], folder: &Path) -> Option<String> {
    // A run of a report has a label before its folder.
    let there = |path: &str| {
        let path = path.split_once('=').map_or(path, |(_, path)| path);
        path == "scenes" || GENERATORS.contains(&path) || folder.join(path).exists()
    };
    let of_option =
        words.windows(2).find(|pair| INPUTS.contains(&pair[0].as_str()) && !there(&pair[1]));
    if let Some([option, value]) = of_option {
        return Some(format!("{option} {value}"));
    }
    let first = words.iter().skip(1).find(|word| !word.starts_with('-'));
    if OF_FILES.contains(&words[0].as_str()) {
        return first.filter(|path| !there(path)).cloned();
    }
    if words[0] == "compare" {
        return words[1..3].iter().find(|path| !there(path)).cloned();
    }
    if words.iter().any(|word| word == "--list") {
        return None;
    }
    let far = |word: &&String| ["download", "paper", "cuda", "--fetch"].contains(&word.as_str());
    words.iter().find(far).cloned()
}

/// What keeps a command short.
fn short(words: &[String]) -> &'static [&'static str] {
    match words[0].as_str() {
        "train" => &["--set", "steps=2", "--set", "batch=2"],
        "eval" if words.iter().any(|word| word == "svm") => &["--limit", "40", "--svm-draws", "2"],
        "eval" => &["--limit", "4"],
        "reproduce" => &["--scale", "smoke"],
        _ => &[],
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "what is left out is not passed over in silence")]
fn commands_that_need_only_pictures_run_as_printed() {
    let mut ran = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace");
    for (page, text) in pages() {
        let Some(name) = PAGES.iter().find(|name| page == root.join(name)) else { continue };
        let folder = tempfile::tempdir().expect("a folder");
        let photographs = folder.path().join("photos");
        std::fs::create_dir(&photographs).expect("a folder");
        for photograph in PHOTOGRAPHS {
            let from = root.join("data/photos").join(photograph);
            std::fs::copy(from, photographs.join(photograph)).expect("a photograph");
        }
        std::fs::create_dir(folder.path().join("reconstructions")).expect("a folder");
        for copy in ["PHOTO.jpg", "a.png", "b.png", "reconstructions/fig.jpg"] {
            std::fs::copy(photographs.join("fig.jpg"), folder.path().join(copy))
                .expect("a picture");
        }
        for command in
            commands(&text).into_iter().filter(|command| !command.inline && !command.xtask)
        {
            let line = command.words.join(" ");
            if let Some(missing) = lacks(&command.words, folder.path()) {
                println!("{name}: left out for {missing}: deepsim {line}");
                continue;
            }
            let output = Command::new(env!("CARGO_BIN_EXE_deepsim"))
                .args(&command.words)
                .args(short(&command.words))
                .current_dir(folder.path())
                .env_remove("DEEPSIM_DATA")
                .output()
                .expect("the program");
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: deepsim {line}\n{message}");
            println!("{name}: deepsim {line}");
            ran.push(command.words[0].clone());
        }
    }
    for name in ["compare", "data", "eval", "features", "generate", "plan", "report", "train"] {
        assert!(ran.iter().any(|ran| ran == name), "no {name} among {ran:?}");
    }
}
