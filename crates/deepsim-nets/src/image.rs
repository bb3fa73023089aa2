//! Image tensors that carry their channel order and value range.
//!
//! Networks take pixels in different formats: Caffe's take BGR, 0..255 minus a mean; Exemplar-CNN
//! takes RGB / 256. [`Images`] keeps the [`PixelFormat`] with the tensor, so that a comparator converts
//! exactly and no network gets pixels in the wrong order or range.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
pub use deepsim_ops::{ChannelOrder, PixelFormat};
use deepsim_ops::{Conv2dConfig, conv2d, pixels};

use crate::NetError;

/// Number of images of a program whose range is looked at in release builds.
const FIRST: usize = 16;

/// A batch of images `(N, 3, H, W)` with the format of its values.
#[derive(Clone, Debug)]
pub struct Images {
    tensor: Tensor,
    format: PixelFormat,
}

impl Images {
    /// Wraps a tensor whose values are in `format`. Grey images get three equal channels, if the format treats all
    /// channels alike.
    ///
    /// Logs a warning by `tracing`, once, where the values contradict the format: images in 0..=1 that are declared
    /// as 0..=255 give feature distances that are too small by a factor of thousands, and no error. Release builds look
    /// at the first images of a program only.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`, or grey `(N, 1, H, W)`
    ///
    /// # Errors
    /// If the tensor has another shape, or is grey and the format has a mean or scale for each channel.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use deepsim_nets::{Images, PixelFormat};
    /// let grey = Tensor::ones((2, 1, 8, 8), DType::F32, &Device::Cpu)?;
    /// assert_eq!(Images::new(grey, PixelFormat::UNIT)?.tensor().dims(), [2, 3, 8, 8]);
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn new(tensor: Tensor, format: PixelFormat) -> Result<Self, NetError> {
        let images = Self::of_shape("Images::new", tensor, format)?;
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        if cfg!(debug_assertions) || SEEN.fetch_add(1, Ordering::Relaxed) < FIRST {
            images.warn_of_range();
        }
        Ok(images)
    }

    /// Wraps the output of a network or of an optimisation, whose values may be anywhere; as [`Images::new`] without its
    /// warning.
    ///
    /// # Shapes
    /// As for [`Images::new`].
    ///
    /// # Errors
    /// As for [`Images::new`].
    pub fn of_output(tensor: Tensor, format: PixelFormat) -> Result<Self, NetError> {
        Self::of_shape("Images::of_output", tensor, format)
    }

    fn of_shape(
        operation: &'static str,
        tensor: Tensor,
        format: PixelFormat,
    ) -> Result<Self, NetError> {
        match tensor.dims() {
            [_, 3, _, _] => Ok(Self { tensor, format }),
            &[n, 1, h, w] if format.is_grey() => {
                Ok(Self { tensor: tensor.broadcast_as((n, 3, h, w))?.contiguous()?, format })
            }
            other => {
                let grey = if format.is_grey() { " or (N, 1, H, W)" } else { "" };
                let (wanted, got) = (format!("a tensor (N, 3, H, W){grey}"), format!("{other:?}"));
                Err(NetError::Shape { operation, wanted, got })
            }
        }
    }

    /// Wraps the output of a network, whose values may be anywhere.
    pub(crate) fn drawn(tensor: Tensor, format: PixelFormat) -> Self {
        Self { tensor, format }
    }

    /// Logs a warning, once in a program, if the values contradict the format.
    fn warn_of_range(&self) {
        static WARNED: Once = Once::new();
        if WARNED.is_completed() || !self.tensor.device().is_cpu() || self.is_empty() {
            return;
        }
        let ends = |tensor: &Tensor| -> candle_core::Result<(f32, f32)> {
            let tensor = tensor.detach().to_dtype(DType::F32)?;
            Ok((tensor.min_all()?.to_scalar()?, tensor.max_all()?.to_scalar()?))
        };
        if let Ok(found) = ends(&self.tensor)
            && let Some(contradiction) = contradiction(self.format, found)
        {
            WARNED.call_once(|| tracing::warn!("Images::new: {contradiction}"));
        }
    }

