//! Stand-ins that programs are linked against if CUDA's libraries are not installed.
//!
//! cudarc names its libraries to the linker. Here each is a small archive of functions that open the real
//! library at their first call (`xtask/cuda/stand_in.S` and `.c`), so that one program runs on machines with
//! a GPU and on those without.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::{self, write_atomic};

/// Library behind an archive.
struct Library {
    /// Name for the linker.
    name: &'static str,
    /// Module of cudarc with its functions.
    module: &'static str,
    /// File name on a machine with CUDA 13.
    file: &'static str,
    /// Return value of its functions if it is missing: the library's own code for "not initialised"
    /// or "no device".
    missing: u32,
}

const fn library(
    name: &'static str,
    module: &'static str,
    file: &'static str,
    missing: u32,
) -> Library {
    Library { name, module, file, missing }
}

/// Everything that candle has cudarc link with.
const LIBRARIES: [Library; 7] = [
    library("cuda", "driver", "libcuda.so.1", 100),
    library("nvrtc", "nvrtc", "libnvrtc.so.13", 7),
    library("curand", "curand", "libcurand.so.10", 203),
    library("cublas", "cublas", "libcublas.so.13", 1),
    library("cublasLt", "cublaslt", "libcublasLt.so.13", 1),
    library("cudnn", "cudnn", "libcudnn.so.9", 1001),
    library(NCCL, NCCL, "libnccl.so.2", 2),
];

/// Only for several GPUs.
const NCCL: &str = "nccl";

/// Returns the file names of all libraries, and true for those that a program needs for a single
/// GPU.
pub(super) fn files() -> impl Iterator<Item = (&'static str, bool)> {
    LIBRARIES.iter().map(|library| (library.file, library.name != NCCL))
}

/// Returns true if all archives are in `out`.
pub(super) fn made(out: &Path) -> bool {
    let archives = LIBRARIES.iter().map(|library| library.name).chain([RUNTIME]);
    archives.into_iter().all(|name| out.join(format!("lib{name}.a")).is_file())
}

const RUNTIME: &str = "cudart";

/// Makes the archives in `out` from the function names in cudarc's sources; the runtime library is that of
/// the toolkit.
pub(super) fn make(cudarc: &Path, toolkit: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("creating folder {}", out.display()))?;
    for library in &LIBRARIES {
        let source = cudarc.join("src").join(library.module).join("sys/mod.rs");
        let text = std::fs::read_to_string(&source)
            .with_context(|| format!("reading {}", source.display()))?;
        let names = functions(&text);
        if names.is_empty() {
            bail!("{}: expected declarations of functions, found none", source.display());
        }
        archive(library, &names, out)?;
    }
    // The runtime is small, and is linked as it is.
    let (from, to) = (toolkit.join("lib/libcudart_static.a"), out.join("libcudart.a"));
    std::fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// Names of the functions that bindings declare in `extern "C"` blocks, in order and each once.
fn functions(bindings: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in bindings.lines().map(str::trim) {
        match line {
            r#"extern "C" {"# | r#"unsafe extern "C" {"# => inside = true,
            "}" => inside = false,
            _ if inside => {
                let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("fn ");
                names.extend(declared.and_then(|rest| Some(rest.split_once('(')?.0)));
            }
            _ => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn archive(library: &Library, names: &[&str], out: &Path) -> Result<()> {
    let work = out.join(library.name);
    std::fs::create_dir_all(&work)
        .with_context(|| format!("creating folder {}", work.display()))?;
    let entries: String =
        names.iter().enumerate().map(|(i, name)| format!("entry {name}, {i}\n")).collect();
    write_atomic(&work.join("entries.inc"), entries.as_bytes())?;
    let list: String = names.iter().map(|name| format!("\"{name}\",\n")).collect();
    write_atomic(&work.join("names.inc"), list.as_bytes())?;
    let sources = workspace::root().join("xtask/cuda");
    let mut objects = Vec::new();
    for source in ["stand_in.S", "stand_in.c"] {
        let object =
            work.join(source).with_extension(if source.ends_with('S') { "s.o" } else { "o" });
        let mut compiler = Command::new("cc");
        compiler.args(["-c", "-fPIC", "-O2", "-I"]).arg(&work);
        compiler.arg(format!("-DSLOTS=deepsim_slots_{}", library.name));
        compiler.arg(format!("-DLOOKUP=deepsim_look_up_{}", library.name));
        compiler.arg(format!("-DLIBRARY=\"{}\"", library.file));
        compiler.arg(format!("-DMISSING={}", library.missing));
        compiler.arg(sources.join(source)).arg("-o").arg(&object);
        process::run(&mut compiler, "compiling a stand-in (a C compiler is needed)")?;
        objects.push(object);
    }
    let file = out.join(format!("lib{}.a", library.name));
    let _ = std::fs::remove_file(&file);
    let mut archiver = Command::new("ar");
    archiver.arg("rcs").arg(&file).args(&objects);
    process::run(&mut archiver, "putting a stand-in together")?;
    std::fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_extern_blocks() {
        let bindings = r#"
pub type F = Option<unsafe extern "C" fn(x: i32)>;
extern "C" {
    pub fn cuInit(flags: u32) -> CUresult;
    #[cfg(any(feature = "cuda-13000"))]
    fn cuFree(p: u64) -> CUresult;
}
pub unsafe fn wrapper(x: i32) {
    cuInit(x)
}
extern "C" {
    fn cuAlloc(n: usize) -> CUresult;
    fn cuInit(flags: u32) -> CUresult;
}
"#;
        assert_eq!(functions(bindings), ["cuAlloc", "cuFree", "cuInit"]);
        assert!(functions("fn nothing() {}").is_empty());
    }
}
