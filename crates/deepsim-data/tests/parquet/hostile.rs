//! Files that are not what they should be.

use std::path::{Path, PathBuf};

use deepsim_data::parquet::{Parquet, TableOptions};
use deepsim_data::{DataError, PictureFiles};

use crate::write::{Style, bytes, parquet, rows, write};

fn open(path: &Path) -> Result<Parquet, DataError> {
    Parquet::open(&[path.to_path_buf()], &TableOptions::default())
}

fn refusal(path: &Path) -> String {
    let error = open(path).err().expect("the file is refused");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "the file is named: {message}");
    message
}

/// Which rows can be read, each checked against what was written, and the messages of the others.
fn readable(dataset: &Parquet) -> (Vec<usize>, Vec<String>) {
    let (mut good, mut messages, mut picture) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..dataset.len() {
        match dataset.read(index, &mut picture) {
            Ok(()) => {
                assert_eq!(picture, bytes(index), "row {index}");
                good.push(index);
            }
            Err(error) => messages.push(error.to_string()),
        }
    }
    (good, messages)
}

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("train.parquet")
}

#[test]
fn a_null_and_an_empty_picture_are_named_and_the_others_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = rows(6);
    group[1].0 = None;
    group[4].0 = Some(Vec::new());
    write(&file(&folder), &[group, rows(0)], &Style::default());
    let dataset = open(&file(&folder)).expect("a data set");
    let (good, messages) = readable(&dataset);
    assert_eq!(good, [0, 2, 3, 5]);
    let wanted = "expected a picture in column image of row group 0, found";
    assert!(messages[0].contains("train.parquet/row-1: "), "{}", messages[0]);
    assert!(messages[0].ends_with(&format!("{wanted} null")), "{}", messages[0]);
    assert!(messages[1].contains("train.parquet/row-4: "), "{}", messages[1]);
    assert!(messages[1].ends_with(&format!("{wanted} 0 bytes")), "{}", messages[1]);
}

#[test]
fn a_broken_page_costs_its_own_rows_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let style = Style { page: 3, dictionary: false, ..Style::default() };
    let all = rows(16);
    let groups = [all[..12].to_vec(), all[12..].to_vec()];
    let whole = parquet(&groups, &style);
    // Snappy leaves bytes like these as they are, each row after its length in 4 bytes: that of
    // row 4, in the second of four pages, becomes more than there is.
    let row = bytes(4);
    let at = whole.windows(30).position(|window| window == &row[..30]).expect("row 4");
    let mut broken = whole;
    broken[at - 4..at].fill(0xff);
    std::fs::write(file(&folder), broken).expect("a file");
    let dataset = open(&file(&folder)).expect("a data set");
    let (good, messages) = readable(&dataset);
    let lost: Vec<usize> = (0..16).filter(|row| !good.contains(row)).collect();
    assert_eq!(lost, [4, 5]);
    let named = |index: usize| messages.iter().any(|m| m.contains(&format!("row-{index}: ")));
    assert!(lost.iter().all(|index| named(*index)), "{messages:?}");
}

#[test]
fn missing_and_mistyped_columns_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    write(&path, &[rows(2)], &Style::default());
    let options = TableOptions { image_column: "img".into(), ..TableOptions::default() };
    let error = Parquet::open(std::slice::from_ref(&path), &options).err().expect("no column");
    let message = error.to_string();
    let wanted = "expected a column img.bytes or img, found image.bytes, image.path, label";
    assert!(message.ends_with(wanted), "{message}");

    let options = TableOptions { image_column: "label".into(), ..TableOptions::default() };
    let error = Parquet::open(std::slice::from_ref(&path), &options).err().expect("integers");
    assert!(
        error.to_string().ends_with("expected BYTE_ARRAY in column label, found INT64"),
        "{error}"
    );

    let schema = "message schema { optional binary image; optional binary class; }";
    let style = Style { schema, ..Style::default() };
    write(&path, &[rows(2)], &style);
    let options = TableOptions { label_column: Some("class".into()), ..TableOptions::default() };
    let error = Parquet::open(std::slice::from_ref(&path), &options).err().expect("texts");
    assert!(
        error.to_string().ends_with("expected INT64 in column class, found BYTE_ARRAY"),
        "{error}"
    );
}

#[test]
fn impossible_classes_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    for (class, wanted) in [
        (3, "expected classes below 3, the number of their names, found 3"),
        (-2, "expected a class or -1 in column label, row 4, found -2"),
        (i64::MAX, "expected a class or -1 in column label, row 4, found 9223372036854775807"),
    ] {
        let mut group = rows(5);
        group[4].1 = Some(class);
        write(&path, &[group], &Style::default());
        let message = refusal(&path);
        assert!(message.ends_with(wanted), "{message}");
    }
    let other = folder.path().join("other.parquet");
    write(&path, &[rows(5)], &Style::default());
    let names = Some(vec!["dog", "cat", "ship"]);
    write(&other, &[rows(5)], &Style { names, ..Style::default() });
    let error = Parquet::open(&[path, other], &TableOptions::default()).err();
    let message = error.expect("names in another order").to_string();
    assert!(message.contains("other.parquet") && message.contains("class names"), "{message}");
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    assert!(matches!(open(&path), Err(DataError::Io { .. })), "there is none");
    let whole = parquet(&[rows(50)], &Style::default());
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("a file");
        let message = refusal(&path);
        assert!(message.contains("expected a whole parquet file"), "{length}: {message}");
    }
    // The middle is missing: the footer is whole, but its row groups lie outside the file.
    let footer = u32::from_le_bytes(*whole[whole.len() - 8..].first_chunk().expect("4 bytes"));
    let footer = whole.len() - 8 - footer as usize;
    std::fs::write(&path, [&whole[..4], &whole[footer..]].concat()).expect("a file");
    let message = refusal(&path);
    assert!(message.contains("expected row group 0 within"), "{message}");
    assert!(Parquet::open(&[], &TableOptions::default()).is_err(), "no files");
}

#[test]
fn hostile_footer_lengths_are_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    let mut file = parquet(&[rows(5)], &Style::default());
    let at = file.len() - 8;
    for length in [0, 1, file.len() as u32, (16 << 20) + 1, u32::MAX] {
        file[at..at + 4].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&path, &file).expect("a file");
        let message = refusal(&path);
        assert!(message.contains("expected a whole parquet file"), "{length}: {message}");
    }
}

#[test]
fn a_file_that_changed_under_the_reader_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    write(&path, &[rows(5)], &Style::default());
    let dataset = open(&path).expect("a data set");
    write(&path, &[rows(6)], &Style::default());
    let message = dataset.read(0, &mut Vec::new()).expect_err("changed").to_string();
    assert!(message.contains("train.parquet") && message.contains("as before"), "{message}");
}

#[test]
fn no_damage_of_a_byte_does_more_than_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    let style = Style { page: 2, ..Style::default() };
    let whole = parquet(&[rows(3), rows(2)], &style);
    let (mut refused, mut opened, mut picture) = (0, 0, Vec::new());
    for at in 0..whole.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            std::fs::write(&path, &damaged).expect("a file");
            match open(&path) {
                Err(_) => refused += 1,
                Ok(dataset) => {
                    opened += 1;
                    for index in 0..dataset.len().min(100) {
                        let _ = dataset.read(index, &mut picture);
                    }
                }
            }
        }
    }
    assert!(refused > 100 && opened > 100, "{refused} refused, {opened} opened");
}
