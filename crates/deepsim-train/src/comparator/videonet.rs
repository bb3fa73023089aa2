//! VideoNet: one update of the ranking of tracked pictures.

use candle_core::{Device, Var};
use deepsim_data::Batch;
use deepsim_loss::ranking::Similarities;
use deepsim_nets::random::stream;
use deepsim_nets::videonet::VideoNet;
use deepsim_nets::{Images, Params, PixelFormat};
use deepsim_run::recipe::{Mining, SgdConfig};
use rand_core::Rng;

use super::Learner;
use super::mining::choose;
use super::update::{Solver, customary};
use crate::TrainError;
use crate::optim::Sgd;
use crate::step::gradients::GradientHook;
use crate::trainer::StepReport;

/// A VideoNet with its optimiser.
pub struct VideoLearner {
    net: VideoNet,
    solver: Solver,
    mining: Mining,
    crop: usize,
    seed: u64,
    device: Device,
}

impl VideoLearner {
    /// A fresh network on random crops of `crop` pixels.
    ///
    /// # Errors
    /// If the network cannot be built.
    pub fn new(
        mining: Mining,
        crop: usize,
        seed: u64,
        sgd: &SgdConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let net = VideoNet::new(seed, device)?;
        let solver = Solver::new(Sgd::new(sgd, net.params(), customary)?);
        Ok(Self { net, solver, mining, crop, seed, device: device.clone() })
    }
}

impl Learner for VideoLearner {
    fn step(
        &mut self,
        batch: &Batch,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let step = self.solver.next();
        let mut rng = stream(self.seed, "augment/videonet", step);
        let pixels = pictures(batch, self.crop, &mut rng);
        let (n, side) = (2 * batch.n, self.crop);
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&pixels, n, side, side, format, &self.device)?;
        let tracks: Vec<u32> =
            batch.samples.iter().map(|s| s.label.unwrap_or(s.index as u32)).collect();

        let features = self.net.forward(&images)?;
        let mut first = 0.0;
        let loss = |leaf: &Var| {
            let similarities = Similarities::new(leaf)?;
            let mut rng = stream(self.seed, "mining/videonet", step);
            let negatives = choose(self.mining, &similarities, &tracks, &mut rng);
            first = similarities.ranked_first(&tracks);
            Ok(similarities.loss(&negatives, self.mining.margin, self.mining.negatives)?)
        };
        let report = self.solver.update(self.net.params(), &features, "ranking", loss, hook)?;
        Ok(StepReport { measures: vec![("ranked_first", first)], ..report })
    }

    fn params(&self) -> &Params {
        self.net.params()
    }

    fn belongs(&self, _name: &str) -> bool {
        true
    }

    fn solver(&self) -> &Solver {
        &self.solver
    }

    fn solver_mut(&mut self) -> &mut Solver {
        &mut self.solver
    }
}

/// The pictures of a batch of pairs, anchor and positive after each other, each cropped at a place and
/// mirrored by a coin of its own.
///
/// # Shapes
/// `(N, 3, 2S, S)` bytes -> `(2N, 3, crop, crop)` bytes
fn pictures(batch: &Batch, crop: usize, rng: &mut impl Rng) -> Vec<u8> {
    let side = batch.width;
    let mut below = |n: usize| ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize;
    let mut out = Vec::with_capacity(2 * batch.n * 3 * crop * crop);
    for pair in batch.pixels.chunks_exact(6 * side * side) {
        for picture in 0..2 {
            let (top, left) = (below(side - crop + 1), below(side - crop + 1));
            let mirrored = below(2) == 1;
            for channel in 0..3 {
                for row in 0..crop {
                    let start = ((2 * channel + picture) * side + top + row) * side + left;
                    let row = &pair[start..start + crop];
                    match mirrored {
                        true => out.extend(row.iter().rev()),
                        false => out.extend(row),
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_data::Cursor;

    #[test]
    fn pictures_of_a_pair_come_after_each_other_and_are_cut_apart() {
        // One pair of 4x4: anchor 0.., positive 100.., channels apart by 16.
        let value = |channel: u8, picture: u8, i: u8| 100 * picture + 16 * channel + i;
        let pixels: Vec<u8> = (0..3)
            .flat_map(|c| (0..2).flat_map(move |p| (0..16).map(move |i| value(c, p, i))))
            .collect();
        let batch = Batch {
            pixels,
            n: 1,
            height: 8,
            width: 4,
            samples: Vec::new(),
            skipped: Vec::new(),
            next: Cursor::default(),
        };
        let mut seen = [false; 2];
        for step in 0..50 {
            let out = pictures(&batch, 3, &mut stream(0, "test", step));
            assert_eq!(out.len(), 2 * 3 * 9);
            let (anchor, positive) = out.split_at(27);
            assert!(anchor.iter().all(|x| *x < 48) && positive.iter().all(|x| *x >= 100));
            // Channels are cut at the same place.
            assert_eq!(anchor[9], anchor[0] + 16);
            seen[usize::from(anchor[1] < anchor[0])] = true;
        }
        assert_eq!(seen, [true, true], "both mirrored and not");
    }
}
