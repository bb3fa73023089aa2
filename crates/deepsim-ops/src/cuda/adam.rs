//! Adam: one kernel per parameter, with the moments on the device.

use std::sync::Arc;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DeviceRepr, PushKernelArg};
use candle_core::{CudaDevice, CudaStorage, Layout, Result, bail};

use super::glue::{count, done, view};
use super::kernels::{Kernel, threads};
use crate::adam::Numbers;

const OP: &str = "adam_update";

/// `struct Adam` of `kernels.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct AdamNumbers {
    rate: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    epsilon: f32,
    decay: f32,
}

// SAFETY: seven `f32`, laid out as in `kernels.cu`.
unsafe impl DeviceRepr for AdamNumbers {}

/// Moments on a device. Clones share memory until one is updated.
#[derive(Clone, Debug)]
pub(crate) struct DeviceMoments {
    values: Arc<(CudaSlice<f32>, CudaSlice<f32>)>,
    device: CudaDevice,
}

impl DeviceMoments {
    pub(crate) fn zeros(device: &CudaDevice, len: usize) -> Result<Self> {
        let zeros = || done(OP, "allocation", device.alloc_zeros::<f32>(len));
        Ok(Self { values: Arc::new((zeros()?, zeros()?)), device: device.clone() })
    }

    pub(crate) fn from_host(device: &CudaDevice, m: &[f32], v: &[f32]) -> Result<Self> {
        let copy = |values| done(OP, "copy of the moments", device.clone_htod(values));
        Ok(Self { values: Arc::new((copy(m)?, copy(v)?)), device: device.clone() })
    }

    pub(crate) fn to_host(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let copy = |values| done(OP, "copy of the moments", self.device.clone_dtoh(values));
        Ok((copy(&self.values.0)?, copy(&self.values.1)?))
    }

    pub(crate) fn len(&self) -> usize {
        self.values.0.len()
    }

    /// The moments alone, copied if a clone shares them.
    fn values_mut(&mut self) -> Result<&mut (CudaSlice<f32>, CudaSlice<f32>)> {
        if Arc::get_mut(&mut self.values).is_none() {
            let copy =
                |values: &CudaSlice<f32>| done(OP, "copy of the moments", values.try_clone());
            self.values = Arc::new((copy(&self.values.0)?, copy(&self.values.1)?));
        }
        match Arc::get_mut(&mut self.values) {
            Some(values) => Ok(values),
            None => bail!("{OP}: moments in use elsewhere"),
        }
    }
}

/// Updates a parameter and its moments in place.
pub(crate) fn update(
    p: &mut CudaStorage,
    p_layout: &Layout,
    g: &CudaStorage,
    g_layout: &Layout,
    moments: &mut DeviceMoments,
    numbers: Numbers,
) -> Result<()> {
    let device = p.device.clone();
    let g = view(OP, g, g_layout)?;
    let Some((start, end)) = p_layout.contiguous_offsets() else {
        bail!("{OP}: wanted a contiguous parameter")
    };
    if !device.same_device(&moments.device) || moments.len() != end - start {
        bail!("{OP}: wanted {} moments on the parameter's device", end - start);
    }
    let n = count(OP, end - start)?;
    let mut p = p.as_cuda_slice_mut::<f32>()?.slice_mut(start..end);
    let Numbers { rate, beta1, beta2, rest1, rest2, epsilon, decay } = numbers;
    let numbers = AdamNumbers { rate, beta1, beta2, rest1, rest2, epsilon, decay };
    let (m, v) = moments.values_mut()?;
    let kernel = Kernel::get(OP, &device, "adam")?;
    let mut arguments = kernel.arguments();
    arguments.arg(&mut p).arg(&g).arg(m).arg(v).arg(&numbers).arg(&n);
    // SAFETY: these are the parameters of `adam`; parameter, gradient and moments have `n` values.
    done(OP, "adam", unsafe { arguments.launch(threads(n)) })?;
    Ok(())
}
