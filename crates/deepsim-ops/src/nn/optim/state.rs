//! State of an optimiser in a safetensors file.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Error, Result, Tensor, bail};

/// Tensors of a state file, by name.
pub(super) struct State {
    op: &'static str,
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl State {
    pub(super) fn new(op: &'static str, path: &Path) -> Self {
        Self { op, path: path.to_owned(), tensors: HashMap::new() }
    }

    /// Adds a tensor of a variable's state.
    pub(super) fn put(&mut self, kind: &str, name: Option<&str>, tensor: Tensor) -> Result<()> {
        let Some(name) = name else {
            bail!(
                "{}: expected names of the variables, without which a state cannot be restored: make the optimiser \
                 by `named` or `of_varmap`",
                self.op
            );
        };
        self.tensors.insert(format!("{kind}.{name}"), tensor);
        Ok(())
    }

    /// Adds a number. Names of others have a dot.
    pub(super) fn put_scalar(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// Writes the file; it appears whole or not at all.
    pub(super) fn write(self) -> Result<()> {
        let mut part = self.path.clone().into_os_string();
        part.push(".part");
        let write = || {
            candle_core::safetensors::save(&self.tensors, &part)?;
            File::open(&part)?.sync_all()?;
            std::fs::rename(&part, &self.path)?;
            Ok(())
        };
        write().map_err(|error: Error| error.with_path(&self.path))
    }

    /// Reads a file.
    pub(super) fn read(op: &'static str, path: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu);
        let tensors = tensors.map_err(|error| error.with_path(path))?;
        Ok(Self { op, path: path.to_owned(), tensors })
    }

    /// Takes the tensor of a variable, whose shape it must have.
    pub(super) fn take(&mut self, kind: &str, name: &str, like: &Tensor) -> Result<Tensor> {
        let (name, op) = (format!("{kind}.{name}"), self.op);
        match self.tensors.remove(&name) {
            None => bail!("{op}: {}: expected a tensor `{name}`, found none", self.path.display()),
            Some(tensor) if tensor.dims() != like.dims() || tensor.dtype() != DType::F32 => bail!(
                "{op}: {}: {name}: expected {:?} of type f32, found {:?} of type {}",
                self.path.display(),
                like.dims(),
                tensor.dims(),
                tensor.dtype().as_str()
            ),
            Some(tensor) => Ok(tensor),
        }
    }

    /// Takes a number.
    pub(super) fn take_scalar<T: candle_core::WithDType>(&mut self, name: &str) -> Result<T> {
        let value = self.tensors.remove(name).map(|tensor| tensor.to_scalar());
        match value {
            Some(Ok(value)) => Ok(value),
            _ => bail!("{}: {}: expected a number `{name}`", self.op, self.path.display()),
        }
    }

    /// Refuses tensors that no variable took, because the file belongs to other variables.
    pub(super) fn end(self) -> Result<()> {
        let mut left: Vec<_> = self.tensors.into_keys().collect();
        left.sort();
        if !left.is_empty() {
            bail!(
                "{}: {}: expected the optimiser's variables only, found {}",
                self.op,
                self.path.display(),
                left.join(", ")
            );
        }
        Ok(())
    }
}
