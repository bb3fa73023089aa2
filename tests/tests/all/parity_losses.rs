//! Loss terms, calibration and the update balance against the paper's equations as coded.

use anyhow::{Context, Result};
use candle_core::{Tensor, Var};
use deepsim_loss::term::{Inputs, from_fn};
use deepsim_loss::terms::Divergence;
use deepsim_loss::{Balance, BalanceRule, LossError, TermReport, calibrate, objective, terms};
use deepsim_nets::{Images, PixelFormat, Posterior};

use crate::support::{Errors, Fixture, uniform};

const TOLERANCE: f64 = 1e-5;

fn output(fixture: &Fixture) -> Result<(Var, Images, Images)> {
    let leaf = Var::from_tensor(&fixture.tensor("output")?)?;
    let output = Images::new(leaf.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
    Ok((leaf, output, fixture.images("rgb_target", PixelFormat::CAFFE_BGR)?))
}

/// The fixture's stand-in for a comparator: products of neighbouring pixels, over 64.
fn features(images: &Images) -> Result<Tensor, LossError> {
    let (x, width) = (images.tensor(), images.width());
    Ok(((x.narrow(3, 1, width - 1)? * x.narrow(3, 0, width - 1)?)? / 64.0)?)
}

fn relative(got: f64, wanted: f64) -> f64 {
    (got - wanted).abs() / wanted.abs()
}

fn compare(
    errors: &mut Errors,
    fixture: &Fixture,
    name: &str,
    loss: &Tensor,
    leaf: &Var,
) -> Result<()> {
    let wanted = fixture.f64(&format!("{name}/value.f64"))?[0];
    errors.add(name, relative(f64::from(loss.to_scalar::<f32>()?), wanted));
    let gradients = loss.backward()?;
    let gradient = gradients.get(leaf).with_context(|| format!("{name}: no gradient"))?;
    let label = format!("{name}/gradient");
    errors.tensor(&label, gradient, &fixture.tensor(&label)?)
}

#[test]
fn image_and_feature_terms_are_normalised_as_coded() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let (leaf, output, target) = output(&fixture)?;
    let mut errors = Errors::below(TOLERANCE);
    let loss = terms::squared_error(&output, &target)?;
    compare(&mut errors, &fixture, "squared_error", &loss, &leaf)?;
    let loss = terms::absolute_error(&output, &target)?;
    compare(&mut errors, &fixture, "absolute_error", &loss, &leaf)?;
    let loss = terms::feature(&features(&output)?, &features(&target)?)?;
    compare(&mut errors, &fixture, "feature", &loss, &leaf)?;
    errors.settle("image and feature terms");
    Ok(())
}

#[test]
fn the_energy_score_of_draws_equals_pytorch() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    for draws in [2, 3] {
        let name = format!("energy_score_{draws}");
        let leaf = Var::from_tensor(&fixture.tensor(&format!("{name}/output"))?)?;
        let output = Images::new(leaf.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
        let target = output.with_tensor(fixture.tensor(&format!("{name}/target"))?)?;
        let loss = terms::energy_score(&output, &target, draws)?;
        compare(&mut errors, &fixture, &name, &loss, &leaf)?;
    }
    errors.settle("energy score");
    Ok(())
}

#[test]
fn mode_seeking_equals_pytorch() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    let leaf = Var::from_tensor(&fixture.tensor("mode_seeking/output")?)?;
    let output = Images::new(leaf.as_tensor().clone(), PixelFormat::CAFFE_BGR)?;
    let loss = terms::mode_seeking(&output, 2)?;
    compare(&mut errors, &fixture, "mode_seeking", &loss, &leaf)?;
    errors.settle("mode seeking");
    Ok(())
}

#[test]
fn the_divergence_of_codes_equals_pytorch() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    let leaf = |name: &str| -> Result<Var> {
        Ok(Var::from_tensor(&fixture.tensor(&format!("divergence/{name}"))?)?)
    };
    let (mean, log_variance) = (leaf("mean")?, leaf("log_variance")?);
    let tensors = [&mean, &log_variance].map(|leaf| leaf.as_tensor().clone());
    let posterior = Posterior { mean: tensors[0].clone(), log_variance: tensors[1].clone() };
    let loss = terms::divergence(&posterior)?;
    compare(&mut errors, &fixture, "divergence/of_mean", &loss, &mean)?;
    compare(&mut errors, &fixture, "divergence/of_log_variance", &loss, &log_variance)?;
    // The term has the same value, and its weight is in the gradients.
    let (_, output, target) = output(&fixture)?;
    let inputs = Inputs { posterior: Some(&posterior), ..Inputs::new(&output, &target) };
    let evaluated = objective::evaluate(&[&Divergence { weight: 3.0, warm_up: 0 }], &inputs)?;
    let (term, gradients) = (evaluated.read()?[0], evaluated.codes.context("gradients")?);
    errors.add("term", relative(term.value, fixture.f64("divergence/of_mean/value.f64")?[0]));
    for (name, gradient) in ["of_mean", "of_log_variance"].into_iter().zip(&gradients) {
        let wanted = fixture.tensor(&format!("divergence/{name}/gradient"))?;
        errors.tensor(name, &(gradient / 3.0)?, &wanted)?;
    }
    errors.settle("divergence");
    Ok(())
}

