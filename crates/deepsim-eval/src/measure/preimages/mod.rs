//! Pre-images: how far images of one feature vector are apart, how well that fits what the features leave open, and
//! what it costs in feature error and naturalness.
//!
//! Writes `RUN/eval/preimages.png`: in each row a test image and images that the generator draws of its features. The
//! rows compare with distances of *photographs*, not of generated images, which are closer together. A generator
//! without noise is measured too: its draws are equal.

mod bands;
mod drawn;

use candle_core::Tensor;
use deepsim_data::Crop;
use deepsim_data::picture::{Picture, grid};
use deepsim_nets::{ComparatorKind, Images, PixelFormat};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::bands::shares_of_bands;
use self::drawn::{By, Drawn, Judge};
use super::context::Context;
use super::distances::{KERNEL, SetDistances, Words};
use super::recognise::shares;
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::{numbers, pictures};
use crate::metrics::distribution::LEAST;
use crate::metrics::spread::Spread;
use crate::metrics::statistics::{euclidean_distance, mean_and_spread};
use crate::preimages::check_noise;

/// Spread, calibration and naturalness of the images of one feature vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preimages {
    /// Number of test images, the first of all.
    pub photographs: usize,
    /// Draws of each.
    pub draws: usize,
    /// Deviation of the noise of the draws; see [`DrawOptions`](crate::preimages::DrawOptions::noise).
    pub noise: f64,
    /// Steps that change the noise of each draw so that its features come nearer; see
    /// [`DrawOptions`](crate::preimages::DrawOptions::refine).
    pub refine: usize,
    /// Steps of Mahendran and Vedaldi's descent that makes the draws in place of the generator, each from noise of its own;
    /// 0 for the generator.
    pub descent: usize,
    /// Number of training images, for the spread of what was seen and for the nearest one; all if `None`.
    pub train_images: Option<usize>,
    /// Number of test images that are shown with their draws.
    pub shown: usize,
}

impl Default for Preimages {
    fn default() -> Self {
        Self {
            photographs: 200,
            draws: 8,
            noise: 1.0,
            refine: 0,
            descent: 0,
            train_images: None,
            shown: 8,
        }
    }
}

/// File with the pictures.
pub const PICTURES: &str = "preimages.png";

/// Begin of the names of rows with the distance of draws in percent of that of photographs.
pub const SHARE: &str = "share of photographs' distance";

/// Begin of the names of rows with the spread over the skill.
pub const CALIBRATION: &str = "spread over skill";

/// Begin of the name of the row with the error of the draws' features.
pub const FEATURE_ERROR: &str = "feature error of draws";

/// Training images whose draws are looked at.
const SEEN: usize = 100;

