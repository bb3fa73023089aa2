//! Pairs of pictures of the same thing.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use deepsim_data::folder::ImageFolder;
use deepsim_data::pairs::{Moving, MovingConfig, PairList, Tracks};
use deepsim_data::picture::Picture;
use deepsim_data::{DataError, PictureFiles, Scenes, Source, scenes};

fn picture(path: &Path, colour: [u8; 3]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    Picture::new(20, 30, colour).write_png(path).expect("a picture");
}

fn read(source: &dyn Source, index: usize) -> Vec<u8> {
    let mut planes = vec![0; 3 * source.height() * source.width()];
    source.read(index, &mut planes).expect("a pair");
    planes
}

#[test]
fn a_folder_of_tracks_and_a_list_of_it_give_the_same_pairs() -> Result<(), DataError> {
    let root = tempfile::tempdir().expect("a folder");
    let mut lines = String::new();
    for (track, frames) in [("a", 4u8), ("b", 3), ("c", 2)] {
        for frame in 0..frames {
            let name = format!("{track}/{frame}.png");
            picture(&root.path().join(&name), [frame * 10, track.as_bytes()[0], 5]);
            if frame < frames / 2 * 2 {
                lines += &format!("{name} {}\n", track.as_bytes()[0] - b'a');
            }
        }
    }
    let list = root.path().join("list.txt");
    fs::write(&list, lines).expect("a list");
    let folder = Tracks::new(Arc::new(ImageFolder::open(root.path())?), 8)?;
    let listed = Tracks::new(Arc::new(PairList::open(&list, root.path())?), 8)?;
    assert_eq!((folder.len(), folder.height(), folder.width()), (4, 16, 8));
    for index in 0..4 {
        assert_eq!(folder.label(index), listed.label(index));
        assert_eq!(read(&folder, index), read(&listed, index));
    }
    assert_eq!([0, 1, 2, 3].map(|pair| folder.label(pair)), [0, 0, 1, 2].map(Some));
    // Anchor above, positive below.
    let pair = read(&folder, 1);
    assert_eq!((pair[0], pair[8 * 8], pair[128]), (20, 30, b'a'));
    Ok(())
}

#[test]
fn broken_lists_are_named_with_their_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("list.txt");
    for (text, words) in [
        ("", "expected pairs of lines, found 0 lines"),
        ("a.jpg 1\nb.jpg 1\nc.jpg 2\n", "found 3 lines"),
        ("a.jpg 1\nb.jpg 2\n", "label 1 on line 2"),
        ("a.jpg 1\n\nb.jpg\n", "`path label` on line 3, found `b.jpg`"),
        ("a.jpg one\n", "on line 1"),
        ("a.jpg -1\n", "on line 1"),
        (" 1\n", "on line 1"),
        ("a.jpg 99999999999\n", "on line 1"),
    ] {
        fs::write(&list, text).expect("a list");
        let error = PairList::open(&list, folder.path()).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("list.txt"), "{text:?}: {error}");
    }
    fs::write(&list, [0xff, 0xfe, b'1']).expect("a list");
    assert!(PairList::open(&list, folder.path()).is_err());
    assert!(PairList::open(&folder.path().join("none.txt"), folder.path()).is_err());
    // Names with spaces; pictures that are not there are named when they are read.
    fs::write(&list, "my pictures/a b.jpg\t4\nc.jpg 4\n").expect("a list");
    let files = PairList::open(&list, folder.path()).expect("a list");
    assert!(files.path(0).ends_with("my pictures/a b.jpg"));
    let pairs = Tracks::new(Arc::new(files), 8).expect("a pair");
    let error = pairs.read(0, &mut [0; 3 * 16 * 8]).expect_err("no such picture").to_string();
    assert!(error.contains("a b.jpg"), "{error}");
}

#[test]
fn pictures_without_partners_make_no_pairs() {
    let root = tempfile::tempdir().expect("a folder");
    picture(&root.path().join("a/1.png"), [1; 3]);
    picture(&root.path().join("b/1.png"), [2; 3]);
    let files = Arc::new(ImageFolder::open(root.path()).expect("pictures"));
    let Err(error) = Tracks::new(files, 8) else { panic!("two tracks of one") };
    assert!(error.to_string().contains("none among 2 files"), "{error}");
}

#[test]
fn a_camera_over_a_picture_moves_as_far_as_it_says() -> Result<(), DataError> {
    let pictures = Arc::new(Scenes::new(0, scenes::UNLABELED, 40));
    let config = MovingConfig { side: 32, per_picture: 5, seed: 2 };
    let pairs = Moving::new(pictures.clone(), config)?;
    let again = Moving::new(pictures, config)?;
    let mut moved = 0;
    for index in 0..pairs.len() {
        let motion = pairs.motion(index)?;
        let zoom = motion.zoom().log2();
        assert!(motion.shift().iter().all(|shift| shift.abs() <= 0.301), "{motion:?}");
        assert!(zoom.abs() <= 0.301 && motion.tilt().abs() <= 10.0, "{motion:?}");
        assert!((0.81..=1.24).contains(&motion.light));
        moved += usize::from(motion.tilt() != 0.0);
        assert_eq!(pairs.label(index), Some(index as u32 / 5));
    }
    assert!(moved > 150, "only {moved} of 200 cameras move");
    assert_eq!(read(&pairs, 17), read(&again, 17));
    // The two pictures of a pair are more alike than those of different pictures.
    let difference = |a: &[u8], b: &[u8]| -> u64 {
        a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
    };
    let halves = |pair: &[u8]| -> (Vec<u8>, Vec<u8>) {
        let (plane, half) = (64 * 32, 32 * 32);
        let part = |from: usize| {
            (0..3).flat_map(|c| pair[c * plane + from..c * plane + from + half].to_vec()).collect()
        };
        (part(0), part(half))
    };
    let (mut same, mut other) = (0, 0);
    for picture in 0..39 {
        let ((anchor, positive), (stranger, _)) =
            (halves(&read(&pairs, picture * 5)), halves(&read(&pairs, picture * 5 + 5)));
        same += difference(&anchor, &positive);
        other += difference(&anchor, &stranger);
    }
    assert!(same * 4 < other * 3, "{same} against {other}");
    assert!(Moving::new(Arc::new(Scenes::new(0, scenes::UNLABELED, 0)), config).is_err());
    Ok(())
}
