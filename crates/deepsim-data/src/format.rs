//! What the numbers of a network's input mean: channel order, mean, scale.

use std::sync::Arc;

use crate::mean::MeanImage;
use crate::{Batch, DataError};

/// The order of the three planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: Caffe's.
    Bgr,
}

/// What is subtracted from bytes of 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub enum Mean {
    /// A number for each channel, in the format's order.
    Channels([f32; 3]),
    /// A number for each pixel, of which the same part is taken as of the image.
    Image(Arc<MeanImage>),
}

/// A format of pixels: `(byte - mean) * scale`, in a channel order.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// Order of the planes.
    pub order: ChannelOrder,
    /// What is subtracted.
    pub mean: Mean,
    /// What the difference is multiplied with, in the format's order.
    pub scale: [f32; 3],
}

impl Format {
    /// Bytes as they are: red, green, blue, 0 to 255.
    pub const BYTES: Self =
        Self { order: ChannelOrder::Rgb, mean: Mean::Channels([0.0; 3]), scale: [1.0; 3] };

    /// The paper's: blue, green, red, 0 to 255 minus (104, 117, 123).
    pub const CAFFE_BGR: Self = Self {
        order: ChannelOrder::Bgr,
        mean: Mean::Channels([104.0, 117.0, 123.0]),
        scale: [1.0; 3],
    };

    /// torchvision's: red, green, blue, 0 to 1 minus (0.485, 0.456, 0.406), divided by
    /// (0.229, 0.224, 0.225).
    pub const TORCHVISION: Self = Self {
        order: ChannelOrder::Rgb,
        mean: Mean::Channels([255.0 * 0.485, 255.0 * 0.456, 255.0 * 0.406]),
        scale: [1.0 / (255.0 * 0.229), 1.0 / (255.0 * 0.224), 1.0 / (255.0 * 0.225)],
    };

    /// Blue, green, red minus a mean image, as Caffe does with a `.binaryproto`.
    pub fn caffe_mean_image(mean: MeanImage) -> Self {
        let (order, scale) = (ChannelOrder::Bgr, [1.0; 3]);
        Self { order, mean: Mean::Image(Arc::new(mean)), scale }
    }

    /// Position in red, green, blue of the plane that is `channel`-th in this format.
    fn rgb(&self, channel: usize) -> usize {
        match self.order {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => 2 - channel,
        }
    }
}

impl Batch {
    /// The pixels in a format.
    ///
    /// ```
    /// use deepsim_data::{Crop, Format, Scenes, read_range, scenes};
    /// let batch = read_range(&Scenes::new(0, scenes::TEST, 9), 0..2, Crop::Center(64))?;
    /// let values = batch.to_f32(&Format::CAFFE_BGR)?;
    /// assert_eq!(values.len(), 2 * 3 * 64 * 64);
    /// assert_eq!(values[0], f32::from(batch.pixels[2 * 64 * 64]) - 104.0, "blue comes first");
    /// # Ok::<(), deepsim_data::DataError>(())
    /// ```
    ///
    /// # Shapes
    /// -> `n x 3 x height x width`
    ///
    /// # Errors
    /// If the format has a mean image in which an image's part does not lie, or the batch has
    /// another number of pixels than its samples and size say.
    pub fn to_f32(&self, format: &Format) -> Result<Vec<f32>, DataError> {
        let plane = self.height * self.width;
        if plane == 0 || self.pixels.len() != 3 * plane * self.samples.len() {
            let (n, pixels) = (self.samples.len(), self.pixels.len());
            return Err(DataError::Argument {
                operation: "converting a batch",
                wanted: format!("{n} samples of 3 x {} x {} bytes", self.height, self.width),
                got: format!("{pixels} bytes"),
            });
        }
        let mut values = vec![0.0; self.pixels.len()];
        let images = self.pixels.chunks_exact(3 * plane).zip(values.chunks_exact_mut(3 * plane));
        for ((pixels, values), sample) in images.zip(&self.samples) {
            for (channel, values) in values.chunks_exact_mut(plane).enumerate() {
                let pixels = &pixels[format.rgb(channel) * plane..][..plane];
                let scale = format.scale[channel];
                match &format.mean {
                    Mean::Channels(mean) => {
                        for (value, pixel) in values.iter_mut().zip(pixels) {
                            *value = (f32::from(*pixel) - mean[channel]) * scale;
                        }
                    }
                    Mean::Image(mean) => {
                        let rows = mean.rows(format.rgb(channel), sample.part)?;
                        let rows = rows.zip(pixels.chunks_exact(self.width));
                        for ((mean, pixels), values) in
                            rows.zip(values.chunks_exact_mut(self.width))
                        {
                            subtract(pixels, mean, sample.mirrored, scale, values);
                        }
                    }
                }
            }
        }
        Ok(values)
    }
}

/// One row minus the mean's; of a mirrored image, the mean's is mirrored too.
fn subtract(pixels: &[u8], mean: &[f32], mirrored: bool, scale: f32, values: &mut [f32]) {
    let last = mean.len() - 1;
    for (x, (value, pixel)) in values.iter_mut().zip(pixels).enumerate() {
        *value = (f32::from(*pixel) - mean[if mirrored { last - x } else { x }]) * scale;
    }
}
