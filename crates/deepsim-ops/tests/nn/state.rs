//! State of optimisers in a file.

use std::path::Path;

use candle_core::{Result, Tensor, Var};
use deepsim_ops::nn::{Adam, AdamW, Optimizer, ParamsAdam, ParamsSgd, Sgd};

use crate::optimisers::gradients;
use crate::support::{bits, tensor, var};

const SHAPES: [&[usize]; 2] = [&[3, 5], &[7]];

fn vars() -> Vec<(String, Var)> {
    let one = |(i, shape): (usize, &&[usize])| (format!("layer.{i}"), var(shape, i));
    SHAPES.iter().enumerate().map(one).collect()
}

fn copies(vars: &[(String, Var)]) -> Result<Vec<(String, Var)>> {
    let one = |(name, var): &(String, Var)| Ok((name.clone(), Var::from_tensor(var)?));
    vars.iter().map(one).collect()
}

fn step(optimiser: &mut impl Optimizer, vars: &[(String, Var)], t: usize) -> Result<()> {
    let given = vars.iter().enumerate();
    let given = given.map(|(i, (_, var))| (var, tensor(var.dims(), 100 + 10 * t + i)));
    optimiser.step(&gradients(given)?)
}

fn all_bits(vars: &[(String, Var)]) -> Vec<Vec<u32>> {
    vars.iter().map(|(_, var)| bits(var)).collect()
}

/// Three steps, a restart with variables in another order, and three more, against six.
fn resumes<O: Optimizer>(
    make: impl Fn(Vec<(String, Var)>) -> Result<O>,
    save: impl Fn(&O, &Path) -> Result<()>,
    load: impl Fn(&mut O, &Path) -> Result<()>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("optimiser.safetensors");
    let whole = vars();
    let mut optimiser = make(whole.clone())?;
    for t in 0..3 {
        step(&mut optimiser, &whole, t)?;
    }
    save(&optimiser, &path)?;
    let again = folder.path().join("again.safetensors");
    save(&optimiser, &again)?;
    assert_eq!(std::fs::read(&path)?, std::fs::read(&again)?, "the same state, the same bytes");

    let resumed = copies(&whole)?;
    let reversed = resumed.iter().rev().cloned().collect();
    let mut other = make(reversed)?;
    load(&mut other, &path)?;
    for t in 3..6 {
        optimiser.set_learning_rate(0.05 / t as f64);
        other.set_learning_rate(0.05 / t as f64);
        step(&mut optimiser, &whole, t)?;
        step(&mut other, &resumed, t)?;
        assert_eq!(all_bits(&whole), all_bits(&resumed), "step {t}");
    }
    // Without the state, they differ.
    let forgetful = copies(&vars())?;
    let mut fresh = make(forgetful.clone())?;
    step(&mut fresh, &forgetful, 5)?;
    assert_ne!(all_bits(&whole), all_bits(&forgetful));
    Ok(())
}

#[test]
fn a_restored_optimiser_makes_the_same_steps() -> Result<()> {
    let adam = ParamsAdam { weight_decay: 0.1, ..Default::default() };
    resumes(|vars| Adam::named(vars, adam), |o, p| o.save(p), |o, p| o.load(p))?;
    resumes(|vars| AdamW::named(vars, Default::default()), |o, p| o.save(p), |o, p| o.load(p))?;
    let sgd = ParamsSgd { momentum: 0.9, ..Default::default() };
    resumes(|vars| Sgd::named(vars, sgd), |o, p| o.save(p), |o, p| o.load(p))
}

