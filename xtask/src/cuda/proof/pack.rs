//! Pack of all that has to travel to a machine with a GPU and without Rust.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::super::build;
use crate::folder::Folder;
use crate::process::{self, say};
use crate::workspace;

/// Bytes that may travel, with the checkout.
const MOST: u64 = 64 << 20;
/// Programs that the proof runs. The tests of the program itself need two GPUs and the folder that they were built in.
const PROGRAMS: [&str; 5] =
    ["deepsim", "step_server", "deepsim-ops-cuda-tests", "deepsim-train-cuda-tests", build::NOTE];
const ARCHIVE: &str = "programs.tar.xz";
const SCRIPT: &str = "run.sh";

/// Unpacks and runs the proof: `sh run.sh OUT`, in the checkout.
const TEXT: &str = r#"#!/bin/sh
# Runs `xtask cuda proof` on a machine with a GPU and without Rust: sh run.sh OUT [more options]
set -e
pack=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: sh run.sh OUT [more options of cargo xtask cuda proof]}
shift
[ -f xtask/bench/step.py ] || { echo "run.sh: expected the checkout as the current folder" >&2; exit 2; }
mkdir -p "$pack/programs"
tar -xJf "$pack/programs.tar.xz" -C "$pack/programs" || python3 -c \
  'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$pack/programs.tar.xz" "$pack/programs"
CARGO_MANIFEST_DIR="$PWD/xtask" exec "$pack/programs/xtask" cuda proof --out "$out" --programs "$pack/programs" "$@"
"#;

/// Packs the programs, with this one, into a folder, and lists what travels.
///
/// # Errors
/// If `tar` or `xz` fail, or all together is too large.
pub(super) fn run(programs: &Path, folder: &Path) -> Result<()> {
    let work = Folder::new(folder.join("work"))?;
    let own = std::env::current_exe().context("the path of this program")?;
    let files = PROGRAMS.map(|name| programs.join(name));
    let files: Vec<PathBuf> = std::iter::once(own).chain(files).collect();
    let mut names = Vec::new();
    for file in &files {
        let name = file.file_name().context("a file without a name")?;
        let copy = work.path().join(name);
        std::fs::copy(file, &copy).with_context(|| format!("copying {}", file.display()))?;
        // A failure is harmless: it is not stripped then, or no program.
        let _ = Command::new("strip").arg(&copy).stderr(Stdio::null()).status();
        say(&listed(&copy)?);
        names.push(name.to_owned());
    }
    let archive = folder.join(ARCHIVE);
    let mut tar = Command::new("tar");
    tar.arg("-cJf").arg(&archive).arg("-C").arg(work.path()).args(&names);
    process::run(&mut tar, "packing")?;
    drop(work);
    let script = folder.join(SCRIPT);
    std::fs::write(&script, TEXT).with_context(|| format!("writing {}", script.display()))?;
    let checkout = checkout()?;
    say("has to travel:");
    say(&format!("{}, all of them above", listed(&archive)?));
    say(&format!("{:>8} KiB  the checkout: data, weights, scripts, recipes", checkout >> 10));
    let all = archive.metadata().map_or(0, |data| data.len()) + checkout;
    say(&format!("{:>8} KiB  together, of {} that may", all >> 10, MOST >> 10));
    if all > MOST {
        bail!("{} KiB are too much, expected at most {}", all >> 10, MOST >> 10);
    }
    Ok(())
}

fn listed(path: &Path) -> Result<String> {
    let size = path.metadata().with_context(|| format!("reading {}", path.display()))?.len();
    Ok(format!("{:>8} KiB  {}", size >> 10, path.display()))
}

/// Bytes of the files that git knows, and of those that it does not ignore.
fn checkout() -> Result<u64> {
    let root = workspace::root();
    let mut git = Command::new("git");
    git.arg("-C").arg(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("git ls-files")?;
    if !output.status.success() {
        bail!("git ls-files failed ({})", output.status);
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = names.split('\0').filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| root.join(name).metadata().ok()).map(|data| data.len()).sum())
}
