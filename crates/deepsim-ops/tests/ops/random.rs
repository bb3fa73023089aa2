//! Random convolutions against plain loops; random chains against their operations one by one.

use candle_core::{Result, Tensor, Var};
use deepsim_ops::{
    Conv2dConfig, LrnConfig, Pool2dConfig, Step, conv_transpose2d, conv2d, global_avg_pool2d,
    leaky_relu, local_response_norm, max_pool2d, sequence,
};
use proptest::prelude::*;

use crate::reference;
use crate::support::{assert_near, backward, bits, flat, tensor, var};

/// Input, weight and numbers of a convolution that has a result.
#[derive(Clone, Debug)]
struct Convolution {
    transposed: bool,
    x: [usize; 4],
    w: [usize; 4],
    config: Conv2dConfig,
}

fn convolution() -> impl Strategy<Value = Convolution> {
    let sizes = (1..4usize, 1..8usize, 1..12usize, 1..12usize);
    let kernel = (1..8usize, 1..6usize, 1..5usize, 1..4usize);
    let padding = (0..4usize, 0..3usize);
    // Up to two panels of the widest vectors.
    let rest = (1..4usize, 1..40usize, any::<bool>(), any::<bool>());
    let gaps = (1..5usize, 1..4usize, 0..4usize, 0..4usize);
    (sizes, kernel, padding, rest, gaps).prop_filter_map(
        "no result",
        |((n, inputs, h, w), (kh, kw, sh, sw), padding, rest, (dh, dw, more_h, more_w))| {
            let (groups, outputs, leaky, transposed) = rest;
            let config = Conv2dConfig {
                stride: (sh, sw),
                padding,
                dilation: (dh, dw),
                output_padding: match transposed {
                    true => (more_h.min(sh.max(dh) - 1), more_w.min(sw.max(dw) - 1)),
                    false => (0, 0),
                },
                groups,
                leaky: leaky.then_some(0.25),
            };
            let x = [n, inputs * groups, h, w];
            let fits = match transposed {
                true => config.transposed_output_size((h, w), (kh, kw)).is_some(),
                false => config.output_size((h, w), (kh, kw)).is_some(),
            };
            let w = match transposed {
                true => [inputs * groups, outputs, kh, kw],
                false => [outputs * groups, inputs, kh, kw],
            };
            fits.then_some(Convolution { transposed, x, w, config })
        },
    )
}

fn wide(tensor: &Tensor) -> Vec<f64> {
    flat(tensor).iter().map(|&value| f64::from(value)).collect()
}

impl Convolution {
    fn apply(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let run = if self.transposed { conv_transpose2d } else { conv2d };
        run(x, w, None, self.config)
    }

