//! Arrays in NumPy's `.npy` files.

use std::path::Path;

use half::f16;

use crate::EvalError;

/// First bytes of every `.npy` file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// Length of each axis.
    pub(crate) shape: Vec<usize>,
    /// Values, the last axis fastest.
    pub(crate) values: Vec<f32>,
}

/// Parses the bytes of a file; `path` is for messages. Numbers of 16, 32 or 64 bits in either byte order and either
/// order of axes are read; larger ones than `f32` holds become infinite.
///
/// # Errors
/// If the file is cut or damaged, or holds no floating-point numbers.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Array, EvalError> {
    let wrong = |expected: &str, found: String| EvalError::features(path, expected, found);
    let cut =
        || wrong("a whole .npy file", format!("{} bytes that end in its header", bytes.len()));
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("a .npy file", "other first bytes".into()))?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width).ok_or_else(cut)?;
    let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = String::from_utf8_lossy(header);

    let numbers = "numbers of float16, float32 or float64";
    let field = |key: &str| field(&header, key);
    let kind = field("descr").unwrap_or_default().trim_matches(['\'', '"']).to_owned();
    let big = kind.starts_with('>');
    let size = match kind.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => 2,
        "f4" => 4,
        "f8" => 8,
        _ => return Err(wrong(numbers, format!("`{kind}` (convert it by .astype(\"float32\"))"))),
    };
    let shape = field("shape").unwrap_or_default().trim_matches(['(', ')']);
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Vec<usize> = sides
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("an array with a shape", format!("({shape})")))?;
    let count = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    if count.and_then(|count| count.checked_mul(size)) != Some(data.len()) {
        let found = format!("{} bytes", data.len());
        return Err(wrong(&format!("{size} bytes for each number of {shape:?}"), found));
    }
    let values: Vec<f32> = data.chunks_exact(size).map(|bytes| value(bytes, big)).collect();
    let columns = field("fortran_order").is_some_and(|order| order == "True");
    let values = if columns { first_axis_last(&shape, &values) } else { values };
    Ok(Array { shape, values })
}

/// Text of a value in the header, which is a dictionary of Python.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))? + key.len() + 2;
    let rest = header[at..].trim_start().strip_prefix(':')?.trim_start();
    let end = match rest.chars().next()? {
        '(' => rest.find(')')? + 1,
        '[' => rest.find(']')? + 1,
        _ => rest.find([',', '}']).unwrap_or(rest.len()),
    };
    Some(rest[..end].trim())
}

/// Number of 2, 4 or 8 bytes.
fn value(bytes: &[u8], big: bool) -> f32 {
    let little: Vec<u8> = match big {
        true => bytes.iter().rev().copied().collect(),
        false => bytes.to_vec(),
    };
    match little[..] {
        [a, b] => f16::from_le_bytes([a, b]).to_f32(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => f32::NAN,
    }
}

/// Values whose first axis is fastest, in the order in which the last one is.
fn first_axis_last(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let mut at = vec![0usize; shape.len()];
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, side| Some(std::mem::replace(stride, *stride * side)))
        .collect();
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered
            .push(values[at.iter().zip(&strides).map(|(at, stride)| at * stride).sum::<usize>()]);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    ordered
}

/// Bytes of the file that holds an array as float32.
pub(crate) fn to_bytes(array: &Array) -> Vec<u8> {
    let sides: String = array.shape.iter().map(|side| format!("{side}, ")).collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sides.trim_end());
    // Numbers begin at a multiple of 64 bytes, after a line break.
    let begin = MAGIC.len() + 4;
    let padding = 63 - (begin + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
    bytes.extend(header.as_bytes());
    bytes.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this header and these bytes.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    fn read(bytes: &[u8]) -> Result<Array, String> {
        parse(Path::new("f.npy"), bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_and_candle_reads_the_same() -> Result<(), Box<dyn std::error::Error>>
    {
        let folder = tempfile::tempdir()?;
        for shape in [vec![], vec![3], vec![2, 5], vec![2, 3, 2, 2], vec![0, 4]] {
            let n: usize = shape.iter().product();
            let array = Array { shape, values: (0..n).map(|i| i as f32 / 7.0 - 0.5).collect() };
            let bytes = to_bytes(&array);
            assert_eq!(read(&bytes)?, array);
            assert_eq!((bytes.len() - 4 * n) % 64, 0);
            let path = folder.path().join("a.npy");
            std::fs::write(&path, &bytes)?;
            let tensor = candle_core::Tensor::read_npy(&path)?;
            assert_eq!(tensor.dims(), array.shape);
            assert_eq!(tensor.flatten_all()?.to_vec1::<f32>()?, array.values);
        }
        Ok(())
    }

    #[test]
    fn other_widths_byte_orders_and_orders_of_axes_are_read() -> Result<(), String> {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let numbers = [1.5f64, -2.0, 0.25, 3.0, 8.0, -0.5];
        let bytes: Vec<u8> = numbers.iter().flat_map(|value| value.to_be_bytes()).collect();
        let wanted = numbers.map(|value| value as f32);
        let read_as = |header: &str, bytes: &[u8]| read(&file(header, bytes)).map(|a| a.values);
        assert_eq!(read_as(&header(">f8", "False", "(2, 3)"), &bytes)?, wanted);
        let halves: Vec<u8> =
            numbers.iter().flat_map(|value| f16::from_f64(*value).to_le_bytes()).collect();
        assert_eq!(read_as(&header("<f2", "False", "(6,)"), &halves)?, wanted);
        // Columns first: a[0, 0], a[1, 0], a[0, 1], ...
        let floats: Vec<u8> = wanted.iter().flat_map(|value| value.to_le_bytes()).collect();
        let rows = [wanted[0], wanted[2], wanted[4], wanted[1], wanted[3], wanted[5]];
        assert_eq!(read_as(&header("<f4", "True", "(2, 3)"), &floats)?, rows);
        // Version 2 has a longer length.
        let text = header("<f4", "False", "(1, 6)");
        let length = (text.len() as u32).to_le_bytes();
        let bytes = [MAGIC, &[2, 0], &length, text.as_bytes(), &floats].concat();
        assert_eq!(read(&bytes)?.shape, [1, 6]);
        Ok(())
    }

    #[test]
    fn damaged_files_and_other_numbers_are_refused() {
        let good = to_bytes(&Array { shape: vec![2, 2], values: vec![1.0; 4] });
        for cut in [0, 5, 7, 9, 40, good.len() - 1] {
            assert!(read(&good[..cut]).is_err(), "{cut}");
        }
        let one = |descr: &str, shape: &str| {
            file(
                &format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"),
                &[0; 8],
            )
        };
        for (bytes, words) in [
            (
                one("'<i8'", "(1,)"),
                "f.npy: expected numbers of float16, float32 or float64, found `<i8`",
            ),
            (one("[('a', '<f4'), ('b', '<f4')]", "(1,)"), "found `["),
            (one("'<f4'", "(3,)"), "f.npy: expected 4 bytes for each number of [3], found 8 bytes"),
            (one("'<f4'", "(-2,)"), "expected an array with a shape, found (-2,"),
            (one("'<f4'", "(9223372036854775807, 9)"), "found 8 bytes"),
            (file("{}", &[]), "found ``"),
        ] {
            let message = read(&bytes).expect_err(words);
            assert!(message.contains(words), "{message}");
        }
    }
}
