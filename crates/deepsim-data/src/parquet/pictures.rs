//! The picture files of one row group.

use candle_datasets::hub::FileReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::SerializedFileReader;

use super::table::{Table, guarded};
use crate::DataError;

/// Picture of each row, or the reason why there is none.
pub(super) type Pictures = Vec<Result<ByteArray, String>>;

/// Decodes a row group; only a file that cannot be opened is an error of all its rows.
pub(super) fn read(table: &Table, group: usize) -> Result<Pictures, DataError> {
    let reader = table.reader()?;
    let rows = table.rows(&reader, group)?;
    let mut pictures = Vec::with_capacity(rows);
    while pictures.len() < rows {
        let read = guarded(|| read_on(&reader, group, table.image_column, rows, &mut pictures));
        if let Err(error) = read {
            // Damage reaches to the end of its page; the pages after it may be intact.
            let from = pictures.len();
            let end = guarded(|| end_of_page(&reader, group, table.image_column, from));
            let end = end.unwrap_or(rows).clamp(from + 1, rows);
            pictures.resize(end, Err(error.to_string()));
        }
    }
    Ok(pictures)
}

/// Reads the rows after those in `pictures`, up to the last or the first that cannot be read.
fn read_on(
    reader: &SerializedFileReader<std::fs::File>,
    group: usize,
    column: usize,
    rows: usize,
    pictures: &mut Pictures,
) -> Result<(), ParquetError> {
    let description = reader.metadata().file_metadata().schema_descr().column(column);
    let pages = reader.get_row_group(group)?.get_column_page_reader(column)?;
    let mut column = ColumnReaderImpl::<ByteArrayType>::new(description, pages);
    column.skip_records(pictures.len())?;
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while pictures.len() < rows {
        values.clear();
        levels.clear();
        if column.read_records(1, Some(&mut levels), None, &mut values)?.0 == 0 {
            let message = format!("the column ends after {} of {rows} rows", pictures.len());
            return Err(ParquetError::EOF(message));
        }
        pictures.push(match values.pop() {
            None => Err("null".into()),
            Some(value) if value.data().is_empty() => Err("0 bytes".into()),
            Some(value) => Ok(value),
        });
    }
    Ok(())
}

/// Returns the row after the page that holds `row`.
fn end_of_page(
    reader: &SerializedFileReader<std::fs::File>,
    group: usize,
    column: usize,
    row: usize,
) -> Result<usize, ParquetError> {
    let mut pages = reader.get_row_group(group)?.get_column_page_reader(column)?;
    let mut end = 0;
    while let Some(page) = pages.peek_next_page()? {
        if !page.is_dict {
            end += page.num_rows.or(page.num_levels).unwrap_or(0);
        }
        if end > row {
            return Ok(end);
        }
        pages.skip_next_page()?;
    }
    Err(ParquetError::EOF("no more pages".into()))
}
