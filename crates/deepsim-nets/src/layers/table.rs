//! A table that is written row by row.

use std::borrow::Cow;

use super::{Layer, Op};

/// Rows of a network whose names are made while they are written.
#[derive(Default)]
pub(crate) struct Table(pub(crate) Vec<Layer>);

impl Table {
    /// Adds a row that reads the one before it.
    pub(crate) fn row(&mut self, name: String, op: Op) -> &mut Layer {
        self.0.push(Layer { name: name.into(), op, from: Vec::new() });
        self.0.last_mut().expect("a row was pushed")
    }

    /// Returns the name of the last row.
    pub(crate) fn last(&self) -> Cow<'static, str> {
        self.0.last().map(|row| row.name.clone()).unwrap_or_default()
    }
}
