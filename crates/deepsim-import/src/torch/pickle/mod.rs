//! The part of Python's pickle language that files of weights are written in.
//!
//! Values live in one list and refer to each other by position, so memory grows with the number of
//! opcodes alone, even if the values refer to each other in cycles. An object whose class or
//! function does not describe tensors becomes an opaque value: it is never made, and everything it
//! is told afterwards is dropped, except the entries of a dictionary of a class of its own.

mod known;
mod machine;
mod state;

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Reason;
use machine::Machine;
pub use state::State;
pub(crate) use state::is_averaged;

/// Kinds of numbers that a storage holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// 16 bits, IEEE.
    Half,
    /// 16 bits, with the exponent of 32.
    BFloat16,
    /// Numbers of this many bytes that are not weights: whole, complex, quantised.
    Other(usize),
}

/// Storage: a row of numbers that tensors are views of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageInfo {
    /// Kind of the numbers.
    pub kind: Kind,
    /// Name in the file.
    pub key: String,
    /// Number of values.
    pub len: usize,
    /// Offset of a view of the storage; 0 for the whole of it.
    pub start: usize,
}

/// A tensor, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Storage of the values.
    pub storage: Rc<StorageInfo>,
    /// Position of the first value in the storage.
    pub offset: usize,
    /// Shape.
    pub shape: Vec<usize>,
    /// Distance between neighbours along each axis, in values.
    pub strides: Vec<usize>,
}

/// Position of a value in the list.
type Id = usize;

#[derive(Clone, Debug)]
enum Value {
    /// No part of a tensor: none, a fraction, bytes.
    Nothing,
    Bool(bool),
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or a function: the texts of its module and name.
    Global(Id, Id),
    Storage(Rc<StorageInfo>),
    Tensor(Box<TensorInfo>),
    /// An object that is no tensor, by its class or function.
    Opaque {
        class: Id,
        /// True if its state is that of a `torch.nn.Module`.
        module: bool,
    },
}

/// Result of a pickle.
pub struct Pickle<'a> {
    values: Vec<Value>,
    root: Id,
    /// Kinds of all storages that are referred to, by their names.
    pub storages: HashMap<String, Kind>,
    /// The bytes after it.
    pub rest: &'a [u8],
}

impl Pickle<'_> {
    /// The texts of a list.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let Value::List(items) = &self.values[self.root] else { return None };
        items.iter().map(|item| self.text(*item).map(str::to_owned)).collect()
    }

    /// The truth value under a key of the dictionary at the root.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let entries = self.entries(self.root)?;
        let (_, value) = entries.iter().find(|(key, _)| self.text(*key) == Some(name))?;
        match self.values[*value] {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match &self.values[id] {
            Value::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    fn text(&self, id: Id) -> Option<&str> {
        match &self.values[id] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Name of a class or function, or of an opaque value's.
fn class(values: &[Value], id: Id) -> String {
    match &values[id] {
        Value::Opaque { class: id, .. } => match &values[*id] {
            Value::Global(..) => class(values, *id),
            _ => "an object".to_owned(),
        },
        Value::Global(module, name) => match (&values[*module], &values[*name]) {
            (Value::Text(module), Value::Text(name)) => format!("{module}.{name}"),
            _ => "an object".to_owned(),
        },
        _ => "an object".to_owned(),
    }
}

/// Runs a pickle.
///
/// # Errors
/// Names the opcode that is not understood, and where the file ends too early.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>, Reason> {
    let mut machine = Machine::default();
    let mut rest = bytes;
    loop {
        let at = bytes.len() - rest.len();
        let stop = machine.step(&mut rest).map_err(|e| format!("pickle, byte {at}: {e}"))?;
        if stop {
            let root = machine.pop().map_err(|e| format!("pickle, byte {at}: {e}"))?;
            return Ok(Pickle { values: machine.values, root, storages: machine.storages, rest });
        }
    }
}
