//! Priors and schedules, as plain data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::EvalError;

/// `s` of Mahendran & Vedaldi: a typical norm of an image of 3x227x227 minus the mean, in grey levels
/// (`x0_sigma` of their code).
pub const NORM: f64 = 27098.1157;

/// Numbers in the images that [`NORM`] belongs to.
const NORM_NUMBERS: f64 = 3.0 * 227.0 * 227.0;

/// A published prior that keeps images natural.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// Total variation and sixth powers of pixels: Mahendran & Vedaldi 2015, the paper's baseline.
    MahendranVedaldi,
    /// Squares of pixels: Simonyan et al. 2014.
    L2,
    /// Decay, a blur every few steps, and jitter: after Yosinski et al. 2015.
    Blur,
}

impl Prior {
    /// The three priors.
    pub const ALL: [Self; 3] = [Self::MahendranVedaldi, Self::L2, Self::Blur];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::MahendranVedaldi => "mahendran-vedaldi",
            Self::L2 => "l2",
            Self::Blur => "blur",
        }
    }

    /// Settings for features of a tap.
    pub fn settings(self, tap: &str) -> Settings {
        match self {
            Self::MahendranVedaldi => Settings::mahendran_vedaldi(tap),
            Self::L2 => Settings::l2(),
            Self::Blur => Settings::blur(),
        }
    }
}

impl fmt::Display for Prior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Prior {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        Self::ALL.into_iter().find(|prior| prior.name() == text).ok_or_else(|| EvalError::Unknown {
            what: "prior",
            known: Self::ALL.map(Self::name).join(", "),
            got: text.into(),
        })
    }
}

/// So many steps of one learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Learning rate of the objective times `s²`, so in (grey levels)².
    pub rate: f64,
    /// Steps.
    pub steps: usize,
}

/// One optimiser for all priors; each term is off at 0.
///
/// Gradient descent with momentum on `s²` times
///
/// ```text
/// ‖Φ(x) - Φ0‖²/‖Φ0‖² + (1/s²) [ tv/2 Σ (dx² + dy²)^(beta/2) + power/2 Σ x^alpha + l2 Σ x² ]
/// ```
///
/// `x` is BGR minus the mean, in grey levels. `s` is 27098.1157 for images of 227x227, and in
/// proportion to the root of the number of pixels for others: the same deviation per pixel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Learning rates, one after the other; the momentum is forgotten where one begins.
    pub stages: [Stage; 3],
    /// Share of the last step that is made again, in `[0, 1)`.
    pub momentum: f64,
    /// Norm of the Gaussian noise that it starts from, over `s`.
    pub start: f64,
    /// Weight of total variation.
    pub tv: f64,
    /// Power of the length of the image's gradient in total variation.
    pub beta: f64,
    /// Weight of powers of pixels.
    pub power: f64,
    /// The power; even.
    pub alpha: u32,
    /// Weight of squares of pixels.
    pub l2: f64,
    /// Share of the image that is taken away after each step, in `[0, 1)`.
    pub decay: f64,
    /// Deviation of the Gaussian blur in pixels.
    pub blur: f64,
    /// Steps from one blur to the next; 0 for none.
    pub blur_every: usize,
    /// Largest shift along each axis, in pixels, at which features are computed; drawn for each step.
    pub jitter: usize,
    /// True to keep pixels in 0..=255 after each step.
    pub clip: bool,
}

/// The schedule of Mahendran & Vedaldi's experiments (`experiment_cnn.m`).
const STAGES: [Stage; 3] = [
    Stage { rate: 4e-3, steps: 100 },
    Stage { rate: 4e-4, steps: 200 },
    Stage { rate: 4e-5, steps: 100 },
];

/// Only the descent: no prior.
const BARE: Settings = Settings {
    stages: STAGES,
    momentum: 0.9,
    start: 1.0,
    tv: 0.0,
    beta: 2.0,
    power: 0.0,
    alpha: 6,
    l2: 0.0,
    decay: 0.0,
    blur: 0.0,
    blur_every: 0,
    jitter: 0,
    clip: false,
};

