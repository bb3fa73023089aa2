//! Batches as candle tensors that carry the format of their values (feature `candle`).

use candle_core::{Device, Tensor};

use crate::{Batch, DataError, Format};

/// Images `(N, 3, H, W)` with the format of their values.
#[derive(Clone, Debug)]
pub struct Pixels {
    tensor: Tensor,
    format: Format,
}

impl Pixels {
    /// The tensor, for a network that takes `wanted`.
    ///
    /// # Shapes
    /// -> `(N, 3, H, W)`
    ///
    /// # Errors
    /// If the values have another format: what a network would not notice.
    pub fn tensor(&self, wanted: &Format) -> Result<&Tensor, DataError> {
        if *wanted == self.format {
            return Ok(&self.tensor);
        }
        Err(DataError::Argument {
            operation: "giving pixels to a network",
            wanted: format!("{wanted:?}"),
            got: format!("{:?}", self.format),
        })
    }

    /// The format of the values.
    pub fn format(&self) -> &Format {
        &self.format
    }
}

impl Batch {
    /// The pixels in a format, as a tensor of 32-bit floats.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_data::{Crop, Format, Scenes, read_range, scenes};
    /// let batch = read_range(&Scenes::new(0, scenes::TEST, 9), 0..2, Crop::Center(64))?;
    /// let pixels = batch.to_tensor(&Format::CAFFE_BGR, &Device::Cpu)?;
    /// assert_eq!(pixels.tensor(&Format::CAFFE_BGR)?.dims(), [2, 3, 64, 64]);
    /// assert!(pixels.tensor(&Format::TORCHVISION).is_err());
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Batch::to_f32`], or if the device has no memory left.
    pub fn to_tensor(&self, format: &Format, device: &Device) -> Result<Pixels, DataError> {
        let shape = (self.n, 3, self.height, self.width);
        let tensor = Tensor::from_vec(self.to_f32(format)?, shape, device)?;
        Ok(Pixels { tensor, format: format.clone() })
    }

    /// The classes as a tensor of 32-bit integers.
    ///
    /// # Shapes
    /// -> `(N)`
    ///
    /// # Errors
    /// If a sample has no label, or the device no memory.
    pub fn labels_tensor(&self, device: &Device) -> Result<Tensor, DataError> {
        let labels: Option<Vec<u32>> = self.samples.iter().map(|sample| sample.label).collect();
        let labels = labels.ok_or_else(|| DataError::Argument {
            operation: "labels as a tensor",
            wanted: "a label for every sample".into(),
            got: "a source without labels".into(),
        })?;
        Ok(Tensor::from_vec(labels, self.n, device)?)
    }
}
