//! The calls and references that descriptions of tensors are made of.

use super::{Id, Kind, Machine, StorageInfo, TensorInfo, Value};
use crate::error::Reason;

impl Machine {
    /// What a call of one of the known functions gives.
    pub(super) fn call(&self, function: Id, arguments: Id) -> Result<Value, Reason> {
        let Value::Global(name) = &self.values[function] else {
            return Err("calls something that is no function".into());
        };
        let Value::Tuple(arguments) = &self.values[arguments] else {
            return Err(format!("calls {name} without arguments"));
        };
        match (name.as_str(), &arguments[..]) {
            ("collections.OrderedDict", []) => Ok(Value::Dict(Vec::new())),
            // Python 2 wrote the entries as a list of pairs.
            ("collections.OrderedDict", [entries]) => self.dictionary(*entries),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => self.tensor(*storage, *offset, *shape, *strides),
            ("torch._utils._rebuild_parameter", [tensor, ..]) => match &self.values[*tensor] {
                Value::Tensor(info) => Ok(Value::Tensor(info.clone())),
                _ => Err("a parameter that is no tensor".into()),
            },
            _ => Err(format!(
                "calls {name} with {} arguments: only descriptions of tensors are understood, \
                 nothing is run",
                arguments.len()
            )),
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
        let entries = items(entries).ok_or("a dictionary of something that is no list")?;
        Ok(Value::Dict(entries.iter().map(pair).collect::<Result<_, _>>()?))
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Value, Reason> {
        let Value::Storage(storage) = &self.values[storage] else {
            return Err("a tensor without a storage".into());
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() || shape.len() > 32 {
            return Err(format!("a tensor of shape {shape:?} with strides {strides:?}"));
        }
        let (storage, offset) = (storage.clone(), self.size(offset)?);
        Ok(Value::Tensor(TensorInfo { storage, offset, shape, strides }))
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
            Value::Tuple(items) | Value::List(items) => {
                items.iter().map(|item| self.size(*item)).collect()
            }
            _ => Err("sizes that are no list".into()),
        }
    }

    /// `("storage", KindStorage, key, device, length, ...)`
    pub(super) fn storage(&self, id: Id) -> Result<StorageInfo, Reason> {
        let Value::Tuple(items) = &self.values[id] else {
            return Err("a reference that is no tuple".into());
        };
        let value = |i: usize| items.get(i).map(|id| &self.values[*id]);
        let (Some(Value::Text(what)), Some(Value::Global(kind)), Some(Value::Text(key))) =
            (value(0), value(1), value(2))
        else {
            return Err("a reference to something that is no storage".into());
        };
        if what != "storage" {
            return Err(format!("a reference to {what}, wanted a storage"));
        }
        let len = self.size(*items.get(4).ok_or("a storage without length")?)?;
        // The last part of a view of another storage; not written since 2017.
        if let Some(value) = value(5)
            && !matches!(value, Value::Nothing)
        {
            return Err("a view of a storage, which is not understood".into());
        }
        let kind = match kind.as_str() {
            "torch.FloatStorage" => Kind::Float,
            "torch.DoubleStorage" => Kind::Double,
            "torch.HalfStorage" => Kind::Half,
            "torch.BFloat16Storage" => Kind::BFloat16,
            "torch.LongStorage" => Kind::Whole(8),
            "torch.IntStorage" => Kind::Whole(4),
            "torch.ShortStorage" => Kind::Whole(2),
            "torch.CharStorage" | "torch.ByteStorage" | "torch.BoolStorage" => Kind::Whole(1),
            other => return Err(format!("a storage of kind {other}, which is not known")),
        };
        Ok(StorageInfo { kind, key: key.clone(), len })
    }
}
