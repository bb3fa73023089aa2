//! torchvision's usual loader for training: RandomResizedCrop, mirroring, labels, normalised f32, two epochs, resume.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use deepsim_data::folder::ImageFolder;
use deepsim_data::{Augmented, Loader, LoaderConfig, Pipeline};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

type Step<'a> = &'a mut dyn FnMut(&[f32], &[u32]) -> Result<(), Box<dyn Error>>;

/// Hands pixels `(n, 3, 224, 224)` and labels to `step`, from where `state` was saved.
pub(crate) fn train(folder: &Path, state: &Path, step: Step<'_>) -> Result<(), Box<dyn Error>> {
    let files = Arc::new(ImageFolder::open(folder)?);
    let images = Arc::new(Augmented::of_files(files, Pipeline::torchvision_train(224))?);
    let config =
        LoaderConfig { batch: 4, workers: 2, seed: 0, ends: true, ..LoaderConfig::default() };
    let mut loader = match std::fs::read_to_string(state) {
        Ok(saved) => Loader::resume(images.clone(), config, &serde_json::from_str(&saved)?)?,
        Err(_) => Loader::epoch(images.clone(), config, 0)?,
    };
    while loader.state().cursor.epoch < 2 {
        while let Some(batch) = loader.next().transpose()? {
            let planes = batch.pixels.chunks_exact(batch.height * batch.width);
            let normalised = planes.enumerate().flat_map(|(plane, values)| {
                let (mean, std) = (MEAN[plane % 3], STD[plane % 3]);
                values.iter().map(move |value| (f32::from(*value) / 255.0 - mean) / std)
            });
            step(&normalised.collect::<Vec<f32>>(), &batch.labels()?)?;
            std::fs::write(state, serde_json::to_string(&loader.state())?)?;
        }
        loader = Loader::epoch(images.clone(), config, loader.state().cursor.epoch)?;
    }
    Ok(())
}

/// `cargo run --example torchvision_loader FOLDER STATE.json`
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(state)) = (arguments.next(), arguments.next()) else {
        return Err("expected a folder with pictures by class, and a file for the state".into());
    };
    let mut batches = 0;
    train(folder.as_ref(), state.as_ref(), &mut |pixels, labels| {
        batches += 1;
        let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
        tracing::info!("batch {batches}: {} images, mean {mean:.3}", labels.len());
        Ok(())
    })
}
