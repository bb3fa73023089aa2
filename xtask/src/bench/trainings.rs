//! What `cargo xtask bench step` can train, as tables: networks, and how often a step runs them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::nets::{self, Layer};
use crate::workspace;

/// A training that both sides know by its name.
pub(super) struct Net {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) about: &'static str,
    /// The recipe.
    recipe: &'static str,
    /// Images, patches or pairs per step on a CPU where nothing else is asked for: the recipe's, or what
    /// all contestants can hold at once.
    pub(super) batches: &'static [u16],
    training: fn() -> Training,
}

/// All of them; the first is the one that is meant if none is named.
pub(super) const NETS: [Net; 12] = [
    Net {
        name: "autoencoder",
        about: "Autoencoder for 64 pixels, AlexNet's CONV3, discriminator",
        recipe: "autoencoder-alexnet-conv3",
        batches: &[64, 16],
        training: || adversarial(nets::AUTOENCODER.into(), nets::alexnet(64)[..3].into(), (64, 2)),
    },
    Net {
        name: "autoencoder-se",
        about: "Autoencoder alone, squared error",
        recipe: "autoencoder-se",
        batches: &[64],
        training: || Training(vec![generator(nets::AUTOENCODER.into())]),
    },
    Net {
        name: "autoencoder-l1",
        about: "Autoencoder alone, absolute error",
        recipe: "autoencoder-l1",
        batches: &[64],
        training: || Training(vec![generator(nets::AUTOENCODER.into())]),
    },
    Net {
        name: "autoencoder-exemplar-cnn-conv3",
        about: "Autoencoder, Exemplar-CNN's CONV3, discriminator",
        recipe: "autoencoder-exemplar-cnn-conv3",
        batches: &[64],
        training: || adversarial(nets::AUTOENCODER.into(), nets::exemplar_cnn(64).into(), (64, 2)),
    },
    Net {
        name: "vae-small-alexnet-conv3",
        about: "Variational autoencoder for 64 pixels, AlexNet's CONV3, discriminator",
        recipe: "vae-small-alexnet-conv3",
        batches: &[64],
        training: || adversarial(nets::small_vae(), nets::alexnet(64)[..3].into(), (64, 2)),
    },
    Net {
        name: "vae-alexnet-conv5",
        about: "Variational autoencoder for 227 pixels, CaffeNet's pool5, discriminator",
        recipe: "vae-alexnet-conv5",
        batches: &[8],
        training: || adversarial(nets::large_vae(), nets::alexnet(227).into(), (227, 4)),
    },
    Net {
        name: "inversion-conv5",
        about: "Inversion of CaffeNet's pool5, which is the comparator too; conditional discriminator",
        recipe: "inversion-conv5",
        batches: &[8],
        training: || inversion(nets::conv5_generator(), 256 * 6 * 6, 0),
    },
    Net {
        name: "inversion-fc6",
        about: "Inversion of CaffeNet's FC6, comparator pool5; conditional discriminator",
        recipe: "inversion-fc6",
        batches: &[8],
        training: || inversion(nets::FC6_GENERATOR.into(), 4096, 1),
    },
    Net {
        name: "inversion-fc6-image",
        about: "Inversion of CaffeNet's FC6 by the image term alone",
        recipe: "inversion-fc6-image",
        batches: &[8],
        training: || {
            let encoder = [&nets::alexnet(227)[..], &nets::alexnet_head(4096)[..1]].concat();
            Training(vec![generator(nets::FC6_GENERATOR.into()), part("fixed", encoder, [1, 0])])
        },
    },
    Net {
        name: "inversion-fc8",
        about: "Inversion of CaffeNet's FC8, comparator pool5; conditional discriminator",
        recipe: "inversion-fc8",
        batches: &[8],
        training: || inversion(nets::fc8_generator(), 1000, 3),
    },
    Net {
        name: "exemplar-cnn",
        about: "Exemplar-CNN as classifier of 16,000 surrogate classes, SGD",
        recipe: "exemplar-cnn",
        batches: &[128],
        training: || {
            let [body, head] = [&nets::exemplar_cnn(32)[..], &nets::exemplar_cnn_head(16_000)[..]];
            Training(vec![part("network", [body, head].concat(), [3, 1])])
        },
    },
    Net {
        name: "videonet-stills",
        about: "VideoNet ranking pairs of pictures, SGD; the hardest negatives",
        recipe: "videonet-stills",
        batches: &[20],
        training: || {
            let [body, head] = [&nets::alexnet(224)[..], &nets::alexnet_head(1024)[..2]];
            // Two pictures of a pair.
            Training(vec![part("network", [body, head].concat(), [6, 2])])
        },
    },
];

impl Net {
    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        NETS.iter().find(|net| net.name == name)
    }

    /// The file of its recipe.
    pub(super) fn recipe(&self) -> PathBuf {
        workspace::root().join(format!("crates/deepsim-run/recipes/{}.toml", self.recipe))
    }

    /// Images, patches or pairs per step of the recipe.
    ///
    /// # Errors
    /// If the recipe cannot be read.
    pub(super) fn recipes_batch(&self) -> Result<u16> {
        let path = self.recipe();
        let read = || {
            let table: toml::Table = std::fs::read_to_string(&path)?.parse()?;
            let batch = table.get("batch").and_then(toml::Value::as_integer).context("no batch")?;
            Ok::<_, anyhow::Error>(u16::try_from(batch)?)
        };
        read().with_context(|| format!("reading {}", path.display()))
    }

    /// Its networks.
    pub(super) fn training(&self) -> Training {
        (self.training)()
    }
}

