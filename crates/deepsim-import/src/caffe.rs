//! Caffe's networks (`.caffemodel`, message `NetParameter`) and mean images (`BlobProto`).
//!
//! Only the fields that hold weights are described; prost passes over all others. Layers and blobs are
//! taken apart one by one, so that their number is known before anything is made of them.

use prost::Message;
use prost::bytes::Bytes;

use crate::error::{Reason, reason};
use crate::file::Blob;

/// Most layers that are read: the largest networks of Caffe's time have a few hundred.
const MAX_LAYERS: usize = 10_000;
/// Most blobs of a layer; batch normalisation has three, recurrent layers a few more.
const MAX_BLOBS: usize = 64;
/// Most axes of a blob: Caffe's own limit.
const MAX_AXES: usize = 32;

#[derive(Clone, PartialEq, Message)]
struct NetParameter {
    #[prost(string, tag = "1")]
    name: String,
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
}

#[derive(Clone, PartialEq, Message)]
struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    dim: Vec<i64>,
}

/// Whether bytes are a network: fields of one, and at least one layer.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    // A network begins with its name, or with a layer.
    let first = bytes.first().is_some_and(|tag| matches!(tag, 0x0a | 0x12))
        || bytes.starts_with(&[0xa2, 0x06]);
    first && net(bytes).is_ok_and(|net| !net.layers.is_empty() || !net.layer.is_empty())
}

/// Whether bytes are a single blob.
pub(crate) fn recognises_blob(bytes: &[u8]) -> bool {
    let first = bytes.first().is_some_and(|tag| matches!(tag, 0x08 | 0x2a | 0x3a));
    first
        && blob("mean".to_owned(), Bytes::copy_from_slice(bytes))
            .is_ok_and(|b| !b.values.is_empty())
}

fn net(bytes: &[u8]) -> Result<NetParameter, Reason> {
    NetParameter::decode(Bytes::copy_from_slice(bytes)).map_err(reason)
}

/// The weights of all layers of a network.
///
/// # Errors
/// Names the layer and the blob that is broken.
pub fn blobs(bytes: &[u8]) -> Result<Vec<Blob>, String> {
    let net = net(bytes)?;
    let count = net.layers.len() + net.layer.len();
    if count > MAX_LAYERS {
        return Err(format!("wanted at most {MAX_LAYERS} layers, got {count}"));
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
        return Err(format!("{layer}: wanted at most {MAX_BLOBS} blobs, got {}", blobs.len()));
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
/// Says what is wrong with it.
pub fn mean(bytes: &[u8]) -> Result<Blob, String> {
    blob("mean".to_owned(), Bytes::copy_from_slice(bytes))
}

fn blob(name: String, bytes: Bytes) -> Result<Blob, Reason> {
    let blob = BlobProto::decode(bytes).map_err(|e| format!("{name}: {e}"))?;
    let shape: Vec<i64> = match blob.shape {
        Some(shape) => shape.dim,
        None => [blob.num, blob.channels, blob.height, blob.width]
            .map(|side| i64::from(side.unwrap_or(0)))
            .to_vec(),
    };
    if shape.len() > MAX_AXES {
        return Err(format!("{name}: wanted at most {MAX_AXES} axes, got {}", shape.len()));
    }
    let sides: Result<Vec<usize>, _> = shape.iter().map(|side| usize::try_from(*side)).collect();
    let sides = sides.map_err(|_| format!("{name}: shape {shape:?}"))?;
    let values = match blob.data.is_empty() {
        true => blob.double_data.into_iter().map(|value| value as f32).collect(),
        false => blob.data,
    };
    Blob::new(name, sides, values)
}
