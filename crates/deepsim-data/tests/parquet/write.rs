//! Parquet files as the hub's writers make them.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

/// A picture's bytes or none, and its class or none.
pub(crate) type Row = (Option<Vec<u8>>, Option<i64>);

pub(crate) struct Style {
    /// Of the columns.
    pub(crate) schema: &'static str,
    /// Rows of a data page.
    pub(crate) page: usize,
    pub(crate) dictionary: bool,
    /// Names for the column `label`.
    pub(crate) names: Option<Vec<&'static str>>,
}

const HUB_SCHEMA: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

impl Default for Style {
    fn default() -> Self {
        let names = Some(vec!["cat", "dog", "ship"]);
        Self { schema: HUB_SCHEMA, page: 1024, dictionary: true, names }
    }
}

/// The bytes of row `i` of the usual test file: not a picture, but told from all others.
pub(crate) fn bytes(i: usize) -> Vec<u8> {
    (0..40 + 7 * i).map(|k| ((k + 1) * (k + 3) * (i + 2) % 251) as u8).collect()
}

/// `count` rows with classes 0, 1, 2, 0 ...
pub(crate) fn rows(count: usize) -> Vec<Row> {
    (0..count).map(|i| (Some(bytes(i)), Some(i as i64 % 3))).collect()
}

/// The bytes of a file with these row groups.
pub(crate) fn parquet(groups: &[Vec<Row>], style: &Style) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(style.schema).expect("a schema"));
    let description = style.names.as_ref().map(|names| {
        let label = serde_json::json!({ "names": names, "_type": "ClassLabel" });
        let features = serde_json::json!({ "image": { "_type": "Image" }, "label": label });
        let text = serde_json::json!({ "info": { "features": features } }).to_string();
        vec![KeyValue::new("huggingface".to_string(), text)]
    });
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(style.dictionary)
        .set_data_page_row_count_limit(style.page)
        .set_write_batch_size(1)
        .set_key_value_metadata(description)
        .build();
    let mut out = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut out, schema.clone(), Arc::new(properties)).expect("a file");
    for rows in groups {
        let mut group = writer.next_row_group().expect("a row group");
        while let Some(mut column) = group.next_column().expect("a column") {
            let (name, full) = description_of(&mut column);
            match name.as_str() {
                "label" => {
                    let values: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
                    let levels: Vec<i16> =
                        rows.iter().map(|row| i16::from(row.1.is_some())).collect();
                    let column = column.typed::<Int64Type>();
                    column.write_batch(&values, Some(&levels), None).expect("labels");
                }
                _ => {
                    let value = |row: &Row| match name.as_str() {
                        "image.path" => Some(ByteArray::from("picture.png")),
                        _ => row.0.clone().map(ByteArray::from),
                    };
                    let values: Vec<ByteArray> = rows.iter().filter_map(value).collect();
                    let level = |row| if value(row).is_some() { full } else { full - 1 };
                    let levels: Vec<i16> = rows.iter().map(level).collect();
                    let column = column.typed::<ByteArrayType>();
                    column.write_batch(&values, Some(&levels), None).expect("pictures");
                }
            }
            column.close().expect("a column");
        }
        group.close().expect("a row group");
    }
    writer.close().expect("a footer");
    out
}

fn description_of(column: &mut SerializedColumnWriter<'_>) -> (String, i16) {
    let description = match column.untyped() {
        ColumnWriter::Int64ColumnWriter(writer) => writer.get_descriptor(),
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.get_descriptor(),
        _ => panic!("a column that no test uses"),
    };
    (description.path().string(), description.max_def_level())
}

pub(crate) fn write(path: &Path, groups: &[Vec<Row>], style: &Style) {
    std::fs::write(path, parquet(groups, style)).expect("a file");
}
