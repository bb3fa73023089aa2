//! ILSVRC-2012 in its official archives: a miniature made here, and the shared mini set.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

#[path = "ilsvrc/classes.rs"]
mod classes;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use deepsim_data::Dataset;
use deepsim_data::ilsvrc::{Ilsvrc, parse_meta, parse_truth};
use deepsim_data::tar_index::TarIndex;
use deepsim_data::{
    Crop, Cursor, DataError, Loader, LoaderConfig, PictureFiles, Prepared, Source, Transform,
    read_range,
};

/// `meta.mat` of three classes under one parent, made with SciPy by `fixtures/make_meta_mat.py`;
/// in the kit's order n03, n01, n02 with numbers 1 to 3, then n00 with three children.
const META: &[u8] = include_bytes!("fixtures/meta.mat");
const META_COMPRESSED: &[u8] = include_bytes!("fixtures/meta_compressed.mat");

/// A picture of one colour, as a PNG in a file named `.JPEG`: the content decides.
fn picture(level: u8) -> Vec<u8> {
    deepsim_data::picture::Picture::new(4, 6, [level, 0, 0]).to_png().expect("a PNG")
}

fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, &bytes[..]).expect("a member");
    }
    builder.into_inner().expect("a tar")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a gzip")
}

/// The three archives: classes n03, n01 and n02, validation pictures of classes 2, 3, 1 and 1.
fn write_archives(folder: &Path) {
    let inner = |wnid: &str, levels: &[u8]| {
        let member = |level: &u8| (format!("{wnid}_{level}.JPEG"), picture(*level));
        let members: Vec<_> = levels.iter().map(member).collect();
        let members: Vec<_> = members.iter().map(|(name, b)| (name.as_str(), b.clone())).collect();
        tar(&members)
    };
    let train = tar(&[
        ("n03.tar", inner("n03", &[30, 31])),
        ("n01.tar", inner("n01", &[10])),
        ("n02.tar", inner("n02", &[20, 21, 22])),
    ]);
    std::fs::write(folder.join("ILSVRC2012_img_train.tar"), train).expect("a file");
    // Not in the order of their numbers.
    let val: Vec<_> = [3u8, 1, 4, 2]
        .iter()
        .map(|n| (format!("ILSVRC2012_val_{n:08}.JPEG"), picture(100 + n)))
        .collect();
    let val: Vec<_> = val.iter().map(|(name, b)| (name.as_str(), b.clone())).collect();
    std::fs::write(folder.join("ILSVRC2012_img_val.tar"), tar(&val)).expect("a file");
    write_kit(folder, META, b"2\n3\n1\n1\n");
}

