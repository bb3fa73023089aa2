//! Comparators described in TOML files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::RowOp;
use super::spec::ComparatorSpec;
use crate::NetError;
use crate::image::PixelFormat;
use crate::layers::{INPUT, Layer};

/// Largest description that is read, in bytes. A network of a thousand rows has 100,000.
const LARGEST: u64 = 4 << 20;

/// A description as it stands in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description<Row> {
    name: String,
    pixels: Pixels,
    /// Side that smaller images are enlarged to.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<usize>,
    /// File of the weights, relative to that of the description.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<PathBuf>,
    /// Rows by the names of their features.
    taps: BTreeMap<String, String>,
    /// Rows by the names of layers in other programs' files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    aliases: BTreeMap<String, String>,
    layers: Vec<Row>,
}

/// A row as it is written. It is read in two steps, because a flattened operation would not refuse unknown keys.
#[derive(Serialize)]
struct RowText {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<String>,
    #[serde(flatten)]
    op: RowOp,
}

/// Format of the pixels: one of those with a name, or its numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a name of a pixel format, or its order, mean and scale")]
enum Pixels {
    Named(String),
    Numbers(PixelFormat),
}

/// Reads a description; returns the path of the weights too.
pub(super) fn read(path: &Path) -> Result<(ComparatorSpec, PathBuf), NetError> {
    let io =
        |source| NetError::Io { operation: "reading a network from", path: path.into(), source };
    let mut text = String::new();
    fs::File::open(path).map_err(io)?.take(LARGEST + 1).read_to_string(&mut text).map_err(io)?;
    let described = |reason: String| NetError::Description { path: path.into(), reason };
    if text.len() as u64 > LARGEST {
        return Err(described(format!("expected at most {LARGEST} bytes, found more")));
    }
    let (spec, weights) = parse(&text).map_err(described)?;
    spec.check().map_err(|error| described(error.to_string()))?;
    let weights = match weights {
        Some(file) => path.parent().unwrap_or(Path::new("")).join(file),
        None => path.with_extension("safetensors"),
    };
    Ok((spec, weights))
}

/// Parses a description; errors name the row and the key.
fn parse(text: &str) -> Result<(ComparatorSpec, Option<PathBuf>), String> {
    let trimmed = |error: toml::de::Error| error.to_string().trim_end().to_owned();
    let description: Description<toml::Table> = toml::from_str(text).map_err(trimmed)?;
    let pixels = match description.pixels {
        Pixels::Numbers(format) => format,
        Pixels::Named(name) => PixelFormat::named(&name).ok_or_else(|| {
            let known = PixelFormat::NAMED.map(|(name, _)| name).join(", ");
            format!("pixels: expected one of {known}, found `{name}`")
        })?,
    };
    let layers = description.layers.into_iter().enumerate();
    let layers = layers.map(|(at, row)| layer(at, row)).collect::<Result<Vec<Layer>, _>>()?;
    let position = |row: &str| layers.iter().rposition(|layer| layer.name == row);
    let mut taps: Vec<_> = owned(description.taps);
    taps.sort_by_key(|(_, row)| position(row));
    let spec = ComparatorSpec {
        name: description.name.into(),
        taps,
        layers,
        pixels,
        input: description.input,
        files: Vec::new(),
        aliases: owned(description.aliases),
        trunk: None,
        shipped: false,
    };
    Ok((spec, description.weights))
}

fn owned(names: BTreeMap<String, String>) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    names.into_iter().map(|(a, b)| (a.into(), b.into())).collect()
}

/// One row: its name, its inputs, and the keys of its operation.
fn layer(at: usize, mut row: toml::Table) -> Result<Layer, String> {
    let name = match row.remove("name") {
        Some(toml::Value::String(name)) if !name.is_empty() && name != INPUT => name,
        found => {
            let found = found.map_or("nothing".into(), |found| found.to_string());
            return Err(format!(
                "layers, row {}: name: expected text other than `{INPUT}`, found {found}",
                at + 1
            ));
        }
    };
    let from: Vec<String> = match row.remove("from") {
        None => Vec::new(),
        Some(toml::Value::String(one)) => vec![one],
        Some(many) => {
            many.try_into().map_err(|error| format!("row `{name}`: from: {}", error.message()))?
        }
    };
    let op: RowOp = row
        .try_into()
        .map_err(|error: toml::de::Error| format!("row `{name}`: {}", error.message()))?;
    let from = from.into_iter().map(Cow::Owned).collect();
    Ok(Layer { name: name.into(), op: op.into(), from })
}

/// The text of a description.
pub(super) fn text(spec: &ComparatorSpec) -> String {
    let pairs = |all: &[(Cow<'static, str>, Cow<'static, str>)]| {
        all.iter().map(|(a, b)| (a.clone().into_owned(), b.clone().into_owned())).collect()
    };
    let row = |layer: &Layer| RowText {
        name: layer.name.clone().into_owned(),
        from: layer.from.iter().map(|name| name.clone().into_owned()).collect(),
        op: layer.op.into(),
    };
    let description = Description {
        name: spec.name.clone().into_owned(),
        pixels: match PixelFormat::NAMED.iter().find(|(_, format)| *format == spec.pixels) {
            Some((name, _)) => Pixels::Named((*name).into()),
            None => Pixels::Numbers(spec.pixels),
        },
        input: spec.input,
        weights: None,
        taps: pairs(&spec.taps),
        aliases: pairs(&spec.aliases),
        layers: spec.layers.iter().map(row).collect(),
    };
    toml::to_string(&description).expect("names, numbers and tables")
}
