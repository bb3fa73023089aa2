//! Training data of comparators.

use std::path::Path;
use std::sync::Arc;

use deepsim_data::dataset::Format;
use deepsim_data::exemplars::{ExemplarConfig, Exemplars};
use deepsim_data::folder::ImageFolder;
use deepsim_data::ilsvrc::Ilsvrc;
use deepsim_data::pairs::{Moving, MovingConfig, PairList, Tracks};
use deepsim_data::photos::CATALOGUE;
use deepsim_data::shards::{self, Shards};
use deepsim_data::{Augmented, PictureFiles, Prepared, Source, Subset, Transform};
use deepsim_run::plan::DataPlan;
use deepsim_run::recipe::{Classes, ComparatorRecipe, InstanceTask, Learned, PairSource, Pairs};

use crate::TrainError;
use crate::run::options::RunOptions;
use crate::run::session::Phase;

/// Side that pictures of any size are brought to before a camera moves over them.
const STILL: usize = 256;

/// The data of a run, and what they are.
pub(super) fn phases(
    recipe: &ComparatorRecipe,
    options: &RunOptions,
) -> Result<(DataPlan, Vec<Phase>), TrainError> {
    match &recipe.comparator {
        Learned::ExemplarCnn(task) => {
            let (data, pictures) = stills(recipe.seed, options)?;
            Ok((data, surrogate_classes(task.classes, recipe.seed, pictures)?))
        }
        Learned::Instances(task) => {
            let (data, pictures) = stills(recipe.seed, options)?;
            Ok((data, instances(task, pictures)?))
        }
        Learned::VideoNet(task) => {
            let (data, source) = pairs(task.pairs, recipe.seed, options)?;
            Ok((data, vec![Phase { until: u64::MAX, source }]))
        }
    }
}

/// A few classes first, then all of them.
fn surrogate_classes(
    classes: Classes,
    seed: u64,
    pictures: Arc<dyn Source>,
) -> Result<Vec<Phase>, TrainError> {
    let Classes { number, deformations, .. } = classes;
    let config = ExemplarConfig { classes: number, deformations, seed };
    let patches = Exemplars::new(pictures, config)?;
    let first = patches.members(0).start..patches.members(classes.first - 1).end;
    let patches: Arc<dyn Source> = Arc::new(patches);
    let few = Subset::new(patches.clone(), first.collect())?;
    let all = Phase { until: u64::MAX, source: patches };
    Ok(match classes.first_steps {
        0 => vec![all],
        until => vec![Phase { until, source: Arc::new(few) }, all],
    })
}

/// A few pictures first, then all that are to be told apart.
fn instances(task: &InstanceTask, pictures: Arc<dyn Source>) -> Result<Vec<Phase>, TrainError> {
    if pictures.len() < task.pictures {
        return Err(TrainError::recipe(format!(
            "comparator.instances.pictures: expected at most the {} pictures of the data, found {}",
            pictures.len(),
            task.pictures
        )));
    }
    let changed = Augmented::of_images(pictures, task.transforms.clone())?;
    let changed: Arc<dyn Source> = Arc::new(changed);
    let phase = |until, pictures| -> Result<Phase, TrainError> {
        let source = Arc::new(Subset::new(changed.clone(), (0..pictures).collect())?);
        Ok(Phase { until, source })
    };
    let few = (task.first_steps > 0).then(|| phase(task.first_steps, task.first)).transpose()?;
    Ok(few.into_iter().chain([phase(u64::MAX, task.pictures)?]).collect())
}

fn pairs(
    pairs: Pairs,
    seed: u64,
    options: &RunOptions,
) -> Result<(DataPlan, Arc<dyn Source>), TrainError> {
    match pairs.from {
        PairSource::Stills => {
            let (data, pictures) = stills(seed, options)?;
            let config = MovingConfig { side: pairs.side, per_picture: pairs.per_picture, seed };
            Ok((data, Arc::new(Moving::new(pictures, config)?)))
        }
        PairSource::Tracks => {
            // Photographs with a catalogue are the default of commands, and no tracks.
            let named = options.data.data.as_deref().filter(|path| !path.join(CATALOGUE).exists());
            let folder = named.ok_or_else(|| {
                TrainError::recipe(
                    "pairs.from = \"tracks\" needs --data: a list, shards or a folder",
                )
            })?;
            let files = tracks(folder)?;
            let data = DataPlan {
                name: folder.display().to_string(),
                synthetic: false,
                images: files.len(),
                content: Some(files.content()),
                test: None,
            };
            Ok((data, Arc::new(Tracks::new(files, pairs.side)?)))
        }
    }
}

/// Files of tracked patches: a list of them, a folder with shards, or one folder for each track.
fn tracks(path: &Path) -> Result<Arc<dyn PictureFiles>, TrainError> {
    if path.is_file() {
        let root = path.parent().unwrap_or(Path::new(""));
        return Ok(Arc::new(PairList::open(path, root)?));
    }
    let name = path.to_str().ok_or_else(|| {
        TrainError::recipe(format!("--data: expected a path in UTF-8, found {}", path.display()))
    })?;
    let shards = shards::paths(name)?;
    Ok(match shards.is_empty() {
        true => Arc::new(ImageFolder::open(path)?),
        false => Arc::new(Shards::open_files(&shards)?),
    })
}

/// Still pictures of one size: the unlabeled ones of STL-10 or of photographs with a catalogue, ILSVRC's training
/// set, the training pictures of folders and shards; procedural scenes without data.
fn stills(seed: u64, options: &RunOptions) -> Result<(DataPlan, Arc<dyn Source>), TrainError> {
    let plan = |name: String, synthetic, source: Arc<dyn Source>| {
        let content = Some(source.content());
        (DataPlan { name, synthetic, images: source.len(), content, test: None }, source)
    };
    let of_any_size = |files: Arc<dyn PictureFiles>| -> Arc<dyn Source> {
        Arc::new(Prepared::new(files, Transform::short_side(STILL, STILL)))
    };
    let (format, folder) = (options.data.format()?, options.data.data.as_deref());
    let whole =
        matches!(format, Format::Ilsvrc | Format::Pictures | Format::Shards | Format::Parquet);
    if let Some(folder) = folder.filter(|_| whole) {
        if options.data.without_duplicates {
            return Err(TrainError::recipe("--without-duplicates is for STL-10"));
        }
        return Ok(match format {
            Format::Ilsvrc => {
                let files = Arc::new(Ilsvrc::open(folder)?.train()?);
                plan("ilsvrc-2012".into(), false, of_any_size(files))
            }
            _ => {
                let (_, train) = options.data.picture_sets()?.swap_remove(0);
                plan(folder.display().to_string(), false, of_any_size(train))
            }
        });
    }
    let dataset = options.data.open(seed)?;
    Ok(plan(dataset.name, dataset.synthetic, dataset.unlabeled))
}
