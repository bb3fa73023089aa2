//! Training with a number that is not finite: it names the number, undoes the step, and keeps what
//! is needed to repeat it. Also the other commands of training.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use candle_core::{Device, Tensor};
use deepsim_loss::terms::FeatureTerm;
use deepsim_nets::comparator::WeightsOrigin;
use deepsim_nets::{Comparator, ComparatorKind, Images, NetError, Params, PixelFormat};
use deepsim_run::recipe::Recipe;
use deepsim_train::TrainError;
use deepsim_train::error::Quantity;
use deepsim_train::step::frozen::FrozenNetworks;
use deepsim_train::trainer::Trainer;

use crate::programs::{
    TINY, assert_success, bytes, checkpoint, deepsim, errors, folder_with_recipe, newest, train,
};

/// A comparator whose features are not numbers while a flag is set.
struct Poisoned {
    inner: Box<dyn Comparator>,
    flag: Arc<AtomicBool>,
}

impl Comparator for Poisoned {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn format(&self) -> PixelFormat {
        self.inner.format()
    }

    fn taps(&self) -> Vec<String> {
        self.inner.taps()
    }

    fn origin(&self) -> &WeightsOrigin {
        self.inner.origin()
    }

    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
        let features = self.inner.features_at(images, taps)?;
        match self.flag.load(Ordering::Relaxed) {
            true => features.iter().map(|f| Ok((f * f64::NAN)?)).collect(),
            false => Ok(features),
        }
    }
}

/// A trainer with all terms, and the switch of its comparator.
fn trainer(sets: &[&str]) -> Result<(Trainer, Arc<AtomicBool>)> {
    let recipe = TINY.replace("rho = 2.0", "weight = 0.01");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let recipe = Recipe::parse(&recipe, &sets)?;
    let flag = Arc::new(AtomicBool::new(false));
    let inner = ComparatorKind::alexnet().open_to("CONV2", None, 0, &Device::Cpu)?;
    let comparator = Arc::new(Poisoned { inner, flag: flag.clone() });
    let weight = recipe.feature.as_ref().and_then(|f| f.weight).unwrap_or_default();
    let feature = FeatureTerm { comparator, tap: "CONV2".into(), weight, places: 1 };
    Ok((
        Trainer::new(
            &recipe,
            FrozenNetworks { feature: Some(feature), ..FrozenNetworks::default() },
            &Device::Cpu,
        )?,
        flag,
    ))
}

fn batch(n: usize, seed: usize) -> Result<Images> {
    let pixels: Vec<u8> =
        (0..n * 3 * 40 * 40).map(|i| ((i + seed * 977) * (i / 7 + 3) % 251) as u8).collect();
    Ok(Images::from_u8(&pixels, n, 40, 40, PixelFormat::CAFFE_BGR, &Device::Cpu)?)
}

/// Returns everything that a step changes.
fn state(trainer: &Trainer) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::new();
    let mut add = |params: &Params| -> Result<()> {
        for (_, var) in params.iter() {
            all.push(var.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    };
    add(trainer.generator().params())?;
    let adversary = trainer.adversary().expect("the recipe has a discriminator");
    add(adversary.net.params())?;
    for adam in [trainer.generator_adam(), &adversary.adam] {
        all.extend(adam.moments().iter().flat_map(|m| [m.first().to_vec(), m.second().to_vec()]));
        all.push(vec![adam.updates() as f32]);
    }
    Ok(all)
}

fn not_finite(
    result: Result<deepsim_train::trainer::StepReport, TrainError>,
) -> (String, Quantity) {
    match result {
        Err(TrainError::NonFinite(found)) => (found.term.to_owned(), found.quantity),
        other => panic!("expected something that is not finite, found {other:?}"),
    }
}

#[test]
fn each_term_is_caught_with_its_name_and_nothing_is_changed() -> Result<()> {
    use Quantity::{Gradient, Loss, ParameterGradient};
    let set_all = |params: &Params, value: f64| -> Result<()> {
        params.iter().try_for_each(|(_, var)| Ok(var.set(&(var.ones_like()? * value)?)?))
    };
    /// Settings of the recipe, the broken item, the expected name, and the quantity.
    type Case = (&'static [&'static str], &'static str, &'static str, Quantity);
    let cases: [Case; 8] = [
        (&[], "batch", "discriminator's real", Loss),
        (&[], "discriminator", "discriminator's real", Loss),
        (&[], "generator", "discriminator's generated", Loss),
        (&[], "comparator", "feature", Loss),
        (&["adversarial.weight=1e45"], "", "adversarial", Gradient),
        (&["feature.weight=1e45"], "", "feature", Gradient),
        (&["image.weight=1e45"], "", "image", Gradient),
        (&["image.weight=1e35"], "", "generator", ParameterGradient),
    ];
    for (sets, broken, term, quantity) in cases {
        let (mut trainer, poison) = trainer(sets)?;
        let mut images = batch(2, 1)?;
        match broken {
            "batch" => images = images.with_tensor((images.tensor() * f64::NAN)?)?,
            "generator" => set_all(trainer.generator().params(), f64::NAN)?,
            "discriminator" => {
                set_all(trainer.adversary().expect("one").net.params(), f64::NAN)?;
            }
            "comparator" => poison.store(true, Ordering::Relaxed),
            _ => {}
        }
        let before = state(&trainer)?;
        let found = not_finite(trainer.step(&images));
        assert_eq!(found, (term.to_owned(), quantity), "{sets:?} {broken}");
        let bits = |all: Vec<Vec<f32>>| -> Vec<Vec<u32>> {
            all.iter().map(|x| x.iter().map(|x| x.to_bits()).collect()).collect()
        };
        assert!(bits(before) == bits(state(&trainer)?), "{sets:?} {broken}: something was changed");
        assert_eq!(trainer.steps(), 0);
    }
    Ok(())
}

