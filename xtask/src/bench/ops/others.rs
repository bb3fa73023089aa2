//! Operations beside the convolutions of the networks: pooling, up-sampling, normalisation, dilation.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Pass, report};
use crate::bench::rounds;
use crate::bench::server::Server;
use crate::process::say;

const PASSES: [&str; 2] = ["forward", "backward"];

/// An operation on images, under the name that servers know it by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Other {
    pub(super) name: &'static str,
    /// `N C H W`
    sizes: [usize; 4],
}

/// Operations that are timed. The two convolutions, with and without dilation, differ in nothing
/// else.
pub(super) const ALL: [Other; 10] = [
    Other { name: "relu6", sizes: [32, 64, 56, 56] },
    Other { name: "avg_pool2d", sizes: [32, 64, 56, 56] },
    Other { name: "upsample_nearest", sizes: [32, 64, 28, 28] },
    Other { name: "upsample_bilinear", sizes: [32, 64, 28, 28] },
    Other { name: "batch_norm2d", sizes: [32, 64, 56, 56] },
    Other { name: "batch_norm2d", sizes: [32, 512, 7, 7] },
    Other { name: "batch_norm2d_fixed", sizes: [32, 64, 56, 56] },
    Other { name: "conv2d_dense", sizes: [16, 64, 28, 28] },
    Other { name: "conv2d_dilated", sizes: [16, 64, 28, 28] },
    Other { name: "conv2d_dilated", sizes: [16, 8, 56, 56] },
];

impl Other {
    fn request(&self, pass: &str) -> String {
        let [n, c, h, w] = self.sizes;
        format!("{} {pass} {n} {c} {h} {w}", self.name)
    }
}

/// Times of one operation; passes in the order of [`PASSES`].
pub(super) struct Measured {
    other: Other,
    passes: [Pass; 2],
}

impl Measured {
    /// Has three servers do it in turn.
    ///
    /// # Errors
    /// If a server fails.
    pub(super) fn new(servers: &mut [Server; 3], other: Other, rounds: usize) -> Result<Self> {
        let mut measure = |pass| {
            let request = other.request(pass);
            Pass::new(rounds::play(servers, &[request.as_str(); 3], rounds, false)?)
        };
        let passes = [measure(PASSES[0])?, measure(PASSES[1])?];
        Ok(Self { other, passes })
    }

    fn row(&self) -> Vec<String> {
        let sizes = self.other.sizes.map(|size| size.to_string()).join("x");
        let mut row = vec![self.other.name.to_owned(), sizes];
        row.extend(self.passes.iter().map(|pass| {
            let [ours, nchw, last] = pass.cpu;
            let ratio = pass.to_best().median;
            format!("{nchw:.2} / {last:.2} / **{ours:.2}** ({ratio:.2})")
        }));
        row
    }

    pub(super) fn json(&self) -> Value {
        let passes = PASSES.iter().zip(&self.passes);
        let passes: serde_json::Map<_, _> =
            passes.map(|(name, pass)| ((*name).to_owned(), pass.json())).collect();
        json!({ "name": self.other.name, "sizes": self.other.sizes, "passes": passes })
    }
}

/// A table; nothing if nothing was measured.
pub(super) fn print(measured: &[Measured]) {
    if measured.is_empty() {
        return;
    }
    let rows: Vec<_> = measured.iter().map(Measured::row).collect();
    say(&report::table(&["operation", "N x C x H x W", "forward", "backward"], &rows));
    say(
        "CPU ms on one thread: PyTorch NCHW / PyTorch channels last / ours (ours to the faster of \
         the two). Backward is all gradients, with the graph's own work on either side.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_asked_for_once_by_name_and_sizes() {
        assert_eq!(ALL[5].request("backward"), "batch_norm2d backward 32 512 7 7");
        for (i, one) in ALL.iter().enumerate() {
            assert!(!ALL[..i].contains(one), "{one:?} twice");
        }
    }
}
