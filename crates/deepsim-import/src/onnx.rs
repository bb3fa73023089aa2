//! ONNX: the initialisers of a model's graph. Nodes are passed over; the networks' own tables say
//! what is computed.

use prost::Message;
use prost::bytes::Bytes;

use crate::error::{Reason, reason};
use crate::file::Blob;

/// Most initialisers that are read.
const MAX_TENSORS: usize = 10_000;
/// Most axes of one.
const MAX_AXES: usize = 32;

/// Numbers of `TensorProto.DataType`.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(bytes = "bytes", optional, tag = "7")]
    graph: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(bytes = "bytes", repeated, tag = "5")]
    initializer: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "bytes", tag = "9")]
    raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    /// 1 if the values are in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// Whether bytes are a model: its version, and a graph.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let model = ModelProto::decode(Bytes::copy_from_slice(bytes));
    bytes.first() == Some(&0x08) && model.is_ok_and(|m| m.graph.is_some_and(|g| !g.is_empty()))
}

/// The floating-point initialisers of a model; those of whole numbers are left out.
///
/// # Errors
/// Names the initialiser that is broken.
pub fn blobs(bytes: &[u8]) -> Result<Vec<Blob>, String> {
    let model = ModelProto::decode(Bytes::copy_from_slice(bytes)).map_err(reason)?;
    let graph = GraphProto::decode(model.graph.unwrap_or_default()).map_err(reason)?;
    let count = graph.initializer.len();
    if count > MAX_TENSORS {
        return Err(format!("wanted at most {MAX_TENSORS} initialisers, got {count}"));
    }
    let mut all = Vec::with_capacity(count);
    for (number, bytes) in graph.initializer.into_iter().enumerate() {
        let tensor =
            TensorProto::decode(bytes).map_err(|e| format!("initialiser {number}: {e}"))?;
        all.extend(blob(tensor)?);
    }
    Ok(all)
}

fn blob(tensor: TensorProto) -> Result<Option<Blob>, Reason> {
    let TensorProto { name, dims, raw_data: raw, .. } = tensor;
    if tensor.data_location != 0 {
        return Err(format!("{name}: its values are in another file, which is not read"));
    }
    if dims.len() > MAX_AXES {
        return Err(format!("{name}: wanted at most {MAX_AXES} axes, got {}", dims.len()));
    }
    let shape: Result<Vec<usize>, _> = dims.iter().map(|side| usize::try_from(*side)).collect();
    let shape = shape.map_err(|_| format!("{name}: shape {dims:?}"))?;
    let size = match tensor.data_type {
        FLOAT => 4,
        FLOAT16 => 2,
        DOUBLE => 8,
        _ => return Ok(None),
    };
    if !raw.len().is_multiple_of(size) {
        return Err(format!("{name}: {} bytes are no numbers of {size}", raw.len()));
    }
    let values: Vec<f32> = match (tensor.data_type, raw.is_empty()) {
        (FLOAT, true) => tensor.float_data,
        (FLOAT, false) => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        (DOUBLE, true) => tensor.double_data.into_iter().map(|value| value as f32).collect(),
        (DOUBLE, false) => {
            raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
        }
        // The bits of a half stand in an integer.
        (_, true) => {
            let half = |bits: i32| half::f16::from_bits(bits as u16).to_f32();
            tensor.int32_data.into_iter().map(half).collect()
        }
        (_, false) => {
            raw.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
    };
    Blob::new(name, shape, values).map(Some)
}
