//! Run folders that training leaves, as planners and reports read them.

use anyhow::{Context, Result};
use deepsim_run::files::{CHECKPOINT, IDENTITY};
use deepsim_run::plan::AnyPlan;
use deepsim_run::recipe::AnyRecipe;
use deepsim_run::{Identity, Method, RunFolder};
use deepsim_train::run::{Outcome, Requests, RunOptions, run};
use deepsim_train::store::checkpoint;
use deepsim_train::{comparator, store};

use crate::comparators::EXEMPLAR;
use crate::programs::TINY;

#[test]
fn a_finished_run_is_read_back_whole_with_its_identity() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (recipe, id, method) in [(TINY, "tiny", Method::DeePSiM), (EXEMPLAR, "row", Method::Other)]
    {
        let out = folder.path().join(id);
        let id_option = (id != "tiny").then(|| id.to_owned());
        let options = RunOptions { id: id_option, ..RunOptions::new(&out) };
        let (requests, sets) = (Requests::default(), ["steps=2".to_owned()]);
        let ended = match AnyRecipe::parse(recipe, &sets)? {
            AnyRecipe::Generator(recipe) => run(&recipe, &options, &requests)?,
            AnyRecipe::Comparator(recipe) => comparator::run(&recipe, &options, &requests)?,
        };
        assert_eq!(ended, Outcome::Finished);

        let found = RunFolder::open(&out)?;
        assert_eq!(found.log.iter().map(|record| record.step).collect::<Vec<_>>(), [1, 2]);
        let done = found.done.context("a finished run")?;
        assert_eq!((done.name.as_str(), done.step), ("tiny", 2));
        assert_eq!(found.identity, Some(Identity { id: id.into(), method, layer: None }));
        let newest = store::newest(&out)?.context("a checkpoint")?;
        assert_eq!((newest.step, newest.checkpoint.ends_with(CHECKPOINT)), (2, true));
        let same = match found.plan.context("a plan")? {
            AnyPlan::Generator(plan) => checkpoint::read_state(&newest.checkpoint)?.plan == *plan,
            AnyPlan::Comparator(plan) => {
                comparator::checkpoint::read_state(&newest.checkpoint)?.plan == *plan
            }
        };
        assert!(same, "the plans of the folder and of the checkpoint differ");

        // Runs of older versions have no identity: it is that of the plan.
        std::fs::remove_file(out.join(IDENTITY))?;
        let told = RunFolder::open(&out)?.identity.context("an identity")?;
        assert_eq!((told.id.as_str(), told.method), ("tiny", method));
    }
    Ok(())
}
