//! Data by their name: folders, shards and their test splits, as commands are given them.

use std::path::Path;
use std::sync::Arc;

use deepsim_data::dataset::{DataOptions, Format};
use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::pipeline::{Pipeline, Step};
use deepsim_data::shards::{Limits, copy};
use deepsim_data::{Crop, Cursor, Dataset, Loader, LoaderConfig, Source, read_range};

/// Writes a picture of a colour; of `height x width`.
fn picture(path: &Path, height: usize, width: usize, value: u8) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let mut picture = Picture::new(height, width, [value, 0, 0]);
    for (i, pixel) in picture.rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        pixel[1] = (i % width) as u8;
        pixel[2] = (i / width) as u8;
    }
    picture.write_png(path).expect("a file");
}

/// A folder with pictures of these paths, all different.
fn folder(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (at, path) in paths.iter().enumerate() {
        picture(&root.path().join(path), 100 + at, 140 - at, at as u8);
    }
    root
}

fn options(path: &Path) -> DataOptions {
    DataOptions { data: Some(path.into()), ..DataOptions::default() }
}

/// Numbers of training and test images, and origin of the latter.
fn sizes(options: &DataOptions) -> (usize, usize, String) {
    let dataset = options.open(0).expect("a data set");
    let (train, test) = (dataset.unlabeled.len(), dataset.test.images.len());
    assert_eq!((dataset.unlabeled.height(), dataset.test.images.width()), (96, 96));
    (train, test, dataset.test_origin.expect("an origin"))
}

fn message(options: &DataOptions) -> String {
    options.open(0).err().expect("this should be refused").to_string()
}

/// Red values of the images, which tell pictures apart.
fn marks(images: &dyn Source) -> Vec<u8> {
    let batch = read_range(images, 0..images.len(), Crop::Full).expect("images");
    batch.pixels.chunks_exact(3 * 96 * 96).map(|image| image[0]).collect()
}

