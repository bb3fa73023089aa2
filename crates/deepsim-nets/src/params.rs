//! The weights of a network: an ordered list of named variables, saved and loaded strictly.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::NetError;
use crate::layers::Start;
use crate::random::stream;

/// Key of the safetensors metadata under which the JSON description of the network stands.
pub const SPEC_KEY: &str = "net";

/// Named `f32` variables in the order of the network's layer table.
///
/// ```
/// use candle_core::{Device, Var};
/// use deepsim_nets::{Autoencoder, AutoencoderConfig, Params};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let net = Autoencoder::new(AutoencoderConfig::default(), 0, &Device::Cpu)?;
/// let (name, var) = net.params().iter().next().expect("a network with weights");
/// assert_eq!((name, var.dims()), ("encoder.c1.weight", &[32, 3, 5, 5][..]));
///
/// // Variables of your own are collected, saved, and loaded strictly: the same names and shapes.
/// let own: Params = [("scale".to_owned(), Var::new(&[1f32, 2.0], &Device::Cpu)?)].into_iter().collect();
/// let file = std::env::temp_dir().join(format!("params-{}.safetensors", std::process::id()));
/// own.save(&file, "{}")?;
/// own.load(&file, "my network")?;
/// assert!(net.params().load(&file, "the autoencoder").is_err());
/// # std::fs::remove_file(file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Params {
    entries: Vec<(String, Var)>,
}

impl Params {
    /// The variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.entries.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The variable called `name`.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.entries.iter().find(|(n, _)| n == name).map(|(_, var)| var)
    }

    /// Returns the variables whose names pass the filter: the same ones, not copies.
    pub fn part(&self, wanted: impl Fn(&str) -> bool) -> Self {
        self.entries.iter().filter(|(name, _)| wanted(name)).cloned().collect()
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of scalar weights.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|(_, var)| var.elem_count()).sum()
    }

    pub(crate) fn push(&mut self, name: String, var: Var) {
        debug_assert!(self.get(&name).is_none(), "two parameters are called {name}");
        self.entries.push((name, var));
    }

    /// Writes a safetensors file with `spec` (JSON) as metadata key [`SPEC_KEY`]; the file appears
    /// whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, spec: &str) -> Result<(), NetError> {
        write_atomic(path, &self.serialize(Dtype::F32, spec)?)
    }

    /// The bytes that [`Params::save`] writes.
    ///
    /// # Errors
    /// If the weights cannot be copied from their device.
    pub fn to_safetensors(&self, spec: &str) -> Result<Vec<u8>, NetError> {
        self.serialize(Dtype::F32, spec)
    }

    /// [`Params::save`] with weights rounded to half precision, for files that are handed on.
    ///
    /// # Errors
    /// If a weight is larger than half precision holds, or a tensor loses more than a hundredth of its
    /// norm because its weights are too small; all of them are listed. If the file cannot be written.
    pub fn save_half(&self, path: &Path, spec: &str) -> Result<(), NetError> {
        let mut problems = Vec::new();
        for (name, var) in self.iter() {
            problems
                .extend(half_problem(&from_bytes(&to_bytes(var)?)).map(|e| format!("{name}: {e}")));
        }
        if !problems.is_empty() {
            return Err(NetError::Half { path: path.into(), problems });
        }
        write_atomic(path, &self.serialize(Dtype::F16, spec)?)
    }

    fn serialize(&self, dtype: Dtype, spec: &str) -> Result<Vec<u8>, NetError> {
        let bytes = |var: &Var| -> Result<Vec<u8>, NetError> {
            Ok(match dtype {
                Dtype::F16 => halves(&to_bytes(var)?),
                _ => to_bytes(var)?,
            })
        };
        let values = self
            .iter()
            .map(|(name, var)| Ok((name.to_owned(), var.dims().to_vec(), bytes(var)?)))
            .collect::<Result<Vec<_>, NetError>>()?;
        let views = values.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes);
            (name.as_str(), view.expect("as many bytes as values of the type need"))
        });
        let metadata = HashMap::from([(SPEC_KEY.to_owned(), spec.to_owned())]);
        Ok(serialize(views, Some(metadata)).expect("distinct names and a short description"))
    }

    /// Fills every variable from a safetensors file that holds exactly these tensors, as `f32` or
    /// `f16`.
    ///
    /// # Errors
    /// If the file cannot be read, or if tensors are missing, unexpected, of another shape or type,
    /// or not finite: all of them are listed, and no variable has been changed.
    pub fn load(&self, path: &Path, net: &str) -> Result<(), NetError> {
        let bytes = read(path)?;
        self.fill(&parse(path, &bytes)?, path, net, |name| Some(name.to_owned()))
    }

    /// Like [`Params::load`], for a file that holds more than this network: only tensors for which
    /// `local_name` gives a name are looked at.
    ///
    /// # Errors
    /// As [`Params::load`].
    pub fn fill(
        &self,
        file: &SafeTensors<'_>,
        path: &Path,
        net: &str,
        local_name: impl Fn(&str) -> Option<String>,
    ) -> Result<(), NetError> {
        let mut found: BTreeMap<String, TensorView<'_>> =
            file.iter().filter_map(|(name, view)| Some((local_name(name)?, view))).collect();
        let (mut problems, mut values) = (Vec::new(), Vec::new());
        for (name, var) in self.iter() {
            match found.remove(name) {
                None => problems.push(format!("{name}: missing, expected shape {:?}", var.dims())),
                Some(view) => match values_of(&view).filter(|_| view.shape() == var.dims()) {
                    None => problems.push(format!(
                        "{name}: expected f32 or f16 {:?}, found {:?} {:?}",
                        var.dims(),
                        view.dtype(),
                        view.shape()
                    )),
                    Some(data) => match data.iter().find(|value| !value.is_finite()) {
                        Some(value) => problems.push(format!("{name}: holds {value}")),
                        None => values.push((var, data)),
                    },
                },
            }
        }
        problems.extend(
            found.iter().map(|(name, view)| format!("{name}: unexpected, {:?}", view.shape())),
        );
        if !problems.is_empty() {
            return Err(NetError::Mismatch { path: path.into(), net: net.into(), problems });
        }
        for (var, data) in values {
            var.set(&Tensor::from_vec(data, var.shape(), var.device())?)?;
        }
        Ok(())
    }
}

