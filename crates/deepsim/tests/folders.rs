//! `deepsim compare` of two folders: what it prints, writes and exits with.
#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use deepsim_data::picture::Picture;

fn deepsim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_deepsim");
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Exit code, standard output and standard error of `compare`.
fn compare(a: &Path, b: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = deepsim(&[&["compare", text(a), text(b)], more].concat());
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), words(&output.stdout), words(&output.stderr))
}

/// Two folders with pairs of flat pictures, whose error is sqrt(25 / 3) and twice that, and a pair in a folder.
fn folders(root: &Path) -> [PathBuf; 2] {
    let roots = ["a", "b"].map(|name| root.join(name));
    for (folder, factor) in roots.iter().zip([0, 1]) {
        std::fs::create_dir_all(folder.join("more, yet")).expect("a folder");
        for (name, step) in [("1.png", factor), ("more, yet/2.png", 2 * factor)] {
            let colour = [90 + 3 * step, 100 + 4 * step, 110];
            Picture::new(24, 32, colour).write_png(&folder.join(name)).expect("a picture");
        }
    }
    roots
}

#[test]
fn pairs_are_summarised_and_written_as_csv() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = folders(root.path());
    let csv = root.path().join("pairs.csv");
    let extra = Picture::new(24, 32, [0; 3]);
    for name in ["3.png", "4.png", "5.png", "6.png"] {
        extra.write_png(&b.join(name)).expect("a picture");
    }
    let (code, printed, message) = compare(&a, &b, &["--csv", text(&csv)]);
    assert_eq!(code, Some(0), "{message}");
    let start = format!("2 pairs of {} and {}\n", a.display(), b.display());
    assert!(printed.starts_with(&start), "{printed}");
    let only = format!("only in {}: 4 (3.png, 4.png, 5.png, ...)\n", b.display());
    assert!(printed.contains(&only), "{printed}");
    assert!(printed.contains("no weights found: alexnet:CONV3, squeezenet:POOL4"), "{printed}");
    let line = |name: &str| -> Vec<String> {
        let line = printed.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
        line.split_whitespace().map(str::to_owned).collect()
    };
    // sqrt((3² + 4² + 0²) / 3), once and twice.
    let error = line("root mean square error");
    assert_eq!(error[4..8], ["4.3301", "1.4434", "4.3301", "5.7735"], "{printed}");
    assert_eq!(error[8..11], ["more,", "yet/2.png", "(grey"], "{printed}");
    assert!(error.join(" ").contains("2 pairs"), "{printed}");
    let power = line("high-frequency power").join(" ");
    assert!(power.contains("- (2 undefined, the first: the reference has none"), "{printed}");

    let table = std::fs::read_to_string(&csv).expect("a table");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("a,b,width,height,root mean square error,peak signal"), "{table}");
    assert!(lines[0].contains(",efficientnet-lite0 HEAD feature space,error"), "{table}");
    assert!(lines[1].starts_with("1.png,1.png,32,24,2.886751345948"), "{table}");
    let quoted = "\"more, yet/2.png\",\"more, yet/2.png\",32,24,5.77350269189";
    assert!(lines[2].starts_with(quoted), "{table}");
    assert!(printed.ends_with(&format!("{}\n", csv.display())), "{printed}");

    let other = root.path().join("other.csv");
    compare(&a, &b, &["-o", text(&other), "--threads", "1"]);
    assert_eq!(std::fs::read_to_string(&other).expect("a table"), table);

    // The numbers of a pair are those of two pictures.
    let single = compare(&a.join("1.png"), &b.join("1.png"), &[]).1;
    let space = "exemplar-cnn CONV3 feature space";
    let column = lines[0].split(',').position(|name| name == space).expect("a column");
    let value: f64 = lines[1].split(',').nth(column).and_then(|v| v.parse().ok()).expect("one");
    let of_two = single.lines().find(|line| line.contains(space)).expect("a line");
    let of_two: f64 = of_two.split_whitespace().nth(4).and_then(|v| v.parse().ok()).expect("one");
    assert!((value - of_two).abs() <= 1e-4, "{value} {single}");
}

