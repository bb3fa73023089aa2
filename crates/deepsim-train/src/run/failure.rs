//! Reproducers of failed steps: the state before the step and its batch, in a folder
//! `failures/step-*` of the run, so that it can be made again and looked at.

use std::path::{Path, PathBuf};

use candle_core::Device;
use deepsim_data::{Batch, Cursor, Sample};
use deepsim_run::files::{BATCH, CHECKPOINT, FAILURES, GENERATOR};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::comparator;
use crate::run::data::images;
use crate::run::plan;
use crate::run::precision;
use crate::run::session::Session;
use crate::store::Store;
use crate::store::checkpoint;
use crate::trainer::{StepReport, Trainer};

/// Samples of a batch, and the cursor behind it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    samples: Vec<Sample>,
    next: Cursor,
}

/// Writes the state before the step that failed, and its batch; returns the folder.
pub(crate) fn keep(
    out: &Path,
    session: &dyn Session,
    cursor: Cursor,
    batch: &Batch,
) -> Result<PathBuf, TrainError> {
    let step = session.steps() + 1;
    let store = Store::aside(out.join(FAILURES));
    // One of an earlier attempt in this folder may be of another recipe.
    store.discard(step)?;
    store.save(step, Default::default(), &|put| {
        session.save(cursor, put)?;
        put(BATCH, &to_bytes(batch))
    })
}

/// Makes the step again that is kept in `folder`; `weights` is where comparators are looked for.
///
/// # Errors
/// The error that it ended with, if it does so again, or if the folder cannot be used.
pub fn replay(
    folder: &Path,
    weights: Option<&Path>,
    device: &Device,
) -> Result<StepReport, TrainError> {
    let (file, batch) = (folder.join(CHECKPOINT), read(&folder.join(BATCH))?);
    let named = |error| match error {
        TrainError::NonFinite(mut found) => {
            found.batch = batch.samples.iter().map(|sample| sample.index).collect();
            TrainError::NonFinite(found)
        }
        other => other,
    };
    if !folder.join(GENERATOR).exists() {
        return comparator::replay(&file, &batch, device).map_err(named);
    }
    let plan = checkpoint::read_state(&file)?.plan;
    precision::set(plan.recipe.precision, device)?;
    let mut trainer = Trainer::new(&plan.recipe, plan::reopen(&plan, weights, device)?, device)?;
    checkpoint::load(&file, &mut trainer)?;
    trainer.step(&images(&batch, device)?).map_err(named)
}

fn to_bytes(batch: &Batch) -> Vec<u8> {
    let shape = vec![batch.n, 3, batch.height, batch.width];
    let pixels = TensorView::new(Dtype::U8, shape, &batch.pixels).expect("a byte for each value");
    let origin = Origin { samples: batch.samples.clone(), next: batch.next };
    let metadata = [("deepsim".to_owned(), serde_json::json!(origin).to_string())].into();
    serialize([("pixels", pixels)], Some(metadata)).expect("one tensor and a short description")
}

fn read(path: &Path) -> Result<Batch, TrainError> {
    let broken = |reason: String| TrainError::Checkpoint { path: path.into(), reason };
    let bytes = deepsim_nets::params::read(path)?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|e| broken(format!("not a batch: {e}")))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get("deepsim"));
    let text =
        text.ok_or_else(|| broken("not a batch: it does not say where it is from".into()))?;
    let Origin { samples, next } =
        serde_json::from_str(text).map_err(|e| broken(format!("not a batch: {e}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()))?;
    let pixels = file.tensor("pixels").map_err(|e| broken(e.to_string()))?;
    match (pixels.dtype(), pixels.shape()) {
        (Dtype::U8, &[n, 3, height, width]) if samples.len() == n => Ok(Batch {
            pixels: pixels.data().to_vec(),
            n,
            height,
            width,
            samples,
            skipped: Vec::new(),
            next,
        }),
        (dtype, shape) => {
            Err(broken(format!("expected bytes of (N, 3, H, W), found {dtype:?} {shape:?}")))
        }
    }
}
