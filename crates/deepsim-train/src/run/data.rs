//! Data of a run: the data set, its batches, and the images that networks take.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use deepsim_data::{Crop, Cursor, DataError, Dataset, Loader, LoaderConfig, Source, Subset};
use deepsim_nets::{Images, PixelFormat};
use deepsim_run::plan::DataPlan;
use deepsim_run::recipe::{Recipe, Validation};

use crate::TrainError;
use crate::run::options::RunOptions;

/// Opens the data of a recipe: those that the options name, or procedural scenes.
pub(crate) fn dataset(recipe: &Recipe, options: &RunOptions) -> Result<Dataset, TrainError> {
    let dataset = options.data.open(recipe.seed)?;
    Ok(match recipe.resize {
        Some(side) => dataset.sized(side),
        None => dataset,
    })
}

/// Returns the training images of a data set under the transforms of a recipe, for crops of its size.
pub(crate) fn training_images(
    recipe: &Recipe,
    dataset: &Dataset,
) -> Result<Arc<dyn Source>, TrainError> {
    let images = dataset.training(recipe.transform.as_ref(), recipe.crop)?;
    check_source(&*images, "transformed training", recipe.crop)?;
    Ok(images)
}

/// Training images, and those that are held out of them.
pub(crate) struct Training {
    /// Images of the steps.
    pub(crate) images: Arc<dyn Source>,
    /// Batches of held-out images, in centre crops; none unless the recipe asks for them.
    pub(crate) validation: Vec<Images>,
}

/// Returns the training images of a recipe, without those that it holds out. These are read by the process that leads, in
/// batches as `loader` has them.
///
/// # Errors
/// If no images would be left, or held-out ones cannot be read.
pub(crate) fn training(
    recipe: &Recipe,
    dataset: &Dataset,
    loader: LoaderConfig,
    device: &Device,
) -> Result<Training, TrainError> {
    let all = training_images(recipe, dataset)?;
    let Some(Validation { images: held_out }) = recipe.validation else {
        return Ok(Training { images: all, validation: Vec::new() });
    };
    if held_out >= all.len() {
        return Err(TrainError::recipe(format!(
            "validation.images: expected less than the {} training images, found {held_out}",
            all.len()
        )));
    }
    let share = held_out as f64 / all.len() as f64;
    let (rest, _) = Subset::split(all, share, recipe.seed)?;
    let mut validation = Vec::new();
    if loader.rank == 0 {
        // The same images without transforms. The loader passes over damaged ones.
        let (_, held_out) = Subset::split(dataset.unlabeled.clone(), share, recipe.seed)?;
        let batch = recipe.micro_batch.unwrap_or(loader.batch).min(held_out.len());
        let batches = held_out.len() / batch;
        let crop = Crop::Center(recipe.crop);
        let config = LoaderConfig { batch, crop, world: 1, prefetch: 1, workers: 1, ..loader };
        let loader = Loader::new(Arc::new(held_out), config, Cursor::default())?;
        for batch in loader.take(batches) {
            validation.push(images(&batch?, device)?);
        }
    }
    Ok(Training { images: Arc::new(rest), validation })
}

/// Returns the configuration of training batches, or of this process's share of them.
pub(crate) fn loader(recipe: &Recipe, options: &RunOptions) -> Result<LoaderConfig, TrainError> {
    let (rank, ranks) = (options.group.rank(), options.group.size());
    let (batch, micro_batch) = (recipe.batch, recipe.micro_batch.unwrap_or(1));
    if !batch.is_multiple_of(ranks * micro_batch) {
        let parts = match recipe.micro_batch {
            None => format!("{ranks} processes"),
            Some(size) => format!("{ranks} processes, in micro-batches of {size} each"),
        };
        return Err(TrainError::recipe(format!(
            "batch: expected a multiple for {parts}, found {batch}"
        )));
    }
    Ok(LoaderConfig {
        batch: batch / ranks,
        crop: Crop::Random(recipe.crop),
        seed: recipe.seed,
        workers: options.workers,
        rank,
        world: ranks,
        ..LoaderConfig::default()
    })
}