#[test]
fn a_step_that_was_undone_can_be_made_as_if_it_had_never_failed() -> Result<()> {
    let ((mut failing, poison), (mut other, _)) = (trainer(&[])?, trainer(&[])?);
    for step in 0..3 {
        let images = batch(2, step)?;
        poison.store(true, Ordering::Relaxed);
        assert_eq!(not_finite(failing.step(&images)).0, "feature");
        poison.store(false, Ordering::Relaxed);
        assert_eq!(failing.step(&images)?, other.step(&images)?);
    }
    assert!(state(&failing)? == state(&other)?);
    Ok(())
}

#[test]
fn gradients_of_parts_add_up_to_those_of_the_batch() -> Result<()> {
    // Each pass through the discriminator draws its own masks, so without dropout.
    let dropout = "adversarial.discriminator.dropout=0.0";
    let (mut whole, _) = trainer(&["batch=4", dropout])?;
    let (mut parts, _) = trainer(&["batch=4", dropout, "micro_batch=2"])?;
    let images = batch(4, 1)?;
    let (a, b) = (whole.step(&images)?, parts.step(&images)?);
    let near = |a: f64, b: f64, what: &str| {
        assert!((a - b).abs() <= 1e-4 * a.abs(), "{what}: {a} and {b}");
    };
    for (a, b) in a.terms.iter().zip(&b.terms) {
        near(a.value, b.value, a.name);
        near(a.grad_norm, b.grad_norm, a.name);
    }
    for ((net, a), (_, b)) in a.gradients.iter().zip(&b.gradients) {
        near(*a, *b, net);
    }
    let (a, b) = (a.adversary.expect("one"), b.adversary.expect("one"));
    near(a.ratio, b.ratio, "ratio");
    near(a.accuracy, b.accuracy, "accuracy");
    let message = Recipe::parse(TINY, &["micro_batch=3".into()]).expect_err("3 of 2").to_string();
    assert!(message.contains("micro_batch: expected a divisor of the batch of 2"), "{message}");
    Ok(())
}

#[test]
fn the_running_mean_is_saved_as_the_generator_and_resumes() -> Result<()> {
    let (mut averaging, _) = trainer(&["average=0.5"])?;
    let weights = |params: &Params| -> Result<Vec<f32>> {
        Ok(params.iter().last().expect("a weight").1.flatten_all()?.to_vec1::<f32>()?)
    };
    let mut mean = weights(averaging.generator().params())?;
    for step in 0..3 {
        averaging.step(&batch(2, step)?)?;
        let now = weights(averaging.generator().params())?;
        mean.iter_mut().zip(now).for_each(|(mean, x)| *mean = 0.5 * *mean + 0.5 * x);
        let got = weights(averaging.product().params())?;
        let far = got.iter().zip(&mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-6, "{far}");
    }
    let folder = folder_with_recipe(TINY);
    let set = ["--set", "average=0.9"];
    assert_success(&train(folder.path(), "whole", &set));
    assert_success(&train(folder.path(), "cut", &["--set", "average=0.9", "--set", "steps=3"]));
    assert_success(&train(folder.path(), "cut", &["--set", "average=0.9", "--resume"]));
    let [whole, cut] = ["whole", "cut"].map(|out| folder.path().join(out));
    assert!(checkpoint(&whole) == checkpoint(&cut));
    assert_success(&train(folder.path(), "plain", &[]));
    let generator = |out: &Path| bytes(out, "generator.safetensors");
    assert!(generator(&whole) == generator(&cut));
    assert!(generator(&whole) != generator(&folder.path().join("plain")));
    Ok(())
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(deepsim());
    command.current_dir(folder).args(arguments).output().expect("deepsim runs")
}

