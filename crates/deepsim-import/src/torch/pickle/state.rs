//! The tensors in what a pickle describes, and the dictionary of a checkpoint that holds them.

use super::{Id, Kind, Pickle, TensorInfo, Value, class};
use crate::contents::Skipped;
use crate::error::Reason;

/// Deepest nesting of dictionaries in which tensors are looked for.
const MAX_DEPTH: usize = 3;
/// Most entries of dictionaries that are looked at: one may be there many times.
const MAX_VISITS: usize = 4_000_000;
const MAX_TENSORS: usize = 100_000;
/// Longest name of a tensor, in bytes.
const MAX_KEY: usize = 1024;

/// Keys under which checkpoints hold the weights, the likeliest first.
const CONTAINERS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
];

/// Parts of the names of functions that make tensors of other forms and arrays of NumPy.
const ARRAYS: [&str; 3] = ["._rebuild_", "multiarray._reconstruct", "numeric._frombuffer"];

/// Tensors of a file, without their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Keys of the dictionaries around the tensors, joined by a dot.
    pub container: Option<String>,
    /// Tensors and their names: keys of dictionaries within dictionaries, joined by a dot.
    pub tensors: Vec<(String, TensorInfo)>,
    /// Values under names that are no tensors of weights.
    pub skipped: Vec<Skipped>,
    /// Further containers, except those of optimisers and of averages.
    pub others: Vec<String>,
    /// Further containers with averaged weights.
    pub averaged: Vec<String>,
}

/// Returns true if a name says that weights are averages over training.
pub(crate) fn is_averaged(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| matches!(word, "ema" | "swa" | "averaged" | "shadow"))
}

