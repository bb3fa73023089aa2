//! A file to a file.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use deepsim_nets::{InverterConfig, NetError, Params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ImportError;
use crate::file::{Blob, Format, read};
use crate::net::{Net, Role};

/// How a file is imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Which network it is; told from the tensors if not given.
    pub net: Option<Net>,
    /// Whether weights are rounded to half precision.
    pub half: bool,
}

/// What was in a file and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The form of the file.
    pub format: Format,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The network.
    pub net: Net,
    /// What was written.
    pub output: PathBuf,
    /// A line for each tensor of the file, in its order.
    pub lines: Vec<Line>,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name in the file.
    pub blob: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It was written under this name and in this shape.
    Used(String, Vec<usize>),
    /// It was not, for this reason.
    Ignored(String),
}

impl Report {
    /// The lines of tensors that were used.
    pub fn used(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| matches!(line.fate, Fate::Used(..)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, sha256 {}", self.format, self.sha256)?;
        for Line { blob, shape, fate } in &self.lines {
            match fate {
                Fate::Used(name, to) => writeln!(f, "used     {blob} {shape:?} as {name} {to:?}")?,
                Fate::Ignored(why) => writeln!(f, "ignored  {blob} {shape:?}: {why}")?,
            }
        }
        let (used, all) = (self.used().count(), self.lines.len());
        write!(f, "{}: {used} of {all} tensors, {}", self.net.name(), self.output.display())
    }
}

/// Reads weights from `file` and writes them for a network. `output` is a folder, in which the file
/// gets the name of the network, or the name of a file that ends in `.safetensors`.
///
/// # Errors
/// If the file cannot be read, is broken, or its tensors are not those of the network, with everything
/// that is wrong; then nothing is written.
pub fn import(file: &Path, output: &Path, options: &ImportOptions) -> Result<Report, ImportError> {
    let (bytes, format, blobs) = read(file)?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    drop(bytes);
    let net = match (options.net, format) {
        (Some(net), _) => net,
        (None, Format::CaffeBlob) => Net::Mean,
        (None, _) => guess(file, &blobs)?,
    };
    let (tensors, lines) = match net {
        Net::Mean => mean(file, blobs)?,
        net => assign(net, file, blobs)?,
    };
    let output = match output.extension().is_some_and(|ending| ending == "safetensors") {
        true => output.to_path_buf(),
        false => output.join(format!("{}.safetensors", net.name())),
    };
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).map_err(ImportError::io("creating folder", folder))?;
    }
    // A generator can be opened by its description.
    let mut spec = match net {
        Net::Generator(kind) => serde_json::from_str(&InverterConfig::released(kind).spec())
            .expect("descriptions are JSON"),
        net => serde_json::json!({ "net": net.name() }),
    };
    spec["from"] = serde_json::json!({ "net": net.name(), "format": format, "sha256": sha256 });
    let params = params(tensors)?;
    match options.half {
        true => params.save_half(&output, &spec.to_string())?,
        false => params.save(&output, &spec.to_string())?,
    }
    Ok(Report { format, sha256, net, output, lines })
}

/// Tensors of the network with their values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn params(tensors: Tensors) -> Result<Params, ImportError> {
    let var = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok((name, Var::from_tensor(&tensor)?))
    };
    let vars: Result<Params, candle_core::Error> = tensors.into_iter().map(var).collect();
    Ok(vars.map_err(NetError::from)?)
}

/// A mean image: three planes.
fn mean(file: &Path, blobs: Vec<Blob>) -> Result<(Tensors, Vec<Line>), ImportError> {
    let broken = |reason: String| ImportError::Broken { path: file.into(), reason };
    let [blob]: [Blob; 1] = blobs.try_into().map_err(|blobs: Vec<Blob>| {
        broken(format!("wanted one mean image, got {}", blobs.len()))
    })?;
    let shape = squeezed(&blob.shape);
    if shape.len() != 3 || shape[0] != 3 {
        let wanted = "a mean image of three planes, or three numbers a channel";
        return Err(broken(format!("wanted {wanted}, got shape {:?}", blob.shape)));
    }
    if let Some(value) = blob.values.iter().find(|value| !value.is_finite()) {
        return Err(broken(format!("mean: holds {value}")));
    }
    let Blob { name, shape: from, values } = blob;
    let fate = Fate::Used("mean".to_owned(), shape.clone());
    let line = Line { blob: name, shape: from, fate };
    Ok((vec![("mean".to_owned(), shape, values)], vec![line]))
}

