//! Accuracy of linear SVMs on the autoencoder's code (paper v1, Table 4).
//!
//! The paper does not say whether the code is that of the whole 96x96 image (12 x 12 x 8 = 1,152
//! numbers) or of a 64x64 crop (512): both are reported, the first as the row of Table 4. A machine
//! on pixels shows what the code is worth; pixels are averaged over 4x4 blocks (24 x 24 x 3 = 1,728
//! numbers), about as many as the code has.

use deepsim_data::{Crop, Labelled};

use super::context::Context;
use super::{Measure, Row};
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::pixels::block_means;
pub use crate::svm::SvmInput;
use crate::svm::{Examples, Protocol, accuracy_over_folds};

/// Linear SVMs on the code.
#[derive(Clone, Copy, Debug)]
pub struct Svm;

impl Measure for Svm {
    fn name(&self) -> &'static str {
        "svm"
    }

    fn about(&self) -> &'static str {
        "accuracy of linear SVMs on the code (paper Table 4)"
    }

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        context.settings.svm_inputs.iter().map(|&input| row(context, input)).collect()
    }
}

fn row(context: &Context<'_>, input: SvmInput) -> Result<Row, EvalError> {
    let dataset = context.dataset;
    let name = input.name();
    let train = features(context, input, &dataset.train, dataset.train.images.len())?;
    let test = features(context, input, &dataset.test, context.test_len())?;
    let (n, tests) = (dataset.train.images.len(), context.test_len());
    let dimensions = train.len().checked_div(n).unwrap_or(0);
    let labels =
        |labelled: &Labelled, n: usize| labelled.labels[..n.min(labelled.labels.len())].to_vec();
    let (train_labels, test_labels) = (labels(&dataset.train, n), labels(&dataset.test, tests));
    let train = Examples::new(&train, dimensions, &train_labels)?;
    let test = Examples::new(&test, dimensions, &test_labels)?;

    let settings = context.settings;
    let mut protocol =
        Protocol { draws: settings.svm_draws, seed: settings.seed, ..Protocol::default() };
    protocol.solver.seed = settings.seed;
    let found = accuracy_over_folds(name, train, test, &dataset.folds, &protocol)?;
    let note = format!(
        "{dimensions} numbers divided by {:.4}; {} folds of {} images, tested on {tests}; C = {:.5} \
         of {} draws ({:.1} % outside fold 1); spread over folds{}",
        found.scale,
        found.folds.len(),
        dataset.folds.first().map_or(0, Vec::len),
        found.c,
        settings.svm_draws,
        found.validation,
        if found.converged { "" } else { "; NOT all machines converged" },
    );
    Ok(Row::new(name, found.mean, "%", note).with_spread(found.spread))
}

fn features(
    context: &Context<'_>,
    input: SvmInput,
    labelled: &Labelled,
    n: usize,
) -> Result<Vec<f32>, EvalError> {
    let crop = match input {
        SvmInput::CenterCode => Crop::Center(context.settings.crop),
        SvmInput::Code | SvmInput::Pixels => Crop::Full,
    };
    let what = format!("features: {}", input.name());
    let mut features = Vec::new();
    context.batches(&what, &*labelled.images, n, crop, |batch, images| {
        match input {
            SvmInput::Pixels => {
                features.extend(block_means(&batch.pixels, batch.height, batch.width))
            }
            _ => features.extend(numbers(&context.model.code(images)?)?),
        }
        Ok(())
    })?;
    Ok(features)
}
