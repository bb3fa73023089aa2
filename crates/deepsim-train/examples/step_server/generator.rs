//! The training step of a generator: the trainer itself with a recipe.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_loss::BalanceRule;
use deepsim_nets::random::{normal, streams};
use deepsim_nets::{ComparatorKind, Images};
use deepsim_run::recipe::Recipe;
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::Trainer;

use crate::serve::Result;
use crate::{Arguments, Training, comparator};

/// Instead of a calibrated weight, so that the other side can use the same.
const FEATURE_WEIGHT: f64 = 5e-4;

pub(crate) struct Generating {
    trainer: Trainer,
    images: Images,
    /// Weights of the fixed networks, if there are any.
    fixed: Option<usize>,
    folder: PathBuf,
}

impl Generating {
    pub(crate) fn new(recipe: &str, arguments: &Arguments, device: &Device) -> Result<Self> {
        let Arguments { batch, folder, check, without_graphs, .. } = arguments;
        let mut recipe = Recipe::parse(recipe, &arguments.sets())?;
        recipe.batch = *batch;
        recipe.adam.learning_rate = comparator::learning_rate(*check);
        if let Some(term) = &mut recipe.adversarial {
            // Both networks are trained in every step, so that all steps cost the same.
            term.balance = BalanceRule::Off;
            if *check {
                term.discriminator.dropout = 0.0;
            }
        }
        let mut taps: Vec<(ComparatorKind, String)> = Vec::new();
        let file = folder.join(comparator::FILE);
        if let Some(inversion) = &mut recipe.inversion {
            inversion.weights = Some(file.clone());
            taps.push((inversion.encoder.clone(), inversion.tap.clone()));
        }
        if let Some(feature) = &mut recipe.feature {
            feature.weights = Some(file.clone());
            feature.weight = feature.weight.or(Some(FEATURE_WEIGHT));
            feature.rho = None;
            taps.push((feature.comparator.clone(), feature.tap.clone()));
        }
        // Of encoder and comparator, which are one network, the deeper layer decides.
        let depth = |(kind, tap): &&(ComparatorKind, String)| {
            kind.taps().iter().position(|known| known == tap)
        };
        let deepest = taps.iter().max_by_key(depth);
        if let Some((kind, tap)) = deepest.filter(|_| *check) {
            comparator::draw(kind, tap, folder)?;
        }
        deepsim_train::run::precision::set(recipe.precision, device)?;
        if *check {
            save_noise(&recipe, folder)?;
        }
        let fixed = FrozenNetworks::open(&recipe, None, device)?;
        let mut trainer = Trainer::new(&recipe, fixed, device)?;
        trainer.set_graphs(!without_graphs);
        let images = comparator::images(*batch, recipe.crop, folder, *check)?;
        Ok(Self {
            trainer,
            images: Images::new(images.tensor().to_device(device)?, images.format())?,
            fixed: deepest.map(|(kind, tap)| comparator::count(kind, tap)),
            folder: folder.clone(),
        })
    }
}

/// The noise of both steps of a variational autoencoder.
fn save_noise(recipe: &Recipe, folder: &Path) -> Result<()> {
    let Some(vae) = &recipe.vae else { return Ok(()) };
    let (n, latent) = (recipe.batch, vae.config(recipe.crop).code());
    let noise = |step| {
        let rngs = streams(recipe.seed, "noise", step, 0..n);
        let values = rngs.into_iter().flat_map(|mut rng| normal(&mut rng, latent, 1.0)).collect();
        Tensor::from_vec::<_, f32>(values, (n, latent), &Device::Cpu)
    };
    let both = Tensor::stack(&[noise(1)?, noise(2)?], 0)?;
    comparator::save(&folder.join("noise.safetensors"), "noise", &both)
}

impl Training for Generating {
    fn save(&self) -> Result<()> {
        let save = |name: &str, params: &deepsim_nets::Params| {
            params.save(&self.folder.join(format!("{name}.safetensors")), "{}")
        };
        save("generator", self.trainer.generator().params())?;
        match self.trainer.adversary() {
            Some(adversary) => Ok(save("discriminator", adversary.net.params())?),
            None => Ok(()),
        }
    }

    fn counts(&self) -> Vec<(&'static str, usize)> {
        let discriminator = self.trainer.adversary().map(|a| a.net.params().count());
        let generator = Some(self.trainer.generator().params().count());
        [("generator", generator), ("discriminator", discriminator), ("fixed", self.fixed)]
            .into_iter()
            .filter_map(|(name, count)| Some((name, count?)))
            .collect()
    }

    fn step(&mut self) -> Result<Vec<(&'static str, f64)>> {
        let report = self.trainer.step(&self.images)?;
        #[cfg(feature = "cuda")]
        if let Some(reason) = self.trainer.graphs_refused() {
            // What is timed must be what is said.
            return Err(format!("no CUDA graphs ({reason}): use --without-graphs").into());
        }
        let judged = report.adversary.map(|a| [("real", a.real), ("generated", a.generated)]);
        let terms = report.terms.into_iter().map(|term| (term.name, term.value));
        Ok(judged.into_iter().flatten().chain(terms).collect())
    }
}
