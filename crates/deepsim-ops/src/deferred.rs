//! Numbers that are computed now and read later: each read makes the host wait for a GPU.

use candle_core::{Result, Tensor};

use crate::cpu::elementwise;
use crate::cpu::simd::Isa;
use crate::glue::{input, with};

/// A number that an operation computed. On the CPU it is known at once; on a GPU it is read when asked for,
/// together with others.
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

/// What is done with a number once it is read: its root taken, and then divided.
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
    /// A number that is known.
    pub fn known(value: f64) -> Self {
        Self(Scalar::Known(value))
    }

    /// The number in a scalar.
    ///
    /// # Errors
    /// If it is not an `f32` scalar.
    pub fn of(scalar: &Tensor) -> Result<Self> {
        if scalar.device().is_cpu() {
            return Ok(Self::known(f64::from(scalar.to_scalar::<f32>()?)));
        }
        Ok(Self(Scalar::Pending(scalar.detach(), Finish { root: false, divisor: 1.0 })))
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

    /// The L2 norm over all values of all tensors.
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

    /// The number divided by another, in double precision.
    #[must_use]
    pub fn over(self, divisor: f64) -> Self {
        Self(match self.0 {
            Scalar::Known(value) => Scalar::Known(value / divisor),
            Scalar::Pending(scalar, before) => {
                Scalar::Pending(scalar, Finish { divisor: divisor * before.divisor, ..before })
            }
        })
    }

    /// The number, if it is known.
    pub fn value(&self) -> Option<f64> {
        match self.0 {
            Scalar::Known(value) => Some(value),
            Scalar::Pending(..) => None,
        }
    }

    /// The scalar of a number that is not known, and what is done with it.
    pub(crate) fn pending(&self) -> Option<(Tensor, Finish)> {
        match &self.0 {
            Scalar::Known(_) => None,
            Scalar::Pending(scalar, finish) => Some((scalar.clone(), *finish)),
        }
    }

    /// All numbers; a GPU is waited for once.
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

    /// The numbers of a whole, from those of one of its parts, each `share` of it: `sum` replaces a vector by
    /// its sum over all parts. Nothing is read.
    ///
    /// # Errors
    /// If a number is known already, and those of `sum`.
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
            let text = "numbers of a whole: wanted numbers of a GPU, got one that is known";
            return Err(candle_core::Error::Msg(text.into()).into());
        }
        let sums = sum(side_by_side(&pending.iter().collect::<Vec<_>>())?)?;
        let one = |(i, finish): (usize, Finish)| {
            // Squares of gradients are of their share, too, whose root this is.
            let divisor = finish.divisor / share;
            Ok(Self(Scalar::Pending(sums.get(i)?, Finish { divisor, ..finish })))
        };
        finish.into_iter().enumerate().map(one).collect()
    }

    /// What an update can be made to depend on: all numbers that are not known, on their device. None if
    /// all are known.
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

/// `Σ x²` in double precision, as a number: the way to see at once whether all of `x` is finite, and
/// how large it is.
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

/// Scalars of one device as a vector.
pub(crate) fn side_by_side(all: &[&Tensor]) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if all.first().is_some_and(|x| x.device().is_cuda()) {
        return crate::cuda::gather("scalars", all);
    }
    Tensor::stack(all, 0)
}
