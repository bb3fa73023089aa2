//! The order of samples is a bijection, and batches depend on nothing but (source, config, cursor).

use std::sync::Arc;

use deepsim_data::order::Permutation;
use deepsim_data::pairs::{Moving, MovingConfig};
use deepsim_data::{
    Batch, Broken, Crop, Cursor, DataError, Loader, LoaderConfig, LoaderState, Rectangle, Scenes,
    Source, Transform, resized::Resized, scenes,
};
use proptest::prelude::*;
use tracing::Level;

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "support/hear.rs"]
mod hear;

use hear::{Told, heard};

proptest! {
    #[test]
    fn every_permutation_is_a_bijection(len in 1usize..5000, seed: u64, epoch in 0u64..100) {
        let order = Permutation::new(len, seed, epoch);
        let mut seen = vec![false; len];
        for position in 0..len {
            let index = order.get(position);
            prop_assert!(!seen[index], "{index} comes twice");
            seen[index] = true;
        }
    }
}

#[test]
fn epochs_and_seeds_have_orders_of_their_own() {
    let order = |seed, epoch| {
        let order = Permutation::new(1000, seed, epoch);
        (0..1000).map(|i| order.get(i)).collect::<Vec<_>>()
    };
    let fixed = |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    let orders = [order(0, 0), order(0, 1), order(1, 0), (0..1000).collect()];
    for (i, a) in orders.iter().enumerate() {
        for b in &orders[..i] {
            // Two random orders of 1000 agree in one place on average.
            assert!(fixed(a, b) < 10, "{} places agree", fixed(a, b));
        }
    }
}

fn config(workers: usize) -> LoaderConfig {
    let crop = Crop::Random(40);
    LoaderConfig {
        batch: 7,
        crop,
        mirror: true,
        seed: 3,
        workers,
        prefetch: 3,
        ..Default::default()
    }
}

fn batches(source: &Arc<dyn Source>, config: LoaderConfig, cursor: Cursor, n: usize) -> Vec<Batch> {
    let loader = Loader::new(source.clone(), config, cursor).expect("a loader");
    loader.take(n).map(|batch| batch.expect("a batch")).collect()
}

fn indices(batches: &[Batch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.samples.iter().map(|sample| sample.index)).collect()
}

#[test]
fn workers_change_nothing_and_a_cursor_goes_on_exactly() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 20));
    let one = batches(&source, config(1), Cursor::default(), 9);
    assert_eq!(one, batches(&source, config(4), Cursor::default(), 9));
    // 7 does not divide 20: batches reach over the end of an epoch, and none is lost.
    let indices = indices(&one);
    for epoch in indices.chunks_exact(20) {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
    assert_eq!(one[8].next, Cursor { epoch: 3, position: 3 });
    for stop in 0..8 {
        let rest = batches(&source, config(3), one[stop].next, 8 - stop);
        assert_eq!(rest, one[stop + 1..], "after batch {stop}");
    }
}

#[test]
fn crops_move_about_and_the_centre_stays() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 1));
    let whole = deepsim_data::read_range(&*source, 0..1, Crop::Full).expect("the image").pixels;
    let config = LoaderConfig { batch: 64, mirror: false, ..config(1) };
    let batch = &batches(&source, config, Cursor::default(), 1)[0];
    // Where does each crop's first row come from?
    let place =
        |crop: &[u8]| (0..=56 * 96).find(|at| at % 96 <= 56 && whole[*at..at + 40] == crop[..40]);
    let places: Vec<usize> = batch.pixels.chunks(3 * 40 * 40).filter_map(place).collect();
    assert_eq!(places.len(), 64, "every crop is part of the image");
    let (rows, columns): (Vec<_>, Vec<_>) = places.iter().map(|at| (at / 96, at % 96)).unzip();
    for axis in [rows, columns] {
        let (low, high) = (axis.iter().min(), axis.iter().max());
        assert!(low < Some(&8) && high > Some(&48), "crops between {low:?} and {high:?} of 0..=56");
    }
    let centre = deepsim_data::read_range(&*source, 0..1, Crop::Center(40)).expect("the image");
    assert_eq!(place(&centre.pixels), Some(28 * 96 + 28));
}

/// Ten images, some of which fail; each takes its time.
struct Failing(&'static [usize]);

impl Source for Failing {
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
        std::thread::sleep(std::time::Duration::from_millis(1));
        out.fill(index as u8);
        match self.0.contains(&index) {
            true => Err(DataError::Argument {
                operation: "reading",
                wanted: "another image".into(),
                got: index.to_string(),
            }),
            false => Ok(()),
        }
    }
}