fn write_kit(folder: &Path, meta: &[u8], truth: &[u8]) {
    let kit = tar(&[
        ("ILSVRC2012_devkit_t12/readme.txt", b"x".to_vec()),
        ("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.to_vec()),
        ("ILSVRC2012_devkit_t12/data/meta.mat", meta.to_vec()),
    ]);
    std::fs::write(folder.join("ILSVRC2012_devkit_t12.tar.gz"), gzip(&kit)).expect("a file");
}

/// Level of each picture's red, and its label.
fn levels(files: impl PictureFiles + 'static) -> Vec<(u8, u32)> {
    let n = files.len();
    let source = Prepared::new(std::sync::Arc::new(files), Transform::stretch(4, 6));
    let batch = read_range(&source, 0..n, Crop::Full).expect("all pictures");
    let level = |i: usize| (batch.pixels[i * 72], batch.samples[i].label.expect("a label"));
    (0..n).map(level).collect()
}

const TRAIN: [(u8, u32); 6] = [(30, 2), (31, 2), (10, 0), (20, 1), (21, 1), (22, 1)];
const VAL: [(u8, u32); 4] = [(101, 0), (102, 1), (103, 2), (104, 2)];

#[test]
fn archives_are_read_in_place_with_labels_of_sorted_wnids() {
    let folder = tempfile::tempdir().expect("a folder");
    write_archives(folder.path());
    for _ in 0..2 {
        // The second time from the indices beside the archives.
        let ilsvrc = Ilsvrc::open(folder.path()).expect("the folder");
        let synsets = &ilsvrc.devkit().expect("the kit").synsets;
        let wnids: Vec<&str> = synsets.iter().map(|synset| synset.wnid.as_str()).collect();
        assert_eq!(wnids, ["n01", "n02", "n03"]);
        assert_eq!((synsets[0].words.as_str(), synsets[0].ilsvrc2012_id), ("one, first", 2));
        let train = ilsvrc.train().expect("training pictures");
        assert_eq!(train.class_names(), ["n01", "n02", "n03"]);
        let end = Path::new("ILSVRC2012_img_train.tar/n02.tar/n02_21.JPEG");
        assert!(train.path(4).ends_with(end), "{}", train.path(4).display());
        assert_eq!(levels(train), TRAIN);
        assert_eq!(levels(ilsvrc.val().expect("validation pictures")), VAL);
        assert!(folder.path().join("ILSVRC2012_img_train.tar.deepsim-index").is_file());
    }
}

#[test]
fn unpacked_forms_give_the_same_labels() {
    let archives = tempfile::tempdir().expect("a folder");
    write_archives(archives.path());
    let (train_tar, val_tar) = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar");
    let unpack = |name: &str, to: &Path| {
        let file = std::fs::File::open(archives.path().join(name)).expect("an archive");
        tar::Archive::new(file).unpack(to).expect("it unpacks");
    };
    let sorted = |mut all: Vec<(u8, u32)>| {
        all.sort_unstable();
        all
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // The training tar opened once: a folder of tars.
    unpack(train_tar, &at("train"));
    unpack(val_tar, &at("ILSVRC2012_img_val"));
    let kit = gunzip(&archives.path().join("ILSVRC2012_devkit_t12.tar.gz"));
    tar::Archive::new(&kit[..]).unpack(folder.path()).expect("the kit unpacks");
    let ilsvrc = Ilsvrc::open(folder.path()).expect("the folder");
    assert_eq!(sorted(levels(ilsvrc.train().expect("train"))), sorted(TRAIN.to_vec()));
    assert_eq!(levels(ilsvrc.val().expect("val")), VAL);
    // Unpacked to the end, as torchvision leaves it, and no kit.
    for wnid in ["n01", "n02", "n03"] {
        let tar = at("train").join(format!("{wnid}.tar"));
        let file = std::fs::File::open(&tar).expect("an inner tar");
        tar::Archive::new(file).unpack(at("train").join(wnid)).expect("it unpacks");
        std::fs::remove_file(&tar).expect("it is removed");
        let _ = std::fs::remove_file(TarIndex::stored_at(&tar));
    }
    std::fs::remove_dir_all(at("ILSVRC2012_devkit_t12")).expect("no kit");
    let ilsvrc = Ilsvrc::open(folder.path()).expect("the folder");
    assert!(ilsvrc.devkit().is_none());
    assert_eq!(sorted(levels(ilsvrc.train().expect("train"))), sorted(TRAIN.to_vec()));
    let error = ilsvrc.val().expect_err("no classes").to_string();
    assert!(error.contains("devkit"), "{error}");
    for (wnid, number) in [("n01", 1), ("n02", 2), ("n03", 3), ("n03", 4)] {
        let name = format!("ILSVRC2012_val_{number:08}.JPEG");
        std::fs::create_dir_all(at("val").join(wnid)).expect("a folder");
        let to = at("val").join(wnid).join(&name);
        std::fs::copy(at("ILSVRC2012_img_val").join(&name), to).expect("a copy");
    }
    assert_eq!(levels(ilsvrc.val().expect("val")), VAL);
}

fn gunzip(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("a file");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).expect("gzip");
    bytes
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Ilsvrc::open(folder.path());
    let message = |result: Result<_, DataError>| match result {
        Ok(_) => panic!("this should not open"),
        Err(error) => error.to_string(),
    };
    let empty = open().expect("an empty folder is a folder");
    assert!(message(empty.train()).contains("ILSVRC2012_img_train.tar or train"));
    assert!(message(empty.val()).contains("ILSVRC2012_img_val.tar or val"));
    assert!(Ilsvrc::open(&folder.path().join("nowhere")).is_err());
    write_archives(folder.path());

    write_kit(folder.path(), META, b"2\n3\n1\n");
    assert!(message(open().expect("a kit").val()).contains("expected 3 pictures"));
    write_kit(folder.path(), META, b"2\n3\n4\n1\n");
    let error = open().expect_err("4 is no class").to_string();
    assert!(error.contains("`4` in line 3") && error.contains("3 classes"), "{error}");
    write_kit(folder.path(), &META[..200], b"2\n3\n1\n1\n");
    assert!(open().expect_err("cut off").to_string().contains("meta.mat"));
    let kit = folder.path().join("ILSVRC2012_devkit_t12.tar.gz");
    let whole = std::fs::read(&kit).expect("the kit");
    std::fs::write(&kit, &whole[..whole.len() / 2]).expect("half a kit");
    assert!(open().expect_err("cut off").to_string().contains("devkit_t12.tar.gz"));
    std::fs::write(&kit, gzip(&tar(&[("readme", vec![])]))).expect("another archive");
    assert!(open().expect_err("no table").to_string().contains("data/meta.mat"));

    // A wnid that the kit does not have.
    write_kit(folder.path(), META, b"2\n3\n1\n1\n");
    let strange = tar(&[("n99.tar", tar(&[("n99_1.JPEG", picture(1))]))]);
    std::fs::write(folder.path().join("ILSVRC2012_img_train.tar"), strange).expect("a tar");
    let error = message(open().expect("a kit").train());
    assert!(error.contains("`n99`") && error.contains("n99_1.JPEG"), "{error}");
    let outside = tar(&[("n01_1.JPEG", picture(1))]);
    std::fs::write(folder.path().join("ILSVRC2012_img_train.tar"), outside).expect("a tar");
    assert!(message(open().expect("a kit").train()).contains("outside"));
    // A validation picture twice.
    let twice: Vec<_> =
        [1, 2, 3, 3].iter().map(|n| format!("ILSVRC2012_val_{n:08}.JPEG")).collect();
    let twice: Vec<_> = twice.iter().map(|name| (name.as_str(), picture(1))).collect();
    std::fs::write(folder.path().join("ILSVRC2012_img_val.tar"), tar(&twice)).expect("a tar");
    let error = message(open().expect("a kit").val());
    assert!(error.contains("each once, found ILSVRC2012_val_00000003.JPEG"), "{error}");
}

#[test]
fn unpacking_that_is_not_finished_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let train = folder.path().join("train");
    let write = |name: &str, bytes: &[u8]| {
        let path = train.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    };
    let open = || Ilsvrc::open(folder.path()).expect("the folder").train();
    let refused = || open().map(|_| ()).expect_err("this should not open").to_string();
    // Without a kit nothing else tells that this is no class.
    write("n01/n01_1.JPEG", &picture(1));
    write("n02_1.JPEG", &picture(2));
    let error = refused();
    assert!(error.contains("n02_1.JPEG") && error.contains("outside"), "{error}");
    std::fs::remove_file(train.join("n02_1.JPEG")).expect("it was there");
    // A class unpacked, whose tar is gone, and one that is not.
    write("n02.tar", &tar(&[("n02_1.JPEG", picture(2))]));
    let error = refused();
    assert!(error.contains("n01") && error.contains("unpacking finished"), "{error}");
    // With all tars there, what is unpacked beside them does not count.
    write("n01.tar", &tar(&[("n01_1.JPEG", picture(1)), ("n01_2.JPEG", picture(3))]));
    assert_eq!(levels(open().expect("two tars")), [(1, 0), (3, 0), (2, 1)]);
}

