//! Distances of two sets of images as distributions, in one feature space.

use deepsim_nets::{Comparator, Images};

use super::Row;
use crate::EvalError;
use crate::arrays::numbers;
use crate::comparators::is_random;
use crate::metrics::distribution::{
    Estimate, Vectors, frechet_distance, frechet_extrapolated, kernel_distance,
};

/// Name of the row with the main distance, before the name of the feature space.
pub const FRECHET: &str = "Frechet distance";
/// Name of the row with the distance for few images, before the name of the feature space.
pub const KERNEL: &str = "kernel distance";

/// Features of two sets of images, the reference first, with the words of their rows.
pub(crate) struct SetDistances<'a> {
    net: &'a dyn Comparator,
    tap: &'a str,
    sets: [Vectors; 2],
    /// Root mean square of the reference's features.
    unit: f32,
    words: Words<'a>,
}

/// Names of two sets in the notes of rows.
pub(crate) struct Words<'a> {
    /// Both, with their sizes, e.g. `24 samples and 24 test images`.
    pub(crate) sets: String,
    /// Images of which the reference consists, e.g. `the images'`.
    pub(crate) reference: &'a str,
}

impl<'a> SetDistances<'a> {
    /// Takes the [`pooled`] features of both sets, one vector after the other, and how many each has. They are
    /// divided by the root mean square of the reference's, because the kernel is made for numbers around 1, and
    /// activations depend on the network.
    pub(crate) fn new(
        net: &'a dyn Comparator,
        tap: &'a str,
        [(n, mut reference), (m, mut other)]: [(usize, Vec<f32>); 2],
        words: Words<'a>,
    ) -> Result<Self, EvalError> {
        let squares: f64 = reference.iter().map(|&value| f64::from(value).powi(2)).sum();
        let unit = (squares / reference.len().max(1) as f64).sqrt() as f32;
        let unit = unit.max(f32::MIN_POSITIVE);
        reference.iter_mut().chain(&mut other).for_each(|value| *value /= unit);
        let sets = [Vectors::new(n, &reference)?, Vectors::new(m, &other)?];
        Ok(Self { net, tap, sets, unit, words })
    }

    /// Number of features of an image.
    pub(crate) fn dims(&self) -> usize {
        self.sets[0].dims()
    }

    /// Number of images in the smaller set.
    pub(crate) fn least(&self) -> usize {
        self.sets[0].len().min(self.sets[1].len())
    }

    /// Fréchet distance, extrapolated to infinitely many images; undefined where a covariance of half the images is
    /// singular.
    pub(crate) fn frechet(&self) -> Result<Row, EvalError> {
        let ([a, b], dims) = (&self.sets, self.dims());
        if self.least() <= 2 * dims {
            let (least, found) = (2 * dims, self.least());
            let reason =
                format!("needs more than {least} images for {dims} numbers, found {found}");
            return Ok(self.finish(Row::undefined(self.name(FRECHET), "", &reason, "")));
        }
        let plain = frechet_distance(a, b)?;
        let how = format!("extrapolated to infinitely many (plain: {plain:.4}) from");
        Ok(self.row(FRECHET, frechet_extrapolated(a, b)?, &how))
    }

    /// Fréchet distance of just these images, which is too large by more the fewer there are.
    pub(crate) fn plain_frechet(&self) -> Result<Row, EvalError> {
        let [a, b] = &self.sets;
        let value = frechet_distance(a, b)?;
        let note = format!("not extrapolated, too large for few images; {}", self.origin());
        Ok(self.finish(Row::new(self.name(&format!("plain {FRECHET}")), value, "", note)))
    }

    /// Kernel distance.
    pub(crate) fn kernel(&self) -> Result<Row, EvalError> {
        let [a, b] = &self.sets;
        Ok(self.row(KERNEL, kernel_distance(a, b)?, "without bias, of"))
    }

    fn name(&self, what: &str) -> String {
        let random = if is_random(self.net) { ", random weights" } else { "" };
        format!("{what}, {} {}{random}", self.net.name(), self.tap)
    }

    /// Sets, features, weights and unit in words.
    fn origin(&self) -> String {
        let Words { sets, reference } = &self.words;
        format!(
            "{sets}, {} numbers each, {}, in units of the root mean square of {reference} ({:.3})",
            self.dims(),
            self.net.origin(),
            self.unit
        )
    }

    fn row(&self, what: &str, found: Estimate, how: &str) -> Row {
        let [low, high] = found.interval();
        let note = format!(
            "{how} {}; ± is the standard error, 95 % interval {low:.4} to {high:.4}",
            self.origin()
        );
        // One estimate, whose spread is its own.
        let row = Row::new(self.name(what), found.value, "", note).with_spread(found.error);
        self.finish(row.over(1))
    }

    fn finish(&self, row: Row) -> Row {
        row.in_space_of(self.net)
    }
}

/// Features, averaged over positions.
///
/// # Shapes
/// `(N, 3, H, W) -> N * C` numbers
pub(crate) fn pooled(
    net: &dyn Comparator,
    tap: &str,
    images: &Images,
) -> Result<Vec<f32>, EvalError> {
    let features = net.features(images, tap)?;
    match features.rank() {
        4 => numbers(&features.mean(3)?.mean(2)?),
        _ => numbers(&features),
    }
}
