//! Measures of a run: what they write, and what they emit on the way.

mod progress;

use std::path::Path;

use candle_core::Device;
use deepsim_data::Dataset;
use deepsim_data::picture::Picture;
use deepsim_eval::EvalError;
use deepsim_eval::invert::{InvertOptions, invert};
use deepsim_eval::measure::{self, AnyMeasure, Context, Measurement, Model, Sampling};
use deepsim_eval::svm::{Examples, Protocol, accuracy_over_folds};
use deepsim_nets::{Autoencoder, AutoencoderConfig};
use deepsim_run::plan::{DataPlan, Plan};
use deepsim_run::recipe::Recipe;
use deepsim_run::{files, recipes};
use progress::{Progress, recorded};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Takes a measure of an untrained autoencoder on five test images.
fn taken(
    measure: &dyn AnyMeasure,
) -> Result<(std::result::Result<Measurement, EvalError>, Vec<Progress>)> {
    let (folder, device) = (tempfile::tempdir()?, Device::Cpu);
    let net = Autoencoder::new(AutoencoderConfig::default(), 3, &device)?;
    net.save(&folder.path().join("generator.safetensors"))?;
    let (dataset, run) = (Dataset::open(None, 0)?, folder.path());
    let sampling = Sampling { test_images: Some(5), batch: 2, ..Sampling::default() };
    let model = Model::open(run, None, &device)?;
    let context = Context::new(&model, run, &dataset, None, &sampling, &device);
    let (found, emitted) = recorded(|| measure::evaluate(measure, &context));
    let found = match found {
        Ok((found, path)) => {
            let read: Measurement = serde_json::from_slice(&std::fs::read(path)?)?;
            assert_eq!((&read.measure, &read.rows), (&found.measure, &found.rows));
            Ok(found)
        }
        Err(error) => Err(error),
    };
    Ok((found, emitted))
}

/// Writes the plan of a run of crops of `crop` pixels.
fn write_plan(run: &Path, crop: usize) -> Result<()> {
    let text = recipes::text("autoencoder-se").ok_or("no such recipe")?;
    let recipe = Recipe::parse(text, &[format!("crop={crop}"), "resize=136".into()])?;
    let (name, synthetic, images) = ("scenes".into(), true, 9);
    let data = DataPlan { name, synthetic, images, content: None, test: None };
    let plan = Plan { data, encoder: None, comparator: None, scale: Vec::new(), recipe };
    Ok(std::fs::write(run.join(files::PLAN), plan.to_toml()?)?)
}

#[test]
fn images_have_the_size_that_the_run_was_trained_with() -> Result<()> {
    let (folder, device) = (tempfile::tempdir()?, Device::Cpu);
    let run = folder.path();
    let net = Autoencoder::new(AutoencoderConfig::default(), 3, &device)?;
    net.save(&run.join(files::GENERATOR))?;
    let dataset = Dataset::open(None, 0)?.sized(136);
    let sampling = Sampling { test_images: Some(2), ..Sampling::default() };
    let photo = Picture::new(150, 200, [90, 120, 60]);
    // Without a plan, the paper's crops.
    for (crop, side) in [(None, 64), (Some(128), 128), (Some(40), 40)] {
        crop.map_or(Ok(()), |crop| write_plan(run, crop))?;
        let model = Model::open(run, None, &device)?;
        assert_eq!(model.side(), side);
        let context = Context::new(&model, run, &dataset, None, &sampling, &device);
        measure::evaluate(&measure::grid::Grid { images: vec![0, 1] }, &context)?;
        let grid = Picture::read_png(&run.join("eval/originals.png"))?;
        assert_eq!((grid.height, grid.width), (side, 2 * side));
        let options =
            InvertOptions { weights: None, side: None, random_weights: false, device: &device };
        let inverted = invert(&photo, run, &options)?;
        for picture in [&inverted.original, &inverted.reconstruction] {
            assert_eq!((picture.height, picture.width), (side, side));
        }
    }
    Ok(())
}

