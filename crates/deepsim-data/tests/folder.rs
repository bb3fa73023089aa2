//! Folders of pictures: their order, what is left out, and what is refused.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::Path;
use std::sync::Arc;

use deepsim_data::folder::ImageFolder;
use deepsim_data::{DataError, PictureFiles, Prepared, Source, Transform};

#[path = "support/hear.rs"]
mod hear;

use hear::{Told, heard};

/// A folder with these files; each holds its own name.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for name in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, name).expect("a file");
    }
    root
}

/// Name and label of each picture; its content is its name.
fn pictures(root: &Path) -> Vec<(String, Option<u32>)> {
    let folder = ImageFolder::open(root).expect("pictures");
    let mut bytes = Vec::new();
    let picture = |index| {
        folder.read(index, &mut bytes).expect("a picture");
        let name = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(folder.path(index), root.join(&name));
        (name, folder.label(index))
    };
    (0..folder.len()).map(picture).collect()
}

fn message(root: &Path) -> String {
    ImageFolder::open(root).map(|_| ()).expect_err("this should not open").to_string()
}

#[test]
fn classes_and_pictures_come_in_the_order_of_names() {
    let root = folder(&[
        "dog/2.PNG",
        "dog/10.jpg",
        "cat/deep/er/a.JpEg",
        "cat/z.jpeg",
        "cat/notes.txt",
        "cat/.hidden.jpg",
        "cat/jpg",
        ".cache/x.jpg",
        "outside the classes.jpg",
    ]);
    let wanted = [
        // Files of a folder before those of the folders in it.
        ("cat/z.jpeg", 0),
        ("cat/deep/er/a.JpEg", 0),
        // By text, as torchvision sorts them.
        ("dog/10.jpg", 1),
        ("dog/2.PNG", 1),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(name, c)| ((*name).to_owned(), Some(*c))).collect();
    assert_eq!(pictures(root.path()), wanted);
    let folder = ImageFolder::open(root.path()).expect("pictures");
    assert_eq!(folder.class_names(), ["cat", "dog"]);
    assert_eq!(folder.label(4), None);
    let error = folder.read(4, &mut Vec::new()).expect_err("there are four").to_string();
    assert!(error.contains("an index below 4, found 4"), "{error}");
}

/// The order that torchvision's `make_dataset`, `sorted(os.walk(...))`, gives for these files.
#[test]
fn nested_folders_come_in_the_order_of_torchvision() {
    let files = ["cat/a/1.jpg", "cat/a-b/1.jpg", "cat/a/b/1.jpg", "cat/b.jpg", "cat/a.jpg"];
    let root = folder(&files);
    let names: Vec<String> = pictures(root.path()).into_iter().map(|(name, _)| name).collect();
    // `-` sorts before `/`.
    let wanted = ["cat/a.jpg", "cat/b.jpg", "cat/a/1.jpg", "cat/a-b/1.jpg", "cat/a/b/1.jpg"];
    assert_eq!(names, wanted);
}

#[test]
fn what_file_managers_leave_behind_is_no_picture_and_no_class() {
    let root = folder(&[
        "cat/1.jpg",
        "cat/._1.jpg",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/__MACOSX/2.jpg",
        "dog/1.jpg",
        "dog/desktop.ini",
        "__MACOSX/cat/._1.jpg",
        "__MACOSX/cat/3.jpg",
        ".DS_Store",
    ]);
    let wanted = [("cat/1.jpg".to_owned(), Some(0)), ("dog/1.jpg".to_owned(), Some(1))];
    assert_eq!(pictures(root.path()), wanted);
    let folder = ImageFolder::open(root.path()).expect("pictures");
    assert_eq!(folder.class_names(), ["cat", "dog"]);
    assert!(folder.unread().is_empty());
    assert_eq!(heard(|| ImageFolder::open(root.path())).1, []);
}

