//! VideoNet: one update of the ranking of tracked pictures.

use candle_core::{Device, Var};
use deepsim_data::Batch;
use deepsim_loss::objective::backward_from;
use deepsim_loss::ranking::Similarities;
use deepsim_loss::{At, TermReport};
use deepsim_nets::random::stream;
use deepsim_nets::videonet::VideoNet;
use deepsim_nets::{Images, Params, PixelFormat};
use deepsim_run::recipe::{Mining, SgdConfig};
use rand_core::Rng;

use super::Learner;
use super::mining::choose;
use crate::TrainError;
use crate::error::Quantity;
use crate::optim::{Multiplier, Sgd};
use crate::step::gradients::{GradientHook, check, checked_norm, read};
use crate::trainer::StepReport;

/// A VideoNet with its optimiser.
pub struct VideoLearner {
    net: VideoNet,
    sgd: Sgd,
    mining: Mining,
    crop: usize,
    seed: u64,
    steps: u64,
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
        let sgd = Sgd::new(sgd, net.params(), multiplier)?;
        Ok(Self { net, sgd, mining, crop, seed, steps: 0, device: device.clone() })
    }
}

/// Factors of the authors' network definition.
fn multiplier(name: &str) -> Multiplier {
    match name.ends_with(".bias") {
        true => Multiplier { rate: 2.0, decay: 0.0 },
        false => Multiplier { rate: 1.0, decay: 1.0 },
    }
}

impl Learner for VideoLearner {
    fn step(
        &mut self,
        batch: &Batch,
        hook: &mut GradientHook<'_>,
    ) -> Result<StepReport, TrainError> {
        let step = self.steps + 1;
        let mut rng = stream(self.seed, "augment/videonet", step);
        let pixels = pictures(batch, self.crop, &mut rng);
        let (n, side) = (2 * batch.n, self.crop);
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&pixels, n, side, side, format, &self.device)?;
        let tracks: Vec<u32> =
            batch.samples.iter().map(|s| s.label.unwrap_or(s.index as u32)).collect();

        let features = self.net.forward(&images)?;
        // Differentiated at the features first, which gives the size of the gradient there.
        let leaf = Var::from_tensor(&features.detach())?;
        let similarities = Similarities::new(&leaf)?;
        let mut rng = stream(self.seed, "mining/videonet", step);
        let negatives = choose(self.mining, &similarities, &tracks, &mut rng);
        let loss = similarities.loss(&negatives, self.mining.margin, self.mining.negatives)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        check(step, "ranking", Quantity::Loss, value)?;
        let gradient = loss.backward()?.remove(&leaf).map_or_else(|| leaf.zeros_like(), Ok)?;
        let grad_norm = deepsim_ops::sum_of_squares(&gradient)?.sqrt();
        let gradients = backward_from(&features, &gradient)?;
        check(step, "ranking", Quantity::Gradient, grad_norm)?;
        let norm = checked_norm(step, "comparator", self.net.params(), &gradients, hook)?;
        // One more wait for a GPU, before an update that could not be undone.
        let norm = read(step, "comparator", Quantity::ParameterGradient, &norm)?;
        let learning_rate = self.sgd.learning_rate(self.steps);
        self.sgd.step(self.steps, self.net.params(), &gradients)?;
        self.steps = step;
        let term = TermReport { name: "ranking", value, weight: 1.0, at: At::Images, grad_norm };
        let measures = vec![("ranked_first", similarities.ranked_first(&tracks))];
        Ok(StepReport {
            step,
            learning_rate,
            terms: vec![term],
            adversary: None,
            gradients: vec![("comparator", norm)],
            measures,
        })
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    fn params(&self) -> &Params {
        self.net.params()
    }

    fn belongs(&self, _name: &str) -> bool {
        true
    }

    fn solver(&self) -> &Sgd {
        &self.sgd
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