    /// Converts bytes in RGB planes to `format`.
    ///
    /// # Shapes
    /// `n * 3 * height * width` bytes -> `(n, 3, height, width)`
    ///
    /// # Errors
    /// If the number of bytes is another.
    pub fn from_u8(
        rgb: &[u8],
        n: usize,
        height: usize,
        width: usize,
        format: PixelFormat,
        device: &Device,
    ) -> Result<Self, NetError> {
        let plane = height * width;
        if rgb.len() != n * 3 * plane {
            return Err(NetError::Shape {
                operation: "Images::from_u8",
                wanted: format!("{n} x 3 x {height} x {width} = {} bytes", n * 3 * plane),
                got: format!("{} bytes", rgb.len()),
            });
        }
        let bytes = Tensor::from_slice(rgb, (n, 3, height, width), device)?;
        Ok(Self::drawn(pixels(&bytes, format)?, format))
    }

    /// Bytes in RGB planes: the mean is added back, values are rounded and clamped to 0..=255. A NaN becomes 0.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` -> `N * 3 * H * W` bytes
    ///
    /// # Errors
    /// If the tensor cannot be read back from its device.
    pub fn to_u8(&self) -> Result<Vec<u8>, NetError> {
        let values = self.tensor.flatten_all()?.to_vec1::<f32>()?;
        let plane = self.height() * self.width();
        let mut bytes = vec![0u8; values.len()];
        for (index, plane_out) in bytes.chunks_exact_mut(plane.max(1)).enumerate() {
            let channel = self.format.channel(index % 3);
            let start = (index / 3 * 3 + channel) * plane;
            for (byte, value) in plane_out.iter_mut().zip(&values[start..start + plane]) {
                let pixel = value / self.format.scale[channel] + self.format.mean[channel];
                *byte = pixel.round().clamp(0.0, 255.0) as u8;
            }
        }
        Ok(bytes)
    }

    /// The same images in another format. Differentiable.
    ///
    /// # Errors
    /// If the tensor operation fails.
    pub fn convert(&self, to: PixelFormat) -> Result<Self, NetError> {
        let from = self.format;
        if from == to {
            return Ok(self.clone());
        }
        // An affine map of the colours is a 1x1 convolution, which already has a gradient.
        let (mut weight, mut bias) = ([0f32; 9], [0f32; 3]);
        for rgb in 0..3 {
            let (source, target) = (from.channel(rgb), to.channel(rgb));
            weight[target * 3 + source] = to.scale[target] / from.scale[source];
            bias[target] = (from.mean[source] - to.mean[target]) * to.scale[target];
        }
        let device = self.tensor.device();
        let weight = Tensor::from_slice(&weight, (3, 3, 1, 1), device)?;
        let bias = Tensor::from_slice(&bias, 3, device)?;
        let tensor = conv2d(&self.tensor, &weight, Some(&bias), Conv2dConfig::default())?;
        Ok(Self::drawn(tensor, to))
    }

    /// Another tensor of images in the same format, e.g. a network's output for these.
    ///
    /// # Errors
    /// If the tensor is not `(N, 3, H, W)`.
    pub fn with_tensor(&self, tensor: Tensor) -> Result<Self, NetError> {
        Self::of_shape("Images::with_tensor", tensor, self.format)
    }

    /// These images, then `others` of the same size, in this format.
    ///
    /// # Shapes
    /// `(N, 3, H, W)` and `(M, 3, H, W)` -> `(N + M, 3, H, W)`
    ///
    /// # Errors
    /// If the sizes differ.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{Images, PixelFormat};
    /// let image = |grey| Images::from_u8(&[grey; 12], 1, 2, 2, PixelFormat::RGB_U8, &Device::Cpu);
    /// let both = image(1)?.followed_by(&image(2)?)?;
    /// assert_eq!((both.len(), both.to_u8()?[23]), (2, 2));
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn followed_by(&self, others: &Self) -> Result<Self, NetError> {
        let others = others.convert(self.format)?;
        if self.tensor.dims()[1..] != others.tensor.dims()[1..] {
            return Err(NetError::Shape {
                operation: "Images::followed_by",
                wanted: format!("images of {}x{}", self.height(), self.width()),
                got: format!("{}x{}", others.height(), others.width()),
            });
        }
        self.with_tensor(Tensor::cat(&[&self.tensor, &others.tensor], 0)?)
    }