fn output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_failure_is_replayed_from_what_the_run_kept() {
    let folder = folder_with_recipe(TINY);
    let stopped = train(folder.path(), "run", &["--set", "adam.learning_rate=1e30"]);
    assert_eq!(stopped.status.code(), Some(4), "{}", errors(&stopped));
    let said = errors(&stopped);
    let (_, kept) = said.split_once("deepsim replay ").expect("how to replay it");
    assert!(said.contains("batch: [") && kept.trim() == "run/failures/step-0000001", "{said}");
    let message = |text: &str| {
        let start = text.find("error: step").unwrap_or_else(|| panic!("{text}"));
        text[start..].lines().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let again = command(folder.path(), &["replay", kept.trim()]);
    assert_eq!(again.status.code(), Some(4), "{}", errors(&again));
    assert_eq!(message(&errors(&again)), message(&said), "the same step, term, value and batch");
    // A folder of another kind is named in the error.
    let other = command(folder.path(), &["replay", "run"]);
    assert_eq!(other.status.code(), Some(1), "{}", errors(&other));
    assert!(errors(&other).contains("run/batch.safetensors"), "{}", errors(&other));
}

#[test]
fn runs_are_compared_number_by_number() {
    let folder = folder_with_recipe(TINY);
    for (out, set) in [("a", "seed=0"), ("b", "seed=0"), ("c", "image.weight=3e-5")] {
        assert_success(&train(folder.path(), out, &["--set", set, "--set", "steps=2"]));
    }
    let same = command(folder.path(), &["diff-runs", "a", "b"]);
    assert_eq!(same.status.code(), Some(0), "{}", output(&same));
    assert!(output(&same).ends_with("identical\n"), "{}", output(&same));
    let other = command(folder.path(), &["diff-runs", "a", "c"]);
    assert_eq!(other.status.code(), Some(5), "{}", output(&other));
    for words in [
        "plan: - weight = 0.000025",
        "plan: + weight = 0.00003",
        "first difference: step 1, terms/feature/grad_norm: ",
        "different checkpoints at step 2: checkpoint.safetensors, generator.safetensors",
        "relative difference of the weights: ",
    ] {
        assert!(output(&other).contains(words), "no `{words}` in {}", output(&other));
    }
    let missing = command(folder.path(), &["diff-runs", "a", "nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("nowhere/log.jsonl"), "{}", errors(&missing));
}

#[test]
fn a_plan_is_checked_and_measured_and_nothing_is_written() {
    let folder = folder_with_recipe(TINY);
    let plan = command(folder.path(), &["plan", "recipe.toml", "--measure", "1"]);
    assert_success(&plan);
    let text = output(&plan);
    for words in ["name = \"tiny\"", "# generator: ", "# discriminator: ", " GFLOP", "# 4 steps: "]
    {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
    // The output is the plan, with costs as comments.
    assert!(text.parse::<toml::Table>().is_ok_and(|plan| plan.contains_key("recipe")), "{text}");
    let json = ["plan", "recipe.toml", "--json", "--measure", "0"];
    let json = command(folder.path(), &json);
    assert_success(&json);
    let told: serde_json::Value = serde_json::from_str(&output(&json)).expect("one JSON object");
    assert_eq!((&told["name"], &told["measured"]), (&"tiny".into(), &serde_json::Value::Null));
    assert!(told["cost"]["flops"].as_f64() > Some(1e6), "{told}");
    assert_eq!(told["cost"]["networks"][0]["layers"][0]["name"], "encoder.c1");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
    let typo = command(folder.path(), &["plan", "recipe.toml", "--set", "adam.beta_1=0.5"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(errors(&typo).contains("did you mean `beta1`?"), "{}", errors(&typo));
}

#[test]
fn old_checkpoints_are_kept_as_the_recipe_says() {
    let folder = folder_with_recipe(TINY);
    let sets =
        ["steps=6", "output.checkpoint_every=1", "output.keep.last=1", "output.keep.every=2"];
    let best = "output.keep.best={ measure = \"value/image\", number = 1 }";
    let sets: Vec<&str> = sets.iter().chain([&best]).flat_map(|set| ["--set", set]).collect();
    assert_success(&train(folder.path(), "run", &sets));
    let run = folder.path().join("run");
    let kept = std::fs::read_dir(run.join("checkpoints")).expect("checkpoints").count();
    assert!((3..=4).contains(&kept), "2, 4, 6, and the best: {kept}");
    assert!(newest(&run, "generator.safetensors").ends_with("step-0000006/generator.safetensors"));
    // Each is a run for the evaluation.
    let eval = Command::new(deepsim())
        .current_dir(folder.path())
        .args(["eval", "sharpness", "--run", "run/checkpoints/step-0000002"])
        .output();
    assert_success(&eval.expect("deepsim runs"));
}
