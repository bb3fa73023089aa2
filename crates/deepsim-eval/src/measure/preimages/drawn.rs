//! Photographs, and the images that a generator draws of the features of each.

use std::sync::Arc;

use candle_core::Tensor;
use deepsim_data::{Crop, Source};
use deepsim_nets::{Comparator, Images, PixelFormat};
use deepsim_ops::{Pool2dConfig, avg_pool2d};

use crate::EvalError;
use crate::arrays::numbers;
use crate::measure::Context;
use crate::measure::distances::pooled;
use crate::measure::recognise::ranks;
use crate::metrics::spread::Spread;
use crate::optimisation_baseline::{Settings, invert};
use crate::preimages::refined;

/// Side of the blocks whose means are compared: brightness, colours, large shapes.
const BLOCK: usize = 8;

/// Images that go through networks together.
const PART: usize = 64;

/// Numbers of photographs and of their draws in one space.
#[derive(Default)]
pub(super) struct Vectors {
    pub(super) targets: Vec<f32>,
    pub(super) draws: Vec<f32>,
}

impl Vectors {
    fn add(&mut self, targets: &Tensor, draws: &Tensor) -> Result<(), EvalError> {
        self.targets.extend(numbers(targets)?);
        self.draws.extend(numbers(draws)?);
        Ok(())
    }

    /// The first draw of each of `n` photographs: several of one are no independent samples.
    pub(super) fn firsts(&self, n: usize) -> impl Iterator<Item = &[f32]> {
        let size = self.targets.len() / n.max(1);
        let draws = self.draws.len() / self.targets.len().max(1);
        self.draws.chunks_exact(size).step_by(draws)
    }

    /// Distances in this space, of `n` photographs.
    pub(super) fn spread(&self, n: usize) -> Result<Spread, EvalError> {
        Spread::of(&self.targets, &self.draws, self.targets.len() / n.max(1))
    }
}

/// A network that judges the draws: a layer for objects, and one for textures.
pub(super) struct Judge {
    pub(super) net: Box<dyn Comparator>,
    pub(super) objects: &'static str,
    pub(super) textures: &'static str,
    /// True if recognition is measured with it: SqueezeNet alone, as by `recognise`.
    pub(super) classifies: bool,
}

/// How images of features are made.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// By the generator, from noise of this deviation, which so many steps refine.
    Generator { noise: f64, refine: usize },
    /// By so many steps of Mahendran and Vedaldi's descent, from a start of its own for each draw.
    Descent { steps: usize },
}

/// Photographs and their draws in several spaces.
#[derive(Default)]
pub(super) struct Drawn {
    /// Photographs.
    pub(super) n: usize,
    /// Draws of each.
    pub(super) draws: usize,
    /// Pixels, unclipped, in Caffe's format.
    pub(super) pixels: Vectors,
    /// Means of blocks.
    pub(super) blocks: Vectors,
    /// The features that are inverted.
    pub(super) code: Vectors,
    /// Features of objects in the judge.
    pub(super) objects: Vectors,
    /// Features of textures in the judge, averaged over positions.
    pub(super) textures: Vectors,
    /// Ranks of the photographs' classes in the judge's view of their draws.
    pub(super) ranks: Vec<usize>,
}

impl Drawn {
    /// Draws images of the first `n` images of a source.
    ///
    /// # Errors
    /// If images cannot be read or do not fit.
    pub(super) fn new(
        context: &Context<'_>,
        source: &Arc<dyn Source>,
        (n, draws): (usize, usize),
        by: By,
        judge: Option<&Judge>,
    ) -> Result<Self, EvalError> {
        let (n, seed) = (n.min(source.len()), context.sampling.seed);
        // Without noise all draws are one.
        let differ = matches!(by, By::Descent { .. }) || context.model.noise(1, seed, 0)?.is_some();
        let draws = if differ { draws } else { 1 };
        let mut drawn = Self { n, draws, ..Self::default() };
        let crop = Crop::Center(context.side());
        let mut done = 0;
        context.batches("drawing pre-images", source, n, crop, |batch, images| {
            let step = (PART / draws).max(1);
            for from in (0..batch.n).step_by(step) {
                let part = from..(from + step).min(batch.n);
                drawn.add(context, images, part, (done, by), judge)?;
            }
            done += batch.n;
            Ok(())
        })?;
        Ok(drawn)
    }