impl Pickle<'_> {
    /// Returns the tensors with their names. Of a checkpoint, only one dictionary is read: the one
    /// called `part`, or the likeliest. Averages are read only if there is nothing else.
    ///
    /// # Errors
    /// If there are none (the error says what is there instead), or too many.
    pub fn state(&self, part: Option<&str>) -> Result<State, Reason> {
        let mut visits = 0;
        let (mut state, mut root) = (State::default(), self.root);
        let mut path: Vec<&str> = Vec::new();
        while path.len() < MAX_DEPTH {
            let asked = part.and_then(|part| part.split('.').nth(path.len()));
            let Some((key, inside)) = self.container(root, asked, &mut visits)? else { break };
            for (other, _) in self.held(root, &mut visits)? {
                let name = [&path[..], &[other]].concat().join(".");
                match other {
                    _ if other == key || other.contains("optim") => {}
                    _ if is_averaged(other) => state.averaged.push(name),
                    _ => state.others.push(name),
                }
            }
            (path, root) = ([&path[..], &[key]].concat(), inside);
        }
        if let Value::Opaque { module, .. } = self.values[root] {
            let class = class(&self.values, root);
            let at: String = path.iter().map(|key| format!("[{key:?}]")).collect();
            return Err(match module {
                true => format!(
                    "a whole pickled model ({class}), which only its own code can open; if you trust it, \
                     write its weights where that code is: torch.save(torch.load(\"FILE\", \
                     weights_only=False){at}.state_dict(), \"weights.pth\")"
                ),
                false => format!("an object {}", unread(&class)),
            });
        }
        state.container = (!path.is_empty()).then(|| path.join("."));
        match &self.values[root] {
            Value::Tensor(info) => state.tensors.push(("tensor".to_owned(), (**info).clone())),
            _ => self.collect(root, "", 0, &mut visits, &mut state)?,
        }
        if state.tensors.is_empty() {
            let held = state.skipped.iter().take(3).map(|s| format!("{}: {}", s.name, s.what));
            let held: Vec<String> = held.collect();
            return Err(format!(
                "no tensors of weights; {}",
                match held.is_empty() {
                    true => "nothing has a name".to_owned(),
                    false => held.join("; "),
                }
            ));
        }
        Ok(state)
    }

    /// The dictionary or model within a dictionary that holds the weights, and its key.
    fn container(
        &self,
        root: Id,
        asked: Option<&str>,
        visits: &mut usize,
    ) -> Result<Option<(&str, Id)>, Reason> {
        let held = self.held(root, visits)?;
        if let Some(found) = held.iter().find(|(key, _)| Some(*key) == asked) {
            return Ok(Some(*found));
        }
        // Dictionaries before models, which cannot be opened.
        let is_dict = |id: Id| matches!(self.values[id], Value::Dict(_));
        for dict in [true, false] {
            let found = CONTAINERS
                .iter()
                .find_map(|name| held.iter().find(|(key, id)| key == name && is_dict(*id) == dict));
            if let Some(found) = found {
                return Ok(Some(*found));
            }
        }
        let averaged = held.iter().find(|(key, _)| is_averaged(key));
        Ok(averaged.filter(|_| !self.is_state(root)).copied())
    }

    /// True if a dictionary holds matrices or kernels itself.
    fn is_state(&self, root: Id) -> bool {
        let large = |id: Id| match &self.values[id] {
            Value::Tensor(info) => info.shape.len() > 1,
            _ => false,
        };
        self.entries(root).into_iter().flatten().any(|(_, id)| large(*id))
    }

    /// Entries of a dictionary that are dictionaries with tensors, or models.
    fn held(&self, root: Id, visits: &mut usize) -> Result<Vec<(&str, Id)>, Reason> {
        let mut held = Vec::new();
        for (key, value) in self.entries(root).into_iter().flatten() {
            visit(visits)?;
            let Some(key) = self.text(*key) else { continue };
            if self.holds_tensors(*value, 0, visits)? {
                held.push((key, *value));
            }
        }
        Ok(held)
    }

    fn holds_tensors(&self, id: Id, depth: usize, visits: &mut usize) -> Result<bool, Reason> {
        if let Value::Opaque { module, .. } = self.values[id] {
            return Ok(module);
        }
        for (_, value) in self.entries(id).into_iter().flatten() {
            visit(visits)?;
            let tensor = matches!(self.values[*value], Value::Tensor(_));
            if tensor || depth < MAX_DEPTH && self.holds_tensors(*value, depth + 1, visits)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn collect(
        &self,
        id: Id,
        prefix: &str,
        depth: usize,
        visits: &mut usize,
        state: &mut State,
    ) -> Result<(), Reason> {
        let entries: Vec<(Option<String>, Id)> = match &self.values[id] {
            Value::Dict(entries) => entries.iter().map(|(key, id)| (self.key(*key), *id)).collect(),
            Value::List(items) | Value::Tuple(items) => {
                items.iter().enumerate().map(|(i, id)| (Some(i.to_string()), *id)).collect()
            }
            _ => Vec::new(),
        };
        for (key, value) in entries {
            visit(visits)?;
            let Some(key) = key else { continue };
            let name = format!("{prefix}{key}");
            match &self.values[value] {
                Value::Tensor(info) if matches!(info.storage.kind, Kind::Other(_)) => {
                    state.skipped.push(Skipped::tensor(name, &info.shape));
                }
                Value::Tensor(info) => state.tensors.push((name, (**info).clone())),
                Value::Opaque { .. } => {
                    let class = class(&self.values, value);
                    let weights = ARRAYS.iter().any(|array| class.contains(array));
                    state.skipped.push(Skipped { name, what: unread(&class), weights });
                }
                Value::Dict(_) | Value::List(_) | Value::Tuple(_) if depth < MAX_DEPTH => {
                    self.collect(value, &format!("{name}."), depth + 1, visits, state)?;
                }
                _ => {}
            }
            if state.tensors.len() + state.skipped.len() > MAX_TENSORS {
                return Err(format!("expected at most {MAX_TENSORS} tensors, found more"));
            }
        }
        Ok(())
    }

    /// A key as a part of a name.
    fn key(&self, id: Id) -> Option<String> {
        match &self.values[id] {
            Value::Text(text) if text.len() <= MAX_KEY => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

fn unread(class: &str) -> String {
    format!("made by {class}, of which nothing is run")
}

fn visit(visits: &mut usize) -> Result<(), Reason> {
    *visits += 1;
    match *visits > MAX_VISITS {
        true => Err(format!("expected at most {MAX_VISITS} entries of dictionaries, found more")),
        false => Ok(()),
    }
}