/// A training step: the networks that it runs.
pub(super) struct Training(Vec<Part>);

/// A network, or a part of one that is run less or more often than the rest.
struct Part {
    network: &'static str,
    layers: Vec<Layer>,
    /// How often a step passes an image through it, gradients included, and how many of these passes
    /// leave out the first layer: no gradient is wanted of what comes in.
    passes: [u8; 2],
}

fn part(network: &'static str, layers: Vec<Layer>, passes: [u8; 2]) -> Part {
    Part { network, layers, passes }
}

/// Forward, and both gradients.
fn generator(layers: Vec<Layer>) -> Part {
    part("generator", layers, [3, 1])
}

/// Forward on two images, gradient to one of them.
fn comparator(layers: Vec<Layer>) -> Part {
    part("fixed", layers, [3, 0])
}

/// Forward three times; both gradients for the update on two images, without those to the images;
/// gradient to the image for the generator.
fn discriminator(side: usize, stride: usize, pooled: usize) -> Part {
    part("discriminator", nets::discriminator(side, stride, pooled), [8, 2])
}

/// A generator with a comparator, and a discriminator of images of a side with a stride.
fn adversarial(
    layers: Vec<Layer>,
    compared: Vec<Layer>,
    (side, stride): (usize, usize),
) -> Training {
    Training(vec![generator(layers), comparator(compared), discriminator(side, stride, 256)])
}

/// With `deeper` layers of the encoder after those of the comparator.
fn inversion(layers: Vec<Layer>, features: usize, deeper: usize) -> Training {
    let mut parts = vec![
        generator(layers),
        comparator(nets::alexnet(227).into()),
        discriminator(227, 4, 768),
        // As often as the discriminator, but without the gradient to the image.
        part("discriminator", nets::branch(features), [7, 2]),
    ];
    if deeper > 0 {
        parts.push(part("fixed", nets::alexnet_head(4096)[..deeper].into(), [1, 0]));
    }
    Training(parts)
}

impl Training {
    /// Numbers of weights by network.
    pub(super) fn parameters(&self) -> Vec<(&'static str, usize)> {
        self.sums(|part| part.layers.iter().map(Layer::parameters).sum())
    }

    /// FLOPs of one step for one image by network.
    pub(super) fn flops(&self) -> Vec<(&'static str, f64)> {
        self.sums(|part| {
            let [all, without] = part.passes.map(f64::from);
            let first = part.layers.first().map_or(0.0, Layer::flops);
            all * part.layers.iter().map(Layer::flops).sum::<f64>() - without * first
        })
    }

    fn sums<T: std::ops::AddAssign>(&self, of: impl Fn(&Part) -> T) -> Vec<(&'static str, T)> {
        let mut sums: Vec<(&'static str, T)> = Vec::new();
        for part in &self.0 {
            match sums.iter_mut().find(|(network, _)| *network == part.network) {
                Some((_, sum)) => *sum += of(part),
                None => sums.push((part.network, of(part))),
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(name: &str) -> Training {
        Net::named(name).expect(name).training()
    }

    #[test]
    fn the_autoencoders_step_has_the_flops_counted_by_hand() {
        let flops = training("autoencoder").flops();
        let mflop: Vec<_> =
            flops.iter().map(|(net, flops)| (*net, (flops / 1e6).round())).collect();
        assert_eq!(mflop, [("generator", 633.0), ("fixed", 179.0), ("discriminator", 1354.0)]);
        // 29² positions of 7x7x3 taps to 32 channels, and so on; fully connected layers last.
        let forward = [
            2 * 841 * 49 * 3 * 32,
            2 * 625 * 25 * 32 * 64,
            2 * 144 * 9 * 64 * 128,
            2 * 100 * 9 * 128 * 256,
            2 * 16 * 9 * 256 * 256,
            2 * 256 * 512,
            2 * 512 * 2,
        ];
        let sum: f64 = forward.map(f64::from).iter().sum();
        assert_eq!(flops[2].1, 8.0 * sum - 2.0 * f64::from(forward[0]));
        let forward = [2 * 196 * 121 * 3 * 96, 2 * 49 * 25 * 48 * 256, 2 * 9 * 9 * 256 * 384];
        let sum: f64 = forward.map(f64::from).iter().sum();
        assert_eq!(flops[1].1, 3.0 * sum);
    }

    #[test]
    fn weights_are_as_many_as_the_papers() {
        let weights = |name: &str, network: &str| {
            let all = training(name).parameters();
            all.into_iter().find(|(net, _)| *net == network).map(|(_, weights)| weights)
        };
        assert_eq!(weights("autoencoder", "discriminator"), Some(1_015_104 + 132_610));
        assert_eq!(weights("inversion-conv5", "fixed"), Some(2_334_080));
        assert_eq!(weights("inversion-fc6", "generator"), Some(56_096_256));
        assert_eq!(weights("inversion-fc8", "generator"), Some(43_415_040));
        assert_eq!(weights("inversion-fc6", "discriminator"), Some(1_015_104 + 5_114_882));
        assert_eq!(weights("inversion-fc6-image", "discriminator"), None);
        // Of AlexNet's convolutions, two heads, and the generator that inverts FC6.
        let heads = 2 * (9216 + 1) * 4096;
        assert_eq!(weights("vae-alexnet-conv5", "generator"), Some(2_334_080 + heads + 56_096_256));
    }

    #[test]
    fn recipes_have_batches() -> Result<()> {
        for net in &NETS {
            assert!(net.recipes_batch()? >= 20, "{}", net.name);
        }
        Ok(())
    }
}
