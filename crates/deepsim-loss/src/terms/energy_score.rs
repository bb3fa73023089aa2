//! The energy score of several images of one target: a distance that images keep by differing from one another.

use std::ops::RangeInclusive;

use candle_core::Tensor;
use deepsim_nets::Images;
use deepsim_ops::{AvgPool2dConfig, Pool2dConfig, avg_pool2d};

use super::{same_format, same_shape, several};
use crate::LossError;

/// Scales that are scored, the powers of two among these: sides in pixels of what becomes one pixel.
const SCALES: RangeInclusive<usize> = 4..=32;

/// Energy score of the draws of each target at several scales, a mean over targets: the sum of `b ES(images reduced b
/// times)` over `b` of 4, 8, 16 and 32, where for the draws `s` of a target `x`
///
/// ```text
/// ES = mean_i |s_i - x| - 1/2 mean_{i != j} |s_i - s_j|
/// ```
///
/// with norms that are not squared. It is a strictly proper scoring rule (Gneiting & Raftery 2007): its expectation is
/// least where draws are distributed as the targets are, so that they keep the spread that the input leaves open. The
/// squared error has its minimum at their mean.
///
/// Single pixels are not scored. Beside an error of `a`, white noise of any kind lowers the score of pixels from `a` to
/// `0.71 a`, as true samples would, and is far easier to make. Reduced images hardly show it; the factor `b` makes all
/// scales count alike. Details are left to the other terms. Scales larger than an image are left out, and images smaller
/// than all are scored by their pixels. Images are reduced by halves with overlapping windows, because separate blocks
/// would show their edges.
///
/// # Shapes
/// `output` and `target` `(draws * B, 3, H, W)`: the first draw of all targets, then the second one, and so on, and the
/// targets as often -> scalar
///
/// # Errors
/// If there are fewer than two draws, or the images differ in shape or pixel format, or their number is no multiple of
/// `draws`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use deepsim_loss::terms;
/// use deepsim_nets::{Images, PixelFormat};
/// let grey = |values: &[f32]| -> Result<Images, Box<dyn std::error::Error>> {
///     let tensor = Tensor::from_slice(values, (values.len(), 1, 1, 1), &Device::Cpu)?;
///     Ok(Images::new(tensor.broadcast_as((values.len(), 3, 1, 1))?.contiguous()?, PixelFormat::RGB_U8)?)
/// };
/// // Draws 10 and 14 of the target 11: 1/2 (1 + 3) - 1/2 4, times the root of three channels.
/// let score = terms::energy_score(&grey(&[10.0, 14.0])?, &grey(&[11.0, 11.0])?, 2)?;
/// assert!(score.to_scalar::<f32>()?.abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn energy_score(output: &Images, target: &Images, draws: usize) -> Result<Tensor, LossError> {
    same_format(output, target)?;
    same_shape("energy score", output.tensor(), target.tensor())?;
    several("energy score", output, draws)?;
    let scores = scales(output.tensor())?.into_iter().zip(scales(target.tensor())?);
    let scores = scores.map(|((scale, s), (_, x))| Ok((score(&s, &x, draws)? * scale)?));
    Ok(Tensor::stack(&scores.collect::<Result<Vec<_>, LossError>>()?, 0)?.sum_all()?)
}

/// Images at each scale that is scored, and the factor of that scale; as they are, if they are smaller than all.
fn scales(images: &Tensor) -> Result<Vec<(f64, Tensor)>, LossError> {
    let (_, _, height, width) = images.dims4()?;
    let (mut reduced, mut scale, mut scales) = (images.clone(), 1, Vec::new());
    while scale < *SCALES.end() && 2 * scale <= height.min(width) {
        (reduced, scale) = (half(&reduced)?, 2 * scale);
        if SCALES.contains(&scale) {
            scales.push((scale as f64, reduced.clone()));
        }
    }
    if scales.is_empty() {
        scales.push((1.0, images.clone()));
    }
    Ok(scales)
}

/// Images of half the height and width: means of 3 x 3 pixels, then of 2 x 2.
fn half(images: &Tensor) -> Result<Tensor, LossError> {
    let windows = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new(3, 1) };
    let smooth = avg_pool2d(images, AvgPool2dConfig { windows, count_include_pad: false })?;
    Ok(avg_pool2d(&smooth, Pool2dConfig::new(2, 2))?)
}

/// Energy score of draws of targets, a mean over targets.
fn score(output: &Tensor, target: &Tensor, draws: usize) -> Result<Tensor, LossError> {
    let error = distance(&output.flatten_from(1)?, &target.flatten_from(1)?)?.mean_all()?;
    Ok((error - (between(output, draws)? * 0.5)?)?)
}