#[test]
fn pictures_that_cannot_be_compared_are_named_and_the_others_are_done() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = folders(root.path());
    let csv = root.path().join("pairs.csv");
    Picture::new(24, 32, [0; 3]).write_png(&a.join("3.png")).expect("a picture");
    Picture::new(24, 30, [0; 3]).write_png(&b.join("3.png")).expect("a picture");
    Picture::new(24, 32, [0; 3]).write_png(&a.join("4.png")).expect("a picture");
    std::fs::write(b.join("4.jpg"), "not a picture").expect("a file");
    let (code, printed, message) = compare(&a, &b, &["-o", text(&csv)]);
    assert_eq!(code, Some(1), "{message}");
    let (three, four) = (b.join("3.png"), b.join("4.jpg"));
    let size = format!(
        "error: {}: expected 32x24 pixels as {}, found 30x24\n",
        three.display(),
        a.join("3.png").display()
    );
    assert!(message.contains(&size), "{message}");
    assert!(message.contains(&format!("error: {}: expected a JPEG or PNG file", four.display())));
    assert!(message.ends_with("error: 2 of 4 pairs could not be measured\n"), "{message}");
    assert!(printed.contains("2 pairs; over all pixels"), "{printed}");
    let table = std::fs::read_to_string(&csv).expect("a table");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[2].starts_with("3.png,3.png,,,,"), "{table}");
    assert!(lines[2].contains("expected 32x24 pixels as "), "{table}");
    assert!(lines[3].starts_with("4.png,4.jpg,,,,") && lines[4].starts_with("\"more"), "{table}");

    // Without any pair that could be measured there is no table.
    std::fs::remove_file(&csv).expect("a file");
    for name in ["1.png", "more, yet/2.png"] {
        std::fs::write(a.join(name), "not a picture").expect("a file");
    }
    let (code, _, message) = compare(&a, &b, &["-o", text(&csv)]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.ends_with("error: 4 of 4 pairs could not be measured\n"), "{message}");
    assert!(!csv.exists());
}

#[test]
fn many_broken_pictures_are_counted_and_few_of_them_named() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = folders(root.path());
    for i in 10..25 {
        for folder in [&a, &b] {
            std::fs::write(folder.join(format!("{i}.png")), "").expect("a file");
        }
    }
    let (code, _, message) = compare(&a, &b, &[]);
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(message.lines().filter(|line| line.starts_with("error: ")).count(), 11, "{message}");
    let last = "error: 15 of 17 pairs could not be measured; the first 10 are named above\n";
    assert!(message.ends_with(last), "{message}");
}

#[test]
fn named_measures_and_photographs_in_other_formats_are_compared() {
    let root = tempfile::tempdir().expect("a folder");
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    let fixture = |name: &str| Path::new("../deepsim-eval/tests/fixtures").join(name);
    for (from, to) in [("photo.png", &a), ("photo.jpg", &b)] {
        std::fs::create_dir(to).expect("a folder");
        std::fs::copy(fixture(from), to.join(from)).expect("a copy");
    }
    let measure = "feature:exemplar-cnn:CONV3";
    let (code, printed, message) = compare(&a, &b, &["--measure", measure]);
    assert_eq!(code, Some(0), "{message}");
    let number = |printed: &str| -> f64 {
        let line = printed.lines().find(|line| line.contains(measure)).expect("a line");
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
    };
    let single = compare(&a.join("photo.png"), &b.join("photo.jpg"), &["--measure", measure]).1;
    assert!((number(&printed) / number(&single) - 1.0).abs() < 1e-3, "{printed} {single}");
    assert!(!printed.contains("root mean square"), "{printed}");

    // A measure that needs larger pictures fails as it does for two pictures, after the others are printed.
    let [a, b] = folders(root.path().join("small").as_path());
    Picture::new(3, 3, [0; 3]).write_png(&a.join("0.png")).expect("a picture");
    Picture::new(3, 3, [9; 3]).write_png(&b.join("0.png")).expect("a picture");
    let (code, printed, message) = compare(&a, &b, &["--measure", measure]);
    assert_eq!(code, Some(2), "{message}");
    assert!(
        message.contains("exemplar-cnn CONV3: expected sides of at least 4 pixels"),
        "{message}"
    );
    assert!(printed.contains("2 pairs; half the sum of squares"), "{printed}");
    assert!(
        printed.contains("; 1 undefined, the first: exemplar-cnn CONV3: expected"),
        "{printed}"
    );
}

