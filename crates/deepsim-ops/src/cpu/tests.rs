//! Every instruction set against plain loops in double precision.

use super::buffer::Buffer;
use super::conv::{ConvShape, backward_data, forward};
use super::correlate::Finish;
use super::simd::Isa;
use super::weight_gradient::{backward_bias, backward_weight};
use super::winograd;

/// Kernel, stride, padding (each vertical, horizontal), groups, size; dense kernels.
type Case = ((usize, usize), (usize, usize), (usize, usize), usize, (usize, usize));

const CASES: [Case; 14] = [
    ((3, 3), (1, 1), (1, 1), 1, (12, 12)),
    ((5, 5), (2, 2), (2, 2), 1, (16, 16)),
    ((7, 7), (2, 2), (0, 0), 1, (21, 20)),
    ((11, 11), (4, 4), (0, 0), 1, (40, 37)),
    ((4, 4), (2, 2), (1, 1), 1, (16, 18)),
    ((3, 5), (1, 2), (0, 2), 1, (9, 14)),
    ((5, 3), (3, 1), (2, 0), 1, (17, 8)),
    ((5, 5), (1, 1), (2, 2), 2, (10, 9)),
    ((1, 1), (1, 1), (0, 0), 1, (6, 40)),
    ((1, 1), (2, 2), (0, 0), 2, (9, 9)),
    ((2, 3), (3, 4), (1, 0), 1, (11, 13)),
    ((3, 3), (1, 1), (3, 4), 1, (5, 6)),
    ((3, 3), (2, 2), (0, 0), 1, (4, 4)),
    ((8, 8), (1, 1), (0, 0), 1, (8, 8)),
];

const FULL: Case = ((1, 1), (1, 1), (0, 0), 1, (1, 1));

const WIDE: Case = ((3, 3), (1, 1), (0, 2), 1, (7, 9));
const GROUPED: Case = ((3, 3), (1, 1), (1, 1), 2, (5, 8));
const FIVE: Case = ((5, 5), (1, 1), (0, 0), 1, (14, 11));
const FIVE_PADDED: Case = ((5, 5), (1, 1), (2, 1), 1, (9, 12));
const FIVE_GROUPED: Case = ((5, 5), (1, 1), (2, 2), 2, (7, 7));

/// Kernels for which Winograd's algorithm splits images, and one with as few taps: odd sizes, taps that some sub-images
/// lack, paddings below and above the stride.
const STRIDED: [Case; 6] = [
    ((2, 2), (1, 1), (1, 0), 1, (9, 12)),
    ((4, 4), (2, 2), (1, 1), 1, (16, 18)),
    ((4, 4), (2, 2), (0, 3), 1, (17, 13)),
    ((3, 3), (2, 2), (1, 0), 1, (21, 23)),
    ((5, 5), (2, 2), (2, 1), 1, (15, 18)),
    ((6, 6), (2, 2), (2, 5), 1, (19, 12)),
];

fn shape(case: Case, n: usize, channels: usize, out: usize) -> ConvShape {
    dilated(case, (1, 1), n, channels, out)
}

fn dilated(
    case: Case,
    dilation: (usize, usize),
    n: usize,
    channels: usize,
    out: usize,
) -> ConvShape {
    let ((kh, kw), (sh, sw), (ph, pw), groups, (h, w)) = case;
    let (dh, dw) = dilation;
    let oh = (h + 2 * ph - (kh - 1) * dh - 1) / sh + 1;
    let ow = (w + 2 * pw - (kw - 1) * dw - 1) / sw + 1;
    let (c_in, c_out) = (channels * groups, out * groups);
    ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow }
}

/// Values in -1..1 without a random number generator.
fn values(len: usize, salt: usize) -> Vec<f32> {
    let hash = |i: usize| (i + salt).wrapping_mul(2_654_435_761) >> 7 & 0xffff;
    (0..len).map(|i| hash(i * 7 + 1) as f32 / 32768.0 - 1.0).collect()
}

/// Calls `f(x index, y index, w index)` for every product of the convolution.
fn each_product(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (inp, out) = (s.group_in(), s.group_out());
    for n in 0..s.n {
        for o in 0..s.c_out {
            for (oy, ox) in (0..s.oh).flat_map(|oy| (0..s.ow).map(move |ox| (oy, ox))) {
                for c in 0..inp {
                    for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
                        let (iy, ix) = (oy * s.sh + ky * s.dh, ox * s.sw + kx * s.dw);
                        if iy < s.ph || ix < s.pw || iy - s.ph >= s.h || ix - s.pw >= s.w {
                            continue;
                        }
                        let channel = o / out * inp + c;
                        let x = ((n * s.h + iy - s.ph) * s.w + ix - s.pw) * s.c_in + channel;
                        let y = ((n * s.oh + oy) * s.ow + ox) * s.c_out + o;
                        f(x, y, ((o * inp + c) * s.kh + ky) * s.kw + kx);
                    }
                }
            }
        }
    }
}

