//! Caffe's networks (`.caffemodel`, message `NetParameter`) and mean images (`BlobProto`).
//!
//! Only the fields that hold weights are described; prost passes over all others. Layers and blobs are
//! taken apart one by one, so that their number is known before anything is made of them.

use prost::Message;
use prost::bytes::Bytes;

use crate::contents::{Blob, single};
use crate::error::{Reason, reason};
use crate::wire::{self, BYTES, FIXED32, FIXED64, Fields, VARINT};

/// Most layers that are read: the largest networks of Caffe's time have a few hundred.
const MAX_LAYERS: usize = 10_000;
/// Most blobs of a layer; batch normalisation has three, recurrent layers a few more.
const MAX_BLOBS: usize = 64;
/// Most axes of a blob: Caffe's own limit.
const MAX_AXES: usize = 32;

/// Fields of `NetParameter`; layers are 2 and 100.
const NET: Fields = &[(VARINT, &[4, 5, 7]), (BYTES, &[1, 2, 3, 4, 6, 8, 100])];
/// Fields of `BlobProto`, with those of NVIDIA's fork; values are 5, 8 and 12.
const BLOB: Fields = &[
    (VARINT, &[1, 2, 3, 4, 10, 11]),
    (FIXED64, &[8, 9]),
    (BYTES, &[5, 6, 7, 8, 9, 12, 13]),
    (FIXED32, &[5, 6]),
];
const VALUES: [u64; 3] = [5, 8, 12];
/// Fields of `SolverState`; the history of the solver is 3.
const SOLVER: Fields = &[(VARINT, &[1, 4]), (BYTES, &[2, 3])];

