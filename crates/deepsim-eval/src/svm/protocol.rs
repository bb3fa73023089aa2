//! The fold protocol of Exemplar-CNN on STL-10, adopted for Table 4.
//!
//! 1. All features are divided by one number, the 99.99th percentile of their magnitudes over the
//!    training images ("one scaling per layer").
//! 2. `C` is drawn log-uniformly from [2e-4, 2e-1], 50 times. Each is trained on fold 1 and judged
//!    on the training images outside it; the best is kept (the smallest of equals).
//! 3. With that `C` one machine per fold is trained and tested on the whole test set. Reported are
//!    the mean and the population standard deviation over folds.

use deepsim_data::Dataset;
use std::sync::atomic::{AtomicU64, Ordering};

use deepsim_nets::random::stream;
use rand_core::Rng;
use rayon::prelude::*;
use tracing::field::Empty;
use tracing::info_span;

use super::solver::{Examples, LinearSvm, SvmConfig};
use crate::EvalError;
use crate::metrics::statistics::{mean_and_spread, percentile_of_magnitudes};

/// Numbers of the protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    /// Number of values of `C` that are tried.
    pub draws: usize,
    /// Smallest and largest `C`.
    pub c_range: (f64, f64),
    /// Percentile of the features' magnitudes that they are divided by.
    pub percentile: f64,
    /// Bias, tolerance and passes of the solver; its `c` is not used.
    pub solver: SvmConfig,
    /// Seed of the draws of `C`.
    pub seed: u64,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            draws: 50,
            c_range: (2e-4, 2e-1),
            percentile: 99.99,
            solver: SvmConfig { tolerance: 0.01, ..SvmConfig::default() },
            seed: 0,
        }
    }
}

/// Result of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldAccuracy {
    /// Test accuracy of each fold's machine in percent.
    pub folds: Vec<f64>,
    /// Mean of the accuracies.
    pub mean: f64,
    /// Population standard deviation of the accuracies.
    pub spread: f64,
    /// The `C` that was selected.
    pub c: f64,
    /// Accuracy in percent by which it was selected.
    pub validation: f64,
    /// Number that features were divided by.
    pub scale: f64,
    /// True if every machine of step 3 converged.
    pub converged: bool,
}

impl Protocol {
    /// The values of `C` that are tried, ascending.
    pub fn candidates(&self) -> Vec<f64> {
        let (low, high) = (self.c_range.0.ln(), self.c_range.1.ln());
        let mut rng = stream(self.seed, "svm C", 0);
        let mut draw = || {
            let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            (low + uniform * (high - low)).exp()
        };
        let mut candidates: Vec<f64> = (0..self.draws).map(|_| draw()).collect();
        candidates.sort_unstable_by(f64::total_cmp);
        candidates
    }
}

/// Refuses a data set without labels, or without folds to train on.
///
/// # Errors
/// With the name of the measure and what the data lack.
pub fn check_labels(measure: &'static str, dataset: &Dataset) -> Result<(), EvalError> {
    let (train, test) = (dataset.train.labels.is_empty(), dataset.test.labels.is_empty());
    let found = match (train, test, dataset.folds.is_empty()) {
        (true, ..) => "training pictures without labels",
        (_, true, _) => "test pictures without labels",
        (.., true) => "no folds",
        _ => return Ok(()),
    };
    let wanted = "labelled training and test pictures in folds: STL-10, scenes, or class folders of 50 pictures or more";
    Err(EvalError::input(measure, wanted, format!("{found}: {}", dataset.name)))
}

