//! A trained generator, with the network that it inverts if it does.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_nets::autoencoder::DOWNSAMPLING;
use deepsim_nets::random::stream;
use deepsim_nets::{Comparator, Generator, Images, PixelFormat};
use deepsim_run::files::GENERATOR;
use deepsim_run::plan::{AnyPlan, Plan};
use tracing::warn;

use crate::EvalError;
use crate::arrays;
use crate::comparators::is_random;
use crate::features::View;

/// The generator of a run, with all that it needs to make images from images.
pub struct Model {
    /// The generator.
    pub generator: Generator,
    /// The network that the generator inverts, with its layer.
    pub encoder: Option<(Box<dyn Comparator>, String)>,
    /// Side that images were stretched to before crops were taken of them, if the run says so.
    pub resize: Option<usize>,
    /// Side of the training crops, if the run says so, or the one that was chosen ([`Self::set_side`]).
    pub crop: Option<usize>,
}

/// Side in pixels of the images of an autoencoder whose training crops are not known: the paper's.
const CROP: usize = 64;

/// Name of an autoencoder's input.
const CODE: &str = "code";

/// File of the generator of a run folder, or the file that it is.
fn generator_of(run: &Path) -> Result<PathBuf, EvalError> {
    if run.is_file() {
        return Ok(run.to_path_buf());
    }
    let missing = |reason: &str| EvalError::Run { path: run.into(), reason: reason.into() };
    if !run.is_dir() {
        return Err(missing("no such folder"));
    }
    let path = run.join(GENERATOR);
    match path.is_file() {
        true => Ok(path),
        false => Err(missing("it holds no generator.safetensors; has the run been trained?")),
    }
}

/// The plan of a run folder; none of a file.
fn plan_of(run: &Path) -> Result<Option<AnyPlan>, EvalError> {
    if run.is_file() {
        return Ok(None);
    }
    Ok(AnyPlan::read(run)?)
}

/// Side that images were stretched to before crops were taken of them.
fn resize(plan: Option<&Plan>, generator: &Generator) -> Option<usize> {
    match plan {
        Some(plan) => plan.recipe.resize,
        // The authors' generators come without a plan; they are for crops of pictures of 256 pixels.
        None => {
            matches!(generator, Generator::Inverter(net) if net.config().side > 64).then_some(256)
        }
    }
}

impl Model {
    /// Opens the generator of a run folder (`generator.safetensors`), or of a weight file. An encoder whose weights were
    /// random in training, as the run's plan says, gets the same; those of others are looked for in
    /// `weights`, and drawn at random, with a warning, only if there is no plan.
    ///
    /// # Errors
    /// If the folder or file is missing or holds no generator, or weights are missing or do not fit.
    pub fn open(run: &Path, weights: Option<&Path>, device: &Device) -> Result<Self, EvalError> {
        let generator = Generator::load(&generator_of(run)?, device)?.frozen();
        let plan = plan_of(run)?;
        let plan = plan.as_ref().and_then(AnyPlan::generator);
        let trained_with = plan.and_then(|plan| plan.encoder.as_deref());
        let encoder = match &generator {
            Generator::Autoencoder(_) | Generator::Vae(_) => None,
            Generator::Inverter(net) => {
                let config = net.config();
                let random = trained_with.map(|origin| origin.starts_with("random"));
                let file = config.encoder.find_weights(weights).filter(|_| random != Some(true));
                if let (None, Some(false), Some(origin)) = (&file, random, trained_with) {
                    let name = config.encoder.name();
                    let reason = format!(
                        "it inverts {name} with {origin}: expected that file in --weights, found none"
                    );
                    return Err(EvalError::Run { path: run.into(), reason });
                }
                let (tap, seed) = (&config.tap, config.seed);
                let net = config.encoder.open_to(tap, file.as_deref(), seed, device)?;
                if random.is_none() && is_random(&*net) {
                    warn!("{}: no weights found; {} are used", net.name(), net.origin());
                }
                Some((net, tap.clone()))
            }
        };
        let resize = resize(plan, &generator);
        let crop = plan.map(|plan| plan.recipe.crop);
        Ok(Self { generator, encoder, resize, crop })
    }

