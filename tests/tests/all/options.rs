//! Options of training that the paper does not have, each in a run.

use std::path::Path;

use deepsim_run::log::Record;
use deepsim_run::recipe::Recipe;

use crate::programs::{
    TINY, assert_success, bytes, checkpoint, errors, folder_with_recipe, train, trained_in_halves,
    workspace,
};

/// Steps of a run's log.
fn records(run: &Path) -> Vec<Record> {
    deepsim_run::log::read(&run.join("log.jsonl")).expect("a log")
}

/// `TINY` with every option.
fn with_all() -> String {
    let adversarial = r#"
weight = 0.5
loss = "hinge"
adaptive = true
balance = "off"
after = 1
discriminator = { patch = true }

[validation]
images = 6

[adam]
warm_up = 2
cosine = 8
clip = 50.0
decoupled = true
generator_decay = 1e-4
"#;
    TINY.replace("weight = 100.0", adversarial)
}

#[test]
fn all_options_at_once_are_resumed_to_the_same_bytes() {
    let (_folder, run) = trained_in_halves(&with_all());
    let records = records(&run);
    assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), [1, 2, 3, 4]);

    // The term begins with the second step, and pulls half as hard as the sum of the others, or less where that
    // cancels.
    assert!(!records[0].terms.contains_key("adversarial"));
    for Record { terms, .. } in &records[1..] {
        let own = terms["adversarial"].grad_norm;
        let [feature, image] = ["feature", "image"].map(|term| terms[term].grad_norm);
        assert!(own > 0.0 && own <= 0.5 * (feature + image) * (1.0 + 1e-6), "{own}");
        assert!(own >= 0.5 * (feature - image).abs() * (1.0 - 1e-6), "{own}");
    }
    let weights: Vec<f64> = records[1..].iter().map(|r| r.terms["adversarial"].weight).collect();
    assert!(weights[0] != weights[1] && weights[1] != weights[2], "{weights:?}");

    // Half the rate in the first of two steps of warm-up; then the cosine alone.
    let cosine = |done: f64| 1e-4 * (1.0 + (std::f64::consts::PI * done).cos());
    let rates = [0.5 * cosine(0.0), cosine(0.125), cosine(0.25), cosine(0.375)];
    for (record, rate) in records.iter().zip(rates) {
        assert!((record.lr / rate - 1.0).abs() < 1e-12, "{}: {rate}", record.lr);
    }

    // Held-out images are measured at checkpoints, without the adversarial term.
    let measured = |record: &Record| record.measures.get("validation").copied();
    let validation: Vec<Option<f64>> = records.iter().map(measured).collect();
    assert_eq!(
        validation.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    let others = |r: &Record| r.terms["feature"].weighted + r.terms["image"].weighted;
    let (loss, seen) = (validation[3].expect("measured"), others(&records[3]));
    assert!(loss > 0.2 * seen && loss < 5.0 * seen, "{loss} held out, {seen} in training");

    // Whatever is logged, but a speed, can decide which checkpoints are best.
    for (name, _) in records[3].scalars().iter().filter(|(name, _)| name != "items_per_s") {
        let best = format!("output.keep.best={{measure=\"{name}\",number=1}}");
        Recipe::parse(&with_all(), &[best]).expect("a number of the log");
    }
}

#[test]
fn the_best_by_validation_is_kept() {
    let recipe = TINY.replace("checkpoint_every = 2", "checkpoint_every = 1");
    let folder = folder_with_recipe(&recipe);
    // Steps so large that the loss goes up and down.
    let sets = [
        "--set",
        "steps=6",
        "--set",
        "validation.images=6",
        "--set",
        "adam.learning_rate=0.01",
        "--set",
        "output.keep={last=1,best={measure=\"measure/validation\",number=1}}",
    ];
    assert_success(&train(folder.path(), "run", &sets));
    let run = folder.path().join("run");
    let losses: Vec<f64> = records(&run).iter().map(|r| r.measures["validation"]).collect();
    let best = (0..6).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).expect("six steps") + 1;
    let kept = |step: usize| run.join(format!("checkpoints/step-{step:07}")).exists();
    let found: Vec<usize> = (1..=6).filter(|step| kept(*step)).collect();
    assert!(best < 6, "the last is kept in any case: {losses:?}");
    assert_eq!(found, [best, 6], "{losses:?}");
}

