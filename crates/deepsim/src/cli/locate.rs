//! Folders of data and weights, and files of the Hugging Face hub.
//!
//! What `deepsim download` writes, and commands that require data or weights look for, is in a data folder. The
//! variable `DEEPSIM_DATA` names it; without the variable it is `data` in the checkout that this program was
//! built from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use deepsim_nets::shipped;

use super::exit::Failure;

/// Variable that names the data folder.
pub(crate) const VARIABLE: &str = "DEEPSIM_DATA";

/// Beginning of the address of a file of the hub.
const SCHEME: &str = "hf://";

/// The data folders there may be, most specific first.
pub(crate) struct DataFolders(Vec<PathBuf>);

impl DataFolders {
    /// The folders of this process and this build.
    pub(crate) fn new() -> Self {
        Self::of(std::env::var_os(VARIABLE), checkout().map(|root| root.join("data")))
    }

    fn of(variable: Option<OsString>, checkout: Option<PathBuf>) -> Self {
        let named = variable.filter(|folder| !folder.is_empty()).map(PathBuf::from);
        Self(named.into_iter().chain(checkout.filter(|folder| folder.is_dir())).collect())
    }

    /// Returns the folder that downloads go to.
    ///
    /// # Errors
    /// If the variable is not set and there is no checkout.
    pub(crate) fn to_write(&self) -> Result<&Path> {
        self.0.first().map(PathBuf::as_path).ok_or_else(|| {
            let message =
                format!("expected a folder for downloads: name one with --to or {VARIABLE}");
            Failure::usage(message).into()
        })
    }

    /// Returns the first folder or file of this name that exists, e.g. `weights` or `stl10_binary`.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.0.iter().map(|folder| folder.join(name)).find(|path| path.exists())
    }
}

/// Returns the checkout that this program was built from, if it is still there.
fn checkout() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    root.is_dir().then(|| root.to_path_buf())
}

/// Returns the folder that reproductions are written to where no other is named: that of `DEEPSIM_OUT`, else `out`.
pub(crate) fn out() -> PathBuf {
    let named = std::env::var_os("DEEPSIM_OUT").filter(|folder| !folder.is_empty());
    named.map_or_else(|| "out".into(), PathBuf::from)
}

/// Returns a file as a local path; one of the hub (`hf://owner/name[@revision]/path`) is downloaded first.
///
/// # Errors
/// If the hub does not have it, or this program was built without the feature `hub`.
pub(crate) fn file(path: &Path) -> Result<PathBuf> {
    match path.to_str().filter(|path| path.starts_with(SCHEME)) {
        Some(address) => from_hub(address),
        None => Ok(path.to_path_buf()),
    }
}

/// Returns a folder of weights as a local path. An address of the hub names a file of weights, whose folder is
/// returned once it is downloaded.
///
/// # Errors
/// As [`file`].
pub(crate) fn folder(path: &Path) -> Result<PathBuf> {
    let local = file(path)?;
    let is_address = local != path;
    Ok(local.parent().filter(|_| is_address).unwrap_or(&local).to_path_buf())
}

/// Returns a run folder.
///
/// # Errors
/// If it is a file.
pub(crate) fn run(path: &Path) -> Result<&Path> {
    match path.is_file() {
        false => Ok(path),
        true => {
            let name = path.display();
            Err(Failure::usage(format!("{name}: expected a run folder, found a file")).into())
        }
    }
}

/// Returns the file of a generator that comes with the project; none if it has none of this name, or if this program lies
/// alone.
fn shipped_generator(name: &str) -> Option<PathBuf> {
    let known = shipped::GENERATORS.contains(&name);
    known.then(|| shipped::find(&format!("{name}.safetensors"))).flatten()
}

/// Returns the file of the generator that is taken where none is named: the paper's loss in AlexNet's CONV3.
///
/// # Errors
/// If this program lies alone.
pub(crate) fn default_generator() -> Result<PathBuf> {
    shipped_generator(shipped::GENERATORS[0]).ok_or_else(|| {
        let message = format!(
            "--run: expected a run folder, because the generator that comes with the project was not found (in {}, beside \
             this program, or where it was built)",
            shipped::VARIABLE
        );
        Failure::usage(message).into()
    })
}

