//! Hyper-parameters of optimisers.

/// Form of an update, where PyTorch and Caffe differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// Adam adds epsilon to the root of the second moment after its bias correction. The velocity of SGD is a sum
    /// of gradients, so that a new learning rate scales all of it.
    #[default]
    PyTorch,
    /// Adam adds epsilon to the root of the uncorrected second moment. The velocity of SGD is a sum of
    /// updates, so that a new learning rate scales those to come.
    Caffe,
}

/// Hyper-parameters of [`Adam`](super::Adam); the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamsAdam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Place of epsilon.
    pub convention: Convention,
}

impl Default for ParamsAdam {
    fn default() -> Self {
        Self {
            lr: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            convention: Convention::PyTorch,
        }
    }
}

/// Hyper-parameters of [`Sgd`](super::Sgd); the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamsSgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Meaning of the velocity.
    pub convention: Convention,
}

impl Default for ParamsSgd {
    fn default() -> Self {
        Self { lr: 0.001, momentum: 0.0, weight_decay: 0.0, convention: Convention::PyTorch }
    }
}

/// Plain SGD with a learning rate, which is the configuration of `candle_nn::SGD`.
impl From<f64> for ParamsSgd {
    fn from(lr: f64) -> Self {
        Self { lr, ..Self::default() }
    }
}
