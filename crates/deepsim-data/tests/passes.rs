//! Passes that end, and subsets, splits and concatenations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::{
    Batch, Broken, Concat, Crop, Cursor, DataError, Loader, LoaderConfig, LoaderState,
    PictureFiles, Rectangle, Scenes, Source, Subset, scenes,
};

fn scenes(len: usize) -> Arc<dyn Source> {
    Arc::new(Scenes::new(0, scenes::TRAIN, len))
}

fn config() -> LoaderConfig {
    LoaderConfig {
        batch: 8,
        crop: Crop::Random(20),
        mirror: true,
        seed: 4,
        ends: true,
        ..Default::default()
    }
}

fn pass(source: &Arc<dyn Source>, config: LoaderConfig, cursor: Cursor) -> Vec<Batch> {
    let loader = Loader::new(source.clone(), config, cursor).expect("a loader");
    loader.map(|batch| batch.expect("a batch")).collect()
}

#[test]
fn a_pass_is_the_epoch_of_the_endless_sequence_and_ends() {
    let source = scenes(21);
    let endless = LoaderConfig { ends: false, batch: 1, ..config() };
    let endless: Vec<Batch> = Loader::new(source.clone(), endless, Cursor::default())
        .expect("a loader")
        .take(63)
        .map(|batch| batch.expect("a batch"))
        .collect();
    for epoch in 0..3 {
        let batches = pass(&source, config(), Cursor { epoch, position: 0 });
        assert_eq!(batches.iter().map(|batch| batch.n).collect::<Vec<_>>(), [8, 8, 5]);
        let pixels: Vec<u8> = batches.iter().flat_map(|batch| batch.pixels.clone()).collect();
        let wanted = endless.iter().skip(21 * epoch as usize).take(21);
        assert!(pixels == wanted.flat_map(|batch| batch.pixels.clone()).collect::<Vec<u8>>());
        assert_eq!(batches[2].next, Cursor { epoch: epoch + 1, position: 0 });
        for workers in [2, 3, 7] {
            let others =
                pass(&source, LoaderConfig { workers, ..config() }, Cursor { epoch, position: 0 });
            assert_eq!(others, batches, "{workers} workers");
        }
        // From the middle, as after a restart, and in batches of another size.
        let cursor = Cursor { epoch, position: 8 };
        assert_eq!(pass(&source, config(), cursor), batches[1..]);
        let sizes = pass(&source, LoaderConfig { batch: 13, ..config() }, cursor);
        assert_eq!(sizes.iter().map(|batch| batch.n).collect::<Vec<_>>(), [13]);
    }
}

#[test]
fn a_pass_is_resumed_and_its_end_is_the_beginning_of_the_next() {
    let source = scenes(20);
    let whole = pass(&source, config(), Cursor::default());
    let mut loader = Loader::epoch(source.clone(), config(), 0).expect("a loader");
    loader.next().expect("a batch").expect("a batch");
    let text = serde_json::to_string(&loader.state()).expect("text");
    let state: LoaderState = serde_json::from_str(&text).expect("a state");
    let rest = Loader::resume(source.clone(), config(), &state).expect("the same data");
    assert_eq!(rest.map(|batch| batch.expect("a batch")).collect::<Vec<_>>(), whole[1..]);
    loader.by_ref().for_each(|batch| drop(batch.expect("a batch")));
    assert!(loader.next().is_none(), "it stays at its end");
    assert_eq!(loader.state().cursor, Cursor { epoch: 1, position: 0 });
    let next = Loader::resume(source.clone(), config(), &loader.state()).expect("the next epoch");
    let next: Vec<Batch> = next.map(|batch| batch.expect("a batch")).collect();
    assert_eq!(next, pass(&source, config(), Cursor { epoch: 1, position: 0 }));
}

#[test]
fn the_ranks_of_a_pass_have_each_sample_once_and_all_end() {
    // Steps of 3 x 4: the last has 4 and 2 samples, and none for the third rank.
    let source = scenes(30);
    let config = LoaderConfig { batch: 4, world: 3, ..config() };
    let mut all = Vec::new();
    for rank in 0..3 {
        let mut loader =
            Loader::epoch(source.clone(), LoaderConfig { rank, ..config }, 2).expect("a loader");
        let batches: Vec<Batch> = loader.by_ref().map(|batch| batch.expect("a batch")).collect();
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.n).collect();
        assert_eq!(sizes, [[4, 4, 4].as_slice(), &[4, 4, 2], &[4, 4]][rank]);
        assert_eq!(loader.state().cursor, Cursor { epoch: 3, position: 0 }, "rank {rank}");
        all.extend(batches.iter().flat_map(|batch| batch.samples.iter().map(|s| s.index)));
    }
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
}

