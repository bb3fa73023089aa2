//! Variables of an optimiser, each with its state.

use std::collections::HashSet;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var, bail};

/// A variable and its state.
#[derive(Debug)]
pub(super) struct Slot<S> {
    /// Name of the variable; `None` if the optimiser got none.
    pub(super) name: Option<String>,
    pub(super) var: Var,
    pub(super) state: S,
}

impl<S> Slot<S> {
    /// Name in messages.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("a variable")
    }
}

/// Variables in the order in which they are updated.
#[derive(Debug)]
pub(super) struct Slots<S>(pub(super) Vec<Slot<S>>);

impl<S> Slots<S> {
    /// Variables without names, which can be trained but whose state cannot be saved.
    pub(super) fn unnamed(
        op: &str,
        vars: Vec<Var>,
        state: impl Fn(&Var) -> Result<S>,
    ) -> Result<Self> {
        Self::new(op, vars.into_iter().map(|var| (None, var)), state)
    }

    pub(super) fn named(
        op: &str,
        vars: Vec<(String, Var)>,
        state: impl Fn(&Var) -> Result<S>,
    ) -> Result<Self> {
        let mut names = HashSet::new();
        if let Some((name, _)) = vars.iter().find(|(name, _)| !names.insert(name)) {
            bail!("{op}: expected names that differ, found `{name}` twice");
        }
        Self::new(op, vars.into_iter().map(|(name, var)| (Some(name), var)), state)
    }

    fn new(
        op: &str,
        vars: impl Iterator<Item = (Option<String>, Var)>,
        state: impl Fn(&Var) -> Result<S>,
    ) -> Result<Self> {
        let (mut slots, mut seen) = (Vec::new(), HashSet::new());
        // candle's optimisers leave out integers, too.
        for (name, var) in vars.filter(|(_, var)| var.dtype().is_float()) {
            let state = state(&var)?;
            let slot = Slot { name, var, state };
            if slot.var.dtype() != DType::F32 {
                let found = slot.var.dtype().as_str();
                bail!("{op}: {}: expected f32, found {found}", slot.label());
            }
            if !seen.insert(slot.var.id()) {
                bail!("{op}: {}: expected each variable once, found it twice", slot.label());
            }
            slots.push(slot);
        }
        Ok(Self(slots))
    }

    /// Pairs of variables and their gradients, without those that have none.
    ///
    /// # Errors
    /// If a gradient does not fit its variable.
    pub(super) fn with_gradients<'a>(
        &'a mut self,
        op: &str,
        gradients: &'a GradStore,
    ) -> Result<Vec<(&'a mut Slot<S>, &'a Tensor)>> {
        let pair =
            |slot: &'a mut Slot<S>| gradients.get(&slot.var).map(|gradient| (slot, gradient));
        let pairs: Vec<_> = self.0.iter_mut().filter_map(pair).collect();
        for (slot, gradient) in &pairs {
            if gradient.dims() != slot.var.dims() || gradient.dtype() != DType::F32 {
                bail!(
                    "{op}: {}: expected a gradient {:?} of type f32, found {:?} of type {}",
                    slot.label(),
                    slot.var.dims(),
                    gradient.dims(),
                    gradient.dtype().as_str()
                );
            }
        }
        Ok(pairs)
    }
}