    /// Opens the generator of a run folder, or of a weight file, to draw images of given inputs. The encoder is there
    /// only where its weights are found in `weights`, or were random in training.
    ///
    /// # Errors
    /// If there is no generator, or its weights do not fit.
    pub fn to_draw(
        path: &Path,
        weights: Option<&Path>,
        device: &Device,
    ) -> Result<Self, EvalError> {
        let generator = Generator::load(&generator_of(path)?, device)?.frozen();
        let plan = plan_of(path)?;
        let plan = plan.as_ref().and_then(AnyPlan::generator);
        let random = plan
            .and_then(|plan| plan.encoder.as_deref())
            .is_some_and(|origin| origin.starts_with("random"));
        let encoder = match &generator {
            Generator::Inverter(net) => {
                let (config, tap) = (net.config(), &net.config().tap);
                let file = config.encoder.find_weights(weights).filter(|_| !random);
                let open = || config.encoder.open_to(tap, file.as_deref(), config.seed, device);
                match (random || file.is_some()).then(open) {
                    Some(Ok(net)) => Some((net, tap.clone())),
                    Some(Err(error)) => {
                        warn!("{error}; continuing without {}", config.encoder.name());
                        None
                    }
                    None => None,
                }
            }
            Generator::Autoencoder(_) | Generator::Vae(_) => None,
        };
        let resize = resize(plan, &generator);
        let crop = plan.map(|plan| plan.recipe.crop);
        Ok(Self { generator, encoder, resize, crop })
    }

    /// Name and shape of the input for one image of [`Self::side`] pixels: the tap and the features that it inverts, or
    /// an autoencoder's `code`.
    ///
    /// # Errors
    /// If an autoencoder cannot be computed for images of this size.
    pub fn input(&self) -> Result<(String, Vec<usize>), EvalError> {
        Ok(match &self.generator {
            Generator::Inverter(net) => (net.config().tap.clone(), net.config().features.clone()),
            Generator::Vae(net) => (CODE.into(), vec![net.config().code()]),
            Generator::Autoencoder(net) => {
                let side = self.side();
                let (image, format) = (vec![0; 3 * side * side], PixelFormat::CAFFE_BGR);
                let image = Images::from_u8(&image, 1, side, side, format, self.device())?;
                (CODE.into(), net.encode(&image)?.dims()[1..].to_vec())
            }
        })
    }

    /// Device of the generator.
    pub fn device(&self) -> &Device {
        self.generator.params().iter().next().map_or(&Device::Cpu, |(_, weight)| weight.device())
    }

    /// Name of the space of the inputs, e.g. `alexnet CONV5` or `code`.
    pub fn input_space(&self) -> String {
        match &self.generator {
            Generator::Inverter(net) => {
                format!("{} {}", net.config().encoder.name(), net.config().tap)
            }
            Generator::Autoencoder(_) | Generator::Vae(_) => CODE.into(),
        }
    }

    /// Returns the side in pixels of the images that it is for: its own, or or of an autoencoder, which takes any, the one
    /// that was chosen, or that of the training crops; 64 where the run does not say it.
    pub fn side(&self) -> usize {
        match &self.generator {
            Generator::Autoencoder(_) => self.crop.unwrap_or(CROP),
            Generator::Inverter(net) => net.config().side,
            Generator::Vae(net) => net.config().side,
        }
    }

    /// Chooses the side in pixels of the images of an autoencoder.
    ///
    /// # Errors
    /// If it is no multiple of 8 from 8 on, or another generator has another side.
    pub fn set_side(&mut self, side: usize) -> Result<(), EvalError> {
        let wanted = match &self.generator {
            Generator::Autoencoder(_) if side > 0 && side.is_multiple_of(DOWNSAMPLING) => {
                self.crop = Some(side);
                return Ok(());
            }
            Generator::Autoencoder(_) => format!("a multiple of {DOWNSAMPLING}"),
            _ if side == self.side() => return Ok(()),
            _ => format!("{}, that of the generator", self.side()),
        };
        Err(EvalError::input("side", wanted, side.to_string()))
    }

    /// Part of a photograph that it makes images of: stretched to the size of training pictures, and the middle of that,
    /// as in all measures.
    pub fn view(&self) -> View {
        let side = self.side();
        View { resize: self.resize.unwrap_or(side).max(side), crop: side }
    }

    /// Cuts out [`Model::view`] of a photograph, as a picture and as an image for networks.
    ///
    /// # Shapes
    /// any size -> `(1, 3, side, side)`
    ///
    /// # Errors
    /// If the photograph cannot be resized.
    pub fn cut(&self, photo: &Picture) -> Result<(Picture, Images), EvalError> {
        let picture = self.view().of(photo)?;
        let one = std::iter::once(&picture);
        let image = arrays::images(one, PixelFormat::CAFFE_BGR, self.device())?;
        Ok((picture, image))
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
