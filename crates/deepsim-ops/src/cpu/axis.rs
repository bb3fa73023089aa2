//! Source positions of an output position, along one axis.
//!
//! Forward and transposed convolution, with any stride and padding, are the same sum: output `i` of
//! an axis reads source positions `i * step + start + tap * reach`. A transposed convolution with
//! stride `s` is `s` such sums, each of which makes every `s`-th output.

use std::ops::Range;

/// One axis of a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Number of outputs.
    pub(crate) count: usize,
    /// Source positions between neighbouring outputs.
    step: usize,
    /// Source position that output 0 reads with tap 0; negative in the padding.
    start: isize,
    /// Number of taps.
    pub(crate) taps: usize,
    /// Source positions between neighbouring taps.
    pub(crate) reach: usize,
    /// Number of source positions.
    pub(crate) source: usize,
    /// Number of destination positions.
    pub(crate) size: usize,
    /// Destination positions between neighbouring outputs, and that of output 0.
    spread: (usize, usize),
    /// Neighbouring destination positions that make one output.
    pub(crate) block: usize,
    /// Kernel position of tap 0 for position 0 of a block, its steps to the next tap and to the next
    /// position, and the size of the kernel.
    kernel: (isize, isize, isize, usize),
}

/// Run of outputs that read the same taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) outputs: Range<usize>,
    pub(crate) taps: Range<usize>,
    /// Destination positions of each output.
    pub(crate) positions: usize,
}

impl Axis {
    /// Describes a convolution from `source` to `count` positions.
    pub(crate) fn forward(
        source: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        count: usize,
        dilation: usize,
    ) -> Self {
        Self {
            count,
            step: stride,
            start: -(padding as isize),
            taps: kernel,
            reach: dilation,
            source,
            size: count,
            spread: (1, 0),
            block: 1,
            kernel: (0, 1, 0, kernel),
        }
    }

    /// Describes phase `a` of the adjoint of a convolution from `size` to `source` positions.
    pub(crate) fn adjoint(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        source: usize,
        dilation: usize,
        a: usize,
    ) -> Self {
        // Position i = q * stride + a - padding takes from source q + (a - k * dilation) / stride, for the taps k of
        // the convolution that divide without a rest: the first one, and from it on every `spacing`-th. The order of
        // taps is turned so that sources ascend.
        let common = greatest_common_divisor(stride, dilation);
        let (spacing, reach) = (stride / common, dilation / common);
        let divides = |k: &usize| k * dilation % stride == a;
        let first_tap = (0..spacing.min(kernel)).find(divides).unwrap_or(kernel);
        let taps = (kernel - first_tap).div_ceil(spacing);
        let last = taps.saturating_sub(1);
        let back = (first_tap * dilation).saturating_sub(a) / stride + last * reach;
        let first = (a + stride - padding % stride) % stride;
        let q = (first + padding) / stride;
        Self {
            count: size.saturating_sub(first).div_ceil(stride),
            step: 1,
            start: q as isize - back as isize,
            taps,
            reach,
            source,
            size,
            spread: (stride, first),
            block: 1,
            kernel: ((first_tap + last * spacing) as isize, -(spacing as isize), 0, kernel),
        }
    }

    /// Does as [`Axis::forward`], with blocks of destination positions as outputs. This fills
    /// vectors if one position has few channels, at the price of taps that are zero for some
    /// positions.
    pub(crate) fn forward_in_blocks(
        source: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        count: usize,
        block: usize,
    ) -> Self {
        let taps = kernel + (block - 1) * stride;
        Self {
            count: count.div_ceil(block),
            step: block * stride,
            taps,
            spread: (block, 0),
            block,
            kernel: (0, 1, -(stride as isize), kernel),
            ..Self::forward(source, kernel, stride, padding, count, 1)
        }
    }

    /// Describes the phases of the adjoint together, in blocks of a multiple of `stride` positions.
    pub(crate) fn adjoint_in_blocks(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        source: usize,
        block: usize,
    ) -> Self {
        let (s, p, k) = (stride as isize, padding as isize, kernel as isize);
        // Position i takes from source q with tap i + padding - q * stride of the convolution.
        let start = -((k - 1 - p).div_euclid(s));
        let end = (block as isize - 1 + p).div_euclid(s);
        Self {
            count: size.div_ceil(block),
            step: block / stride,
            start,
            taps: (end - start + 1).max(0) as usize,
            reach: 1,
            source,
            size,
            spread: (block, 0),
            block,
            kernel: (p - start * s, -s, 1, kernel),
        }
    }

    /// Returns the position in the kernel of a tap for a position of a block, if the kernel has it.
    pub(crate) fn kernel(&self, tap: usize, position: usize) -> Option<usize> {
        let (first, per_tap, per_position, size) = self.kernel;
        let at = first + tap as isize * per_tap + position as isize * per_position;
        usize::try_from(at).ok().filter(|at| *at < size)
    }

    /// Returns the number of destination positions of an output; fewer in the last block.
    pub(crate) fn positions(&self, output: usize) -> usize {
        self.block.min(self.size - output * self.block)
    }

    /// Returns the position of an output in the destination.
    pub(crate) fn destination(&self, output: usize) -> usize {
        output * self.spread.0 + self.spread.1
    }

    /// Returns the source position that an output reads with a tap of its run.
    pub(crate) fn position(&self, output: usize, tap: usize) -> usize {
        (output * self.step + tap * self.reach).wrapping_add_signed(self.start)
    }

    /// Returns the number of source positions between neighbouring outputs.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    fn taps_of(&self, output: usize) -> Range<usize> {
        let first = (output * self.step) as isize + self.start;
        // Number of taps before the source position `at`.
        let before =
            |at: isize| (at - first + self.reach as isize - 1).div_euclid(self.reach as isize);
        let from = before(0).clamp(0, self.taps as isize);
        let to = before(self.source as isize).clamp(from, self.taps as isize);
        if from == to { 0..0 } else { from as usize..to as usize }
    }

    /// Returns the outputs in runs that read the same taps and have the same number of positions.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for output in 0..self.count {
            let (taps, positions) = (self.taps_of(output), self.positions(output));
            match runs.last_mut() {
                Some(run) if run.taps == taps && run.positions == positions => {
                    run.outputs.end = output + 1;
                }
                _ => runs.push(Run { outputs: output..output + 1, taps, positions }),
            }
        }
        runs
    }

    /// Returns the outputs whose source position with this tap is not padding.
    pub(crate) fn outputs_of(&self, tap: usize) -> Range<usize> {
        let seen = |output: &usize| self.taps_of(*output).contains(&tap);
        let start = (0..self.count).find(seen).unwrap_or(0);
        let end = (0..self.count).rev().find(seen).map_or(start, |last| last + 1);
        start..end
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
