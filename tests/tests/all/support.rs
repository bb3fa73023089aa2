//! Fixtures, repeatable numbers and comparisons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use deepsim_nets::{Images, Params, PixelFormat};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use serde::Deserialize;
use serde_json::Value;

use crate::programs::workspace;

/// A file of real data, if it is on this machine: below `DEEPSIM_SHARED`, or beside the workspace.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DEEPSIM_SHARED")
        .map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let path = folder.join("data").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (set DEEPSIM_SHARED to its folder)", path.display());
    None
}

/// The tensors of a safetensors file and the JSON note in its metadata.
pub(crate) struct Fixture {
    tensors: BTreeMap<String, (Vec<usize>, Values)>,
    /// The note; null if there is none.
    pub(crate) note: Value,
}

enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
}

impl Fixture {
    /// A file of `tests/fixtures`.
    pub(crate) fn open(name: &str) -> Result<Self> {
        Self::read(&workspace().join("tests/fixtures").join(name))
    }

    /// Any safetensors file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
        let note = match metadata.metadata().as_ref().and_then(|m| m.get("note")) {
            Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            None => Value::Null,
        };
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.iter() {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(
                    data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                ),
                Dtype::F64 => Values::F64(
                    data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
                ),
                Dtype::U8 => Values::U8(data.to_vec()),
                other => bail!("{name}: type {other:?}"),
            };
            tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
        Ok(Self { tensors, note })
    }

    fn get(&self, name: &str) -> Result<&(Vec<usize>, Values)> {
        self.tensors.get(name).with_context(|| format!("no tensor {name}"))
    }

    /// Names of the tensors, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Values of an f32 tensor.
    pub(crate) fn f32(&self, name: &str) -> Result<&[f32]> {
        match &self.get(name)?.1 {
            Values::F32(values) => Ok(values),
            _ => bail!("{name} is not f32"),
        }
    }

    /// Values of an f64 tensor.
    pub(crate) fn f64(&self, name: &str) -> Result<&[f64]> {
        match &self.get(name)?.1 {
            Values::F64(values) => Ok(values),
            _ => bail!("{name} is not f64"),
        }
    }

    /// Values of a byte tensor.
    pub(crate) fn u8(&self, name: &str) -> Result<&[u8]> {
        match &self.get(name)?.1 {
            Values::U8(values) => Ok(values),
            _ => bail!("{name} is not u8"),
        }
    }

    /// The axes of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.get(name)?.0)
    }

    /// An f32 tensor.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        Ok(Tensor::from_slice(self.f32(name)?, self.shape(name)?, &Device::Cpu)?)
    }

    /// Pictures stored as RGB bytes.
    pub(crate) fn images(&self, name: &str, format: PixelFormat) -> Result<Images> {
        let &[n, _, h, w] = self.shape(name)? else { bail!("{name} is no picture") };
        Ok(Images::from_u8(self.u8(name)?, n, h, w, format, &Device::Cpu)?)
    }

    /// A part of the note.
    pub(crate) fn note<T: for<'a> Deserialize<'a>>(&self, key: &str) -> Result<T> {
        let value = self.note.get(key).cloned().unwrap_or_default();
        serde_json::from_value(value).with_context(|| format!("note `{key}`"))
    }
}

