//! A chain of layers.

use std::any::Any;
use std::fmt;

use candle_core::{Module, Result, Tensor};

use super::{Conv2d, ConvTranspose2d, LeakyRelu, LocalResponseNorm, MaxPool2d};
use crate::sequence::{Step, sequence};

/// Chain of layers, which are modules or closures.
///
/// Convolutions, pooling, normalisation and rectifiers of this crate that follow one another run as one
/// [`sequence`], which is faster than one by one. All other modules run as they are.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use deepsim_ops::nn::{LocalResponseNorm, max_pool2d, relu, seq};
/// let net = seq()
///     .add(max_pool2d(2))
///     .add(relu())
///     .add(LocalResponseNorm::default())
///     .add_fn(|x| x.flatten_from(1));
/// let x = Tensor::ones((2, 3, 4, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(net.forward(&x)?.dims(), [2, 12]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sequence {
    stages: Vec<Stage>,
    layers: usize,
}

enum Stage {
    Fused(Vec<Step>),
    Other(Box<dyn Module + Send + Sync>),
}

/// Creates a chain without layers, which passes its input on.
pub fn seq() -> Sequence {
    Sequence::default()
}

impl Sequence {
    /// Appends a layer.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the name is candle-nn's")]
    pub fn add(mut self, layer: impl Module + Send + Sync + 'static) -> Self {
        self.layers += 1;
        match (step(&layer), self.stages.last_mut()) {
            (Some(step), Some(Stage::Fused(steps))) if !ends(steps) => steps.push(step),
            // A rectifier takes any shape, a sequence images only: it joins one, but does not begin it.
            (Some(Step::LeakyRelu(_)) | None, _) => self.stages.push(Stage::Other(Box::new(layer))),
            (Some(step), _) => self.stages.push(Stage::Fused(vec![step])),
        }
        self
    }

    /// Appends a closure.
    #[must_use]
    pub fn add_fn(self, layer: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        self.add(layer)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers
    }

    /// Returns true if there are no layers.
    pub fn is_empty(&self) -> bool {
        self.layers == 0
    }
}

/// The layer as a step that can be fused with others.
fn step(layer: &dyn Any) -> Option<Step> {
    let relu = |layer: &LeakyRelu| {
        (0.0..1.0).contains(&layer.slope).then_some(Step::LeakyRelu(layer.slope))
    };
    None.or_else(|| layer.downcast_ref().map(Conv2d::step))
        .or_else(|| layer.downcast_ref().map(ConvTranspose2d::step))
        .or_else(|| layer.downcast_ref().map(MaxPool2d::step))
        .or_else(|| layer.downcast_ref().map(LocalResponseNorm::step))
        .or_else(|| layer.downcast_ref().and_then(relu))
        .or_else(|| layer.downcast_ref::<Step>().cloned())
}

/// Returns true if nothing can follow these steps.
fn ends(steps: &[Step]) -> bool {
    matches!(steps.last(), Some(Step::GlobalAvgPool2d))
}

/// A step that is not fused with another one is named alone in error messages.
impl Module for Sequence {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.stages.iter().try_fold(x.clone(), |x, stage| match stage {
            Stage::Fused(steps) => match &steps[..] {
                [step] => step.forward(&x),
                steps => sequence(&x, steps),
            },
            Stage::Other(layer) => layer.forward(&x),
        })
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence").field("layers", &self.layers).finish_non_exhaustive()
    }
}
