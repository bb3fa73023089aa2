//! The operations' side of `cargo xtask bench ops`: times single operations on request.
//!
//! A request is `OP PASS N C H W OUT KERNEL STRIDE PADDING GROUPS`, with `conv2d` or
//! `conv_transpose2d` and `forward`, `input` or `weight` (the two gradients); `OP PASS N C H W`, with an
//! operation of `others` and `forward` or `backward`; or `sgemm SIDE`, the product of two square
//! matrices by the `gemm` crate on all threads. Data are prepared and the call
//! is made once before it is timed. `RAYON_NUM_THREADS` sets the threads.

mod others;
mod serve;

use std::hint::black_box;
use std::process::ExitCode;

use candle_core::{Device, Tensor, Var};
use deepsim_ops::{Conv2dConfig, conv_transpose2d, conv2d};
use others::Other;
use serve::Result;

/// Calls are repeated until they take this long together.
const AT_LEAST_MS: f64 = 10.0;

fn main() -> ExitCode {
    deepsim_ops::keep_freed_memory();
    let mut prepared: Option<Prepared> = None;
    let done = serve::serve("{}", |line| {
        if prepared.as_ref().is_none_or(|prepared| prepared.line != line) {
            prepared = None;
            prepared = Some(Prepared::new(line)?);
        }
        let Prepared { call, repeats, .. } = prepared.as_mut().ok_or("nothing is prepared")?;
        serve::time(*repeats, call)
    });
    serve::ended("op_server", done)
}

/// A request, ready to be timed.
struct Prepared {
    line: String,
    call: Box<dyn FnMut() -> Result<()>>,
    repeats: u32,
}

impl Prepared {
    fn new(line: &str) -> Result<Self> {
        let mut call: Box<dyn FnMut() -> Result<()>> =
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["sgemm", side] => {
                    let mut product = Product::new(side.parse()?);
                    Box::new(move || {
                        product.compute();
                        Ok(())
                    })
                }
                [op, pass, n, c, h, w] => {
                    let sizes = [n.parse()?, c.parse()?, h.parse()?, w.parse()?];
                    let other = Other::new(op, pass, sizes)?;
                    Box::new(move || other.call())
                }
                [op, pass, ref numbers @ ..] => {
                    let conv = Convolution::new(op, pass, numbers)?;
                    Box::new(move || conv.call())
                }
                _ => return Err(format!("expected an operation, found `{line}`").into()),
            };
        let first = serve::time(1, &mut call)?.wall;
        let again = serve::time(1, &mut call)?.wall;
        let repeats = (AT_LEAST_MS / first.min(again)).ceil().clamp(1.0, 200.0) as u32;
        Ok(Self { line: line.to_owned(), call, repeats })
    }
}

/// A convolution with its data. `result` carries the graph for a backward pass.
struct Convolution {
    transposed: bool,
    backward: bool,
    config: Conv2dConfig,
    x: Tensor,
    w: Tensor,
    result: Tensor,
}

impl Convolution {
    fn new(op: &str, pass: &str, numbers: &[&str]) -> Result<Self> {
        let transposed = match op {
            "conv2d" => false,
            "conv_transpose2d" => true,
            _ => return Err(format!("expected conv2d or conv_transpose2d, found `{op}`").into()),
        };
        let numbers = numbers.iter().map(|n| n.parse()).collect::<std::result::Result<Vec<_>, _>>();
        let &[n, c, h, w, out, kernel, stride, padding, groups] = &numbers?[..] else {
            return Err("expected N C H W OUT KERNEL STRIDE PADDING GROUPS".into());
        };
        let config = Conv2dConfig::new(stride, padding).with_groups(groups);
        let weight = if transposed { [c, out / groups] } else { [out, c / groups] };
        let x = filled(&[n, c, h, w])?;
        let w = filled(&[weight[0], weight[1], kernel, kernel])?;
        let (x, w) = match pass {
            "forward" => (x, w),
            "input" => (Var::from_tensor(&x)?.as_tensor().clone(), w),
            "weight" => (x, Var::from_tensor(&w)?.as_tensor().clone()),
            _ => return Err(format!("expected forward, input or weight, found `{pass}`").into()),
        };
        let result = convolve(transposed, &x, &w, config)?;
        Ok(Self { transposed, backward: pass != "forward", config, x, w, result })
    }

    /// Runs the timed work: the forward pass, or the tracked gradient, given a gradient of ones.
    fn call(&self) -> Result<()> {
        if self.backward {
            black_box(self.result.backward()?);
        } else {
            black_box(convolve(self.transposed, &self.x, &self.w, self.config)?);
        }
        Ok(())
    }
}

fn convolve(
    transposed: bool,
    x: &Tensor,
    w: &Tensor,
    config: Conv2dConfig,
) -> candle_core::Result<Tensor> {
    if transposed { conv_transpose2d(x, w, None, config) } else { conv2d(x, w, None, config) }
}

/// A tensor of numbers from -0.5 to 0.5.
fn filled(shape: &[usize]) -> candle_core::Result<Tensor> {
    Tensor::from_vec(numbers(shape.iter().product()), shape, &Device::Cpu)
}

fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Two square matrices and room for their product.
struct Product {
    side: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new(side: usize) -> Self {
        let [a, b, c] = [(); 3].map(|()| numbers(side * side));
        Self { side, a, b, c }
    }

    fn compute(&mut self) {
        let (n, row) = (self.side, self.side as isize);
        // SAFETY: three matrices of n x n values in rows, and the one written to is borrowed alone.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                self.c.as_mut_ptr(),
                1,
                row,
                false,
                self.a.as_ptr(),
                1,
                row,
                self.b.as_ptr(),
                1,
                row,
                0f32,
                1f32,
                false,
                false,
                false,
                gemm::Parallelism::Rayon(0),
            );
        }
        black_box(&self.c);
    }
}
