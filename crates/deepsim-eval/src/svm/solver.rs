//! One-vs-rest linear SVM with squared hinge loss by dual coordinate descent.

use deepsim_nets::random::stream;
use rand_core::Rng;
use rayon::prelude::*;

use crate::EvalError;

/// Labelled vectors: `labels.len()` rows of `dimensions` numbers, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// The rows.
    pub rows: &'a [f32],
    /// Numbers per row.
    pub dimensions: usize,
    /// Class of each row.
    pub labels: &'a [u32],
}

impl<'a> Examples<'a> {
    /// Checks that rows and labels fit together.
    ///
    /// # Errors
    /// If they do not.
    pub fn new(rows: &'a [f32], dimensions: usize, labels: &'a [u32]) -> Result<Self, EvalError> {
        if dimensions == 0 || rows.len() != dimensions * labels.len() {
            return Err(EvalError::input(
                "SVM examples",
                format!("{} rows of {dimensions} numbers, as many as labels", labels.len()),
                format!("{} numbers", rows.len()),
            ));
        }
        Ok(Self { rows, dimensions, labels })
    }

    /// The `index`-th row.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.rows[index * self.dimensions..(index + 1) * self.dimensions]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Numbers of a training run; the defaults are the Exemplar-CNN protocol's and liblinear's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvmConfig {
    /// Weight of the loss against the squared norm of the weights.
    pub c: f64,
    /// Value of a constant feature that is added to every row; its weight is regularised too.
    pub bias: f64,
    /// Stop when no projected gradient differs from another by more than this.
    pub tolerance: f64,
    /// Passes over the examples after which training stops unconverged.
    pub max_passes: usize,
    /// Seed of the order in which coordinates are visited.
    pub seed: u64,
}

impl Default for SvmConfig {
    fn default() -> Self {
        Self { c: 1.0, bias: 5.0, tolerance: 0.1, max_passes: 1000, seed: 0 }
    }
}

/// One weight vector per class.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearSvm {
    classes: Vec<u32>,
    weights: Vec<Vec<f64>>,
    bias: f64,
    converged: bool,
}

impl LinearSvm {
    /// Trains one machine per class that occurs among the examples.
    ///
    /// # Errors
    /// If fewer than two classes occur, a number is not finite, or `c` is not positive.
    pub fn train(examples: Examples<'_>, config: &SvmConfig) -> Result<Self, EvalError> {
        let mut classes = examples.labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        let refused = |wanted: &str, got: String| EvalError::input("SVM training", wanted, got);
        if classes.len() < 2 {
            let got = format!("{} examples of classes {classes:?}", examples.len());
            return Err(refused("examples of at least two classes", got));
        }
        if let Some(position) = examples.rows.iter().position(|value| !value.is_finite()) {
            let (row, column) = (position / examples.dimensions, position % examples.dimensions);
            let got = format!("{} at row {row}, column {column}", examples.rows[position]);
            return Err(refused("finite numbers", got));
        }
        if !(config.c > 0.0 && config.c.is_finite()) {
            return Err(refused("a positive C", config.c.to_string()));
        }
        let machines: Vec<(Vec<f64>, bool)> =
            classes.par_iter().map(|&class| one_versus_rest(examples, class, config)).collect();
        let converged = machines.iter().all(|(_, converged)| *converged);
        let weights = machines.into_iter().map(|(weights, _)| weights).collect();
        Ok(Self { classes, weights, bias: config.bias, converged })
    }

    /// The classes it can answer with, ascending.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Weights of the `index`-th class: one per dimension, then the bias feature's.
    pub fn weights(&self, index: usize) -> &[f64] {
        &self.weights[index]
    }

    /// Returns true if every machine reached the tolerance within the allowed passes.
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// The class whose machine answers highest; the first of equals.
    pub fn predict(&self, row: &[f32]) -> u32 {
        let mut best = (self.classes[0], f64::NEG_INFINITY);
        for (&class, weights) in self.classes.iter().zip(&self.weights) {
            let (bias, weights) = weights.split_last().unwrap_or((&0.0, &[]));
            let value = dot(weights, row) + bias * self.bias;
            if value > best.1 {
                best = (class, value);
            }
        }
        best.0
    }

