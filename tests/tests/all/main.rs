//! Tests that span the crates, in one binary.
//!
//! | module | asks |
//! |---|---|
//! | `parity_ops` | does every operation compute what PyTorch computes, forward and backward? |
//! | `parity_nets` | does every network? |
//! | `parity_losses` | is every loss term, the calibration and the update balance as published? |
//! | `parity_training` | do twenty iterations of both networks follow PyTorch's? |
//! | `golden` | do real weights give the activations that OpenCV gets from them? |
//! | `resume` | does an interrupted run end with the bytes of an uninterrupted one? |
//! | `hostile` | does bad input end in a clear error with nothing half-written? |
//!
//! What PyTorch computes is in `tests/fixtures`, with the script that made it.

mod golden;
mod hostile;
mod parity_losses;
mod parity_nets;
mod parity_ops;
mod parity_training;
mod program;
mod resume;
mod support;