#[test]
fn pictures_of_other_formats_are_counted() {
    let files = ["cat/1.jpg", "cat/2.heic", "dog/1.png", "dog/x/2.AVIF", "dog/3.heic", "dog/n.txt"];
    let root = folder(&files);
    let (opened, told) = heard(|| ImageFolder::open(root.path()).expect("pictures"));
    let unread = opened.unread();
    let warnings: Vec<_> = told.into_iter().filter_map(Told::warning).collect();
    assert_eq!(warnings, [format!("{}: {unread}", root.path().display())], "said once");
    assert_eq!((opened.len(), unread.total()), (2, 3));
    assert_eq!(unread.endings().collect::<Vec<_>>(), [("avif", 1), ("heic", 2)]);
    let source = Prepared::new(Arc::new(opened), Transform::stretch(4, 4));
    assert_eq!(source.unread(), unread, "loaders and programs see it too");
    let none = folder(&["cat/1.jpg", "dog/1.heic"]);
    let error = message(none.path());
    assert!(error.contains("dog: ") && error.contains("1 .heic"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_class_or_picture_whose_name_is_no_utf8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let name = |bytes| OsStr::from_bytes(bytes);
    let root = folder(&["a/1.jpg", "z/1.jpg"]);
    // Notes do not matter.
    std::fs::write(root.path().join(name(b"caf\xe9.txt")), "x").expect("a file");
    std::fs::write(root.path().join(name(b"._caf\xe9.jpg")), "x").expect("a file");
    assert_eq!(pictures(root.path()).len(), 2);
    let picture = root.path().join("z").join(name(b"caf\xe9.jpg"));
    std::fs::write(&picture, "x").expect("a file");
    let error = message(root.path());
    assert!(error.contains("names in UTF-8, found `caf\\xE9.jpg`; rename it"), "{error}");
    std::fs::remove_file(picture).expect("it was there");
    // Without it, `z` would be class 1.
    let class = root.path().join(name(b"caf\xe9"));
    std::fs::create_dir(&class).expect("a folder");
    std::fs::write(class.join("1.jpg"), "x").expect("a file");
    let error = message(root.path());
    assert!(error.contains("found `caf\\xE9`; rename it"), "{error}");
}

#[test]
fn content_stays_where_files_are_moved_or_touched_and_changes_with_them() {
    let content = |root: &Path| ImageFolder::open(root).expect("pictures").content();
    let files: Vec<String> = (0..100).map(|i| format!("{}/{i:03}.jpg", i % 2)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let root = folder(&files);
    let first = content(root.path());
    assert!(first.starts_with("100 pictures, fingerprint "), "{first}");
    let elsewhere = folder(&files);
    assert_eq!(content(elsewhere.path()), first, "another place and other times");
    let file = root.path().join("0/042.jpg");
    std::fs::write(&file, "longer than before").expect("a file");
    assert_ne!(content(root.path()), first, "another size");
    std::fs::write(&file, "0/042.jpg").expect("a file");
    assert_eq!(content(root.path()), first);
    std::fs::rename(&file, root.path().join("1/042.jpg")).expect("another class");
    assert_ne!(content(root.path()), first);
    // Some files are looked into; of a few, all.
    let few = folder(&["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]);
    let first = content(few.path());
    std::fs::write(few.path().join("cat/2.jpg"), "cat/3.jpg").expect("as long");
    assert_ne!(content(few.path()), first, "other bytes");
}

#[test]
fn a_flat_folder_has_no_classes() {
    let root = folder(&["b.jpg", "a.png", "c.jxl"]);
    assert_eq!(pictures(root.path()), [("a.png".into(), None), ("b.jpg".into(), None)]);
    assert!(ImageFolder::open(root.path()).expect("pictures").class_names().is_empty());
}

#[test]
fn folders_and_classes_without_pictures_are_named() {
    let empty = folder(&["readme.txt"]);
    let error = message(empty.path());
    assert!(error.contains("jpg, jpeg, png"), "{error}");
    let class = folder(&["cat/1.jpg", "dog/1.txt"]);
    let error = message(class.path());
    assert!(error.contains(&class.path().join("dog").display().to_string()), "{error}");
    let nowhere = class.path().join("nowhere");
    assert!(message(&nowhere).contains("nowhere"));
    assert!(message(&class.path().join("cat/1.jpg")).contains("1.jpg"), "a file is no folder");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_of_them_refused() {
    use std::os::unix::fs::symlink;
    let root = folder(&["cat/1.jpg"]);
    let outside = folder(&["all/2.jpg"]);
    symlink(outside.path().join("all"), root.path().join("dog")).expect("a link to a folder");
    symlink("nothing", root.path().join("cat/lost.jpg")).expect("a link to nothing");
    let files = ImageFolder::open(root.path()).expect("pictures");
    assert_eq!((files.len(), files.class_names().len()), (3, 2));
    let error = files.read(1, &mut Vec::new()).expect_err("it leads nowhere");
    assert!(matches!(error, DataError::Io { .. }) && error.to_string().contains("lost.jpg"));
    // Two circles in one folder: following both at every depth would never end.
    for name in ["again", "and again"] {
        symlink(".", root.path().join("cat").join(name)).expect("a circle");
    }
    let error = message(root.path());
    assert!(error.contains("a circle of links"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_class_that_may_not_be_listed_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let root = folder(&["cat/1.jpg", "dog/1.jpg"]);
    let dog = root.path().join("dog");
    let allow = |mode| std::fs::set_permissions(&dog, PermissionsExt::from_mode(mode));
    allow(0o000).expect("its owner may");
    let listed = std::fs::read_dir(&dog).is_ok();
    let opened = ImageFolder::open(root.path()).map(|_| ()).map_err(|error| error.to_string());
    allow(0o700).expect("its owner may");
    if listed {
        eprintln!("skipped: this user may list every folder");
        return;
    }
    let error = opened.expect_err("pictures would be missing");
    assert!(error.contains("listing") && error.contains("dog"), "{error}");
}

#[test]
fn the_identity_changes_with_the_files() {
    let root = folder(&["cat/1.jpg", "cat/2.jpg"]);
    let identity = || ImageFolder::open(root.path()).expect("pictures").identity();
    let first = identity();
    assert_eq!(identity(), first);
    std::fs::write(root.path().join("cat/2.jpg"), "longer than before").expect("a file");
    let changed = identity();
    assert_ne!(changed, first);
    std::fs::rename(root.path().join("cat/2.jpg"), root.path().join("cat/3.jpg")).expect("a name");
    let renamed = identity();
    assert_ne!(renamed, changed);
    std::fs::remove_file(root.path().join("cat/3.jpg")).expect("it was there");
    assert_ne!(identity(), renamed);
}

#[test]
fn many_threads_read_the_same_folder() {
    let names: Vec<String> = (0..60).map(|i| format!("{}/{i:02}.jpg", i % 3)).collect();
    let root = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let wanted = pictures(root.path());
    let files = ImageFolder::open(root.path()).expect("pictures");
    std::thread::scope(|scope| {
        for start in 0..8 {
            let (files, wanted) = (&files, &wanted);
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for index in (0..60).map(|i| (start * 7 + i) % 60) {
                    files.read(index, &mut bytes).expect("a picture");
                    assert_eq!(bytes, wanted[index].0.as_bytes());
                }
            });
        }
    });
}

#[test]
fn known_classes_keep_their_numbers_whichever_are_there() {
    let root = folder(&["val/dog/1.jpg", "val/emu/1.jpg", "val/emu/2.jpg"]);
    let classes = ["ape", "dog", "cat", "emu"].map(String::from);
    let val = ImageFolder::open_with(&root.path().join("val"), &classes).expect("pictures");
    let labels: Vec<_> = (0..4).map(|index| val.label(index)).collect();
    assert_eq!(labels, [Some(1), Some(3), Some(3), None]);
    assert_eq!(val.class_names(), classes);
    let refused = |classes: &[String]| {
        let opened = ImageFolder::open_with(&root.path().join("val"), classes);
        opened.map(|_| ()).expect_err("refused").to_string()
    };
    assert!(
        refused(&classes[..2])
            .contains("emu: expected one of 2 known classes, found a folder `emu`")
    );
    std::fs::remove_dir_all(root.path().join("val/emu")).expect("removed");
    std::fs::remove_file(root.path().join("val/dog/1.jpg")).expect("removed");
    assert!(refused(&classes).contains("expected pictures"));
}