fn assert_near(what: &str, got: &[f32], wanted: &[f64]) {
    let scale = wanted.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        let error = (f64::from(*g) - w).abs() / scale;
        assert!(error < 1e-5, "{what}: value {i} is {g}, expected {w}");
    }
}

#[test]
fn every_instruction_set_equals_plain_loops() {
    // Fully connected layers, which are computed in a way of their own.
    let full = [(2, 32, 64), (17, 35, 50), (64, 70, 64)].map(|sizes| (FULL, vec![sizes]));
    let convolutions = CASES.map(|case| {
        // Channel counts around the tile sizes; one image and several.
        (case, vec![(1, 3, 8), (3, 5, 13), (2, 9, 3), (9, 2, 1), (2, 17, 33)])
    });
    // Enough channels for Winograd's algorithm, with tiles at the border, and channels that fill no vector; 65 channels
    // and more are summed with another tile.
    let winograd = [CASES[0], WIDE, GROUPED, FIVE, FIVE_PADDED, FIVE_GROUPED]
        .map(|case| (case, vec![(2, 32, 40), (3, 37, 33), (2, 64, 32), (2, 80, 48)]));
    let dense = convolutions.into_iter().chain(full).chain(winograd);
    let dense = dense.map(|(case, sizes)| (case, (1, 1), sizes));
    // Gaps in the kernel; the first would suit Winograd's algorithm without.
    let gaps = [
        (((3, 3), (1, 1), (2, 2), 1, (8, 8)), (2, 2), vec![(2, 32, 40)]),
        (((3, 2), (2, 3), (1, 2), 1, (13, 12)), (3, 2), vec![(2, 17, 33), (3, 5, 3)]),
        (((2, 3), (4, 6), (0, 3), 2, (14, 17)), (6, 4), vec![(2, 3, 9)]),
        (((3, 3), (1, 1), (0, 0), 1, (11, 9)), (1, 3), vec![(2, 9, 3)]),
    ];
    for (case, dilation, sizes) in dense.chain(gaps) {
        for (n, channels, out) in sizes {
            let s = dilated(case, dilation, n, channels, out);
            let (x, y) = (values(n * s.x_len(), 1), values(n * s.y_len(), 2));
            let (w, bias_y, bias_x) = (values(s.w_len(), 3), values(s.c_out, 4), values(s.c_in, 5));
            let (gate_y, gate_x) = (values(y.len(), 6), values(x.len(), 7));
            let spread = |bias: &[f32], len: usize| -> Vec<f64> {
                bias.iter().cycle().take(len).map(|b| f64::from(*b)).collect()
            };
            let mut wanted_y = spread(&bias_y, y.len());
            let mut wanted_x = spread(&bias_x, x.len());
            let mut wanted_w = vec![0f64; w.len()];
            each_product(&s, |i, j, k| {
                wanted_y[j] += f64::from(x[i]) * f64::from(w[k]);
                wanted_x[i] += f64::from(y[j]) * f64::from(w[k]);
                wanted_w[k] += f64::from(x[i]) * f64::from(y[j]);
            });
            let gates = gate_y.iter().chain(&gate_x);
            for (value, gate) in wanted_y.iter_mut().chain(&mut wanted_x).zip(gates) {
                *value = value.max(0.25 * *value) * if *gate > 0.0 { 1.0 } else { 0.5 };
            }
            let mut wanted_bias = vec![0f64; s.c_out];
            for (i, value) in y.iter().enumerate() {
                wanted_bias[i % s.c_out] += f64::from(*value);
            }
            for isa in Isa::available() {
                let what = |part: &str| format!("{isa:?} {part} of {s:?}");
                let finish = |bias, gate| Finish {
                    bias: Some(bias),
                    leaky: Some(0.25),
                    gate: Some((gate, 0.5)),
                };
                // Every element must be written: a NaN that stays is found.
                let mut got = vec![f32::NAN; y.len()];
                forward(&s, isa, &x, &w, finish(&bias_y[..], &gate_y[..]), &mut got);
                assert_near(&what("forward"), &got, &wanted_y);
                let mut got = vec![f32::NAN; x.len()];
                backward_data(&s, isa, &y, &w, finish(&bias_x[..], &gate_x[..]), &mut got);
                assert_near(&what("gradient to the input"), &got, &wanted_x);
                let got = backward_weight(&s, isa, &x, &y);
                assert_near(&what("gradient to the weights"), &got, &wanted_w);
            }
            let got = backward_bias(Isa::best(), &y, s.c_out);
            assert_near("gradient to the bias", &got, &wanted_bias);
        }
    }
}