#[derive(Clone, PartialEq, Message)]
struct NetParameter {
    /// `V1LayerParameter`, until 2014.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    layers: Vec<Bytes>,
    /// `LayerParameter`.
    #[prost(bytes = "bytes", repeated, tag = "100")]
    layer: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct LayerParameter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    blobs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct V1LayerParameter {
    /// A layer in the form before even this one.
    #[prost(bytes = "bytes", optional, tag = "1")]
    oldest: Option<Bytes>,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    blobs: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct BlobProto {
    #[prost(int32, optional, tag = "1")]
    num: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    channels: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    height: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    width: Option<i32>,
    #[prost(float, repeated, tag = "5")]
    data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    shape: Option<BlobShape>,
    #[prost(double, repeated, tag = "8")]
    double_data: Vec<f64>,
    /// NVIDIA's fork: 0 for 64 bits, 1 for 32, 2 for 16.
    #[prost(int32, tag = "10")]
    raw_data_type: i32,
    #[prost(bytes = "bytes", tag = "12")]
    raw_data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    dim: Vec<i64>,
}

/// True if bytes are a network, perhaps cut off: fields of one, and at least one layer.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    wire::is(bytes, NET, &[2, 100], true)
}

/// True if bytes are a single blob, perhaps cut off.
pub(crate) fn recognises_blob(bytes: &[u8]) -> bool {
    let shape = wire::Message::bytes(bytes, 7);
    wire::is(bytes, BLOB, &VALUES, false)
        && shape.is_none_or(|shape| {
            shape.is_empty() || wire::is(shape, &[(BYTES, &[1]), (VARINT, &[1])], &[1], false)
        })
}

/// True if bytes are the state of a solver, and the name of the network's file that it mentions.
pub(crate) fn recognises_solver(bytes: &[u8]) -> Option<String> {
    let history = wire::Message::bytes(bytes, 3);
    let solver = wire::is(bytes, SOLVER, &[3], false) && history.is_some_and(recognises_blob);
    let name = wire::Message::bytes(bytes, 2).unwrap_or_default();
    solver.then(|| String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned())
}

/// The weights of all layers of a network.
///
/// # Errors
/// Names the layer and the blob that is broken.
pub fn blobs(bytes: &[u8]) -> Result<Vec<Blob>, String> {
    if let Some(cut) = wire::cut(bytes) {
        return Err(cut);
    }
    let net = NetParameter::decode(Bytes::copy_from_slice(bytes)).map_err(reason)?;
    let count = net.layers.len() + net.layer.len();
    if count > MAX_LAYERS {
        return Err(format!("expected at most {MAX_LAYERS} layers, found {count}"));
    }
    let mut all = Vec::new();
    for (number, bytes) in net.layers.into_iter().enumerate() {
        let layer = V1LayerParameter::decode(bytes).map_err(|e| format!("layer {number}: {e}"))?;
        if layer.oldest.is_some() {
            return Err(format!(
                "layer {number}: Caffe's format before 2014; upgrade it with upgrade_net_proto_binary"
            ));
        }
        layer_blobs(&layer.name, layer.blobs, &mut all)?;
    }
    for (number, bytes) in net.layer.into_iter().enumerate() {
        let layer = LayerParameter::decode(bytes).map_err(|e| format!("layer {number}: {e}"))?;
        layer_blobs(&layer.name, layer.blobs, &mut all)?;
    }
    Ok(all)
}

fn layer_blobs(layer: &str, blobs: Vec<Bytes>, all: &mut Vec<Blob>) -> Result<(), Reason> {
    if blobs.len() > MAX_BLOBS {
        return Err(format!("{layer}: expected at most {MAX_BLOBS} blobs, found {}", blobs.len()));
    }
    for (number, bytes) in blobs.into_iter().enumerate() {
        let name = match number {
            0 => format!("{layer}.weight"),
            1 => format!("{layer}.bias"),
            _ => format!("{layer}.blob{number}"),
        };
        all.push(blob(name, bytes)?);
    }
    Ok(())
}

/// The blob of a mean image.
///
/// # Errors
/// If the blob is broken.
pub fn mean(bytes: &[u8]) -> Result<Blob, String> {
    match wire::cut(bytes) {
        Some(cut) => Err(cut),
        None => blob("mean".to_owned(), Bytes::copy_from_slice(bytes)),
    }
}

fn blob(name: String, bytes: Bytes) -> Result<Blob, Reason> {
    let blob = BlobProto::decode(bytes).map_err(|e| format!("{name}: {e}"))?;
    let old = [blob.num, blob.channels, blob.height, blob.width];
    // A blob may have both; the new one counts, unless it was left empty.
    let shape: Vec<i64> = match blob.shape {
        Some(shape) if !shape.dim.is_empty() || old.iter().all(Option::is_none) => shape.dim,
        _ => old.map(|side| i64::from(side.unwrap_or(0))).to_vec(),
    };
    if shape.len() > MAX_AXES {
        return Err(format!("{name}: expected at most {MAX_AXES} axes, found {}", shape.len()));
    }
    let sides: Result<Vec<usize>, _> = shape.iter().map(|side| usize::try_from(*side)).collect();
    let sides = sides.map_err(|_| format!("{name}: shape {shape:?}"))?;
    let values = if !blob.data.is_empty() {
        blob.data
    } else if !blob.double_data.is_empty() {
        single(&name, blob.double_data.into_iter())?
    } else {
        raw(&name, blob.raw_data_type, &blob.raw_data)?
    };
    Blob::new(name, sides, values)
}

/// Values of NVIDIA's fork.
fn raw(name: &str, kind: i32, raw: &[u8]) -> Result<Vec<f32>, Reason> {
    let size = match kind {
        0 => 8,
        1 => 4,
        2 => 2,
        _ => return Err(format!("{name}: expected raw_data_type 0, 1 or 2, found {kind}")),
    };
    if !raw.len().is_multiple_of(size) {
        return Err(format!("{name}: {} bytes are no numbers of {size}", raw.len()));
    }
    Ok(match kind {
        0 => single(name, raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)))?,
        1 => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        _ => raw.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
    })
}
