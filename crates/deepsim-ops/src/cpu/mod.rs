//! The CPU engine: channels-last images, several instruction sets, any number of threads.

pub(crate) mod axis;
pub(crate) mod buffer;
pub(crate) mod conv;
pub(crate) mod correlate;
pub(crate) mod elementwise;
mod kernel;
pub(crate) mod layout;
mod linear;
pub(crate) mod lrn;
mod panels;
pub(crate) mod pool;
pub(crate) mod simd;
pub(crate) mod weight_gradient;
mod winograd;

#[cfg(test)]
mod bench_tmp;
#[cfg(test)]
mod tests;
