//! Batches that travel to a GPU while the step before is computed.

use std::collections::VecDeque;

use candle_core::Device;
use deepsim_data::{Batch, Cursor};
use deepsim_nets::Images;
use deepsim_ops::Uploader;

use crate::TrainError;
use crate::data::FORMAT;

/// The batches that are on their way. It is a matter of speed alone: what cannot be sent ahead is sent when its
/// turn comes.
#[derive(Default)]
pub(crate) struct Prefetched {
    uploads: Option<Uploader>,
    /// Which batches they are, by where the ones after them begin.
    batches: VecDeque<Cursor>,
    /// Why there will be no more; empty once that was told.
    failed: Option<String>,
}

impl Prefetched {
    /// Begins to send a batch.
    pub(crate) fn begin(&mut self, batch: &Batch, device: &Device) {
        let begun = match &mut self.uploads {
            Some(uploads) => uploads.begin(&batch.pixels),
            none => Uploader::new(device, batch.pixels.len())
                .and_then(|uploads| none.insert(uploads).begin(&batch.pixels)),
        };
        match begun {
            Ok(()) => self.batches.push_back(batch.next),
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// A batch as images, if it was sent.
    pub(crate) fn take(&mut self, batch: &Batch) -> Result<Option<Images>, TrainError> {
        let sent = self.batches.pop_front_if(|next| *next == batch.next).is_some();
        let Some(uploads) = self.uploads.as_mut().filter(|_| sent) else { return Ok(None) };
        let values = uploads.finish((batch.n, batch.height, batch.width), FORMAT.planes())?;
        Ok(Some(Images::new(values, FORMAT)?))
    }

    /// Whether more can be sent.
    pub(crate) fn goes_on(&self) -> bool {
        self.failed.is_none()
    }

    /// Why no more are sent, once.
    pub(crate) fn notice(&mut self) -> Option<String> {
        let failed = self.failed.as_mut().filter(|failed| !failed.is_empty())?;
        // candle writes a backtrace below the reason.
        let reason = std::mem::take(failed).lines().next().map(str::to_owned).unwrap_or_default();
        Some(format!("batches are not uploaded ahead: {reason}"))
    }
}