impl Settings {
    /// Mahendran & Vedaldi 2015, as in `experiment_cnn.m` of their code: beta 2, alpha 6 with weight
    /// 8e-10, total variation by the depth of the tap ([`tv_weight`]), Gaussian noise of norm `s` to
    /// start from. Which settings stand behind the DeePSiM paper's row is not known.
    ///
    /// ```
    /// use deepsim_eval::optimisation_baseline::Settings;
    /// let settings = Settings::mahendran_vedaldi("CONV5");
    /// assert_eq!((settings.tv, settings.steps()), (100.0, 400));
    /// ```
    pub fn mahendran_vedaldi(tap: &str) -> Self {
        Self { tv: tv_weight(tap), power: 8e-10, ..BARE }
    }

    /// The squared norm as in Simonyan et al. 2014, from a zero image as there. They maximise a class
    /// score and give neither weight nor schedule. The weight 1, momentum and the schedule are choices:
    /// at Mahendran & Vedaldi's first rate nothing holds the image back, and the descent overshoots.
    pub fn l2() -> Self {
        let stages =
            [Stage { rate: 4e-4, steps: 300 }, Stage { rate: 4e-5, steps: 100 }, Stage::default()];
        Self { stages, start: 0.0, l2: 1.0, ..BARE }
    }

    /// After Yosinski et al. 2015: decay 1e-4 and blur of deviation 1 every 4 steps (one of the four
    /// combinations of their Table 1, recalled), from noise of deviation 10 and clipped as in their
    /// code. As there, the learning rate is constant: under a smaller one the blurs undo more than is
    /// gained between them. They maximise a unit's activation without momentum and have no jitter; the
    /// rate, 400 steps, momentum and jitter of one pixel are choices.
    pub fn blur() -> Self {
        Self {
            stages: [Stage { rate: 4e-4, steps: 400 }, Stage::default(), Stage::default()],
            start: 10.0 * NORM_NUMBERS.sqrt() / NORM,
            decay: 1e-4,
            blur: 1.0,
            blur_every: 4,
            jitter: 1,
            clip: true,
            ..BARE
        }
    }

    /// Steps of all stages together.
    pub fn steps(&self) -> usize {
        self.stages.iter().map(|stage| stage.steps).sum()
    }

    /// The same schedule, stretched or shortened to `steps` altogether.
    ///
    /// ```
    /// use deepsim_eval::optimisation_baseline::Settings;
    /// let settings = Settings::mahendran_vedaldi("CONV1").with_steps(10);
    /// assert_eq!(settings.stages.map(|stage| stage.steps), [3, 5, 2]);
    /// ```
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Self {
        let all = self.steps().max(1);
        let (mut old_end, mut new_end) = (0, 0);
        for stage in &mut self.stages {
            old_end += stage.steps;
            let end = (2 * old_end * steps + all) / (2 * all);
            stage.steps = end - new_end;
            new_end = end;
        }
        self
    }

    /// `s` for images of so many numbers (channels x height x width), in grey levels.
    pub fn norm(numbers: usize) -> f64 {
        NORM * (numbers as f64 / NORM_NUMBERS).sqrt()
    }

    /// Refuses what cannot be computed with.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        let refuse = |wanted: &str, got: String| Err(EvalError::input("inversion", wanted, got));
        let weights = [
            ("learning rate", self.stages.iter().map(|stage| stage.rate).fold(0.0, f64::max)),
            ("start", self.start),
            ("tv", self.tv),
            ("power", self.power),
            ("l2", self.l2),
            ("blur", self.blur),
        ];
        for (name, value) in weights {
            if !(value.is_finite() && value >= 0.0) {
                return refuse("a weight that is not negative", format!("{name} {value}"));
            }
        }
        for (name, value) in [("momentum", self.momentum), ("decay", self.decay)] {
            if !(0.0..1.0).contains(&value) {
                return refuse("a share of 0 to below 1", format!("{name} {value}"));
            }
        }
        if !(self.beta.is_finite() && self.beta >= 1.0) {
            return refuse("beta of 1 or more", self.beta.to_string());
        }
        if !self.alpha.is_multiple_of(2) || self.alpha == 0 {
            return refuse("an even alpha", self.alpha.to_string());
        }
        Ok(())
    }
}

