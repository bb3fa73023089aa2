//! Batches that travel to a GPU while the step before is computed. Without the feature `cuda` none does.

use candle_core::Device;
use deepsim_data::Batch;
use deepsim_nets::Images;

use crate::TrainError;

/// Batches on their way to the device. They change the speed only: a batch that cannot be sent ahead is sent when
/// its turn comes.
#[derive(Default)]
pub(crate) struct Prefetch {
    #[cfg(feature = "cuda")]
    uploads: Option<deepsim_ops::Uploader>,
    /// Cursors behind the batches, which identify them.
    #[cfg(feature = "cuda")]
    batches: std::collections::VecDeque<deepsim_data::Cursor>,
    /// Reason why no more are sent; empty once it was logged.
    #[cfg(feature = "cuda")]
    failed: Option<String>,
}

#[cfg(feature = "cuda")]
impl Prefetch {
    /// Returns true if batches can be sent ahead.
    pub(crate) fn is_possible(&self, device: &Device) -> bool {
        device.is_cuda() && self.failed.is_none()
    }

    /// Begins to send a batch.
    pub(crate) fn begin(&mut self, batch: &Batch, device: &Device) {
        let begun = match &mut self.uploads {
            Some(uploads) => uploads.begin(&batch.pixels),
            none => deepsim_ops::Uploader::new(device, batch.pixels.len())
                .and_then(|uploads| none.insert(uploads).begin(&batch.pixels)),
        };
        match begun {
            Ok(()) => self.batches.push_back(batch.next),
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// Returns a batch as images, if it was sent.
    pub(crate) fn take(&mut self, batch: &Batch) -> Result<Option<Images>, TrainError> {
        use crate::run::data::FORMAT;
        let sent = self.batches.pop_front_if(|next| *next == batch.next).is_some();
        let Some(uploads) = self.uploads.as_mut().filter(|_| sent) else { return Ok(None) };
        let values = uploads.finish((batch.n, batch.height, batch.width), FORMAT)?;
        Ok(Some(Images::new(values, FORMAT)?))
    }

    /// Returns why no more are sent, once.
    pub(crate) fn notice(&mut self) -> Option<String> {
        let failed = self.failed.as_mut().filter(|failed| !failed.is_empty())?;
        // candle writes a backtrace below the reason.
        let reason = std::mem::take(failed).lines().next().map(str::to_owned).unwrap_or_default();
        Some(format!("batches are not uploaded ahead: {reason}"))
    }
}

#[cfg(not(feature = "cuda"))]
impl Prefetch {
    pub(crate) fn is_possible(&self, _device: &Device) -> bool {
        false
    }

    pub(crate) fn begin(&mut self, _batch: &Batch, _device: &Device) {}

    pub(crate) fn take(&mut self, _batch: &Batch) -> Result<Option<Images>, TrainError> {
        Ok(None)
    }

    pub(crate) fn notice(&mut self) -> Option<String> {
        None
    }
}
