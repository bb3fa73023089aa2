//! Random transforms of samples: what is drawn depends on their place alone.

#[path = "augmented/steps.rs"]
mod steps;

use std::path::Path;
use std::sync::Arc;

use deepsim_data::cache::{Cached, KeptPictures};
use deepsim_data::decode;
use deepsim_data::folder::ImageFolder;
use deepsim_data::picture::Picture;
use deepsim_data::pipeline::{Pipeline, RATIO, SCALE, Step, resized_crop};
use deepsim_data::shards::{Limits, Shards, copy};
use deepsim_data::{
    Augmented, Batch, Crop, Cursor, Loader, LoaderConfig, LoaderState, PictureFiles, Scenes,
    Source, read_range, scenes,
};

/// A folder with pictures of several sizes, of two classes.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (at, (height, width)) in
        [(40, 60), (70, 50), (48, 48), (90, 45), (64, 33)].into_iter().enumerate()
    {
        let class = root.path().join(["cat", "dog"][at % 2]);
        std::fs::create_dir_all(&class).expect("a folder");
        let mut picture = Picture::new(height, width, [0; 3]);
        for (i, pixel) in picture.rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [(i % width * 5) as u8, (i / width * 2) as u8, 40 * at as u8];
        }
        picture.write_png(&class.join(format!("{at}.png"))).expect("a file");
    }
    root
}

