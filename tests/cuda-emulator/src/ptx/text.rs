//! Words of PTX: declarations, numbers, operands, names of registers that are there from the start.

use super::kernel::{Space, Special};
use super::value::Type;

/// Name and size of a declaration such as `.shared .align 4 .b8 name[64]`.
pub(super) fn array(declaration: &str) -> Option<(String, usize)> {
    let mut words = declaration.split_whitespace();
    let (mut size, mut name) = (1, None);
    while let Some(word) = words.next() {
        if word == ".align" {
            words.next();
        } else if let Some(ty) = word.strip_prefix('.').and_then(Type::parse) {
            size = ty.bytes();
        } else if !word.starts_with('.') {
            name = Some(word);
        }
    }
    let name = name?;
    match name.split_once('[') {
        Some((name, count)) => {
            let count: usize = count.trim_end_matches(']').parse().unwrap_or(0);
            Some((name.to_owned(), size * count))
        }
        None => Some((name.to_owned(), size)),
    }
}

/// A number as PTX writes it.
pub(super) fn constant(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0f").or_else(|| text.strip_prefix("0d")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let digits = digits.trim_end_matches('U');
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

pub(super) fn space(parts: &[&str]) -> Space {
    parts
        .iter()
        .find_map(|part| match *part {
            "shared" => Some(Space::Shared),
            "local" => Some(Space::Local),
            "param" => Some(Space::Parameter),
            _ => None,
        })
        .unwrap_or(Space::Generic)
}

pub(super) fn special(name: &str) -> Option<Special> {
    if name == "%laneid" {
        return Some(Special::Lane);
    }
    let (name, axis) = name.split_once('.')?;
    let axis = match axis {
        "x" => 0,
        "y" => 1,
        "z" => 2,
        _ => return None,
    };
    Some(match name {
        "%tid" => Special::Thread(axis),
        "%ntid" => Special::ThreadsOfBlock(axis),
        "%ctaid" => Special::Block(axis),
        "%nctaid" => Special::Blocks(axis),
        _ => return None,
    })
}

/// Operands between commas, braces and brackets left whole.
pub(super) fn split(operands: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in operands.chars() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}
