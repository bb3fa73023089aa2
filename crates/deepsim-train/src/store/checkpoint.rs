//! Checkpoints: the state from which a run continues as if it had never stopped, in one safetensors file
//! of a folder that the [`store`](crate::store) keeps.
//!
//! Tensors are named `generator/..`, `discriminator/..` (weights) and `adam/<net>/m/..`, `/v/..`
//! (moments), and `average/..` if the run has an EMA. The metadata key `state` holds the rest. Nothing in
//! the file depends on the clock, so equal runs write equal bytes.

use std::path::Path;

use deepsim_data::Cursor;
use deepsim_loss::Balance;
use deepsim_nets::params::{self, SPEC_KEY, from_bytes, parse, read};
use deepsim_nets::{NetError, Params, header};
use deepsim_ops::Moments;
use deepsim_run::plan::Plan;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::optim::Adam;
use crate::trainer::Trainer;

/// Key of the metadata under which the state stands, beside the network's description.
const METADATA: &str = "deepsim";

/// RunState of a run, except tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Steps made.
    pub step: u64,
    /// Position in the data.
    pub cursor: Cursor,
    /// Updates of the generator.
    pub generator_updates: u64,
    /// Updates of the discriminator and who is updated next.
    pub adversary: Option<(u64, Balance)>,
    /// The plan of the run.
    pub plan: Plan,
}

/// The bytes of a checkpoint.
///
/// # Errors
/// If a tensor cannot be copied from its device.
pub fn to_bytes(trainer: &Trainer, cursor: Cursor, plan: &Plan) -> Result<Vec<u8>, TrainError> {
    let state = RunState {
        step: trainer.steps(),
        cursor,
        generator_updates: trainer.generator_adam().updates(),
        adversary: trainer.adversary().map(|a| (a.adam.updates(), a.balance)),
        plan: plan.clone(),
    };
    let mut tensors = Vec::new();
    let generator = trainer.generator().params();
    collect("generator", generator, trainer.generator_adam(), &mut tensors)?;
    if let Some(adversary) = trainer.adversary() {
        collect("discriminator", adversary.net.params(), &adversary.adam, &mut tensors)?;
    }
    for (name, var) in trainer.ema().iter().flat_map(|average| average.net().params().iter()) {
        tensors.push((format!("average/{name}"), var.dims().to_vec(), params::to_bytes(var)?));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.expect("four bytes for each value"))
    });
    // Metadata is a hash map to the library; one entry keeps the bytes of the file reproducible.
    let header = serde_json::json!({ "state": state, SPEC_KEY: trainer.generator().spec() });
    let metadata = [(METADATA.to_owned(), header.to_string())].into();
    Ok(serialize(views, Some(metadata)).expect("distinct names and a short description"))
}

/// Reads the state of a checkpoint: only the header of the file, however large its tensors are.
///
/// # Errors
/// If the file is not a checkpoint.
pub fn read_state(path: &Path) -> Result<RunState, TrainError> {
    #[derive(Deserialize)]
    struct Header {
        state: RunState,
    }
    let header: Header = description(path, METADATA, "a checkpoint")?;
    Ok(header.state)
}

/// Reads the JSON description in the metadata of a checkpoint's file.
pub(crate) fn description<T: DeserializeOwned>(
    path: &Path,
    key: &str,
    kind: &str,
) -> Result<T, TrainError> {
    let broken = |reason: String| {
        let reason = format!("not {kind}: {reason}");
        TrainError::Checkpoint { path: path.into(), reason }
    };
    let metadata = header::metadata(path).map_err(|error| match error {
        NetError::Format { reason, .. } => broken(reason),
        other => other.into(),
    })?;
    let text =
        metadata.get(key).ok_or_else(|| broken(format!("its metadata has no key `{key}`")))?;
    serde_json::from_str(text).map_err(|e| broken(format!("its state cannot be read: {e}")))
}

