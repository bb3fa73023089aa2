//! Descent in the input of a generator, and pictures of given features.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_eval::EvalError;
use deepsim_eval::features::{Bounds, Features, Origin};
use deepsim_eval::generate::generate;
use deepsim_eval::generator_input::{
    Found, Goal, Optimised, Optimiser, Report, Settings, Start, Term, optimise, write,
};
use deepsim_eval::measure::Model;
use deepsim_nets::{Comparator, ComparatorKind, Inverter, InverterConfig};

/// Features of one picture that the generator takes: CONV2 of images of 16 pixels.
const SHAPE: [usize; 3] = [128, 4, 4];
const SIDE: usize = 16;

type Checked = Result<(), Box<dyn std::error::Error>>;

/// Writes an untrained generator for Exemplar-CNN's CONV2 and opens it.
fn model(folder: &Path) -> Result<Model, EvalError> {
    let config = InverterConfig::new(ComparatorKind::exemplar_cnn(), "CONV2", &SHAPE, SIDE);
    let net = Inverter::new(config, 3, &Device::Cpu)?;
    let path = folder.join("generator.safetensors");
    net.params().save(&path, &net.spec())?;
    Model::to_draw(&path, None, &Device::Cpu)
}

fn comparator() -> Box<dyn Comparator> {
    ComparatorKind::exemplar_cnn().open_shipped(&Device::Cpu).expect("it comes with the project")
}

/// Inputs `(n, ...)`, made of the numbers from `first` on.
fn inputs(n: usize, first: u64) -> Tensor {
    let size = n * SHAPE.iter().product::<usize>();
    let value = |i: u64| (i * 2_654_435_761 % (1 << 32)) as f32 / 4_294_967_296.0 * 4.0 - 1.0;
    let values: Vec<f32> = (first..first + size as u64).map(value).collect();
    Tensor::from_vec(values, [&[n], &SHAPE[..]].concat(), &Device::Cpu).expect("a tensor")
}

/// Features, at two taps, of what the generator draws of known inputs, so that they can be reached.
fn goals(model: &Model, n: usize) -> Result<Vec<Goal>, EvalError> {
    let net = comparator();
    let images = model.decode(&inputs(n, 9))?;
    let terms = [("CONV1", 1.0), ("CONV3", 0.5)].into_iter();
    let term = |(tap, weight)| Term::features(tap, weight, &net.features(&images, tap)?);
    let terms = terms.map(term).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![Goal { net, terms }])
}

fn run(
    model: &Model,
    goals: &[Goal],
    start: &Start,
    settings: &Settings,
) -> Result<Found, EvalError> {
    optimise(model, (&SHAPE, goals), start, settings, &AtomicBool::new(false))
}

fn all(found: &Found) -> Vec<&Optimised> {
    found.pictures.iter().map(|one| one.as_ref().expect("begun")).collect()
}

#[test]
fn both_rules_come_near_to_features_at_several_taps() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let goals = goals(&model, 2)?;
    for optimiser in [Optimiser::Adam, Optimiser::Momentum] {
        let settings = Settings { steps: 40, optimiser, ..Settings::default() };
        let found = run(&model, &goals, &Start::default(), &settings)?;
        assert!(!found.interrupted);
        for one in all(&found) {
            for (before, after) in one.before.iter().zip(&one.after) {
                assert!(*after < 0.5 * before, "{optimiser}: {before} -> {after}");
            }
            let objective = one.after[0] + 0.5 * one.after[1];
            assert!((one.objective - objective).abs() < 1e-9);
        }
        // In other batches the same, from another seed another.
        let [few, alone, other] = [
            Settings { steps: 3, ..settings },
            Settings { steps: 3, batch: 1, ..settings },
            Settings { steps: 3, seed: 1, ..settings },
        ]
        .map(|settings| run(&model, &goals, &Start::default(), &settings));
        let few = few?;
        assert_eq!(alone?, few);
        assert_ne!(other?, few);
    }
    Ok(())
}