/// The network whose tensors a file has.
fn guess(file: &Path, blobs: &[Blob]) -> Result<Net, ImportError> {
    let fits: Vec<Net> = Net::all().into_iter().filter(|net| fits(*net, blobs)).collect();
    let all = |nets: &[Net]| nets.iter().map(|net| net.name()).collect::<Vec<_>>().join(", ");
    match fits[..] {
        [net] => Ok(net),
        _ => Err(ImportError::Ambiguous {
            path: file.into(),
            got: if fits.is_empty() { "no network".to_owned() } else { all(&fits) },
            known: all(&Net::all()),
        }),
    }
}

/// Whether a file has all tensors of a network in its shapes.
fn fits(net: Net, blobs: &[Blob]) -> bool {
    let wanted = net.tensors();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let mut missing: Vec<&(String, Vec<usize>)> = wanted.iter().collect();
    for blob in blobs {
        if let Role::Is(name) = net.role(&blob.name, &names) {
            missing.retain(|(other, shape)| *other != name || !same(&blob.shape, shape));
        }
    }
    !wanted.is_empty() && missing.is_empty()
}

/// Gives every tensor of the file its place in the network.
fn assign(net: Net, file: &Path, blobs: Vec<Blob>) -> Result<(Tensors, Vec<Line>), ImportError> {
    let wanted = net.tensors();
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    let mut found: Vec<Option<Vec<f32>>> = vec![None; wanted.len()];
    let (mut problems, mut lines) = (Vec::new(), Vec::new());
    for Blob { name: blob, shape, values } in blobs {
        let fate = match net.role(&blob, &names) {
            Role::None(why) => Fate::Ignored(why.to_owned()),
            Role::Zeros => {
                if values.iter().any(|value| *value != 0.0) {
                    problems.push(format!("{blob}: wanted zeros, which need no place, got others"));
                }
                Fate::Ignored("zeros".to_owned())
            }
            Role::Is(name) => {
                let at = names.iter().position(|other| *other == name).unwrap_or_default();
                let to = &wanted[at].1;
                if !same(&shape, to) {
                    problems.push(format!("{blob}: wanted shape {to:?} of {name}, got {shape:?}"));
                } else if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    problems.push(format!("{blob}: holds {value}"));
                } else if found[at].replace(values).is_some() {
                    problems.push(format!("{blob}: {name} is there twice"));
                }
                Fate::Used(name, to.clone())
            }
        };
        lines.push(Line { blob, shape, fate });
    }
    // Of a comparator, layers may be missing at the end.
    let last = found.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let needed = match net.may_end_early() && last > 0 {
        true => last.next_multiple_of(2).min(wanted.len()),
        false => wanted.len(),
    };
    for ((name, shape), _) in
        wanted[..needed].iter().zip(&found).filter(|(_, values)| values.is_none())
    {
        problems.push(format!("{name} {shape:?}: missing"));
    }
    if !problems.is_empty() {
        return Err(ImportError::Mismatch { path: file.into(), net: net.name(), problems });
    }
    let tensors = wanted.into_iter().zip(found);
    let tensors = tensors.filter_map(|((name, shape), values)| Some((name, shape, values?)));
    Ok((tensors.collect(), lines))
}

/// Whether a tensor of a file has the shape of a network's, up to axes of length 1 and to the axes of
/// the inputs of a fully connected layer that is a convolution here.
fn same(blob: &[usize], wanted: &[usize]) -> bool {
    let (blob, wanted) = (squeezed(blob), squeezed(wanted));
    blob == wanted
        || matches!((&blob[..], &wanted[..]), ([out, inputs], [wanted_out, rest @ ..])
            if out == wanted_out && rest.iter().product::<usize>() == *inputs)
}

fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|side| *side != 1).collect()
}