/// Puts weights, moments, balance and step count of a checkpoint into a trainer.
///
/// # Errors
/// If the file is not a checkpoint of such a run.
pub fn load(path: &Path, trainer: &mut Trainer) -> Result<RunState, TrainError> {
    let state = read_state(path)?;
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let broken = |reason: &str| TrainError::Checkpoint { path: path.into(), reason: reason.into() };

    if let Some(average) = trainer.ema() {
        let local = |name: &str| name.strip_prefix("average/").map(str::to_owned);
        average.net().params().fill(&file, path, "the running mean", local)?;
    }
    let generator = trainer.generator().params().clone();
    let moments = restore("generator", &generator, &file, path)?;
    let (adam, adversary) = trainer.restore(state.step);
    adam.restore(state.generator_updates, moments);
    match (adversary, state.adversary) {
        (None, None) => {}
        (Some(adversary), Some((updates, balance))) => {
            let moments = restore("discriminator", adversary.net.params(), &file, path)?;
            adversary.adam.restore(updates, moments);
            adversary.balance = balance;
        }
        (Some(_), None) => return Err(broken("it has no discriminator, the recipe has one")),
        (None, Some(_)) => return Err(broken("it has a discriminator, the recipe has none")),
    }
    Ok(state)
}

type Entry = (String, Vec<usize>, Vec<u8>);

fn collect(
    net: &str,
    params: &Params,
    adam: &Adam,
    tensors: &mut Vec<Entry>,
) -> Result<(), TrainError> {
    for ((name, var), moments) in params.iter().zip(adam.moments()) {
        let shape = var.dims().to_vec();
        tensors.push((format!("{net}/{name}"), shape.clone(), params::to_bytes(var)?));
        let moments = moments.to_host()?;
        for (kind, values) in [("m", moments.first()), ("v", moments.second())] {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((format!("adam/{net}/{kind}/{name}"), shape.clone(), bytes));
        }
    }
    Ok(())
}

fn restore(
    net: &str,
    params: &Params,
    file: &SafeTensors<'_>,
    path: &Path,
) -> Result<Vec<Moments>, TrainError> {
    let broken = |reason: String| TrainError::Checkpoint { path: path.into(), reason };
    // Moments first: nothing is changed unless all of them are there.
    let find = |kind: &str, name: &str, len: usize| {
        let name = format!("adam/{net}/{kind}/{name}");
        match file.tensor(&name) {
            Ok(view) if view.dtype() == Dtype::F32 && view.data().len() == 4 * len => {
                Ok(from_bytes(view.data()))
            }
            Ok(view) => {
                Err(broken(format!("{name}: expected {len} f32, found {:?}", view.shape())))
            }
            Err(_) => Err(broken(format!("{name}: missing"))),
        }
    };
    let mut moments = Vec::with_capacity(params.len());
    for (name, var) in params.iter() {
        let len = var.elem_count();
        moments.push(Moments::from_parts(find("m", name, len)?, find("v", name, len)?));
    }
    let prefix = format!("{net}/");
    params.fill(file, path, net, |name| name.strip_prefix(&prefix).map(str::to_owned))?;
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use deepsim_run::plan::DataPlan;
    use deepsim_run::recipe::Recipe;

    use super::*;
    use crate::step::frozen::FrozenNetworks;

    #[test]
    fn a_state_is_read_from_the_header_alone_and_other_files_are_named() -> anyhow::Result<()> {
        let recipe = Recipe::parse(
            r#"
            name = "tiny"
            steps = 1
            batch = 2
            crop = 32
            image = { distance = "squared-error", weight = 1.0 }
            "#,
            &[],
        )?;
        let data =
            DataPlan { name: "none".into(), synthetic: true, images: 0, content: None, test: None };
        let mut trainer = Trainer::new(&recipe, FrozenNetworks::default(), &Device::Cpu)?;
        let plan = Plan { data, encoder: None, comparator: None, scale: Vec::new(), recipe };
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("checkpoint.safetensors");
        let bytes = to_bytes(&trainer, Cursor::default(), &plan)?;
        std::fs::write(&file, &bytes)?;
        let state = read_state(&file)?;
        assert_eq!((state.step, &state.plan), (0, &plan));
        assert_eq!(load(&file, &mut trainer)?, state);

        std::fs::write(&file, &bytes[..bytes.len() - 99])?;
        assert_eq!(read_state(&file)?, state);
        assert!(load(&file, &mut trainer).is_err());
        std::fs::write(&file, trainer.generator().params().to_safetensors("{}")?)?;
        for (bytes, words) in [
            (std::fs::read(&file)?, "not a checkpoint: its metadata has no key `deepsim`"),
            (bytes[..99].to_vec(), "not a checkpoint: expected a header of at most 91 bytes"),
            (b"no checkpoint".to_vec(), "not a checkpoint: expected a header of at most 5 bytes"),
        ] {
            std::fs::write(&file, bytes)?;
            let error = read_state(&file).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        Ok(())
    }
}
