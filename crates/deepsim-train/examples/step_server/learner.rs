//! The training step of a comparator: the learner itself with a recipe.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use deepsim_data::{Batch, Cursor, Rectangle, Sample};
use deepsim_nets::exemplar_cnn::{FORMAT, PATCH};
use deepsim_nets::random::{stream, streams};
use deepsim_nets::{Images, PixelFormat};
use deepsim_ops::dropout_each;
use deepsim_train::comparator::surrogate::SurrogateLearner;
use deepsim_train::comparator::videonet::VideoLearner;
use deepsim_train::comparator::{ComparatorRecipe, Learned, Learner};
use rand_chacha::rand_core::Rng;

use crate::serve::Result;
use crate::{Arguments, Training, comparator};

/// How many features of an Exemplar-CNN there are before its classifier.
const FEATURES: usize = 512;
const MARGIN: f64 = 0.01;
/// Side of the squares of VideoNet's pictures.
const SQUARE: usize = 16;

pub(crate) struct Learning {
    learner: Box<dyn Learner>,
    batch: Batch,
    folder: PathBuf,
}

impl Learning {
    pub(crate) fn new(recipe: &str, arguments: &Arguments, device: &Device) -> Result<Self> {
        let Arguments { batch: n, folder, check, .. } = arguments;
        let recipe = ComparatorRecipe::parse(recipe, &arguments.sets())?;
        deepsim_train::run::precision::set(recipe.precision, device)?;
        let (learner, batch): (Box<dyn Learner>, _) = match recipe.comparator {
            Learned::ExemplarCnn(task) => {
                let classes = task.classes.number;
                let batch = patches(*n, PATCH, classes);
                if *check {
                    save_patches(&batch, folder)?;
                    save_masks(*n, recipe.seed, folder)?;
                }
                let (seed, sgd) = (recipe.seed, &recipe.sgd);
                let learner = SurrogateLearner::exemplar_cnn(classes, seed, sgd, device)?;
                (Box::new(learner), batch)
            }
            Learned::Instances(task) => {
                let side = task.side()?;
                if *check {
                    return Err(
                        "expected exemplar-cnn or videonet for a check, found instances".into()
                    );
                }
                let batch = patches(*n, side, task.pictures);
                let learner = SurrogateLearner::instances(&task, recipe.seed, &recipe.sgd, device)?;
                (Box::new(learner), batch)
            }
            Learned::VideoNet(mut task) => {
                // As many negatives as the recipe has, but the hardest, which are the same to all.
                task.mining.hard = task.mining.negatives;
                // Features of an untrained network are alike; the recipe's margin would hide them.
                task.mining.margin = MARGIN;
                let side = task.pairs.crop;
                let batch = pairs(*n, side);
                if *check {
                    save_pairs(&batch, folder)?;
                }
                let (seed, sgd) = (recipe.seed, &recipe.sgd);
                let learner = VideoLearner::new(task.mining, side, seed, sgd, device)?;
                (Box::new(learner), batch)
            }
        };
        if *check {
            // From the recipes' small weights all outputs are nearly the same, and with them losses.
            for (name, var) in learner.params().iter().filter(|(_, var)| var.rank() > 1) {
                comparator::redraw(name, var)?;
            }
        }
        Ok(Self { learner, batch, folder: folder.clone() })
    }
}

impl Training for Learning {
    fn save(&self) -> Result<()> {
        let path = self.folder.join("network.safetensors");
        Ok(self.learner.params().save(&path, "{}")?)
    }

    fn counts(&self) -> Vec<(&'static str, usize)> {
        vec![("network", self.learner.params().count())]
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f64)>> {
        let report = self.learner.step(&self.batch, &mut |_, _, _| Ok(()))?;
        Ok(report.terms.into_iter().map(|term| (term.name, term.value)).collect())
    }
}

fn batch(pixels: Vec<u8>, n: usize, height: usize, width: usize, labels: &[u32]) -> Batch {
    let part = Rectangle { top: 0, left: 0, height, width };
    let samples = labels.iter().enumerate().map(|(index, label)| {
        let label = Some(*label);
        Sample { index, label, part, mirrored: false }
    });
    let samples = samples.collect();
    Batch { pixels, n, height, width, samples, skipped: Vec::new(), next: Cursor::default() }
}

/// Noise of random classes.
fn patches(n: usize, side: usize, classes: usize) -> Batch {
    let mut pixels = vec![0; n * 3 * side * side];
    let mut rng = stream(0, "images", 0);
    rng.fill_bytes(&mut pixels);
    let labels: Vec<u32> = (0..n).map(|_| rng.next_u32() % classes as u32).collect();
    batch(pixels, n, side, side, &labels)
}

/// Pairs of pictures that are their own mirror images and as large as the crops: wherever the learner
/// cuts, and whether it mirrors, it sees the same. They are of large squares; of fine noise all features
/// would be alike.
fn pairs(n: usize, side: usize) -> Batch {
    let mut rng = stream(0, "images", 0);
    let across = side.div_ceil(SQUARE);
    let mut colours = vec![0; across * across];
    let mut pixels = Vec::with_capacity(n * 6 * side * side);
    for _ in 0..n * 6 {
        rng.fill_bytes(&mut colours);
        for y in 0..side {
            let square = |x: usize| y / SQUARE * across + x.min(side - 1 - x) / SQUARE;
            pixels.extend((0..side).map(|x| colours[square(x)]));
        }
    }
    let tracks: Vec<u32> = (0..n as u32).collect();
    batch(pixels, n, 2 * side, side, &tracks)
}

fn save_patches(batch: &Batch, folder: &Path) -> Result<()> {
    let images = Images::from_u8(&batch.pixels, batch.n, PATCH, PATCH, FORMAT, &Device::Cpu)?;
    comparator::save(&folder.join("images.safetensors"), "images", images.tensor())?;
    let labels: Vec<_> = batch.samples.iter().filter_map(|s| s.label.map(i64::from)).collect();
    let labels = Tensor::from_vec(labels, batch.n, &Device::Cpu)?;
    comparator::save(&folder.join("labels.safetensors"), "labels", &labels)
}

/// The masks of both steps: of this network, dropout cannot be left out.
fn save_masks(n: usize, seed: u64, folder: &Path) -> Result<()> {
    let ones = Tensor::ones((n, FEATURES), DType::F32, &Device::Cpu)?;
    let mask =
        |step| dropout_each(&ones, 0.5, &mut streams(seed, "dropout/exemplar-cnn", step, 0..n));
    let masks = Tensor::stack(&[mask(1)?, mask(2)?], 0)?;
    comparator::save(&folder.join("masks.safetensors"), "masks", &masks)
}

/// As the network gets them: all pictures, those of a pair after each other.
fn save_pairs(batch: &Batch, folder: &Path) -> Result<()> {
    let (n, side) = (batch.n, batch.width);
    let pixels = Tensor::from_slice(&batch.pixels, (n, 3, 2, side, side), &Device::Cpu)?;
    let pixels = pixels.permute((0, 2, 1, 3, 4))?.flatten_all()?.to_vec1::<u8>()?;
    let format = PixelFormat::CAFFE_BGR;
    let images = Images::from_u8(&pixels, 2 * n, side, side, format, &Device::Cpu)?;
    comparator::save(&folder.join("images.safetensors"), "images", images.tensor())
}
