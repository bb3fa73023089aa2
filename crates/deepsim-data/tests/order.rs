//! The order of samples is a bijection, and batches depend on nothing but (source, config, cursor).

use std::sync::Arc;

use deepsim_data::order::Permutation;
use deepsim_data::{Batch, Crop, Cursor, DataError, Loader, LoaderConfig, Scenes, Source, scenes};
use proptest::prelude::*;

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
    LoaderConfig { batch: 7, crop: Crop::Random(40), seed: 3, workers, prefetch: 3, shuffle: true }
}

fn batches(source: &Arc<dyn Source>, config: LoaderConfig, cursor: Cursor, n: usize) -> Vec<Batch> {
    let loader = Loader::new(source.clone(), config, cursor).expect("a loader");
    loader.take(n).map(|batch| batch.expect("a batch")).collect()
}

#[test]
fn workers_change_nothing_and_a_cursor_goes_on_exactly() {
    let source: Arc<dyn Source> = Arc::new(Scenes::new(5, scenes::UNLABELED, 20));
    let one = batches(&source, config(1), Cursor::default(), 9);
    assert_eq!(one, batches(&source, config(4), Cursor::default(), 9));
    // 7 does not divide 20: batches reach over the end of an epoch, and none is lost.
    let indices: Vec<usize> = one.iter().flat_map(|batch| batch.indices.clone()).collect();
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
    let config = LoaderConfig { batch: 64, ..config(1) };
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

/// Fails at one index, and takes its time.
struct Broken;

impl Source for Broken {
    fn len(&self) -> usize {
        10
    }
    fn height(&self) -> usize {
        4
    }
    fn width(&self) -> usize {
        4
    }
    fn read(&self, index: usize, _: &mut [u8]) -> Result<(), DataError> {
        std::thread::sleep(std::time::Duration::from_millis(1));
        match index {
            5 => Err(DataError::Argument {
                operation: "reading",
                wanted: "another image".into(),
                got: index.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

#[test]
fn errors_arrive_in_order_and_a_dropped_loader_ends() {
    let config = LoaderConfig { batch: 2, workers: 3, shuffle: false, ..LoaderConfig::default() };
    let loader = Loader::new(Arc::new(Broken), config, Cursor::default()).expect("a loader");
    let failed: Vec<bool> = loader.take(10).map(|batch| batch.is_err()).collect();
    assert_eq!(
        failed,
        [2, 7].iter().fold([false; 10], |mut all, i| {
            all[*i] = true;
            all
        })
    );
    // Dropped while every worker waits to hand over a batch: returns, or the test hangs.
    drop(Loader::new(Arc::new(Broken), config, Cursor::default()).expect("a loader"));
}

#[test]
fn impossible_loaders_are_refused() {
    let source = || Arc::new(Scenes::new(0, scenes::UNLABELED, 5)) as Arc<dyn Source>;
    let base = config(1);
    let cases = [
        (LoaderConfig { batch: 0, ..base }, Cursor::default(), "batch 0"),
        (LoaderConfig { workers: 0, ..base }, Cursor::default(), "0 workers"),
        (LoaderConfig { crop: Crop::Random(97), ..base }, Cursor::default(), "got 97"),
        (LoaderConfig { crop: Crop::Random(0), ..base }, Cursor::default(), "got 0"),
        (base, Cursor { epoch: 0, position: 5 }, "position below 5, got 5"),
    ];
    for (config, cursor, words) in cases {
        let error = Loader::new(source(), config, cursor).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains(words)), "{words}: {error:?}");
    }
    for (range, crop) in [(0..6, Crop::Full), (3..3, Crop::Full), (0..1, Crop::Random(8))] {
        assert!(deepsim_data::read_range(&*source(), range, crop).is_err());
    }
}
