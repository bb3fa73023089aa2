//! Frozen networks: the encoder whose features are inverted, the comparator, and the initial weights of a
//! variational autoencoder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use deepsim_loss::terms;
use deepsim_nets::{Comparator, ComparatorKind, Images, InverterConfig, PixelFormat};
use deepsim_run::recipe::{Inversion, RANDOM, Recipe};
use tracing::warn;

use crate::TrainError;

/// Frozen networks of a run.
#[derive(Clone, Default)]
pub struct FrozenNetworks {
    /// Network whose features are inverted, if there is one.
    pub encoder: Option<Encoder>,
    /// The feature term, if there is one.
    pub feature: Option<terms::FeatureTerm>,
    /// File of the weights that the encoder of a variational autoencoder begins with, if it begins with
    /// any.
    pub initial_weights: Option<PathBuf>,
    /// Numbers by which the channels of the features that are inverted are divided; empty if they are not.
    pub scale: Vec<f32>,
}

/// A network with the layer whose features are inverted.
#[derive(Clone)]
pub struct Encoder {
    /// The network.
    pub net: Arc<dyn Comparator>,
    /// The layer.
    pub tap: String,
}

/// Features of the real images from the frozen encoder and comparator.
#[derive(Clone, Debug, Default)]
pub struct FrozenFeatures {
    /// Encoder's features, which are inverted, and which a conditional discriminator is given too.
    pub inverted: Option<Tensor>,
    /// Comparator's features, the target of the feature term.
    pub target: Option<Tensor>,
}

impl FrozenNetworks {
    /// Opens the networks of a recipe. The weight of the feature term is the recipe's, or 0 until it is
    /// calibrated. An encoder and a comparator of the same weights are one network.
    ///
    /// # Errors
    /// If weights cannot be loaded, or a network has no such layer.
    pub fn open(
        recipe: &Recipe,
        weights: Option<&Path>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let find = |kind: &ComparatorKind, own: &Option<PathBuf>| match own {
            Some(file) if file == Path::new(RANDOM) => None,
            Some(file) => Some(file.clone()),
            None => {
                let found = kind.find_weights(weights);
                if found.is_none() {
                    warn!("{}: no weights found; random ones are used", kind.name());
                }
                found
            }
        };
        let open = |kind: &ComparatorKind, tap: &str, file: Option<PathBuf>, seed| {
            let net = kind.open_to(tap, file.as_deref(), seed, device)?;
            Ok::<_, TrainError>(Arc::<dyn Comparator>::from(net))
        };
        let compared = recipe.feature.as_ref().map(|term| find(&term.comparator, &term.weights));
        let mut encoder = None;
        if let Some(Inversion { encoder: kind, tap, weights, seed, .. }) = &recipe.inversion {
            let own = find(kind, weights);
            // The encoder is opened as deep as the comparator needs it, if both are the same network.
            let same = recipe.feature.as_ref().filter(|term| {
                (&term.comparator, compared.as_ref(), term.seed) == (kind, Some(&own), *seed)
            });
            let depth = |tap: &str| kind.taps().iter().position(|known| *known == tap);
            let deeper = same.map(|term| &term.tap).filter(|other| depth(other) > depth(tap));
            let net = open(kind, deeper.unwrap_or(tap), own, *seed)?;
            encoder = Some((Encoder { net, tap: tap.clone() }, same.is_some()));
        }
        let initial_weights = recipe.vae.as_ref().filter(|vae| !vae.from_scratch).and_then(|vae| {
            let kind = vae.encoder.trained()?;
            find(&kind, &vae.weights)
        });
        let feature = match &recipe.feature {
            None => None,
            Some(term) => {
                let comparator = match &encoder {
                    Some((encoder, true)) => encoder.net.clone(),
                    _ => open(&term.comparator, &term.tap, compared.flatten(), term.seed)?,
                };
                let weight = term.weight.unwrap_or_default();
                let (tap, places) = (term.tap.clone(), term.places);
                Some(terms::FeatureTerm { comparator, tap, weight, places })
            }
        };
        let (encoder, scale) = (encoder.map(|(encoder, _)| encoder), Vec::new());
        Ok(Self { encoder, feature, initial_weights, scale })
    }

