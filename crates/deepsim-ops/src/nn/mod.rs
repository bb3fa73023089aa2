//! Layers, optimisers and initialisers in candle-nn's form, on the operations of this crate (feature `nn`).
//!
//! A program written for candle-nn changes the lines that import its layers and its optimiser, and each call of
//! candle's `max_pool2d`, whose gradient is wrong. Names, shapes and default initialisation of tensors are
//! candle-nn's, so that checkpoints of a [`VarMap`](candle_nn::VarMap) fit both.
//!
//! ```
//! use candle_core::{DType, Device, Module, Tensor};
//! use candle_nn::{VarBuilder, VarMap, loss};
//! use deepsim_ops::nn::{AdamW, Conv2dConfig, Optimizer, ParamsAdamW};
//! use deepsim_ops::nn::{conv2d, init, linear, max_pool2d, relu, seq};
//!
//! let vars = VarMap::new();
//! // `VarBuilder::from_varmap` serves too, but its generator cannot be seeded on the CPU.
//! let vb = init::var_builder(&vars, 7, DType::F32, &Device::Cpu);
//! let padded = Conv2dConfig { padding: 1, ..Default::default() };
//! let net = seq()
//!     .add(conv2d(3, 8, 3, padded, vb.pp("c1"))?)
//!     .add(relu())
//!     .add(max_pool2d(2))
//!     .add_fn(|x| x.flatten_from(1))
//!     .add(linear(8 * 4 * 4, 10, vb.pp("f1"))?);
//! let mut optimiser = AdamW::of_varmap(&vars, ParamsAdamW::default())?;
//!
//! let x = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
//! let loss = loss::cross_entropy(&net.forward(&x)?, &Tensor::new(&[3u32, 4], &Device::Cpu)?)?;
//! optimiser.backward_step(&loss)?;
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! Values are `f32`. Layers run on the CPU, and on a GPU with feature `cuda`.

mod activation;
mod batch_norm;
mod conv;
mod conv_layer;
mod conv_transpose;
mod dropout;
pub mod init;
mod linear;
mod norm;
mod optim;
mod pool;
mod random;
mod sequence;
mod unsupported;
mod upsample;
mod vars;

pub use activation::{LeakyRelu, Relu6, leaky_relu, relu, relu6};
pub use batch_norm::{BatchNorm, batch_norm};
pub use candle_nn::{BatchNormConfig, Conv2dConfig, ConvTranspose2dConfig, Optimizer, ParamsAdamW};
pub use conv::{Conv2d, conv2d, conv2d_no_bias};
pub use conv_transpose::{ConvTranspose2d, conv_transpose2d, conv_transpose2d_no_bias};
pub use dropout::Dropout;
pub use linear::{Linear, linear, linear_b, linear_no_bias};
pub use norm::LocalResponseNorm;
pub use optim::{Adam, AdamW, Convention, ParamsAdam, ParamsSgd, Sgd, clip_gradients};
pub use pool::{AvgPool2d, MaxPool2d, avg_pool2d, max_pool2d};
pub use sequence::{Sequence, SequenceT, seq, seq_t};
pub use unsupported::Unsupported;
pub use upsample::Upsample;
pub use vars::{named_vars, var_map};