/// Returns a generator as a local path: a run folder, a file, one of the hub, or the file `NAME.safetensors` in the folder
/// of weights, or of those that come with the project.
///
/// # Errors
/// If there is none, or as [`file`].
pub(crate) fn generator(path: &Path, weights: Option<&Path>) -> Result<PathBuf> {
    let local = file(path)?;
    // A name may have a dot, generator-v1.2, or the ending already.
    let file = match path.extension() {
        Some(ending) if ending == "safetensors" => path.display().to_string(),
        _ => format!("{}.safetensors", path.display()),
    };
    let named = || {
        let given = weights.map(|folder| folder.join(&file)).filter(|named| named.is_file());
        let name = file.trim_end_matches(".safetensors");
        given.or_else(|| shipped_generator(name))
    };
    match local.exists().then_some(local).or_else(named) {
        Some(found) => Ok(found),
        None => {
            let name = path.display();
            let message = format!(
                "{name}: expected a run folder, a file, or the name of one in --weights or that comes with the project \
                 ({}), found none",
                shipped::GENERATORS.join(", ")
            );
            Err(Failure::usage(message).into())
        }
    }
}

/// Replaces an address of the hub in `KEY=hf://...`, an override of a recipe, by the local path.
///
/// # Errors
/// As [`file`].
pub(crate) fn setting(set: &str) -> Result<String> {
    let Some((key, value)) = set.split_once('=') else { return Ok(set.into()) };
    let address = value.trim().trim_matches(['"', '\'']);
    if !address.starts_with(SCHEME) {
        return Ok(set.into());
    }
    Ok(format!("{key}={}", from_hub(address)?.display()))
}

/// Beginning of the name of a data set of the hub.
const DATA_SCHEME: &str = "hub:";

/// Returns data as a local path; a data set of the hub (`hub:owner/name[@revision]`) is downloaded first, its training
/// split and its test split, or its validation split where it has no test split.
///
/// # Errors
/// As [`file`].
pub(crate) fn data(path: &Path) -> Result<PathBuf> {
    match path.to_str().and_then(|path| path.strip_prefix(DATA_SCHEME)) {
        Some(name) => data_of_hub(name),
        None => Ok(path.to_path_buf()),
    }
}

/// Returns the folder of the photographs that come with the project.
///
/// # Errors
/// If this program lies alone.
pub(crate) fn photos() -> Result<PathBuf> {
    deepsim_nets::shipped::photos().ok_or_else(|| {
        let message = format!(
            "--data: expected the name of data, because the photographs that come with the project were not found \
             (in {}, beside this program, or where it was built); `--data scenes` needs no files",
            deepsim_nets::shipped::VARIABLE
        );
        Failure::usage(message).into()
    })
}