#[test]
fn errors_arrive_in_order_and_a_dropped_loader_ends() {
    let config = LoaderConfig { batch: 2, workers: 3, shuffle: false, ..LoaderConfig::default() };
    let loader = Loader::new(Arc::new(Failing(&[5])), config, Cursor::default()).expect("a loader");
    let failed: Vec<bool> = loader.take(10).map(|batch| batch.is_err()).collect();
    assert_eq!(
        failed,
        [2, 7].iter().fold([false; 10], |mut all, i| {
            all[*i] = true;
            all
        })
    );
    // Dropped while every worker waits to hand over a batch: returns, or the test hangs.
    drop(Loader::new(Arc::new(Failing(&[5])), config, Cursor::default()).expect("a loader"));
}

#[test]
fn a_broken_sample_is_replaced_and_reported_whatever_the_number_of_workers() {
    let source: Arc<dyn Source> = Arc::new(Failing(&[5]));
    let config = |workers| LoaderConfig {
        batch: 5,
        workers,
        broken: Broken::Skip(3),
        shuffle: true,
        ..LoaderConfig::default()
    };
    // Two batches are an epoch: in each epoch one sample cannot be read.
    let six = batches(&source, config(1), Cursor::default(), 6);
    assert_eq!(six, batches(&source, config(4), Cursor::default(), 6));
    assert_eq!(six.iter().flat_map(|batch| &batch.skipped).count(), 3);
    for batch in &six {
        assert!(batch.skipped.iter().all(|skipped| skipped.index == 5));
        assert!(batch.skipped.iter().all(|skipped| skipped.reason.contains("another image")));
        assert_eq!((batch.n, batch.samples.len()), (5, 5));
        for (pixels, sample) in batch.pixels.chunks(48).zip(&batch.samples) {
            assert!(sample.index != 5 && pixels.iter().all(|v| usize::from(*v) == sample.index));
        }
    }
    assert_eq!(batches(&source, config(2), six[2].next, 3), six[3..]);
}

/// Broken pictures are skipped up to this many.
fn skipping(limit: u64) -> LoaderConfig {
    LoaderConfig { batch: 5, workers: 2, broken: Broken::Skip(limit), ..LoaderConfig::default() }
}

#[test]
fn a_broken_picture_counts_once_however_often_it_is_met() {
    let source: Arc<dyn Source> = Arc::new(Failing(&[5]));
    // Ten epochs, in each of which it is met.
    let (all, told) = heard(|| batches(&source, skipping(1), Cursor::default(), 20));
    assert!(all.iter().flat_map(|batch| &batch.skipped).count() >= 10);
    let warnings: Vec<_> = told.iter().cloned().filter_map(Told::warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("picture 5 is skipped: reading"), "{warnings:?}");
    let ended = Told::Message(Level::DEBUG, "an epoch has ended".into());
    assert_eq!(told.iter().filter(|told| **told == ended).count(), 10);
    let source: Arc<dyn Source> = Arc::new(Failing(&[2, 5, 7]));
    batches(&source, skipping(3), Cursor::default(), 20);
    let mut loader = Loader::new(source, skipping(2), Cursor::default()).expect("a loader");
    let error = loader.find_map(Result::err).expect("one too many").to_string();
    assert!(error.contains("3 pictures could not be read; expected at most 2"), "{error}");
}

#[test]
fn pairs_of_one_broken_picture_count_once() {
    let large = Transform::stretch(40, 40);
    let still: Arc<dyn Source> = Arc::new(Resized::new(Arc::new(Failing(&[5])), large));
    let config = MovingConfig { side: 8, per_picture: 6, seed: 0 };
    let pairs: Arc<dyn Source> = Arc::new(Moving::new(still, config).expect("pairs"));
    let mut met: Vec<usize> = batches(&pairs, skipping(1), Cursor::default(), 24)
        .iter()
        .flat_map(|batch| batch.skipped.iter().map(|skipped| skipped.index))
        .collect();
    met.sort_unstable();
    met.dedup();
    assert_eq!(met, (30..36).collect::<Vec<_>>(), "six pairs are of that picture");
}

#[test]
fn the_count_of_broken_pictures_survives_a_restart() {
    let source: Arc<dyn Source> = Arc::new(Failing(&[2, 7]));
    let mut loader = Loader::new(source.clone(), skipping(1), Cursor::default()).expect("a loader");
    // Up to the first that is broken.
    let mut taken = 0;
    while loader.state().broken.is_empty() {
        loader.next().expect("a batch").expect("one may be broken");
        taken += 1;
    }
    let state = loader.state();
    assert_eq!(state.broken.len(), 1);
    let rest = |mut loader: Loader| {
        let until = loader.by_ref().map_while(Result::ok).map(|batch| batch.next).collect();
        (until, loader.state())
    };
    let (until, end): (Vec<Cursor>, LoaderState) = rest(loader);
    let text = serde_json::to_string(&state).expect("text");
    let saved = serde_json::from_str(&text).expect("a state");
    let again = Loader::resume(source.clone(), skipping(1), &saved).expect("the same data");
    assert_eq!(rest(again), (until.clone(), end), "a restart forgets what was broken");
    // As it was: after each restart as many were allowed again.
    let forgetful = LoaderState { broken: Vec::new(), ..saved };
    let again = Loader::resume(source, skipping(1), &forgetful).expect("the same data");
    assert!(taken > 0 && rest(again).0.len() >= until.len());
}

