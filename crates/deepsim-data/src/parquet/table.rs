//! One parquet file: what it claims, held against limits, and its classes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_datasets::hub::FileReader;
use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::Int64Type;
use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;

use super::TableOptions;
use crate::DataError;
use crate::panics::caught;

/// The footer of an ImageNet file takes about 0.1 MB; its parser needs many times its length.
const MAX_FOOTER_BYTES: u32 = 16 << 20;
/// Decoded bytes of the picture column in a row group: the memory that reading one picture may take.
const MAX_GROUP_BYTES: i64 = 1 << 30;
/// Common writers make row groups of at most 2^20 rows.
const MAX_GROUP_ROWS: usize = 1 << 20;
/// Rows of one file, at most.
const MAX_ROWS: usize = 1 << 24;
/// Class indices from here on are taken for damage.
const MAX_CLASSES: i64 = 1 << 20;

/// A parquet file that has been checked.
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) image_column: usize,
    bytes: u64,
    group_rows: Vec<usize>,
}

/// Content of a file that is read on opening.
pub(super) struct Opened {
    pub(super) table: Table,
    pub(super) group_rows: Vec<usize>,
    pub(super) labels: Vec<Option<u32>>,
    pub(super) class_names: Option<Vec<String>>,
    pub(super) identity: String,
}

pub(super) fn open(path: &Path, options: &TableOptions) -> Result<Opened, DataError> {
    let content =
        |wanted: String, got: String| DataError::Content { path: path.into(), wanted, got };
    let (reader, bytes) = reader(path)?;
    let image = &options.image_column;
    let columns = columns(&reader);
    let find = |name: &str| columns.iter().position(|(column, _)| column == name);
    let image_column =
        find(&format!("{image}.bytes")).or_else(|| find(image)).ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            content(format!("a column {image}.bytes or {image}"), names.join(", "))
        })?;
    let label = options.label_column.as_deref().and_then(|name| Some((name, find(name)?)));
    for (index, kind) in [(Some(image_column), Type::BYTE_ARRAY), (label.map(|l| l.1), Type::INT64)]
    {
        if let Some((name, found)) = index.map(|index| &columns[index])
            && *found != Some(kind)
        {
            let got = found.map_or("a list".into(), |found| found.to_string());
            return Err(content(format!("{kind} in column {name}"), got));
        }
    }
    let group_rows = group_rows(&reader, image_column, label.map(|l| l.1), bytes)
        .map_err(|(wanted, got)| content(wanted, got))?;
    let rows: usize = group_rows.iter().sum();
    if rows > MAX_ROWS {
        return Err(content(format!("at most {MAX_ROWS} rows"), rows.to_string()));
    }
    let mut labels = vec![None; if label.is_none() { rows } else { 0 }];
    for (group, rows) in group_rows.iter().enumerate() {
        let Some((name, column)) = label else { break };
        let read = guarded(|| read_labels(&reader, group, column, *rows)).map_err(|error| {
            content(
                format!("{rows} classes in column {name} of row group {group}"),
                error.to_string(),
            )
        })?;
        for value in read {
            labels.push(match value {
                None | Some(-1) => None,
                Some(class) if (0..MAX_CLASSES).contains(&class) => Some(class as u32),
                Some(class) => {
                    let wanted = format!("a class or -1 in column {name}, row {}", labels.len());
                    return Err(content(wanted, class.to_string()));
                }
            });
        }
    }
    let class_names = match label {
        Some((name, _)) => class_names(&reader, name).map_err(|got| {
            content("class names as a JSON list in the metadata `huggingface`".into(), got)
        })?,
        None => None,
    };
    let changed = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let identity = format!("{} {bytes} {changed:?};", path.display());
    let table = Table { path: path.into(), image_column, bytes, group_rows: group_rows.clone() };
    Ok(Opened { table, group_rows, labels, class_names, identity })
}

impl Table {
    /// Opens the file again, as readers of one handle would move each other's position.
    pub(super) fn reader(&self) -> Result<SerializedFileReader<File>, DataError> {
        let (reader, bytes) = reader(&self.path)?;
        if bytes != self.bytes {
            return Err(self.changed(format!("{} bytes", self.bytes), bytes.to_string()));
        }
        Ok(reader)
    }

    /// Rows of a row group, as they were when the file was checked.
    pub(super) fn rows(
        &self,
        reader: &SerializedFileReader<File>,
        group: usize,
    ) -> Result<usize, DataError> {
        let groups = reader.metadata().row_groups();
        let now = groups.get(group).and_then(|g| usize::try_from(g.num_rows()).ok());
        match self.group_rows.get(group) {
            Some(rows) if now == Some(*rows) => Ok(*rows),
            rows => {
                Err(self.changed(format!("{rows:?} rows in group {group}"), format!("{now:?}")))
            }
        }
    }

