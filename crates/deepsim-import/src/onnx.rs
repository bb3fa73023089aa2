//! ONNX: the initialisers of a model's graph, and the tensors of its `Constant` nodes. Other nodes are
//! skipped, because the networks' own tables define the computation.

use prost::Message;
use prost::bytes::Bytes;

use crate::contents::{Blob, Skipped, single};
use crate::error::{Reason, reason};
use crate::wire::{self, BYTES, Fields, VARINT};

/// Most initialisers and constants that are read.
const MAX_TENSORS: usize = 10_000;
/// Most axes of one.
const MAX_AXES: usize = 32;

/// Numbers of `TensorProto.DataType`.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

/// Fields of `ModelProto`; the graph is 7.
const MODEL: Fields = &[(VARINT, &[1, 5]), (BYTES, &[2, 3, 4, 6, 7, 8, 14])];
/// Fields of `GraphProto`; nodes are 1 and initialisers 5.
const GRAPH: Fields = &[(BYTES, &[1, 2, 5, 10, 11, 12, 13])];
/// Fields of `NodeProto`; the operator is 4.
const NODE: Fields = &[(BYTES, &[1, 2, 3, 4, 5])];
/// Fields of `TensorProto`; the type of its values is 2.
const TENSOR: Fields = &[(VARINT, &[1, 2]), (BYTES, &[1, 8, 9])];

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(bytes = "bytes", optional, tag = "7")]
    graph: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    node: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    initializer: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    output: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "4")]
    op_type: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    attribute: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(bytes = "bytes", optional, tag = "5")]
    t: Option<Bytes>,
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
    /// Keys and values that say where the values are, if they are in another file.
    #[prost(bytes = "bytes", repeated, tag = "13")]
    external_data: Vec<Bytes>,
    /// 1 if the values are in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// True if bytes are a model, perhaps cut off: fields of one, and a graph with a node or a tensor.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let graph = wire::Message::bytes(bytes, 7);
    let within = |graph: &[u8]| {
        let node = wire::Message::bytes(graph, 1);
        let tensor = wire::Message::bytes(graph, 5);
        wire::is(graph, GRAPH, &[1, 5], true)
            && (node.is_some_and(|node| wire::is(node, NODE, &[4], true))
                || tensor.is_some_and(|tensor| wire::is(tensor, TENSOR, &[2], true)))
    };
    let cut_in_graph = || {
        let mut message = wire::Message::new(bytes);
        let versioned = message.by_ref().any(|(number, ..)| number == 1);
        message.by_ref().for_each(drop);
        versioned && message.cut == Some(7)
    };
    wire::is(bytes, MODEL, &[7], true) && graph.map_or_else(cut_in_graph, within)
}

/// The floating-point tensors of a model of 16 bits and more, and the others, which are not read.
///
/// # Errors
/// Names the tensor that is broken.
pub fn blobs(bytes: &[u8]) -> Result<(Vec<Blob>, Vec<Skipped>), String> {
    if let Some(cut) = wire::cut(bytes) {
        return Err(cut);
    }
    let model = ModelProto::decode(Bytes::copy_from_slice(bytes)).map_err(reason)?;
    let graph = GraphProto::decode(model.graph.unwrap_or_default()).map_err(reason)?;
    let count = graph.initializer.len();
    let many = |count| Err(format!("expected at most {MAX_TENSORS} tensors, found {count}"));
    if count > MAX_TENSORS {
        return many(count);
    }
    let (mut all, mut skipped) = (Vec::with_capacity(count), Vec::new());
    for (number, bytes) in graph.initializer.into_iter().enumerate() {
        let tensor =
            TensorProto::decode(bytes).map_err(|e| format!("initialiser {number}: {e}"))?;
        all.extend(blob(tensor, &mut skipped)?);
    }
    for (number, bytes) in graph.node.into_iter().enumerate() {
        if wire::Message::bytes(&bytes, 4) == Some(b"Constant") {
            let found = constant(bytes, &mut skipped);
            all.extend(found.map_err(|e| format!("node {number}: {e}"))?);
        }
        if all.len() + skipped.len() > MAX_TENSORS {
            return many(all.len() + skipped.len());
        }
    }
    Ok((all, skipped))
}

/// The tensor of a `Constant` node, under the name of its output.
fn constant(bytes: Bytes, skipped: &mut Vec<Skipped>) -> Result<Option<Blob>, Reason> {
    let node = NodeProto::decode(bytes).map_err(reason)?;
    let output = node.output.first().map(|name| String::from_utf8_lossy(name).into_owned());
    for attribute in node.attribute {
        if let Some(tensor) = AttributeProto::decode(attribute).map_err(reason)?.t {
            let mut tensor = TensorProto::decode(tensor).map_err(reason)?;
            tensor.name = output.unwrap_or(tensor.name);
            return blob(tensor, skipped);
        }
    }
    Ok(None)
}

fn blob(tensor: TensorProto, skipped: &mut Vec<Skipped>) -> Result<Option<Blob>, Reason> {
    let TensorProto { name, dims, raw_data: raw, .. } = tensor;
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        let place = tensor.external_data.iter().find_map(|entry| {
            let location = wire::Message::bytes(entry, 1) == Some(b"location");
            wire::Message::bytes(entry, 2).filter(|_| location).map(String::from_utf8_lossy)
        });
        let place =
            place.map_or_else(|| "another file".to_owned(), |place| format!("the file {place}"));
        return Err(format!(
            "{name}: its values are in {place}, which is not read; save the model with its values inside"
        ));
    }
    if dims.len() > MAX_AXES {
        return Err(format!("{name}: expected at most {MAX_AXES} axes, found {}", dims.len()));
    }
    let shape: Result<Vec<usize>, _> = dims.iter().map(|side| usize::try_from(*side)).collect();
    let shape = shape.map_err(|_| format!("{name}: shape {dims:?}"))?;
    let size = match tensor.data_type {
        FLOAT => 4,
        FLOAT16 | BFLOAT16 => 2,
        DOUBLE => 8,
        _ => {
            skipped.push(Skipped::tensor(name, &shape));
            return Ok(None);
        }
    };
    if !raw.len().is_multiple_of(size) {
        return Err(format!("{name}: {} bytes are no numbers of {size}", raw.len()));
    }
    // The bits of the short forms stand in an integer, where they are not raw.
    let short = |bits: u16| match tensor.data_type {
        BFLOAT16 => half::bf16::from_bits(bits).to_f32(),
        _ => half::f16::from_bits(bits).to_f32(),
    };
    let values: Vec<f32> = match (tensor.data_type, raw.is_empty()) {
        (FLOAT, true) => tensor.float_data,
        (FLOAT, false) => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        (DOUBLE, true) => single(&name, tensor.double_data.into_iter())?,
        (DOUBLE, false) => single(&name, raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)))?,
        (_, true) => tensor.int32_data.into_iter().map(|bits| short(bits as u16)).collect(),
        (_, false) => raw.as_chunks().0.iter().map(|b| short(u16::from_le_bytes(*b))).collect(),
    };
    Blob::new(name, shape, values).map(Some)
}
