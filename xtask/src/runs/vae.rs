//! The variational autoencoders of section 4.2, and small ones for machines without a GPU.

use super::inversion::{Encoder, Layer};
use super::{Cost, IMAGE_LOSS, Run};
use crate::targets::Experiment;

/// What is measured on each.
pub(crate) const MEASURES: [&str; 6] =
    ["error", "sharpness", "grid", "interpolate", "latent", "samples"];

/// The rows of Figure 4. `encoder` is the network whose convolutions the encoder has, and the comparator
/// at `layers`; there is no row for an FC6 that nobody has.
pub(crate) fn large(layers: &[Layer], encoder: &Encoder) -> Vec<Run> {
    let begun = convolutions(&encoder.name);
    let run = |label: &str, recipe, gflop, lacks: &'static [_], mut sets: Vec<String>| {
        sets.push(format!("vae.encoder={begun}"));
        let cost = Cost::new(gflop, 133.9, 60.0, lacks);
        let run = Run::new(format!("VAE {label}"), recipe, cost, lacks, Experiment::Vae);
        Run { sets, ..run }
    };
    let comparator = format!("feature.comparator={}", encoder.name);
    let mut conv5 = vec![comparator.clone()];
    if encoder.calibrated {
        conv5.extend(["feature.weight=".to_owned(), "feature.rho=2".to_owned()]);
    }
    let mut runs = vec![
        run("SE", "vae-se", 10.5, IMAGE_LOSS, Vec::new()),
        run("AlexNet CONV5", "vae-alexnet-conv5", 21.3, &[], conv5),
    ];
    if layers.contains(&Layer::Fc6) {
        runs.push(run("AlexNet FC6", "vae-alexnet-fc6", 21.6, &[], vec![comparator]));
    }
    runs.push(run("VideoNet CONV5", "vae-videonet-conv5", 22.0, &[], Vec::new()));
    runs
}

/// The network whose convolutions an encoder has: a stand-in for its head has AlexNet's.
fn convolutions(encoder: &str) -> &str {
    encoder.strip_suffix("-stand-in").unwrap_or(encoder)
}

/// Whether a variational autoencoder can begin with a network.
pub(crate) fn begins_with(encoder: &str) -> bool {
    ["caffenet", "alexnet"].contains(&convolutions(encoder))
}

/// The same experiment with pictures of 64 pixels and networks like those of section 4.1.
pub(crate) fn small() -> [Run; 2] {
    let run = |label: &str, recipe, gflop, lacks: &'static [_]| {
        let cost = Cost::new(gflop, 2.25, 2.0 + gflop, lacks);
        Run::new(label.into(), recipe, cost, lacks, Experiment::SmallVae)
    };
    [
        run("small VAE SE", "vae-small-se", 0.66, IMAGE_LOSS),
        run("small VAE AlexNet CONV3", "vae-small-alexnet-conv3", 2.19, &[]),
    ]
}