#[test]
fn a_flat_folder_holds_out_a_tenth_by_a_fixed_permutation() {
    let names: Vec<String> = (0..30).map(|i| format!("{i:02}.png")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = folder(&names);
    let options = options(root.path());
    assert_eq!(options.format().expect("pictures"), Format::Pictures);
    let origin = "3 of 30 held out, a share of 0.1 by a fixed permutation";
    assert_eq!(sizes(&options), (27, 3, origin.into()));
    // The seed is that of drawn data, and decides nothing here.
    let [one, other] = [0, 7].map(|seed| options.open(seed).expect("a data set"));
    let held_out = marks(&*one.test.images);
    assert_eq!(held_out, marks(&*other.test.images));
    let trained = marks(&*one.unlabeled);
    assert!(held_out.iter().all(|mark| !trained.contains(mark)));
    assert_eq!((one.train.labels.len(), one.folds.len(), one.class_names.len()), (0, 0, 0));
    assert!(one.description.contains("without labels: 27 training and 3 test pictures"));
    let more = DataOptions { test_share: Some(0.5), ..options.clone() };
    let more = marks(&*more.open(0).expect("a data set").test.images);
    assert!(more.len() == 15 && held_out.iter().all(|mark| more.contains(mark)));
    let paths = one.test_paths();
    assert_eq!(paths.len(), 3);
    for (path, mark) in paths.iter().zip(&held_out) {
        assert_eq!(*path, root.path().join(format!("{mark:02}.png")));
    }
    let two = folder(&["a.png", "b.png"]);
    assert_eq!(sizes(&self::options(two.path())).0, 1);
    let four = folder(&["a.png", "b.png", "c.png", "d.png"]);
    let origin = "2 of 4 held out by a fixed permutation; a share of 0.1 would be 0, but measures need 2 test pictures \
                  and training needs 1";
    assert_eq!(sizes(&self::options(four.path())), (2, 2, origin.into()));
    let error = message(&self::options(folder(&["a.png"]).path()));
    assert!(error.contains("expected two pictures or more"), "{error}");
}

#[test]
fn class_folders_have_labels_and_folds() {
    let names: Vec<String> =
        (0..60).map(|i| format!("{}/{i:02}.png", ["cat", "dog", "owl"][i % 3])).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = folder(&names);
    let dataset = options(root.path()).open(0).expect("a data set");
    assert_eq!(dataset.class_names, ["cat", "dog", "owl"]);
    assert_eq!((dataset.train.labels.len(), dataset.test.labels.len()), (54, 6));
    for (set, labels) in [
        (&dataset.train.images, &dataset.train.labels),
        (&dataset.test.images, &dataset.test.labels),
    ] {
        for (mark, label) in marks(&**set).iter().zip(labels) {
            assert_eq!(u32::from(mark % 3), *label);
        }
    }
    assert_eq!(dataset.folds.len(), 10);
    for fold in &dataset.folds {
        let mut unique = fold.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((fold.len(), unique.len()), (10, 10));
        assert!(fold.iter().any(|i| dataset.train.labels[*i] != dataset.train.labels[fold[0]]));
    }
}

#[test]
fn test_splits_are_found_or_named() {
    let root = folder(&[
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/1.png",
        "val/dog/1.png",
        "val/dog/2.png",
        "others/dog/3.png",
        "strange/emu/3.png",
    ]);
    let found = options(root.path());
    assert_eq!(sizes(&found), (3, 2, "those of `val`".into()));
    // Known by the training classes, although cats are missing.
    assert_eq!(found.open(0).expect("a data set").test.labels, [1, 1]);
    let named = DataOptions { test: Some(root.path().join("others")), ..found.clone() };
    let (train, test, origin) = sizes(&named);
    assert!((train, test) == (3, 1) && origin.ends_with("/others"), "{origin}");
    let share = DataOptions { test_share: Some(0.34), ..found.clone() };
    // A share is asked for, so that val is not looked at; two pictures at least are held out.
    assert_eq!((sizes(&share).0, sizes(&share).1), (1, 2));
    let strange = DataOptions { test: Some(root.path().join("strange")), ..found.clone() };
    assert!(message(&strange).contains("expected one of 2 known classes, found a folder `emu`"));
    let nowhere = DataOptions { test: Some(root.path().join("nowhere")), ..found.clone() };
    assert!(message(&nowhere).contains("opening "));
    for (test, test_share, words) in [
        (Some("x"), Some(0.1), "expected a test set or a share, found both"),
        (None, Some(1.0), "expected a share above 0 and below 1, found 1"),
        (None, Some(f64::NAN), "expected a share above 0 and below 1, found NaN"),
    ] {
        let error =
            message(&DataOptions { test: test.map(Into::into), test_share, ..found.clone() });
        assert!(error.contains(words), "{error}");
    }
    let scenes = DataOptions { test_share: Some(0.1), ..DataOptions::default() };
    assert!(
        message(&scenes)
            .contains("expected none for data that have their own, found one for Scenes")
    );
}

#[test]
fn shards_are_a_folder_a_range_a_pattern_or_one_file() {
    let pictures =
        folder(&["cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png", "dog/4.png", "dog/5.png"]);
    let files = ImageFolder::open(pictures.path()).expect("pictures");
    let root = tempfile::tempdir().expect("a folder");
    let limits = Limits { samples: 2, bytes: 1 << 20 };
    copy(&files, root.path(), "train", limits).expect("shards");
    let at = |pattern: &str| options(&root.path().join(pattern));
    for pattern in ["", "train-{000000..000002}.tar", "train-*.tar"] {
        let options = at(pattern);
        assert_eq!(options.format().expect("shards"), Format::Shards, "{pattern}");
        let (train, test, _) = sizes(&options);
        assert_eq!((train, test), (4, 2), "{pattern}");
        assert_eq!(options.open(0).expect("a data set").class_names, ["cat", "dog"], "{pattern}");
    }
    assert_eq!(sizes(&at("train-000001.tar")).0, 1);
    copy(&files, root.path(), "val", limits).expect("shards");
    assert_eq!(sizes(&at("")), (6, 6, "those of 3 shards beside".into()));
    assert!(
        message(&at("train.tar.gz"))
            .contains("train.tar.gz: expected a tar that is not compressed")
    );
    assert!(message(&at("valid-*.tar")).contains("expected shards of such names, found none"));
    std::fs::write(root.path().join("a.txt"), "x").expect("a file");
    assert!(message(&at("a.txt")).contains("a.txt: expected a folder with STL-10"));
    assert!(message(&at("nowhere")).contains("opening"));
    // Shards in folders of splits.
    let splits = tempfile::tempdir().expect("a folder");
    copy(&files, &splits.path().join("train"), "t", limits).expect("shards");
    copy(&files, &splits.path().join("test"), "t", limits).expect("shards");
    assert_eq!(sizes(&options(splits.path())), (6, 6, "those of `test`".into()));
    let sets = options(splits.path()).picture_sets().expect("both sets");
    assert_eq!(
        sets.iter().map(|(name, files)| (*name, files.len())).collect::<Vec<_>>(),
        [("train", 6), ("test", 6)]
    );
}

#[test]
fn pictures_with_the_names_of_ilsvrc_are_ilsvrc() {
    let format = |paths: &[&str]| options(folder(paths).path()).format().expect("known");
    assert_eq!(format(&["train/n01440764/1.png", "val/n01440764/2.png"]), Format::Ilsvrc);
    assert_eq!(format(&["val/ILSVRC2012_val_00000001.png"]), Format::Ilsvrc);
    assert_eq!(format(&["train/cat/1.png", "val/cat/2.png"]), Format::Pictures);
    assert_eq!(format(&["nest/1.png"]), Format::Pictures);
    assert_eq!(
        DataOptions { data: Some("scenes".into()), ..DataOptions::default() }
            .format()
            .expect("scenes"),
        Format::Scenes
    );
    // Before anything is read: there are no pictures to keep.
    let kept = DataOptions { cache: Some("kept".into()), ..DataOptions::default() };
    let error = kept.format().expect_err("scenes").to_string();
    assert!(error.contains("expected data of picture files") && error.contains("found Scenes"));
}

#[test]
fn training_crops_come_from_all_of_a_picture_and_test_crops_from_the_middle() {
    // Twice as wide as high; columns in green.
    let root = tempfile::tempdir().expect("a folder");
    for at in 0..4 {
        picture(&root.path().join(format!("{at}.png")), 96, 192, at);
    }
    let dataset = options(root.path()).open(0).expect("a data set");
    let train = dataset.training(None, 64).expect("crops");
    assert_eq!((train.height(), train.width()), (64, 64));
    let config = LoaderConfig { batch: 200, crop: Crop::Random(64), ..LoaderConfig::default() };
    let mut loader = Loader::new(train, config, Cursor::default()).expect("a loader");
    let batch = loader.next().expect("a batch").expect("a batch");
    // The first green value is the column of the corner.
    let columns: Vec<u8> =
        batch.pixels.chunks_exact(3 * 64 * 64).map(|image| image[64 * 64]).collect();
    assert!(columns.iter().min() < Some(&4) && columns.iter().max() > Some(&124));
    let test = read_range(&*dataset.test.images, 0..1, Crop::Center(64)).expect("the middle");
    assert_eq!(test.pixels[64 * 64], 64);
    // Another size is made from the files: no picture is resized twice.
    let large = dataset.clone().sized(128);
    assert!(large.description.ends_with("brought to 128x128"));
    assert_eq!((large.test.images.height(), large.unlabeled.width()), (128, 128));
    // A pipeline of one's own; without a crop it ends in one of the recipe's size.
    let mirror = Pipeline::new(vec![Step::Mirror { probability: 1.0 }]).expect("a step");
    let mirrored = dataset.training(Some(&mirror), 64).expect("crops");
    assert_eq!(mirrored.width(), 64);
    assert!(mirrored.content().ends_with("mirrored with probability 1, then random crop of 64"));
    let resized = dataset.training(Some(&Pipeline::torchvision_train(48)), 32).expect("crops");
    assert_eq!(resized.height(), 48);
    // Of images without files, a pipeline is applied to the images.
    let scenes = Dataset::open(None, 0).expect("scenes");
    assert_eq!(scenes.training(Some(&mirror), 64).expect("images").height(), 96);
}

#[test]
fn duplicates_of_test_pictures_are_left_out_of_files_too() {
    let root = folder(&["train/1.png", "train/2.png", "train/3.png"]);
    std::fs::create_dir(root.path().join("test")).expect("a folder");
    std::fs::copy(root.path().join("train/2.png"), root.path().join("test/a.png")).expect("a copy");
    let options = DataOptions { without_duplicates: true, ..options(root.path()) };
    let dataset = options.open(0).expect("a data set");
    let train = dataset.training(None, 64).expect("crops");
    assert_eq!((dataset.unlabeled.len(), train.len()), (2, 2));
    assert_eq!(marks(&*dataset.unlabeled), [0, 2]);
    let sized = Arc::new(dataset.sized(100));
    assert_eq!(sized.unlabeled.len(), 2);
}