    /// Share of examples whose class is predicted, in percent.
    pub fn accuracy(&self, examples: Examples<'_>) -> f64 {
        let right = (0..examples.len())
            .into_par_iter()
            .filter(|&i| self.predict(examples.row(i)) == examples.labels[i])
            .count();
        100.0 * right as f64 / examples.len() as f64
    }
}

/// Minimises `1/2 a'(Q + I/2C)a - sum a` over `a >= 0`, `Q_ij = y_i y_j x_i·x_j`, one coordinate at
/// a time, keeping `w = sum a_i y_i x_i`. Follows liblinear's `solve_l2r_l1l2_svc` step by step.
fn one_versus_rest(examples: Examples<'_>, class: u32, config: &SvmConfig) -> (Vec<f64>, bool) {
    let n = examples.len();
    let sign = |i: usize| if examples.labels[i] == class { 1.0 } else { -1.0 };
    let diagonal = 0.5 / config.c;
    let curvature: Vec<f64> = (0..n)
        .map(|i| {
            let square: f64 = examples.row(i).iter().map(|&x| f64::from(x).powi(2)).sum();
            square + config.bias * config.bias + diagonal
        })
        .collect();
    let mut weights = vec![0f64; examples.dimensions];
    let mut bias_weight = 0f64;
    let mut alpha = vec![0f64; n];
    let mut order: Vec<usize> = (0..n).collect();
    let mut rng = stream(config.seed, "svm order", u64::from(class));

    // Coordinates at 0 whose gradient is above the largest projected gradient of the last pass are
    // set aside (shrinking); they are all looked at again before the solver may stop.
    let mut active = n;
    // The squared hinge loss has no upper bound on `alpha`, so there is no shrinking from above.
    let mut largest = f64::INFINITY;
    for _ in 0..config.max_passes {
        let (mut new_largest, mut new_smallest) = (f64::NEG_INFINITY, f64::INFINITY);
        for i in 0..active {
            let j = i + (rng.next_u64() % (active - i) as u64) as usize;
            order.swap(i, j);
        }
        let mut position = 0;
        while position < active {
            let i = order[position];
            let (y, row) = (sign(i), examples.row(i));
            let margin = y * (dot(&weights, row) + bias_weight * config.bias);
            let gradient = margin - 1.0 + alpha[i] * diagonal;
            let projected = if alpha[i] > 0.0 {
                gradient
            } else if gradient > largest {
                active -= 1;
                order.swap(position, active);
                continue;
            } else {
                gradient.min(0.0)
            };
            new_largest = new_largest.max(projected);
            new_smallest = new_smallest.min(projected);
            if projected.abs() > 1e-12 {
                let updated = (alpha[i] - gradient / curvature[i]).max(0.0);
                let step = (updated - alpha[i]) * y;
                alpha[i] = updated;
                for (weight, &x) in weights.iter_mut().zip(row) {
                    *weight += step * f64::from(x);
                }
                bias_weight += step * config.bias;
            }
            position += 1;
        }
        if new_largest - new_smallest <= config.tolerance {
            if active == n {
                weights.push(bias_weight);
                return (weights, true);
            }
            active = n;
            largest = f64::INFINITY;
        } else {
            largest = if new_largest <= 0.0 { f64::INFINITY } else { new_largest };
        }
    }
    weights.push(bias_weight);
    (weights, false)
}

/// Scalar product, accumulated in f64 in eight interleaved sums (a fixed order that vectorises).
fn dot(weights: &[f64], row: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let (blocks, row_blocks) = (weights.chunks_exact(8), row.chunks_exact(8));
    let rest: f64 = (blocks.remainder().iter().zip(row_blocks.remainder()))
        .map(|(w, &x)| w * f64::from(x))
        .sum();
    for (weights, row) in blocks.zip(row_blocks) {
        for lane in 0..8 {
            sums[lane] += weights[lane] * f64::from(row[lane]);
        }
    }
    rest + sums.iter().sum::<f64>()
}