#[test]
fn many_threads_read_the_archives() {
    let folder = tempfile::tempdir().expect("a folder");
    write_archives(folder.path());
    let ilsvrc = Ilsvrc::open(folder.path()).expect("the folder");
    let (train, val) = (ilsvrc.train().expect("train"), ilsvrc.val().expect("val"));
    let wanted: Vec<(&dyn PictureFiles, usize, Vec<u8>)> = TRAIN
        .iter()
        .enumerate()
        .map(|(i, (level, _))| (&train as &dyn PictureFiles, i, picture(*level)))
        .chain(
            VAL.iter().enumerate().map(|(i, (l, _))| (&val as &dyn PictureFiles, i, picture(*l))),
        )
        .collect();
    std::thread::scope(|scope| {
        for start in 0..8 {
            let wanted = &wanted;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                for at in 0..200 {
                    let (files, index, picture) = &wanted[(start + at) % wanted.len()];
                    files.read(*index, &mut bytes).expect("a picture");
                    assert_eq!(&bytes, picture);
                }
            });
        }
    });
}

/// An element of a MATLAB file.
fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let padding = vec![0; content.len().next_multiple_of(8) - content.len()];
    [&kind.to_le_bytes(), &length.to_le_bytes(), content, &padding].concat()
}

/// A struct array `synsets` of no elements, with field names of one byte.
fn table_of_fields(fields: usize) -> Vec<u8> {
    let parts = [
        element(6, &[2, 0, 0, 0, 0, 0, 0, 0]),
        element(5, &[0; 8]),
        element(1, b"synsets"),
        element(5, &1i32.to_le_bytes()),
        element(1, &vec![b'a'; fields]),
    ];
    let header = [&[b' '; 124][..], &[0, 1, b'I', b'M']].concat();
    [header, element(14, &parts.concat())].concat()
}

