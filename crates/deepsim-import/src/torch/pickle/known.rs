//! The calls and references that descriptions of tensors are made of. All others give opaque values.

use std::rc::Rc;

use super::machine::{MAX_NAME, Machine};
use super::{Id, Kind, StorageInfo, TensorInfo, Value, class};
use crate::error::Reason;

/// Most axes of a tensor.
const MAX_AXES: usize = 32;

impl Machine {
    /// Result of a call: a description, if it is one of the known functions with what it takes.
    pub(super) fn call(&self, function: Id, arguments: Id) -> Result<Value, Reason> {
        let opaque = match self.values[function] {
            Value::Opaque { class, .. } => class,
            _ => function,
        };
        let opaque = Value::Opaque { class: opaque, module: false };
        let (function, arguments) = match (&self.values[function], &self.values[arguments]) {
            (Value::Global(..), Value::Tuple(arguments)) => {
                (class(&self.values, function), &arguments[..])
            }
            _ => return Ok(opaque),
        };
        // The tensor of a subclass, or one with attributes: a function that makes it, and what it takes.
        let (function, arguments) = match (function.as_str(), arguments) {
            (
                "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type",
                [inner, _, arguments, ..],
            ) => match &self.values[*arguments] {
                Value::Tuple(arguments) => (class(&self.values, *inner), &arguments[..]),
                _ => return Ok(opaque),
            },
            _ => (function, arguments),
        };
        match (function.as_str(), arguments) {
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", []) => {
                Ok(Value::Dict(Vec::new()))
            }
            // The argument makes the values of missing keys.
            ("collections.defaultdict", [] | [_]) => Ok(Value::Dict(Vec::new())),
            // Python 2 wrote the entries as a list of pairs.
            ("collections.OrderedDict", [entries]) => self.dictionary(*entries),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => match &self.values[*storage] {
                Value::Storage(storage) => self.tensor(storage, *offset, *shape, *strides),
                Value::Opaque { .. } => Ok(opaque),
                _ => Err("a tensor without a storage".into()),
            },
            (
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch.nn.parameter.Parameter",
                [tensor, ..],
            ) => match &self.values[*tensor] {
                Value::Tensor(info) => Ok(Value::Tensor(info.clone())),
                _ => Ok(opaque),
            },
            _ => Ok(opaque),
        }
    }

    fn dictionary(&self, entries: Id) -> Result<Value, Reason> {
        let items = |id: Id| match &self.values[id] {
            Value::List(items) | Value::Tuple(items) => Some(&items[..]),
            _ => None,
        };
        let pair = |id: &Id| match items(*id) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err("an entry of a dictionary that is no pair".to_owned()),
        };
        if let Value::Dict(entries) = &self.values[entries] {
            return Ok(Value::Dict(entries.clone()));
        }
        let entries = items(entries).ok_or("a dictionary of something that is no list")?;
        Ok(Value::Dict(entries.iter().map(pair).collect::<Result<_, _>>()?))
    }

    fn tensor(
        &self,
        storage: &Rc<StorageInfo>,
        offset: Id,
        shape: Id,
        strides: Id,
    ) -> Result<Value, Reason> {
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(format!("a tensor of shape {shape:?} with strides {strides:?}"));
        }
        let offset =
            self.size(offset)?.checked_add(storage.start).ok_or("an offset without end")?;
        let info = TensorInfo { storage: Rc::clone(storage), offset, shape, strides };
        Ok(Value::Tensor(Box::new(info)))
    }

    fn size(&self, id: Id) -> Result<usize, Reason> {
        match self.values[id] {
            Value::Int(number) => {
                usize::try_from(number).map_err(|_| format!("a size of {number}"))
            }
            _ => Err("a size that is no number".into()),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, Reason> {
        match &self.values[id] {
            Value::Tuple(items) | Value::List(items) if items.len() <= MAX_AXES => {
                items.iter().map(|item| self.size(*item)).collect()
            }
            Value::Tuple(items) | Value::List(items) => {
                Err(format!("expected at most {MAX_AXES} axes, found {}", items.len()))
            }
            _ => Err("sizes that are no list".into()),
        }
    }

    /// Storage that a persistent reference stands for: `("storage", KindStorage, key, device, length, view)`,
    /// or `("module", class, ...)` of a model that was pickled whole.
    pub(super) fn persistent(&mut self, id: Id) -> Result<Value, Reason> {
        let Value::Tuple(items) = &self.values[id] else {
            return Err("a reference that is no tuple".into());
        };
        let value = |i: usize| items.get(i).map(|id| &self.values[*id]);
        let Some(Value::Text(what)) = value(0) else {
            return Err("a reference to something that is no storage".into());
        };
        let class_id = items.get(1).copied().unwrap_or(id);
        if what == "module" {
            return Ok(Value::Opaque { class: class_id, module: true });
        }
        let (Some(Value::Global(..)), Some(Value::Text(key))) = (value(1), value(2)) else {
            return Err("a reference to something that is no storage".into());
        };
        if what != "storage" || key.len() > MAX_NAME {
            return Err("a reference to something that is no storage".into());
        }
        let len = self.size(*items.get(4).ok_or("a storage without length")?)?;
        // A view of another storage, until 2017: its key, where it begins, and its length.
        let start = match value(5) {
            Some(Value::Tuple(view)) => match view[..] {
                [_, start, _] => self.size(start)?,
                _ => return Err("a view of a storage, which is not understood".into()),
            },
            _ => 0,
        };
        let Some(kind) = kind(&class(&self.values, class_id)) else {
            return Ok(Value::Opaque { class: class_id, module: false });
        };
        let info = StorageInfo { kind, key: key.clone(), len, start };
        self.storages.entry(info.key.clone()).or_insert(kind);
        Ok(Value::Storage(Rc::new(info)))
    }
}

/// Kind of the numbers of a class of storages.
fn kind(name: &str) -> Option<Kind> {
    let name = name.strip_prefix("torch.")?;
    let name = name.strip_prefix("cuda.").or(name.strip_prefix("storage.")).unwrap_or(name);
    Some(match name.strip_suffix("Storage")? {
        "Float" => Kind::Float,
        "Double" => Kind::Double,
        "Half" => Kind::Half,
        "BFloat16" => Kind::BFloat16,
        "Long" | "ComplexFloat" => Kind::Other(8),
        "Int" | "QInt32" => Kind::Other(4),
        "Short" => Kind::Other(2),
        "Char" | "Byte" | "Bool" | "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" | "Untyped" => {
            Kind::Other(1)
        }
        "ComplexDouble" => Kind::Other(16),
        _ => return None,
    })
}