/// Layers of CaffeNet in Mahendran & Vedaldi's numbering, from 1. AlexNet differs in the order of
/// normalisation and pooling only, which no border of [`tv_weight`] lies between.
const LAYERS: [&[&str]; 21] = [
    &["conv1"],
    &["relu1"],
    &["pool1"],
    &["norm1", "CONV1"],
    &["conv2"],
    &["relu2"],
    &["pool2"],
    &["norm2", "CONV2"],
    &["conv3"],
    &["relu3", "CONV3"],
    &["conv4"],
    &["relu4", "CONV4"],
    &["conv5"],
    &["relu5"],
    &["pool5", "flatten", "CONV5"],
    &["fc6"],
    &["relu6", "FC6"],
    &["fc7"],
    &["relu7", "FC7"],
    &["fc8", "FC8"],
    &["prob", "PROB"],
];

/// Weight of total variation for a tap of AlexNet or CaffeNet: 1 for layers 1 to 6 of Mahendran &
/// Vedaldi's CaffeNet (CONV1), 10 for 7 to 12 (CONV2 to CONV4), 100 from 13 on (CONV5 and deeper).
///
/// They give none for other networks; 10 is taken for taps with other names.
pub fn tv_weight(tap: &str) -> f64 {
    match LAYERS.iter().position(|names| names.contains(&tap)).map(|at| at + 1) {
        Some(1..=6) => 1.0,
        Some(7..=12) | None => 10.0,
        Some(_) => 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_of_total_variation_follows_the_depth() {
        let weights = ["CONV1", "relu2", "pool2", "CONV2", "CONV3", "CONV4", "conv5", "CONV5"];
        assert_eq!(weights.map(tv_weight), [1.0, 1.0, 10.0, 10.0, 10.0, 10.0, 100.0, 100.0]);
        assert_eq!(
            ["FC6", "FC7", "FC8", "PROB", "FIRE9"].map(tv_weight),
            [100.0, 100.0, 100.0, 100.0, 10.0]
        );
    }

    #[test]
    fn norms_keep_the_deviation_of_a_pixel() {
        assert_eq!(Settings::norm(3 * 227 * 227), NORM);
        let deviation = |numbers: usize| Settings::norm(numbers) / (numbers as f64).sqrt();
        assert!((deviation(3 * 96 * 96) - deviation(3 * 227 * 227)).abs() < 1e-9);
    }

    #[test]
    fn schedules_are_scaled_as_a_whole() {
        for steps in [0, 1, 7, 400, 1001] {
            assert_eq!(Settings::blur().with_steps(steps).steps(), steps);
        }
        assert_eq!(Settings::l2().with_steps(400), Settings::l2());
    }

    #[test]
    fn priors_are_read_as_they_are_written_and_bad_numbers_refused() {
        for prior in Prior::ALL {
            assert_eq!(prior.to_string().parse::<Prior>().ok(), Some(prior));
            assert!(prior.settings("CONV3").check().is_ok());
        }
        let message = "tv".parse::<Prior>().expect_err("no such prior").to_string();
        assert_eq!(message, "unknown prior `tv`; known are mahendran-vedaldi, l2, blur");
        let good = Settings::l2();
        for bad in [
            Settings { momentum: 1.0, ..good },
            Settings { tv: -1.0, ..good },
            Settings { l2: f64::NAN, ..good },
            Settings { beta: 0.5, ..good },
            Settings { alpha: 5, ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
