//! CUDA's libraries on the CPU: slow, strict, and for tests.
//!
//! Programs that were built for a GPU find this library where they look for `libcuda.so.1`,
//! `libcublas.so.13`, `libcudnn.so.9`, `libcurand.so.10` and `libnccl.so.2`, and run unchanged: candle's kernels and
//! ours from the PTX that NVIDIA's compilers made of them, cuDNN's and cuBLAS's functions as plain
//! loops. It has only the functions that this project calls.
//!
//! The emulator is as strict as a GPU may be. Work in a stream runs as late as it can: a copy from
//! page-locked memory that is overwritten too early, or a stream that does not wait for another,
//! gives wrong numbers. New memory is full of NaN. An access outside of memory that is in use ends
//! the program, and so does a call that the documentation forbids during a graph capture. The first
//! algorithms that cuDNN suggests are ones that must not be taken.
//!
//! | module | holds |
//! |---|---|
//! | `driver` | the driver's functions |
//! | `device` | the one device: memory, streams, events, graphs |
//! | `ptx` | kernels |
//! | `dnn`, `blas`, `rand`, `nccl` | the libraries |
//! | `counts` | how often what was asked for |

mod blas;
mod counts;
mod device;
mod dnn;
mod driver;
mod nccl;
mod ptx;
mod rand;
#[cfg(test)]
mod tests;
