//! A chain of layers.

use std::any::Any;
use std::fmt;

use candle_core::{Module, ModuleT, Result, Tensor};

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
#[derive(Debug, Default)]
pub struct Sequence {
    stages: Stages<dyn Module + Send + Sync>,
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
        self.stages.push(step(&layer), Box::new(layer));
        self
    }

    /// Appends a closure.
    #[must_use]
    pub fn add_fn(self, layer: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        self.add(layer)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.stages.layers
    }

    /// Returns true if there are no layers.
    pub fn is_empty(&self) -> bool {
        self.stages.layers == 0
    }
}

/// A step that is not fused with another one is named alone in error messages.
impl Module for Sequence {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.stages.forward(x, |layer, x| layer.forward(x))
    }
}

/// Chain of layers of which some behave differently in training, such as batch normalisation and dropout.
///
/// Others are layers of a [`Sequence`], and fused as there.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use deepsim_ops::nn::{Dropout, batch_norm, conv2d_no_bias, init, relu, seq_t};
/// let vars = VarMap::new();
/// let vb = init::var_builder(&vars, 7, DType::F32, &Device::Cpu);
/// let net = seq_t()
///     .add(conv2d_no_bias(3, 8, 3, Default::default(), vb.pp("c1"))?)
///     .add(batch_norm(8, 1e-5, vb.pp("n1"))?)
///     .add(relu())
///     .add(Dropout::new(0.5, 7)?)
///     .add_fn(|x| x.flatten_from(1));
/// let x = Tensor::ones((2, 3, 4, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(net.forward_t(&x, true)?.dims(), [2, 32]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct SequenceT {
    stages: Stages<dyn ModuleT + Send + Sync>,
}

/// Creates a chain without layers, which passes its input on.
pub fn seq_t() -> SequenceT {
    SequenceT::default()
}

impl SequenceT {
    /// Appends a layer.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the name is candle-nn's")]
    pub fn add(mut self, layer: impl ModuleT + Send + Sync + 'static) -> Self {
        self.stages.push(step(&layer), Box::new(layer));
        self
    }

    /// Appends a closure, which is the same in training.
    #[must_use]
    pub fn add_fn(self, layer: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        self.add(layer)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.stages.layers
    }

    /// Returns true if there are no layers.
    pub fn is_empty(&self) -> bool {
        self.stages.layers == 0
    }
}

/// A step that is not fused with another one is named alone in error messages.
impl ModuleT for SequenceT {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.stages.forward(x, |layer, x| layer.forward_t(x, train))
    }
}

/// Layers, of which those that follow one another are fused if they can be.
struct Stages<L: ?Sized> {
    stages: Vec<Stage<L>>,
    layers: usize,
}

enum Stage<L: ?Sized> {
    Fused(Vec<Step>),
    Other(Box<L>),
}

impl<L: ?Sized> Stages<L> {
    /// Appends a layer, which may be a step.
    fn push(&mut self, step: Option<Step>, layer: Box<L>) {
        self.layers += 1;
        match (step, self.stages.last_mut()) {
            (Some(step), Some(Stage::Fused(steps))) if !ends(steps) => steps.push(step),
            // A rectifier takes any shape, a sequence images only: it joins one, but does not begin it.
            (Some(Step::LeakyRelu(_)) | None, _) => self.stages.push(Stage::Other(layer)),
            (Some(step), _) => self.stages.push(Stage::Fused(vec![step])),
        }
    }

    fn forward(&self, x: &Tensor, run: impl Fn(&L, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        self.stages.iter().try_fold(x.clone(), |x, stage| match stage {
            Stage::Fused(steps) => match &steps[..] {
                [step] => step.forward(&x),
                steps => sequence(&x, steps),
            },
            Stage::Other(layer) => run(layer, &x),
        })
    }
}

impl<L: ?Sized> Default for Stages<L> {
    fn default() -> Self {
        Self { stages: Vec::new(), layers: 0 }
    }
}

impl<L: ?Sized> fmt::Debug for Stages<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages").field("layers", &self.layers).finish_non_exhaustive()
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
