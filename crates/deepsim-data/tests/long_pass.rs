//! A long pass: many samples through loaders with one and with four workers, some of them broken.
//!
//! `DEEPSIM_SAMPLES=1000000 cargo test --release -p deepsim-data --test long_pass -- --nocapture` makes it
//! as long as wanted, and prints speed and memory. It fails if memory grows by more than [`GROWTH`].
#![expect(clippy::print_stderr, reason = "a measurement is for people")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::{
    Broken, Crop, Cursor, DataError, Loader, LoaderConfig, LoaderState, PictureFiles, Prepared,
    Transform,
};

/// Pictures in a folder, of which some are cut off, one panics and one cannot be opened.
struct Files(ImageFolder);

const FILES: usize = 500;
const PANICS: usize = 123;
const BROKEN: usize = 12;
/// KiB that resident memory may grow by after a tenth of the samples, however many there are.
const GROWTH: u64 = 2 << 10;

impl PictureFiles for Files {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn path(&self, index: usize) -> PathBuf {
        self.0.path(index)
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.0.label(index)
    }
    fn class_names(&self) -> &[String] {
        self.0.class_names()
    }
    fn identity(&self) -> String {
        self.0.identity()
    }
    fn content(&self) -> String {
        self.0.content()
    }
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        assert_ne!(index, PANICS, "this one panics");
        self.0.read(index, bytes)
    }
}

fn files() -> (tempfile::TempDir, Arc<Prepared>) {
    let root = tempfile::tempdir().expect("a folder");
    let class = |index: usize| root.path().join(["a", "b"][index * 2 / FILES]);
    for index in 0..FILES {
        std::fs::create_dir_all(class(index)).expect("a folder");
        let pixels = (0..3 * 24 * 32).map(|at| (at * (index + 3) / 7) as u8);
        let picture = Picture { width: 32, height: 24, rgb: pixels.collect() };
        let mut png = picture.to_png().expect("a PNG");
        if index % 50 == 7 {
            png.truncate(png.len() / 2);
        }
        let path = class(index).join(format!("{index:03}.png"));
        std::fs::write(&path, png).expect("a file");
    }
    let list = ImageFolder::open(root.path()).expect("pictures");
    std::fs::remove_file(list.path(200)).expect("it was there");
    let prepared = Prepared::new(Arc::new(Files(list)), Transform::stretch(24, 32));
    (root, Arc::new(prepared))
}

/// Resident memory in KiB, where the system tells it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Result of a pass: a checksum of pixels, samples and what was skipped, in order.
#[derive(Debug, PartialEq)]
struct Pass {
    sum: u32,
    samples: usize,
    replaced: usize,
    state: LoaderState,
}

fn pass(source: Arc<Prepared>, workers: usize, samples: usize) -> Pass {
    let config = LoaderConfig {
        batch: 50,
        crop: Crop::Random(20),
        mirror: true,
        seed: 7,
        workers,
        broken: Broken::Skip(BROKEN as u64),
        ..LoaderConfig::default()
    };
    let mut loader = Loader::new(source, config, Cursor::default()).expect("a loader");
    let (mut sum, mut replaced) = (0, 0);
    let (start, mut warm) = (Instant::now(), None);
    let batches = samples / config.batch;
    for number in 0..batches {
        let batch = loader.next().expect("batches do not end").expect("few are broken");
        sum = crc32c::crc32c_append(sum, &batch.pixels);
        for sample in &batch.samples {
            assert_eq!(sample.label, Some(u32::from(sample.index >= FILES / 2)));
            sum = crc32c::crc32c_append(sum, &sample.index.to_le_bytes());
        }
        replaced += batch.skipped.len();
        let skipped = serde_json::to_vec(&batch.skipped).expect("text");
        sum = crc32c::crc32c_append(sum, &skipped);
        if number == batches / 10 {
            warm = resident();
        }
    }
    let (seconds, end) = (start.elapsed().as_secs_f64(), resident());
    eprintln!(
        "{samples} samples, {workers} workers: {:.0} samples/s, {replaced} replaced; resident KiB after \
         a tenth {warm:?}, at the end {end:?}",
        samples as f64 / seconds
    );
    if let Some((warm, end)) = warm.zip(end) {
        assert!(end < warm + GROWTH, "memory grows from {warm} to {end} KiB");
    }
    Pass { sum, samples: batches * config.batch, replaced, state: loader.state() }
}

#[test]
fn a_long_pass_over_broken_pictures_keeps_order_count_and_memory() {
    let samples = std::env::var("DEEPSIM_SAMPLES").ok().and_then(|count| count.parse().ok());
    let samples = samples.unwrap_or(20_000);
    // Thousands of panics are expected.
    std::panic::set_hook(Box::new(|_| {}));
    let (_root, source) = files();
    let one = pass(source.clone(), 1, samples);
    let four = pass(source, 4, samples);
    drop(std::panic::take_hook());
    assert_eq!(one, four);
    assert_eq!(one.samples, samples / 50 * 50);
    let broken: Vec<usize> =
        (0..FILES).filter(|i| i % 50 == 7 || [PANICS, 200].contains(i)).collect();
    assert_eq!((one.state.broken.len(), &one.state.broken), (BROKEN, &broken));
    let expected = one.samples as f64 * BROKEN as f64 / (FILES - BROKEN) as f64;
    let replaced = one.replaced as f64;
    assert!((0.9..1.1).contains(&(replaced / expected)), "{replaced} replaced, not {expected}");
    let cursor = Cursor { epoch: (samples / FILES) as u64, position: (samples % FILES) as u64 };
    assert_eq!(one.state.cursor, cursor);
}