/// Runs the protocol on numbers called `name`, in a span that counts the machines trained. `folds` holds
/// indices into `train`.
///
/// # Errors
/// If there is no fold, a fold's index is out of range, no training image is outside fold 1, no
/// `C` is to be drawn, or training is impossible (see [`LinearSvm::train`]).
pub fn accuracy_over_folds(
    name: &str,
    train: Examples<'_>,
    test: Examples<'_>,
    folds: &[Vec<usize>],
    protocol: &Protocol,
) -> Result<FoldAccuracy, EvalError> {
    let others = check(train, test, folds, protocol)?;
    let scale = match percentile_of_magnitudes(train.rows, protocol.percentile) {
        scale if scale > 0.0 => scale,
        _ => 1.0,
    };
    let subset = |indices: &[usize]| Subset::gather(train, indices, scale);
    let test = Subset::gather(test, &(0..test.len()).collect::<Vec<_>>(), scale);

    let done = AtomicU64::new(0);
    let (what, total) = (format!("SVMs on {name}"), (protocol.draws + folds.len()) as u64);
    let span = info_span!("training SVMs", what, total, done = Empty);
    let finished = || {
        span.record("done", done.fetch_add(1, Ordering::Relaxed) + 1);
    };

    let (first, others) = (subset(&folds[0]), subset(&others));
    let judged: Vec<(f64, f64)> = protocol
        .candidates()
        .into_par_iter()
        .map(|c| {
            let svm = LinearSvm::train(first.examples(), &SvmConfig { c, ..protocol.solver })?;
            let accuracy = svm.accuracy(others.examples());
            finished();
            Ok((c, accuracy))
        })
        .collect::<Result<_, EvalError>>()?;
    let mut best = judged[0];
    for candidate in judged {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    let (c, validation) = best;

    let machines: Vec<(f64, bool)> = folds
        .par_iter()
        .map(|fold| {
            let fold = subset(fold);
            let svm = LinearSvm::train(fold.examples(), &SvmConfig { c, ..protocol.solver })?;
            let accuracy = svm.accuracy(test.examples());
            finished();
            Ok((accuracy, svm.converged()))
        })
        .collect::<Result<_, EvalError>>()?;
    let accuracies: Vec<f64> = machines.iter().map(|(accuracy, _)| *accuracy).collect();
    let (mean, spread) = mean_and_spread(&accuracies);
    let converged = machines.iter().all(|(_, converged)| *converged);
    Ok(FoldAccuracy { folds: accuracies, mean, spread, c, validation, scale, converged })
}

/// Indices of training images outside fold 1.
fn check(
    train: Examples<'_>,
    test: Examples<'_>,
    folds: &[Vec<usize>],
    protocol: &Protocol,
) -> Result<Vec<usize>, EvalError> {
    let refused = |wanted: String, got: String| Err(EvalError::input("SVM protocol", wanted, got));
    let Some(first) = folds.first() else {
        return refused("at least one fold".into(), "none".into());
    };
    if let Some(&index) = folds.iter().flatten().find(|&&index| index >= train.len()) {
        return refused(format!("fold indices below {}", train.len()), index.to_string());
    }
    if train.dimensions != test.dimensions || test.is_empty() {
        let wanted = format!("test images of {} numbers", train.dimensions);
        return refused(wanted, format!("{} of {}", test.len(), test.dimensions));
    }
    if protocol.draws == 0 {
        return refused("at least one draw of C".into(), "0".into());
    }
    let mut outside = vec![true; train.len()];
    first.iter().for_each(|&index| outside[index] = false);
    let others: Vec<usize> = (0..train.len()).filter(|&index| outside[index]).collect();
    if others.is_empty() {
        let wanted = "training images outside fold 1 to select C on".into();
        return refused(wanted, format!("all {} in it", train.len()));
    }
    Ok(others)
}

/// Scaled copies of some examples, side by side in memory.
struct Subset {
    rows: Vec<f32>,
    dimensions: usize,
    labels: Vec<u32>,
}

impl Subset {
    fn gather(examples: Examples<'_>, indices: &[usize], scale: f64) -> Self {
        let factor = (1.0 / scale) as f32;
        let rows = indices.iter().flat_map(|&i| examples.row(i)).map(|x| x * factor).collect();
        let labels = indices.iter().map(|&i| examples.labels[i]).collect();
        Self { rows, dimensions: examples.dimensions, labels }
    }

    fn examples(&self) -> Examples<'_> {
        Examples { rows: &self.rows, dimensions: self.dimensions, labels: &self.labels }
    }
}