#[test]
fn folders_are_compared_as_distributions() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    for (folder, n, shift) in [(&a, 41, 0), (&b, 45, 30)] {
        std::fs::create_dir(folder).expect("a folder");
        for i in 0..n {
            let rgb = (0..20 * 20 * 3).map(|at| ((at * (i + 3) + i * 31) % 200 + shift) as u8);
            let picture = Picture { width: 20, height: 20, rgb: rgb.collect() };
            picture.write_png(&folder.join(format!("{shift}-{i}.png"))).expect("a picture");
        }
    }
    let space = ["--distribution", "exemplar-cnn:CONV3"];
    let (code, printed, message) = compare(&a, &b, &space);
    assert_eq!(code, Some(0), "{message}");
    assert!(
        printed.starts_with(&format!("41 pictures of {} and 45 of ", a.display())),
        "{printed}"
    );
    for words in [
        "  Frechet distance, exemplar-cnn CONV3        -   (needs more than ",
        "  plain Frechet distance, exemplar-cnn CONV3  ",
        "  kernel distance, exemplar-cnn CONV3         ",
        "95 % interval ",
    ] {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
    assert!(!printed.contains("FID") && !message.contains("FID"));
    assert!(message.contains("warning: exemplar-cnn CONV3: 41 pictures are fewer"), "{message}");
    assert_eq!(compare(&a, &b, &[&space[..], &["--threads", "1"]].concat()).1, printed);
    // No pair has one name, which is an error without --distribution.
    let (code, _, message) = compare(&a, &b, &[]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("b: expected pictures named as those in "), "{message}");
    std::fs::remove_file(a.join("0-0.png")).expect("a file");
    std::fs::write(a.join("0-1.png"), "not a picture").expect("a file");
    let (code, _, message) = compare(&a, &b, &space);
    assert_eq!(code, Some(1), "{message}");
    let words = "a: expected at least 40 pictures for the distance of distributions, found 39\n";
    assert!(message.contains("0-1.png: expected a JPEG") && message.ends_with(words), "{message}");
}

#[test]
fn bad_folders_and_options_are_refused_before_anything_is_printed() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b] = folders(root.path());
    let (file, empty) = (a.join("1.png"), root.path().join("empty"));
    std::fs::create_dir(&empty).expect("a folder");
    let missing = root.path().join("missing");
    let csv = missing.join("pairs.csv");
    let cases: [(&Path, &Path, &[&str], i32, &str); 11] = [
        (&a, &file, &[], 2, "a/1.png: expected a folder, as "),
        (&file, &b, &[], 2, "is one, found a file"),
        (&a, &missing, &[], 2, "missing: expected a folder, as "),
        (&a, &empty, &[], 1, "empty: expected pictures with names that end in"),
        (&file, &file, &["--csv", "x.csv"], 2, "--csv: expected two folders, found two pictures"),
        (
            &file,
            &file,
            &["--distribution", "alexnet:CONV3"],
            2,
            "--distribution: expected two folders",
        ),
        (
            &a,
            &b,
            &["--measure", "lpips-alex", "--map", "x.png"],
            2,
            "--map: expected two pictures, found two folders",
        ),
        (&a, &b, &["--measure", "lpips-alex"], 2, "lpips-alex: expected "),
        (&a, &b, &["--csv", text(&csv)], 1, "missing: expected a folder for "),
        (&a, &b, &["--distribution", "exemplar-cnn:CONV9"], 2, "CONV9"),
        (&a, &b, &["--distribution", "alexnet:CONV3", "--csv", "x.csv"], 2, "cannot be used with"),
    ];
    for (a, b, more, wanted, words) in cases {
        let (code, printed, message) = compare(a, b, more);
        assert_eq!(code, Some(wanted), "{more:?}: {message}");
        assert!(message.contains(words), "{more:?}: {message}");
        assert!(printed.is_empty(), "{printed}");
    }
}