    /// The values, `(N, 3, H, W)`.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Returns the values without their format.
    ///
    /// ```
    /// # use candle_core::Device;
    /// # use deepsim_nets::{Images, PixelFormat};
    /// let pixels = [255; 3 * 2 * 2]; // u8 planes: red, green, blue
    /// let images = Images::from_u8(&pixels, 1, 2, 2, PixelFormat::UNIT, &Device::Cpu)?;
    /// assert_eq!(images.into_tensor().max_all()?.to_scalar::<f32>()?, 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }

    /// Channel order and value range of the pixels.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.tensor.dims()[0]
    }

    /// Returns true if there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.tensor.dims()[2]
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.tensor.dims()[3]
    }
}

/// Explains how the smallest and largest value of some images contradict a format, if they do: they are beyond its
/// range by more than its width, or within a 64th of it (4 of 255) without being equal.
fn contradiction(format: PixelFormat, (low, high): (f32, f32)) -> Option<String> {
    let (least, most) = format.range();
    let width = most - least;
    let beyond = low < least - width || high > most + width;
    let narrow = high > low && high - low < width / 64.0;
    (beyond || narrow).then(|| {
        format!(
            "expected values of {least} to {most}, as {format:?} says, found {low} to {high}; are the images in \
             another format?"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_another_format_are_noticed() {
        let (unit, bytes, symmetric) =
            (PixelFormat::UNIT, PixelFormat::RGB_U8, PixelFormat::SYMMETRIC);
        for (format, found) in [
            (bytes, (0.0, 1.0)),
            (bytes, (-1.0, 1.0)),
            (PixelFormat::CAFFE_BGR, (-1.0, 1.0)),
            (unit, (0.0, 255.0)),
            (symmetric, (-118.0, 131.0)),
            (unit, (-118.0, 131.0)),
        ] {
            let message = contradiction(format, found).expect("a contradiction");
            assert!(message.contains(&format!("found {} to {}", found.0, found.1)), "{message}");
        }
        for (format, found) in [
            (bytes, (0.0, 255.0)),
            (bytes, (3.0, 90.0)),
            (bytes, (7.0, 7.0)),
            (unit, (0.0, 1.0)),
            (symmetric, (0.0, 1.0)),
            (PixelFormat::TORCHVISION, (-2.1, 2.6)),
            // Reconstructions overshoot.
            (bytes, (-40.0, 300.0)),
        ] {
            assert_eq!(contradiction(format, found), None);
        }
    }

    #[test]
    fn bytes_survive_a_round_trip_through_every_format() -> Result<(), NetError> {
        let rgb: Vec<u8> = (0..2 * 3 * 4 * 5).map(|i| (i * 2) as u8).collect();
        let formats = [PixelFormat::CAFFE_BGR, PixelFormat::RGB_U8, PixelFormat::TORCHVISION];
        for format in formats {
            let images = Images::from_u8(&rgb, 2, 4, 5, format, &Device::Cpu)?;
            assert_eq!(images.to_u8()?, rgb, "{format:?}");
            for other in formats {
                assert_eq!(images.convert(other)?.to_u8()?, rgb, "{format:?} -> {other:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn caffe_format_is_blue_first_minus_the_mean() -> Result<(), NetError> {
        // One pixel: red 200, green 100, blue 50.
        let images =
            Images::from_u8(&[200, 100, 50], 1, 1, 1, PixelFormat::CAFFE_BGR, &Device::Cpu)?;
        assert_eq!(images.tensor().flatten_all()?.to_vec1::<f32>()?, [-54.0, -17.0, 77.0]);
        Ok(())
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let error = Images::from_u8(&[0; 11], 1, 2, 2, PixelFormat::RGB_U8, &Device::Cpu);
        assert_eq!(
            error.expect_err("11 bytes are not 1x3x2x2").to_string(),
            "Images::from_u8: expected 1 x 3 x 2 x 2 = 12 bytes, found 11 bytes"
        );
        let grey = Tensor::zeros((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu)
            .expect("a tensor of zeros");
        // Grey has no one value in a format with a mean for each channel.
        let message =
            Images::new(grey.clone(), PixelFormat::CAFFE_BGR).expect_err("grey").to_string();
        assert_eq!(message, "Images::new: expected a tensor (N, 3, H, W), found [1, 1, 2, 2]");
        let images = Images::new(grey, PixelFormat::RGB_U8).expect("three equal channels");
        assert_eq!(images.to_u8().expect("bytes"), [0; 12]);
    }
}
