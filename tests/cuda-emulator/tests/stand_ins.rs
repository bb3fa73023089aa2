//! The stand-ins for CUDA's libraries, `xtask/cuda/stand_in.S` and `.c`, linked into a program.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::error::Error;
use std::path::Path;
use std::process::Command;

/// Runs the C compiler, or another tool, in a folder.
fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(tool).current_dir(folder).args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(format!("{tool} {arguments:?}: {status}").into()) }
}

/// Makes the archive of a library with two functions, as `cargo xtask cuda build` does.
fn archive(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(folder.join("entries.inc"), "entry sum, 0\nentry testString, 1\n")?;
    std::fs::write(folder.join("names.inc"), "\"sum\",\n\"testString\",\n")?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/cuda");
    for (source, object) in [("stand_in.S", "a.o"), ("stand_in.c", "b.o")] {
        let source = sources.join(source).display().to_string();
        let defines = [
            "-DSLOTS=deepsim_slots_test",
            "-DLOOKUP=deepsim_look_up_test",
            "-DLIBRARY=\"libdeepsim_test.so.1\"",
            "-DMISSING=77",
        ];
        let compile = ["-c", "-fPIC", "-O2", "-I.", source.as_str(), "-o", object];
        run(folder, "cc", &[&compile[..], &defines].concat())?;
    }
    run(folder, "ar", &["rcs", "libtest.a", "a.o", "b.o"])
}

/// A program linked against a stand-in starts without the library, and reaches it where it is.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_stand_in_answers_for_a_missing_library_and_hands_all_arguments_to_one_that_is_there()
-> Result<(), Box<dyn Error>> {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!("skipped: there is no C compiler");
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("deepsim-stand-in-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    archive(&folder)?;
    std::fs::write(
        folder.join("main.c"),
        r#"#include <stdio.h>
        double sum(int, int, int, int, int, int, int, int, double, double, float, int);
        const char *testString(void);
        int main(void) {
            for (int i = 0; i < 2; i++)
                printf("%.1f ", sum(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.25, 11.25f, i));
            puts(testString());
            return 0;
        }"#,
    )?;
    std::fs::write(
        folder.join("real.c"),
        r#"double sum(int a, int b, int c, int d, int e, int f, int g, int h, double i, double j,
                      float k, int l) { return a + b + c + d + e + f + g + h + i + j + k + 1000 * l; }
        const char *testString(void) { return "here"; }"#,
    )?;
    run(&folder, "cc", &["main.c", "-L.", "-ltest", "-ldl", "-lpthread", "-o", "main"])?;
    let output = |libraries: &str| -> Result<String, Box<dyn Error>> {
        let mut main = Command::new(folder.join("main"));
        main.env("DEEPSIM_CUDA_LIBRARIES", libraries).env_remove("LD_LIBRARY_PATH");
        Ok(String::from_utf8(main.output()?.stdout)?)
    };
    assert!(output("")?.ends_with("libdeepsim_test.so.1 is not on this machine\n"));
    run(&folder, "cc", &["-shared", "-fPIC", "real.c", "-o", "libdeepsim_test.so.1"])?;
    let libraries = format!("/nowhere:{}", folder.display());
    assert_eq!(output(&libraries)?, "67.0 1067.0 here\n");
    Ok(std::fs::remove_dir_all(&folder)?)
}
