#![doc = include_str!("../README.md")]

mod activation;
mod adam;
mod adam_step;
mod backward;
mod batch_norm;
mod conv;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod deferred;
mod distance;
mod dropout;
mod ema;
mod error;
mod flops;
mod glue;
mod linear;
mod memory;
mod module;
#[cfg(feature = "nn")]
pub mod nn;
mod norm;
mod pixels;
mod pool;
mod resample;
mod sequence;
mod sgd;
mod softmax;
mod upsample;

pub use activation::{leaky_relu, relu, relu6};
#[cfg(feature = "cuda")]
pub use adam::adam_rate;
pub use adam::{AdamUpdate, Moments, adam_update, adam_update_all, set_moments};
pub use adam_step::AdamStep;
pub use backward::backward;
pub use batch_norm::{BatchNormStatistics, batch_norm2d};
pub use conv::{Conv2dConfig, conv_transpose2d, conv2d};
pub use cpu::simd::kernels;
#[cfg(feature = "cuda")]
pub use cuda::{
    Precision, StepGraph, Uploader, keep_freed_device_memory, precision, set_precision,
};
pub use deferred::{DeferredScalar, sum_of_squares};
pub use distance::{absolute_error, mean_absolute_error, mean_squared_error, squared_error};
pub use dropout::{dropout, dropout_each};
pub use ema::{copy_all, ema_update_all};
pub use error::error_message;
pub use flops::flops;
pub use linear::linear;
pub use memory::keep_freed_memory;
pub use norm::{LrnConfig, local_response_norm};
pub use pixels::{ChannelOrder, PixelFormat, pixels};
pub use pool::{AvgPool2dConfig, Pool2dConfig, avg_pool2d, global_avg_pool2d, max_pool2d};
pub use rand_core;
pub use sequence::{Step, sequence};
pub use sgd::{SgdStep, sgd_update};
pub use softmax::softmax_cross_entropy;
pub use upsample::{Upsampling, upsample};