#[test]
fn the_best_of_all_restarts_is_kept_and_the_penalty_shrinks_inputs() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let goals = goals(&model, 1)?;
    let once = Settings { steps: 10, ..Settings::default() };
    let start = Start { input: Some(inputs(1, 9)), bounds: None };
    // It starts where the features are reached: nothing is better.
    let found = run(&model, &goals, &start, &Settings { restarts: 3, ..once })?;
    let best = all(&found)[0];
    assert_eq!((best.found_at, &best.input), ((0, 0), &best.start));
    assert!(best.objective < 1e-6, "{}", best.objective);
    // Of eight first inputs of four pictures, some later one is nearer.
    let four = self::goals(&model, 4)?;
    let firsts = Settings { steps: 0, restarts: 8, ..once };
    let best = run(&model, &four, &Start::default(), &firsts)?;
    assert!(all(&best).iter().any(|one| one.found_at.0 > 0), "only the first start was kept");
    let from_noise = run(&model, &goals, &Start::default(), &once)?;
    let of_three = run(&model, &goals, &Start::default(), &Settings { restarts: 3, ..once })?;
    assert!(all(&of_three)[0].objective <= all(&from_noise)[0].objective);
    let square = |found: &Found| all(found)[0].input.iter().map(|v| v * v).sum::<f32>();
    let small = run(&model, &goals, &Start::default(), &Settings { l2: 100.0, ..once })?;
    assert!(
        square(&small) < 0.5 * square(&from_noise),
        "{} {}",
        square(&small),
        square(&from_noise)
    );
    Ok(())
}

#[test]
fn a_unit_becomes_large_and_inputs_stay_in_their_bounds() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    // Two that are on, because a rectified unit that is off has no gradient.
    let features = comparator().features(&model.decode(&inputs(1, 9))?, "CONV1")?;
    let means = features.mean((2, 3))?.squeeze(0)?.to_vec1::<f32>()?;
    let mut units: Vec<usize> = (0..means.len()).collect();
    units.sort_by(|a, b| means[*b].total_cmp(&means[*a]));
    units.truncate(2);
    let units = Term::units("CONV1", 1.0, units)?;
    let goals = [Goal { net: comparator(), terms: vec![units] }];
    let size = SHAPE.iter().product::<usize>();
    let bounds = Bounds { least: vec![-0.5; size], greatest: vec![1.5; size], moments: None };
    let start = Start { input: None, bounds: Some(bounds) };
    let found =
        run(&model, &goals, &start, &Settings { steps: 15, rate: 0.3, ..Settings::default() })?;
    for one in all(&found) {
        assert!(one.after[0] > 1.02 * one.before[0], "{:?} -> {:?}", one.before, one.after);
        assert!(one.input.iter().all(|value| (-0.5..=1.5).contains(value)));
    }
    // Mean and deviation of the statistics are where noise starts.
    let moments = Some((vec![5.0; size], vec![0.1; size]));
    let bounds = Bounds { least: vec![0.0; size], greatest: vec![9.0; size], moments };
    let start = Start { input: None, bounds: Some(bounds) };
    let found = run(&model, &goals, &start, &Settings { steps: 0, ..Settings::default() })?;
    assert!(all(&found)[0].start.iter().all(|value| (*value - 5.0).abs() < 1.0));
    Ok(())
}

#[test]
fn an_interrupted_descent_has_the_best_so_far_and_writes_it() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let goals = goals(&model, 3)?;
    let settings = Settings { batch: 2, ..Settings::default() };
    let found =
        optimise(&model, (&SHAPE, &goals), &Start::default(), &settings, &AtomicBool::new(true))?;
    assert!(found.interrupted);
    assert!(found.pictures[..2].iter().all(Option::is_some) && found.pictures[2].is_none());
    let out = folder.path().join("out");
    let names = ["a", "b", "c"].map(String::from).to_vec();
    write(&model, &goals, &found, &Report { names, ..Report::default() }, &out)?;
    assert!(
        out.join("a.png").is_file() && out.join("b.png").is_file() && !out.join("c.png").exists()
    );
    assert_eq!(Features::read(&out.join("inputs.safetensors"))?.origin.pictures, ["a", "b"]);
    Ok(())
}

#[test]
fn the_inputs_that_are_written_draw_the_same_pictures() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let goals = goals(&model, 2)?;
    let found =
        run(&model, &goals, &Start::default(), &Settings { steps: 3, ..Settings::default() })?;
    let (out, again) = (folder.path().join("out"), folder.path().join("again"));
    let names = vec!["x".to_owned(), "y".to_owned()];
    let report = Report { names, originals: vec![Picture::new(SIDE, SIDE, [9; 3]); 2] };
    let rows = write(&model, &goals, &found, &report, &out)?;
    let of_rows: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    assert_eq!(of_rows[..2], ["exemplar-cnn CONV1 at the start", "exemplar-cnn CONV1 at the end"]);
    let end = rows[1].value.ok_or("a value")?;
    let wanted = all(&found).iter().map(|one| 100.0 * one.after[0].sqrt()).sum::<f64>() / 2.0;
    assert!((end - wanted).abs() < 1e-9 && rows[0].value > rows[1].value);
    let sheet = Picture::read_png(&out.join("sheet.png"))?;
    assert_eq!((sheet.height, sheet.width), (3 * SIDE + 4, 2 * SIDE + 2));
    generate(&model, &Features::read(&out.join("inputs.safetensors"))?, 8, &again)?;
    for name in ["x.png", "y.png"] {
        assert_eq!(std::fs::read(out.join(name))?, std::fs::read(again.join(name))?, "{name}");
    }
    Ok(())
}