impl Measure for Preimages {
    const NAME: &'static str = "preimages";
    const ABOUT: &'static str =
        "images of one feature vector: spread, calibration, feature error, naturalness";
    const OPTIONS: &'static [Opt] = &[
        Opt { key: "photographs", value: "N", about: "number of test images, the first of all" },
        Opt { key: "draws", value: "N", about: "images that are drawn of the features of each" },
        Opt {
            key: "noise",
            value: "DEVIATION",
            about: "deviation of the noise, 1 in training; more makes draws differ more",
        },
        Opt {
            key: "refine",
            value: "STEPS",
            about: "steps that change the noise of each draw so that its features come nearer",
        },
        Opt {
            key: "descent",
            value: "STEPS",
            about: "steps of Mahendran and Vedaldi's descent that draws in the generator's place",
        },
        Opt {
            key: "train_images",
            value: "N",
            about: "training images among which the nearest is looked for, the first of all",
        },
        Opt { key: "shown", value: "N", about: "test images that are shown with their draws" },
    ];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        let Some((encoder, tap)) = &context.model.encoder else {
            let wanted = "a generator that inverts features ([inversion])";
            return Err(EvalError::input("preimages", wanted, "another one"));
        };
        let (n, draws) = (self.photographs.min(context.test_len()), self.draws.max(1));
        if n < 2 {
            return Err(EvalError::input("preimages", "two photographs or more", n.to_string()));
        }
        let judge = judge(context)?;
        let by = match (self.descent, self.refine) {
            (0, refine) => By::Generator { noise: self.noise, refine },
            (steps, 0) => By::Descent { steps },
            (_, refine) => {
                let wanted = "no refine beside descent, which takes no noise";
                return Err(EvalError::input("preimages", wanted, refine.to_string()));
            }
        };
        check_noise("preimages", self.noise)?;
        if self.noise != 1.0 && self.descent > 0 {
            let wanted = "no noise beside descent, which takes none";
            return Err(EvalError::input("preimages", wanted, self.noise.to_string()));
        }
        if self.refine > 0 && context.model.noise(1, 0, 0)?.is_none() {
            let wanted = "a generator that takes noise, to refine it";
            return Err(EvalError::input("preimages", wanted, "one without"));
        }
        let test = &context.dataset.test.images;
        let drawn = Drawn::new(context, test, (n, draws), by, judge.as_ref())?;
        self.show(context, &drawn)?;
        let draws = drawn.draws;
        let made = match by {
            By::Generator { noise, refine } => [
                (noise != 1.0).then(|| format!(", noise of deviation {noise}")),
                (refine > 0).then(|| format!(", noise refined in {refine} steps")),
            ]
            .into_iter()
            .flatten()
            .collect(),
            By::Descent { steps } => format!(", by {steps} steps of descent"),
        };
        let of = format!("{draws} draws of each of {n} test images, unclipped{made}");
        let share = |space: &str, spread: &Spread| {
            let shares = spread.within.iter().map(|d| 100.0 * d / spread.between.mean);
            let note = format!("mean distance of two of {of}; {}; {PICTURES}", spread.between);
            Row::mean(format!("{SHARE}, {space}"), &shares.collect::<Vec<_>>(), "%", note)
        };
        let layer = format!("{} {tap}", encoder.name());
        let pixels = drawn.pixels.spread(n)?;
        let code = drawn.code.spread(n)?;
        let means = "means of blocks of 8 pixels";
        let blocks = drawn.blocks.spread(n)?;
        let mut rows = vec![share("image space", &pixels), share(means, &blocks)];
        rows.extend(shares_of_bands(&drawn, context.side(), &of));
        rows.push(share(&layer, &code).in_space_of(&**encoder));
        if let Some(judge) = &judge {
            let space = format!("{} {}", judge.net.name(), judge.objects);
            rows.push(share(&space, &drawn.objects.spread(n)?).in_space_of(&*judge.net));
        }
        rows.push(calibration("image space", &pixels, &of));
        rows.push(calibration(means, &blocks, &of));
        let training = &context.dataset.unlabeled;
        let m = self.train_images.map_or(training.len(), |m| m.min(training.len()));
        let seen = if self.descent > 0 { 0 } else { SEEN.min(m) };
        if seen > 1 {
            let seen = Drawn::new(context, training, (seen, draws), by, None)?;
            let of =
                format!("{draws} draws of each of {} training images, unclipped{made}", seen.n);
            let spread = seen.pixels.spread(seen.n)?;
            rows.push(calibration("image space, training images", &spread, &of));
        }
        let note = format!(
            "mean distance from the image less half of that of two draws, in percent of that of test images; {of}; the \
             less the better"
        );
        rows.push(Row::mean("energy score, image space", &pixels.scores(), "%", note));
        let note = format!("distance of the features of each draw; {of}; {}", code.between);
        let name = format!("{FEATURE_ERROR}, {layer}");
        rows.push(Row::normalised(name, &code.error, &code.between, note).in_space_of(&**encoder));
        if let Some(Judge { net, textures, classifies, .. }) = judge {
            let sets = format!("{n} test images and one draw of each");
            let words = Words { sets, reference: "the images'" };
            let firsts = drawn.textures.firsts(n).collect::<Vec<_>>().concat();
            let sets = [(n, drawn.textures.targets.clone()), (n, firsts)];
            rows.push(if n < LEAST {
                let reason = format!("needs at least {LEAST} test images, found {n}");
                Row::undefined(KERNEL, "", &reason, "")
            } else {
                SetDistances::new(&*net, textures, sets, words)?.kernel()?
            });
            if classifies {
                rows.extend(shares(&*net, &drawn.ranks, draws, &of));
            }
        }
        if m > 0 {
            rows.push(nearest(context, &drawn, m)?);
        }
        Ok(rows)
    }
}

