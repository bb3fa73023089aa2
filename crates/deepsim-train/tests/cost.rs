//! The count from tables of layers against the operations and weights of real steps.

use candle_core::Device;
use deepsim_data::{Batch, Cursor, Rectangle, Sample};
use deepsim_nets::random::stream;
use deepsim_nets::{Images, LayerKind, PixelFormat};
use deepsim_run::cost::Cost;
use deepsim_run::recipe::Recipe;
use deepsim_run::recipes;
use deepsim_train::comparator::surrogate::SurrogateLearner;
use deepsim_train::comparator::videonet::VideoLearner;
use deepsim_train::comparator::{ComparatorRecipe, Learned, Learner};
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::Trainer;
use rand_core::Rng;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn text(name: &str) -> Result<&'static str> {
    Ok(recipes::text(name).ok_or("a built-in recipe")?)
}

fn recipe(name: &str, sets: &[&str]) -> Result<Recipe> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Ok(Recipe::parse(text(name)?, &sets)?)
}

fn comparator(name: &str) -> Result<ComparatorRecipe> {
    Ok(ComparatorRecipe::parse(text(name)?, &[])?)
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream(0, "images", 0).fill_bytes(&mut bytes);
    bytes
}

/// FLOPs per sample of a step, and the numbers of weights of the networks that it trains.
fn measured(recipe: &Recipe) -> Result<(f64, Vec<usize>)> {
    let mut recipe = recipe.clone();
    if let Some(feature) = &mut recipe.feature {
        // Calibration would run the comparator too.
        (feature.weight, feature.rho) = (Some(0.01), None);
    }
    let (n, side, device) = (recipe.batch, recipe.crop, Device::Cpu);
    let mut trainer =
        Trainer::new(&recipe, FrozenNetworks::open(&recipe, None, &device)?, &device)?;
    let pixels = noise(n * 3 * side * side);
    let images = Images::from_u8(&pixels, n, side, side, PixelFormat::CAFFE_BGR, &device)?;
    let before = deepsim_ops::flops();
    trainer.step(&images)?;
    let operations = deepsim_ops::flops() - before;
    let generator = trainer.generator().params().count();
    let discriminator = trainer.adversary().map(|adversary| adversary.net.params().count());
    Ok((operations as f64 / n as f64, [generator].into_iter().chain(discriminator).collect()))
}

fn learned(recipe: &ComparatorRecipe, n: usize) -> Result<(f64, Vec<usize>)> {
    let (seed, sgd, device) = (recipe.seed, &recipe.sgd, Device::Cpu);
    let (mut learner, height, width): (Box<dyn Learner>, _, _) = match &recipe.comparator {
        Learned::ExemplarCnn(task) => {
            let classes = task.classes.number;
            (Box::new(SurrogateLearner::exemplar_cnn(classes, seed, sgd, &device)?), 32, 32)
        }
        Learned::Instances(task) => {
            let side = task.side()?;
            (Box::new(SurrogateLearner::instances(task, seed, sgd, &device)?), side, side)
        }
        Learned::VideoNet(task) => {
            let side = task.pairs.side;
            let learner = VideoLearner::new(task.mining, task.pairs.crop, seed, sgd, &device)?;
            (Box::new(learner), 2 * side, side)
        }
    };
    let part = Rectangle { top: 0, left: 0, height, width };
    let sample = |index| Sample { index, label: Some(index as u32), part, mirrored: false };
    let samples = (0..n).map(sample).collect();
    let (pixels, next) = (noise(n * 3 * height * width), Cursor::default());
    let batch = Batch { pixels, n, height, width, samples, skipped: Vec::new(), next };
    let before = deepsim_ops::flops();
    learner.step(&batch, &mut |_, _, _| Ok(()))?;
    let operations = deepsim_ops::flops() - before;
    Ok((operations as f64 / n as f64, vec![learner.params().count()]))
}

