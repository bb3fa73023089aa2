//! `deepsim eval`: measures of a trained generator.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use deepsim_data::Dataset;
use deepsim_eval::EvalError;
use deepsim_eval::measure::svm::SvmInput;
use deepsim_eval::measure::{self, Context, Measure, Model, Settings, Space};

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
    /// Folder with STL-10 in its binary format or ILSVRC-2012 [default: built-in procedural scenes]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave out unlabeled and training images that are also test images (docs/data.md)
    #[arg(long, requires = "data")]
    without_duplicates: bool,
    /// Only the first so many test images [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only the first so many training images, where the nearest are looked for [default: all]
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// Values of C that the SVM protocol tries
    #[arg(long, value_name = "N", default_value_t = 50)]
    svm_draws: usize,
    /// Input of the SVMs: code, center-code, pixels; may be repeated [default: all]
    #[arg(long, value_name = "INPUT")]
    svm_input: Vec<SvmInput>,
    /// Feature space of the error, e.g. alexnet:CONV3; may be repeated [default: those with weights]
    #[arg(long, value_name = "NET:TAP")]
    space: Vec<Space>,
    /// Seed of the procedural scenes and of everything that is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    place: Place,
}

/// The help, with one line for each measure.
fn long_about() -> String {
    let all = measure::all();
    let width = all.iter().map(|measure| measure.name().len()).max().unwrap_or(0);
    let line =
        |measure: &&dyn Measure| format!("\n  {:width$}  {}", measure.name(), measure.about());
    format!(
        "Measure a trained generator on test images\n\n\
         `deepsim eval error svm sharpness grid --run RUN` measures the generator of a run folder and writes \
         RUN/eval/MEASURE.json:{}",
        all.iter().map(line).collect::<String>()
    )
}

impl Arguments {
    fn settings(&self) -> Settings {
        let svm_inputs = match &self.svm_input[..] {
            [] => SvmInput::ALL.to_vec(),
            chosen => chosen.to_vec(),
        };
        Settings {
            svm_inputs,
            test_images: self.limit,
            train_images: self.train_limit,
            spaces: Some(self.space.clone()).filter(|spaces| !spaces.is_empty()),
            svm_draws: self.svm_draws,
            seed: self.seed,
            ..Settings::default()
        }
    }
}

/// Measures, and prints each file that was written with its numbers.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let unknown = |what, known: &str| EvalError::Unknown {
        what,
        known: known.into(),
        got: "nothing (see --help)".into(),
    };
    let Some(run) = &arguments.run else { return Err(unknown("run", "--run DIR").into()) };
    if arguments.measures.is_empty() {
        let known = measure::all().map(Measure::name).join(", ");
        return Err(unknown("measure", &known).into());
    }
    let measures = arguments.measures.iter().map(|name| measure::by_name(name));
    let measures: Vec<&dyn Measure> = measures.collect::<Result<_, EvalError>>()?;
    let (device, weights) = arguments.place.open()?;

    let mut dataset = Dataset::open(arguments.data.as_deref(), arguments.seed)?;
    if arguments.without_duplicates {
        dataset = dataset.without_duplicates()?.0;
    }
    let unread = dataset.test.images.unread();
    if !unread.is_empty() {
        eprintln!("warning: {unread}");
    }
    let weights = weights.as_deref();
    let model = Model::open(run, weights, &device)?;
    if let Some(side) = model.resize {
        dataset = dataset.sized(side);
    }
    let settings = arguments.settings();
    let context = Context::new(&model, run, &dataset, weights, &settings, &device);
    for measure in measures {
        let (measurement, path) = measure::evaluate(measure, &context)?;
        println!("{} ({:.1} s)", path.display(), measurement.seconds);
        show::rows(&measurement.rows);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn without_flags_the_settings_are_the_defaults_and_flags_change_them() {
        let settings = |words: &[&str]| {
            let line = Line::try_parse_from([&["eval", "error"], words].concat());
            line.map(|line| line.arguments.settings()).expect("arguments")
        };
        assert_eq!(settings(&[]), Settings::default());
        let changed = settings(&["--limit", "3", "--space", "alexnet:CONV2", "--seed", "7"]);
        let spaces = Some(vec!["alexnet:CONV2".parse().expect("a space")]);
        let expected = Settings { test_images: Some(3), spaces, seed: 7, ..Settings::default() };
        assert_eq!(changed, expected);
    }
}
