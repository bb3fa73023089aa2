//! Decoders and sources that panic: each panic is an error of its sample, and no loader ends in silence.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use deepsim_data::picture::Picture;
use deepsim_data::shards::{Limits, copy};
use deepsim_data::{
    Batch, Broken, Crop, Cursor, DataError, Loader, LoaderConfig, PictureFiles, Prepared,
    Rectangle, Source, Transform, read_range,
};

/// Images of one colour, some of which panic, each in its own way.
#[derive(Default)]
struct Panics {
    lock: Mutex<()>,
    /// True if the panic comes while a lock is held, which poisons it.
    poison: bool,
}

const LEN: usize = 20;
const BROKEN: [usize; 4] = [3, 7, 8, 11];

impl Source for Panics {
    fn len(&self) -> usize {
        LEN
    }
    fn height(&self) -> usize {
        4
    }
    fn width(&self) -> usize {
        4
    }
    fn identity(&self) -> String {
        "panics".into()
    }
    fn label(&self, index: usize) -> Option<u32> {
        assert_ne!(index, 11, "no label");
        Some(index as u32)
    }
    fn read_part(&self, index: usize, _: Rectangle, out: &mut [u8]) -> Result<(), DataError> {
        let _guard = self.poison.then(|| self.lock.lock().expect("a lock that is whole"));
        match index {
            3 => panic!("index {index} out of bounds"),
            7 => std::panic::panic_any(7u8),
            8 => drop(std::hint::black_box(vec![0u64; std::hint::black_box(usize::MAX / 2)])),
            _ => out.fill(index as u8),
        }
        Ok(())
    }
}

fn config(workers: usize, broken: Broken) -> LoaderConfig {
    LoaderConfig { batch: 5, workers, broken, seed: 2, ..LoaderConfig::default() }
}

fn batches(
    source: Panics,
    config: LoaderConfig,
    count: usize,
) -> Vec<Option<Result<Batch, String>>> {
    let mut loader = Loader::new(Arc::new(source), config, Cursor::default()).expect("a loader");
    let next = |_| loader.next().map(|batch| batch.map_err(|error| error.to_string()));
    (0..count).map(next).collect()
}

#[test]
fn a_panic_is_an_error_that_names_its_sample_whatever_the_number_of_workers() {
    let one = batches(Panics::default(), config(1, Broken::Fail), 40);
    // Four batches are an epoch, so in ten epochs each image is met ten times, or hidden by one
    // before it in its batch.
    let errors: Vec<&String> =
        one.iter().filter_map(|batch| batch.as_ref()?.as_ref().err()).collect();
    let good = one.iter().flatten().flatten().count();
    assert_eq!(good + errors.len(), 40, "no batch is missing");
    assert!(good > 0 && errors.len() > 10, "{good} batches and {} errors", errors.len());
    for (index, words) in [
        (3, "a panic: index 3 out of bounds"),
        (7, "a panic: a value without a message"),
        (8, "a panic: capacity overflow"),
        (11, "no label"),
    ] {
        let named = |error: &&&String| error.contains(&format!("image {index}: "));
        let error = errors.iter().find(named);
        assert!(error.is_some_and(|error| error.contains(words)), "{index}: {error:?}");
    }
    for workers in [2, 4] {
        assert!(batches(Panics::default(), config(workers, Broken::Fail), 40) == one);
    }
}

#[test]
fn what_panics_is_skipped_as_what_is_broken() {
    let one = batches(Panics::default(), config(1, Broken::Skip(4)), 40);
    assert!(batches(Panics::default(), config(4, Broken::Skip(4)), 40) == one);
    let mut skipped = Vec::new();
    for batch in one.into_iter().map(|batch| batch.expect("no end").expect("a batch")) {
        assert_eq!(batch.samples.len(), 5);
        for (pixels, sample) in batch.pixels.chunks(48).zip(&batch.samples) {
            assert!(!BROKEN.contains(&sample.index));
            assert!(pixels.iter().all(|value| usize::from(*value) == sample.index));
        }
        skipped.extend(batch.skipped.into_iter().map(|skipped| skipped.index));
    }
    skipped.sort_unstable();
    skipped.dedup();
    assert_eq!(skipped, BROKEN);
}

#[test]
fn a_source_that_poisons_its_lock_is_heard_in_every_batch() {
    for workers in [1, 3] {
        let source = Panics { poison: true, ..Panics::default() };
        let all = batches(source, config(workers, Broken::Fail), 30);
        let broken = all.iter().position(|batch| matches!(batch, Some(Err(_))));
        let broken = broken.expect("an image that panics");
        // Workers are ahead of each other by no more than they prepare.
        for batch in &all[broken + 12..] {
            let error = batch.as_ref().expect("no end").as_ref().expect_err("the lock is lost");
            assert!(error.contains("a lock that is whole"), "{error}");
        }
        // Skipped, they are soon too many.
        let source = Panics { poison: true, ..Panics::default() };
        let all = batches(source, config(workers, Broken::Skip(10)), 30);
        let last = all.last().expect("30").as_ref().expect("no end").as_ref();
        assert!(last.is_err(), "a source of which nothing can be read goes on");
    }
}

#[test]
fn reading_a_range_names_what_panics() {
    let error = read_range(&Panics::default(), 0..6, Crop::Full).map(|_| ()).expect_err("image 3");
    assert!(matches!(error, DataError::Panicked { index: 3, file: None, .. }), "{error}");
    assert!(read_range(&Panics::default(), 4..7, Crop::Full).is_ok());
}

/// Files of which one panics.
struct PanickingFiles;

impl PictureFiles for PanickingFiles {
    fn len(&self) -> usize {
        6
    }
    fn path(&self, index: usize) -> PathBuf {
        format!("there/{index}.png").into()
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn identity(&self) -> String {
        "files".into()
    }
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        assert_ne!(index, 4, "a disk that nobody expected");
        *bytes = Picture::new(8, 8, [index as u8; 3]).to_png()?;
        Ok(())
    }
}

#[test]
fn a_panic_over_a_file_names_the_file() {
    let source: Arc<dyn Source> =
        Arc::new(Prepared::new(Arc::new(PanickingFiles), Transform::stretch(8, 8)));
    for workers in [1, 2] {
        let config = LoaderConfig { shuffle: false, batch: 3, ..config(workers, Broken::Fail) };
        let loader = Loader::new(source.clone(), config, Cursor::default()).expect("a loader");
        let all: Vec<_> = loader.take(8).collect();
        assert_eq!(all.len(), 8);
        for (number, batch) in all.into_iter().enumerate() {
            if number % 2 == 0 {
                // Read by a thread whose memory a panic has passed through.
                let batch = batch.expect("three pictures");
                let first = batch.pixels.chunks(3 * 64).map(|pixels| pixels[0]);
                assert_eq!(first.collect::<Vec<_>>(), [0, 1, 2]);
            } else {
                let error = batch.expect_err("the disk").to_string();
                let words = "image 4 (there/4.png): expected pixels or an error, found a panic:";
                assert!(error.contains(words) && error.contains("nobody expected"), "{error}");
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let copied = copy(&PanickingFiles, folder.path(), "t", Limits::default());
    let error = copied.map(|_| ()).expect_err("the disk").to_string();
    assert!(error.contains("there/4.png"), "{error}");
}
