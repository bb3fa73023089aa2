//! Every key of a recipe with its default, for users.

/// A key of recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name, with dots between tables, as `--set` takes it.
    pub name: &'static str,
    /// Value where the recipe has none, as TOML; empty if the key may be left out, [`REQUIRED`] if it may not.
    pub default: &'static str,
    /// One sentence.
    pub about: &'static str,
}

/// Default of a key that a recipe, or its table, must have.
pub const REQUIRED: &str = "required";

/// Makes the rows of a table.
const fn rows<const N: usize>(rows: [(&'static str, &'static str, &'static str); N]) -> [Key; N] {
    let mut keys = [Key { name: "", default: "", about: "" }; N];
    let mut at = 0;
    while at < N {
        let (name, default, about) = rows[at];
        keys[at] = Key { name, default, about };
        at += 1;
    }
    keys
}

/// Keys of a recipe that trains a generator.
pub const GENERATOR: &[Key] = &rows([
    ("name", REQUIRED, "name of the run, for logs and reports"),
    ("seed", "0", "seed of initial weights, order of images, crops and dropout"),
    ("steps", REQUIRED, "number of steps"),
    ("batch", REQUIRED, "images in a step"),
    ("draws", "", "images generated from each of them, with noise of their own; 1 without it"),
    ("crop", REQUIRED, "side of the training crops in pixels, a multiple of 8 for an autoencoder"),
    (
        "resize",
        "",
        "side that images are brought to before they are cropped; 96 for your own pictures without it",
    ),
    ("transform", "", "list of transforms of training pictures (docs/data.md)"),
    ("init", "", "run folder or generator file whose weights the generator begins with"),
    (
        "init_matching",
        "",
        "true takes of init the weights that match by name and shape, and lists the others",
    ),
    (
        "interpolate",
        "",
        "true begins with a last up-convolution that interpolates, without a grid of period two; weights of init replace it",
    ),
    (
        "micro_batch",
        "",
        "images that are computed together, a divisor of the batch; less memory, more time",
    ),
    (
        "average",
        "",
        "decay of a running mean of the generator's weights, e.g. 0.999, which is then saved",
    ),
    (
        "validation.images",
        "256",
        "if [validation] is given: training images that are held out, to measure the loss before each checkpoint",
    ),
    ("precision", "\"f32\"", "precision of convolutions on a GPU: f32, tf32 or bf16"),
    ("generator.code_channels", "8", "channels of an autoencoder's code"),
    ("generator.slope", "0.3", "slope of an autoencoder's leaky ReLU for negative inputs"),
    (
        "image.distance",
        REQUIRED,
        "image term: squared-error, absolute-error, or energy-score for several draws",
    ),
    ("image.weight", REQUIRED, "weight of the image term; 0 leaves it out"),
    (
        "feature.comparator",
        REQUIRED,
        "feature term: network that compares, e.g. exemplar-cnn (docs/comparators.md)",
    ),
    ("feature.tap", REQUIRED, "layer whose features are compared, e.g. CONV3"),
    ("feature.weight", "", "weight of the feature term; either this or rho"),
    (
        "feature.rho",
        "",
        "chooses the weight: size of the feature term beside squared errors, calibrated on the first images",
    ),
    ("feature.weights", "", "file of the comparator's weights, or random"),
    ("feature.seed", "0", "seed of a comparator's random weights"),
    (
        "feature.places",
        "",
        "places along each axis at which images are cut out and compared, one in each step, e.g. 4",
    ),
    ("adversarial.weight", "100.0", "weight of the adversarial term"),
    (
        "adversarial.balance",
        "\"code\"",
        "rule that pauses the discriminator or the generator: code, paper or off",
    ),
    ("adversarial.loss", "", "losses of both networks: cross-entropy, or hinge with balance off"),
    (
        "adversarial.adaptive",
        "",
        "true multiplies the weight by the gradient of the other terms over that of this one",
    ),
    ("adversarial.after", "", "steps without the adversarial term, at the beginning"),
    (
        "adversarial.discriminator.dropout",
        "0.5",
        "dropout before each fully connected layer of the discriminator",
    ),
    ("adversarial.discriminator.slope", "0.0", "slope of its activations for negative inputs"),
    (
        "adversarial.discriminator.stride",
        "2",
        "stride of its first convolution: 2 for images of 64 pixels, 4 for 227",
    ),
    (
        "adversarial.discriminator.conditional",
        "false",
        "give it the inverted features too; needs [inversion]",
    ),
    (
        "adversarial.discriminator.patch",
        "",
        "true judges patches of 35 pixels, each by itself, without dropout",
    ),
    (
        "terms.total_variation.weight",
        REQUIRED,
        "penalty on differences of neighbouring pixels, not of the paper",
    ),
    (
        "terms.mode_seeking.weight",
        REQUIRED,
        "reward for the first two draws of an input that differ, not of the paper; needs at least 2 draws",
    ),
    ("inversion.encoder", REQUIRED, "invert the features of this network, e.g. alexnet"),
    ("inversion.tap", REQUIRED, "layer whose features are inverted, e.g. FC6"),
    ("inversion.weights", "", "file of the encoder's weights, or random"),
    ("inversion.seed", "0", "seed of the encoder's random weights"),
    (
        "inversion.plain",
        "false",
        "leave out the 3x3 convolutions between up-convolutions, as in 2015",
    ),
    ("inversion.small", "", "true takes the small network, for machines without a GPU"),
    ("inversion.noise", "0", "channels of noise that the generator gets beside the features"),
    ("inversion.global_noise", "", "numbers of noise beside them, the same at all positions"),
    (
        "inversion.stage_noise",
        "",
        "channels of noise before each up-convolution of the small network",
    ),
    (
        "inversion.scaled",
        "",
        "true divides channels of features by their size, so that noise is as large as they are",
    ),
    (
        "vae.encoder",
        "\"caffenet\"",
        "variational autoencoder: its encoder, alexnet, caffenet, autoencoder, or convolutional for a code of maps",
    ),
    ("vae.latent", "4096", "numbers in a code; channels of its maps for the encoder convolutional"),
    ("vae.weights", "", "file of the weights that the encoder begins with"),
    ("vae.from_scratch", "false", "begin with random weights of the encoder"),
    ("vae.divergence.weight", "20.0", "weight of the divergence from the prior"),
    ("vae.divergence.warm_up", "0", "steps over which that weight grows from 0"),
    ("adam.learning_rate", "2e-4", "learning rate at the beginning"),
    ("adam.beta1", "0.9", "decay of the first moment"),
    ("adam.beta2", "0.999", "decay of the second moment"),
    ("adam.epsilon", "1e-8", "added to the root of the second moment"),
    (
        "adam.milestones",
        "[300000, 500000, 700000, 900000, 1100000]",
        "updates after which the learning rate is multiplied by factor",
    ),
    ("adam.factor", "0.5", "factor at each milestone"),
    ("adam.generator_decay", "0.0", "L2 penalty of the generator's weights"),
    ("adam.discriminator_decay", "4e-4", "L2 penalty of the discriminator's weights"),
    ("adam.warm_up", "", "updates over which the learning rate grows from 0"),
    (
        "adam.cosine",
        "",
        "updates over which the rate falls to 0 along half a cosine, not by milestones",
    ),
    ("adam.clip", "", "largest norm of a network's gradient; larger ones are scaled down to it"),
    ("adam.decoupled", "", "true applies penalties to weights and not to gradients, as AdamW does"),
    OUTPUT[0],
    OUTPUT[1],
    OUTPUT[2],
    OUTPUT[3],
    OUTPUT[4],
    OUTPUT[5],
    OUTPUT[6],
    OUTPUT[7],
    OUTPUT[8],
]);

/// Keys of a recipe that trains a comparator.
pub const COMPARATOR: &[Key] = &rows([
    ("name", REQUIRED, "name of the run, for logs and reports"),
    ("seed", "0", "seed of initial weights, samples, their order and dropout"),
    ("steps", REQUIRED, "number of updates"),
    ("batch", REQUIRED, "samples in an update: patches, or pairs"),
    ("precision", "\"f32\"", "precision of convolutions on a GPU: f32, tf32 or bf16"),
    (
        "comparator.exemplar-cnn.classes.number",
        REQUIRED,
        "surrogate classes, each from another image",
    ),
    ("comparator.exemplar-cnn.classes.deformations", "150", "deformations drawn for each class"),
    ("comparator.exemplar-cnn.classes.first", "1", "classes in the first steps"),
    ("comparator.exemplar-cnn.classes.first_steps", "0", "steps with these few classes"),
    ("comparator.instances.network", REQUIRED, "network that learns to tell pictures apart"),
    ("comparator.instances.tap", REQUIRED, "layer whose features tell them apart"),
    ("comparator.instances.pictures", REQUIRED, "pictures, each of which is a class"),
    ("comparator.instances.first", REQUIRED, "pictures in the first steps"),
    ("comparator.instances.first_steps", "0", "steps with these few pictures"),
    (
        "comparator.instances.transforms",
        REQUIRED,
        "list of changes that leave a picture's class as it is",
    ),
    ("comparator.videonet.pairs.from", REQUIRED, "source of pairs: tracks of videos, or stills"),
    ("comparator.videonet.pairs.side", "227", "side in pixels that images are resized to"),
    ("comparator.videonet.pairs.crop", "224", "side of the random crops"),
    ("comparator.videonet.pairs.per_picture", "10", "pairs from each still image"),
    ("comparator.videonet.mining.negatives", "4", "negatives of each pair"),
    ("comparator.videonet.mining.hard", "2", "negatives that are drawn from the hardest"),
    (
        "comparator.videonet.mining.margin",
        "1.0",
        "margin by which a positive should be closer than a negative",
    ),
    ("sgd.schedule", REQUIRED, "list of learning rates, each as { from = UPDATES, rate = RATE }"),
    ("sgd.momentum", "0.9", "share of the last update that is repeated"),
    ("sgd.weight_decay", REQUIRED, "L2 penalty of the weights"),
    OUTPUT[0],
    OUTPUT[1],
    OUTPUT[2],
    OUTPUT[3],
    OUTPUT[4],
    OUTPUT[5],
    OUTPUT[6],
    OUTPUT[7],
    OUTPUT[8],
]);

/// Keys of both kinds.
const OUTPUT: [(&str, &str, &str); 9] = [
    ("output.log_every", "10", "steps between two lines of the log"),
    ("output.grid_every", "1000", "steps between two grids of images"),
    ("output.checkpoint_every", "1000", "steps between two checkpoints"),
    (
        "output.on_failed_write",
        "\"stop\"",
        "what a full disk does: stop, or continue with a warning",
    ),
    ("output.keep.last", "2", "newest checkpoints that are kept"),
    ("output.keep.every", "0", "interval of steps whose checkpoints are kept; 0 for none"),
    (
        "output.keep.best.measure",
        REQUIRED,
        "keep the best checkpoints by this number of the log, e.g. value/image",
    ),
    ("output.keep.best.number", REQUIRED, "number of best checkpoints"),
    ("output.keep.best.highest", "false", "the best has the highest number, not the lowest"),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use toml::{Table, Value};

    use super::*;
    use crate::RunError;
    use crate::difference;
    use crate::recipe::tests::BASE;
    use crate::recipe::{ComparatorRecipe, Recipe};

    /// Tables that the names of keys are in, the recipe itself included.
    fn tables(keys: &[Key]) -> BTreeSet<&'static str> {
        let dots = |name: &'static str| name.match_indices('.').map(move |(at, _)| &name[..at]);
        keys.iter().flat_map(|key| dots(key.name)).chain([""]).collect()
    }

    /// Error of an override.
    type Refusal<'a> = &'a dyn Fn(String) -> RunError;

    /// Names that a table takes, as the error of a wrong one lists them.
    fn taken(error: &RunError) -> Vec<String> {
        let text = error.to_string();
        let (_, list) = text.split_once("`zzz`, expected").unwrap_or_else(|| panic!("{text}"));
        let list = list.lines().next().unwrap_or_default();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_listed_and_no_other() {
        let generator = |set: String| Recipe::parse("", &[set]).expect_err("a wrong key");
        let comparator =
            |set: String| ComparatorRecipe::parse("", &[set]).expect_err("a wrong key");
        let refused: [(&[Key], Refusal<'_>); 2] =
            [(GENERATOR, &generator), (COMPARATOR, &comparator)];
        for (keys, refused) in refused {
            let mut listed: BTreeSet<String> = keys.iter().map(|key| key.name.into()).collect();
            assert_eq!(listed.len(), keys.len(), "a key is listed twice");
            listed.extend(tables(keys).iter().map(|table| (*table).to_owned()));
            let mut known = BTreeSet::from([String::new()]);
            for table in tables(keys) {
                let name = |key: &str| {
                    if table.is_empty() { key.into() } else { format!("{table}.{key}") }
                };
                known.extend(
                    taken(&refused(format!("{}=1", name("zzz")))).iter().map(|key| name(key)),
                );
            }
            assert_eq!(listed, known);
        }
    }

    #[test]
    fn defaults_are_those_of_recipes() -> Result<(), RunError> {
        let generator = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
            difference::keys(&Recipe::parse(BASE, &sets)?)
        };
        let best = ["output.keep.best.measure=value/image", "output.keep.best.number=1"];
        let feature = ["feature.comparator=alexnet", "feature.tap=CONV3", "feature.weight=1"];
        let inversion = ["inversion.encoder=alexnet", "inversion.tap=FC6", "crop=227"];
        let mut found = generator(
            &[&best[..], &feature, &["adversarial.balance=code", "validation.images=256"]].concat(),
        )?;
        found.extend(generator(&["vae.latent=4096", "crop=227"])?);
        found.extend(generator(&inversion)?);
        same(GENERATOR, &found);

        let comparator = |sets: &[&str]| {
            let base = [
                "name=x",
                "steps=1",
                "batch=30",
                "sgd.schedule=[{from=0,rate=0.1}]",
                "sgd.weight_decay=0.0",
            ];
            let all = [&base[..], &best, sets].concat();
            let sets: Vec<String> = all.iter().map(|set| (*set).to_owned()).collect();
            difference::keys(&ComparatorRecipe::parse("", &sets)?)
        };
        let mut found = comparator(&["comparator.exemplar-cnn.classes.number=5"])?;
        found.extend(comparator(&[
            "comparator.instances.network=alexnet-instance",
            "comparator.instances.tap=relu5",
            "comparator.instances.pictures=3",
            "comparator.instances.first=1",
            "comparator.instances.transforms=[{random_crop={side=64}}]",
        ])?);
        found.extend(comparator(&["comparator.videonet.pairs.from=stills"])?);
        same(COMPARATOR, &found);
        Ok(())
    }

    fn same(keys: &[Key], found: &BTreeMap<String, Value>) {
        for key in keys.iter().filter(|key| !["", REQUIRED].contains(&key.default)) {
            let default: Table = format!("value = {}", key.default).parse().expect(key.name);
            assert_eq!(found.get(key.name), default.get("value"), "{}", key.name);
        }
    }
}
