//! Deferred scalars: computed now and read later, because each read makes the host wait for a GPU.

use candle_core::{Result, Tensor};

use crate::cpu::elementwise;
use crate::cpu::simd::Isa;
use crate::glue::{input, with};

/// Scalar that an operation computed. On the CPU its value is known at once; on a GPU it is read on
/// request, together with others.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::DeferredScalar;
/// let x = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
/// let numbers = [DeferredScalar::of(&x.sum_all()?)?, DeferredScalar::squares(&[&x])?];
/// assert_eq!(DeferredScalar::read(&numbers)?, [7.0, 25.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeferredScalar(Scalar);

#[derive(Clone, Debug)]
enum Scalar {
    Known(f64),
    Pending(Tensor, Finish),
}

/// Arithmetic on a scalar after it is read: an optional square root, then a division.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    root: bool,
    divisor: f64,
}

impl Finish {
    pub(crate) fn apply(self, value: f64) -> f64 {
        (if self.root { value.sqrt() } else { value }) / self.divisor
    }
}

impl DeferredScalar {
    /// Creates a scalar with a known value.
    pub fn known(value: f64) -> Self {
        Self(Scalar::Known(value))
    }

    /// Creates a deferred scalar from a scalar tensor.
    ///
    /// # Errors
    /// If it is not an `f32` scalar.
    pub fn of(scalar: &Tensor) -> Result<Self> {
        if scalar.device().is_cpu() {
            return Ok(Self::known(f64::from(scalar.to_scalar::<f32>()?)));
        }
        Ok(Self(Scalar::Pending(scalar.detach(), Finish { root: false, divisor: 1.0 })))
    }

    /// Computes `Σ x²` over all values of all tensors.
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

    /// Computes the L2 norm over all values of all tensors.
    ///
    /// # Errors
    /// As [`DeferredScalar::squares`].
    pub fn norm(all: &[&Tensor]) -> Result<Self> {
        Ok(match Self::squares(all)?.0 {
            Scalar::Known(squares) => Self::known(squares.sqrt()),
            Scalar::Pending(squares, _) => {
                Self(Scalar::Pending(squares, Finish { root: true, divisor: 1.0 }))
            }
        })
    }

    /// Divides by a number, in double precision.
    #[must_use]
    pub fn over(self, divisor: f64) -> Self {
        Self(match self.0 {
            Scalar::Known(value) => Scalar::Known(value / divisor),
            Scalar::Pending(scalar, before) => {
                Scalar::Pending(scalar, Finish { divisor: divisor * before.divisor, ..before })
            }
        })
    }

    /// Returns the value if it is known without a read.
    pub fn value(&self) -> Option<f64> {
        match self.0 {
            Scalar::Known(value) => Some(value),
            Scalar::Pending(..) => None,
        }
    }

    /// Returns the tensor of a deferred scalar and the arithmetic after its read; `None` if the
    /// value is known.
    pub(crate) fn pending(&self) -> Option<(Tensor, Finish)> {
        match &self.0 {
            Scalar::Known(_) => None,
            Scalar::Pending(scalar, finish) => Some((scalar.clone(), *finish)),
        }
    }

    /// Reads all scalars with a single device synchronisation.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(all: &[Self]) -> Result<Vec<f64>> {
        let (pending, finish): (Vec<Tensor>, Vec<Finish>) =
            all.iter().filter_map(Self::pending).unzip();
        let values = match pending.is_empty() {
            true => Vec::new(),
            false => side_by_side(&pending.iter().collect::<Vec<_>>())?.to_vec1::<f32>()?,
        };
        let values = values.into_iter().zip(finish);
        let mut values = values.map(|(value, finish)| finish.apply(f64::from(value)));
        Ok(all.iter().filter_map(|one| one.value().or_else(|| values.next())).collect())
    }

    /// Combines the scalars of one part of a batch, `share` of it, into those of the whole batch.
    /// `sum` replaces a vector by its sum over all parts, for example by an all-reduce over
    /// processes. Nothing is read.
    ///
    /// # Errors
    /// If a value is known already, and those of `sum`.
    ///
    /// ```no_run
    /// use candle_core::{Device, Result, Tensor};
    /// use deepsim_ops::DeferredScalar;
    /// let device = Device::new_cuda(0)?;
    /// let mean = DeferredScalar::of(&Tensor::new(3f32, &device)?)?;
    /// // Here the other half of a batch has the same mean.
    /// let twice = |own: Tensor| -> Result<Tensor> { &own + &own };
    /// let numbers = DeferredScalar::of_the_whole(&[mean], 0.5, twice)?;
    /// assert_eq!(DeferredScalar::read(&numbers)?, [3.0]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn of_the_whole<E: From<candle_core::Error>>(
        all: &[Self],
        share: f64,
        sum: impl FnOnce(Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Vec<Self>, E> {
        let pending = all.iter().filter_map(Self::pending);
        let (pending, finish): (Vec<Tensor>, Vec<Finish>) = pending.unzip();
        if pending.len() < all.len() {
            let text =
                "scalars of a batch: expected deferred scalars, found one with a known value";
            return Err(candle_core::Error::Msg(text.into()).into());
        }
        let sums = sum(side_by_side(&pending.iter().collect::<Vec<_>>())?)?;
        let one = |(i, finish): (usize, Finish)| {
            // A squared gradient is of its share too, and this is its root.
            let divisor = finish.divisor / share;
            Ok(Self(Scalar::Pending(sums.get(i)?, Finish { divisor, ..finish })))
        };
        finish.into_iter().enumerate().map(one).collect()
    }

    /// Returns the deferred scalars as one tensor on their device, on which an update can depend;
    /// `None` if all are known.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gate(all: &[Self]) -> Result<Option<Tensor>> {
        let pending: Vec<Tensor> =
            all.iter().filter_map(Self::pending).map(|(scalar, _)| scalar).collect();
        if pending.is_empty() {
            return Ok(None);
        }
        side_by_side(&pending.iter().collect::<Vec<_>>()).map(Some)
    }
}

/// Computes `Σ x²` in double precision. One number then tells if all of `x` is finite, and how
/// large it is.
///
/// # Errors
/// If the tensor is not `f32`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::sum_of_squares;
/// let x = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
/// assert_eq!(sum_of_squares(&x)?, 25.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(DeferredScalar::read(&[DeferredScalar::squares(&[x])?])?.into_iter().sum());
    }
    let x = input("sum_of_squares", "x", x)?;
    with("sum_of_squares", &x, |x| Ok(elementwise::sum_of_squares(Isa::best(), x)))
}

/// Stacks scalars of one device into a vector.
pub(crate) fn side_by_side(all: &[&Tensor]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if all.first().is_some_and(|x| x.device().is_cuda()) {
        return crate::cuda::gather("scalars", all);
    }
    Tensor::stack(all, 0)
}
