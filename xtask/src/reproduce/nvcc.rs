//! Looking for NVIDIA's compiler, before a long build fails for want of it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Refuses to go on where the build would not find `nvcc`.
///
/// # Errors
/// If there is none; says where it was looked for and what to do.
pub(super) fn check() -> Result<()> {
    match find(|name| env::var_os(name)) {
        Some(_) => Ok(()),
        None => bail!(
            "--device cuda: building for a GPU needs NVIDIA's compiler, and there is no `nvcc` in \
             NVCC, PATH, CUDA_HOME/bin, CUDA_PATH/bin or /usr/local/cuda/bin. Install CUDA's \
             toolkit (docs/cuda.md), or say where it is with CUDA_HOME; without a GPU, use \
             --device cpu"
        ),
    }
}

/// Where the build of candle's kernels finds `nvcc` too.
fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
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
            let found = find(|asked| (asked == name).then(|| value.as_os_str().to_owned()));
            match there {
                true => assert_eq!(found.as_deref(), Some(nvcc.as_path()), "{name}"),
                // A machine may have one in the usual folder.
                false => assert!(found.is_none_or(|file| !file.starts_with(folder.path()))),
            }
        }
        Ok(())
    }
}
