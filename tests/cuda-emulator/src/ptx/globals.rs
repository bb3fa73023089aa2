//! Declarations outside of kernels.

use std::collections::HashMap;

use super::text::{array, constant};
use super::value::Type;

/// Arrays outside of kernels.
#[derive(Default)]
pub(super) struct Globals {
    /// In the device's memory, at addresses that stay.
    pub(super) memory: HashMap<String, Vec<u64>>,
    /// Declarations of arrays in shared memory.
    pub(super) shared: Vec<String>,
}

/// Finds the declarations outside of kernels.
pub(super) fn globals(text: &str) -> Globals {
    let mut found = Globals::default();
    // Values are between braces, which end a part.
    for line in text.split([';', '}', '{', '\n']) {
        let line = line.trim();
        if line.starts_with(".shared") || line.starts_with(".extern .shared") {
            found.shared.push(line.to_owned());
        }
        if !(line.starts_with(".global") || line.starts_with(".const")) {
            continue;
        }
        let declared = line.trim_end_matches('=').trim();
        let Some((name, bytes)) = array(declared) else { continue };
        let mut memory = vec![0u64; bytes.div_ceil(8)];
        let after = text.split_once(declared).map_or("", |(_, rest)| rest).trim_start();
        if let Some(values) = after.strip_prefix('=') {
            let values = values.split('}').next().unwrap_or_default().replace('{', "");
            let mut types = line.split_whitespace().filter_map(|word| word.strip_prefix('.'));
            let size = types.find_map(Type::parse).map_or(1, Type::bytes);
            for (i, value) in values.split(',').enumerate() {
                let value = constant(value.trim()).unwrap_or(0);
                for byte in 0..size {
                    let at = i * size + byte;
                    if let Some(word) = memory.get_mut(at / 8) {
                        *word |= (value >> (8 * byte) & 255) << (8 * (at % 8));
                    }
                }
            }
        }
        found.memory.insert(name, memory);
    }
    found
}

pub(super) fn range(memory: &[u64]) -> (usize, usize) {
    let start = memory.as_ptr() as usize;
    (start, start + memory.len() * 8)
}
