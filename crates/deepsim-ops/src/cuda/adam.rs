//! Adam's moments on a device. The update itself is one launch for all parameters, in [`super::multi_tensor`].

use std::sync::Arc;

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr};
use candle_core::{CudaDevice, Result, bail};

use super::glue::{count, done};
use super::{graph, multi_tensor};

const OP: &str = "adam_update";

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

    /// Returns the state before the first update, with the length and device of this one.
    pub(crate) fn zeros_like(&self) -> Result<Self> {
        Self::zeros(&self.device, self.len())
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

    /// Returns the addresses of both moments for an update in place. Copies them first if a clone
    /// shares them.
    pub(super) fn addresses(&mut self, device: &CudaDevice) -> Result<[u64; 2]> {
        if !device.same_device(&self.device) {
            bail!("{OP}: expected moments on the parameter's device");
        }
        if Arc::get_mut(&mut self.values).is_none() {
            if graph::is_recording() {
                bail!("{OP}: moments that a clone shares cannot be part of a graph");
            }
            let copy =
                |values: &CudaSlice<f32>| done(OP, "copy of the moments", values.try_clone());
            self.values = Arc::new((copy(&self.values.0)?, copy(&self.values.1)?));
        }
        Ok(self.shared_addresses())
    }

    fn shared_addresses(&self) -> [u64; 2] {
        let stream = self.device.cuda_stream();
        let (m, _m) = self.values.0.device_ptr(&stream);
        let (v, _v) = self.values.1.device_ptr(&stream);
        [m, v]
    }

    /// Takes the values of other moments of the same length, in place.
    pub(crate) fn set_all(pairs: &mut [(&mut Self, &Self)]) -> Result<()> {
        let Some((_, first)) = pairs.first() else { return Ok(()) };
        let device = first.device.clone();
        let mut rows = Vec::with_capacity(2 * pairs.len());
        for (to, from) in pairs {
            if to.len() != from.len() {
                bail!("{OP}: expected moments of {} values, found {}", to.len(), from.len());
            }
            let n = count(OP, to.len())?;
            let (to, from) = (to.addresses(&device)?, from.shared_addresses());
            rows.extend(to.into_iter().zip(from).map(|(to, from)| (to, from, n)));
        }
        multi_tensor::copy(OP, &device, &rows)
    }
}