#[cfg(feature = "hub")]
fn data_of_hub(name: &str) -> Result<PathBuf> {
    use deepsim_fetch::FetchError;
    use deepsim_fetch::hub::{self, HubError, HubOptions};
    let (repository, revision) = match name.split_once('@') {
        Some((repository, revision)) => (repository, Some(revision.to_owned())),
        None => (name, None),
    };
    if !repository.contains('/') || revision.as_deref() == Some("") {
        let message = format!("{DATA_SCHEME}{name}: expected hub:OWNER/NAME or @REVISION after it");
        return Err(Failure::usage(message).into());
    }
    let train = hub::split(repository, "train", &HubOptions { revision, ..HubOptions::default() })?;
    // Files of the same commit, also if the branch has moved meanwhile.
    let revision = Some(train.commit.clone());
    let options = HubOptions { revision, ..HubOptions::default() };
    for split in ["test", "validation"] {
        match hub::split(repository, split, &options) {
            Ok(_) => break,
            Err(FetchError::Hub(HubError::Missing { .. } | HubError::Offline { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Every split is in the folder of the commit.
    let folders = train.files.first().into_iter().flat_map(|file| file.ancestors());
    let commit = |folder: &&Path| folder.file_name().is_some_and(|name| *name == *train.commit);
    let found = folders.into_iter().find(commit).map(Path::to_path_buf);
    found.ok_or_else(|| {
        Failure::usage(format!("{DATA_SCHEME}{name}: expected parquet files, found none")).into()
    })
}

#[cfg(not(feature = "hub"))]
fn data_of_hub(name: &str) -> Result<PathBuf> {
    from_hub(&format!("{DATA_SCHEME}{name}"))
}

#[cfg(feature = "hub")]
fn from_hub(address: &str) -> Result<PathBuf> {
    Ok(deepsim_fetch::hub::file(address, &deepsim_fetch::hub::HubOptions::default())?)
}

#[cfg(not(feature = "hub"))]
fn from_hub(address: &str) -> Result<PathBuf> {
    let message = format!(
        "{address}: this program was built without the feature `hub`; build it with `cargo install --path \
         crates/deepsim --features hub`"
    );
    Err(Failure::usage(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_checkout_and_what_exists_is_found() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let [mine, checkout] = ["mine", "checkout"].map(|name| folder.path().join(name));
        std::fs::create_dir_all(checkout.join("weights"))?;
        let folders = DataFolders::of(Some(mine.clone().into()), Some(checkout.clone()));
        // Downloads make the folder that is named.
        assert_eq!(folders.to_write()?, mine);
        assert_eq!(folders.find("weights"), Some(checkout.join("weights")));
        std::fs::create_dir_all(mine.join("weights"))?;
        assert_eq!(folders.find("weights"), Some(mine.join("weights")));
        assert_eq!(folders.find("stl10_binary"), None);
        for unset in [None, Some(OsString::new())] {
            assert_eq!(DataFolders::of(unset, Some(checkout.clone())).to_write()?, checkout);
        }
        Ok(())
    }

    #[test]
    fn without_a_folder_the_error_says_how_to_name_one() {
        let folders = DataFolders::of(None, Some("/no/such/checkout/data".into()));
        let error = folders.to_write().expect_err("no folder");
        assert_eq!(super::super::exit::code(&error), 2);
        assert!(error.to_string().contains("--to or DEEPSIM_DATA"), "{error}");
        assert_eq!(folders.find("weights"), None);
    }

    #[test]
    fn this_build_knows_its_checkout() {
        assert!(DataFolders::of(None, DataFolders::new().0.pop()).find("weights").is_some());
    }

    #[test]
    fn local_paths_and_settings_stay_as_they_are() -> Result<()> {
        for path in ["data/weights", "/somewhere/alexnet.pth", "hf:/x", "https://example.org/x"] {
            assert_eq!(file(Path::new(path))?, Path::new(path));
            assert_eq!(folder(Path::new(path))?, Path::new(path));
        }
        for set in ["steps=3", "feature.weights=a.safetensors", "name=\"hf\"", "typo"] {
            assert_eq!(setting(set)?, set);
        }
        Ok(())
    }

    #[cfg(not(feature = "hub"))]
    #[test]
    fn addresses_of_the_hub_need_a_program_built_for_them() {
        let address = "hf://owner/name/alexnet.safetensors";
        let results = [
            file(Path::new(address)).map(drop),
            folder(Path::new(address)).map(drop),
            setting(&format!("feature.weights={address}")).map(drop),
            setting(&format!("feature.weights = \"{address}\"")).map(drop),
        ];
        for result in results {
            let error = result.expect_err("no hub");
            assert_eq!(super::super::exit::code(&error), 2);
            let start = format!("{address}: this program was built without the feature `hub`");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
        let error = data(Path::new("hub:owner/name")).expect_err("no hub").to_string();
        assert!(error.starts_with("hub:owner/name: this program was built without"), "{error}");
        assert_eq!(data(Path::new("photos")).expect("a folder"), Path::new("photos"));
    }

    #[cfg(feature = "hub")]
    #[test]
    fn addresses_of_another_form_are_refused_without_a_network() {
        for address in ["hf://owner", "hf://owner/name/", "hf://owner/name@/file"] {
            let error = file(Path::new(address)).expect_err("no address");
            assert!(error.to_string().contains("hf://owner/name/path"), "{error}");
        }
        for address in ["hub:owner", "hub:owner/name@", "hub:owner/name/more", "hub:/name"] {
            let error = data(Path::new(address)).expect_err("no data set").to_string();
            assert!(error.contains(address.trim_start_matches("hub:")), "{error}");
        }
    }
}
