//! Layers and initialisers of the feature `nn`, against candle-nn's.

mod checkpoints;
mod init;
mod layers;
mod refused;
mod sequence;
#[path = "../ops/support.rs"]
mod support;
