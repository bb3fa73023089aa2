//! The part of Python's pickle language that files of weights are written in.
//!
//! Values live in one list and refer to each other by position, so that a file can be no larger in
//! memory than its opcodes are many, however it is tied together.

mod known;

use std::collections::HashMap;

use crate::error::Reason;

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
    /// Whole numbers of so many bytes, which are no weights.
    Whole(usize),
}

/// A storage: a row of numbers that tensors look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageInfo {
    /// Kind of the numbers.
    pub kind: Kind,
    /// Its name in the file.
    pub key: String,
    /// How many numbers.
    pub len: usize,
}

/// A tensor, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Where the values are.
    pub storage: StorageInfo,
    /// Position of the first value.
    pub offset: usize,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How far apart neighbours along each axis are.
    pub strides: Vec<usize>,
}

/// Position of a value in the list.
type Id = usize;

#[derive(Clone, Debug)]
enum Value {
    /// What no part of a tensor: none, a truth value, a fraction.
    Nothing,
    Int(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(String),
    Storage(StorageInfo),
    Tensor(TensorInfo),
}

/// What a pickle left behind.
pub struct Pickle<'a> {
    values: Vec<Value>,
    root: Id,
    /// The bytes after it.
    pub rest: &'a [u8],
}

/// Deepest nesting of dictionaries in which tensors are looked for.
const MAX_DEPTH: usize = 3;
/// Most tensors.
const MAX_TENSORS: usize = 100_000;

impl Pickle<'_> {
    /// All tensors with their names: keys of dictionaries within dictionaries, joined by a dot. Of a
    /// checkpoint, only what its `state_dict` holds.
    ///
    /// # Errors
    /// If there are too many.
    pub fn tensors(&self) -> Result<Vec<(String, TensorInfo)>, Reason> {
        let mut found = Vec::new();
        let state = self.entries(self.root).and_then(|entries| {
            let state = entries.iter().find(|(key, _)| self.text(*key) == Some("state_dict"));
            state.map(|(_, value)| *value)
        });
        self.collect(state.unwrap_or(self.root), "", 0, &mut found)?;
        Ok(found)
    }

    fn collect(
        &self,
        id: Id,
        prefix: &str,
        depth: usize,
        found: &mut Vec<(String, TensorInfo)>,
    ) -> Result<(), Reason> {
        for (key, value) in self.entries(id).into_iter().flatten() {
            let Some(key) = self.text(*key) else { continue };
            let name = format!("{prefix}{key}");
            match &self.values[*value] {
                Value::Tensor(info) => found.push((name, info.clone())),
                Value::Dict(_) if depth < MAX_DEPTH => {
                    self.collect(*value, &format!("{name}."), depth + 1, found)?;
                }
                _ => {}
            }
            if found.len() > MAX_TENSORS {
                return Err(format!("wanted at most {MAX_TENSORS} tensors"));
            }
        }
        Ok(())
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        let Value::List(items) = &self.values[self.root] else { return None };
        items.iter().map(|item| self.text(*item).map(str::to_owned)).collect()
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

/// Runs a pickle.
///
/// # Errors
/// Names the opcode or the function that weights do not need, and where the file ends too early.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>, Reason> {
    let mut machine = Machine::default();
    let mut rest = bytes;
    loop {
        let at = bytes.len() - rest.len();
        let stop = machine.step(&mut rest).map_err(|e| format!("pickle, byte {at}: {e}"))?;
        if stop {
            let root = machine.pop().map_err(|e| format!("pickle, byte {at}: {e}"))?;
            return Ok(Pickle { values: machine.values, root, rest });
        }
    }
}

#[derive(Default)]
struct Machine {
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], Reason> {
    let (taken, left) =
        rest.split_at_checked(n).ok_or_else(|| format!("ends where {n} bytes should follow"))?;
    *rest = left;
    Ok(taken)
}

