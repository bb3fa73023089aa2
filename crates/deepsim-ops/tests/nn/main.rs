//! Layers, optimisers and initialisers of the feature `nn`, against candle-nn's and PyTorch's.

mod checkpoints;
mod init;
mod layers;
#[path = "../../examples/nn_classifier/main.rs"]
mod nn_classifier;
mod optimisers;
mod refused;
mod refused_steps;
mod sequence;
mod state;
#[path = "../ops/support.rs"]
mod support;

/// The example, which fails where the losses of candle's program and of the ported one part.
#[test]
fn the_ported_classifier_learns_as_candles() -> candle_core::Result<()> {
    let (channels, hidden) = ([8, 8, 16], 16);
    let size = nn_classifier::Size { images: 32, side: 16, channels, hidden, learning_rate: 1e-3 };
    let steps = nn_classifier::compare(&size, 40)?;
    let (first, last) = (&steps[0], &steps[39]);
    assert!(last.losses.iter().zip(first.losses).all(|(last, first)| *last < 0.3 * first));
    assert!(steps.iter().flat_map(|step| step.times).flatten().all(|time| !time.is_zero()));
    Ok(())
}

#[test]
fn the_ported_classifier_differs_in_three_lines() {
    let candles = include_str!("../../examples/nn_classifier/candles.rs");
    let ported = include_str!("../../examples/nn_classifier/ported.rs");
    let changed = candles.lines().zip(ported.lines()).filter(|(a, b)| a != b);
    let changed: Vec<&str> = changed.map(|(_, ported)| ported.trim()).collect();
    assert_eq!(candles.lines().count(), ported.lines().count());
    assert_eq!(changed.len(), 3, "{changed:?}");
    assert!(changed.iter().all(|line| line.contains("deepsim_ops::nn")), "{changed:?}");
}
