//! MATLAB's binary format, version 5, as far as the development kit needs it: one struct array of
//! texts and numbers.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Bytes a variable may have when it is not compressed.
const MAX_VARIABLE: u64 = 16 << 20;
/// Fields of a struct; the table of classes has eight.
const MAX_FIELDS: usize = 64;
/// Cells in cells, structs in structs.
const MAX_DEPTH: usize = 8;

/// The value of a variable or a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Numbers(Vec<f64>),
    Text(String),
    /// Elements, each with the values of all fields.
    Struct {
        fields: Vec<String>,
        elements: Vec<Vec<Value>>,
    },
    /// A kind that is not needed.
    Other,
}

impl Value {
    /// Describes the value in few words, because a message must not grow with the file.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Numbers(numbers) => format!("{} numbers", numbers.len()),
            Self::Text(text) => format!("a text of {} bytes", text.len()),
            Self::Struct { elements, .. } => format!("{} structs", elements.len()),
            Self::Other => "another kind of value".into(),
        }
    }
}

/// Damage: what was expected, and what was found.
pub(super) type Broken = (&'static str, String);
type Result<T> = std::result::Result<T, Broken>;

/// Returns the variable `name` of a file.
pub(super) fn variable(bytes: &[u8], name: &str) -> Result<Value> {
    let Some((header, mut rest)) = bytes.split_at_checked(128) else {
        return Err(("a MATLAB file with a header of 128 bytes", format!("{} bytes", bytes.len())));
    };
    if header[124..] != [0, 1, b'I', b'M'] {
        let got = format!("version and byte order {:02x?}", &header[124..]);
        return Err(("a little-endian MATLAB file of version 5", got));
    }
    while !rest.is_empty() {
        let element = next(&mut rest)?;
        let inflated;
        let mut content = element;
        if element.kind == Kind::COMPRESSED {
            let mut bytes = Vec::new();
            let read =
                ZlibDecoder::new(element.bytes).take(MAX_VARIABLE + 1).read_to_end(&mut bytes);
            read.map_err(|error| ("a compressed variable", error.to_string()))?;
            if bytes.len() as u64 > MAX_VARIABLE {
                return Err(("a variable of at most 16 MiB", "a larger one".into()));
            }
            inflated = bytes;
            content = next(&mut &inflated[..])?;
        }
        if content.kind == Kind::MATRIX {
            let (found, value) = matrix(content.bytes, 0)?;
            if found == name {
                return Ok(value);
            }
        }
    }
    Err(("a variable `synsets`", "a file without it".into()))
}

/// Types of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind(u32);

impl Kind {
    const MATRIX: Self = Self(14);
    const COMPRESSED: Self = Self(15);
}

#[derive(Clone, Copy)]
struct Element<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

/// Takes the next element.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Element<'a>> {
    let cut = |rest: &[u8]| ("a whole element", format!("{} bytes", rest.len()));
    let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    let (Some(first), Some(tag)) = (rest.first_chunk::<4>(), rest.get(..8)) else {
        return Err(cut(rest));
    };
    let word = number(first);
    if word >> 16 != 0 {
        // A small element: type, length and content in eight bytes.
        let length = (word >> 16) as usize;
        let bytes = tag[4..].get(..length).ok_or_else(|| cut(tag))?;
        *rest = &rest[8..];
        return Ok(Element { kind: Kind(word & 0xffff), bytes });
    }
    let length = tag.last_chunk::<4>().map_or(0, number) as usize;
    let bytes = rest[8..].get(..length).ok_or_else(|| cut(rest))?;
    // Elements are padded to eight bytes, except compressed ones; the last may lack the padding.
    let kind = Kind(word);
    let padded = if kind == Kind::COMPRESSED { length } else { length.next_multiple_of(8) };
    *rest = rest[8..].get(padded..).unwrap_or_default();
    Ok(Element { kind, bytes })
}