fn compare(name: &str, cost: &Cost, (flops, weights): (f64, Vec<usize>)) {
    let ratio = cost.flops / flops;
    // A comparator in RGB reorders channels by a convolution of 1x1, which is not of its table.
    assert!((ratio - 1.0).abs() < 1e-4, "{name}: counted {:e}, measured {flops:e}", cost.flops);
    let trained = cost.networks.iter().filter(|network| network.trained);
    assert_eq!(trained.map(|network| network.weights).collect::<Vec<_>>(), weights, "{name}");
    assert_eq!(cost.weights, weights.iter().sum::<usize>(), "{name}");
}

// One test: what is counted is of the whole process.
#[test]
fn counted_costs_are_those_of_real_steps() -> Result<()> {
    let two = "batch=2";
    for (name, sets) in [
        ("autoencoder-se", &[two][..]),
        ("autoencoder-alexnet-conv3", &[two]),
        ("autoencoder-alexnet-conv3", &["batch=4", "micro_batch=2"]),
        ("autoencoder-exemplar-cnn-conv3", &[two]),
        ("autoencoder-alexnet-conv3", &[two, "feature.comparator=squeezenet", "feature.tap=FIRE9"]),
        ("vae-small-alexnet-conv3", &[two]),
        ("vae-alexnet-conv5", &["batch=1", "vae.latent=64"]),
        ("autoencoder-alexnet-conv3", &[two, "feature.places=4"]),
        ("inversion-conv5", &["batch=1"]),
        ("inversion-conv5", &["batch=1", "feature.places=4"]),
        ("inversion-conv5", &["batch=1", "feature.comparator=videonet", "inversion.noise=8"]),
        ("inversion-conv5", &["batch=1", "inversion.tap=CONV2", "inversion.plain=false"]),
        ("inversion-small", &["batch=2", "adversarial.after=0"]),
        ("preimages", &["batch=2", "adversarial.after=0"]),
        ("preimages", &["batch=2", "adversarial.after=0", "feature.places=4", "draws=3"]),
        ("inversion-fc6-plain", &["batch=1", "inversion.encoder=alexnet-stand-in"]),
    ] {
        let recipe = recipe(name, sets)?;
        compare(&format!("{name} {sets:?}"), &Cost::of(&recipe)?, measured(&recipe)?);
    }
    for name in ["exemplar-cnn-small", "alexnet-instance", "videonet-stills"] {
        let recipe = comparator(name)?;
        compare(name, &Cost::of_comparator(&recipe)?, learned(&recipe, 2)?);
    }
    Ok(())
}

/// MiB by which the program grows for each sample of a step (docs/training.md).
const MEASURED: [(&str, f64); 11] = [
    ("autoencoder-se", 2.4),
    ("autoencoder-alexnet-conv3", 4.5),
    ("autoencoder-exemplar-cnn-conv3", 9.3),
    ("vae-small-se", 2.7),
    ("vae-small-alexnet-conv3", 4.7),
    ("vae-alexnet-conv5", 38.0),
    ("inversion-conv5", 31.0),
    ("inversion-fc6", 32.0),
    ("inversion-fc6-image", 20.0),
    ("exemplar-cnn-small", 1.2),
    ("videonet-stills", 27.0),
];

#[test]
fn memory_is_within_a_factor_of_one_and_a_half_of_what_was_measured() -> Result<()> {
    for (name, mib) in MEASURED {
        let cost = match ComparatorRecipe::recognises(text(name)?) {
            true => Cost::of_comparator(&comparator(name)?)?,
            false => Cost::of(&recipe(name, &[])?)?,
        };
        let counted = cost.memory / f64::from(1 << 20);
        let ratio = mib / counted;
        assert!((1.0 / 1.5..1.5).contains(&ratio), "{name}: {mib} MiB, counted {counted:.2}");
    }
    Ok(())
}

