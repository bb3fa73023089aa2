//! Pictures and classes that are there, and the numbers of the classes.

use super::*;

#[test]
fn what_file_managers_leave_in_the_archives_is_no_picture_and_no_class() {
    let folder = tempfile::tempdir().expect("a folder");
    write_archives(folder.path());
    let junk = || b"not a picture".to_vec();
    let inner = |wnid: &str, level: u8| {
        let name = format!("{wnid}_1.JPEG");
        let hidden = format!("._{name}");
        tar(&[(hidden.as_str(), junk()), (&name, picture(level)), ("Thumbs.db", junk())])
    };
    let train = tar(&[
        ("._n01.tar", junk()),
        ("n01.tar", inner("n01", 10)),
        ("n02.tar", inner("n02", 20)),
        ("n03.tar", inner("n03", 30)),
        ("__MACOSX/._n03.tar", junk()),
        (".DS_Store", junk()),
    ]);
    std::fs::write(folder.path().join("ILSVRC2012_img_train.tar"), train).expect("a tar");
    let val = [
        ("._ILSVRC2012_val_00000001.JPEG", junk()),
        ("ILSVRC2012_val_00000001.JPEG", picture(101)),
        ("ILSVRC2012_val_00000002.JPEG", picture(102)),
        ("readme.txt", junk()),
        ("ILSVRC2012_val_00000003.JPEG", picture(103)),
        ("ILSVRC2012_val_00000004.JPEG", picture(104)),
        ("notes.webp", junk()),
    ];
    std::fs::write(folder.path().join("ILSVRC2012_img_val.tar"), tar(&val)).expect("a tar");
    let ilsvrc = Ilsvrc::open(folder.path()).expect("the folder");
    assert_eq!(levels(ilsvrc.train().expect("train")), [(10, 0), (20, 1), (30, 2)]);
    let val = ilsvrc.val().expect("val");
    assert_eq!(val.unread().endings().collect::<Vec<_>>(), [("webp", 1)]);
    assert_eq!(levels(val), VAL);
}

/// Writes `SPLIT/WNID/PICTURE` for each class and its levels of red.
fn write_classes(folder: &Path, split: &str, classes: &[(&str, &[u8])]) {
    for (wnid, levels) in classes {
        let class = folder.join(split).join(wnid);
        std::fs::create_dir_all(&class).expect("a folder");
        for level in *levels {
            std::fs::write(class.join(format!("{level}.JPEG")), picture(*level)).expect("a file");
        }
    }
}

#[test]
fn without_a_kit_both_sets_have_the_same_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Ilsvrc::open(folder.path()).expect("the folder");
    let train: [(&str, &[u8]); 3] = [("n01", &[10]), ("n02", &[20]), ("n03", &[30])];
    write_classes(folder.path(), "train", &train);
    // Of n02 there is nothing to validate with: n03 is class 2 all the same.
    write_classes(folder.path(), "val", &[("n01", &[11]), ("n03", &[31])]);
    let val = open().val().expect("two classes");
    assert_eq!(val.class_names(), ["n01", "n02", "n03"]);
    assert_eq!(levels(val), [(11, 0), (31, 2)]);
    write_classes(folder.path(), "val", &[("n02", &[])]);
    let error = open().val().map(|_| ()).expect_err("an empty class").to_string();
    assert!(error.contains("n02") && error.contains("found none"), "{error}");
    write_classes(folder.path(), "val", &[("n02", &[21]), ("n04", &[41])]);
    let error = open().val().map(|_| ()).expect_err("a class of its own").to_string();
    assert!(error.contains("the 3 classes of the training pictures, found `n04`"), "{error}");
    // Alone, each set has its own numbers.
    std::fs::remove_dir_all(folder.path().join("train")).expect("it was there");
    assert_eq!(levels(open().val().expect("four")), [(11, 0), (21, 1), (31, 2), (41, 3)]);
}

#[test]
fn a_class_without_pictures_is_refused_wherever_it_is() {
    let refused = |folder: &Path| {
        let opened = Ilsvrc::open(folder).expect("the folder").train();
        let error = opened.map(|_| ()).expect_err("an empty class").to_string();
        assert!(error.contains("n02") && error.contains("found none"), "{error}");
    };
    let one = |wnid: &str, level| tar(&[(format!("{wnid}.JPEG").as_str(), picture(level))]);
    let inner = [("n01.tar", one("n01", 10)), ("n02.tar", tar(&[])), ("n03.tar", one("n03", 30))];
    let archive = tempfile::tempdir().expect("a folder");
    std::fs::write(archive.path().join("ILSVRC2012_img_train.tar"), tar(&inner)).expect("a tar");
    refused(archive.path());
    write_kit(archive.path(), META, b"2\n3\n1\n1\n");
    refused(archive.path());
    let tars = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(tars.path().join("train")).expect("a folder");
    for (name, bytes) in inner {
        std::fs::write(tars.path().join("train").join(name), bytes).expect("a tar");
    }
    refused(tars.path());
    let folders = tempfile::tempdir().expect("a folder");
    let classes: [(&str, &[u8]); 3] = [("n01", &[10]), ("n02", &[]), ("n03", &[30])];
    write_classes(folders.path(), "train", &classes);
    refused(folders.path());
}

#[test]
fn content_is_the_same_in_another_place() {
    let [one, two] = [(), ()].map(|()| {
        let folder = tempfile::tempdir().expect("a folder");
        write_archives(folder.path());
        folder
    });
    let open = |folder: &Path| Ilsvrc::open(folder).expect("the folder");
    let content = open(one.path()).val().expect("val").content();
    assert_eq!(open(two.path()).val().expect("val").content(), content);
    assert_ne!(open(one.path()).train().expect("train").content(), content);
    // Other labels of the same pictures.
    write_kit(two.path(), META, b"2\n3\n1\n2\n");
    assert_ne!(open(two.path()).val().expect("val").content(), content);
}