#[test]
fn a_state_is_for_its_seed_and_data_alone() {
    let source = |seed, n| Arc::new(Scenes::new(seed, scenes::UNLABELED, n)) as Arc<dyn Source>;
    let mut loader = Loader::new(source(5, 20), config(2), Cursor::default()).expect("a loader");
    let first: Vec<Batch> = loader.by_ref().take(4).map(|batch| batch.expect("a batch")).collect();
    let state = loader.state();
    assert_eq!((state.cursor, state.seed), (first[3].next, 3));
    let other = LoaderConfig { batch: 14, workers: 1, ..config(1) };
    let mut again = Loader::resume(source(5, 20), other, &state).expect("the same data");
    let pixels = again.next().expect("a batch").expect("two batches in one").pixels;
    let two: Vec<u8> = loader.take(2).flat_map(|batch| batch.expect("a batch").pixels).collect();
    assert!(pixels == two, "the batch size does not matter");

    let refused = |source, config| {
        let loader = Loader::resume(source, config, &state);
        loader.map(|_| ()).expect_err("this is another run").to_string()
    };
    let error = refused(source(5, 20), LoaderConfig { seed: 4, ..config(1) });
    assert!(error.contains("expected seed 3, found seed 4; "), "{error}");
    for (other, found) in [
        (source(6, 20), "found 20 procedural scenes of split 0, seed 6; "),
        (source(5, 21), "found 21 procedural scenes of split 0, seed 5; "),
    ] {
        let error = refused(other, config(1));
        assert!(error.contains("expected 20 procedural scenes of split 0, seed 5, "), "{error}");
        assert!(error.contains(found), "{error}");
        assert!(error.contains("name the data that the state was saved with"), "{error}");
    }
    let scenes = source(5, 20);
    let resized = |transform| Resized::new(scenes.clone(), transform).content();
    assert!(
        resized(Transform::CAFFE).ends_with("seed 5, stretched to 256x256, four nearest pixels")
    );
    let found = resized(Transform::TORCHVISION);
    assert!(found.ends_with("seed 5, short side 256, middle 224x224, antialiased"), "{found}");
}

#[test]
fn four_ranks_together_are_one_process_with_four_times_the_batch() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 50));
    let single = LoaderConfig { batch: 12, ..config(2) };
    // 12 does not divide 50: steps reach over the borders of epochs.
    let whole = batches(&source, single, Cursor::default(), 9);
    let shares: Vec<Vec<Batch>> = (0..4)
        .map(|rank| {
            let config = LoaderConfig { batch: 3, rank, world: 4, ..config(rank + 1) };
            batches(&source, config, Cursor::default(), 9)
        })
        .collect();
    for (step, whole) in whole.iter().enumerate() {
        let pixels: Vec<u8> = shares.iter().flat_map(|share| share[step].pixels.clone()).collect();
        assert!(pixels == whole.pixels, "step {step}");
        let samples = shares.iter().flat_map(|share| share[step].samples.clone());
        assert_eq!(samples.collect::<Vec<_>>(), whole.samples);
        assert!(shares.iter().all(|share| share[step].next == whole.next));
    }
    // Another number of processes goes on from the same cursor.
    let config = LoaderConfig { batch: 6, rank: 1, world: 2, ..config(1) };
    let second = batches(&source, config, whole[3].next, 5);
    for (share, whole) in second.iter().zip(&whole[4..]) {
        assert_eq!(share.samples, whole.samples[6..]);
    }
    let mut epoch = indices(&whole)[..50].to_vec();
    epoch.sort_unstable();
    assert_eq!(epoch, (0..50).collect::<Vec<_>>());
}

#[test]
fn forty_batches_saved_and_restored_over_an_epoch_border_are_the_same_bytes() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 300));
    let whole = batches(&source, config(2), Cursor::default(), 60);
    let saved = whole[39].next;
    assert_eq!(saved, Cursor { epoch: 0, position: 280 });
    for workers in [1, 2, 5] {
        let rest = batches(&source, config(workers), saved, 20);
        assert_eq!(rest, whole[40..], "{workers} workers");
    }
    assert_eq!(whole[59].next.epoch, 1);
}

