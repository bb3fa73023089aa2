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
use crate::metrics::spread::Spread;

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
        judge: Option<&Judge>,
    ) -> Result<Self, EvalError> {
        let (n, seed) = (n.min(source.len()), context.sampling.seed);
        // Without noise all draws are one.
        let draws = if context.model.noise(1, seed, 0)?.is_some() { draws } else { 1 };
        let mut drawn = Self { n, draws, ..Self::default() };
        let crop = Crop::Center(context.side());
        let mut done = 0;
        context.batches("drawing pre-images", source, n, crop, |batch, images| {
            let step = (PART / draws).max(1);
            for from in (0..batch.n).step_by(step) {
                let part = from..(from + step).min(batch.n);
                drawn.add(context, images, part, done, judge)?;
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
        before: usize,
        judge: Option<&Judge>,
    ) -> Result<(), EvalError> {
        let (model, seed) = (context.model, context.sampling.seed);
        let cut = |tensor: &Tensor| tensor.narrow(0, part.start, part.len())?.contiguous();
        let targets = images.with_tensor(cut(images.tensor())?)?;
        let code = model.code(&targets)?;
        let mut codes = Vec::with_capacity(part.len());
        let mut noise = Vec::with_capacity(part.len());
        for at in 0..part.len() {
            codes.extend(std::iter::repeat_n(code.narrow(0, at, 1)?, self.draws));
            noise.extend(model.noise(self.draws, seed, (before + part.start + at) as u64)?);
        }
        let noise = match noise.is_empty() {
            true => None,
            false => Some(Tensor::cat(&noise, 0)?),
        };
        let drawn = model.draw(&Tensor::cat(&codes, 0)?, noise.as_ref())?;
        let drawn = drawn.convert(PixelFormat::CAFFE_BGR)?;
        self.pixels.add(targets.tensor(), drawn.tensor())?;
        // Images that are smaller than a block have one mean.
        let block = BLOCK.min(targets.height()).min(targets.width());
        let means = |images: &Images| avg_pool2d(images.tensor(), Pool2dConfig::new(block, block));
        self.blocks.add(&means(&targets)?, &means(&drawn)?)?;
        self.code.add(&code, &model.code(&drawn)?)?;
        if let Some(Judge { net, objects, textures }) = judge {
            let objects = |images: &Images| net.features(images, objects);
            self.objects.add(&objects(&targets)?, &objects(&drawn)?)?;
            self.textures.targets.extend(pooled(&**net, textures, &targets)?);
            self.textures.draws.extend(pooled(&**net, textures, &drawn)?);
        }
        Ok(())
    }
}
