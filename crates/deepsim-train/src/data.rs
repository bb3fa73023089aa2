//! Data of a run: the data set, its batches, and the images that networks take.

use candle_core::Device;
use deepsim_data::{Crop, Cursor, DataError, Dataset, Loader, LoaderConfig, Source};
use deepsim_nets::{Images, PixelFormat};
use deepsim_run::recipe::Recipe;

use crate::TrainError;
use crate::run::RunOptions;

/// Opens the data of a recipe: the folder that the options name, or procedural scenes.
pub(crate) fn dataset(recipe: &Recipe, options: &RunOptions) -> Result<Dataset, TrainError> {
    let mut dataset = Dataset::open(options.data.as_deref(), recipe.seed)?;
    if options.without_duplicates {
        dataset = dataset.without_duplicates()?.0;
    }
    Ok(match recipe.resize {
        Some(side) => dataset.sized(side),
        None => dataset,
    })
}

/// Returns the configuration of training batches, or of this process's share of them.
pub(crate) fn loader(recipe: &Recipe, options: &RunOptions) -> Result<LoaderConfig, TrainError> {
    let (rank, world) = (options.world.rank(), options.world.size());
    let (batch, micro_batch) = (recipe.batch, recipe.micro_batch.unwrap_or(1));
    if !batch.is_multiple_of(world * micro_batch) {
        let parts = match recipe.micro_batch {
            None => format!("{world} processes"),
            Some(size) => format!("{world} processes, in parts of {size} each"),
        };
        return Err(TrainError::recipe(format!(
            "batch: expected a multiple for {parts}, found {batch}"
        )));
    }
    Ok(LoaderConfig {
        batch: batch / world,
        crop: Crop::Random(recipe.crop),
        seed: recipe.seed,
        workers: options.workers,
        rank,
        world,
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
             found {crop}",
            height.min(width)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_data::SceneSizes;

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
            ("crop=96", scenes(0, 1), "data: wanted training images, got 0 images"),
            ("crop=96", scenes(1, 0), "data: wanted test images, got 0 images"),
        ] {
            let message = check_images(&recipe(crop)?, &dataset).expect_err(words).to_string();
            assert!(message.contains(words), "{message}");
        }
        Ok(())
    }
}
