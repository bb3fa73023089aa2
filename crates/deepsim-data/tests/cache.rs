//! Prepared samples on disk: the same bytes, whatever happens to the file.

use std::sync::Arc;

use deepsim_data::cache::Cached;
use deepsim_data::{Crop, DataError, Rectangle, Scenes, Source, read_range, scenes};

const IMAGE: usize = 3 * 96 * 96;

fn scene_source() -> Arc<dyn Source> {
    Arc::new(Scenes::new(0, scenes::TRAIN, 12))
}

fn all(source: &dyn Source) -> Vec<u8> {
    read_range(source, 0..12, Crop::Full).expect("all images").pixels
}

#[test]
fn images_come_from_the_file_the_second_time_and_in_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let cached = Cached::open(scene_source(), &path).expect("a new cache");
    let wanted = all(&*scene_source());
    assert!(all(&cached) == wanted);
    assert_eq!(cached.hits(), 0);
    assert!(all(&cached) == wanted);
    assert_eq!((cached.hits(), cached.unwritten()), (12, 0));
    drop(cached);
    let cached = Cached::open(scene_source(), &path).expect("the same cache");
    assert_eq!(cached.label(3), Some(3));
    let part = Rectangle { top: 7, left: 9, height: 20, width: 30 };
    let (mut a, mut b) = (vec![0; 1800], vec![1; 1800]);
    cached.read_part(5, part, &mut a).expect("a part");
    scene_source().read_part(5, part, &mut b).expect("a part");
    assert!(a == b && cached.hits() == 1);
    assert!(cached.read_part(12, part, &mut a).is_err());
}

#[test]
fn a_damaged_image_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let wanted = all(&*scene_source());
    all(&Cached::open(scene_source(), &path).expect("a new cache"));
    let mut bytes = std::fs::read(&path).expect("the file");
    let images = bytes.len() - 12 * IMAGE;
    bytes[images + 4 * IMAGE + 100] ^= 1; // an image
    bytes[images - 8 * 12 + 8 * 7] ^= 1; // a checksum
    bytes[images - 8 * 12 + 8 * 9 + 4..][..4].fill(0); // a mark
    std::fs::write(&path, bytes).expect("the file");
    let cached = Cached::open(scene_source(), &path).expect("the cache");
    assert!(all(&cached) == wanted);
    assert_eq!(cached.hits(), 9);
    assert!(all(&cached) == wanted);
    assert_eq!(cached.hits(), 21, "the three were written again");
}

#[test]
fn the_cache_of_another_source_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    all(&Cached::open(scene_source(), &path).expect("a new cache"));
    let before = std::fs::read(&path).expect("the file");
    let others: [Scenes; 3] = [
        Scenes::new(1, scenes::TRAIN, 12),
        Scenes::new(0, scenes::TEST, 12),
        Scenes::new(0, scenes::TRAIN, 13),
    ];
    for other in others {
        let error = Cached::open(Arc::new(other), &path).map(|_| ()).expect_err("another source");
        assert!(matches!(error, DataError::Content { .. }));
        assert!(error.to_string().contains("delete the file"), "{error}");
    }
    std::fs::write(&path, &before[..before.len() - 1]).expect("the file");
    assert!(Cached::open(scene_source(), &path).is_err(), "cut off");
    std::fs::write(&path, "x").expect("the file");
    assert!(Cached::open(scene_source(), &path).is_err(), "something else");
    let nowhere = folder.path().join("no/such/cache");
    let error = Cached::open(scene_source(), &nowhere).map(|_| ()).expect_err("no folder");
    assert!(error.to_string().contains("no/such/cache"), "{error}");
}
