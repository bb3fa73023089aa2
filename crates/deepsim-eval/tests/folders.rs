//! Numbers on folders against NumPy: see `fixtures/make_folders_fixture.py`.

mod progress;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use deepsim_data::picture::Picture;
use deepsim_eval::EvalError;
use deepsim_eval::compare::compare;
use deepsim_eval::folders::{FolderMeasures, Pairing, compare_pairs, compare_sets};
use deepsim_eval::measure::{Row, Space};
use deepsim_eval::metrics::lpips::LpipsNet;
use deepsim_eval::pair::{PairMeasure, measure_pair};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    pairs: HashMap<String, Vec<f64>>,
    summaries: HashMap<String, Summary>,
    frechet: [f64; 2],
    plain_frechet: f64,
    kernel: [f64; 2],
}

#[derive(Deserialize)]
struct Summary {
    mean: f64,
    spread: f64,
    median: f64,
    worst: usize,
}

/// Pictures of the two folders.
const PICTURES: [usize; 2] = [60, 50];

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/folders.json")).expect("the fixture is valid")
}

/// Picture `i` of the fixture's folders.
fn pictures(i: usize) -> [Picture; 2] {
    let (height, width) = if i.is_multiple_of(3) { (14, 15) } else { (12, 13) };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for at in 0..height * width * 3 {
        let (y, x, c) = (at / (3 * width), at / 3 % width, at % 3);
        let value = (y * 5 + x * 3 + c * 40 + i * 17 + (y * x + i * 7) % 23 * 4 + i * i % 29) % 256;
        a.push(value as u8);
        let value = value * 3 / 4 + (y * 7 + x * 13 + c * 5 + y * x * i) % 41 + i % 5;
        b.push(value.saturating_sub(18).min(255) as u8);
    }
    [a, b].map(|rgb| Picture { width, height, rgb })
}

/// Name of picture `i`: those of odd index are in a folder of their own.
fn name(i: usize) -> String {
    if i.is_multiple_of(2) { format!("{i:02}.png") } else { format!("x/{i:02}.png") }
}

/// The two folders, and the description of a network with the fixture's weights.
fn folders(root: &Path) -> ([PathBuf; 2], PathBuf) {
    let roots = ["a", "b"].map(|name| root.join(name));
    for (side, (folder, n)) in roots.iter().zip(PICTURES).enumerate() {
        std::fs::create_dir_all(folder.join("x")).expect("a folder");
        for i in 0..n {
            pictures(i)[side].write_png(&folder.join(name(i))).expect("a picture");
        }
    }
    let numbers = |n: usize, number: fn(usize) -> f32| (0..n).map(number).collect::<Vec<_>>();
    let weight = numbers(6 * 27, |i| ((i * 37 % 23) as f32 - 11.0) / 16.0);
    let bias = numbers(6, |i| ((i * 5 % 7) as f32 - 3.0) / 8.0);
    let weight = Tensor::from_vec(weight, (6, 3, 3, 3), &Device::Cpu).expect("a tensor");
    let bias = Tensor::from_vec(bias, 6, &Device::Cpu).expect("a tensor");
    let tensors = HashMap::from([("conv.weight", weight), ("conv.bias", bias)]);
    candle_core::safetensors::save(&tensors, root.join("net.safetensors")).expect("weights");
    let net = root.join("net.toml");
    let description = r#"
        name = "net"
        pixels = "unit"
        taps = { RELU = "relu" }
        layers = [
            { name = "conv", op = "conv", out = 6, kernel = 3, stride = 2 },
            { name = "relu", op = "relu" },
        ]
    "#;
    std::fs::write(&net, description).expect("a file");
    (roots, net)
}

fn close(got: f64, wanted: f64, what: &str) {
    assert!((got / wanted - 1.0).abs() < 1e-4, "{what}: {got} against {wanted}");
}

#[test]
fn pairs_and_their_summaries_agree_with_numpy() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let ([a, b], net) = folders(root.path());
    let fixture = fixture();
    let feature: PairMeasure = format!("feature:{}:RELU", net.display()).parse()?;
    for named in [&[][..], std::slice::from_ref(&feature)] {
        let measures = FolderMeasures::open(named, None, false, &Device::Cpu)?;
        let (table, events) = progress::recorded(|| compare_pairs(Pairing::of(&a, &b)?, &measures));
        let table = table?;
        assert_eq!((table.pairing.pairs.len(), table.failed), (50, 0));
        assert_eq!(table.pairing.only_a.len(), 10);
        let span = events.iter().find(|event| event.what == "comparing").expect("a span");
        assert_eq!((span.total, span.done.last()), (Some(50), Some(&50)));
        let known = match named {
            [] => {
                &["root mean square error", "peak signal-to-noise ratio", "structural similarity"][..]
            }
            _ => &["feature"],
        };
        for known in known {
            let column = table.columns.iter().find(|column| column.name.starts_with(known));
            let column = column.expect(known);
            for (pair, value) in table.pairing.pairs.iter().zip(&column.values) {
                let i = (0..50).find(|i| name(*i) == pair.a).expect("a picture");
                close(value.expect("a value"), fixture.pairs[*known][i], known);
            }
            let (found, wanted) =
                (table.summary(column).expect("a summary"), &fixture.summaries[*known]);
            close(found.mean, wanted.mean, known);
            close(found.spread, wanted.spread, known);
            close(found.median, wanted.median, known);
            assert_eq!(found.worst.0.a, name(wanted.worst), "{known}");
        }
    }
    Ok(())
}

