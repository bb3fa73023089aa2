//! Initial values that a seed determines.
//!
//! candle's generator cannot be seeded on the CPU. Here each tensor has its own random stream, keyed by the
//! seed and the tensor's name: the same seed gives the same bytes, independent of the order in which layers are made.

use std::sync::PoisonError;

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::{FanInOut, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};

use super::named_vars;
use super::random::{normal, stream, uniform};

/// Replaces [`VarBuilder::from_varmap`]: variables that the map lacks are drawn from a seed, as the layer wants
/// them distributed.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::VarMap;
/// use deepsim_ops::nn::{init, linear};
/// let layer = |seed| {
///     let vb = init::var_builder(&VarMap::new(), seed, DType::F32, &Device::Cpu);
///     linear(3, 2, vb.pp("f1"))?.weight().to_vec2::<f32>()
/// };
/// assert_eq!(layer(7)?, layer(7)?);
/// assert_ne!(layer(7)?, layer(8)?);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn var_builder(vars: &VarMap, seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
    let backend = Seeded { vars: vars.clone(), seed };
    VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
}

/// Replaces the values of all variables of a map by draws from a seed, distributed as `init` says for a name
/// and a shape; where it says `None`, they stay.
///
/// # Errors
/// If a variable cannot be set.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::{Init, VarBuilder, VarMap};
/// use deepsim_ops::nn::{init, linear};
/// let vars = VarMap::new();
/// linear(3, 2, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
/// init::fill(&vars, 7, |name, shape| {
///     Some(if name.ends_with("bias") { Init::Const(0.0) } else { init::xavier_uniform(shape) })
/// })?;
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn fill(vars: &VarMap, seed: u64, init: impl Fn(&str, &Shape) -> Option<Init>) -> Result<()> {
    for (name, var) in named_vars(vars) {
        if let Some(init) = init(&name, var.shape()) {
            var.set(
                &draw(init, var.shape(), seed, &name)?
                    .to_dtype(var.dtype())?
                    .to_device(var.device())?,
            )?;
        }
    }
    Ok(())
}

/// Draws an `f32` tensor on the CPU. `name` is that of the random stream: other names give other values.
///
/// # Errors
/// If the shape has no fan that a Kaiming initialisation can divide by.
///
/// ```
/// use candle_nn::Init;
/// use deepsim_ops::nn::init::draw;
/// let noise = draw(Init::Randn { mean: 0.0, stdev: 1.0 }, &(2, 3).into(), 7, "noise")?;
/// assert_eq!(noise.dims(), [2, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn draw(init: Init, shape: &Shape, seed: u64, name: &str) -> Result<Tensor> {
    let n = shape.elem_count();
    let mut rng = stream(seed, name);
    let values = match init {
        Init::Const(value) => vec![value as f32; n],
        Init::Randn { mean, stdev } => normal(&mut rng, n, mean, stdev),
        Init::Uniform { lo, up } => uniform(&mut rng, n, lo, up),
        Init::Kaiming { dist, fan, non_linearity } => {
            let fan = fan.for_shape(shape);
            if fan == 0 {
                bail!("init: {name}: expected a shape with inputs, found {shape:?}");
            }
            let std = non_linearity.gain() / (fan as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(&mut rng, n, 0.0, std),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * std;
                    uniform(&mut rng, n, -bound, bound)
                }
            }
        }
    };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Xavier's (Glorot's) uniform distribution for a weight of this shape: variance `2 / (fan in + fan out)`.
pub fn xavier_uniform(shape: &Shape) -> Init {
    let bound = (6.0 / fans(shape)).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// Xavier's (Glorot's) normal distribution for a weight of this shape: variance `2 / (fan in + fan out)`.
pub fn xavier_normal(shape: &Shape) -> Init {
    Init::Randn { mean: 0.0, stdev: (2.0 / fans(shape)).sqrt() }
}

fn fans(shape: &Shape) -> f64 {
    let fans = FanInOut::FanIn.for_shape(shape) + FanInOut::FanOut.for_shape(shape);
    fans.max(1) as f64
}

/// A map whose missing variables are drawn from a seed.
struct Seeded {
    vars: VarMap,
    seed: u64,
}

impl SimpleBackend for Seeded {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        if !self.contains_tensor(name) {
            let values = draw(init, &shape, self.seed, name)?.to_dtype(dtype)?;
            let var = Var::from_tensor(&values.to_device(device)?)?;
            let mut vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
            vars.entry(name.to_owned()).or_insert(var);
        }
        // Refuses another shape.
        SimpleBackend::get(&self.vars, shape, name, init, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        SimpleBackend::get_unchecked(&self.vars, name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        SimpleBackend::contains_tensor(&self.vars, name)
    }
}
