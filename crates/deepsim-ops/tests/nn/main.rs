//! Layers, optimisers and initialisers of the feature `nn`, against candle-nn's and PyTorch's.

mod checkpoints;
mod init;
mod layers;
#[path = "../../examples/nn_classifier.rs"]
mod nn_classifier;
mod optimisers;
mod refused;
mod refused_steps;
mod sequence;
mod state;
#[path = "../ops/support.rs"]
mod support;

/// The example, which is a candle program with three changed lines; here its weights have a seed.
#[test]
fn the_ported_classifier_learns() -> candle_core::Result<()> {
    let vars = candle_nn::VarMap::new();
    let device = candle_core::Device::Cpu;
    let vb = deepsim_ops::nn::init::var_builder(&vars, 7, candle_core::DType::F32, &device);
    let losses = nn_classifier::train(&vars, vb, 25)?;
    let (first, last) = (losses[0], losses[24]);
    assert!(last < 0.3 * first, "{first} -> {last}");
    Ok(())
}