#[test]
fn long_operations_are_spans_with_a_total_and_random_weights_a_warning() -> Result<()> {
    let spaces = vec!["alexnet:CONV3".parse()?];
    let (found, mut emitted) = taken(&measure::error::Error { spaces })?;
    assert_eq!(found?.rows.len(), 2);
    // The loader's own, for traces.
    emitted.retain(|span| !["data wait", "DEBUG"].contains(&&*span.what));
    let names: Vec<&str> = emitted.iter().map(|span| &*span.what).collect();
    let space = "alexnet CONV3 feature space, random weights";
    assert_eq!(names, ["reconstructing", "image space", "WARN", space]);
    for span in emitted.iter().filter(|span| span.what != "WARN") {
        assert_eq!((span.total, &*span.done), (Some(5), &[2, 4, 5][..]), "{}", span.what);
    }
    let warning = "alexnet: no weights found; random weights (seed 0) are used";
    assert_eq!(emitted[2].message, warning);
    Ok(())
}

#[test]
fn machines_are_counted_once_each_in_any_order() -> Result<()> {
    let rows: Vec<f32> = (0..80).map(|i| (i % 4) as f32 + (i * 7 % 5) as f32 / 10.0).collect();
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let examples = Examples::new(&rows, 2, &labels)?;
    let folds: Vec<Vec<usize>> = (0..4).map(|f| (f * 10..f * 10 + 10).collect()).collect();
    let protocol = Protocol { draws: 3, ..Protocol::default() };
    let (found, emitted) =
        recorded(|| accuracy_over_folds("stripes", examples, examples, &folds, &protocol));
    assert_eq!(found?.folds.len(), 4);
    let mut done = emitted[0].done.clone();
    done.sort_unstable();
    assert_eq!((&*emitted[0].what, emitted[0].total), ("SVMs on stripes", Some(7)));
    assert_eq!((emitted.len(), done), (1, (1..=7).collect()));
    Ok(())
}

#[test]
fn lists_of_images_that_are_too_short_are_refused_before_anything_is_drawn() -> Result<()> {
    for (name, least) in [("grid", 1), ("neighbours", 1), ("interpolate", 2)] {
        let measure = measure::by_name(name)?.with(&[("images", "")])?;
        let message = taken(&*measure)?.0.err().map(|error| error.to_string());
        let wanted = format!("{name}: expected at least {least} of the option `images`, found 0");
        assert!(message.as_ref().is_some_and(|found| found.starts_with(&wanted)), "{message:?}");
    }
    let none = measure::by_name("svm")?.with(&[("inputs", "")])?;
    let message = taken(&*none)?.0.err().map(|error| error.to_string());
    assert_eq!(message.as_deref(), Some("svm: no value is defined: nothing was asked for"));
    Ok(())
}

#[test]
fn pictures_are_drawn_of_the_images_that_are_asked_for() -> Result<()> {
    let (found, _) = taken(&measure::grid::Grid { images: vec![4, 7] })?;
    let row = &found?.rows[0];
    assert_eq!(row.value, Some(2.0));
    assert!(row.note.ends_with("centre crops of test images 4, 7"), "{}", row.note);
    Ok(())
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &std::path::Path) -> Result<Vec<(std::path::PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(sources(&path)?),
            false => found.push((path.clone(), std::fs::read_to_string(&path)?)),
        }
    }
    Ok(found)
}

#[test]
fn metrics_import_nothing_that_knows_a_run() -> Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics");
    let sources = sources(&folder)?;
    assert!(sources.len() > 10, "only {} files", sources.len());
    let allowed = ["arrays", "comparators", "metrics", "EvalError"];
    for (path, text) in sources {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let used = allowed.iter().any(|name| used.starts_with(name));
                assert!(used, "{}: {line}", path.display());
            }
            assert!(!line.contains("deepsim_run"), "{}: {line}", path.display());
        }
    }
    Ok(())
}
