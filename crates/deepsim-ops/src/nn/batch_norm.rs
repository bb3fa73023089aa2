//! Batch normalisation layer.

use candle_core::{ModuleT, Result, Tensor, Var, bail};
use candle_nn::{BatchNormConfig, Init, VarBuilder};

use super::Unsupported;
use crate::{BatchNormStatistics, batch_norm2d};

/// Batch normalisation layer, computed by [`batch_norm2d`]: by the batch's statistics in training, by
/// running ones else.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use deepsim_ops::nn::{batch_norm, init};
/// let vars = VarMap::new();
/// let layer = batch_norm(3, 1e-5, init::var_builder(&vars, 7, DType::F32, &Device::Cpu))?;
/// let x = Tensor::new(&[[1f32, 2.0, 3.0], [3.0, 2.0, 1.0]], &Device::Cpu)?;
/// layer.forward_t(&x, true)?;
/// assert_eq!(layer.running_mean().to_vec1::<f32>()?, [0.2, 0.2, 0.2]);
/// assert_eq!(layer.forward_t(&x, false)?.dims(), [2, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    running_mean: Var,
    running_var: Var,
    weight_and_bias: Option<(Tensor, Tensor)>,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Layer with running statistics `(C)`, and a weight and a bias `(C)`; without these they are 1 and 0.
    ///
    /// PyTorch's `eps` is 1e-5, its momentum 0.1.
    pub fn new(
        running_mean: Var,
        running_var: Var,
        weight_and_bias: Option<(Tensor, Tensor)>,
        eps: f64,
        momentum: f64,
    ) -> Self {
        Self { running_mean, running_var, weight_and_bias, eps, momentum }
    }

    /// `(C)`
    pub fn running_mean(&self) -> &Tensor {
        self.running_mean.as_tensor()
    }

    /// `(C)`, unbiased.
    pub fn running_var(&self) -> &Tensor {
        self.running_var.as_tensor()
    }

    /// Weight and bias, `(C)` each.
    pub fn weight_and_bias(&self) -> Option<(&Tensor, &Tensor)> {
        self.weight_and_bias.as_ref().map(|(weight, bias)| (weight, bias))
    }

    /// Number that is added to variances.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// Share of a batch in the running statistics.
    pub fn momentum(&self) -> f64 {
        self.momentum
    }
}

/// `(N, C, ..) -> (N, C, ..)`
impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (mean, variance) = (&self.running_mean, &self.running_var);
        let statistics = match train {
            true => BatchNormStatistics::Update { mean, variance, momentum: self.momentum },
            false => BatchNormStatistics::Fixed { mean, variance },
        };
        let &[n, channels, ref plane @ ..] = x.dims() else {
            bail!("batch_norm: expected an input (N, C, ..), found {:?}", x.dims());
        };
        if x.rank() == 4 {
            return batch_norm2d(x, self.weight_and_bias(), statistics, self.eps);
        }
        let images = x.reshape((n, channels, plane.iter().product::<usize>(), 1))?;
        batch_norm2d(&images, self.weight_and_bias(), statistics, self.eps)?.reshape(x.dims())
    }
}

/// Creates a batch normalisation layer, whose tensors `running_mean`, `running_var`, `weight` and `bias` are asked for,
/// or initialised, as by [`candle_nn::batch_norm()`].
///
/// # Errors
/// If the tensors do not fit, `eps` or `momentum` make no sense, or the configuration keeps the mean.
pub fn batch_norm(
    num_features: usize,
    config: impl Into<BatchNormConfig>,
    vb: VarBuilder<'_>,
) -> Result<BatchNorm> {
    let BatchNormConfig { eps, remove_mean, affine, momentum } = config.into();
    Unsupported::unless(remove_mean, "batch_norm", "remove_mean", "true", remove_mean)?;
    if !((0.0..f64::INFINITY).contains(&eps) && (0.0..=1.0).contains(&momentum)) {
        bail!("batch_norm: expected eps >= 0 and 0 <= momentum <= 1, found {eps} and {momentum}");
    }
    let get = |name: &str, value| vb.get_with_hints(num_features, name, Init::Const(value));
    let running_mean = Var::from_tensor(&get("running_mean", 0.0)?)?;
    let running_var = Var::from_tensor(&get("running_var", 1.0)?)?;
    let affine =
        affine.then(|| Ok::<_, candle_core::Error>((get("weight", 1.0)?, get("bias", 0.0)?)));
    Ok(BatchNorm::new(running_mean, running_var, affine.transpose()?, eps, momentum))
}