#[test]
fn a_pair_of_folders_has_the_numbers_of_two_pictures() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let ([a, b], _) = folders(root.path());
    let lpips: PairMeasure = "lpips-squeeze".parse()?;
    let feature: PairMeasure = "feature:exemplar-cnn:CONV1,CONV3".parse()?;
    let measures =
        FolderMeasures::open(&[lpips.clone(), feature.clone()], None, true, &Device::Cpu)?;
    let named = compare_pairs(Pairing::of(&a, &b)?, &measures)?;
    let all = FolderMeasures::open(&[], None, false, &Device::Cpu)?;
    let all = compare_pairs(Pairing::of(&a, &b)?, &all)?;
    for index in [0, 7, 49] {
        let [of_a, of_b] = all.pairing.paths(index);
        let (of_a, of_b) = (Picture::read_png(&of_a)?, Picture::read_png(&of_b)?);
        let rows = compare(&of_a, &of_b, None, false, &Device::Cpu)?.rows;
        let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        let columns: Vec<String> = all.columns.iter().map(|column| column.name.clone()).collect();
        assert_eq!(columns, names(&rows));
        for (column, row) in all.columns.iter().zip(&rows) {
            match (column.values[index], row.value) {
                (Some(value), Some(wanted)) => close(value, wanted, &row.name),
                (value, wanted) => assert_eq!(value, wanted, "{}", row.name),
            }
        }
        let wanted = measure_pair(&feature, &of_a, &of_b, None, true, &Device::Cpu)?;
        let (value, wanted) = (named.columns[1].values[index], wanted.rows[0].value);
        close(value.expect("a value"), wanted.expect("a value"), "feature");
    }
    // Nothing is large enough for LPIPS.
    assert_eq!(named.columns[0].undefined.as_ref().map(|(count, _)| *count), Some(50));
    let error = named.too_small.expect("an error").to_string();
    assert!(error.starts_with("lpips-squeeze: expected sides of at least 17 pixels"), "{error}");
    Ok(())
}

#[test]
fn distances_of_folders_as_distributions_agree_with_numpy() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let ([a, b], net) = folders(root.path());
    let fixture = fixture();
    let spaces = [format!("{}:RELU", net.display()).parse::<Space>()?];
    let (found, events) =
        progress::recorded(|| compare_sets([&a, &b], &spaces, None, false, &Device::Cpu));
    let found = found?;
    assert_eq!((found.pictures, found.failed), (PICTURES, 0));
    let [frechet, plain, kernel] = &found.rows[..] else { panic!("{:?}", found.rows) };
    let value = |row: &Row| row.value.expect("a value");
    assert_eq!(frechet.name, "Frechet distance, net RELU");
    assert_eq!(plain.name, "plain Frechet distance, net RELU");
    assert_eq!(kernel.name, "kernel distance, net RELU");
    close(value(plain), fixture.plain_frechet, "plain");
    for (row, [wanted, error]) in [(frechet, fixture.frechet), (kernel, fixture.kernel)] {
        close(value(row), wanted, &row.name);
        close(row.spread.expect("an error"), error, &row.name);
        let low = wanted - 2.262 * error;
        assert!(row.note.contains(&format!("95 % interval {low:.4}")), "{} {low}", row.note);
        assert!(row.note.contains("60 pictures of "), "{}", row.note);
    }
    let warnings: Vec<&str> =
        (events.iter()).filter(|event| event.what == "WARN").map(|event| &*event.message).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("pictures of 2 sizes: "), "{warnings:?}");
    Ok(())
}

#[test]
fn fewer_pictures_than_features_are_warned_of() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let ([a, b], _) = folders(root.path());
    let spaces = ["exemplar-cnn:CONV3".parse::<Space>()?];
    let (found, events) =
        progress::recorded(|| compare_sets([&a, &b], &spaces, None, false, &Device::Cpu));
    let rows = found?.rows;
    assert_eq!(rows[0].value, None);
    assert!(rows[0].note.starts_with("needs more than "), "{}", rows[0].note);
    assert!(rows[1].value.is_some() && rows[2].value.is_some());
    let warned =
        |event: &progress::Progress| event.message.contains("50 pictures are fewer than the");
    assert_eq!(events.iter().filter(|event| warned(event)).count(), 1, "{events:?}");
    // The distance of a folder from itself is zero.
    let same = compare_sets([&a, &a], &spaces, None, false, &Device::Cpu)?;
    assert!(same.rows[1].value.is_some_and(|value| value.abs() < 1e-3), "{:?}", same.rows[1]);
    Ok(())
}