impl Preimages {
    /// Writes the sheet.
    fn show(&self, context: &Context<'_>, drawn: &Drawn) -> Result<(), EvalError> {
        let side = context.side();
        let size = 3 * side * side;
        let tiles = |values: &[f32]| -> Result<Vec<Picture>, EvalError> {
            let shape = (values.len() / size, 3, side, side);
            let tensor = Tensor::from_slice(values, shape, context.device)?;
            pictures(&Images::new(tensor, PixelFormat::CAFFE_BGR)?)
        };
        let (targets, draws) = (&drawn.pixels.targets, &drawn.pixels.draws);
        let both = targets.chunks_exact(size).zip(draws.chunks_exact(drawn.draws * size));
        let rows = both
            .take(self.shown.max(1))
            .map(|(target, draws)| Ok::<_, EvalError>([tiles(target)?, tiles(draws)?].concat()));
        let sheet = rows.collect::<Result<Vec<_>, _>>()?;
        grid(&sheet, 0).write_png(&context.folder()?.join(PICTURES))?;
        Ok(())
    }
}

/// Distance of draws from the nearest training image, against the same of the test images themselves: far below 100 %,
/// draws may repeat what was seen. Blurred images are nearer to all others, too, and training saw other crops.
fn nearest(context: &Context<'_>, drawn: &Drawn, m: usize) -> Result<Row, EvalError> {
    let training = &context.dataset.unlabeled;
    let size = drawn.pixels.targets.len() / drawn.n;
    let n = drawn.n.min(SEEN);
    let targets: Vec<&[f32]> = drawn.pixels.targets.chunks_exact(size).take(n).collect();
    let firsts = drawn.pixels.firsts(drawn.n).take(n);
    let wanted: Vec<&[f32]> = targets.into_iter().chain(firsts).collect();
    let mut nearest = vec![f64::INFINITY; wanted.len()];
    let crop = Crop::Center(context.side());
    context.batches("nearest training images", training, m, crop, |_, images| {
        let candidates = numbers(images.tensor())?;
        nearest.par_iter_mut().zip(&wanted).for_each(|(least, wanted)| {
            for candidate in candidates.chunks_exact(size) {
                *least = least.min(euclidean_distance(wanted, candidate));
            }
        });
        Ok(())
    })?;
    let (of_images, of_draws) = nearest.split_at(n);
    let note = format!(
        "distance of a draw from the nearest of {m} training images over that of a test image, means over {n}; images of \
         little contrast are nearer to all; centre crops"
    );
    let mean = |values: &[f64]| mean_and_spread(values).0;
    Ok(Row::share("nearest training image, image space", mean(of_draws), mean(of_images), note))
}

/// Spread over skill in one space.
fn calibration(space: &str, spread: &Spread, of: &str) -> Row {
    let note = format!(
        "mean distance of two draws over that of a draw from its image; 1 is calibrated, below it draws are too alike; \
         {of}"
    );
    Row::new(format!("{CALIBRATION}, {space}"), spread.over_skill(), "", note)
}

/// A network that no generator is trained with: SqueezeNet where its weights are found, else the one that comes with the
/// project, if it is there.
fn judge(context: &Context<'_>) -> Result<Option<Judge>, EvalError> {
    let found = [
        (ComparatorKind::squeezenet(), "FIRE9", "POOL4", true),
        (ComparatorKind::efficientnet_lite0(), "STAGE5", "STAGE5", false),
    ];
    for (kind, objects, textures, classifies) in found {
        if kind.find_weights(context.weights).is_some() {
            let net = context.comparator(&kind)?;
            return Ok(Some(Judge { net, objects, textures, classifies }));
        }
    }
    Ok(None)
}