    fn reference(&self, x: &[f64], w: &[f64], config: Conv2dConfig) -> Vec<f64> {
        match self.transposed {
            true => reference::conv_transpose2d((x, self.x), (w, self.w), None, config),
            false => reference::conv2d((x, self.x), (w, self.w), None, config),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn convolutions_equal_plain_loops(c in convolution()) {
        let (x, w) = (var(&c.x, 1), var(&c.w, 2));
        let y = c.apply(&x, &w).expect("a convolution that fits");
        let (x64, w64) = (wide(&x), wide(&w));
        assert_near("values", &flat(&y), &c.reference(&x64, &w64, c.config), 1e-5);

        // A gradient is right if its products with random directions are: without the rectifier,
        // the result is linear in the input and in the weights.
        let linear = Conv2dConfig { leaky: None, ..c.config };
        let dy = tensor(y.dims(), 3);
        let passed: Vec<f64> = flat(&y)
            .iter()
            .zip(wide(&dy))
            .map(|(y, dy)| if *y > 0.0 || c.config.leaky.is_none() { dy } else { 0.25 * dy })
            .collect();
        let gradients = backward(&y, &dy).expect("a backward pass");
        for salt in 4..7 {
            for (which, leaf, shape) in [("input", &x, &c.x), ("weight", &w, &c.w)] {
                let direction = tensor(shape, salt);
                let moved = match which {
                    "input" => c.reference(&wide(&direction), &w64, linear),
                    _ => c.reference(&x64, &wide(&direction), linear),
                };
                let terms: Vec<f64> = moved.iter().zip(&passed).map(|(a, b)| a * b).collect();
                let gradient = gradients.get(leaf).expect("a gradient");
                let got: f64 =
                    flat(gradient).iter().zip(wide(&direction)).map(|(g, d)| f64::from(*g) * d).sum();
                let wanted: f64 = terms.iter().sum();
                // Relative to the size of what is added, which may cancel.
                let scale = terms.iter().map(|t| t * t).sum::<f64>().sqrt().max(1e-6);
                prop_assert!((got - wanted).abs() / scale < 1e-4, "{which}: {got}, expected {wanted}");
            }
        }
    }

    #[test]
    fn chains_equal_their_operations_one_by_one(
        kinds in prop::collection::vec(0..6usize, 1..6),
        frozen in 0..32u32,
        x_tracked in any::<bool>(),
        mean in any::<bool>(),
    ) {
        check_chain(&kinds, frozen, x_tracked, mean).expect("both ways");
    }
}

/// Gradients of both ways, and values.
fn check_chain(kinds: &[usize], frozen: u32, x_tracked: bool, mean: bool) -> Result<()> {
    let x = var(&[2, 6, 13, 11], 0);
    let input = if x_tracked { x.as_tensor().clone() } else { x.detach() };
    let (mut steps, mut vars): (Vec<Step>, Vec<Var>) = (Vec::new(), Vec::new());
    let mut one_by_one = input.clone();
    for (i, kind) in kinds.iter().enumerate() {
        let weight = var(&[6, 6, 3, 3], 10 + i);
        let bias = var(&[6], 20 + i);
        let of = |var: &Var, bit: usize| match frozen >> bit & 1 {
            1 => var.detach(),
            _ => var.as_tensor().clone(),
        };
        let (w, b) = (of(&weight, i), of(&bias, (i + 2) % 5));
        let config = Conv2dConfig::new(1 + i % 2, 1);
        let leaky = config.with_leaky(0.3);
        let pool = Pool2dConfig::new(3, 2).ceil();
        let lrn = LrnConfig { alpha: 0.5, ..LrnConfig::default() };
        let large = one_by_one.dims()[2] > 4;
        let (step, next) = match kind {
            0 => (
                Step::Conv2d { weight: w.clone(), bias: Some(b.clone()), config: leaky },
                conv2d(&one_by_one, &w, Some(&b), leaky)?,
            ),
            1 => (
                Step::Conv2d { weight: w.clone(), bias: None, config },
                conv2d(&one_by_one, &w, None, config)?,
            ),
            2 => (
                Step::ConvTranspose2d { weight: w.clone(), bias: Some(b.clone()), config: leaky },
                conv_transpose2d(&one_by_one, &w, Some(&b), leaky)?,
            ),
            3 if large => (Step::MaxPool2d(pool), max_pool2d(&one_by_one, pool)?),
            4 => (Step::LocalResponseNorm(lrn), local_response_norm(&one_by_one, lrn)?),
            _ => (Step::LeakyRelu(0.1), leaky_relu(&one_by_one, f64::from(0.1f32))?),
        };
        vars.extend([weight, bias]);
        steps.push(step);
        one_by_one = next;
    }
    if mean {
        steps.push(Step::GlobalAvgPool2d);
        one_by_one = global_avg_pool2d(&one_by_one)?;
    }
    let together = sequence(&input, &steps)?;
    assert_eq!(together.dims(), one_by_one.dims());
    assert_eq!(together.track_op(), one_by_one.track_op());
    assert_eq!(bits(&together), bits(&one_by_one), "the same engine, the same bits");
    if !together.track_op() {
        return Ok(());
    }
    let dy = tensor(together.dims(), 9);
    let wanted = backward(&one_by_one, &dy)?;
    // Twice, as losses do that are differentiated one after the other.
    for _ in 0..2 {
        let got = backward(&together, &dy)?;
        for var in vars.iter().chain([&x]) {
            match (got.get(var), wanted.get(var)) {
                (Some(got), Some(wanted)) => {
                    assert_near("gradient", &flat(got), &wide(wanted), 1e-5);
                }
                (got, wanted) => assert_eq!(got.is_some(), wanted.is_some()),
            }
        }
    }
    Ok(())
}

#[test]
fn a_chain_of_nothing_is_the_input() -> Result<()> {
    let x = var(&[2, 3, 4, 5], 1);
    let y = sequence(&x, &[])?;
    assert_eq!(bits(&y), bits(&x));
    let dy = tensor(&[2, 3, 4, 5], 2);
    assert_eq!(backward(&y, &dy)?.get(&x).map(bits), Some(bits(&dy)));
    Ok(())
}
