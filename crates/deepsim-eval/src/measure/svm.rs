//! Accuracy of linear SVMs on the autoencoder's code (paper v1, Table 4).
//!
//! The paper does not say whether the code is that of the whole 96x96 image (12 x 12 x 8 = 1,152
//! numbers) or of a 64x64 crop as in training (512): both are reported, the first as the row of Table 4. A machine
//! on pixels shows what the code is worth; pixels are averaged over 4x4 blocks (24 x 24 x 3 = 1,728
//! numbers), about as many as the code has.

use deepsim_data::{Crop, Labelled};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::{Measure, Opt, Row};
use crate::EvalError;
use crate::arrays::numbers;
use crate::metrics::pixels::block_means;
pub use crate::svm::SvmInput;
use crate::svm::{Examples, Protocol, accuracy_over_folds, check_labels};

/// Linear SVMs on the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Svm {
    /// Number of values of C that the protocol tries.
    pub draws: usize,
    /// Numbers that SVMs are trained on, a row each.
    pub inputs: Vec<SvmInput>,
}

impl Default for Svm {
    fn default() -> Self {
        Self { draws: 50, inputs: SvmInput::ALL.into() }
    }
}

impl Measure for Svm {
    const NAME: &'static str = "svm";
    const ABOUT: &'static str = "accuracy of linear SVMs on the code (paper Table 4)";
    const OPTIONS: &'static [Opt] = &[
        Opt { key: "draws", value: "N", about: "values of C that the SVM protocol tries" },
        Opt {
            key: "inputs",
            value: "INPUT",
            about: "inputs of the SVMs: code, center-code, pixels",
        },
    ];

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        self.inputs.iter().map(|&input| self.row(context, input)).collect()
    }
}

impl Svm {
    fn row(&self, context: &Context<'_>, input: SvmInput) -> Result<Row, EvalError> {
        let dataset = context.dataset;
        check_labels(Self::NAME, dataset)?;
        let name = input.name();
        let train = features(context, input, &dataset.train, dataset.train.images.len())?;
        let test = features(context, input, &dataset.test, context.test_len())?;
        let (n, tests) = (dataset.train.images.len(), context.test_len());
        let dimensions = train.len().checked_div(n).unwrap_or(0);
        let labels = |labelled: &Labelled, n: usize| {
            labelled.labels[..n.min(labelled.labels.len())].to_vec()
        };
        let (train_labels, test_labels) = (labels(&dataset.train, n), labels(&dataset.test, tests));
        let train = Examples::new(&train, dimensions, &train_labels)?;
        let test = Examples::new(&test, dimensions, &test_labels)?;

        let seed = context.sampling.seed;
        let mut protocol = Protocol { draws: self.draws, seed, ..Protocol::default() };
        protocol.solver.seed = seed;
        let found = accuracy_over_folds(name, train, test, &dataset.folds, &protocol)?;
        let note = format!(
            "{}{} folds of {} images, tested on {tests}; {dimensions} numbers divided by {:.4}; C = {:.5} \
         of {} draws ({:.1} % outside fold 1); spread over folds",
            if found.converged { "" } else { "NOT all machines converged, " },
            found.folds.len(),
            dataset.folds.first().map_or(0, Vec::len),
            found.scale,
            found.c,
            self.draws,
            found.validation,
        );
        Ok(Row::new(name, found.mean, "%", note).with_spread(found.spread))
    }
}

fn features(
    context: &Context<'_>,
    input: SvmInput,
    labelled: &Labelled,
    n: usize,
) -> Result<Vec<f32>, EvalError> {
    let crop = match input {
        SvmInput::CenterCode => Crop::Center(context.side()),
        SvmInput::Code | SvmInput::Pixels => Crop::Full,
    };
    let what = format!("features: {}", input.name());
    let mut features = Vec::new();
    context.batches(&what, &labelled.images, n, crop, |batch, images| {
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