/// Reads the images on which the weight of a feature term is calibrated.
pub(crate) fn calibration_batch(
    dataset: &Dataset,
    n: usize,
    crop: usize,
    seed: u64,
    device: &Device,
) -> Result<Images, TrainError> {
    let config = LoaderConfig {
        batch: n,
        crop: Crop::Center(crop),
        seed,
        prefetch: 1,
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(dataset.unlabeled.clone(), config, Cursor::default())?;
    let batch = loader.next().ok_or(TrainError::NoBatch)??;
    images(&batch, device)
}

/// Pixel format of networks in training.
pub(crate) const FORMAT: PixelFormat = PixelFormat::CAFFE_BGR;

/// Converts a batch to images on the device.
pub(crate) fn images(batch: &deepsim_data::Batch, device: &Device) -> Result<Images, TrainError> {
    let (n, height, width) = (batch.n, batch.height, batch.width);
    Ok(Images::from_u8(&batch.pixels, n, height, width, FORMAT, device)?)
}

/// Refuses a data set without training or test images, or with smaller ones than the crop.
pub(crate) fn check_images(recipe: &Recipe, dataset: &Dataset) -> Result<(), TrainError> {
    check_source(&*dataset.unlabeled, "training", recipe.crop)?;
    check_source(&*dataset.test.images, "test", recipe.crop)
}

/// Refuses a source of images without any, or with smaller ones than the crop.
pub(crate) fn check_source(images: &dyn Source, what: &str, crop: usize) -> Result<(), TrainError> {
    let (height, width) = (images.height(), images.width());
    if images.is_empty() {
        let (wanted, got) = (format!("{what} images"), "0 images".into());
        return Err(DataError::Argument { operation: "data", wanted, got }.into());
    }
    if crop > height.min(width) {
        return Err(TrainError::recipe(format!(
            "crop: expected at most {}, the least side of the {what} images, which are {height}x{width}; \
             found {crop}; set resize={crop} too, or more, to bring images to that size first",
            height.min(width)
        )));
    }
    Ok(())
}

/// Refuses to continue a run on `earlier` with other data. Data that were moved are the same.
/// Where no fingerprint was kept, names and numbers decide, and a warning says so.
///
/// # Errors
/// With what was expected and what to do.
pub(crate) fn check_continues(
    now: &DataPlan,
    earlier: &DataPlan,
    out: &Path,
) -> Result<(), TrainError> {
    let differs = |expected: String, found: String| {
        Err(TrainError::Folder {
            path: out.into(),
            reason: format!(
                "it holds a run on other data: expected {expected}, found {found}; name the data \
                 that it was begun with, or choose another folder"
            ),
        })
    };
    match (&earlier.content, &now.content) {
        (Some(expected), Some(found)) if expected != found => {
            differs(expected.clone(), found.clone())
        }
        (Some(_), Some(_)) => Ok(()),
        _ if (&earlier.name, earlier.images) != (&now.name, now.images) => {
            let say = |data: &DataPlan| format!("{} images of {}", data.images, data.name);
            differs(say(earlier), say(now))
        }
        _ => {
            tracing::warn!(
                "the checkpoint does not say which images it was trained on: only their name and \
                 number were compared"
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use deepsim_data::SceneSizes;

    use super::*;
    use crate::hear::{Told, heard};

    fn recipe(set: &str) -> Result<Recipe, TrainError> {
        let base = r#"
            name = "test"
            steps = 10
            batch = 4
            crop = 64
            image = { distance = "squared-error", weight = 1.0 }
        "#;
        Ok(Recipe::parse(base, &[set.to_owned()])?)
    }

    #[test]
    fn a_data_set_has_images_as_large_as_the_crop() -> Result<(), TrainError> {
        let scenes =
            |unlabeled, test| Dataset::scenes(0, SceneSizes { unlabeled, train: 10, test });
        check_images(&recipe("crop=96")?, &scenes(1, 1))?;
        for (crop, dataset, words) in [
            ("crop=104", scenes(1, 1), "crop: expected at most 96, the least side of the training"),
            ("crop=96", scenes(0, 1), "data: expected training images, found 0 images"),
            ("crop=96", scenes(1, 0), "data: expected test images, found 0 images"),
        ] {
            let message = check_images(&recipe(crop)?, &dataset).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        Ok(())
    }

    #[test]
    fn held_out_images_are_in_no_step() -> Result<(), TrainError> {
        let dataset = Dataset::scenes(0, SceneSizes { unlabeled: 20, train: 10, test: 10 });
        let training = |set: &str, rank: usize| {
            let config = LoaderConfig { batch: 4, seed: 3, rank, ..LoaderConfig::default() };
            training(&recipe(set)?, &dataset, config, &Device::Cpu)
        };
        let whole = training("steps=1", 0)?;
        assert_eq!((whole.images.len(), whole.validation.len()), (20, 0));
        let split = training("validation.images=8", 0)?;
        assert_eq!(split.images.len(), 12);
        let batches: Vec<usize> = split.validation.iter().map(Images::len).collect();
        assert_eq!(batches, [4, 4]);
        // Each of the 20 images is on one side.
        let crops = |source: &dyn Source| -> Result<Vec<Vec<u8>>, TrainError> {
            let batch = deepsim_data::read_range(source, 0..source.len(), Crop::Center(64))?;
            Ok(batch.pixels.chunks(3 * 64 * 64).map(<[u8]>::to_vec).collect())
        };
        let mut seen = crops(&*split.images)?;
        for images in &split.validation {
            seen.extend(images.to_u8()?.chunks(3 * 64 * 64).map(<[u8]>::to_vec));
        }
        let mut all = crops(&*dataset.unlabeled)?;
        seen.sort();
        all.sort();
        assert!(seen == all);
        // Another process trains on the same images and measures none.
        let other = training("validation.images=8", 1)?;
        assert_eq!((other.images.content(), other.validation.len()), (split.images.content(), 0));
        let few = training("validation.images=3", 0)?;
        assert_eq!(few.validation.iter().map(Images::len).collect::<Vec<_>>(), [3]);
        let message = training("validation.images=20", 0).err().expect("none left").to_string();
        assert!(message.contains("less than the 20 training images, found 20"), "{message}");
        Ok(())
    }

    #[test]
    fn data_are_the_same_by_their_content_or_else_by_name_and_number() {
        let data = |name: &str, images, content: Option<&str>| DataPlan {
            name: name.into(),
            synthetic: false,
            images,
            content: content.map(Into::into),
            test: None,
        };
        let check = |earlier: &DataPlan, now: &DataPlan| {
            let (checked, told) = heard(|| check_continues(now, earlier, Path::new("run")));
            let warnings: Vec<_> = told.into_iter().filter_map(Told::warning).collect();
            (checked.map_err(|error| error.to_string()), warnings)
        };
        let now = data("here", 9, Some("nine cats"));
        assert_eq!(check(&data("there", 9, Some("nine cats")), &now), (Ok(()), Vec::new()));
        let error = check(&data("here", 9, Some("nine dogs")), &now).0.expect_err("others");
        assert!(error.contains("other data: expected nine dogs, found nine cats"), "{error}");
        // A checkpoint of a version that did not keep the content.
        let text = r#"{"name":"here","synthetic":false,"images":9}"#;
        let old: DataPlan = serde_json::from_str(text).expect("an old plan");
        assert_eq!(serde_json::to_string(&old).expect("text"), text);
        let (checked, warnings) = check(&old, &now);
        assert_eq!(checked, Ok(()));
        assert!(warnings[0].contains("does not say which images"), "{warnings:?}");
        for other in [data("there", 9, None), data("here", 8, None)] {
            let error = check(&other, &now).0.expect_err("others");
            assert!(error.contains("found 9 images of here; name the data"), "{error}");
        }
    }
}
