//! Numbers that are computed now and read later: each read makes the host wait for a GPU.

use candle_core::{Result, Tensor};

use crate::distance::{scalars, sum_of_squares};

/// A number that an operation computed. On the CPU it is known at once; on a GPU it is read when asked for,
/// together with others.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::Reading;
/// let x = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
/// let numbers = [Reading::of(&x.sum_all()?)?, Reading::squares(&[&x])?];
/// assert_eq!(Reading::read(&numbers)?, [7.0, 25.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reading(State);

#[derive(Clone, Debug)]
enum State {
    Known(f64),
    Pending(Tensor),
}

impl Reading {
    /// A number that is known.
    pub fn known(value: f64) -> Self {
        Self(State::Known(value))
    }

    /// The number in a scalar.
    ///
    /// # Errors
    /// If it is not an `f32` scalar.
    pub fn of(scalar: &Tensor) -> Result<Self> {
        if scalar.device().is_cpu() {
            return Ok(Self::known(f64::from(scalar.to_scalar::<f32>()?)));
        }
        Ok(Self(State::Pending(scalar.detach())))
    }

    /// `Σ x²` over all values of all tensors.
    ///
    /// # Errors
    /// If a tensor is not `f32`, or they are on different devices.
    pub fn squares(all: &[&Tensor]) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if all.first().is_some_and(|x| x.device().is_cuda()) {
            return Self::of(&crate::cuda::squares("sum_of_squares", all)?);
        }
        let sums = all.iter().map(|x| sum_of_squares(x)).collect::<Result<Vec<f64>>>()?;
        Ok(Self::known(sums.into_iter().sum()))
    }

    /// The number, if it is known.
    pub fn value(&self) -> Option<f64> {
        match self.0 {
            State::Known(value) => Some(value),
            State::Pending(_) => None,
        }
    }

    /// The scalar of a number that is not known.
    pub(crate) fn pending(&self) -> Option<Tensor> {
        match &self.0 {
            State::Known(_) => None,
            State::Pending(scalar) => Some(scalar.clone()),
        }
    }

    /// All numbers; a GPU is waited for once.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(all: &[Self]) -> Result<Vec<f64>> {
        let pending: Vec<Tensor> = all.iter().filter_map(Self::pending).collect();
        let mut values = scalars(&pending.iter().collect::<Vec<_>>())?.into_iter();
        Ok(all.iter().filter_map(|one| one.value().or_else(|| values.next())).collect())
    }

    /// What an update can be made to depend on: all numbers that are not known, on their device. None if
    /// all are known.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gate(all: &[Self]) -> Result<Option<Tensor>> {
        let pending: Vec<Tensor> = all.iter().filter_map(Self::pending).collect();
        if pending.is_empty() {
            return Ok(None);
        }
        side_by_side(&pending.iter().collect::<Vec<_>>()).map(Some)
    }
}

/// Scalars of one device as a vector.
pub(crate) fn side_by_side(all: &[&Tensor]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if all.len() <= 64 && all.first().is_some_and(|x| x.device().is_cuda()) {
        return crate::cuda::gather("scalars", all);
    }
    Tensor::stack(all, 0)
}