/// Images of 4x4 of which some cannot be read; counts the reads.
struct Some4 {
    broken: &'static [usize],
    wait: Duration,
    reads: AtomicUsize,
}

impl Source for Some4 {
    fn len(&self) -> usize {
        10
    }
    fn height(&self) -> usize {
        4
    }
    fn width(&self) -> usize {
        4
    }
    fn identity(&self) -> String {
        "ten images".into()
    }
    fn read_part(&self, index: usize, _: Rectangle, out: &mut [u8]) -> Result<(), DataError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.wait);
        out.fill(index as u8);
        match self.broken.contains(&index) {
            true => Err(DataError::Memory { bytes: None }),
            false => Ok(()),
        }
    }
}

#[test]
fn a_pass_leaves_out_what_cannot_be_read_instead_of_drawing_another() {
    let broken = &[1, 4, 5][..];
    let source = Arc::new(Some4 { broken, wait: Duration::ZERO, reads: AtomicUsize::new(0) });
    let config = LoaderConfig {
        batch: 2,
        crop: Crop::Full,
        shuffle: false,
        broken: Broken::Skip(3),
        workers: 2,
        ..config()
    };
    let config = LoaderConfig { mirror: false, ..config };
    let mut loader = Loader::epoch(source.clone(), config, 0).expect("a loader");
    let batches: Vec<Batch> = loader.by_ref().map(|batch| batch.expect("a batch")).collect();
    let indices: Vec<Vec<usize>> =
        batches.iter().map(|batch| batch.samples.iter().map(|s| s.index).collect()).collect();
    // Both pictures of the third batch are left out, and so is the batch.
    assert_eq!(indices, [vec![0], vec![2, 3], vec![6, 7], vec![8, 9]]);
    assert_eq!(batches[0].pixels, [0; 48]);
    assert_eq!(loader.state().broken, broken);
    let few = LoaderConfig { broken: Broken::Skip(2), ..config };
    let last = Loader::epoch(source.clone(), few, 0).expect("a loader").find_map(Result::err);
    assert!(last.expect("too many").to_string().contains("3 pictures could not be read"));
    let fails = LoaderConfig { broken: Broken::Fail, ..config };
    let errors = Loader::epoch(source, fails, 0).expect("a loader").filter(Result::is_err).count();
    assert_eq!(errors, 2, "of two batches");
}

#[test]
fn a_dropped_loader_waits_for_images_and_not_for_batches() {
    let wait = Duration::from_millis(100);
    let source = Arc::new(Some4 { broken: &[], wait, reads: AtomicUsize::new(0) });
    let config = LoaderConfig { batch: 10, workers: 2, ..LoaderConfig::default() };
    let loader = Loader::new(source.clone(), config, Cursor::default()).expect("a loader");
    while source.reads.load(Ordering::Relaxed) < 2 {
        std::thread::yield_now();
    }
    let start = Instant::now();
    drop(loader);
    let waited = start.elapsed();
    // A batch takes 1 s.
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    assert!(source.reads.load(Ordering::Relaxed) < 10);
}

#[test]
fn labels_are_there_or_the_image_without_one_is_named() {
    let batches = pass(&scenes(9), config(), Cursor::default());
    let labels = batches[0].labels().expect("labels");
    assert_eq!(labels.len(), 8);
    assert!(labels.iter().zip(&batches[0].samples).all(|(a, b)| Some(*a) == b.label));
    let source: Arc<dyn Source> =
        Arc::new(Some4 { broken: &[], wait: Duration::ZERO, reads: AtomicUsize::new(0) });
    let config = LoaderConfig { crop: Crop::Full, shuffle: false, ..config() };
    let batch = &pass(&source, config, Cursor::default())[0];
    let error = batch.labels().expect_err("no labels").to_string();
    assert_eq!(error, "labels of a batch: expected images with labels, found image 0 without one");
}