#[test]
fn every_tile_equals_plain_loops() {
    // Those that would be slower, too.
    let plain = [CASES[0], WIDE, GROUPED, FIVE, FIVE_PADDED, FIVE_GROUPED];
    let mut tiles = std::collections::BTreeSet::new();
    let sizes = [(2, 32, 40), (1, 19, 48), (2, 70, 33)];
    for (case, (n, channels, out)) in
        plain.iter().chain(&STRIDED).flat_map(|case| sizes.map(|size| (*case, size)))
    {
        let s = shape(case, n, channels, out);
        let (x, y) = (values(n * s.x_len(), 1), values(n * s.y_len(), 2));
        let (w, bias_y, bias_x) = (values(s.w_len(), 3), values(s.c_out, 4), values(s.c_in, 5));
        let (gate_y, gate_x) = (values(y.len(), 6), values(x.len(), 7));
        let spread = |bias: &[f32], len: usize| -> Vec<f64> {
            bias.iter().cycle().take(len).map(|b| f64::from(*b)).collect()
        };
        let mut expected =
            [spread(&bias_y, y.len()), spread(&bias_x, x.len()), vec![0f64; w.len()]];
        each_product(&s, |i, j, k| {
            expected[0][j] += f64::from(x[i]) * f64::from(w[k]);
            expected[1][i] += f64::from(y[j]) * f64::from(w[k]);
            expected[2][k] += f64::from(x[i]) * f64::from(y[j]);
        });
        for (expected, gates) in expected.iter_mut().zip([&gate_y, &gate_x]) {
            for (value, gate) in expected.iter_mut().zip(gates) {
                *value = value.max(0.25 * *value) * if *gate > 0.0 { 1.0 } else { 0.5 };
            }
        }
        for isa in Isa::available() {
            let passes = [
                (false, &x, &expected[0], (&bias_y, &gate_y)),
                (true, &y, &expected[1], (&bias_x, &gate_x)),
            ];
            for (adjoint, source, expected, (bias, gate)) in passes {
                for (algorithm, _) in winograd::algorithms(&s, adjoint) {
                    tiles.insert((adjoint, algorithm.tile));
                    let mut found = vec![f32::NAN; expected.len()];
                    let finish =
                        Finish { bias: Some(bias), leaky: Some(0.25), gate: Some((gate, 0.5)) };
                    winograd::run(&s, algorithm, isa, adjoint, source, &w, finish, &mut found);
                    let what = format!("{isa:?} {algorithm:?} of {s:?}, adjoint: {adjoint}");
                    assert_near(&what, &found, expected);
                }
            }
            for (algorithm, _) in winograd::algorithms_for_weights(&s, isa) {
                let found = winograd::backward_weight(&s, algorithm, isa, &x, &y);
                let what = format!("{isa:?} {algorithm:?} of {s:?}, weights");
                assert_near(&what, &found, &expected[2]);
            }
        }
    }
    let all = [4, 6, 7].map(|tile| [(false, tile), (true, tile)]).concat();
    assert!(!winograd::is_on() || all.iter().all(|tile| tiles.contains(tile)), "{tiles:?}");
}

