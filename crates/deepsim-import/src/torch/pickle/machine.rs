//! The opcodes.

use std::collections::HashMap;

use super::{Id, Kind, Value};
use crate::error::Reason;

/// Most values: each takes some 40 bytes of memory, and perhaps one of the file. A checkpoint of
/// 100,000 tensors has two million.
const MAX_VALUES: usize = 8_000_000;
/// Longest name of a class, in bytes.
pub(super) const MAX_NAME: usize = 1024;

#[derive(Default)]
pub(super) struct Machine {
    pub(super) values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Kinds of all storages by their names.
    pub(super) storages: HashMap<String, Kind>,
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], Reason> {
    let (taken, left) = rest.split_at_checked(n).ok_or_else(|| {
        format!("ends where {n} bytes should follow, as if its download had stopped")
    })?;
    *rest = left;
    Ok(taken)
}

fn unsigned(rest: &mut &[u8], bytes: usize) -> Result<u64, Reason> {
    let taken = take(rest, bytes)?;
    Ok(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn long(rest: &mut &[u8], bytes: usize) -> Result<Vec<u8>, Reason> {
    let length = usize::try_from(unsigned(rest, bytes)?);
    Ok(take(rest, length.map_err(|_| "a length without end".to_owned())?)?.to_vec())
}

/// Returns a text, or nothing if the bytes are not UTF-8, because Python 2 wrote any bytes as texts.
fn text(bytes: Vec<u8>) -> Value {
    String::from_utf8(bytes).map_or(Value::Nothing, Value::Text)
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Reason> {
    let end = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("ends in a line, as if its download had stopped")?;
    let text = take(rest, end)?;
    take(rest, 1)?;
    std::str::from_utf8(text).map_err(|_| "a line that is not UTF-8".to_owned())
}

/// A whole number of little-endian bytes; longer ones are marks of files, never sizes.
fn whole(bytes: &[u8]) -> Value {
    if bytes.len() > 7 {
        return Value::Nothing;
    }
    let mut number = bytes.iter().rev().fold(0i64, |number, byte| number << 8 | i64::from(*byte));
    if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
        number -= 1i64 << (8 * bytes.len());
    }
    Value::Int(number)
}

impl Machine {
    pub(super) fn push(&mut self, value: Value) -> Result<Id, Reason> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("expected at most {MAX_VALUES} values, found more"));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(self.values.len() - 1)
    }

    pub(super) fn pop(&mut self) -> Result<Id, Reason> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("takes a value that is not there".into());
        }
        self.stack.pop().ok_or_else(|| "takes a value that is not there".into())
    }

    fn top(&self) -> Result<Id, Reason> {
        self.stack.last().copied().ok_or_else(|| "needs a value that is not there".into())
    }

    /// Takes the values above the last mark off the stack.
    fn marked(&mut self) -> Result<Vec<Id>, Reason> {
        let mark = self.marks.pop().ok_or("needs a mark that is not there")?;
        if mark > self.stack.len() {
            return Err("needs a mark that is gone".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn popped<const N: usize>(&mut self) -> Result<[Id; N], Reason> {
        let mut ids = [0; N];
        for id in ids.iter_mut().rev() {
            *id = self.pop()?;
        }
        Ok(ids)
    }

    fn recall(&mut self, key: u64) -> Result<(), Reason> {
        let id = u32::try_from(key).ok().and_then(|key| self.memo.get(&key));
        self.stack.push(*id.ok_or_else(|| format!("recalls {key}, which was not kept"))?);
        Ok(())
    }

    fn keep(&mut self, key: u64) -> Result<(), Reason> {
        let key = u32::try_from(key).map_err(|_| "a key without end".to_owned())?;
        let id = self.top()?;
        self.memo.insert(key, id);
        match self.memo.len() > MAX_VALUES {
            true => Err(format!("expected at most {MAX_VALUES} kept values, found more")),
            false => Ok(()),
        }
    }

    /// Runs one opcode; returns true at the end.
    pub(super) fn step(&mut self, rest: &mut &[u8]) -> Result<bool, Reason> {
        let value = match take(rest, 1)?[0] {
            b'.' => return Ok(true),
            b'N' => Value::Nothing,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            // Registered classes, by number.
            0x82 => drop_then_nothing(rest, 1)?,
            0x83 => drop_then_nothing(rest, 2)?,
            0x84 => drop_then_nothing(rest, 4)?,
            b'G' => drop_then_nothing(rest, 8)?,
            b'F' => line(rest).map(|_| Value::Nothing)?,
            b'K' => Value::Int(unsigned(rest, 1)? as i64),
            b'M' => Value::Int(unsigned(rest, 2)? as i64),
            b'J' => Value::Int(i64::from((unsigned(rest, 4)? as u32).cast_signed())),
            0x8a => whole(&long(rest, 1)?),
            0x8b => whole(&long(rest, 4)?),
            b'I' => match line(rest)? {
                "00" => Value::Bool(false),
                "01" => Value::Bool(true),
                digits => digits.parse().map_or(Value::Nothing, Value::Int),
            },
            b'L' => line(rest)?.trim_end_matches('L').parse().map_or(Value::Nothing, Value::Int),
            b'X' | b'T' => text(long(rest, 4)?),
            0x8c | b'U' => text(long(rest, 1)?),
            0x8d => text(long(rest, 8)?),
            b'S' => Value::Text(line(rest)?.trim_matches(['\'', '"']).to_owned()),
            b'V' => Value::Text(line(rest)?.to_owned()),
            // Bytes: numbers of arrays that are no tensors.
            b'C' => long(rest, 1).map(|_| Value::Nothing)?,
            b'B' => long(rest, 4).map(|_| Value::Nothing)?,
            0x8e | 0x96 => long(rest, 8).map(|_| Value::Nothing)?,
            b'}' => Value::Dict(Vec::new()),
            // A set holds no tensors that have names.
            b']' | 0x8f => Value::List(Vec::new()),
            b'l' | 0x91 => Value::List(self.marked()?),
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.marked()?),
            0x85 => Value::Tuple(self.popped::<1>()?.to_vec()),
            0x86 => Value::Tuple(self.popped::<2>()?.to_vec()),
            0x87 => Value::Tuple(self.popped::<3>()?.to_vec()),
            b'd' => {
                let items = self.marked()?;
                let dict = self.push(Value::Dict(Vec::new()))?;
                self.stack.pop();
                self.insert(dict, &items)?;
                return Ok(false);
            }
            b'c' => {
                let (module, name) = (line(rest)?, line(rest)?);
                let module = self.push(Value::Text(module.to_owned()))?;
                let name = self.push(Value::Text(name.to_owned()))?;
                self.popped::<2>()?;
                self.global(module, name)?
            }
            0x93 => {
                let [module, name] = self.popped()?;
                self.global(module, name)?
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?
            }
            // A call, or a new object of a class.
            b'R' | 0x81 => {
                let [function, arguments] = self.popped()?;
                self.call(function, arguments)?
            }
            0x92 => {
                let [class, _, _] = self.popped()?;
                Value::Opaque { class, module: false }
            }
            b'o' => {
                let class = *self.marked()?.first().ok_or("an object without a class")?;
                Value::Opaque { class, module: false }
            }
            b'i' => {
                let (module, name) = (line(rest)?, line(rest)?);
                self.marked()?;
                let module = self.push(Value::Text(module.to_owned()))?;
                let name = self.push(Value::Text(name.to_owned()))?;
                let global = self.global(module, name)?;
                let class = self.push(global)?;
                self.popped::<3>()?;
                Value::Opaque { class, module: false }
            }
            other => return self.arrange(other, rest).map(|()| false),
        };
        self.push(value)?;
        Ok(false)
    }

    /// Runs an opcode that makes no value, but moves or changes those that are there.
    fn arrange(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<(), Reason> {
        match opcode {
            // The version, and where a frame ends: nothing is done with either.
            0x80 => drop(take(rest, 1)?),
            0x95 => drop(take(rest, 8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'a' => {
                let [list, item] = self.popped()?;
                self.append(list, &[item])?;
            }
            b'e' | 0x90 => {
                let items = self.marked()?;
                let list = self.pop()?;
                self.append(list, &items)?;
            }
            b's' => {
                let [dict, key, value] = self.popped()?;
                self.insert(dict, &[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                let dict = self.pop()?;
                self.insert(dict, &items)?;
            }
            b'h' => self.recall(unsigned(rest, 1)?)?,
            b'j' => self.recall(unsigned(rest, 4)?)?,
            b'g' => self.recall(line(rest)?.parse().map_err(|_| "recalls no number")?)?,
            b'q' => self.keep(unsigned(rest, 1)?)?,
            b'r' => self.keep(unsigned(rest, 4)?)?,
            b'p' => self.keep(line(rest)?.parse().map_err(|_| "keeps under no number")?)?,
            0x94 => self.keep(self.memo.len() as u64)?,
            // The state of an object. Dictionaries have the versions of modules in it.
            b'b' => {
                let [object, state] = self.popped()?;
                let is_module = self.is_modules(state);
                if let Value::Opaque { module, .. } = &mut self.values[object] {
                    *module |= is_module;
                }
                self.stack.push(object);
            }
            other => return Err(format!("opcode {other:#04x} is not understood")),
        }
        Ok(())
    }

    /// True if a state is that of a `torch.nn.Module`.
    fn is_modules(&self, state: Id) -> bool {
        let Value::Dict(entries) = &self.values[state] else { return false };
        let named = |key: Id| match &self.values[key] {
            Value::Text(key) => key == "_modules",
            _ => false,
        };
        entries.iter().take(64).any(|(key, _)| named(*key))
    }

    fn global(&self, module: Id, name: Id) -> Result<Value, Reason> {
        match (&self.values[module], &self.values[name]) {
            (Value::Text(a), Value::Text(b)) if a.len() + b.len() <= MAX_NAME => {
                Ok(Value::Global(module, name))
            }
            (Value::Text(_), Value::Text(_)) => {
                Err(format!("expected a class's name of at most {MAX_NAME} bytes, found more"))
            }
            _ => Err("names a function by something that is no text".into()),
        }
    }

    fn append(&mut self, list: Id, items: &[Id]) -> Result<(), Reason> {
        match &mut self.values[list] {
            Value::List(all) => all.extend(items),
            Value::Opaque { .. } => {}
            _ => return Err("appends to something that is no list".into()),
        }
        self.stack.push(list);
        Ok(())
    }

    fn insert(&mut self, dict: Id, items: &[Id]) -> Result<(), Reason> {
        match (&mut self.values[dict], items.as_chunks()) {
            (_, (_, [_, ..])) => return Err("a key without a value".into()),
            (Value::Dict(all), (pairs, _)) => all.extend(pairs.iter().map(|[k, v]| (*k, *v))),
            (Value::Opaque { module: true, .. }, _) => {}
            // A dictionary of another class; its entries are all that is needed of it.
            (object @ Value::Opaque { .. }, (pairs, _)) => {
                *object = Value::Dict(pairs.iter().map(|[k, v]| (*k, *v)).collect());
            }
            _ => return Err("inserts into something that is no dictionary".into()),
        }
        self.stack.push(dict);
        Ok(())
    }
}

fn drop_then_nothing(rest: &mut &[u8], bytes: usize) -> Result<Value, Reason> {
    take(rest, bytes)?;
    Ok(Value::Nothing)
}
