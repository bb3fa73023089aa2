//! `deepsim eval`: measures of a trained generator.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_eval::EvalError;
use deepsim_eval::measure::{self, AnyMeasure, Context, Kind, Model, Sampling};
use deepsim_run::plan::{AnyPlan, DataPlan};

use super::data_options::Data;
use super::locate;
use super::measure_options::{self, MeasureOptions};
use super::place::Place;
use super::show;

/// Measure a trained generator on test images
#[derive(Args)]
#[command(long_about = long_about())]
pub(crate) struct Arguments {
    /// Measures to take; --help lists them
    #[arg(value_name = "MEASURE")]
    measures: Vec<String>,
    /// Folder of the run, with generator.safetensors
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
    /// Only the first so many test images [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seed of everything that is drawn, and of the data where they are drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    options: MeasureOptions,
    #[command(flatten)]
    place: Place,
}

/// The help, with a line for each measure and for each of its options.
fn long_about() -> String {
    format!(
        "Measure a trained generator on test images\n\n\
         `deepsim eval error svm sharpness grid --run RUN` measures the generator of a run folder and writes \
         RUN/eval/MEASURE.json. Measures, with the options that --set takes:\n{}",
        measure_options::help()
    )
}

impl Arguments {
    fn sampling(&self) -> Sampling {
        Sampling { test_images: self.limit, seed: self.seed, ..Sampling::default() }
    }

    /// The measures that are asked for, with their options.
    pub(crate) fn measures(&self) -> Result<Vec<Box<dyn AnyMeasure>>> {
        let kinds = self.measures.iter().map(|name| measure::by_name(name));
        let kinds: Vec<&Kind> = kinds.collect::<Result<_, EvalError>>()?;
        self.options.check(&kinds)?;
        kinds.into_iter().map(|kind| Ok(self.options.measure(kind)?)).collect()
    }
}

/// Measures, and prints each file that was written with its numbers.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    measure_all(arguments).map_err(|error| arguments.data.explain(error))
}

fn measure_all(arguments: &Arguments) -> Result<()> {
    let unknown = |what, known: &str| EvalError::Unknown {
        what,
        known: known.into(),
        got: "none (see --help)".into(),
    };
    let Some(run) = &arguments.run else { return Err(unknown("run", "--run DIR").into()) };
    if arguments.measures.is_empty() {
        let known: Vec<&str> = measure::all().iter().map(Kind::name).collect();
        return Err(unknown("measure", &known.join(", ")).into());
    }
    let measures = arguments.measures()?;
    let (device, weights) = arguments.place.open()?;

    let mut dataset = arguments.data.options()?.open(arguments.seed)?;
    let weights = weights.as_deref();
    let model = Model::open(locate::run(run)?, weights, &device)?;
    if let Some(AnyPlan::Generator(plan)) = AnyPlan::read(run).ok().flatten() {
        let DataPlan { name, images, content, .. } = &plan.data;
        if content.as_ref().is_some_and(|content| *content != dataset.unlabeled.content()) {
            tracing::warn!(
                "{}: trained on {name} ({images} pictures), measured on {}: other data, or another share held out, so that \
                 pictures of the training may be measured; name the run's own by --data",
                run.display(),
                dataset.description
            );
        }
    }
    if let Some(side) = model.resize {
        dataset = dataset.sized(side);
    }
    let sampling = arguments.sampling();
    let context = Context::new(&model, run, &dataset, weights, &sampling, &device);
    for measure in &measures {
        let (measurement, path) = measure::evaluate(&**measure, &context)?;
        println!("{} ({:.1} s)", path.display(), measurement.seconds);
        show::brief(&measurement.rows);
    }
    println!("whole notes are in these files; docs/measures.md says what the numbers mean");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        Line::try_parse_from([&["eval"], words].concat()).expect("arguments").arguments
    }

    fn options(words: &[&str]) -> Vec<Value> {
        let measures = arguments(words).measures().expect("options");
        measures.iter().map(|m| Value::Object(m.options().expect("JSON"))).collect()
    }

    #[test]
    fn without_flags_the_options_are_the_defaults_and_flags_change_them() {
        let plain = arguments(&["error"]);
        assert_eq!(plain.sampling(), Sampling::default());
        for kind in measure::all() {
            let defaults = Value::Object(kind.defaults().expect("defaults"));
            assert_eq!(options(&[kind.name()]), [defaults]);
        }
        let changed = arguments(&["error", "--limit", "3", "--seed", "7"]);
        assert_eq!(
            changed.sampling(),
            Sampling { test_images: Some(3), seed: 7, ..plain.sampling() }
        );
        let flags = ["--svm-draws", "4", "--svm-input", "pixels", "--svm-input", "code"];
        let spaces = ["--space", "alexnet:CONV2", "--train-limit", "9"];
        let all = [&["error", "samples", "svm", "neighbours"], &flags[..], &spaces[..]].concat();
        let space = json!({"spaces": ["alexnet:CONV2"]});
        let images: Vec<usize> = (0..12).collect();
        assert_eq!(
            options(&all),
            [
                space.clone(),
                space,
                json!({"draws": 4, "inputs": ["pixels", "code"]}),
                json!({"images": images, "train_images": 9}),
            ]
        );
    }

    #[test]
    fn any_option_of_a_measure_that_is_taken_can_be_set() {
        let set = ["grid", "svm", "--set", "grid.images=4,7", "--set", "svm.draws=6"];
        let inputs = json!(["code", "center-code", "pixels"]);
        let wanted = [json!({"images": [4, 7]}), json!({"draws": 6, "inputs": inputs})];
        assert_eq!(options(&set), wanted);
        for (words, message) in [
            (
                &["grid", "--set", "grid.images"][..],
                "--set: expected MEASURE.KEY=VALUE, found grid.images",
            ),
            (&["grid", "--set", "grids.images=1"], "unknown measure `grids`"),
            (
                &["grid", "--set", "grid.image=1"],
                "grid.image: expected an option of grid (images; nearest: images)",
            ),
            (
                &["grid", "--set", "svm.draws=1"],
                "--set svm.draws: expected an option of a measure that is taken (grid)",
            ),
            (
                &["grid", "--svm-draws", "few"],
                "svm.draws: expected a whole number of at least 0, found few",
            ),
        ] {
            let error = arguments(words).measures().err().expect(message);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(super::super::exit::code(&error), super::super::exit::USAGE, "{error}");
        }
    }
}