/// Name, kernel, stride, padding, groups, side, channels of all groups.
type Layer = (&'static str, usize, usize, usize, usize, usize, (usize, usize));

/// Layers of the discriminator and of AlexNet for images of 64 pixels, and those of generators. Transposed convolutions
/// are given by their adjoint, so that "input" is their forward pass.
const LAYERS: [Layer; 20] = [
    ("D.conv2", 5, 1, 0, 1, 29, (32, 64)),
    ("D.conv3", 3, 2, 0, 1, 25, (64, 128)),
    ("D.conv4", 3, 1, 0, 1, 12, (128, 256)),
    ("D.conv5", 3, 2, 0, 1, 10, (256, 256)),
    ("6x6", 3, 1, 1, 1, 6, (256, 256)),
    ("8x8", 3, 1, 1, 1, 8, (256, 256)),
    ("16x16", 3, 1, 1, 1, 16, (128, 128)),
    ("32x32", 3, 1, 1, 1, 32, (64, 64)),
    ("C.conv2", 5, 1, 2, 2, 7, (96, 256)),
    ("C.conv3", 3, 1, 1, 1, 3, (256, 384)),
    ("G.c3", 3, 2, 1, 1, 32, (64, 64)),
    ("G.c5", 3, 2, 1, 1, 16, (128, 128)),
    ("G.u1", 4, 2, 1, 1, 16, (64, 128)),
    ("G.u2", 4, 2, 1, 1, 32, (32, 64)),
    ("I.u5", 4, 2, 1, 1, 8, (256, 256)),
    ("I.u4", 4, 2, 1, 1, 16, (256, 512)),
    ("I.u3", 4, 2, 1, 1, 32, (128, 256)),
    ("I.u2", 4, 2, 1, 1, 64, (64, 128)),
    ("2x2", 2, 1, 0, 1, 33, (128, 128)),
    ("5x5 s2", 5, 2, 2, 1, 32, (128, 128)),
];

/// Values of a normal distribution, as weights and features have them: the sum of twelve even ones.
fn normal(len: usize, salt: usize) -> Vec<f32> {
    let mut state = (salt as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut even = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..len).map(|_| (0..12).map(|_| even()).sum::<f32>() - 6.0).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the errors are a table of the benchmarks' page")]
fn layers_keep_their_digits() {
    // `DEEPSIM_WINOGRAD=0` shows those of direct convolution, `DEEPSIM_IMAGES=64` those of a batch.
    let asked: Option<usize> = std::env::var("DEEPSIM_IMAGES").ok().and_then(|n| n.parse().ok());
    let mut largest = 0f64;
    for (name, kernel, stride, padding, groups, side, (channels, out)) in LAYERS {
        let case = ((kernel, kernel), (stride, stride), (padding, padding), groups, (side, side));
        // Four images, or as many as plain loops multiply in a moment.
        let products = shape(case, 1, channels / groups, out / groups).flops() / 2;
        let n = asked.unwrap_or((70_000_000 / products).clamp(1, 4));
        let s = shape(case, n, channels / groups, out / groups);
        // Leaky ReLUs precede and follow.
        let x: Vec<f32> = normal(n * s.x_len(), 1).iter().map(|x| x.max(0.3 * x)).collect();
        let (y, w) = (normal(n * s.y_len(), 2), normal(s.w_len(), 3));
        let isa = Isa::best();
        let (mut got_y, mut got_x) = (vec![0f32; y.len()], vec![0f32; x.len()]);
        forward(&s, isa, &x, &w, Finish::default(), &mut got_y);
        backward_data(&s, isa, &y, &w, Finish::default(), &mut got_x);
        let got_w = backward_weight(&s, isa, &x, &y);
        let mut wanted = [vec![0f64; y.len()], vec![0f64; x.len()], vec![0f64; w.len()]];
        each_product(&s, |i, j, k| {
            wanted[0][j] += f64::from(x[i]) * f64::from(w[k]);
            wanted[1][i] += f64::from(y[j]) * f64::from(w[k]);
            wanted[2][k] += f64::from(x[i]) * f64::from(y[j]);
        });
        let got = [got_y, got_x, got_w];
        let errors = got.iter().zip(&wanted).map(|(got, wanted)| {
            let square = wanted.iter().map(|w| w * w).sum::<f64>() / wanted.len() as f64;
            let errors = got.iter().zip(wanted).map(|(g, w)| (f64::from(*g) - w).abs());
            errors.fold(0.0, f64::max) / square.sqrt()
        });
        let errors: Vec<f64> = errors.collect();
        let [y, x, w] = errors[..] else { unreachable!("three passes") };
        println!(
            "{name:8} largest error over RMS: forward {y:.1e}, input {x:.1e}, weights {w:.1e}"
        );
        largest = largest.max(y).max(x).max(w);
    }
    assert!(largest <= 2e-5, "{largest}");
}

#[test]
fn garbage_in_reused_memory_does_not_leak() {
    // Buffers are reused as they are; a NaN left in one must not reach a result.
    let s = shape(CASES[0], 2, 4, 9);
    let (x, y, w) = (values(2 * s.x_len(), 1), values(2 * s.y_len(), 2), values(s.w_len(), 3));
    for isa in Isa::available() {
        let (mut got_y, mut got_x) = (vec![0f32; y.len()], vec![0f32; x.len()]);
        for _ in 0..3 {
            forward(&s, isa, &x, &w, Finish::default(), &mut got_y);
            backward_data(&s, isa, &y, &w, Finish::default(), &mut got_x);
            let got_w = backward_weight(&s, isa, &x, &y);
            let mut all = got_y.iter().chain(&got_x).chain(&got_w);
            assert!(all.all(|v| v.is_finite()), "{isa:?}");
            // Sizes around those that were just given back.
            let lens = [64, 256, 1024, 4096, 16384, 65536];
            let mut poisoned: Vec<_> = lens.map(Buffer::new).into_iter().collect();
            poisoned.iter_mut().for_each(|buffer| buffer.fill(f32::NAN));
        }
    }
}
