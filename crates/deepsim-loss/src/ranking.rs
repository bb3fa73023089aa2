//! The ranking loss of VideoNet (Wang & Gupta 2015), as its authors' `RankHardLoss` computes it.
//!
//! Features come in pairs, anchor and positive after each other. With `d(a, b) = -a·b`, a triplet of a
//! pair and a negative adds `max(0, d(a,p) - d(a,n) + M) + max(0, d(a,p) - d(p,n) + M)`; the sum is
//! divided by twice the number of negatives that a pair may have and by the number of pairs.

use candle_core::Tensor;

use crate::LossError;

/// Inner products of all features of a batch with each other.
#[derive(Clone, Debug)]
pub struct Similarities {
    tensor: Tensor,
    values: Vec<Vec<f32>>,
}

impl Similarities {
    /// Computes the similarities of a batch of pairs.
    ///
    /// # Shapes
    /// `features (2 * pairs, C)`
    ///
    /// # Errors
    /// If the number of rows is odd or zero.
    pub fn new(features: &Tensor) -> Result<Self, LossError> {
        match features.dims() {
            [rows, _] if *rows > 0 && rows.is_multiple_of(2) => {}
            other => {
                return Err(LossError::Mismatch {
                    operation: "ranking loss",
                    wanted: "features (2 * pairs, C)".into(),
                    got: format!("{other:?}"),
                });
            }
        }
        let tensor = features.matmul(&features.t()?)?;
        let values = tensor.to_vec2()?;
        Ok(Self { tensor, values })
    }

    /// Returns the number of pairs.
    pub fn pairs(&self) -> usize {
        self.values.len() / 2
    }

    /// Returns `a·b` of two rows.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn between(&self, a: usize, b: usize) -> f32 {
        self.values[a][b]
    }

    /// Margin by which the pair that begins in row `anchor` fails to be closer than the row `negative`, as
    /// seen from `from`, its anchor or its positive; 0 where it does not fail.
    fn violation(&self, anchor: usize, from: usize, negative: usize, margin: f32) -> f32 {
        (self.between(from, negative) - self.between(anchor, anchor + 1) + margin).max(0.0)
    }

    /// Returns true if a negative violates the margin of the pair that begins in row `anchor`, as seen from
    /// the anchor.
    pub fn violates(&self, anchor: usize, negative: usize, margin: f64) -> bool {
        self.violation(anchor, anchor, negative, margin as f32) > 0.0
    }

    /// Computes the loss for the negatives of each pair, as rows; a pair may have at most `per_pair`.
    ///
    /// # Shapes
    /// one list of rows for each pair -> scalar
    ///
    /// # Errors
    /// If there are not as many lists as pairs, or a row does not exist.
    pub fn loss(
        &self,
        negatives: &[Vec<usize>],
        margin: f64,
        per_pair: usize,
    ) -> Result<Tensor, LossError> {
        let rows = self.values.len();
        let missing = negatives.iter().flatten().any(|row| *row >= rows);
        if negatives.len() != self.pairs() || missing || per_pair == 0 {
            return Err(LossError::Mismatch {
                operation: "ranking loss",
                wanted: format!("{} lists of rows below {rows}, at least 1 a pair", self.pairs()),
                got: format!("{} lists, {per_pair} a pair: {negatives:?}", negatives.len()),
            });
        }
        // The loss is linear in the similarities of those hinges that are open: their factors times
        // the similarities is the loss, and has its gradient.
        let (mut factors, mut open) = (vec![0f32; rows * rows], 0u32);
        for (pair, negatives) in negatives.iter().enumerate() {
            let anchor = 2 * pair;
            for (from, negative) in
                negatives.iter().flat_map(|n| [anchor, anchor + 1].map(|from| (from, *n)))
            {
                if self.violation(anchor, from, negative, margin as f32) > 0.0 {
                    factors[from * rows + negative] += 1.0;
                    factors[anchor * rows + anchor + 1] -= 1.0;
                    open += 1;
                }
            }
        }
        let factors = Tensor::from_vec(factors, (rows, rows), self.tensor.device())?;
        let sum = ((&self.tensor * factors)?.sum_all()? + f64::from(open) * margin)?;
        Ok((sum / (2 * per_pair * self.pairs()) as f64)?)
    }

    /// Returns the share of pairs whose positive is closer to the anchor than every row of another `track`.
    ///
    /// # Shapes
    /// one track for each pair
    pub fn ranked_first(&self, tracks: &[u32]) -> f64 {
        let first = |pair: &usize| {
            let others = (0..self.pairs()).filter(|other| tracks.get(*other) != tracks.get(*pair));
            let anchor = 2 * pair;
            others
                .flat_map(|other| [2 * other, 2 * other + 1])
                .all(|row| self.between(anchor, row) < self.between(anchor, anchor + 1))
        };
        (0..self.pairs()).filter(first).count() as f64 / self.pairs() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Two pairs in a plane.
    const FEATURES: [[f32; 2]; 4] = [[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]];

    #[test]
    fn equals_the_sum_of_hinges_and_its_finite_differences() -> Result<(), LossError> {
        let loss = |x: &Tensor| Similarities::new(x)?.loss(&[vec![2, 3], vec![0]], 0.5, 2);
        let x = Var::new(&FEATURES, &Device::Cpu)?;
        let value = loss(&x)?;
        // Pair 1: a·p 0.8; negatives 2 and 3 from a 0.6, 0, from p 0.96, 0.6. Pair 2: a·p 0.8;
        // negative 0 from a 0.6, from p 0.
        let wanted = (0.3 + 0.66 + 0.3 + 0.3) / (2.0 * 2.0 * 2.0);
        assert!((value.to_scalar::<f32>()? - wanted).abs() < 1e-6);
        let gradients = value.backward()?;
        let gradient = gradients.get(&x).expect("a gradient").to_vec2::<f32>()?;
        let step = 1e-2;
        for (row, column) in (0..4).flat_map(|row| [(row, 0), (row, 1)]) {
            let moved = |by: f32| -> Result<f32, LossError> {
                let mut features = FEATURES;
                features[row][column] += by;
                Ok(loss(&Tensor::new(&features, &Device::Cpu)?)?.to_scalar::<f32>()?)
            };
            let slope = (moved(step)? - moved(-step)?) / (2.0 * step);
            assert!((slope - gradient[row][column]).abs() < 1e-4, "{row} {column}: {slope}");
        }
        Ok(())
    }

    #[test]
    fn closed_hinges_cost_nothing() -> Result<(), LossError> {
        let x = Var::new(&FEATURES, &Device::Cpu)?;
        let similarities = Similarities::new(&x)?;
        let loss = similarities.loss(&[vec![3], vec![]], 0.1, 4)?;
        assert_eq!(loss.to_scalar::<f32>()?, 0.0);
        assert!(loss.backward()?.get(&x).is_none_or(|g| {
            g.flatten_all()
                .and_then(|g| g.to_vec1::<f32>())
                .is_ok_and(|g| g.iter().all(|g| *g == 0.0))
        }));
        assert!(!similarities.violates(0, 3, 0.1) && similarities.violates(0, 2, 0.3));
        // Row 1 is closer to row 2 than its own positive, unless they are of one track.
        assert_eq!(similarities.ranked_first(&[0, 1]), 0.5);
        assert_eq!(similarities.ranked_first(&[0, 0]), 1.0);
        assert!(similarities.loss(&[vec![4], vec![]], 0.1, 4).is_err());
        assert!(similarities.loss(&[vec![]], 0.1, 4).is_err());
        assert!(Similarities::new(&x.narrow(0, 0, 3)?).is_err());
        Ok(())
    }
}
