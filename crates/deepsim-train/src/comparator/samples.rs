//! Training data of comparators.

use std::path::Path;
use std::sync::Arc;

use deepsim_data::Subset;
use deepsim_data::dataset::Format;
use deepsim_data::exemplars::{ExemplarConfig, Exemplars};
use deepsim_data::folder::ImageFolder;
use deepsim_data::ilsvrc::Ilsvrc;
use deepsim_data::pairs::{Moving, MovingConfig, PairList, Tracks};
use deepsim_data::shards::{self, Shards};
use deepsim_data::{PictureFiles, Prepared, Source, Transform};
use deepsim_run::plan::DataPlan;
use deepsim_run::recipe::{Classes, ComparatorRecipe, Learned, PairSource, Pairs};

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
            let folder = options.data.data.as_deref().ok_or_else(|| {
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