    /// Adds some images of a batch, before which there were `before`.
    fn add(
        &mut self,
        context: &Context<'_>,
        images: &Images,
        part: std::ops::Range<usize>,
        (before, by): (usize, By),
        judge: Option<&Judge>,
    ) -> Result<(), EvalError> {
        let model = context.model;
        let cut = |tensor: &Tensor| tensor.narrow(0, part.start, part.len())?.contiguous();
        let targets = images.with_tensor(cut(images.tensor())?)?;
        let code = model.code(&targets)?;
        let mut codes = Vec::with_capacity(part.len());
        for at in 0..part.len() {
            codes.extend(std::iter::repeat_n(code.narrow(0, at, 1)?, self.draws));
        }
        let drawn = self.draw(context, &Tensor::cat(&codes, 0)?, before + part.start, by)?;
        let drawn = drawn.convert(PixelFormat::CAFFE_BGR)?;
        self.pixels.add(targets.tensor(), drawn.tensor())?;
        // Images that are smaller than a block have one mean.
        let block = BLOCK.min(targets.height()).min(targets.width());
        let means = |images: &Images| avg_pool2d(images.tensor(), Pool2dConfig::new(block, block));
        self.blocks.add(&means(&targets)?, &means(&drawn)?)?;
        self.code.add(&code, &model.code(&drawn)?)?;
        if let Some(Judge { net, objects, textures, classifies }) = judge {
            if *classifies {
                self.ranks.extend(ranks(&**net, &targets, &drawn)?);
            }
            let objects = |images: &Images| net.features(images, objects);
            self.objects.add(&objects(&targets)?, &objects(&drawn)?)?;
            self.textures.targets.extend(pooled(&**net, textures, &targets)?);
            self.textures.draws.extend(pooled(&**net, textures, &drawn)?);
        }
        Ok(())
    }

    /// Makes the draws of some images, of which the first has this index.
    fn draw(
        &self,
        context: &Context<'_>,
        codes: &Tensor,
        first: usize,
        by: By,
    ) -> Result<Images, EvalError> {
        let (model, seed) = (context.model, context.sampling.seed);
        let (deviation, refine) = match (by, &model.encoder) {
            (By::Generator { noise, refine }, _) => (noise, refine),
            (By::Descent { steps }, Some((net, tap))) => {
                let settings = Settings::mahendran_vedaldi(tap).with_steps(steps);
                let (size, start) = ((context.side(), context.side()), (first * self.draws) as u64);
                let found = invert(&**net, tap, codes, size, &settings, seed, start)?;
                return match found.endings.iter().find(|ending| !ending.is_finished()) {
                    None => Ok(found.images),
                    Some(ending) => {
                        let wanted = "a descent that ends with an image";
                        Err(EvalError::input("preimages", wanted, ending.to_string()))
                    }
                };
            }
            (By::Descent { .. }, None) => {
                return Err(EvalError::input("preimages", "a network that is inverted", "none"));
            }
        };
        let indices = first..first + codes.dims()[0] / self.draws;
        let noise = indices.map(|index| model.noise(self.draws, seed, index as u64));
        let noise = noise.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        let noise = (!noise.is_empty()).then(|| Tensor::cat(&noise, 0)? * deviation).transpose()?;
        match noise {
            Some(noise) if refine > 0 => {
                Ok(refined("preimages", model, codes, &noise, refine, || ())?.images)
            }
            noise => model.draw(codes, noise.as_ref()),
        }
    }
}
