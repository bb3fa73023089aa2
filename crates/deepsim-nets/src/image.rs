//! Image tensors that carry their channel order and value range.
//!
//! Networks disagree on what a picture is: Caffe's want BGR, 0..255 minus a mean; Exemplar-CNN
//! wants RGB / 256. [`Images`] keeps the [`PixelFormat`] with the tensor, so a comparator can
//! convert exactly and nothing is ever fed in the wrong order or range unnoticed.

use candle_core::{Device, Tensor};
use deepsim_ops::{Conv2dConfig, Planes, conv2d, pixels};
use serde::{Deserialize, Serialize};

use crate::NetError;

/// Order of the colour channels along axis 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: Caffe and OpenCV.
    Bgr,
}

/// What a value in an image tensor means: `value = (pixel - mean) * scale`, pixel in 0..255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelFormat {
    /// Order of the channels, also of `mean`.
    pub order: ChannelOrder,
    /// Subtracted from the pixel, per channel in `order`.
    pub mean: [f32; 3],
    /// Multiplies the result, per channel in `order`.
    pub scale: [f32; 3],
}

impl PixelFormat {
    /// BGR minus (104, 117, 123), not scaled: what the authors' networks were trained on.
    pub const CAFFE_BGR: Self =
        Self { order: ChannelOrder::Bgr, mean: [104.0, 117.0, 123.0], scale: [1.0; 3] };
    /// RGB, 0..255.
    pub const RGB_U8: Self = Self { order: ChannelOrder::Rgb, mean: [0.0; 3], scale: [1.0; 3] };
    /// RGB in 0..1, minus ImageNet's mean and over its standard deviation: torchvision's networks.
    pub const TORCHVISION: Self = Self {
        order: ChannelOrder::Rgb,
        mean: [123.675, 116.28, 103.53],
        scale: [1.0 / (255.0 * 0.229), 1.0 / (255.0 * 0.224), 1.0 / (255.0 * 0.225)],
    };

    /// What this format makes of bytes in RGB planes.
    ///
    /// ```
    /// use deepsim_nets::PixelFormat;
    /// assert_eq!(PixelFormat::CAFFE_BGR.planes().from, [2, 1, 0]);
    /// ```
    pub fn planes(self) -> Planes {
        let from = [0, 1, 2].map(|channel| self.channel(channel));
        Planes { from, mean: self.mean, scale: self.scale }
    }

    /// Position in this format's channels of the colour that is `rgb`-th in RGB order.
    fn channel(self, rgb: usize) -> usize {
        match self.order {
            ChannelOrder::Rgb => rgb,
            ChannelOrder::Bgr => 2 - rgb,
        }
    }
}

/// A batch of images `(N, 3, H, W)` with the format of its values.
#[derive(Clone, Debug)]
pub struct Images {
    tensor: Tensor,
    format: PixelFormat,
}

impl Images {
    /// Wraps a tensor whose values are in `format`.
    ///
    /// # Shapes
    /// `(N, 3, H, W)`
    ///
    /// # Errors
    /// If the tensor has another shape.
    pub fn new(tensor: Tensor, format: PixelFormat) -> Result<Self, NetError> {
        match tensor.dims() {
            [_, 3, _, _] => Ok(Self { tensor, format }),
            other => Err(NetError::Shape {
                operation: "Images::new",
                wanted: "a tensor (N, 3, H, W)".into(),
                got: format!("{other:?}"),
            }),
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
        Self::new(pixels(&bytes, format.planes())?, format)
    }

    /// Bytes in RGB planes: the mean is added back, values are rounded and clamped to 0..=255.
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
        Ok(Self { tensor, format: to })
    }

    /// Another tensor of images in the same format, e.g. a network's output for these.
    ///
    /// # Errors
    /// If the tensor is not `(N, 3, H, W)`.
    pub fn with_tensor(&self, tensor: Tensor) -> Result<Self, NetError> {
        Self::new(tensor, self.format)
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

    /// What the values mean.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.tensor.dims()[0]
    }

    /// True if there are no images.
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

#[cfg(test)]
mod tests {
    use super::*;

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
            "Images::from_u8: wanted 1 x 3 x 2 x 2 = 12 bytes, got 11 bytes"
        );
        let grey = Tensor::zeros((1, 1, 2, 2), candle_core::DType::F32, &Device::Cpu)
            .expect("a tensor of zeros");
        assert!(Images::new(grey, PixelFormat::RGB_U8).is_err());
    }
}
