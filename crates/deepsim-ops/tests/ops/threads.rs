//! The same bits for any number of threads.

use candle_core::{Result, Tensor, Var};
use deepsim_ops::{
    AdamStep, BatchNormStatistics, Conv2dConfig, LrnConfig, Moments, Pool2dConfig, Step,
    Upsampling, absolute_error, adam_update, avg_pool2d, batch_norm2d, conv_transpose2d, conv2d,
    dropout, global_avg_pool2d, leaky_relu, linear, local_response_norm, max_pool2d, relu6,
    sequence, softmax_cross_entropy, squared_error, upsample,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{backward, bits, tensor, var};

/// Name, shapes of the inputs, operation.
type Case = (&'static str, Vec<Vec<usize>>, Op);
type Op = fn(&[Tensor]) -> Result<Tensor>;

/// Batches and sizes that make several units of work, not all equal.
fn cases() -> Vec<Case> {
    let case = |name, inputs: &[&[usize]], op: Op| {
        (name, inputs.iter().map(|shape| shape.to_vec()).collect(), op)
    };
    vec![
        case("conv2d, wide", &[&[11, 5, 21, 23], &[9, 5, 3, 3], &[9]], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(1, 1).with_leaky(0.3))
        }),
        case("conv2d, narrow", &[&[37, 6, 4, 4], &[8, 3, 3, 3], &[8]], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(1, 1).with_groups(2))
        }),
        case("conv2d, strided", &[&[11, 3, 40, 37], &[16, 3, 5, 5]], |t| {
            conv2d(&t[0], &t[1], None, Conv2dConfig::new(2, 2))
        }),
        case("conv_transpose2d", &[&[11, 6, 9, 8], &[6, 5, 4, 4], &[5]], |t| {
            conv_transpose2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(2, 1))
        }),
        // Channels and sizes for which Winograd's algorithm pays.
        case("conv2d, in tiles", &[&[7, 64, 17, 18], &[64, 64, 3, 3], &[64]], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(1, 1).with_leaky(0.3))
        }),
        case("conv_transpose2d, in tiles", &[&[7, 64, 17, 18], &[64, 64, 4, 4], &[64]], |t| {
            conv_transpose2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(2, 1))
        }),
        case("conv2d, dilated", &[&[11, 5, 21, 23], &[9, 5, 3, 3], &[9]], |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig::new(2, 3).with_dilation(3))
        }),
        case("conv_transpose2d, dilated", &[&[11, 6, 9, 8], &[6, 5, 3, 3]], |t| {
            let config = Conv2dConfig::new(2, 1).with_dilation(3).with_output_padding(1);
            conv_transpose2d(&t[0], &t[1], None, config)
        }),
        case("batch_norm2d", &[&[11, 5, 41, 43], &[5], &[5]], |t| {
            batch_norm2d(&t[0], Some((&t[1], &t[2])), BatchNormStatistics::Batch, 1e-5)
        }),
        case("batch_norm2d, fixed", &[&[11, 5, 41, 43], &[5], &[5]], |t| {
            let (mean, variance) = (tensor(&[5], 8), tensor(&[5], 7).sqr()?);
            let statistics = BatchNormStatistics::Fixed { mean: &mean, variance: &variance };
            batch_norm2d(&t[0], Some((&t[1], &t[2])), statistics, 1e-5)
        }),
        case("avg_pool2d", &[&[5, 3, 230, 131]], |t| {
            avg_pool2d(&t[0], Pool2dConfig::new(3, 2).ceil())
        }),
        case("upsample, nearest", &[&[5, 3, 30, 31]], |t| {
            upsample(&t[0], (131, 99), Upsampling::Nearest)
        }),
        case("upsample, bilinear", &[&[5, 3, 30, 31]], |t| {
            upsample(&t[0], (131, 99), Upsampling::Bilinear)
        }),
        case("relu6", &[&[100_003]], |t| relu6(&t[0])),
        case("linear", &[&[37, 300], &[70, 300], &[70]], |t| linear(&t[0], &t[1], Some(&t[2]))),
        case("max_pool2d", &[&[5, 3, 30, 31]], |t| {
            max_pool2d(&t[0], Pool2dConfig::new(3, 2).ceil())
        }),
        case("global_avg_pool2d", &[&[11, 7, 9, 9]], |t| global_avg_pool2d(&t[0])),
        case("local_response_norm", &[&[11, 16, 9, 9]], |t| {
            local_response_norm(&t[0], LrnConfig { alpha: 2.0, ..LrnConfig::default() })
        }),
        case("leaky_relu", &[&[100_003]], |t| leaky_relu(&t[0], 0.3)),
        case("dropout", &[&[100_003]], |t| dropout(&t[0], 0.5, &mut ChaCha12Rng::seed_from_u64(1))),
        case("softmax_cross_entropy", &[&[100, 20]], |t| {
            let labels: Vec<u32> = (0..100).map(|i| i * 7 % 20).collect();
            softmax_cross_entropy(&t[0], &labels)
        }),
        case("squared_error", &[&[100_003], &[100_003]], |t| squared_error(&t[0], &t[1])),
        case("absolute_error", &[&[100_003], &[100_003]], |t| absolute_error(&t[0], &t[1])),
        case("sequence", &[&[11, 3, 33, 31], &[40, 3, 5, 5], &[40], &[40, 3, 4, 4]], |t| {
            let leaky = Conv2dConfig::new(2, 2).with_leaky(0.3);
            let conv =
                Step::Conv2d { weight: t[1].clone(), bias: Some(t[2].clone()), config: leaky };
            let up = Conv2dConfig::new(2, 1);
            let up = Step::ConvTranspose2d { weight: t[3].clone(), bias: None, config: up };
            let pool = Step::MaxPool2d(Pool2dConfig::new(3, 2).ceil());
            sequence(&t[0], &[conv, Step::LocalResponseNorm(LrnConfig::default()), pool, up])
        }),
        case("gradient of a sum of uses", &[&[11, 5, 9, 9], &[5, 5, 3, 3]], |t| {
            let once = conv2d(&t[0], &t[1], None, Conv2dConfig::new(1, 1))?;
            conv2d(&once, &t[1], None, Conv2dConfig::new(1, 1))
        }),
    ]
}

/// Bits of every value and gradient, and of the state of Adam after three updates.
fn run() -> Result<Vec<(&'static str, Vec<u32>)>> {
    let mut results = Vec::new();
    for (name, shapes, op) in cases() {
        let vars: Vec<Var> = shapes.iter().enumerate().map(|(i, shape)| var(shape, i)).collect();
        let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = op(&inputs)?;
        let gradients = backward(&y, &tensor(y.dims(), 9))?;
        results.push((name, bits(&y)));
        for var in &vars {
            results.push((name, bits(gradients.get(var).expect("all are variables"))));
        }
    }
    let parameter = var(&[100_003], 1);
    let mut moments = Moments::zeros_like(&parameter)?;
    for t in 1..=3 {
        let step = AdamStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-3,
            t,
        };
        adam_update(&parameter, &tensor(&[100_003], 10 + t as usize), &mut moments, step)?;
    }
    results.push(("adam_update", bits(&parameter)));
    let state = moments.first().iter().chain(moments.second());
    results.push(("adam_update, moments", state.map(|value| value.to_bits()).collect()));
    Ok(results)
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a thread pool").install(run)
    };
    let wanted = on(1)?;
    for threads in [2, 3, 5, 8] {
        for ((name, wanted), (_, got)) in wanted.iter().zip(on(threads)?) {
            assert!(*wanted == got, "{name}: {threads} threads and one differ");
        }
    }
    Ok(())
}
