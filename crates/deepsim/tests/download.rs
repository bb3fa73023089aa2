//! `deepsim download`: the folder that files go to.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::Command;

#[test]
fn files_are_looked_for_in_the_folder_that_the_variable_or_the_command_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/registry.toml");
    let [variable, named] = ["variable", "named"].map(|name| folder.path().join(name));
    for folder in [&variable, &named] {
        std::fs::create_dir(folder).expect("a folder");
    }
    let download = |to: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deepsim"));
        command.args(["download", "mine", "--offline", "--registry"]).arg(&registry);
        command.env("DEEPSIM_DATA", &variable);
        if to {
            command.arg("--to").arg(&named);
        }
        command.output().expect("the program runs").status.code()
    };
    assert_eq!((download(false), download(true)), (Some(1), Some(1)), "the file is not there");
    std::fs::write(variable.join("mine.txt"), "abc").expect("a file");
    assert_eq!((download(false), download(true)), (Some(0), Some(1)));
    std::fs::write(named.join("mine.txt"), "abc").expect("a file");
    assert_eq!(download(true), Some(0));
}