impl FromIterator<(String, Var)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, Var)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

/// Makes the variables of a network, each drawn from its own random stream.
pub(crate) struct ParamBuilder<'a> {
    pub(crate) params: Params,
    net: &'a str,
    seed: u64,
    device: &'a Device,
}

impl<'a> ParamBuilder<'a> {
    /// `net` keeps networks with equal names of weights and equal seeds from sharing draws.
    pub(crate) fn new(net: &'a str, seed: u64, device: &'a Device) -> Self {
        Self { params: Params::default(), net, seed, device }
    }

    /// Makes a tensor; what is drawn comes from the stream of its own name.
    pub(crate) fn tensor(
        &mut self,
        name: String,
        shape: &[usize],
        start: Start,
    ) -> Result<Tensor, NetError> {
        let value = match start {
            Start::Constant(value) => Tensor::full(value, shape, self.device)?.contiguous()?,
            Start::Drawn(filler) => {
                let mut rng = stream(self.seed, &format!("init/{}/{name}", self.net), 0);
                Tensor::from_vec(filler.draw(shape, &mut rng), shape, self.device)?
            }
        };
        self.add(name, value)
    }

    fn add(&mut self, name: String, value: Tensor) -> Result<Tensor, NetError> {
        let var = Var::from_tensor(&value)?;
        let tensor = var.as_tensor().clone();
        self.params.push(name, var);
        Ok(tensor)
    }
}

/// Reads a whole file.
///
/// # Errors
/// Names the file.
pub fn read(path: &Path) -> Result<Vec<u8>, NetError> {
    std::fs::read(path).map_err(|source| NetError::Io {
        operation: "reading weights from",
        path: path.into(),
        source,
    })
}

/// Parses the bytes of a safetensors file.
///
/// # Errors
/// Names the file the bytes came from.
pub fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, NetError> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| NetError::Format { path: path.into(), reason: e.to_string() })
}

/// Little-endian bytes of a tensor's values.
pub fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>, NetError> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Largest loss of a tensor's norm in half precision. Rounding costs a thousandth at most where weights
/// are not too small.
const MAX_HALF_LOSS: f64 = 1e-2;

/// Loss by rounding values to half precision, if it is too much.
fn half_problem(values: &[f32]) -> Option<String> {
    let rounded = |value: f32| half::f16::from_f32(value).to_f32();
    if let Some(value) =
        values.iter().find(|value| value.is_finite() && !rounded(**value).is_finite())
    {
        return Some(format!("{value} is larger than half precision holds (65504)"));
    }
    let square = |value: f32| f64::from(value) * f64::from(value);
    let norm: f64 = values.iter().map(|value| square(*value)).sum();
    let lost: f64 = values.iter().map(|value| square(value - rounded(*value))).sum();
    let share = (lost / norm).sqrt();
    (share > MAX_HALF_LOSS).then(|| {
        format!(
            "loses {:.1} % of its norm, as its values are too small for half precision",
            100.0 * share
        )
    })
}

/// Bytes of `f32` as bytes of `f16`.
fn halves(bytes: &[u8]) -> Vec<u8> {
    let half = |value| half::f16::from_f32(value).to_le_bytes();
    from_bytes(bytes).into_iter().flat_map(half).collect()
}

/// The values of a tensor in a file, if they are floating-point numbers of 32 or 16 bits.
pub fn values_of(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let halves = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
    };
    match view.dtype() {
        Dtype::F32 => Some(from_bytes(view.data())),
        Dtype::F16 => Some(halves(view.data())),
        _ => None,
    }
}

/// Values of little-endian bytes.
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), NetError> {
    let io = |source| NetError::Io { operation: "writing weights to", path: path.into(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Permissions follow the user's umask; the default of temporary files is the owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}