fn pipeline() -> Pipeline {
    let text = r#"[
        { "random_resized_crop": { "side": 24 } },
        { "mirror": {} },
        { "colour_jitter": { "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1 } }
    ]"#;
    serde_json::from_str(text).expect("a pipeline")
}

fn augmented(root: &Path) -> Arc<dyn Source> {
    let files = Arc::new(ImageFolder::open(root).expect("pictures"));
    let source = Augmented::of_files(files, pipeline()).expect("one size");
    Arc::new(source.then("a random row is black", |picture, random| {
        let row = random.below(picture.height);
        picture.rgb[3 * row * picture.width..][..3 * picture.width].fill(0);
        Ok(())
    }))
}

fn batches(source: &Arc<dyn Source>, config: LoaderConfig, n: usize) -> Vec<Batch> {
    let loader = Loader::new(source.clone(), config, Cursor::default()).expect("a loader");
    loader.take(n).map(|batch| batch.expect("a batch")).collect()
}

#[test]
fn samples_are_the_same_for_any_workers_ranks_and_after_a_resume() {
    let root = folder();
    let source = augmented(root.path());
    let config = LoaderConfig { batch: 4, seed: 9, ..LoaderConfig::default() };
    let one = batches(&source, config, 8);
    for workers in [2, 5] {
        assert_eq!(batches(&source, LoaderConfig { workers, ..config }, 8), one, "{workers}");
    }
    // Two ranks of half a batch are one of a whole.
    let rank = |rank| batches(&source, LoaderConfig { batch: 2, world: 2, rank, ..config }, 8);
    for ((first, second), whole) in rank(0).into_iter().zip(rank(1)).zip(&one) {
        assert_eq!([first.pixels, second.pixels].concat(), whole.pixels);
    }
    let mut loader = Loader::new(source.clone(), config, Cursor::default()).expect("a loader");
    loader.by_ref().take(3).for_each(|batch| drop(batch.expect("a batch")));
    let saved = serde_json::to_string(&loader.state()).expect("text");
    let state: LoaderState = serde_json::from_str(&saved).expect("the state");
    let rest = Loader::resume(augmented(root.path()), config, &state).expect("the same data");
    let rest: Vec<Batch> = rest.take(5).map(|batch| batch.expect("a batch")).collect();
    assert_eq!(rest, one[3..]);
    // Each epoch draws anew; another seed, too.
    let of = |batches: &[Batch], index: usize| -> Vec<Vec<u8>> {
        let samples = batches
            .iter()
            .flat_map(|batch| batch.samples.iter().zip(batch.pixels.chunks_exact(3 * 24 * 24)));
        let of_one = samples.filter(|(sample, _)| sample.index == index);
        of_one.map(|(_, pixels)| pixels.to_vec()).collect()
    };
    let drawn = of(&one, 1);
    assert!(drawn.len() > 5 && drawn.windows(2).all(|pair| pair[0] != pair[1]));
    let other = batches(&source, LoaderConfig { seed: 10, ..config }, 8);
    assert!(of(&other, 1).iter().all(|pixels| !drawn.contains(pixels)));
}

#[test]
fn another_transform_is_not_resumed_and_is_not_cached() {
    let root = folder();
    let files = || Arc::new(ImageFolder::open(root.path()).expect("pictures"));
    let source = |side| {
        Arc::new(Augmented::of_files(files(), Pipeline::torchvision_train(side)).expect("a source"))
    };
    let config = LoaderConfig { batch: 2, ..LoaderConfig::default() };
    let loader = Loader::new(source(24), config, Cursor::default()).expect("a loader");
    let state = loader.state();
    let message = |error: deepsim_data::DataError| error.to_string();
    let error = message(Loader::resume(source(32), config, &state).err().expect("another size"));
    assert!(
        error.contains("resized crop to 24") && error.contains("resized crop to 32"),
        "{error}"
    );
    let error = message(Cached::open(source(24), &root.path().join("c")).err().expect("random"));
    assert!(error.contains("apply random transforms to the cached images"), "{error}");
    let named = Augmented::of_files(files(), Pipeline::torchvision_train(24)).expect("a source");
    assert!(named.then("noise", |_, _| Ok(())).content().ends_with(", then noise"));
}

#[test]
fn evaluation_draws_nothing_and_takes_the_middle() {
    let root = folder();
    let source = augmented(root.path());
    let batch = read_range(&*source, 0..5, Crop::Full).expect("images");
    assert_eq!(batch, read_range(&*source, 0..5, Crop::Full).expect("images"));
    assert_eq!(
        batch.samples.iter().map(|s| s.label).collect::<Vec<_>>(),
        [0, 0, 0, 1, 1].map(Some)
    );
    let files = ImageFolder::open(root.path()).expect("pictures");
    let picture = decode::read(&files.path(1)).expect("a picture");
    let part = resized_crop((picture.height, picture.width), SCALE, RATIO, None);
    assert_eq!((part.height, part.width), (48, 48));
    let stretch = Pipeline::new(vec![Step::Stretch { side: 24, filter: Default::default() }]);
    let middle = stretch.expect("a step").apply(&picture.part(part), None).expect("an image");
    assert_eq!(middle.to_planes(), batch.pixels[3 * 24 * 24..2 * 3 * 24 * 24]);
}

#[test]
fn images_of_a_source_are_transformed_too() {
    let scenes: Arc<dyn Source> = Arc::new(Scenes::new(0, scenes::TRAIN, 6));
    let mirror = Pipeline::new(vec![Step::Mirror { probability: 1.0 }]).expect("a step");
    let mirrored = Augmented::of_images(scenes.clone(), mirror).expect("a source");
    let config = LoaderConfig { batch: 6, shuffle: false, ..LoaderConfig::default() };
    let once = &batches(&(Arc::new(mirrored) as Arc<dyn Source>), config, 1)[0].pixels;
    let plain = &batches(&scenes, config, 1)[0].pixels;
    for (row, other) in once.chunks_exact(96).zip(plain.chunks_exact(96)) {
        assert!(row.iter().rev().eq(other));
    }
}

#[test]
fn images_of_several_sizes_are_refused_by_name() {
    let root = folder();
    let files = Arc::new(ImageFolder::open(root.path()).expect("pictures"));
    let resize = Step::Resize { side: 32, filter: Default::default() };
    let unequal = Pipeline::new(vec![resize]).expect("a step");
    let error = Augmented::of_files(files.clone(), unequal).err().expect("rectangles").to_string();
    assert!(
        error.contains("expected a crop or a stretch") && error.contains("short side 32"),
        "{error}"
    );
    // A picture that is too small is an error of that sample, which names it.
    let large = Pipeline::new(vec![Step::RandomCrop { side: 48 }]).expect("a step");
    let source = Augmented::of_files(files.clone(), large).expect("a source");
    let error = read_range(&source, 0..1, Crop::Full).expect_err("40 rows").to_string();
    assert!(
        error.contains("0.png: crop: expected at least 48 pixels along both sides, found 40x60"),
        "{error}"
    );
    let grows = Augmented::of_files(files, Pipeline::torchvision_train(8)).expect("a source");
    let grows = grows.then("grows", |picture, _| {
        *picture = Picture::new(9, 8, [0; 3]);
        Ok(())
    });
    let config = LoaderConfig { batch: 1, ..LoaderConfig::default() };
    let mut loader = Loader::new(Arc::new(grows), config, Cursor::default()).expect("a loader");
    let error = loader.next().expect("a batch").expect_err("another size").to_string();
    assert!(error.contains("grows: expected 8x8 pixels as before, found 9x8"), "{error}");
}

#[allow(dead_code, reason = "its main is for programs")]
#[path = "../examples/torchvision_loader.rs"]
mod torchvision_loader;

#[test]
fn the_loader_of_a_torchvision_user_is_short_and_resumes_to_the_same_numbers() {
    let text = std::fs::read_to_string("examples/torchvision_loader.rs").expect("the example");
    let loader = text.split("fn main()").next().unwrap_or_default();
    assert!(loader.trim_end().lines().count() <= 40);
    let root = folder();
    let states = tempfile::tempdir().expect("a folder");
    let state = |name: &str| states.path().join(name);
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let mut keep = |pixels: &[f32], labels: &[u32]| {
        whole.push((pixels.to_vec(), labels.to_vec()));
        Ok(())
    };
    torchvision_loader::train(root.path(), &state("whole"), &mut keep).expect("two epochs");
    // Two epochs of five pictures, in batches of four and one.
    let sizes: Vec<usize> = whole.iter().map(|(_, labels)| labels.len()).collect();
    assert_eq!(sizes, [4, 1, 4, 1]);
    assert!(whole.iter().all(|(pixels, labels)| pixels.len() == labels.len() * 3 * 224 * 224));
    let mean = whole[0].0.iter().sum::<f32>() / whole[0].0.len() as f32;
    assert!((-2.2..2.7).contains(&mean) && whole[0].0.iter().any(|value| *value < 0.0));
    // Interrupted in each step.
    for _ in 0..5 {
        let mut fresh = true;
        let mut one = |pixels: &[f32], labels: &[u32]| {
            if !std::mem::take(&mut fresh) {
                return Err("interrupted".into());
            }
            pieces.push((pixels.to_vec(), labels.to_vec()));
            Ok(())
        };
        // The last time, all is done.
        let _ = torchvision_loader::train(root.path(), &state("pieces"), &mut one);
    }
    assert!(pieces == whole, "{} steps", pieces.len());
}

#[test]
fn the_samples_of_two_ranks_over_shards_are_those_of_one() {
    let (root, shards) = (folder(), tempfile::tempdir().expect("a folder"));
    let files = ImageFolder::open(root.path()).expect("pictures");
    let limits = Limits { samples: 2, bytes: 1 << 20 };
    copy(&files, shards.path(), "train", limits).expect("shards");
    let source = || -> Arc<dyn Source> {
        let shards = Shards::open(&shards.path().to_string_lossy()).expect("shards");
        Arc::new(Augmented::of_files(Arc::new(shards), pipeline()).expect("a source"))
    };
    let config = LoaderConfig { batch: 3, seed: 2, ..LoaderConfig::default() };
    let one = batches(&source(), LoaderConfig { batch: 6, ..config }, 10);
    let [first, second] = [0, 1].map(|rank| {
        // Each rank opens the shards itself, and uses as many threads as it likes.
        batches(&source(), LoaderConfig { world: 2, rank, workers: 1 + rank, ..config }, 10)
    });
    for ((first, second), whole) in first.iter().zip(&second).zip(&one) {
        assert_eq!([first.pixels.as_slice(), &second.pixels].concat(), whole.pixels);
        assert_eq!([first.samples.as_slice(), &second.samples].concat(), whole.samples);
        assert_eq!((first.next, second.next), (whole.next, whole.next));
    }
    // One pass: the last step has one sample, of the first rank.
    let pass = |world, rank| -> Vec<Batch> {
        let config = LoaderConfig { batch: 4 / world, world, rank, ..config };
        let loader = Loader::epoch(source(), config, 3).expect("a loader");
        loader.map(|batch| batch.expect("a batch")).collect()
    };
    let (one, first, second) = (pass(1, 0), pass(2, 0), pass(2, 1));
    assert_eq!((one.len(), first.len(), second.len()), (2, 2, 1));
    let union = [&first[0].pixels, &second[0].pixels, &first[1].pixels].map(Vec::as_slice);
    assert_eq!(union.concat(), [&one[0].pixels[..], &one[1].pixels].concat());
}

#[test]
fn kept_pictures_give_the_same_bytes_and_are_checked() {
    let (root, place) = (folder(), tempfile::tempdir().expect("a folder"));
    let files = || Arc::new(ImageFolder::open(root.path()).expect("pictures"));
    let path = place.path().join("kept.pictures");
    let pipeline = Pipeline::resize_and_crop(30, 24);
    let plain: Arc<dyn Source> =
        Arc::new(Augmented::of_files(files(), pipeline.clone()).expect("a source"));
    let config = LoaderConfig { batch: 4, seed: 9, workers: 2, ..LoaderConfig::default() };
    let wanted = batches(&plain, config, 6);
    let open = || KeptPictures::open(files(), pipeline.steps()[0], &path);
    let check = |hits: std::ops::RangeInclusive<u64>| {
        let kept = Arc::new(open().expect("kept pictures"));
        let source: Arc<dyn Source> =
            Arc::new(Augmented::of_files(kept.clone(), pipeline.clone()).expect("a source"));
        assert_eq!(source.content(), plain.content(), "runs with and without are the same");
        assert!(batches(&source, config, 6) == wanted);
        assert!(hits.contains(&kept.hits()), "{} of {hits:?}", kept.hits());
    };
    // Five pictures are decoded once, by two workers perhaps twice.
    check(14..=60);
    check(24..=60);
    let whole = std::fs::read(&path).expect("kept pictures");
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&path, &damaged).expect("written");
    check(0..=60);
    std::fs::write(&path, &whole[..whole.len() - 100]).expect("written");
    check(0..=60);
    let other = KeptPictures::open(files(), Pipeline::resize_and_crop(20, 20).steps()[0], &path);
    let error = other.err().expect("another size").to_string();
    assert!(error.contains("delete the file or name another"), "{error}");
    let crop = KeptPictures::open(files(), Step::RandomCrop { side: 8 }, &path);
    let error = crop.err().expect("no resize").to_string();
    assert!(error.contains("begin with resize or stretch"), "{error}");
}
