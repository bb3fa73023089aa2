//! Data and comparator that both sides share through files.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};
use deepsim_nets::init::Filler;
use deepsim_nets::random::stream;
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use rand_chacha::rand_core::Rng;

use crate::serve::Result;

/// Name and shape of each convolution of AlexNet's trunk.
const LAYERS: [(&str, [usize; 4]); 5] = [
    ("conv1", [96, 3, 11, 11]),
    ("conv2", [256, 48, 5, 5]),
    ("conv3", [384, 256, 3, 3]),
    ("conv4", [384, 192, 3, 3]),
    ("conv5", [256, 192, 3, 3]),
];

/// Number of weights of the trunk.
pub(crate) fn count() -> usize {
    LAYERS.iter().map(|(_, shape)| shape.iter().product::<usize>() + shape[0]).sum()
}

/// Opens the comparator in `folder`, which is drawn and written first if `fresh`.
pub(crate) fn open(
    kind: ComparatorKind,
    folder: &Path,
    fresh: bool,
) -> Result<Box<dyn Comparator>> {
    let path = folder.join("comparator.safetensors");
    if fresh {
        let mut tensors = HashMap::new();
        for (name, shape) in LAYERS {
            let mut rng = stream(0, name, 0);
            let weight = Filler::Msra { coeff: 1.0 }.draw(&shape, &mut rng);
            let bias = Tensor::new(&vec![1f32; shape[0]][..], &Device::Cpu)?;
            let weight = Tensor::from_vec(weight, &shape, &Device::Cpu)?;
            tensors.insert(format!("{name}.weight"), weight);
            tensors.insert(format!("{name}.bias"), bias);
        }
        safetensors::save(&tensors, &path)?;
    }
    Ok(kind.open(Some(&path), 0, &Device::Cpu)?)
}

/// The batch of noise in `folder`, drawn and written first if `fresh`.
pub(crate) fn images(n: usize, side: usize, folder: &Path, fresh: bool) -> Result<Images> {
    let path = folder.join("images.safetensors");
    let format = PixelFormat::CAFFE_BGR;
    if fresh {
        let mut bytes = vec![0; n * 3 * side * side];
        stream(0, "images", 0).fill_bytes(&mut bytes);
        let images = Images::from_u8(&bytes, n, side, side, format, &Device::Cpu)?;
        safetensors::save(&HashMap::from([("images", images.tensor().clone())]), &path)?;
        return Ok(images);
    }
    let mut tensors = safetensors::load(&path, &Device::Cpu)?;
    let images = tensors.remove("images").ok_or("no images in the file")?;
    Ok(Images::new(images, format)?)
}