#[test]
fn a_kit_that_unpacks_to_much_more_than_a_kit_is_refused() {
    // The names of fields are read before anything bounds their number.
    let error = parse_meta(&table_of_fields(65), Path::new("meta.mat")).expect_err("too many");
    assert!(error.to_string().contains("at most 64 fields, found 65"), "{error}");
    let error = parse_meta(&table_of_fields(64), Path::new("meta.mat")).expect_err("no id");
    assert!(error.to_string().contains("a field `ILSVRC2012_ID`"), "{error}");
    // A name of 80 MiB, which packs to nothing and which readers of tars take whole.
    let mut header = tar::Header::new_gnu();
    header.set_path("long").expect("a name");
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(80 << 20);
    header.set_cksum();
    let bytes = [&header.as_bytes()[..], &vec![b'a'; 80 << 20]].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ILSVRC2012_devkit_t12.tar.gz");
    std::fs::write(path, gzip(&bytes)).expect("a file");
    let error = Ilsvrc::open(folder.path()).expect_err("a bomb").to_string();
    assert!(error.contains("at most 67108864 bytes"), "{error}");
}

#[test]
fn the_table_of_classes_is_read_compressed_or_not_and_damage_is_no_panic() {
    let path = Path::new("meta.mat");
    let synsets = parse_meta(META, path).expect("three classes");
    assert_eq!(parse_meta(META_COMPRESSED, path).expect("the same"), synsets);
    assert_eq!(synsets.len(), 3);
    assert_eq!(parse_truth(b"3\n1", &synsets, path).expect("classes"), [1, 2]);
    assert!(parse_truth(b"3\n\n1", &synsets, path).is_err());
    for meta in [META, META_COMPRESSED] {
        for length in 0..meta.len() {
            // An end that is cut off may hold nothing that is needed; it must only not panic.
            let _ = parse_meta(&meta[..length], path);
        }
        for at in 0..meta.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = meta.to_vec();
                bytes[at] = value;
                let _ = parse_meta(&bytes, path);
            }
        }
    }
    let error = parse_meta(&META[..100], path).expect_err("cut off").to_string();
    assert!(error.contains("header of 128 bytes"), "{error}");
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DEEPSIM_SHARED").map_or(beside, PathBuf::from);
    let folder = shared.join("data/ilsvrc-mini");
    if !folder.is_dir() {
        eprintln!("skipped: no shared folder; set DEEPSIM_SHARED");
        return None;
    }
    Some(folder)
}

