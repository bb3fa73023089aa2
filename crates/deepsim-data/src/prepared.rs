//! Encoded pictures, decoded and brought to one size.

/// Encoded pictures, decoded and brought to one size.
pub struct Prepared;