#[test]
fn a_split_is_a_function_of_number_and_seed_and_loses_none() {
    let split = |len, share, seed| Subset::split(scenes(len), share, seed).expect("a split");
    let (train, test) = split(1000, 0.1, 3);
    let mut all = [train.indices(), test.indices()].concat();
    assert_eq!((train.len(), test.len()), (900, 100));
    assert!(test.indices().is_sorted() && train.indices().is_sorted());
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
    assert_eq!(split(1000, 0.1, 3).1.indices(), test.indices());
    let other = split(1000, 0.1, 4).1;
    let shared = other.indices().iter().filter(|index| test.indices().contains(index)).count();
    assert!((1..30).contains(&shared), "{shared} of 100; 10 by chance");
    // A larger share holds out what a smaller one does, and more.
    let more = split(1000, 0.2, 3).1;
    assert!(test.indices().iter().all(|index| more.indices().contains(index)));
    for share in [0.0, 1.0, 0.0001, -0.1, 1.5, f64::NAN] {
        let error = Subset::split(scenes(20), share, 0).err().expect("refused").to_string();
        assert!(error.contains("leaves some of 20 images on both sides"), "{error}");
    }
}

#[test]
fn a_concatenation_has_the_images_of_its_parts_in_order() {
    let parts = vec![scenes(3), Arc::new(Scenes::new(0, scenes::TEST, 4)) as Arc<dyn Source>];
    let both: Arc<dyn Source> = Arc::new(Concat::new(parts.clone()).expect("one size"));
    let config = LoaderConfig { shuffle: false, ..config() };
    let joined = &pass(&both, config, Cursor::default())[0];
    let wanted = parts.iter().flat_map(|part| (0..part.len()).map(|index| part.label(index)));
    assert_eq!(
        joined.samples.iter().map(|sample| sample.label).collect::<Vec<_>>(),
        wanted.collect::<Vec<_>>()
    );
    let (mut a, mut b) = (vec![0; 3 * 96 * 96], vec![0; 3 * 96 * 96]);
    both.read(5, &mut a).expect("an image");
    parts[1].read(2, &mut b).expect("the same");
    assert!(a == b);
    assert!(both.read(7, &mut a).is_err());
    let small: Arc<dyn Source> =
        Arc::new(Some4 { broken: &[], wait: Duration::ZERO, reads: AtomicUsize::new(0) });
    let error = Concat::new(vec![scenes(3), small]).err().expect("two sizes").to_string();
    assert!(error.contains("expected images of 96x96 in all, found 4x4"), "{error}");
    assert!(Concat::new(Vec::new()).is_err());
}

#[test]
fn picture_files_are_split_and_joined_too() {
    let root = tempfile::tempdir().expect("a folder");
    for at in 0..6u8 {
        let class = root.path().join(["cat", "dog"][usize::from(at % 2)]);
        std::fs::create_dir_all(&class).expect("a folder");
        Picture::new(4, 4, [at; 3]).write_png(&class.join(format!("{at}.png"))).expect("a file");
    }
    let files: Arc<dyn PictureFiles> = Arc::new(ImageFolder::open(root.path()).expect("pictures"));
    let (train, test) = Subset::split(files.clone(), 0.5, 1).expect("a split");
    let parts: [Arc<dyn PictureFiles>; 2] = [Arc::new(train), Arc::new(test)];
    let joined = Concat::files(parts.to_vec()).expect("the same classes");
    assert_eq!((joined.len(), joined.class_names()), (6, files.class_names()));
    let mut seen: Vec<(std::path::PathBuf, Option<u32>, Vec<u8>)> = (0..6)
        .map(|index| {
            let mut bytes = Vec::new();
            joined.read(index, &mut bytes).expect("a picture");
            (joined.path(index), joined.label(index), bytes)
        })
        .collect();
    seen.sort();
    let wanted = (0..6).map(|index| {
        let bytes = std::fs::read(files.path(index)).expect("a file");
        (files.path(index), files.label(index), bytes)
    });
    assert_eq!(seen, wanted.collect::<Vec<_>>());
    assert!(joined.read(6, &mut Vec::new()).is_err() && parts[0].read(9, &mut Vec::new()).is_err());
    assert_ne!(parts[0].content(), parts[1].content());
}