#[test]
fn targets_starts_and_settings_that_do_not_fit_are_refused() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let zeros = Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu)?;
    let message = Term::features("CONV1", 1.0, &zeros).expect_err("zeros").to_string();
    assert_eq!(message, "target: expected features of CONV1, found nothing but zeros in picture 0");
    assert!(Term::units("CONV1", -1.0, vec![0]).is_err());
    let settings = Settings { steps: 1, ..Settings::default() };
    let refused = |terms: Vec<Term>, start: &Start, settings: &Settings, words: &str| {
        let goals = [Goal { net: comparator(), terms }];
        let message = run(&model, &goals, start, settings).expect_err(words).to_string();
        assert!(message.contains(words), "{message}");
    };
    let unit = |unit| vec![Term::units("CONV3", 1.0, vec![unit]).expect("a term")];
    let none = Start::default();
    refused(
        unit(256),
        &none,
        &settings,
        "expected a unit below 256 at exemplar-cnn CONV3, found 256",
    );
    let few = Term::features(
        "CONV1",
        1.0,
        &Tensor::ones((1, 5), candle_core::DType::F32, &Device::Cpu)?,
    )?;
    refused(vec![few], &none, &settings, "features at exemplar-cnn CONV1, found 5");
    refused(Vec::new(), &none, &settings, "expected targets of as many pictures, 1 or more");
    let start = Start { input: Some(inputs(3, 0)), bounds: None };
    refused(
        unit(1),
        &start,
        &settings,
        "--start: expected inputs of shape [128, 4, 4], one, or one for each of 1 pictures",
    );
    let bounds = Some(Bounds { least: vec![0.0; 4], greatest: vec![1.0; 4], moments: None });
    refused(unit(1), &Start { input: None, bounds }, &settings, "expected 2048 numbers, found 4");
    refused(
        unit(1),
        &none,
        &Settings { restarts: 0, ..settings },
        "--restarts: expected 1 or more",
    );
    refused(
        unit(1),
        &none,
        &Settings { rate: f64::NAN, ..settings },
        "--rate: expected a number above 0",
    );
    refused(
        unit(1),
        &none,
        &Settings { l2: -1.0, ..settings },
        "--l2: expected a number of at least 0",
    );
    Ok(())
}

#[test]
fn pictures_of_features_are_written_with_the_error_of_their_features() -> Checked {
    let folder = tempfile::tempdir()?;
    let model = model(folder.path())?;
    let given = inputs(3, 5);
    let path = folder.path().join("f.npy");
    // Flat, as from a table of numbers.
    let flat = given.flatten_from(1)?;
    Features::new(Origin::default(), vec![("CONV2".into(), flat.clone())])?.write(&path)?;
    let out = folder.path().join("out");
    let rows = generate(&model, &Features::read(&path)?, 2, &out)?;
    let images = model.decode(&given)?;
    for (index, picture) in Picture::several(&images.to_u8()?, SIDE, SIDE).iter().enumerate() {
        assert_eq!(Picture::read_png(&out.join(format!("{index:04}.png")))?, *picture);
    }
    let found = model.code(&images)?.flatten_from(1)?;
    let norm = |tensor: &Tensor| -> Result<Vec<f32>, candle_core::Error> {
        tensor.sqr()?.sum(1)?.sqrt()?.to_vec1()
    };
    let (apart, length) = (norm(&(found - &flat)?)?, norm(&flat)?);
    let wanted =
        apart.iter().zip(&length).map(|(a, b)| 100.0 * f64::from(a / b)).sum::<f64>() / 3.0;
    let value = rows[0].value.ok_or("a value")?;
    assert!((value - wanted).abs() < 1e-3 * wanted, "{value} {wanted}");
    assert_eq!(rows[0].name, "re-encoded features, exemplar-cnn CONV2");
    let sheet = Picture::read_png(&out.join("sheet.png"))?;
    assert_eq!((sheet.height, sheet.width), (2 * SIDE + 2, 2 * SIDE + 2));

    let wrong = Features::new(Origin::default(), vec![("CONV2".into(), flat.narrow(1, 0, 1000)?)])?;
    let nothing = folder.path().join("nothing");
    let message = generate(&model, &wrong, 2, &nothing).expect_err("a shape").to_string();
    let words = "expected features of shape (n, 128, 4, 4) for CONV2, found (3, 1000)";
    assert!(message.ends_with(words) && !nothing.exists(), "{message}");
    Ok(())
}
