//! Every engine and instruction set against plain loops in double precision.

use super::conv::{ConvShape, Finish};
use super::simd::Isa;
use super::{direct, lowered};

/// Kernel, stride, padding (each vertical, horizontal), groups, size.
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

fn shape(case: Case, n: usize, channels: usize, out: usize) -> ConvShape {
    let ((kh, kw), (sh, sw), (ph, pw), groups, (h, w)) = case;
    let (oh, ow) = ((h + 2 * ph - kh) / sh + 1, (w + 2 * pw - kw) / sw + 1);
    let (c_in, c_out) = (channels * groups, out * groups);
    ConvShape { n, c_in, h, w, c_out, kh, kw, sh, sw, ph, pw, groups, oh, ow }
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
                        let (iy, ix) = (oy * s.sh + ky, ox * s.sw + kx);
                        if iy < s.ph || ix < s.pw || iy - s.ph >= s.h || ix - s.pw >= s.w {
                            continue;
                        }
                        let channel = o / out * inp + c;
                        let x = ((n * s.c_in + channel) * s.h + iy - s.ph) * s.w + ix - s.pw;
                        let y = ((n * s.c_out + o) * s.oh + oy) * s.ow + ox;
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
        assert!(error < 1e-5, "{what}: value {i} is {g}, wanted {w}");
    }
}

#[test]
fn every_engine_equals_plain_loops() {
    for case in CASES {
        // Channel counts around the tile sizes; one image and several.
        for (n, channels, out) in [(1, 3, 8), (3, 5, 13), (2, 9, 3), (9, 2, 1)] {
            let s = shape(case, n, channels, out);
            let (x, y) = (values(n * s.x_len(), 1), values(n * s.y_len(), 2));
            let (w, bias_y, bias_x) = (values(s.w_len(), 3), values(s.c_out, 4), values(s.c_in, 5));
            let spread = |bias: &[f32], plane: usize| -> Vec<f64> {
                let one = bias.iter().flat_map(|b| std::iter::repeat_n(f64::from(*b), plane));
                let one: Vec<f64> = one.collect();
                one.repeat(n)
            };
            let mut wanted_y = spread(&bias_y, s.oh * s.ow);
            let mut wanted_x = spread(&bias_x, s.h * s.w);
            let mut wanted_w = vec![0f64; w.len()];
            each_product(&s, |i, j, k| {
                wanted_y[j] += f64::from(x[i]) * f64::from(w[k]);
                wanted_x[i] += f64::from(y[j]) * f64::from(w[k]);
                wanted_w[k] += f64::from(x[i]) * f64::from(y[j]);
            });
            for value in wanted_y.iter_mut().chain(&mut wanted_x) {
                *value = value.max(0.25 * *value);
            }
            let check = |engine: &str, got_y: &[f32], got_x: &[f32], got_w: &[f32]| {
                let what = |part: &str| format!("{engine} {part} of {s:?}");
                assert_near(&what("forward"), got_y, &wanted_y);
                assert_near(&what("gradient to the input"), got_x, &wanted_x);
                assert_near(&what("gradient to the weights"), got_w, &wanted_w);
            };
            let on = |bias| Finish { bias: Some(bias), leaky: Some(0.25) };
            let (mut got_y, mut got_x) = (vec![0f32; y.len()], vec![0f32; x.len()]);
            lowered::forward(&s, &x, &w, on(&bias_y[..]), &mut got_y);
            lowered::backward_data(&s, &y, &w, on(&bias_x[..]), &mut got_x);
            check("lowered", &got_y, &got_x, &lowered::backward_weight(&s, &x, &y));
            for isa in Isa::available() {
                let (mut got_y, mut got_x) = (vec![0f32; y.len()], vec![0f32; x.len()]);
                direct::forward(&s, isa, &x, &w, on(&bias_y[..]), &mut got_y);
                direct::backward_data(&s, isa, &y, &w, on(&bias_x[..]), &mut got_x);
                let got_w = direct::backward_weight(&s, isa, &x, &y);
                check(&format!("direct {isa:?}"), &got_y, &got_x, &got_w);
            }
        }
    }
}

#[test]
fn garbage_in_scratch_memory_does_not_leak() {
    // Scratch buffers are reused as they are; a NaN left in one must not reach a result. One thread,
    // so that the buffers filled here are the ones used.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread pool");
    let s = shape(CASES[0], 2, 4, 9);
    let (x, y, w) = (values(2 * s.x_len(), 1), values(2 * s.y_len(), 2), values(s.w_len(), 3));
    let poison = || {
        super::scratch::with(1 << 20, |a| {
            a.fill(f32::NAN);
            super::scratch::with(1 << 20, |b| b.fill(f32::NAN));
        })
    };
    pool.install(|| {
        for isa in Isa::available() {
            let (mut got_y, mut got_x) = (vec![0f32; y.len()], vec![0f32; x.len()]);
            poison();
            direct::forward(&s, isa, &x, &w, Finish::default(), &mut got_y);
            poison();
            direct::backward_data(&s, isa, &y, &w, Finish::default(), &mut got_x);
            poison();
            let got_w = direct::backward_weight(&s, isa, &x, &y);
            let mut all = got_y.iter().chain(&got_x).chain(&got_w);
            assert!(all.all(|v| v.is_finite()), "{isa:?}");
        }
    });
}