#[test]
fn fine_tuning_takes_what_matches_and_lists_the_rest() {
    let folder = folder_with_recipe(TINY);
    let sets = ["--set", "steps=1"];
    assert_success(&train(folder.path(), "narrow", &sets));
    // The mean of the weights, which is saved, begins with them too.
    let wide = ["generator.code_channels=16", "adam.learning_rate=0", "average=0.5", "init=narrow"];
    let more: Vec<&str> = wide.iter().flat_map(|set| ["--set", set]).chain(sets).collect();
    let strict = train(folder.path(), "strict", &more);
    assert_eq!(strict.status.code(), Some(1));
    assert!(errors(&strict).contains("expected weights of"), "{}", errors(&strict));
    assert!(!folder.path().join("strict").exists());

    let matching =
        train(folder.path(), "wide", &[&more[..], &["--set", "init_matching=true"]].concat());
    assert_success(&matching);
    let said = errors(&matching);
    let told = "narrow: 18 of 21 tensors match; fresh: encoder.c7.weight (expected [16, 64, 3, 3], found [8, 64, 3, 3]), \
                encoder.c7.bias (expected [16], found [8]), decoder.c1.weight";
    assert!(said.contains(told), "{said}");
    let tensor = |run: &str, name: &str| {
        let file = bytes(folder.path(), &format!("{run}/generator.safetensors"));
        let tensors = safetensors::SafeTensors::deserialize(&file).expect("a generator");
        tensors.tensor(name).expect("its weight").data().to_vec()
    };
    for name in ["encoder.c1.weight", "decoder.u3.weight"] {
        assert!(tensor("wide", name) == tensor("narrow", name), "{name}");
    }
    // A file without any of them is refused before anything is written.
    let foreign = workspace().join("data/weights/exemplar-cnn.safetensors");
    let init = format!("init={}", foreign.display());
    let other = train(folder.path(), "none", &["--set", &init, "--set", "init_matching=true"]);
    assert_eq!(other.status.code(), Some(1), "{}", errors(&other));
    assert!(errors(&other).contains("encoder.c1.weight (not there)"), "{}", errors(&other));
    assert!(!folder.path().join("none").exists());
}

#[test]
fn gradients_of_both_networks_are_clipped() {
    let folder = folder_with_recipe(TINY);
    // Penalties are added to gradients after they were clipped.
    let free = ["--set", "adam.discriminator_decay=0"];
    assert_success(&train(folder.path(), "free", &free));
    let clip = ["--set", "adam.clip=1e-3"];
    assert_success(&train(folder.path(), "clipped", &[free, clip].concat()));
    let weights = |run: &str, net: &str| {
        let file = checkpoint(&folder.path().join(run));
        let tensors = safetensors::SafeTensors::deserialize(&file).expect("a checkpoint");
        let of_net = tensors.iter().filter(|(name, _)| name.starts_with(net));
        of_net.flat_map(|(_, view)| view.data().to_vec()).collect::<Vec<u8>>()
    };
    for net in ["generator/", "discriminator/"] {
        assert!(weights("free", net) != weights("clipped", net), "{net}");
    }
    // The mean of clipped gradients is no larger than each, of which some were far larger before.
    let clipped = folder.path().join("clipped");
    let file = checkpoint(&clipped);
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("a checkpoint");
    for net in ["generator", "discriminator"] {
        let large = |record: &Record| record.gradients.get(net).is_some_and(|norm| *norm > 1e-2);
        assert!(records(&clipped).iter().any(large), "{net}");
        let moments =
            tensors.iter().filter(|(name, _)| name.starts_with(&format!("adam/{net}/m/")));
        let values = moments.flat_map(|(_, view)| view.data().as_chunks().0.to_vec());
        let squares = values.map(|bytes| f64::from(f32::from_le_bytes(bytes)).powi(2));
        let norm = squares.sum::<f64>().sqrt();
        assert!(norm > 0.0 && norm <= 1e-3 * (1.0 + 1e-5), "{net}: {norm}");
    }
}

#[test]
fn an_autoencoder_with_a_code_of_maps_trains_and_is_resumed() {
    let recipe = deepsim_run::recipes::text("first-stage").expect("the recipe");
    let small = recipe
        .replace("steps = 100_000", "steps = 4")
        .replace("batch = 16", "batch = 2")
        .replace("after = 1000", "after = 1")
        .replace("crop = 64", "crop = 40");
    let (_folder, run) = trained_in_halves(&small);
    let records = records(&run);
    let last = records.last().expect("four steps");
    assert!(last.terms["divergence"].value > 0.0 && last.terms.contains_key("adversarial"));
}
