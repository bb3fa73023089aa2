//! Photographs: crops are functions of (seed, set, index), sets share no pixels, bad folders are refused.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use deepsim_data::photos::{self, PhotoSizes, Photographs, Set, Split};
use deepsim_data::picture::Picture;
use deepsim_data::{
    Crop, Cursor, DataError, Dataset, Loader, LoaderConfig, Rectangle, Source, read_range,
};
use sha2::{Digest, Sha256};

/// A picture of which every pixel tells its place.
fn picture(height: usize, width: usize, blue: u8) -> Picture {
    let pixel = |at: usize| {
        let share = |place: usize, length: usize| (255 * place / (length - 1)) as u8;
        [share(at / width, height), share(at % width, width), blue]
    };
    let rgb = (0..height * width).flat_map(pixel).collect();
    Picture { height, width, rgb }
}

/// Writes pictures and their catalogue.
fn folder(pictures: &[(&str, &str, Picture)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut catalogue = String::new();
    for (file, split, picture) in pictures {
        let bytes = picture.to_png().expect("a PNG");
        std::fs::write(folder.path().join(file), &bytes).expect("a file");
        let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        write!(
            catalogue,
            "[[photograph]]\nfile = \"{file}\"\nsplit = \"{split}\"\ntitle = \"{file}\"\nauthor = \"A\"\n\
             licence = \"CC-BY-SA-4.0\"\nsha256 = \"{sha256}\"\n"
        )
        .expect("text");
    }
    std::fs::write(folder.path().join(photos::CATALOGUE), catalogue).expect("a file");
    folder
}

/// Five photographs, wide, tall and square, of which the first two are held out.
fn five() -> tempfile::TempDir {
    folder(&[
        ("wide.png", "test", picture(400, 700, 10)),
        ("tall.png", "test", picture(600, 384, 20)),
        ("a.png", "train", picture(400, 500, 110)),
        ("b.png", "train", picture(400, 400, 120)),
        ("c.png", "train", picture(500, 400, 130)),
    ])
}

const SIZES: PhotoSizes = PhotoSizes { unlabeled: 60, train: 50, test: 20 };

#[test]
fn a_folder_with_a_catalogue_is_a_data_set() -> Result<(), DataError> {
    let folder = five();
    let dataset = Dataset::photos(folder.path(), 3, SIZES)?;
    let sets = [&dataset.unlabeled, &dataset.train.images, &dataset.test.images];
    assert_eq!(
        sets.map(|set| (set.len(), set.height(), set.width())),
        [(60, 96, 96), (50, 96, 96), (20, 96, 96)]
    );
    assert!(!dataset.synthetic);
    assert_eq!(dataset.class_names, ["wide", "tall"]);
    assert_eq!(dataset.train.labels[..4], [0, 1, 0, 1]);
    assert_eq!((dataset.test.labels.len(), dataset.unlabeled.label(0)), (20, None));
    assert_eq!((dataset.folds.len(), dataset.folds[9].len()), (10, 10));
    assert!(dataset.description.contains("2 held-out photographs are share-alike"));
    let opened = Dataset::open(Some(folder.path()), 3)?;
    assert_eq!((opened.name, opened.unlabeled.len()), (dataset.name, 20_000));
    Ok(())
}

#[test]
fn crops_show_their_cut_and_depend_on_seed_set_and_index_alone() -> Result<(), DataError> {
    let photographs = Photographs::open(five().path())?;
    let mut seen = HashSet::new();
    for (set, seed) in [(Set::Unlabeled, 0), (Set::Unlabeled, 1), (Set::Train, 0), (Set::Test, 0)] {
        let crops = photographs.crops(set, seed, 200);
        // The length of the set plays no part.
        let longer = photographs.crops(set, seed, 300);
        let all = read_range(&crops, 0..200, Crop::Full)?;
        assert_eq!(all.pixels, read_range(&longer, 0..200, Crop::Full)?.pixels);
        for (index, image) in all.pixels.chunks_exact(3 * 96 * 96).enumerate() {
            let cut = crops.cut(index);
            assert!(seen.insert((set as u8, cut)), "two crops are equal");
            assert!(cut.side >= 96, "a crop is enlarged: {cut:?}");
            let split = if set == Set::Unlabeled { Split::Train } else { Split::Test };
            let photograph = photographs.of(split).nth(cut.photograph);
            let photograph = photograph.expect("a photograph of the split");
            let (height, width, blue) = match photograph.name() {
                "wide" => (400, 700, 10),
                "tall" => (600, 384, 20),
                "a" => (400, 500, 110),
                "b" => (400, 400, 120),
                _ => (500, 400, 130),
            };
            assert!(image[2 * 96 * 96..].iter().all(|value| *value == blue));
            // Rows and columns of the first and the last pixel, as their colours tell.
            let near = |value: u8, place: f64, length: usize| {
                let wanted = 255.0 * place / length as f64;
                assert!((f64::from(value) - wanted).abs() < 2.5, "{value}, {wanted}: {cut:?}");
            };
            let pixel = cut.side as f64 / 96.0;
            let (first, last) = (pixel / 2.0, cut.side as f64 - pixel / 2.0);
            near(image[0], cut.top as f64 + first, height);
            near(image[96 * 96 - 1], cut.top as f64 + last, height);
            let (left, right) = if cut.mirrored { (last, first) } else { (first, last) };
            near(image[96 * 96], cut.left as f64 + left, width);
            near(image[2 * 96 * 96 - 1], cut.left as f64 + right, width);
        }
    }
    Ok(())
}

#[test]
fn labelled_training_and_test_crops_lie_on_opposite_sides() -> Result<(), DataError> {
    let photographs = Photographs::open(five().path())?;
    for (set, sides) in [(Set::Train, [0..315, 0..270]), (Set::Test, [385..700, 330..600])] {
        let crops = photographs.crops(set, 0, 2000);
        for index in 0..2000 {
            let cut = crops.cut(index);
            assert_eq!(crops.label(index), Some(cut.photograph as u32));
            let start = [cut.left, cut.top][cut.photograph];
            let side = &sides[cut.photograph];
            assert!(start >= side.start && start + cut.side <= side.end, "{set:?}: {cut:?}");
        }
    }
    Ok(())
}

#[test]
fn parts_have_the_bytes_of_the_whole() -> Result<(), DataError> {
    let crops = Photographs::open(five().path())?.crops(Set::Unlabeled, 0, 10);
    let mut whole = vec![0; 3 * 96 * 96];
    let part = Rectangle { top: 5, left: 40, height: 30, width: 50 };
    let mut pixels = vec![0; 3 * 30 * 50];
    for index in 0..10 {
        crops.read(index, &mut whole)?;
        crops.read_part(index, part, &mut pixels)?;
        for (at, value) in pixels.iter().enumerate() {
            let (plane, row, column) = (at / 1500, at / 50 % 30, at % 50);
            assert_eq!(*value, whole[plane * 96 * 96 + (5 + row) * 96 + 40 + column]);
        }
    }
    assert!(crops.read(10, &mut whole).is_err() && crops.read(0, &mut whole[1..]).is_err());
    Ok(())
}

#[test]
fn workers_change_nothing_and_a_saved_state_goes_on() -> Result<(), DataError> {
    let folder = five();
    let open = |seed| Dataset::photos(folder.path(), seed, SIZES).map(|dataset| dataset.unlabeled);
    let batches = |mut loader: Loader, n: usize| {
        let batches = loader.by_ref().take(n).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, DataError>((batches, loader.state()))
    };
    let config = |workers| LoaderConfig {
        batch: 16,
        crop: Crop::Random(64),
        mirror: true,
        workers,
        ..Default::default()
    };
    let new = |workers| Loader::new(open(0)?, config(workers), Cursor::default());
    let (one, _) = batches(new(1)?, 8)?;
    let (four, _) = batches(new(4)?, 8)?;
    assert_eq!(one, four);
    let (_, state) = batches(new(2)?, 3)?;
    let (rest, _) = batches(Loader::resume(open(0)?, config(3), &state)?, 5)?;
    assert_eq!(rest, one[3..]);
    // Crops of another seed are other data.
    let other = Loader::resume(open(1)?, config(3), &state);
    assert!(matches!(other.err(), Some(DataError::Resume { .. })));
    Ok(())
}

/// The message with which a folder is refused, without the folder's own path.
fn refusal(folder: &Path) -> String {
    let message = Dataset::open(Some(folder), 0).err().expect("an error").to_string();
    message.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn bad_folders_are_refused_path_first() {
    let edited = |from: &str, to: &str| {
        let folder = five();
        let path = folder.path().join(photos::CATALOGUE);
        let text = std::fs::read_to_string(&path).expect("a catalogue").replace(from, to);
        std::fs::write(&path, text).expect("a catalogue");
        refusal(folder.path())
    };
    let starts = |message: String, start: &str| assert!(message.starts_with(start), "{message}");
    starts(edited("a.png", "d.png"), "reading d.png: ");
    starts(edited("\"a.png\"", "\"../a.png\""), "photos.toml: expected names of files");
    starts(
        edited("b.png", "a.png"),
        "photos.toml: expected each photograph once, found a.png twice",
    );
    starts(edited("\"test\"", "\"train\""), "photos.toml: expected photographs of the splits");
    starts(edited("licence", "license"), "photos.toml: expected a list of photographs, found TOML");
    starts(edited("[[photograph]]", "[photograph"), "photos.toml: expected a list of photographs");

    let folder = five();
    std::fs::write(folder.path().join("b.png"), b"another file").expect("a file");
    starts(refusal(folder.path()), "b.png: expected SHA-256 ");
    std::fs::remove_file(folder.path().join("b.png")).expect("no file");
    starts(refusal(folder.path()), "reading b.png: ");

    let small = self::folder(&[
        ("a.png", "train", picture(400, 400, 1)),
        ("b.png", "test", picture(383, 500, 1)),
    ]);
    let wanted = "b.png: expected a short side of at least 384 pixels, found 500x383";
    assert_eq!(refusal(small.path()), wanted);
    let unknown = Photographs::open(Arc::new(small).path().join("nowhere").as_ref());
    assert!(unknown.err().is_some_and(|error| error.to_string().contains("photos.toml")));
}
