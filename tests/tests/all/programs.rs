//! Running the program as a user does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Path of `deepsim`, built first if need be, in the profile of the tests.
pub(crate) fn deepsim() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let exe = std::env::current_exe().expect("the path of the running test");
        let folder = exe.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
        let mut build = Command::new(env!("CARGO"));
        // The packages that everything else names (`SELECTION` in xtask/src/workspace.rs): one build serves all.
        build.args(["build", "--quiet", "--workspace", "--exclude", "xtask"]);
        build.args(["--exclude", "cuda-emulator", "--exclude", "deepsim-examples"]);
        build.args(["--bin", "deepsim"]);
        build.current_dir(workspace());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo runs").success(), "the program builds");
        folder.join("deepsim").with_extension(std::env::consts::EXE_EXTENSION)
    })
}

/// Root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A recipe that trains in a second: the paper's networks on a few small crops.
pub(crate) const TINY: &str = include_str!("../../fixtures/tiny.toml");

/// A folder with `recipe.toml`.
pub(crate) fn folder_with_recipe(recipe: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("recipe.toml"), recipe).expect("the recipe is written");
    folder
}

/// `deepsim train recipe.toml --out OUT <more>` in `folder`.
pub(crate) fn train(folder: &Path, out: &str, more: &[&str]) -> Output {
    let mut command = Command::new(deepsim());
    command.current_dir(folder).args(["train", "recipe.toml", "--out", out]).args(more);
    command.output().expect("deepsim runs")
}

/// `deepsim ARGUMENTS` in `folder`.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(deepsim()).current_dir(folder).args(arguments).output().expect("deepsim runs")
}

/// Returns the error stream of a program.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts success, showing what was said.
pub(crate) fn assert_success(output: &Output) {
    assert!(output.status.success(), "exit {:?}: {}", output.status.code(), errors(output));
}

/// Bytes of a file of a run.
pub(crate) fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    let path = folder.join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Path of a file of the newest checkpoint of a run; the file of a run that has none does not exist.
pub(crate) fn newest(run: &Path, file: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|folder| folder.join("MANIFEST.json").exists())
        .collect();
    folders.sort();
    folders.pop().unwrap_or_default().join(file)
}

/// Bytes of the newest checkpoint of a run.
pub(crate) fn checkpoint(run: &Path) -> Vec<u8> {
    let path = newest(run, "checkpoint.safetensors");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {}: {e}", run.display(), path.display()))
}

/// The last checkpoint and the generator of a run.
pub(crate) fn results(folder: &Path, out: &str) -> [Vec<u8>; 2] {
    let run = folder.join(out);
    [checkpoint(&run), bytes(&run, "generator.safetensors")]
}

/// Trains a recipe of four steps at once, and in two halves with other numbers of threads: both end with the
/// same bytes. Returns the folder, and the run's in it.
pub(crate) fn trained_in_halves(recipe: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = folder_with_recipe(recipe);
    assert_success(&train(folder.path(), "whole", &[]));
    assert_success(&train(folder.path(), "halves", &["--set", "steps=2", "--threads", "1"]));
    assert_success(&train(folder.path(), "halves", &["--resume"]));
    let [whole, halves] = ["whole", "halves"].map(|out| results(folder.path(), out));
    assert!(whole == halves, "checkpoints or generators differ");
    let whole = folder.path().join("whole");
    (folder, whole)
}