#[test]
fn a_file_that_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("optimiser.safetensors");
    let named = vars();
    let mut adam = Adam::named(named.clone(), Default::default())?;
    step(&mut adam, &named, 0)?;
    adam.save(&path)?;

    let renamed = vec![("layer.0".to_owned(), var(SHAPES[0], 0)), ("x".to_owned(), var(&[7], 0))];
    let reshaped =
        vec![("layer.0".to_owned(), var(&[5, 3], 0)), ("layer.1".to_owned(), var(&[7], 0))];
    let fewer = vec![("layer.0".to_owned(), var(SHAPES[0], 0))];
    let cases = [
        (renamed, "expected a tensor `first.x`, found none"),
        (reshaped, "first.layer.0: expected [5, 3] of type f32, found [3, 5]"),
        (fewer, "found first.layer.1, second.layer.1"),
    ];
    for (vars, wanted) in cases {
        let mut other = Adam::named(vars, Default::default())?;
        let error = other.load(&path).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("optimiser.safetensors"), "{error}");
        assert_eq!(other.steps(), 0);
    }
    let mut sgd = Sgd::named(named.clone(), 0.1.into())?;
    let error = sgd.load(&path).unwrap_err().to_string();
    assert!(error.contains("expected a tensor `velocity.layer.0`"), "{error}");
    let error = adam.load(folder.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");

    // A file that was cut short, as by a full disk; the optimiser goes on as it was.
    let file = std::fs::read(&path)?;
    std::fs::write(&path, &file[..file.len() - 1])?;
    assert!(adam.load(&path).is_err());
    let (kept, copy) = (folder.path().join("kept.safetensors"), adam.steps());
    adam.save(&kept)?;
    assert_eq!((std::fs::read(&kept)?, copy), (file, 1));
    Ok(())
}

#[test]
fn a_save_that_was_interrupted_leaves_the_file_before() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("optimiser.safetensors");
    let named = vars();
    let mut adam = Adam::named(named.clone(), Default::default())?;
    adam.save(&path)?;
    step(&mut adam, &named, 0)?;
    // A killed process leaves another file, which the next save replaces.
    std::fs::write(folder.path().join("optimiser.safetensors.part"), b"half")?;
    let mut before = Adam::named(vars(), Default::default())?;
    before.load(&path)?;
    assert_eq!(before.steps(), 0);
    adam.save(&path)?;
    before.load(&path)?;
    assert_eq!(before.steps(), 1);
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
    // If nothing can be written, the error names the file.
    let error = adam.save(folder.path().join("no/such/file")).unwrap_err().to_string();
    assert!(error.contains("no/such/file"), "{error}");
    Ok(())
}

#[test]
fn names_are_needed_and_differ() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unnamed = Adam::new(vec![var(&[2], 1)], Default::default())?;
    let error = unnamed.save(folder.path().join("x")).unwrap_err().to_string();
    assert!(error.contains("`named` or `of_varmap`"), "{error}");
    let twice = vec![("w".to_owned(), var(&[2], 1)), ("w".to_owned(), var(&[2], 2))];
    let error = Adam::named(twice, Default::default()).unwrap_err().to_string();
    assert!(error.contains("found `w` twice"), "{error}");
    let same = var(&[2], 1);
    let twice = vec![("a".to_owned(), same.clone()), ("b".to_owned(), same)];
    let error = Sgd::named(twice, 0.1.into()).unwrap_err().to_string();
    assert!(error.contains("b: expected each variable once"), "{error}");
    Ok(())
}

#[test]
fn a_map_gives_the_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("optimiser.safetensors");
    let vars = candle_nn::VarMap::new();
    let device = candle_core::Device::Cpu;
    let vb = deepsim_ops::nn::init::var_builder(&vars, 1, candle_core::DType::F32, &device);
    deepsim_ops::nn::linear(3, 2, vb.pp("f1"))?;
    AdamW::of_varmap(&vars, Default::default())?.save(&path)?;
    let mut names: Vec<_> = candle_core::safetensors::load(&path, &device)?.into_keys().collect();
    names.sort();
    let wanted =
        ["first.f1.bias", "first.f1.weight", "second.f1.bias", "second.f1.weight", "steps"];
    assert_eq!(names, wanted);
    Sgd::of_varmap(&vars, 0.1.into())?.save(&path)?;
    let tensors = candle_core::safetensors::load(&path, &device)?;
    let zeros = |tensor: &Tensor| bits(tensor).iter().all(|&bits| bits == 0);
    assert!(zeros(&tensors["velocity.f1.weight"]));
    Ok(())
}
