//! Values that a network cannot have, or that half precision cannot hold.

use super::*;

#[test]
fn what_is_no_number_is_reported_once() {
    let mut tensors = filled(&ComparatorKind::exemplar_cnn());
    for (_, _, values) in &mut tensors {
        values.iter_mut().for_each(|value| *value = f32::NAN);
    }
    let message = named(&tensors, &ComparatorKind::exemplar_cnn()).expect_err("NaN");
    assert_eq!(message.matches("NaN").count(), 1, "{message}");
    assert!(message.contains("64 of 64 values are NaN or infinite, and so do"), "{message}");
}

#[test]
fn values_that_single_precision_makes_zero_are_refused() {
    let parsed = |values: [f64; 2]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F64, vec![2], &bytes).expect("values");
        let file = safetensors::serialize([("conv1.bias", view)], None).expect("a file");
        deepsim_import::parse(&file, None)
    };
    let message = parsed([1e-60, 0.0]).expect_err("too small");
    assert!(message.contains("conv1.bias: its 2 values are too small"), "{message}");
    assert_eq!(parsed([0.0, 0.0]).expect("zeros").blobs[0].values, [0.0, 0.0]);
    assert_eq!(parsed([1e-60, 1.0]).expect("one is left").blobs[0].values, [0.0, 1.0]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kinds/vanishing.pth");
    let message = deepsim_import::read(&path, None).expect_err("too small").to_string();
    assert!(message.contains("a.weight: its 6 values are too small"), "{message}");
}

#[test]
fn half_precision_refuses_what_it_cannot_hold_and_says_what_it_loses() {
    let half = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut tensors = filled(&ComparatorKind::exemplar_cnn());
        change(&mut tensors[0].2);
        let net = Some(Net::Comparator(ComparatorKind::exemplar_cnn()));
        imported(&tensors, &ImportOptions { net, half: true, part: None })
    };
    let message = half(&|values| values[7] = 1e6).expect_err("too large");
    assert!(
        message.contains("conv1.weight: 1000000 is larger than half precision holds"),
        "{message}"
    );
    let message = half(&|values| values.fill(1e-9)).expect_err("too small");
    assert!(message.contains("conv1.weight: loses 100.0 % of its norm"), "{message}");
    let report = half(&|values| values[..3].fill(1e-9)).expect("three that are too small");
    let note = report.notes.last().expect("a note");
    assert!(note.starts_with("half precision rounds 3 of "), "{note}");
    assert_eq!(
        half(&|_| {}).expect("ordinary weights").notes.len(),
        1,
        "the end of the file alone"
    );
}
