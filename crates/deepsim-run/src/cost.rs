//! Cost of a training, counted from the tables of its networks without building or running anything.
//!
//! ```
//! use deepsim_run::cost::Cost;
//! use deepsim_run::recipe::Recipe;
//! let recipe = r#"
//!     name = "small"
//!     steps = 10
//!     batch = 4
//!     crop = 64
//!     image = { distance = "squared-error", weight = 1.0 }
//! "#;
//! let cost = Cost::of(&Recipe::parse(recipe, &[])?)?;
//! assert_eq!(cost.networks[0].name, "generator");
//! println!("{:.2} GFLOP and {:.1} MiB per image", cost.flops / 1e9, cost.memory / 1048576.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use deepsim_nets::exemplar_cnn::{PATCH, TRAINED_TAP};
use deepsim_nets::{ComparatorKind, LayerCost, NetError, Pass, SurrogateNet, VideoNet};
use serde::Serialize;

use crate::recipe::{AdversarialTerm, ComparatorRecipe, FeatureTerm, Inversion, Learned, Recipe};

/// Cost of a training step that updates all networks; the default is that of no step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// FLOPs of convolutions and fully connected layers for one sample of the batch (an image, a patch or a pair),
    /// forward and backward, as `deepsim_ops::flops` counts them.
    pub flops: f64,
    /// Number of weights that are trained.
    pub weights: usize,
    /// Estimate of the bytes of memory for one sample, without what weights need: see [`Cost::of`].
    pub memory: f64,
    /// The generator, the frozen networks, the discriminator; or the comparator that is trained.
    pub networks: Vec<NetworkCost>,
}

/// Part of a network in the cost of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkCost {
    /// Role of the network: `generator`, `encoder`, `comparator`, `encoder and comparator` if both are one, `discriminator`.
    pub name: &'static str,
    /// False if its weights are frozen.
    pub trained: bool,
    /// FLOPs for one sample in one step.
    pub flops: f64,
    /// Number of weights.
    pub weights: usize,
    /// Layers with weights, and the cost of one forward pass.
    pub layers: Vec<LayerCost>,
}

/// Networks of a recipe, and their maps for one sample.
#[derive(Default)]
struct Count {
    networks: Vec<NetworkCost>,
    /// Floats of their maps.
    kept: usize,
}

impl Cost {
    /// Cost of training a generator.
    ///
    /// Both networks are counted as updated; where the balance rule skips an update, the step is cheaper. Memory
    /// is twice the maps of all networks, because each map has a gradient or a copy of its size; the
    /// discriminator's maps are those of a real and a generated image. It is a sum and not a maximum, because freed
    /// memory is kept for maps of the same size. Measured steps take 0.85 to 1.4 of it.
    ///
    /// # Errors
    /// If the images do not fit a network, or a network has no such tap.
    pub fn of(recipe: &Recipe) -> Result<Self, NetError> {
        let side = recipe.crop;
        let config = |i: &Inversion| {
            Ok::<_, NetError>(i.config(&i.encoder.shape(&i.tap, side, side)?, side, &[]))
        };
        let inverter = recipe.inversion.as_ref().map(config).transpose()?;
        let draws = recipe.draws as f64;
        let pass = match (&inverter, &recipe.vae) {
            (Some(config), _) => config.cost()?,
            (None, Some(vae)) => vae.config(side).cost()?,
            (None, None) => recipe.generator.cost(side)?,
        };
        let mut count = Count::default();
        // With a discriminator, each micro-batch is generated twice: its first images are not kept.
        let twice = recipe.adversarial.is_some()
            && recipe.micro_batch.is_some_and(|size| size < recipe.batch);
        let forward = if twice { 2.0 } else { 1.0 };
        let flops = (forward + 2.0) * pass.flops() - pass.first_flops();
        count.add("generator", true, draws * flops, pass, recipe.draws);
        count.frozen(recipe)?;
        if let Some(AdversarialTerm { discriminator, .. }) = recipe.adversarial {
            let features = inverter.map(|config| config.features.iter().product());
            let pass = discriminator.cost(side, features)?;
            let branch = discriminator.branch_cost(features)?;
            // Update of the discriminator: forward and both gradients for a real image and for each generated one. Update of the
            // generator: forward, and the gradient at the image, which does not go through the branch for features.
            let update = (1.0 + draws) * (3.0 * pass.flops() - pass.first_flops());
            let fooled = draws * (2.0 * pass.flops() - branch.flops());
            count.add("discriminator", true, update + fooled, pass, 1 + recipe.draws);
        }
        Ok(count.cost())
    }

