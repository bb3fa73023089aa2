//! A run: pictures in; checkpoints, a log and the comparator's weights out.

use deepsim_data::picture::{Picture, grid};
use deepsim_data::{Batch, Cursor, LoaderConfig};
use deepsim_nets::Params;
use deepsim_run::Identity;
use deepsim_run::files::{CHECKPOINT, COMPARATOR};
use deepsim_run::plan::ComparatorPlan;
use deepsim_run::recipe::ComparatorRecipe;

use super::learners::learner;
use super::samples::phases;
use super::{Learner, checkpoint};
use crate::TrainError;
use crate::run::control::{Outcome, Requests};
use crate::run::data::{check_continues, check_source};
use crate::run::options::RunOptions;
use crate::run::plan;
use crate::run::session::{LoopSetup, Phase, Session, with_kernels};
use crate::run::training_loop::{earlier, training_loop};
use crate::step::gradients::GradientHook;
use crate::step::report::StepReport;
use crate::store::Put;

/// Trains until all steps are made or a stop is requested.
///
/// # Errors
/// If anything fails; the last checkpoint stays as it is.
pub fn run(
    recipe: &ComparatorRecipe,
    options: &RunOptions,
    requests: &Requests,
) -> Result<Outcome, TrainError> {
    let (out, device) = (&options.out, &options.device);
    if options.group.size() > 1 {
        let got = options.group.size();
        return Err(TrainError::Group(format!(
            "a comparator is trained by one process, found {got}"
        )));
    }
    let file = earlier(out, options.resume)?;
    let earlier = file.as_deref().map(checkpoint::read_state).transpose()?;
    let (data, phases) = phases(recipe, options)?;
    for phase in &phases {
        check_source(&*phase.source, "training", 1)?;
    }
    let samples = phases.last().map_or(0, |phase| phase.source.len());
    let plan = ComparatorPlan { data, samples, recipe: recipe.clone() };
    let mut learner = learner(recipe, device)?;
    let mut cursor = Cursor::default();
    if let (Some(state), Some(file)) = (earlier, file) {
        check_continues(&plan.data, &state.plan.data, out)?;
        if !plan.continues(&state.plan) {
            return Err(plan::other_plan(out, &plan.differences(&state.plan)?));
        }
        cursor = checkpoint::load(&file, &mut *learner)?.cursor;
    }

    plan::write(options, &plan.to_toml()?, Identity::of_comparator(recipe), &[])?;
    let setup = LoopSetup {
        out,
        name: &recipe.name,
        heading: with_kernels(plan.heading(), device)?,
        steps: recipe.steps,
        phases,
        loader: loader(recipe, options),
        output: &recipe.output,
        group: options.group.clone(),
    };
    let mut session = LearnerSession { learner, plan };
    training_loop(&mut session, &setup, cursor, requests)
}

/// A plan, what it trains, on what, and how batches are made.
type Prepared = (String, LearnerSession, Vec<Phase>, LoaderConfig);

/// Prepares everything that a run needs, for an estimate.
pub(crate) fn prepare(
    recipe: &ComparatorRecipe,
    options: &RunOptions,
) -> Result<Prepared, TrainError> {
    let (data, phases) = phases(recipe, options)?;
    for phase in &phases {
        check_source(&*phase.source, "training", 1)?;
    }
    let samples = phases.last().map_or(0, |phase| phase.source.len());
    let plan = ComparatorPlan { data, samples, recipe: recipe.clone() };
    let learner = learner(recipe, &options.device)?;
    Ok((plan.to_toml()?, LearnerSession { learner, plan }, phases, loader(recipe, options)))
}

fn loader(recipe: &ComparatorRecipe, options: &RunOptions) -> LoaderConfig {
    LoaderConfig {
        batch: recipe.batch,
        seed: recipe.seed,
        workers: options.workers,
        ..LoaderConfig::default()
    }
}

pub(crate) struct LearnerSession {
    learner: Box<dyn Learner>,
    plan: ComparatorPlan,
}

impl Session for LearnerSession {
    fn steps(&self) -> u64 {
        self.learner.solver().steps
    }

    fn step(
        &mut self,
        batch: &Batch,
        hook: Option<&mut GradientHook<'_>>,
    ) -> Result<StepReport, TrainError> {
        self.learner.step(batch, hook.unwrap_or(&mut |_, _, _| Ok(())))
    }

    /// The filters of the first layer, each stretched to the whole range.
    fn draw(&self) -> Result<Picture, TrainError> {
        let Some((_, filters)) = self.learner.params().iter().next() else {
            return Ok(grid(&[], 2));
        };
        let (_, _, height, width) = filters.dims4()?;
        let pictures = filters.flatten_from(1)?.to_vec2::<f32>()?.into_iter().map(|filter| {
            let (low, high) =
                filter.iter().fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
            let byte = |x: &f32| ((x - low) / (high - low).max(1e-12) * 255.0).round() as u8;
            let planes: Vec<u8> = filter.iter().map(byte).collect();
            Picture::from_planes(&planes, height, width).upscale(6)
        });
        let pictures: Vec<Picture> = pictures.collect();
        let rows: Vec<Vec<Picture>> = pictures.chunks(16).map(<[Picture]>::to_vec).collect();
        Ok(grid(&rows, 2))
    }

    fn networks(&self) -> Vec<(&'static str, &Params)> {
        vec![("comparator", self.learner.params())]
    }

    fn save(&self, cursor: Cursor, put: &mut Put<'_>) -> Result<(), TrainError> {
        put(CHECKPOINT, &checkpoint::to_bytes(&*self.learner, cursor, &self.plan)?)?;
        let (name, bytes) = self.product()?;
        put(name, &bytes)
    }

    fn product(&self) -> Result<(&'static str, Vec<u8>), TrainError> {
        let params = self.learner.params().iter();
        let kept = params.filter(|(name, _)| self.learner.belongs(name));
        let weights: Params = kept.map(|(name, var)| (name.to_owned(), var.clone())).collect();
        let spec = serde_json::json!({ "comparator": self.plan.recipe.comparator.name() });
        Ok((COMPARATOR, weights.to_safetensors(&spec.to_string())?))
    }
}
