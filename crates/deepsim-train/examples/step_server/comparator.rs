//! FrozenNetworks networks and data that both sides share through files.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var, safetensors};
use deepsim_nets::init::Filler;
use deepsim_nets::random::stream;
use deepsim_nets::{ComparatorKind, Images, Params, PixelFormat};
use rand_chacha::rand_core::Rng;

use crate::serve::Result;

/// The file with the weights of encoder and comparator.
pub(crate) const FILE: &str = "fixed.safetensors";

/// The recipes' learning rate. For `check` a tenth of it: Adam's first updates are nearly the signs of
/// gradients, and those that rounding decides should not decide whether two losses agree.
pub(crate) fn learning_rate(check: bool) -> f64 {
    if check { 2e-5 } else { 2e-4 }
}

/// Names and shapes of a network's weights up to a layer in the paper's names, which are those of the
/// rows in capitals.
fn tensors(kind: &ComparatorKind, tap: &str) -> Vec<(String, Vec<usize>)> {
    let last = format!("{}.", tap.to_lowercase());
    let mut all = kind.tensors();
    let end = all.iter().rposition(|(name, _)| name.starts_with(&last));
    all.truncate(end.map_or(all.len(), |end| end + 1));
    all
}

/// Number of weights of a network up to a layer.
pub(crate) fn count(kind: &ComparatorKind, tap: &str) -> usize {
    tensors(kind, tap).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}

/// Draws the weights of a network up to a layer, and writes them into `folder`.
pub(crate) fn draw(kind: &ComparatorKind, tap: &str, folder: &Path) -> Result<()> {
    let named = |(name, shape): (String, Vec<usize>)| {
        // Pixels are large, and features should not be.
        let coeff = if name == "conv1.weight" { 0.02 } else { 1.0 };
        let values = match shape[..] {
            [len] => vec![1.0; len],
            _ => Filler::Msra { coeff }.draw(&shape, &mut stream(0, &name, 0)),
        };
        Ok((name, Var::from_vec(values, shape, &Device::Cpu)?))
    };
    let params = tensors(kind, tap).into_iter().map(named).collect::<Result<Params>>()?;
    Ok(params.save(&folder.join(FILE), "{}")?)
}

/// Draws a weight anew, larger than recipes have it.
pub(crate) fn redraw(name: &str, var: &Var) -> Result<()> {
    let msra = Filler::Msra { coeff: 1.0 };
    let values = msra.draw(var.dims(), &mut stream(0, name, 0));
    Ok(var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?)
}

/// The batch of noise in `folder`, drawn and written first if `fresh`.
pub(crate) fn images(n: usize, side: usize, folder: &Path, fresh: bool) -> Result<Images> {
    let path = folder.join("images.safetensors");
    let format = PixelFormat::CAFFE_BGR;
    if fresh {
        let mut bytes = vec![0; n * 3 * side * side];
        stream(0, "images", 0).fill_bytes(&mut bytes);
        let images = Images::from_u8(&bytes, n, side, side, format, &Device::Cpu)?;
        save(&path, "images", images.tensor())?;
        return Ok(images);
    }
    let mut tensors = safetensors::load(&path, &Device::Cpu)?;
    let images = tensors.remove("images").ok_or("no images in the file")?;
    Ok(Images::new(images, format)?)
}

/// Writes a file with one tensor.
pub(crate) fn save(path: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    Ok(safetensors::save(&HashMap::from([(name, tensor.clone())]), path)?)
}