#[test]
fn the_shared_mini_set_loads_as_the_real_one_does() {
    let Some(shared) = shared() else { return };
    // A copy: indices are written beside the archives, and the shared folder is not ours.
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(shared).expect("the mini set") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    let folder = copy.path();
    let ilsvrc = Ilsvrc::open(folder).expect("the mini set");
    let devkit = ilsvrc.devkit().expect("the kit");
    // The kit's table is the published one: words by sorted wnid, and by number.
    let lines = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let sorted = lines("synset_words_sorted.txt");
    for (synset, line) in devkit.synsets.iter().zip(sorted.lines()) {
        assert_eq!(format!("{} {}", synset.wnid, synset.words), line);
    }
    assert_eq!((devkit.synsets.len(), sorted.lines().count()), (1000, 1000));
    let by_id: HashMap<u32, String> = lines("synsets_ilsvrc2012_id.txt")
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let id = words.next().and_then(|id| id.parse().ok()).expect("a number");
            (id, words.next().expect("a wnid").to_owned())
        })
        .collect();

    let train = ilsvrc.train().expect("training pictures");
    assert_eq!(train.len(), 800);
    let mut wnids: Vec<String> = Vec::new();
    for index in 0..train.len() {
        let path = train.path(index);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let wnid = name.split('_').next().expect("a wnid").to_owned();
        let class = train.label(index).expect("a label") as usize;
        assert_eq!(train.class_names()[class], wnid);
        wnids.push(wnid);
    }
    wnids.sort_unstable();
    wnids.dedup();
    assert_eq!(wnids.len(), 603);

    let val = ilsvrc.val().expect("validation pictures");
    assert_eq!(val.len(), 400);
    // The kit's numbers, read here by other means.
    let kit = gunzip(&folder.join("ILSVRC2012_devkit_t12.tar.gz"));
    let mut truth = String::new();
    for entry in tar::Archive::new(&kit[..]).entries().expect("the kit") {
        let mut entry = entry.expect("an entry");
        if entry.path_bytes().ends_with(b"validation_ground_truth.txt") {
            std::io::Read::read_to_string(&mut entry, &mut truth).expect("numbers");
        }
    }
    let ids: Vec<u32> = truth.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!((ids.len(), &ids[..4]), (400, &[490, 361, 171, 822][..]));
    for (index, id) in ids.iter().enumerate() {
        let class = val.label(index).expect("a label") as usize;
        assert_eq!(val.class_names()[class], by_id[id], "picture {}", index + 1);
        assert!(val.path(index).ends_with(format!("ILSVRC2012_val_{:08}.JPEG", index + 1)));
    }

    // Every picture decodes, by the loader too.
    let source = Prepared::new(std::sync::Arc::new(val), Transform::CAFFE);
    let config =
        LoaderConfig { batch: 50, crop: Crop::Random(227), workers: 2, ..Default::default() };
    let source: std::sync::Arc<dyn Source> = std::sync::Arc::new(source);
    let loader = Loader::new(source, config, Cursor::default()).expect("a loader");
    assert!(loader.take(8).all(|batch| batch.is_ok()));
    let source = Prepared::new(std::sync::Arc::new(train), Transform::TORCHVISION);
    assert!(read_range(&source, 0..800, Crop::Full).is_ok());
}

#[test]
fn a_data_set_of_it_trains_on_one_part_and_measures_on_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    write_archives(folder.path());
    let dataset = Dataset::open(Some(folder.path()), 0).expect("the data set");
    let (train, test) = (&dataset.unlabeled, &dataset.test);
    assert_eq!((train.len(), test.images.len()), (TRAIN.len(), VAL.len()));
    assert_eq!((train.height(), train.width()), (256, 256));
    let labels: Vec<u32> = TRAIN.iter().map(|(_, label)| *label).collect();
    assert_eq!(dataset.train.labels, labels);
    assert_eq!((dataset.class_names[0].as_str(), dataset.synthetic), ("one, first", false));
    // Of another size, the same pictures; of their own, nothing is done.
    let small = dataset.clone().sized(32);
    assert_eq!((small.unlabeled.height(), small.test.images.width()), (32, 32));
    assert_eq!(small.test.labels, dataset.test.labels);
    assert_eq!(dataset.clone().sized(256).description, dataset.description);
    // An empty folder is no STL-10, and says so.
    let empty = tempfile::tempdir().expect("a folder");
    assert!(Dataset::open(Some(empty.path()), 0).is_err());
}
