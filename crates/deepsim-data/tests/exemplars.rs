//! Surrogate classes as a loader sees them.

use std::sync::Arc;

use deepsim_data::exemplars::{ExemplarConfig, Exemplars, PATCH};
use deepsim_data::{
    Batch, Cursor, DataError, Loader, LoaderConfig, Rectangle, Scenes, Source, scenes,
};

fn exemplars(classes: usize, seed: u64) -> Result<Exemplars, DataError> {
    let pictures = Arc::new(Scenes::new(1, scenes::UNLABELED, 30));
    Exemplars::new(pictures, ExemplarConfig { classes, deformations: 40, seed })
}

fn patch(source: &dyn Source, index: usize) -> Vec<u8> {
    let mut planes = vec![0; 3 * PATCH * PATCH];
    source.read(index, &mut planes).expect("a patch");
    planes
}

#[test]
fn every_class_is_another_picture_and_its_members_follow_each_other() -> Result<(), DataError> {
    let patches = exemplars(12, 0)?;
    let mut pictures: Vec<usize> = patches.seeds().iter().map(|seed| seed.picture).collect();
    pictures.sort_unstable();
    pictures.dedup();
    assert_eq!(pictures.len(), 12);
    let mut members = 0;
    for class in 0..12 {
        let range = patches.members(class);
        assert!(range.len() <= 40);
        for index in range.clone() {
            assert_eq!(patches.label(index), Some(class as u32));
            assert_eq!(patches.deformation(index)?.0, class);
        }
        members += range.len();
    }
    assert_eq!(members, patches.len());
    assert!(patches.len() > 12 * 15, "{} of 480 deformations stay inside", patches.len());
    assert_eq!((patches.label(members), patches.members(12)), (None, members..members));
    Ok(())
}

#[test]
fn patches_depend_on_the_seed_alone() -> Result<(), DataError> {
    let (a, again, other) = (exemplars(5, 0)?, exemplars(5, 0)?, exemplars(5, 1)?);
    for index in [0, 7, a.len() - 1] {
        assert_eq!(patch(&a, index), patch(&again, index));
    }
    assert_eq!(a.identity(), again.identity());
    assert_ne!(a.identity(), other.identity());
    assert_ne!(patch(&a, 3), patch(&other, 3));
    // No two deformations of a class look the same.
    assert_ne!(patch(&a, 0), patch(&a, 1));
    Ok(())
}

#[test]
fn a_part_is_cut_from_the_same_patch() -> Result<(), DataError> {
    let patches = exemplars(3, 0)?;
    let whole = patch(&patches, 4);
    let part = Rectangle { top: 3, left: 20, height: 5, width: 7 };
    let mut cut = vec![0; 3 * 5 * 7];
    patches.read_part(4, part, &mut cut)?;
    assert_eq!(cut[2 * 35 + 7 + 1], whole[2 * 1024 + (3 + 1) * 32 + 21]);
    Ok(())
}

#[test]
fn batches_are_the_same_for_any_number_of_workers_and_after_going_on() -> Result<(), DataError> {
    let source: Arc<dyn Source> = Arc::new(exemplars(6, 0)?);
    let batches = |workers, from: Cursor, count| -> Result<Vec<Batch>, DataError> {
        let config = LoaderConfig { batch: 17, workers, seed: 5, ..LoaderConfig::default() };
        Loader::new(source.clone(), config, from)?.take(count).collect()
    };
    let wanted = batches(1, Cursor::default(), 8)?;
    let same = |got: &[Batch], wanted: &[Batch]| {
        got.iter().zip(wanted).all(|(a, b)| a.pixels == b.pixels && a.samples == b.samples)
    };
    assert!(same(&batches(3, Cursor::default(), 8)?, &wanted));
    assert!(same(&batches(2, wanted[4].next, 3)?, &wanted[5..]));
    assert!(wanted.iter().flat_map(|batch| &batch.samples).all(|sample| sample.label.is_some()));
    Ok(())
}

#[test]
fn what_cannot_be_is_refused() {
    for (classes, deformations, words) in
        [(31, 40, "31 pictures"), (0, 40, "at least 1 class"), (3, 0, "1 to 65535 deformations")]
    {
        let pictures = Arc::new(Scenes::new(1, scenes::UNLABELED, 30));
        let config = ExemplarConfig { classes, deformations, seed: 0 };
        let Err(error) = Exemplars::new(pictures, config) else { panic!("{words}") };
        assert!(error.to_string().contains(words), "{error}");
    }
    let patches = exemplars(2, 0).expect("two classes");
    let mut planes = vec![0; 3 * PATCH * PATCH];
    assert!(patches.read(patches.len(), &mut planes).is_err());
    assert!(patches.read(0, &mut planes[1..]).is_err());
    assert!(patches.deformation(patches.len()).is_err());
}