#[cfg(test)]
mod tests {
    use deepsim_nets::random::normal;

    use super::*;

    /// Three Gaussian clouds in `dimensions` dimensions, `distance` apart.
    fn clouds(n: usize, dimensions: usize, distance: f32, seed: u64) -> (Vec<f32>, Vec<u32>) {
        let mut rows = normal(&mut stream(seed, "test", 0), n * dimensions, 1.0);
        let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        for (row, &label) in rows.chunks_exact_mut(dimensions).zip(&labels) {
            row[label as usize] += distance;
        }
        (rows, labels)
    }

    fn run(distance: f32, threads: usize) -> FoldAccuracy {
        let (rows, labels) = clouds(300, 6, distance, 1);
        let (test_rows, test_labels) = clouds(600, 6, distance, 2);
        let train = Examples::new(&rows, 6, &labels).expect("sizes fit");
        let test = Examples::new(&test_rows, 6, &test_labels).expect("sizes fit");
        let folds: Vec<Vec<usize>> = (0..10).map(|f| (f * 30..f * 30 + 30).collect()).collect();
        let protocol = Protocol { draws: 8, ..Protocol::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| accuracy_over_folds("clouds", train, test, &folds, &protocol))
            .expect("the protocol runs")
    }

    #[test]
    fn separated_clouds_are_told_apart_and_equal_ones_are_not() {
        let far = run(8.0, 2);
        assert!(far.mean > 99.0 && far.spread < 1.0 && far.converged, "{far:?}");
        assert_eq!(far.folds.len(), 10);
        let same = run(0.0, 2);
        assert!((same.mean - 100.0 / 3.0).abs() < 5.0, "chance is a third: {same:?}");
    }

    #[test]
    fn the_result_does_not_depend_on_threads() {
        assert_eq!(run(2.0, 1), run(2.0, 2));
    }

    #[test]
    fn candidates_are_log_uniform_in_the_papers_range() {
        let protocol = Protocol { draws: 4000, ..Protocol::default() };
        let candidates = protocol.candidates();
        assert!(candidates[0] >= 2e-4 && candidates[3999] <= 2e-1);
        // Log-uniform: the median is the geometric mean of the ends.
        assert!((candidates[2000] / (2e-4f64 * 2e-1).sqrt() - 1.0).abs() < 0.15);
        assert_ne!(candidates, Protocol { seed: 1, ..protocol }.candidates());
    }

    #[test]
    fn impossible_protocols_are_refused_with_the_reason() {
        let (rows, labels) = clouds(30, 4, 1.0, 1);
        let examples = Examples::new(&rows, 4, &labels).expect("sizes fit");
        let all: Vec<usize> = (0..30).collect();
        let cases: [(&[Vec<usize>], usize, &str); 4] = [
            (&[], 5, "at least one fold"),
            (&[vec![0, 1, 30]], 5, "fold indices below 30, found 30"),
            (&[vec![0, 1, 2]], 0, "at least one draw of C"),
            (&[all], 5, "training images outside fold 1"),
        ];
        for (folds, draws, message) in cases {
            let protocol = Protocol { draws, ..Protocol::default() };
            let error = accuracy_over_folds("clouds", examples, examples, folds, &protocol)
                .expect_err(message);
            assert!(error.to_string().contains(message), "{error}");
        }
        let error = LinearSvm::train(
            Examples::new(&rows[..8], 4, &[1, 1]).expect("fits"),
            &SvmConfig::default(),
        );
        assert!(error.expect_err("one class").to_string().contains("at least two classes"));
        assert!(Examples::new(&rows, 4, &labels[1..]).is_err());
    }
}
