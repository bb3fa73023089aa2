//! The SVM solver against scikit-learn's `LinearSVC`, which is liblinear: see
//! `fixtures/make_svm_fixture.py`.

use deepsim_eval::EvalError;
use deepsim_eval::svm::{Examples, LinearSvm, SvmConfig};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    dimensions: usize,
    bias: f64,
    train: Vec<f32>,
    train_labels: Vec<u32>,
    test: Vec<f32>,
    test_labels: Vec<u32>,
    machines: Vec<Machine>,
}

#[derive(Deserialize)]
struct Machine {
    c: f64,
    weights: Vec<Vec<f64>>,
    train_accuracy: f64,
    test_accuracy: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/svm.json")).expect("the fixture is valid")
}

#[test]
fn weights_and_accuracies_are_liblinears() -> Result<(), EvalError> {
    let fixture = fixture();
    let train = Examples::new(&fixture.train, fixture.dimensions, &fixture.train_labels)?;
    let test = Examples::new(&fixture.test, fixture.dimensions, &fixture.test_labels)?;
    for machine in &fixture.machines {
        let config = SvmConfig {
            c: machine.c,
            bias: fixture.bias,
            tolerance: 1e-8,
            max_passes: 1_000_000,
            seed: 5,
        };
        let svm = LinearSvm::train(train, &config)?;
        assert!(svm.converged(), "C = {}", machine.c);
        assert_eq!(svm.classes(), [0, 1, 2, 3]);
        for (class, wanted) in machine.weights.iter().enumerate() {
            let got = svm.weights(class);
            let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
            let error = norm(&mut got.iter().zip(wanted).map(|(a, b)| a - b))
                / norm(&mut wanted.iter().copied());
            assert!(error < 1e-5, "C = {}, class {class}: relative error {error}", machine.c);
        }
        let accuracy = |examples| svm.accuracy(examples);
        assert!((accuracy(train) - machine.train_accuracy).abs() < 1e-9, "C = {}", machine.c);
        assert!((accuracy(test) - machine.test_accuracy).abs() < 1e-9, "C = {}", machine.c);
    }
    Ok(())
}

#[test]
fn the_protocols_tolerance_is_close_to_the_optimum() -> Result<(), EvalError> {
    let fixture = fixture();
    let train = Examples::new(&fixture.train, fixture.dimensions, &fixture.train_labels)?;
    let test = Examples::new(&fixture.test, fixture.dimensions, &fixture.test_labels)?;
    for machine in &fixture.machines {
        let solver = deepsim_eval::svm::Protocol::default().solver;
        let svm = LinearSvm::train(train, &SvmConfig { c: machine.c, ..solver })?;
        let accuracy = svm.accuracy(test);
        assert!((accuracy - machine.test_accuracy).abs() <= 1.0, "C = {}: {accuracy}", machine.c);
    }
    Ok(())
}

#[test]
fn the_visiting_order_does_not_matter_at_the_optimum() -> Result<(), EvalError> {
    let fixture = fixture();
    let train = Examples::new(&fixture.train, fixture.dimensions, &fixture.train_labels)?;
    let trained = |seed| {
        let config =
            SvmConfig { tolerance: 1e-9, max_passes: 1_000_000, seed, ..SvmConfig::default() };
        LinearSvm::train(train, &config)
    };
    let (a, b) = (trained(1)?, trained(2)?);
    assert_ne!(a.weights(0), b.weights(0), "other orders end on other last bits");
    for (a, b) in a.weights(0).iter().zip(b.weights(0)) {
        assert!((a - b).abs() < 1e-6, "{a} against {b}");
    }
    Ok(())
}
