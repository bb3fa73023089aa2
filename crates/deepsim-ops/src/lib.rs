//! Operations for training convolutional networks on [candle](candle_core), each with a true
//! backward pass.
//!
//! candle's own convolution gradients are naive on CPU, its max-pool gradient is scaled wrongly and
//! refuses overlapping windows, and it computes gradients of frozen weights. Here:
//!
//! * [`conv2d`], [`conv_transpose2d`], [`linear`]: any stride and padding, groups, bias
//! * [`max_pool2d`] (overlapping, Caffe's ceil mode), [`global_avg_pool2d`]
//! * [`local_response_norm`], [`relu`], [`leaky_relu`], [`dropout`] with an explicit random stream
//! * [`softmax_cross_entropy`], [`squared_error`], [`absolute_error`]
//! * [`adam_update`]: Adam in Caffe's form
//!
//! Tensors are `f32` on the CPU, `(N, C, H, W)`. A gradient is computed only for inputs that need
//! one: give [detached](candle_core::Tensor::detach) weights and theirs costs nothing. Results are
//! bit-identical for any number of threads.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use deepsim_ops::{AdamStep, Conv2dConfig, Moments, adam_update, conv2d, leaky_relu, squared_error};
//!
//! let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu)?;
//! let wanted = Tensor::ones((1, 4, 4, 4), DType::F32, &Device::Cpu)?;
//! let weight = Var::from_tensor(&Tensor::full(0.1f32, (4, 3, 3, 3), &Device::Cpu)?.contiguous()?)?;
//! let mut moments = Moments::zeros_like(&weight)?;
//! let (mut first, mut last) = (None, 0.0);
//! for t in 1..=20 {
//!     let y = leaky_relu(&conv2d(&x, &weight, None, Conv2dConfig::new(2, 1))?, 0.3)?;
//!     let loss = squared_error(&y, &wanted)?;
//!     last = loss.to_scalar::<f32>()?;
//!     first.get_or_insert(last);
//!     let gradients = loss.backward()?;
//!     let gradient = gradients.get(&weight).expect("the weight is a variable");
//!     let step = AdamStep {
//!         learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, t,
//!     };
//!     adam_update(&weight, gradient, &mut moments, step)?;
//! }
//! assert!(last < 0.5 * first.unwrap());
//! # Ok::<(), candle_core::Error>(())
//! ```

mod activation;
mod adam;
mod conv;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod distance;
mod dropout;
mod glue;
mod linear;
mod memory;
mod norm;
mod pool;
mod sequence;
mod softmax;

pub use activation::{leaky_relu, relu};
pub use adam::{AdamStep, Moments, adam_update, adam_update_all};
pub use conv::{Conv2dConfig, conv_transpose2d, conv2d};
#[cfg(feature = "cuda")]
pub use cuda::{Precision, keep_freed_device_memory, precision, set_precision};
pub use distance::{absolute_error, squared_error};
pub use dropout::dropout;
pub use linear::linear;
pub use memory::keep_freed_memory;
pub use norm::{LrnConfig, local_response_norm};
pub use pool::{Pool2dConfig, global_avg_pool2d, max_pool2d};
pub use sequence::{Step, sequence};
pub use softmax::softmax_cross_entropy;