/// `count` outputs of SplitMix64 seeded with the FNV-1a hash of `name`: `words` of
/// `tests/fixtures/common.py`.
pub(crate) fn words(name: &str, count: usize) -> impl Iterator<Item = u64> + use<> {
    let hash = |value: u64, byte| (value ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let key = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64).map(move |i| {
        let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(key);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// Values uniform in `[-amplitude, amplitude)`: `uniform` of `tests/fixtures/common.py`.
pub(crate) fn uniform(name: &str, shape: &[usize], amplitude: f32) -> Result<Tensor> {
    let scale = |word: u64| ((word >> 40) as i64 - (1 << 23)) as f32 * 2f32.powi(-23) * amplitude;
    let values: Vec<f32> = words(name, shape.iter().product()).map(scale).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Indices below `length`: `indices` of `tests/fixtures/common.py`.
pub(crate) fn indices(name: &str, count: usize, length: usize) -> Vec<usize> {
    if length <= count {
        return (0..length).collect();
    }
    words(name, count).map(|word| (word % length as u64) as usize).collect()
}

/// One weight of a network in a fixture's note.
#[derive(Clone, Deserialize)]
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) amplitude: f32,
    /// Added to all values.
    #[serde(default)]
    pub(crate) offset: f32,
}

impl Weight {
    /// The values, for the network of this name.
    fn values(&self, net: &str) -> Result<Tensor> {
        let values = uniform(&format!("{net}/{}", self.name), &self.shape, self.amplitude)?;
        Ok((values + f64::from(self.offset))?)
    }
}

/// Fills a network with the fixture's weights, which must be exactly the network's.
pub(crate) fn fill(params: &Params, net: &str, table: &[Weight]) -> Result<()> {
    let names: Vec<&str> = params.iter().map(|(name, _)| name).collect();
    let wanted: Vec<&str> = table.iter().map(|weight| weight.name.as_str()).collect();
    assert_eq!(names, wanted, "weights of {net}");
    for (weight, (_, var)) in table.iter().zip(params.iter()) {
        var.set(&weight.values(net)?)?;
    }
    Ok(())
}

/// Writes the fixture's weights as a safetensors file.
pub(crate) fn write_weights(path: &Path, net: &str, table: &[Weight]) -> Result<()> {
    let mut bytes = Vec::new();
    for weight in table {
        bytes.push(deepsim_nets::params::to_bytes(&weight.values(net)?)?);
    }
    let views = table
        .iter()
        .zip(&bytes)
        .map(|(w, bytes)| {
            Ok((w.name.as_str(), TensorView::new(Dtype::F32, w.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(serialize_to_file(views, None, path)?)
}

/// Returns the values of a tensor.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Largest difference over the largest wanted value; infinite if anything is not finite.
pub(crate) fn relative(got: &[f32], wanted: &[f32]) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0f64, f64::max);
    if got.len() != wanted.len() || !got.iter().chain(wanted).all(|v| v.is_finite()) {
        return f64::INFINITY;
    }
    let differences = got.iter().zip(wanted).map(|(g, w)| (f64::from(*g) - f64::from(*w)).abs());
    let difference = largest(&mut differences.into_iter());
    let scale = largest(&mut wanted.iter().map(|w| f64::from(w.abs())));
    if difference == 0.0 { 0.0 } else { difference / scale }
}

/// Norm of the difference over the norm of what was wanted.
pub(crate) fn relative_norm(got: &[f32], wanted: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let difference = got.iter().zip(wanted).map(|(g, w)| f64::from(*g) - f64::from(*w));
    let difference = squares(&mut difference.into_iter());
    let scale = squares(&mut wanted.iter().map(|w| f64::from(*w)));
    if difference == 0.0 { 0.0 } else { (difference / scale).sqrt() }
}

/// Collects errors against a tolerance, so that one failure does not hide the others.
pub(crate) struct Errors {
    tolerance: f64,
    all: Vec<(f64, String)>,
}

impl Errors {
    pub(crate) fn below(tolerance: f64) -> Self {
        Self { tolerance, all: Vec::new() }
    }

    /// Comparisons so far.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, error: f64) {
        self.all.push((error, name.into()));
    }

    pub(crate) fn tensor(&mut self, name: &str, got: &Tensor, wanted: &Tensor) -> Result<()> {
        assert_eq!(got.dims(), wanted.dims(), "shape of {name}");
        self.add(name, relative(&values(got)?, &values(wanted)?));
        Ok(())
    }

    /// Prints the largest error and fails if it, or any other, is too large.
    #[expect(clippy::print_stdout, reason = "shown by --nocapture, and when the test fails")]
    pub(crate) fn settle(mut self, what: &str) {
        self.all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (worst, name) = self.all.first().expect("something was compared");
        println!("{what}: {} comparisons, largest error {worst:.1e} ({name})", self.all.len());
        let bad: Vec<String> = self
            .all
            .iter()
            .filter(|(error, _)| error.is_nan() || *error > self.tolerance)
            .map(|(error, name)| format!("{name}: {error:.2e}"))
            .collect();
        assert!(bad.is_empty(), "{what}: errors above {:.0e}:\n{}", self.tolerance, bad.join("\n"));
    }
}

#[test]
fn the_generator_is_that_of_the_script() -> Result<()> {
    // python3 -c "from common import *; print(words('abc', 2), uniform('abc', [2], 0.3))"
    let first: Vec<u64> = words("abc", 2).collect();
    assert_eq!(first, [3018304574923447344, 5293921645041393453]);
    assert_eq!(values(&uniform("abc", &[2], 0.3)?)?, [-0.20182644, -0.12780958]);
    Ok(())
}
