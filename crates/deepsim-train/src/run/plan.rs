//! From a recipe to a checked plan, and from a plan back to its networks.

use std::path::{Path, PathBuf};

use candle_core::Device;
use deepsim_data::Dataset;
use deepsim_data::atomic::write_atomic;
use deepsim_nets::{Generator, WeightsOrigin};
use deepsim_run::Identity;
use deepsim_run::files::{IDENTITY, PLAN, TEST_PICTURES};
use deepsim_run::plan::DataPlan;
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::run::data::{calibration_batch, check_images};
use crate::run::options::RunOptions;
use crate::step::frozen::FrozenNetworks;
use crate::trainer::generator_file;
pub use deepsim_run::plan::Plan;

/// Images on which the size of the features that are inverted is measured.
const SCALED: usize = 256;

/// Settles a recipe: opens the comparator, calibrates its weight on the data, and measures the size of the features that
/// are inverted.
///
/// A run that is continued keeps the numbers of its `earlier` plan, so that they stay what they were even
/// under a version of this program that calibrates a little differently.
///
/// # Errors
/// If a value of the recipe makes no sense, the images do not fit it, weights cannot be loaded or the data
/// cannot be read.
pub fn settle(
    recipe: &Recipe,
    dataset: &Dataset,
    weights: Option<&Path>,
    earlier: Option<&Plan>,
    device: &Device,
) -> Result<(Plan, FrozenNetworks), TrainError> {
    recipe.check_networks()?;
    check_images(recipe, dataset)?;
    let mut recipe = recipe.clone();
    let mut frozen = FrozenNetworks::open(&recipe, weights, device)?;
    let (batch, crop, seed) = (recipe.batch, recipe.crop, recipe.seed);
    if let (Some(term), Some(feature)) = (&mut recipe.feature, &mut frozen.feature) {
        let calibrated = earlier.and_then(|plan| plan.recipe.feature.as_ref());
        let calibrated = calibrated.filter(|e| e.rho == term.rho).and_then(|e| e.weight);
        feature.weight = match (term.weight.or(calibrated), term.rho) {
            (Some(weight), _) => weight,
            (None, rho) => {
                let images = calibration_batch(dataset, batch.max(16), crop, seed, device)?;
                feature.calibrated(rho.unwrap_or_default(), recipe.image.calibrates(), &images)?
            }
        };
        term.weight = Some(feature.weight);
    }
    if recipe.inversion.as_ref().is_some_and(|inversion| inversion.scaled) {
        frozen.scale = match (earlier, &recipe.init) {
            (Some(earlier), _) => earlier.scale.clone(),
            // The scale is the generator's that it begins with.
            (None, Some(init)) if !recipe.init_matching => {
                match Generator::load(&generator_file(init), device)? {
                    Generator::Inverter(net) if !net.config().scale.is_empty() => {
                        net.config().scale.clone()
                    }
                    _ => {
                        let reason = format!(
                            "inversion.scaled: expected a generator with a scale in init, found {} without",
                            init.display()
                        );
                        return Err(TrainError::recipe(reason));
                    }
                }
            }
            (None, _) => {
                let images = calibration_batch(dataset, SCALED, crop, seed, device)?;
                frozen.root_mean_squares(&images)?
            }
        };
    }
    let plan = Plan {
        data: DataPlan {
            name: dataset.name.clone(),
            synthetic: dataset.synthetic,
            images: dataset.unlabeled.len(),
            content: Some(dataset.unlabeled.content()),
            test: dataset.test_origin.clone(),
        },
        encoder: encoder_origin(&recipe, &frozen),
        comparator: comparator_origin(&frozen),
        scale: frozen.scale.clone(),
        recipe,
    };
    Ok((plan, frozen))
}

/// Opens the frozen networks of a plan that was settled before.
///
/// # Errors
/// If one cannot be opened, or is not that of the plan.
pub fn reopen(
    plan: &Plan,
    weights: Option<&Path>,
    device: &Device,
) -> Result<FrozenNetworks, TrainError> {
    let mut frozen = FrozenNetworks::open(&plan.recipe, weights, device)?;
    frozen.scale.clone_from(&plan.scale);
    for (what, expected, found) in [
        ("encoder", &plan.encoder, encoder_origin(&plan.recipe, &frozen)),
        ("comparator", &plan.comparator, comparator_origin(&frozen)),
    ] {
        if *expected != found {
            let name = |origin: Option<String>| origin.unwrap_or_else(|| "none".into());
            return Err(TrainError::recipe(format!(
                "{what}: expected {}, found {}; is --weights the same as then?",
                name(expected.clone()),
                name(found)
            )));
        }
    }
    Ok(frozen)
}

/// Creates the run folder and writes the plan, the identity of the run and the paths of the test pictures, in the
/// first process only.
pub(crate) fn write(
    options: &RunOptions,
    plan: &str,
    identity: Identity,
    test_pictures: &[PathBuf],
) -> Result<(), TrainError> {
    let out = &options.out;
    std::fs::create_dir_all(out).map_err(TrainError::io("creating folder", out))?;
    if options.group.leads() {
        let id = options.id.clone().unwrap_or(identity.id);
        write_atomic(&out.join(PLAN), plan.as_bytes())?;
        write_atomic(&out.join(IDENTITY), Identity { id, ..identity }.to_json().as_bytes())?;
        if !test_pictures.is_empty() {
            let lines = test_pictures.iter().map(|path| format!("{}\n", path.display()));
            let path = out.join(TEST_PICTURES);
            write_atomic(&path, lines.collect::<String>().as_bytes())?;
            tracing::info!("{} lists the {} test pictures", path.display(), test_pictures.len());
        }
    }
    Ok(())
}

/// Returns the error of a run folder that holds a run of another plan.
///
/// `differences` are the keys in which the plans differ.
pub(crate) fn other_plan(out: &Path, differences: &[String]) -> TrainError {
    let lines: Vec<String> = differences.iter().map(|line| format!("\n  {line}")).collect();
    TrainError::Folder {
        path: out.into(),
        reason: format!(
            "it holds a run of another plan, which cannot be continued:{}\nrepeat the command that began it, with \
             every --set, or choose another folder",
            lines.concat()
        ),
    }
}

fn encoder_origin(recipe: &Recipe, frozen: &FrozenNetworks) -> Option<String> {
    if recipe.vae.is_some() {
        let origin = match &frozen.initial_weights {
            Some(file) => WeightsOrigin::File(file.clone()),
            None => WeightsOrigin::Random(recipe.seed),
        };
        return Some(format!("trained from {origin}"));
    }
    frozen.encoder.as_ref().map(|encoder| encoder.net.origin().to_string())
}

fn comparator_origin(frozen: &FrozenNetworks) -> Option<String> {
    frozen.feature.as_ref().map(|feature| feature.comparator.origin().to_string())
}
