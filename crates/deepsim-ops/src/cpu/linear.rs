//! Fully connected layers: convolutions of 1x1 maps whose weights are more than their images.
//!
//! Weights are read and their gradients written in place, by exchanging roles: the weights are
//! the image, of one pixel for each output, and the samples are the channels that are computed.

use rayon::prelude::*;

use super::axis::Axis;
use super::buffer::Buffer;
use super::conv::{ConvShape, correlate};
use super::correlate::Finish;
use super::kernel::{Kernels, Product};
use super::layout::transpose;
use super::simd::Isa;
use super::weight_gradient::correlate_images;

/// Parts that a sum over outputs is split into, if it can be.
const PARTS: usize = 8;
/// Outputs of a unit of work.
const OUTPUTS: usize = 64;

/// `y (n, outputs) = x (n, inputs) wᵀ`
pub(super) struct Linear {
    n: usize,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Describes a convolution as a fully connected layer, if it is one and that is faster.
    pub(super) fn of(s: &ConvShape) -> Option<Self> {
        let ones = [s.h, s.w, s.oh, s.ow, s.kh, s.kw, s.groups];
        let plain = ones.iter().all(|&one| one == 1) && s.ph == 0 && s.pw == 0;
        // Less than a vector of outputs is better computed as a convolution.
        let worthwhile = s.n <= s.c_out && s.c_out >= 32 && s.c_in >= 32;
        // The weights become an image, whose offsets have 32 bits.
        let fits = s.c_in.saturating_mul(s.c_out) <= i32::MAX as usize;
        (plain && worthwhile && fits).then_some(Self { n: s.n, inputs: s.c_in, outputs: s.c_out })
    }

    /// The weights as images, convolved with the samples.
    fn exchanged(&self, images: usize) -> ConvShape {
        let pixels = self.outputs / images;
        ConvShape {
            n: images,
            c_in: self.inputs,
            h: pixels,
            w: 1,
            c_out: self.n,
            kh: 1,
            kw: 1,
            sh: 1,
            sw: 1,
            ph: 0,
            pw: 0,
            dh: 1,
            dw: 1,
            groups: 1,
            oh: pixels,
            ow: 1,
        }
    }

    pub(super) fn forward(
        &self,
        isa: Isa,
        x: &[f32],
        w: &[f32],
        finish: Finish<'_>,
        y: &mut [f32],
    ) {
        let s = self.exchanged(1);
        let rows = Axis::forward(s.h, 1, 1, 0, s.oh, 1);
        let columns = Axis::forward(1, 1, 1, 0, 1, 1);
        let mut transposed = Buffer::new(y.len());
        correlate(&s, isa, false, &[(rows, columns)], w, x, Finish::default(), &mut transposed);
        transpose(isa, &transposed, self.outputs, self.n, y);
        finish.apply(y, self.outputs);
    }

    pub(super) fn backward_data(
        &self,
        isa: Isa,
        dy: &[f32],
        w: &[f32],
        finish: Finish<'_>,
        dx: &mut [f32],
    ) {
        let mut transposed = Buffer::new(dy.len());
        transpose(isa, dy, self.n, self.outputs, &mut transposed);
        let divides = |parts: &usize| self.outputs.is_multiple_of(*parts);
        let images = (1..=PARTS).rev().find(divides).unwrap_or(1);
        dx.copy_from_slice(&correlate_images(&self.exchanged(images), isa, w, &transposed));
        finish.apply(dx, self.inputs);
    }

    pub(super) fn backward_weight(&self, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
        assert!(x.len() == self.n * self.inputs && dy.len() == self.n * self.outputs);
        let kernels = Kernels::of(isa);
        let lanes = isa.lanes();
        let mut dw = vec![0f32; self.inputs * self.outputs];
        dw.par_chunks_mut(OUTPUTS * self.inputs).enumerate().for_each(|(chunk, dw)| {
            let (first, outputs) = (chunk * OUTPUTS, dw.len() / self.inputs);
            let tiles = outputs.div_ceil(kernels.most);
            let whole = self.inputs / lanes * lanes;
            let mut column = 0;
            while column < whole {
                let vectors = ((whole - column) / lanes).min(2);
                for tile in 0..tiles {
                    let (o0, o1) = (tile * outputs / tiles, (tile + 1) * outputs / tiles);
                    let product = Product {
                        x: dy[first + o0..].as_ptr(),
                        x_strides: (0, 0, self.outputs),
                        y: x[column..].as_ptr(),
                        y_strides: (0, 0, self.inputs),
                        counts: (1, 1, self.n),
                        sums: dw[o0 * self.inputs + column..].as_mut_ptr(),
                        sums_stride: self.inputs,
                    };
                    // SAFETY: the instruction set was detected; all columns of the vectors, and all
                    // outputs of the tile, are there.
                    unsafe { kernels.product(vectors, o1 - o0, &product) };
                }
                column += vectors * lanes;
            }
            // The columns that fill no vector.
            for (o, dw) in dw.chunks_exact_mut(self.inputs).enumerate() {
                for (c, dw) in dw.iter_mut().enumerate().skip(whole) {
                    let pairs = x.chunks_exact(self.inputs).zip(dy.chunks_exact(self.outputs));
                    *dw = pairs.map(|(x, dy)| x[c] * dy[first + o]).sum();
                }
            }
        });
        dw
    }
}