fn unsigned(rest: &mut &[u8], bytes: usize) -> Result<u64, Reason> {
    let taken = take(rest, bytes)?;
    Ok(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn text(rest: &mut &[u8], len: u64) -> Result<String, Reason> {
    let len = usize::try_from(len).map_err(|_| "a text without end".to_owned())?;
    let bytes = take(rest, len)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text that is not UTF-8".to_owned())
}

fn line(rest: &mut &[u8]) -> Result<String, Reason> {
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a line without end")?;
    let text = text(rest, end as u64)?;
    take(rest, 1)?;
    Ok(text)
}

impl Machine {
    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, Reason> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("takes a value that is not there".into());
        }
        self.stack.pop().ok_or_else(|| "takes a value that is not there".into())
    }

    fn top(&self) -> Result<Id, Reason> {
        self.stack.last().copied().ok_or_else(|| "needs a value that is not there".into())
    }

    /// All values above the last mark.
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
        Ok(())
    }

    /// One opcode; true at the end.
    fn step(&mut self, rest: &mut &[u8]) -> Result<bool, Reason> {
        let opcode = take(rest, 1)?[0];
        match opcode {
            b'.' => return Ok(true),
            // The version, and where a frame ends: nothing is done with either.
            0x80 => drop(take(rest, 1)?),
            0x95 => drop(take(rest, 8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' | 0x88 | 0x89 => self.push(Value::Nothing),
            b'G' => {
                take(rest, 8)?;
                self.push(Value::Nothing);
            }
            b'K' => {
                let number = unsigned(rest, 1)?;
                self.push(Value::Int(number as i64));
            }
            b'M' => {
                let number = unsigned(rest, 2)?;
                self.push(Value::Int(number as i64));
            }
            b'J' => {
                let number = unsigned(rest, 4)? as u32;
                self.push(Value::Int(i64::from(number.cast_signed())));
            }
            0x8a => {
                let length = unsigned(rest, 1)? as usize;
                let bytes = take(rest, length)?;
                // Longer ones are marks of files, never sizes.
                self.push(if length <= 7 {
                    let mut number = unsigned(&mut &*bytes, length)? as i64;
                    if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
                        number -= 1i64 << (8 * length);
                    }
                    Value::Int(number)
                } else {
                    Value::Nothing
                });
            }
            b'X' | b'T' => {
                let length = unsigned(rest, 4)?;
                let value = text(rest, length)?;
                self.push(Value::Text(value));
            }
            0x8c | b'U' => {
                let length = unsigned(rest, 1)?;
                let value = text(rest, length)?;
                self.push(Value::Text(value));
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items));
            }
            0x85 => {
                let items = self.popped::<1>()?;
                self.push(Value::Tuple(items.to_vec()));
            }
            0x86 => {
                let items = self.popped::<2>()?;
                self.push(Value::Tuple(items.to_vec()));
            }
            0x87 => {
                let items = self.popped::<3>()?;
                self.push(Value::Tuple(items.to_vec()));
            }
            b'a' => {
                let [list, item] = self.popped()?;
                self.append(list, vec![item])?;
            }
            b'e' => {
                let items = self.marked()?;
                let list = self.pop()?;
                self.append(list, items)?;
            }
            b's' => {
                let [dict, key, value] = self.popped()?;
                self.insert(dict, vec![key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                let dict = self.pop()?;
                self.insert(dict, items)?;
            }
            b'h' => self.recall(unsigned(rest, 1)?)?,
            b'j' => self.recall(unsigned(rest, 4)?)?,
            b'q' => self.keep(unsigned(rest, 1)?)?,
            b'r' => self.keep(unsigned(rest, 4)?)?,
            0x94 => self.keep(self.memo.len() as u64)?,
            b'c' => {
                let name = format!("{}.{}", line(rest)?, line(rest)?);
                self.push(Value::Global(name));
            }
            0x93 => {
                let [module, name] = self.popped()?;
                let (Value::Text(module), Value::Text(name)) =
                    (&self.values[module], &self.values[name])
                else {
                    return Err("names a function by something that is no text".into());
                };
                let name = format!("{module}.{name}");
                self.push(Value::Global(name));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage));
            }
            b'R' => {
                let [function, arguments] = self.popped()?;
                let value = self.call(function, arguments)?;
                self.push(value);
            }
            // The state of a dictionary: versions of modules, which are not needed.
            b'b' => {
                let [object, _] = self.popped()?;
                match self.values[object] {
                    Value::Dict(_) => self.stack.push(object),
                    _ => return Err("gives a state to something that is no dictionary".into()),
                }
            }
            other => return Err(format!("opcode {other:#04x} is none that weights need")),
        }
        Ok(false)
    }

    fn append(&mut self, list: Id, items: Vec<Id>) -> Result<(), Reason> {
        match &mut self.values[list] {
            Value::List(all) => all.extend(items),
            _ => return Err("appends to something that is no list".into()),
        }
        self.stack.push(list);
        Ok(())
    }

    fn insert(&mut self, dict: Id, items: Vec<Id>) -> Result<(), Reason> {
        match (&mut self.values[dict], items.as_chunks()) {
            (Value::Dict(all), (pairs, [])) => all.extend(pairs.iter().map(|[k, v]| (*k, *v))),
            (Value::Dict(_), _) => return Err("a key without a value".into()),
            _ => return Err("inserts into something that is no dictionary".into()),
        }
        self.stack.push(dict);
        Ok(())
    }
}