#[test]
fn counted_costs_are_those_that_were_counted_by_hand() -> Result<()> {
    let cost = Cost::of(&recipe("autoencoder-alexnet-conv3", &[])?)?;
    let [generator, comparator, discriminator] = &cost.networks[..] else { panic!("{cost:?}") };
    let names = [generator, comparator, discriminator].map(|net| (net.name, net.trained));
    assert_eq!(names, [("generator", true), ("comparator", false), ("discriminator", true)]);
    assert_eq!((generator.flops / 1e6).round(), 633.0);
    // 29x29 positions of 7x7x3 taps to 32 channels, and so on; fully connected layers last. Forward three times,
    // both gradients of two images, for the update without those at the images; then one at the image.
    let forward = [
        2 * 841 * 49 * 3 * 32,
        2 * 625 * 25 * 32 * 64,
        2 * 144 * 9 * 64 * 128,
        2 * 100 * 9 * 128 * 256,
        2 * 16 * 9 * 256 * 256,
        2 * 256 * 512,
        2 * 512 * 2,
    ];
    let sum: f64 = forward.map(f64::from).iter().sum();
    assert_eq!(discriminator.flops, 8.0 * sum - 2.0 * f64::from(forward[0]));
    let forward = [2 * 196 * 121 * 3 * 96, 2 * 49 * 25 * 48 * 256, 2 * 9 * 9 * 256 * 384];
    let sum: f64 = forward.map(f64::from).iter().sum();
    assert_eq!(comparator.flops, 3.0 * sum);
    Ok(())
}

#[test]
fn weights_are_as_many_as_the_papers() -> Result<()> {
    let weights = |name: &str, network: &str| -> Result<Option<usize>> {
        let networks = Cost::of(&recipe(name, &[])?)?.networks;
        Ok(networks.iter().find(|net| net.name == network).map(|net| net.weights))
    };
    let trunk = 1_015_104;
    assert_eq!(weights("autoencoder-alexnet-conv3", "discriminator")?, Some(trunk + 132_610));
    assert_eq!(weights("inversion-conv5", "encoder and comparator")?, Some(2_334_080));
    assert_eq!(weights("inversion-fc6", "generator")?, Some(56_096_256));
    assert_eq!(weights("inversion-fc8", "generator")?, Some(43_415_040));
    assert_eq!(weights("inversion-fc6", "discriminator")?, Some(trunk + 5_114_882));
    assert_eq!(weights("inversion-fc6-image", "discriminator")?, None);
    // AlexNet's convolutions, two heads, and the generator that inverts FC6.
    let heads = 2 * (9216 + 1) * 4096;
    assert_eq!(weights("vae-alexnet-conv5", "generator")?, Some(2_334_080 + heads + 56_096_256));
    Ok(())
}

#[test]
fn benchmarks_find_every_convolution() -> Result<()> {
    let convolutions = |cost: &Cost, name: &str| {
        let network = cost.networks.iter().find(|network| network.name == name).expect(name);
        network.layers.iter().filter(|layer| layer.kind != LayerKind::Linear).count()
    };
    let step = Cost::of(&recipe("autoencoder-alexnet-conv3", &["feature.tap=CONV5"])?)?;
    let counts = ["generator", "comparator", "discriminator"].map(|name| convolutions(&step, name));
    assert_eq!(counts, [14, 5, 5]);
    assert_eq!(convolutions(&Cost::of(&recipe("inversion-fc6", &[])?)?, "generator"), 9);
    Ok(())
}

#[test]
fn comparators_cost_what_reproductions_assume() -> Result<()> {
    for (name, gflop) in [("exemplar-cnn", 0.75), ("videonet", 8.2)] {
        let ratio = Cost::of_comparator(&comparator(name)?)?.flops / 1e9 / gflop;
        assert!((ratio - 1.0).abs() < 0.02, "{name}: {ratio}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let mut recipe = recipe("autoencoder-alexnet-conv3", &[])?;
    recipe.crop = 8;
    let message = Cost::of(&recipe).expect_err("too small").to_string();
    assert_eq!(message, "alexnet CONV3: expected sides of at least 23 pixels, found 8");
    recipe.crop = 20;
    let message = Cost::of(&recipe).expect_err("no multiple").to_string();
    assert!(message.contains("multiples of 8") && message.contains("20 x 20"), "{message}");
    Ok(())
}
