//! The data of a command: where they are, and which are held out for tests.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use clap::Args;
use deepsim_data::DataError;
use deepsim_data::dataset::DataOptions;
use deepsim_eval::EvalError;
use deepsim_train::TrainError;

use super::exit::{self, Failure};
use super::locate;

/// Data, and how their test split is found.
#[derive(Args)]
pub(crate) struct Data {
    /// STL-10, ILSVRC-2012, a folder of pictures (flat, by classes, or `train` and `val`), tar shards (a folder,
    /// `train-{000..127}.tar`, `train-*.tar`), `hub:OWNER/NAME[@REVISION]` or `scenes`, which are procedural; see
    /// docs/data.md [default: the photographs that come with the project]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Pictures or shards to measure on [default: `test` or `val` in the data, else a tenth of the pictures]
    #[arg(long, value_name = "DATA", requires = "data")]
    test: Option<PathBuf>,
    /// Share of the pictures that is held out to measure on, by a fixed permutation, e.g. 0.1
    #[arg(long, value_name = "SHARE", requires = "data", conflicts_with = "test")]
    test_share: Option<f64>,
    /// Rotate pictures of folders and shards by their EXIF orientation, and put transparent ones on white
    #[arg(long, requires = "data")]
    upright: bool,
    /// Keep training pictures in this folder after their first resize, so that each is decoded once; changes the
    /// speed only
    #[arg(long, value_name = "DIR", requires = "data")]
    cache: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long, requires = "data")]
    without_duplicates: bool,
}

impl Data {
    /// Returns the options for the libraries; data of the hub are downloaded first.
    ///
    /// # Errors
    /// As [`locate::data`].
    pub(crate) fn options(&self) -> Result<DataOptions> {
        Ok(DataOptions {
            data: Some(match &self.data {
                Some(data) => locate::data(data)?,
                None => locate::photos()?,
            }),
            test: self.test.clone(),
            test_share: self.test_share,
            without_duplicates: self.without_duplicates,
            upright: self.upright,
            cache: self.cache.clone(),
        })
    }

    /// Adds to the error of a broken picture the command that finds all of them.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match &self.data {
            Some(data) => explain(error, data, self.test.as_deref()),
            None => error,
        }
    }
}

/// Adds to the error of a broken picture of `data` the command that finds all of them; other errors stay as they are.
pub(crate) fn explain(error: Error, data: &Path, test: Option<&Path>) -> Error {
    let cause = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(TrainError::Data(cause)), _) | (_, Some(EvalError::Data(cause))) => Some(cause),
        _ => error.downcast_ref(),
    };
    if !matches!(cause, Some(DataError::Decode { .. } | DataError::Panicked { .. })) {
        return error;
    }
    let test = test.map_or(String::new(), |test| format!(" --test {}", test.display()));
    let message = format!(
        "{error:#}; `deepsim data check {}{test}` lists all broken files, to be moved away first",
        data.display()
    );
    Failure::new(exit::code(&error), message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_error_of_a_broken_picture_says_how_to_find_all() {
        let broken = || DataError::Decode { path: "mine/a.jpg".into(), reason: "no".into() };
        let advice = "mine/a.jpg: no; `deepsim data check mine` lists all broken files, to be moved away first";
        let errors: [Error; 3] =
            [broken().into(), TrainError::from(broken()).into(), EvalError::from(broken()).into()];
        for error in errors {
            let explained = explain(error, Path::new("mine"), None);
            assert_eq!((explained.to_string().as_str(), exit::code(&explained)), (advice, 1));
        }
        let both = explain(broken().into(), Path::new("mine"), Some(Path::new("held")));
        assert!(both.to_string().contains("`deepsim data check mine --test held` lists"), "{both}");
        let usage = explain(Failure::usage("no").into(), Path::new("mine"), None);
        assert_eq!((usage.to_string().as_str(), exit::code(&usage)), ("no", 2));
    }
}
