//! Gradient descent in the input of a generator, so that images stay those that it can draw: to the features of a
//! picture, at several taps and networks, or to a large activation of a unit (Nguyen et al. 2016).
//!
//! `deepsim optimise --generator` runs it. The descent on pixels is [`crate::optimisation_baseline`].
//!
//! | module | holds |
//! |---|---|
//! | [`goal`] | terms of the objective, and their gradients at features |
//! | [`settings`] | rule and number of steps, start and bounds |
//! | [`descent`] | the descent and its restarts |
//! | [`report`] | pictures and numbers of a descent in a folder |
//!
//! The input `z` is written as `m + s u`, with the mean `m` and the deviation `s` of the statistics of inputs, or 0 and
//! one scale for all numbers. The objective of a picture is
//!
//! ```text
//! Σ weight ‖Φ(G(z)) - Φ0‖²/‖Φ0‖²  -  Σ weight a(G(z))  +  l2 · mean(u²)
//! ```
//!
//! where `a` is the activation of a unit, averaged over positions. Steps are made in `u`, after each of which `z` is cut
//! to its bounds; the learning rate falls linearly to a tenth. The best input of all steps and restarts is kept.

pub mod descent;
pub mod goal;
pub mod report;
pub mod settings;

pub use descent::{Found, Optimised, optimise};
pub use goal::{Goal, Target, Term};
pub use report::{Report, write};
pub use settings::{Optimiser, Settings, Start};
