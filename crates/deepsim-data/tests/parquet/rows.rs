//! Rows of whole files.

use std::path::PathBuf;

use deepsim_data::parquet::{Parquet, TableOptions};
use deepsim_data::splits::files_of;
use deepsim_data::{DataError, PictureFiles};

use crate::write::{Row, Style, bytes, rows, write};

fn read(dataset: &Parquet, index: usize) -> Result<Vec<u8>, DataError> {
    let mut picture = b"what was here before".to_vec();
    dataset.read(index, &mut picture)?;
    Ok(picture)
}

/// Two files, of row groups of 3, 0, 2 and 4 rows.
fn two_files(folder: &std::path::Path, style: &Style) -> Vec<PathBuf> {
    let all = rows(9);
    let groups: [&[Row]; 4] = [&all[..3], &[], &all[3..5], &all[5..]];
    let paths = [folder.join("a.parquet"), folder.join("b.parquet")];
    for (path, groups) in paths.iter().zip(groups.chunks(3)) {
        let groups: Vec<Vec<Row>> = groups.iter().map(|rows| rows.to_vec()).collect();
        write(path, &groups, style);
    }
    paths.to_vec()
}

#[test]
fn rows_are_read_in_any_order_with_their_classes() {
    let folder = tempfile::tempdir().expect("a folder");
    for (page, dictionary) in [(1024, true), (2, true), (2, false)] {
        let style = Style { page, dictionary, ..Style::default() };
        let paths = two_files(folder.path(), &style);
        let dataset = Parquet::open(&paths, &TableOptions::default()).expect("a data set");
        assert_eq!(dataset.len(), 9);
        assert_eq!(dataset.class_names(), ["cat", "dog", "ship"]);
        for index in [8, 0, 4, 5, 3, 2, 1, 7, 6, 0] {
            assert_eq!(read(&dataset, index).expect("a row"), bytes(index));
            assert_eq!(dataset.label(index), Some(index as u32 % 3));
        }
        assert_eq!(dataset.path(4), paths[0].join("row-4"));
        assert_eq!(dataset.path(5), paths[1].join("row-0"));
        let message = read(&dataset, 9).expect_err("no such row").to_string();
        assert!(message.contains("below 9"), "{message}");
        assert_eq!(dataset.label(9), None);
    }
}

#[test]
fn many_threads_read_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = two_files(folder.path(), &Style::default());
    for cache_bytes in [0, 1 << 20] {
        let options = TableOptions { cache_bytes, ..TableOptions::default() };
        let dataset = &Parquet::open(&paths, &options).expect("a data set");
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for i in 0..200 {
                        let index = (i * (thread + 1)) % 9;
                        assert_eq!(read(dataset, index).expect("a row"), bytes(index));
                    }
                });
            }
        });
    }
}

#[test]
fn decoded_row_groups_are_kept_within_the_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = two_files(folder.path(), &Style::default());
    // Enough for either of the last two row groups, not for both.
    let options = TableOptions { cache_bytes: 600, ..TableOptions::default() };
    let dataset = Parquet::open(&paths, &options).expect("a data set");
    read(&dataset, 3).expect("a row of the second row group");
    read(&dataset, 5).expect("a row of the third row group");
    for path in &paths {
        std::fs::remove_file(path).expect("the file is gone");
    }
    assert_eq!(read(&dataset, 8).expect("still decoded"), bytes(8));
    let error = read(&dataset, 4).expect_err("no longer decoded, and the file is gone");
    assert!(matches!(&error, DataError::Io { path, .. } if *path == paths[0]), "{error}");
}

#[test]
fn a_set_without_classes_has_no_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("unlabeled.parquet");
    let open = |options: &TableOptions| Parquet::open(std::slice::from_ref(&path), options);
    let no_labels = |dataset: Parquet| {
        assert!((0..3).all(|i| dataset.label(i).is_none()));
        assert!(dataset.class_names().is_empty());
        assert_eq!(read(&dataset, 2).expect("a row"), bytes(2));
    };
    let mut hidden = rows(3);
    hidden.iter_mut().for_each(|row| row.1 = Some(-1));
    hidden[1].1 = None;
    write(&path, &[hidden], &Style::default());
    no_labels(open(&TableOptions::default()).expect("classes of -1 and null"));

    let schema = "message schema { optional group image { optional binary bytes; } }";
    write(&path, &[rows(3)], &Style { schema, ..Style::default() });
    no_labels(open(&TableOptions::default()).expect("no column of classes"));

    write(&path, &[rows(3)], &Style::default());
    let options = TableOptions { label_column: None, ..TableOptions::default() };
    no_labels(open(&options).expect("classes that are not asked for"));
}

#[test]
fn classes_without_names_are_numbered_and_pictures_may_be_a_plain_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.parquet");
    let schema = "message schema { optional binary image; optional int64 label; }";
    write(&path, &[rows(4)], &Style { schema, names: None, ..Style::default() });
    let dataset = Parquet::open(&[path], &TableOptions::default()).expect("a data set");
    assert_eq!(dataset.class_names(), ["0", "1", "2"]);
    assert_eq!(read(&dataset, 3).expect("a row"), bytes(3));
}

#[test]
fn the_identity_changes_with_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = two_files(folder.path(), &Style::default());
    let identity = || {
        let dataset = Parquet::open(&paths, &TableOptions::default()).expect("a data set");
        dataset.identity()
    };
    let first = identity();
    assert_eq!(first, identity());
    write(&paths[1], &[rows(6)], &Style::default());
    assert_ne!(first, identity());
}

#[test]
fn the_files_of_a_split_are_found_below_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    for name in ["train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"] {
        write(&data.join(format!("{name}.parquet")), &[rows(2)], &Style::default());
    }
    let files = files_of(folder.path(), "train").expect("a split");
    let wanted = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
    assert_eq!(files, wanted.map(|name| data.join(name)));
    std::fs::remove_file(&files[0]).expect("the file is gone");
    let message = files_of(folder.path(), "train").expect_err("incomplete").to_string();
    assert!(message.contains("expected 2 files of split train, found 1"), "{message}");
}