#[test]
fn adversarial_terms_equal_pytorch_even_when_saturated() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let mut errors = Errors::below(TOLERANCE);
    for case in ["undecided", "usual", "saturated"] {
        let leaf = Var::from_tensor(&fixture.tensor(&format!("{case}/logits"))?)?;
        for (name, loss) in [
            ("adversarial", terms::adversarial(&leaf)?),
            ("discriminator_real", terms::discriminator_real(&leaf)?),
            ("discriminator_generated", terms::discriminator_generated(&leaf)?),
        ] {
            compare(&mut errors, &fixture, &format!("{case}/{name}"), &loss, &leaf)?;
        }
    }
    errors.settle("adversarial terms");
    Ok(())
}

#[test]
fn the_weighted_sum_reports_every_term_and_its_gradient_norm() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let (_, output, target) = output(&fixture)?;
    let kernel = uniform("losses/judge", &[2, 3, 10, 12], 1e-2)?;
    let kernel = kernel.reshape((2, 3 * 10 * 12))?;
    let wanted_features = features(&target)?;

    let weights = fixture.f64("objective/weights.f64")?;
    let judge = from_fn("adversarial", weights[0], |x: &Images| {
        let logits = deepsim_ops::linear(&x.tensor().flatten_from(1)?, &kernel, None)?;
        terms::adversarial(&logits)
    });
    let feature = |x: &Images| terms::feature(&features(x)?, &wanted_features);
    let feature = from_fn("feature", weights[1], feature);
    let image = from_fn("image", weights[2], |x: &Images| terms::squared_error(x, &target));
    let inputs = Inputs::new(&output, &target);
    let evaluated = objective::evaluate(&[&judge, &feature, &image], &inputs)?;
    let mut errors = Errors::below(TOLERANCE);
    let (values, norms) =
        (fixture.f64("objective/values.f64")?, fixture.f64("objective/norms.f64")?);
    let terms = evaluated.read()?;
    for (i, term) in terms.iter().enumerate() {
        errors.add(term.name, relative(term.value, values[i]));
        errors.add(format!("norm of {}", term.name), relative(term.grad_norm, norms[i]));
        assert_eq!(term.weighted(), term.weight * term.value);
    }
    errors.add(
        "total",
        relative(
            terms.iter().map(TermReport::weighted).sum(),
            fixture.f64("objective/total.f64")?[0],
        ),
    );
    errors.tensor("gradient", &evaluated.gradient, &fixture.tensor("objective/gradient")?)?;
    errors.settle("weighted sum");
    Ok(())
}

#[test]
fn calibration_follows_its_definition() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let samples = uniform("losses/samples", &[5, 4, 3, 2], 10.0)?;
    let energy = calibrate::pair_energy(&samples)?;
    let mut errors = Errors::below(1e-9);
    errors.add("energy", relative(energy, fixture.f64("calibration/pair_energy.f64")?[0]));
    let weight = calibrate::feature_weight(energy, 2.5e-5, 3e6, 2.0)?;
    let wanted = fixture.f64("calibration/feature_weight.f64")?[0];
    errors.add("feature weight", relative(weight, wanted));
    let weight = calibrate::image_weight(64, 64);
    let wanted = fixture.f64("calibration/image_weight_64.f64")?[0];
    errors.add("image weight", relative(weight, wanted));
    errors.settle("calibration");
    Ok(())
}

#[test]
fn the_balance_takes_the_published_decisions() -> Result<()> {
    let fixture = Fixture::open("losses.safetensors")?;
    let ratios = fixture.f64("balance/ratios.f64")?;
    for (rule, name) in [(BalanceRule::Code, "code"), (BalanceRule::Paper, "paper")] {
        let wanted = fixture.u8(&format!("balance/{name}"))?;
        let mut balance = Balance::default();
        let mut seen = [false; 4];
        for (step, (&ratio, wanted)) in ratios.iter().zip(wanted.chunks_exact(2)).enumerate() {
            balance.update(rule, ratio);
            let got = [balance.train_discriminator, balance.train_generator];
            assert_eq!(got.map(u8::from), *wanted, "{name}, step {step}, ratio {ratio}");
            seen[usize::from(got[0]) * 2 + usize::from(got[1])] = true;
        }
        // Both are never paused together; the paper's rule never pauses the generator.
        assert_eq!(seen, [false, true, rule == BalanceRule::Code, true], "{name}");
    }
    Ok(())
}
