//! NVIDIA's compiler: an installed one, or one from the Python package index.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, say};
use crate::workspace;

/// Fetch NVIDIA's compiler.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Fetch it even where one is installed
    #[arg(long)]
    anyway: bool,
}

/// Location of a compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toolkit {
    /// Installed, with its libraries in the linker's folders; its `nvcc`.
    Installed(PathBuf),
    /// Fetched, without libraries; its folder, which has `bin/nvcc`.
    Fetched(PathBuf),
}

impl Toolkit {
    /// Returns the installed toolkit, or else the fetched one.
    pub(super) fn find() -> Option<Self> {
        let installed = installed(|name| env::var_os(name)).map(Self::Installed);
        let home = home();
        let fetched = home.join("bin/nvcc").is_file().then_some(Self::Fetched(home));
        installed.or(fetched)
    }
}

/// `cargo xtask cuda setup`
pub(super) fn setup(arguments: &Arguments) -> Result<()> {
    match Toolkit::find() {
        Some(Toolkit::Installed(nvcc)) if !arguments.anyway => {
            say(&format!("there is a compiler: {}", nvcc.display()));
        }
        Some(Toolkit::Fetched(home)) => say(&format!("fetched earlier: {}", home.display())),
        _ => say(&format!("fetched: {}", fetch()?.display())),
    }
    Ok(())
}

/// Returns the folder for everything that is fetched and made here for this version.
pub(super) fn folder() -> PathBuf {
    const NAME: &str = "deepsim-cuda-13.0";
    let named = env::var_os("DEEPSIM_CUDA").map(PathBuf::from);
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    named.or_else(|| Some(cache?.join(NAME))).unwrap_or_else(|| env::temp_dir().join(NAME))
}

/// Returns the fetched toolkit's own folder, which is that of the wheels.
fn home() -> PathBuf {
    folder().join("toolkit/nvidia/cu13")
}

fn fetch() -> Result<PathBuf> {
    let toolkit = folder().join("toolkit");
    wheels("xtask/cuda/requirements.txt", "NVIDIA's compiler", &toolkit, |unpacked| {
        ["bin", "nvvm/bin"].iter().try_for_each(|bin| executable(&unpacked.join(bin)))
    })?;
    Ok(home())
}

/// Returns the folder of NVRTC, which compiles our kernels at run time; fetches it at the first
/// request.
pub(super) fn nvrtc() -> Result<PathBuf> {
    let nvrtc = folder().join("nvrtc");
    let libraries = nvrtc.join("nvidia/cu13/lib");
    if !libraries.is_dir() {
        let list = "tests/cuda-emulator/requirements.txt";
        wheels(list, "NVIDIA's compiler for kernels at run time", &nvrtc, |_| Ok(()))?;
    }
    Ok(libraries)
}

/// Fetches wheels, whose hashes are known, and unpacks them into a folder: whole or not at all.
fn wheels(
    list: &str,
    what: &str,
    to: &Path,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("{what} is fetched for Linux on x86-64 only: install CUDA's toolkit (docs/gpus.md)");
    }
    let folder = folder();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("creating folder {}", folder.display()))?;
    let work = folder.join("part");
    let _ = std::fs::remove_dir_all(&work);
    let (wheels, unpacked) = (work.join("wheels"), work.join("unpacked"));
    std::fs::create_dir_all(&unpacked)
        .with_context(|| format!("creating folder {}", unpacked.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "-r"]);
    pip.arg(workspace::root().join(list)).arg("-d").arg(&wheels);
    process::run(&mut pip, &format!("fetching {what}"))?;
    let entries = wheels.read_dir().with_context(|| format!("reading {}", wheels.display()))?;
    for wheel in entries {
        let mut unzip = Command::new("python3");
        unzip.args(["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(&unpacked);
        process::run(&mut unzip, &format!("unpacking {what}"))?;
    }
    finish(&unpacked.join("nvidia/cu13"))?;
    let _ = std::fs::remove_dir_all(to);
    std::fs::rename(&unpacked, to)
        .with_context(|| format!("moving what was fetched to {}", to.display()))?;
    let _ = std::fs::remove_dir_all(&work);
    Ok(())
}

/// Unpacking loses the mode of files.
#[cfg(unix)]
fn executable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let what = || format!("making the files of {} executable", folder.display());
    for entry in folder.read_dir().with_context(what)? {
        let path = entry?.path();
        if path.is_file() {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).with_context(what)?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}

/// Finds an installed `nvcc` in the places where the build of candle's kernels looks too.
fn installed(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let program = Path::new("nvcc").with_extension(env::consts::EXE_EXTENSION);
    let named = variable("NVCC").map(PathBuf::from);
    let path = variable("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join(&program));
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).map(PathBuf::from);
    let homes = homes.chain(["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda"].map(PathBuf::from));
    let in_homes = homes.map(|home| home.join("bin").join(&program));
    named.into_iter().chain(in_path).chain(in_homes).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvcc_is_found_where_it_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin)?;
        let nvcc = bin.join("nvcc").with_extension(env::consts::EXE_EXTENSION);
        std::fs::write(&nvcc, "")?;
        let missing = folder.path().join("missing");
        let cases = [
            ("NVCC", nvcc.as_path(), true),
            ("PATH", &bin, true),
            ("CUDA_HOME", folder.path(), true),
            ("CUDA_PATH", folder.path(), true),
            ("NVCC", &missing, false),
            ("CUDA_HOME", &missing, false),
        ];
        for (name, value, there) in cases {
            let found = installed(|asked| (asked == name).then(|| value.as_os_str().to_owned()));
            match there {
                true => assert_eq!(found.as_deref(), Some(nvcc.as_path()), "{name}"),
                // A machine may have one in the usual folder.
                false => assert!(found.is_none_or(|file| !file.starts_with(folder.path()))),
            }
        }
        Ok(())
    }
}