    /// Cost of training a comparator; a sample of VideoNet is a pair of pictures.
    ///
    /// # Errors
    /// If VideoNet's pictures do not fit.
    pub fn of_comparator(recipe: &ComparatorRecipe) -> Result<Self, NetError> {
        let (pass, pictures) = match &recipe.comparator {
            Learned::ExemplarCnn(task) => {
                let kind = ComparatorKind::exemplar_cnn();
                (SurrogateNet::cost(&kind, TRAINED_TAP, PATCH, task.classes.number)?, 1)
            }
            Learned::Instances(task) => {
                let side = task.side().unwrap_or_default();
                (SurrogateNet::cost(&task.network, &task.tap, side, task.pictures)?, 1)
            }
            Learned::VideoNet(task) => (VideoNet::cost(task.pairs.crop)?, 2),
        };
        let mut count = Count::default();
        let flops = pictures as f64 * (3.0 * pass.flops() - pass.first_flops());
        count.add("comparator", true, flops, pass, pictures);
        Ok(count.cost())
    }

    /// Bytes of the weights that are trained, their gradients and the two moments of Adam.
    pub fn weights_memory(&self) -> f64 {
        (4 * FLOAT * self.weights) as f64
    }
}

/// Bytes of a float.
const FLOAT: usize = 4;

impl Count {
    /// Adds a network whose maps of so many `images` are kept.
    fn add(&mut self, name: &'static str, trained: bool, flops: f64, pass: Pass, images: usize) {
        self.kept += images * pass.activations;
        let weights = pass.weights();
        self.networks.push(NetworkCost { name, trained, flops, weights, layers: pass.layers });
    }

    /// Adds the encoder and the comparator, which are one network if their weights are the same.
    fn frozen(&mut self, recipe: &Recipe) -> Result<(), NetError> {
        let encoder = recipe.inversion.as_ref();
        let seen = encoder.map(|i| i.encoder.cost(&i.tap, recipe.crop)).transpose()?;
        let compared = recipe.feature.as_ref();
        let part = |f: &FeatureTerm| f.comparator.cost(&f.tap, recipe.crop - (f.places - 1));
        let pass = compared.map(part).transpose()?;
        // Forward for the generated image, and the gradient at it.
        let draws = recipe.draws;
        let generated = pass.as_ref().map_or(0.0, |pass| 2.0 * draws as f64 * pass.flops());
        let encoder = encoder.map(|i| (&i.encoder, &i.weights, i.seed));
        // The encoder sees whole images.
        let whole = compared.is_none_or(|f| f.places == 1);
        let same = whole && encoder == compared.map(|f| (&f.comparator, &f.weights, f.seed));
        match (seen, pass) {
            (Some(seen), Some(pass)) if same => {
                // One pass to the deeper of both layers for the real image.
                let deeper = if seen.layers.len() > pass.layers.len() { seen } else { pass };
                let flops = deeper.flops() + generated;
                self.add("encoder and comparator", false, flops, deeper, draws);
            }
            (seen, pass) => {
                if let Some(seen) = seen {
                    self.add("encoder", false, seen.flops(), seen, 1);
                }
                if let Some(pass) = pass {
                    self.add("comparator", false, pass.flops() + generated, pass, draws);
                }
            }
        }
        Ok(())
    }

    fn cost(self) -> Cost {
        let Self { networks, kept } = self;
        let trained = networks.iter().filter(|network| network.trained);
        Cost {
            flops: networks.iter().map(|network| network.flops).sum(),
            weights: trained.map(|network| network.weights).sum(),
            memory: (2 * FLOAT * kept) as f64,
            networks,
        }
    }
}