#[test]
fn mirroring_reverses_the_rows_of_half_of_the_images() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 100));
    let plain = LoaderConfig { batch: 100, crop: Crop::Full, mirror: false, ..config(1) };
    let straight = &batches(&source, plain, Cursor::default(), 1)[0];
    let config = LoaderConfig { mirror: true, ..plain };
    let mirrored = &batches(&source, config, Cursor::default(), 1)[0];
    let size = 3 * 96 * 96;
    for (i, sample) in mirrored.samples.iter().enumerate() {
        let mut image = mirrored.pixels[i * size..][..size].to_vec();
        if sample.mirrored {
            image.chunks_exact_mut(96).for_each(<[u8]>::reverse);
        }
        assert!(image == straight.pixels[i * size..][..size], "image {i}");
    }
    let count = mirrored.samples.iter().filter(|sample| sample.mirrored).count();
    assert!((30..=70).contains(&count), "{count} of 100");
}

#[test]
fn impossible_loaders_are_refused() {
    let source = || Arc::new(Scenes::new(0, scenes::UNLABELED, 5)) as Arc<dyn Source>;
    let base = config(1);
    let cases = [
        (LoaderConfig { batch: 0, ..base }, Cursor::default(), "batch 0"),
        (LoaderConfig { workers: 0, ..base }, Cursor::default(), "0 workers"),
        (LoaderConfig { crop: Crop::Random(97), ..base }, Cursor::default(), "found 97"),
        (LoaderConfig { crop: Crop::Random(0), ..base }, Cursor::default(), "found 0"),
        (LoaderConfig { world: 0, ..base }, Cursor::default(), "rank 0 of 0"),
        (LoaderConfig { rank: 2, world: 2, ..base }, Cursor::default(), "rank 2 of 2"),
        (base, Cursor { epoch: 0, position: 5 }, "position below 5, found 5"),
        (LoaderConfig { batch: 1 << 60, ..base }, Cursor::default(), "bytes can be counted"),
        (LoaderConfig { batch: usize::MAX, ..base }, Cursor::default(), "bytes can be counted"),
        (LoaderConfig { world: 1 << 62, ..base }, Cursor::default(), "bytes can be counted"),
        (LoaderConfig { workers: usize::MAX, ..base }, Cursor::default(), "at most 1024 workers"),
        (LoaderConfig { prefetch: usize::MAX, ..base }, Cursor::default(), "65536 batches ahead"),
    ];
    for (config, cursor, words) in cases {
        let error = Loader::new(source(), config, cursor).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains(words)), "{words}: {error:?}");
    }
    for (range, crop) in [(0..6, Crop::Full), (3..3, Crop::Full), (0..1, Crop::Random(8))] {
        assert!(deepsim_data::read_range(&*source(), range, crop).is_err());
    }
}

#[test]
fn sizes_that_no_memory_holds_are_errors() {
    let scenes = || Arc::new(Scenes::new(0, scenes::UNLABELED, 5)) as Arc<dyn Source>;
    // Can be counted, but there is no such memory: the program must not end.
    let config = LoaderConfig { batch: 1 << 42, crop: Crop::Full, ..config(1) };
    let mut loader = Loader::new(scenes(), config, Cursor::default()).expect("a loader");
    let error = loader.next().expect("no end").map(|_| ()).expect_err("no memory").to_string();
    assert!(error.contains("found no room for 121597189939003392 bytes"), "{error}");
    let side = 1 << 31;
    let huge = Arc::new(Resized::new(scenes(), Transform::stretch(side, side)));
    let read = deepsim_data::read_range(&*huge, 0..5, Crop::Full).map(|_| ());
    assert!(matches!(read, Err(DataError::Memory { bytes: None })), "{read:?}");
    let crop = deepsim_data::read_range(&*huge, 0..1, Crop::Center(8)).map(|_| ());
    assert!(crop.is_ok(), "only what is asked for needs memory: {crop:?}");
    let short = Transform::short_side(usize::MAX / 2, 8);
    let error = deepsim_data::read_range(&Resized::new(scenes(), short), 0..1, Crop::Full);
    assert!(error.map(|_| ()).expect_err("too large").to_string().contains("is too large"));
    for (side, per_picture) in [(usize::MAX, 1), (8, usize::MAX)] {
        let config = MovingConfig { side, per_picture, seed: 0 };
        assert!(Moving::new(scenes(), config).is_err(), "{config:?}");
    }
    // A cursor at the end of its numbers goes on at their beginning.
    let source = scenes();
    let cursor = Cursor { epoch: u64::MAX, position: 4 };
    let loader = Loader::new(source, LoaderConfig { batch: 3, ..skipping(0) }, cursor);
    let batch = loader.expect("a loader").next().expect("no end").expect("a batch");
    assert_eq!(batch.next, Cursor { epoch: 0, position: 2 });
}