    /// Computes the features of real images, in one pass where encoder and comparator are one network.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> features `(N, ..)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn encode(&self, real: &Images) -> Result<FrozenFeatures, TrainError> {
        let features = |net: &Arc<dyn Comparator>, taps: &[&str]| {
            let found = net.features_at(real, taps)?;
            Ok::<Vec<Tensor>, TrainError>(found.iter().map(Tensor::detach).collect())
        };
        if let (Some(encoder), Some(feature)) = (&self.encoder, &self.feature)
            && feature.places == 1
            && Arc::ptr_eq(&encoder.net, &feature.comparator)
        {
            let both = features(&encoder.net, &[&encoder.tap, &feature.tap])?;
            let [features, target] = <[Tensor; 2]>::try_from(both)
                .map_err(|_| candle_core::Error::Msg("features at two taps".into()))?;
            return Ok(FrozenFeatures { inverted: Some(features), target: Some(target) });
        }
        // Of the part of the images that a step compares, the term computes them itself.
        let target = match self.feature.as_ref().filter(|feature| feature.places == 1) {
            Some(feature) => features(&feature.comparator, &[&feature.tap])?.pop(),
            None => None,
        };
        Ok(FrozenFeatures { inverted: self.features(real)?, target })
    }

    /// The features that are inverted, if there are any.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> `(N, ..)`
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn features(&self, real: &Images) -> Result<Option<Tensor>, TrainError> {
        let Some(encoder) = &self.encoder else { return Ok(None) };
        Ok(Some(encoder.net.features(real, &encoder.tap)?.detach()))
    }

    /// Root mean square of each channel of the features that are inverted, at least a tenth of that of all of them, for
    /// channels that are almost always silent.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> one number for each channel
    ///
    /// # Errors
    /// If the images do not fit, or all features are 0.
    pub fn root_mean_squares(&self, real: &Images) -> Result<Vec<f32>, TrainError> {
        const PART: usize = 32;
        let mut sums = Vec::new();
        let mut counted = 0;
        for first in (0..real.len()).step_by(PART) {
            let n = PART.min(real.len() - first);
            let part = real.with_tensor(real.tensor().narrow(0, first, n)?.contiguous()?)?;
            let features = self.features(&part)?;
            let features =
                features.ok_or_else(|| TrainError::recipe("inversion: no encoder is open"))?;
            let positions: usize = features.dims()[2..].iter().product();
            let channels = features.dims()[1];
            sums.resize(channels, 0.0f64);
            let values = features.flatten_all()?.to_vec1::<f32>()?;
            for (at, map) in values.chunks_exact(positions).enumerate() {
                sums[at % channels] += map.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            }
            counted += n * positions;
        }
        let mean = |sum: f64, of: usize| (sum / of.max(1) as f64).sqrt();
        let all = mean(sums.iter().sum(), counted * sums.len());
        if !(all.is_finite() && all > 0.0) {
            return Err(TrainError::recipe(format!(
                "inversion.scaled: expected features that are not 0, found {all} as their size"
            )));
        }
        Ok(sums.iter().map(|sum| mean(*sum, counted).max(0.1 * all) as f32).collect())
    }

    /// The network that inverts these features, for images of `side` pixels.
    ///
    /// # Errors
    /// If images of this size have no such features.
    pub fn inverter(
        &self,
        inversion: &Inversion,
        side: usize,
        device: &Device,
    ) -> Result<InverterConfig, TrainError> {
        let blank = Tensor::zeros((1, 3, side, side), DType::F32, device)?;
        let features = self.features(&Images::new(blank, PixelFormat::CAFFE_BGR)?)?;
        let features =
            features.ok_or_else(|| TrainError::recipe("inversion: no encoder is open"))?;
        Ok(inversion.config(&features.dims()[1..], side, &self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepsim_run::recipes;

    fn origin(sets: &[&str], weights: Option<&Path>) -> Result<String, Box<dyn std::error::Error>> {
        let text = recipes::text("autoencoder-exemplar-cnn-conv3").ok_or("a built-in recipe")?;
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let frozen = FrozenNetworks::open(&Recipe::parse(text, &sets)?, weights, &Device::Cpu)?;
        Ok(frozen.feature.ok_or("a feature term")?.comparator.origin().to_string())
    }

    #[test]
    fn shipped_weights_are_found_and_random_ones_are_drawn_where_they_are_asked_for()
    -> Result<(), Box<dyn std::error::Error>> {
        let shipped = "weights exemplar-cnn.safetensors";
        assert_eq!(origin(&[], None)?, shipped);
        let empty = tempfile::tempdir()?;
        assert_eq!(origin(&[], Some(empty.path()))?, shipped);
        let random = ["feature.weights=random", "feature.seed=3"];
        assert_eq!(origin(&random, None)?, "random weights (seed 3)");
        // A network that is not shipped.
        let alexnet = ["feature.comparator=alexnet", "feature.seed=2"];
        assert_eq!(origin(&alexnet, None)?, "random weights (seed 2)");
        Ok(())
    }

    #[test]
    fn channels_are_measured_and_silent_ones_are_not_divided_by_zero()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = recipes::text("inversion-conv5").ok_or("a built-in recipe")?;
        let sets = ["inversion.encoder=alexnet", "inversion.tap=CONV1", "feature=", "crop=64"];
        let sets = sets.map(str::to_owned);
        let frozen = FrozenNetworks::open(&Recipe::parse(text, &sets)?, None, &Device::Cpu)?;
        let pixels: Vec<u8> = (0..3 * 3 * 64 * 64).map(|i| (i * i % 251) as u8).collect();
        let format = PixelFormat::CAFFE_BGR;
        let images = Images::from_u8(&pixels, 3, 64, 64, format, &Device::Cpu)?;
        let found = frozen.root_mean_squares(&images)?;
        let features = frozen.features(&images)?.ok_or("features")?;
        let squares = features.sqr()?.mean(3)?.mean(2)?.mean(0)?.to_vec1::<f32>()?;
        let all = squares.iter().sum::<f32>() / squares.len() as f32;
        assert_eq!(found.len(), 96);
        for (found, square) in found.iter().zip(&squares) {
            let expected = square.sqrt().max(0.1 * all.sqrt());
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
        }
        let black = images.with_tensor((images.tensor() * 0.0)?)?;
        // AlexNet's biases are 0 where it is random: nothing is seen in black images.
        let message = frozen.root_mean_squares(&black).expect_err("black").to_string();
        assert!(message.contains("features that are not 0"), "{message}");
        Ok(())
    }
}