/// Name and value of a matrix.
fn matrix(mut rest: &[u8], depth: usize) -> Result<(String, Value)> {
    const STRUCT: u8 = 2;
    const TEXT: u8 = 4;
    const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;
    if rest.is_empty() {
        return Ok((String::new(), Value::Other)); // an empty field
    }
    if depth > MAX_DEPTH {
        return Err(("at most 8 structs in one another", "more".into()));
    }
    let class = next(&mut rest)?.bytes.first().copied().unwrap_or_default();
    let dims = numbers(next(&mut rest)?)?;
    let count = dims.iter().try_fold(1usize, |product, dim| {
        let fits = *dim >= 0.0 && *dim <= f64::from(u32::MAX);
        fits.then(|| product.checked_mul(*dim as usize)).flatten()
    });
    let count = count.ok_or_else(|| ("a size", format!("{dims:?}")))?;
    let name = text(next(&mut rest)?)?;
    let value = match class {
        STRUCT => structs(&mut rest, count, depth)?,
        TEXT => Value::Text(text(next(&mut rest)?)?),
        class if NUMBERS.contains(&class) => Value::Numbers(numbers(next(&mut rest)?)?),
        _ => Value::Other,
    };
    Ok((name, value))
}

fn structs(rest: &mut &[u8], count: usize, depth: usize) -> Result<Value> {
    let length = numbers(next(rest)?)?.first().copied().unwrap_or_default();
    let names = next(rest)?.bytes;
    if !(1.0..=64.0).contains(&length) {
        return Err(("field names of 1 to 64 bytes", length.to_string()));
    }
    let claimed = names.len() / length as usize;
    if claimed > MAX_FIELDS {
        return Err(("a struct of at most 64 fields", claimed.to_string()));
    }
    let name = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let fields: Vec<String> = names.chunks_exact(length as usize).map(name).collect();
    // Each value takes at least the eight bytes of its tag, whatever the size claims.
    let wanted = count.checked_mul(fields.len()).and_then(|values| values.checked_mul(8));
    if fields.is_empty() || wanted.is_none_or(|bytes| bytes > rest.len()) {
        let got = format!("{count} elements of {} fields in {} bytes", fields.len(), rest.len());
        return Err(("a struct array", got));
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let mut values = Vec::with_capacity(fields.len());
        for _ in &fields {
            let element = next(rest)?;
            if element.kind != Kind::MATRIX {
                return Err(("a field's value", format!("an element of type {}", element.kind.0)));
            }
            values.push(matrix(element.bytes, depth + 1)?.1);
        }
        elements.push(values);
    }
    Ok(Value::Struct { fields, elements })
}

/// The numbers of an element; small ones are stored in small types, whatever the matrix is.
fn numbers(element: Element<'_>) -> Result<Vec<f64>> {
    macro_rules! read {
        ($type:ty) => {{
            let chunks = element.bytes.chunks_exact(size_of::<$type>());
            let value =
                |bytes: &[u8]| bytes.try_into().map_or(0.0, |b| <$type>::from_le_bytes(b) as f64);
            Ok(chunks.map(value).collect())
        }};
    }
    match element.kind.0 {
        1 => read!(i8),
        2 => read!(u8),
        3 => read!(i16),
        4 => read!(u16),
        5 => read!(i32),
        6 => read!(u32),
        7 => read!(f32),
        9 => read!(f64),
        12 => read!(i64),
        13 => read!(u64),
        kind => Err(("numbers", format!("an element of type {kind}"))),
    }
}

/// The text of an element: bytes, UTF-8 or UTF-16.
fn text(element: Element<'_>) -> Result<String> {
    match element.kind.0 {
        1 | 2 | 16 => Ok(String::from_utf8_lossy(element.bytes).into_owned()),
        4 | 17 => {
            let units = element.bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
            Ok(char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect())
        }
        kind => Err(("text", format!("an element of type {kind}"))),
    }
}
