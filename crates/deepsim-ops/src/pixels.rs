//! Pixel formats, and conversion of image bytes to the values that networks take.

use candle_core::{DType, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Order of the colour channels along axis 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red: Caffe and OpenCV.
    Bgr,
}

/// Meaning of a value in an image tensor: `value = (pixel - mean) * scale`, pixel in 0..=255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelFormat {
    /// Order of the channels, also of `mean` and `scale`.
    pub order: ChannelOrder,
    /// Subtracted from the pixel, per channel.
    pub mean: [f32; 3],
    /// Multiplies the result, per channel.
    pub scale: [f32; 3],
}

impl PixelFormat {
    /// BGR minus (104, 117, 123), not scaled: the networks of the authors and of Caffe.
    pub const CAFFE_BGR: Self =
        Self { order: ChannelOrder::Bgr, mean: [104.0, 117.0, 123.0], scale: [1.0; 3] };
    /// RGB in 0..=255.
    pub const RGB_U8: Self = Self { order: ChannelOrder::Rgb, mean: [0.0; 3], scale: [1.0; 3] };
    /// RGB in 0..=1, as torchvision's `ToTensor` gives.
    pub const UNIT: Self = Self { scale: [1.0 / 255.0; 3], ..Self::RGB_U8 };
    /// RGB in -1..=1: generators that end with tanh.
    pub const SYMMETRIC: Self = Self { mean: [127.5; 3], scale: [1.0 / 127.5; 3], ..Self::RGB_U8 };
    /// RGB in 0..=1, minus ImageNet's mean and over its standard deviation: torchvision's networks.
    pub const TORCHVISION: Self = Self {
        order: ChannelOrder::Rgb,
        mean: [123.675, 116.28, 103.53],
        scale: [1.0 / (255.0 * 0.229), 1.0 / (255.0 * 0.224), 1.0 / (255.0 * 0.225)],
    };

    /// Formats with a name in files.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("caffe-bgr", Self::CAFFE_BGR),
        ("rgb-u8", Self::RGB_U8),
        ("unit", Self::UNIT),
        ("symmetric", Self::SYMMETRIC),
        ("torchvision", Self::TORCHVISION),
    ];

    /// Returns the format of this name.
    ///
    /// ```
    /// use deepsim_ops::PixelFormat;
    /// assert_eq!(PixelFormat::named("unit"), Some(PixelFormat::UNIT));
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format)
    }

    /// Position in the channels of the colour that is `rgb`-th in RGB order.
    pub fn channel(self, rgb: usize) -> usize {
        match self.order {
            ChannelOrder::Rgb => rgb,
            ChannelOrder::Bgr => 2 - rgb,
        }
    }

    /// Returns true if all channels have the same mean and scale, so that grey has one value.
    pub fn is_grey(self) -> bool {
        let same = |values: [f32; 3]| values.iter().all(|value| *value == values[0]);
        same(self.mean) && same(self.scale)
    }

    /// Smallest and largest value of all channels.
    ///
    /// ```
    /// use deepsim_ops::PixelFormat;
    /// assert_eq!(PixelFormat::SYMMETRIC.range(), (-1.0, 1.0));
    /// assert_eq!(PixelFormat::CAFFE_BGR.range(), (-123.0, 151.0));
    /// ```
    pub fn range(self) -> (f32, f32) {
        let ends =
            (0..3).flat_map(|c| [0.0, 255.0].map(|pixel| (pixel - self.mean[c]) * self.scale[c]));
        ends.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), end| {
            (low.min(end), high.max(end))
        })
    }
}

/// Converts bytes in RGB planes to the values of a format.
///
/// # Shapes
/// `u8 (N, 3, H, W)` -> `f32 (N, 3, H, W)`
///
/// # Errors
/// If the tensor has another shape or type.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_ops::{PixelFormat, pixels};
/// let bytes = Tensor::from_vec(vec![200u8, 100, 50], (1, 3, 1, 1), &Device::Cpu)?;
/// let values = pixels(&bytes, PixelFormat::CAFFE_BGR)?;
/// assert_eq!(values.flatten_all()?.to_vec1::<f32>()?, [-54.0, -17.0, 77.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn pixels(bytes: &Tensor, format: PixelFormat) -> Result<Tensor> {
    const OP: &str = "pixels";
    let &[n, 3, h, w] = bytes.dims() else {
        bail!("{OP}: expected bytes (N, 3, H, W), found {:?}", bytes.dims())
    };
    if bytes.dtype() != DType::U8 {
        bail!("{OP}: expected u8, found {:?}", bytes.dtype());
    }
    let bytes = bytes.contiguous()?;
    #[cfg(feature = "cuda")]
    if bytes.device().is_cuda() {
        return crate::cuda::pixels(&bytes, format);
    }
    let values = converted(&bytes.flatten_all()?.to_vec1::<u8>()?, h * w, format);
    Tensor::from_vec(values, (n, 3, h, w), bytes.device())
}

/// Converts on the CPU, for planes of this many bytes.
fn converted(bytes: &[u8], plane: usize, format: PixelFormat) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len());
    for image in bytes.chunks_exact(3 * plane.max(1)) {
        for channel in 0..3 {
            let (mean, scale) = (format.mean[channel], format.scale[channel]);
            let from = format.channel(channel) * plane;
            let plane = image[from..from + plane].iter();
            values.extend(plane.map(|&byte| (f32::from(byte) - mean) * scale));
        }
    }
    values
}