/// Mean distance of two draws of one target.
fn between(output: &Tensor, draws: usize) -> Result<Tensor, LossError> {
    let output = output.flatten_from(1)?;
    let targets = output.dim(0)? / draws;
    let draw = |at: usize| output.narrow(0, at * targets, targets);
    let mut between = Vec::new();
    for one in 0..draws {
        for other in 0..one {
            between.push(distance(&draw(one)?, &draw(other)?)?.mean_all()?);
        }
    }
    Ok(Tensor::stack(&between, 0)?.mean_all()?)
}

/// Euclidean distance of each row; its gradient is 0 where two rows are equal.
fn distance(a: &Tensor, b: &Tensor) -> Result<Tensor, LossError> {
    let squares = (a - b)?.sqr()?.sum(1)?;
    Ok((squares + f64::from(f32::MIN_POSITIVE))?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use deepsim_nets::PixelFormat;
    use deepsim_nets::random::{normal, stream};

    use super::*;

    fn images(values: Vec<f32>, n: usize, side: usize) -> Result<Images, LossError> {
        let tensor = Tensor::from_vec(values, (n, 3, side, side), &Device::Cpu)?;
        Ok(Images::new(tensor, PixelFormat::RGB_U8)?)
    }

    #[test]
    fn draws_as_wide_as_the_targets_score_best() -> Result<(), LossError> {
        // Targets N(0, 1) given nothing: of draws of N(0, s²) those of s = 1 are best.
        let n = 4000;
        let draw = |purpose, std| normal(&mut stream(3, purpose, 0), n * 3, std);
        let scored = |std: f64| -> Result<f32, LossError> {
            let target = draw("target", 1.0);
            let output = images([draw("one", std), draw("two", std)].concat(), 2 * n, 1)?;
            let target = images(target.repeat(2), 2 * n, 1)?;
            Ok(energy_score(&output, &target, 2)?.to_scalar()?)
        };
        let [narrow, none, right, wide] = [0.5, 0.0, 1.0, 2.0].map(scored);
        let right = right?;
        assert!(narrow? > right && none? > right && wide? > right);
        Ok(())
    }

    #[test]
    fn equal_draws_are_pulled_to_the_target_by_a_finite_gradient() -> Result<(), LossError> {
        let output = Var::from_tensor(images(vec![2.0; 2 * 192], 2, 8)?.tensor())?;
        let target = images(vec![1.0; 2 * 192], 2, 8)?;
        let drawn = target.with_tensor(output.as_tensor().clone())?;
        let score = energy_score(&drawn, &target, 2)?;
        // |s - x| is the root of 12 for 2 x 2 pixels that are left at 4, and of 3 for the only one at 8.
        let expected = 4.0 * 12f32.sqrt() + 8.0 * 3f32.sqrt();
        assert!((score.to_scalar::<f32>()? - expected).abs() < 1e-4);
        let gradients = score.backward()?;
        let gradient =
            gradients.get(&output).expect("a gradient").flatten_from(1)?.to_vec2::<f32>()?;
        // Both draws together move the score by |s - x|, each by half of it.
        for draw in gradient {
            let sum: f32 = draw.iter().sum();
            assert!((sum - 0.5 * expected).abs() < 1e-3, "{sum}");
            assert!(draw.iter().all(|value| *value > 0.0));
        }
        Ok(())
    }

    #[test]
    fn white_noise_earns_little_and_the_right_spread_of_large_shapes_much() -> Result<(), LossError>
    {
        // Targets are flat images of N(0, 1) grey, about which the input says nothing.
        let (n, side) = (60, 64);
        let size = 3 * side * side;
        let grey = |purpose| -> Vec<f32> {
            let values = normal(&mut stream(4, purpose, 0), n, 1.0);
            values.into_iter().flat_map(|value| vec![value; size]).collect()
        };
        let target = images(grey("target").repeat(2), 2 * n, side)?;
        let scored = |one: Vec<f32>, two: Vec<f32>| -> Result<f32, LossError> {
            let output = images([one, two].concat(), 2 * n, side)?;
            Ok(energy_score(&output, &target, 2)?.to_scalar()?)
        };
        let zero = || vec![0.0; n * size];
        let white = |purpose| normal(&mut stream(4, purpose, 0), n * size, 1.0);
        let mean = scored(zero(), zero())?;
        let shapes = scored(grey("one"), grey("two"))?;
        let noise = scored(white("one"), white("two"))?;
        assert!(shapes < 0.8 * mean, "{shapes} {mean}");
        assert!(noise > 0.9 * mean, "{noise} {mean}");
        Ok(())
    }

    #[test]
    fn one_draw_and_odd_numbers_are_refused() -> Result<(), LossError> {
        let three = images(vec![0.0; 9], 3, 1)?;
        for draws in [0, 1, 2] {
            let message = energy_score(&three, &three, draws).expect_err("draws").to_string();
            assert!(message.contains(&format!("{draws} draws in 3 images")), "{message}");
        }
        Ok(())
    }
}
