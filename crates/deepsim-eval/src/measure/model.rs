//! A trained generator, with the network that it inverts if it does.

use std::path::Path;

use candle_core::{Device, Tensor};
use deepsim_nets::random::stream;
use deepsim_nets::{Comparator, Generator, Images};
use deepsim_run::files::GENERATOR;
use deepsim_run::plan::AnyPlan;
use tracing::warn;

use crate::EvalError;
use crate::comparators::is_random;

/// The generator of a run, with all that it needs to make images from images.
pub struct Model {
    /// The generator.
    pub generator: Generator,
    /// The network that the generator inverts, with its layer.
    pub encoder: Option<(Box<dyn Comparator>, String)>,
    /// Side that images were stretched to before crops were taken of them, if the run says so.
    pub resize: Option<usize>,
    /// Side of the training crops, if the run says so.
    pub crop: Option<usize>,
}

/// Side in pixels of the images of an autoencoder whose training crops are not known: the paper's.
const CROP: usize = 64;

impl Model {
    /// Opens the generator of a run folder (`generator.safetensors`). An encoder whose weights were
    /// random in training, as the run's plan says, gets the same; those of others are looked for in
    /// `weights`, and drawn at random, with a warning, only if there is no plan.
    ///
    /// # Errors
    /// If the folder is missing or holds no generator, or weights are missing or do not fit.
    pub fn open(run: &Path, weights: Option<&Path>, device: &Device) -> Result<Self, EvalError> {
        let missing = |reason: &str| EvalError::Run { path: run.into(), reason: reason.into() };
        if !run.is_dir() {
            return Err(missing("no such folder"));
        }
        let path = run.join(GENERATOR);
        if !path.is_file() {
            return Err(missing("it holds no generator.safetensors; has the run been trained?"));
        }
        let generator = Generator::load(&path, device)?.frozen();
        let plan = AnyPlan::read(run)?;
        let plan = plan.as_ref().and_then(AnyPlan::generator);
        let trained_with = plan.and_then(|plan| plan.encoder.as_deref());
        let encoder = match &generator {
            Generator::Autoencoder(_) | Generator::Vae(_) => None,
            Generator::Inverter(net) => {
                let config = net.config();
                let random = trained_with.map(|origin| origin.starts_with("random"));
                let file = config.encoder.find_weights(weights).filter(|_| random != Some(true));
                if let (None, Some(false), Some(origin)) = (&file, random, trained_with) {
                    return Err(missing(&format!(
                        "it inverts {} with {origin}: expected that file in --weights, found none",
                        config.encoder.name()
                    )));
                }
                let (tap, seed) = (&config.tap, config.seed);
                let net = config.encoder.open_to(tap, file.as_deref(), seed, device)?;
                if random.is_none() && is_random(&*net) {
                    warn!("{}: no weights found; {} are used", net.name(), net.origin());
                }
                Some((net, tap.clone()))
            }
        };
        let resize = match plan {
            Some(plan) => plan.recipe.resize,
            // The authors' generators come without a plan; they are for crops of pictures of 256 pixels.
            None => matches!(&generator, Generator::Inverter(_)).then_some(256),
        };
        let crop = plan.map(|plan| plan.recipe.crop);
        Ok(Self { generator, encoder, resize, crop })
    }

    /// Returns the side in pixels of the images that it is for: its own, or that of the training crops of an
    /// autoencoder, which takes any; 64 where the run does not say it.
    pub fn side(&self) -> usize {
        match &self.generator {
            Generator::Autoencoder(_) => self.crop.unwrap_or(CROP),
            Generator::Inverter(net) => net.config().side,
            Generator::Vae(net) => net.config().side,
        }
    }

    /// Returns the input of the generator: an autoencoder's code (the mean of a variational one's), or
    /// the features that are inverted.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, ..)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn code(&self, images: &Images) -> Result<Tensor, EvalError> {
        Ok(match (&self.generator, &self.encoder) {
            (Generator::Autoencoder(net), _) => net.encode(images)?,
            (Generator::Vae(net), _) => net.encode(images)?.mean,
            (_, Some((net, tap))) => net.features(images, tap)?,
            (Generator::Inverter(_), None) => {
                return Err(EvalError::input("code", "an encoder", "a generator without one"));
            }
        })
    }

    /// Images of codes: the way back from [`Model::code`]. If the generator takes noise, all images get
    /// the same.
    ///
    /// # Shapes
    /// `(N, ..) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the codes do not fit.
    pub fn decode(&self, code: &Tensor) -> Result<Images, EvalError> {
        self.draw(code, self.noise(1, 0, 0)?.as_ref())
    }

    /// Noise for `n` images, if the generator takes any beside features.
    ///
    /// # Errors
    /// If it cannot be made a tensor.
    pub fn noise(&self, n: usize, seed: u64, step: u64) -> Result<Option<Tensor>, EvalError> {
        match &self.generator {
            Generator::Inverter(net) => Ok(net.noise(n, &mut stream(seed, "noise", step))?),
            Generator::Autoencoder(_) | Generator::Vae(_) => Ok(None),
        }
    }

    /// Images of codes and noise.
    ///
    /// # Shapes
    /// `(N, ..) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the codes do not fit, or the noise.
    pub fn draw(&self, code: &Tensor, noise: Option<&Tensor>) -> Result<Images, EvalError> {
        Ok(match &self.generator {
            Generator::Autoencoder(net) => net.decode(code)?,
            Generator::Inverter(net) => net.forward(code, noise)?,
            Generator::Vae(net) => net.decode(code)?,
        })
    }

    /// Reconstructs images.
    ///
    /// # Shapes
    /// `(N, 3, H, W) -> (N, 3, H, W)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn reconstruct(&self, images: &Images) -> Result<Images, EvalError> {
        self.decode(&self.code(images)?)
    }
}