    fn changed(&self, wanted: String, got: String) -> DataError {
        DataError::Content { path: self.path.clone(), wanted: wanted + ", as before", got }
    }
}

fn reader(path: &Path) -> Result<(SerializedFileReader<File>, u64), DataError> {
    let mut file = File::open(path).map_err(DataError::io("opening", path))?;
    let bytes = file.metadata().map_err(DataError::io("opening", path))?.len();
    let not_parquet = |got: String| DataError::Content {
        path: path.into(),
        wanted: "a whole parquet file".into(),
        got,
    };
    // The last bytes of a parquet file: the length of the footer before them, then the magic.
    let mut end = [0; 8];
    file.seek(SeekFrom::Start(bytes.saturating_sub(8))).map_err(DataError::io("reading", path))?;
    file.read_exact(&mut end).map_err(|_| not_parquet(format!("{bytes} bytes")))?;
    let [a, b, c, d, magic @ ..] = end;
    let footer = u32::from_le_bytes([a, b, c, d]);
    if magic != *b"PAR1" {
        return Err(not_parquet("another ending: it is cut off or of another kind".into()));
    }
    if footer > MAX_FOOTER_BYTES || u64::from(footer) > bytes {
        return Err(not_parquet(format!("a footer of {footer} bytes in {bytes}")));
    }
    let reader = guarded(|| SerializedFileReader::new(file));
    Ok((reader.map_err(|error| not_parquet(error.to_string()))?, bytes))
}

/// Names and types of the columns; no type for those with several values in a row.
fn columns(reader: &SerializedFileReader<File>) -> Vec<(String, Option<Type>)> {
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let kind = |repeated: i16, kind| (repeated == 0).then_some(kind);
    columns
        .iter()
        .map(|c| (c.path().string(), kind(c.max_rep_level(), c.physical_type())))
        .collect()
}

/// Rows of each row group, if the claims about it are possible.
fn group_rows(
    reader: &SerializedFileReader<File>,
    image: usize,
    label: Option<usize>,
    bytes: u64,
) -> Result<Vec<usize>, (String, String)> {
    let group_rows = reader.metadata().row_groups().iter().enumerate().map(|(group, claims)| {
        let limited = |what: &str, limit: usize, got: i64| match usize::try_from(got) {
            Ok(value) if value <= limit => Ok(value),
            _ => Err((format!("at most {limit} {what} in row group {group}"), got.to_string())),
        };
        for column in [Some(image), label].into_iter().flatten() {
            let column = claims.column(column);
            let range = guarded(|| Ok(column.byte_range()));
            let inside = |(start, length): &(u64, u64)| {
                start.checked_add(*length).is_some_and(|end| end <= bytes)
            };
            if !range.as_ref().is_ok_and(inside) {
                let wanted = format!("row group {group} within the {bytes} bytes of the file");
                return Err((wanted, format!("column {} at {range:?}", column.column_path())));
            }
        }
        let decoded = claims.column(image).uncompressed_size();
        limited("decoded bytes of pictures", MAX_GROUP_BYTES as usize, decoded)?;
        limited("rows", MAX_GROUP_ROWS, claims.num_rows())
    });
    group_rows.collect()
}

fn read_labels(
    reader: &SerializedFileReader<File>,
    group: usize,
    column: usize,
    rows: usize,
) -> Result<Vec<Option<i64>>, ParquetError> {
    let description = reader.metadata().file_metadata().schema_descr().column(column);
    let present = description.max_def_level();
    let pages = reader.get_row_group(group)?.get_column_page_reader(column)?;
    let mut column = ColumnReaderImpl::<Int64Type>::new(description, pages);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (read, ..) = column.read_records(rows, Some(&mut levels), None, &mut values)?;
    if read != rows {
        return Err(ParquetError::EOF(format!("the column ends after {read} rows")));
    }
    if present == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels.iter().map(|level| if *level == present { values.next() } else { None }).collect())
}

/// The class names in the description that the hub's writers put into the file.
fn class_names(
    reader: &SerializedFileReader<File>,
    column: &str,
) -> Result<Option<Vec<String>>, String> {
    let pairs = reader.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    let mut descriptions = pairs.filter(|pair| pair.key == "huggingface");
    let Some(text) = descriptions.find_map(|pair| pair.value.as_deref()) else { return Ok(None) };
    let description: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match &description["info"]["features"][column]["names"] {
        serde_json::Value::Null => Ok(None),
        names => serde_json::from_value(names.clone()).map(Some).map_err(|e| e.to_string()),
    }
}

/// The parquet reader checks most of what a file claims, but asserts the rest; a panic over a
/// hostile file is an error like the others.
pub(super) fn guarded<T>(
    read: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, ParquetError> {
    caught(read).unwrap_or_else(|message| Err(ParquetError::General(message)))
}
