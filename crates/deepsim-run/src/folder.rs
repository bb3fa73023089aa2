//! Run folders as they are read by planners, measures and reports.

use std::path::{Path, PathBuf};

use crate::done::Done;
use crate::error::RunError;
use crate::files::{LOG, PLAN};
use crate::identity::Identity;
use crate::log::{self, Record};
use crate::plan::AnyPlan;
use crate::read::read;

/// Content of a run folder, except weights, images and measurements. What is missing is None, or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Checked plan.
    pub plan: Option<AnyPlan>,
    /// The text it was parsed from.
    pub plan_text: Option<String>,
    /// Records of the log.
    pub log: Vec<Record>,
    /// End of a finished run.
    pub done: Option<Done>,
    /// Identity of the run: from the folder, or else from the plan.
    pub identity: Option<Identity>,
}

impl RunFolder {
    /// Opens a run folder.
    ///
    /// # Errors
    /// If there is no such folder, or one of its files cannot be read or is broken. The error names the file and
    /// gives advice.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        if !path.is_dir() {
            return Err(RunError::Content {
                path: path.into(),
                line: None,
                expected: "a run folder",
                found: if path.exists() { "a file".into() } else { "no such folder".into() },
                advice: None,
            });
        }
        let (plan, log) = (path.join(PLAN), path.join(LOG));
        let plan_text = read(&plan)?;
        let plan = plan_text.as_deref().map(|text| AnyPlan::parse(&plan, text)).transpose()?;
        let log = log::parse(&log, &read(&log)?.unwrap_or_default())?;
        let told = Identity::read(path)?;
        let identity = told.or_else(|| plan.as_ref().map(Identity::of_plan));
        Ok(Self { path: path.into(), plan, plan_text, log, done: Done::read(path)?, identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{DONE, IDENTITY};
    use crate::identity::Method;
    use crate::plan::{DataPlan, Plan};
    use crate::recipe::Recipe;
    use crate::recipes;

    /// A folder as a finished run leaves it, except its identity.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let text = recipes::text("inversion-conv5").expect("built in");
        let plan = Plan {
            data: DataPlan {
                name: "ilsvrc-2012".into(),
                synthetic: false,
                images: 9,
                content: None,
                test: None,
            },
            encoder: None,
            comparator: None,
            scale: Vec::new(),
            recipe: Recipe::parse(text, &["name=mine".into()]).expect("a recipe"),
        };
        let done = Done { name: "mine".into(), step: 7, seconds: 1.5 };
        let record = r#"{"items_per_s":1,"lr":1,"seconds":1,"step":7,"terms":{},"total":1}"#;
        for (name, text) in [
            (PLAN, plan.to_toml().expect("TOML")),
            (LOG, format!("{record}\n{{\"at_step\":7,\"warning\":\"text\"}}\n")),
            (DONE, done.to_json()),
        ] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn a_folder_without_an_identity_has_the_one_of_its_plan() -> Result<(), RunError> {
        let folder = folder();
        let run = RunFolder::open(folder.path())?;
        assert_eq!(run.log.len(), 1);
        assert_eq!(run.done.as_ref().map(|done| (done.step, done.seconds)), Some((7, 1.5)));
        assert!(run.plan_text.is_some_and(|text| text.contains("ilsvrc-2012")));
        let plan = run.plan.as_ref().and_then(AnyPlan::generator);
        assert_eq!(plan.map(|plan| plan.recipe.resize), Some(Some(256)));
        let (method, layer) = (Method::DeePSiM, Some("CONV5".to_owned()));
        assert_eq!(
            run.identity,
            Some(Identity { id: "mine".into(), method, layer: layer.clone() })
        );

        let own = Identity { id: "row-3".into(), method: Method::Other, layer };
        std::fs::write(folder.path().join(IDENTITY), own.to_json()).expect("written");
        assert_eq!(RunFolder::open(folder.path())?.identity, Some(own));
        Ok(())
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_broken_is_named() -> Result<(), RunError> {
        let empty = tempfile::tempdir().expect("a folder");
        let path = empty.path().to_owned();
        let expected = RunFolder { path, ..RunFolder::default() };
        assert_eq!(RunFolder::open(empty.path())?, expected);

        for (file, text, words) in [
            (PLAN, "recipe = 1", "written by another version of deepsim; train it again"),
            (LOG, "{\n{}\n", "log.jsonl:1: expected a record of a step, found "),
            (DONE, "{}", "expected name, step and seconds of a finished run, found missing field"),
            (IDENTITY, "[", "resume the run, which writes it again"),
        ] {
            let folder = folder();
            std::fs::write(folder.path().join(file), text).expect("written");
            let error = RunFolder::open(folder.path()).expect_err(file).to_string();
            assert!(error.contains(words) && error.contains(file), "{error}");
        }
        let error = RunFolder::open(Path::new("nowhere")).expect_err("no folder").to_string();
        assert_eq!(error, "nowhere: expected a run folder, found no such folder");
        Ok(())
    }
}