#[test]
fn broken_pictures_are_named_and_left_out_and_too_few_are_refused() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let ([a, b], net) = folders(root.path());
    let spaces = [format!("{}:RELU", net.display()).parse::<Space>()?];
    std::fs::write(a.join("04.png"), "not a picture").expect("a file");
    let (found, events) =
        progress::recorded(|| compare_sets([&a, &b], &spaces, None, false, &Device::Cpu));
    let found = found?;
    assert_eq!((found.pictures, found.failed), ([59, 50], 1));
    let error = events.iter().find(|event| event.what == "ERROR").expect("an error");
    assert!(error.message.contains("a/04.png: expected a JPEG or PNG file"), "{}", error.message);
    let measures = FolderMeasures::open(&[], None, false, &Device::Cpu)?;
    let (table, events) = progress::recorded(|| compare_pairs(Pairing::of(&a, &b)?, &measures));
    let table = table?;
    assert_eq!(table.failed, 1);
    assert_eq!(events.iter().filter(|event| event.what == "ERROR").count(), 1);
    let row =
        &table.sizes[table.pairing.pairs.iter().position(|pair| pair.a == "04.png").expect("it")];
    assert!(row.as_ref().is_err_and(|reason| reason.contains("04.png")), "{row:?}");

    for i in 0..11 {
        std::fs::remove_file(b.join(name(i))).expect("a file");
    }
    let message = compare_sets([&a, &b], &spaces, None, false, &Device::Cpu).expect_err("too few");
    let words = "b: expected at least 40 pictures for the distance of distributions, found 39";
    assert!(message.to_string().ends_with(words), "{message}");
    let missing = ["alexnet:CONV3".parse::<Space>()?];
    let message = compare_sets([&a, &b], &missing, None, false, &Device::Cpu).expect_err("none");
    assert!(message.to_string().contains("expected weights of alexnet in"), "{message}");
    let wrong = [format!("{}:CONV9", net.display()).parse::<Space>()?];
    let message = compare_sets([&a, &b], &wrong, None, false, &Device::Cpu).expect_err("no tap");
    assert!(
        matches!(message, EvalError::Net(deepsim_nets::NetError::UnknownTap { .. })),
        "{message}"
    );
    Ok(())
}

#[test]
fn lpips_is_measured_where_its_weights_are_found() -> Result<(), EvalError> {
    let root = tempfile::tempdir().expect("a folder");
    let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 1000.0;
    let mut tensors = HashMap::new();
    for (name, shape) in LpipsNet::Squeeze.trunk().tensors() {
        let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor"));
    }
    let trunk = root.path().join("squeezenet-torchvision.safetensors");
    candle_core::safetensors::save(&tensors, trunk).expect("weights");
    let head = |(index, (_, channels)): (usize, &(&str, usize))| {
        let ones = Tensor::from_vec(vec![1f32; *channels], *channels, &Device::Cpu);
        (format!("lin{index}.weight"), ones.expect("a tensor"))
    };
    let heads: HashMap<_, _> = LpipsNet::Squeeze.taps().iter().enumerate().map(head).collect();
    let path = root.path().join("lpips-squeeze.safetensors");
    candle_core::safetensors::save(&heads, path).expect("weights");

    let picture = |step: usize, side: usize| {
        let rgb = (0..side * side * 3).map(|i| (i * (7 + step) % 251) as u8).collect();
        Picture { width: side, height: side, rgb }
    };
    let (a, b) = (picture(0, 24), picture(1, 24));
    let rows = compare(&a, &b, Some(root.path()), false, &Device::Cpu)?.rows;
    let row = rows.last().expect("rows");
    let measured =
        measure_pair(&"lpips-squeeze".parse()?, &a, &b, Some(root.path()), false, &Device::Cpu)?;
    assert_eq!(*row, measured.rows[0]);
    assert!(row.value.is_some_and(|value| value > 0.0), "{row:?}");
    let (a, b) = (picture(0, 12), picture(1, 12));
    let rows = compare(&a, &b, Some(root.path()), false, &Device::Cpu)?.rows;
    let row = rows.last().expect("rows");
    let words = "lpips-squeeze: expected sides of at least 17 pixels, found 12";
    assert!(row.value.is_none() && row.note.starts_with(words), "{row:?}");
    Ok(())
}
