//! Correlation of channels-last images, the sum behind convolution and transposed convolution.
//!
//! Outputs that read the same taps are gathered, from rows, columns and images, and computed a tile
//! of pixels times a panel of channels at a time. Nothing is copied, padded or transposed, and taps
//! in the padding cost nothing.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::axis::{Axis, Run};
use super::buffer::Buffer;
use super::kernel::{Kernels, MOST, Segment, Sum};
use super::panels::{Panel, Panels};
use super::simd::Isa;

/// Pixels that a unit of work should have, so that its tiles are full.
const UNIT_PIXELS: usize = 4096;
/// Floats of a unit's source image, so that it stays in the second-level cache.
const UNIT_SOURCE: usize = 128 * 1024;
/// Units of work that a convolution is split into if it can be.
const UNITS: usize = 8;

/// Operations on a result while it is in registers or in the first-level cache.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// Added to each channel.
    pub(crate) bias: Option<&'a [f32]>,
    /// Slope of a leaky ReLU.
    pub(crate) leaky: Option<f32>,
    /// Multiplies by the slope where a value of the same place is not positive: the gradient of a
    /// leaky ReLU.
    pub(crate) gate: Option<(&'a [f32], f32)>,
}

/// A leaky ReLU's factor by the sign of `by`; a NaN counts as not positive.
pub(super) fn leak(value: f32, by: f32, slope: f32) -> f32 {
    if by > 0.0 { value } else { value * slope }
}

impl Finish<'_> {
    /// Finishes `values` of `channels` in a separate pass.
    pub(super) fn apply(&self, values: &mut [f32], channels: usize) {
        if let Some(bias) = self.bias {
            for values in values.chunks_exact_mut(channels) {
                values.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        if let Some(slope) = self.leaky {
            values.iter_mut().for_each(|value| *value = leak(*value, *value, slope));
        }
        if let Some((gate, slope)) = self.gate {
            values.iter_mut().zip(gate).for_each(|(value, by)| *value = leak(*value, *by, slope));
        }
    }
}

/// A correlation from source to destination images.
pub(crate) struct Correlation<'a> {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    /// Channels of a source and of a destination pixel.
    pub(crate) channels: (usize, usize),
    pub(crate) panels: Panels,
    pub(crate) weights: Buffer,
    pub(crate) finish: Finish<'a>,
}

/// Unit of work; no two units write the same place.
struct Unit {
    images: Range<usize>,
    rows: Range<usize>,
    panels: Range<usize>,
}

/// Destination, of which every unit writes its own places.
#[derive(Clone, Copy)]
pub(super) struct Destination(pub(super) *mut f32);
// SAFETY: units write different places, and nobody reads before all are done.
unsafe impl Sync for Destination {}
// SAFETY: as above.
unsafe impl Send for Destination {}

impl Destination {
    /// Returns the pointer. A closure that calls this captures the whole struct, and with it the promise above.
    pub(super) fn get(&self) -> *mut f32 {
        self.0
    }
}

/// Computes all outputs of `images` images.
pub(crate) fn run(
    correlations: &[Correlation<'_>],
    isa: Isa,
    images: usize,
    source: &[f32],
    destination: &mut [f32],
) {
    let mut work = Vec::new();
    correlations.iter().for_each(|correlation| correlation.check(images, source, destination));
    let destination = Destination(destination.as_mut_ptr());
    for correlation in correlations {
        let runs = Arc::new((correlation.rows.runs(), correlation.columns.runs()));
        let units = correlation.units(images).into_iter();
        work.extend(units.map(|unit| (correlation, runs.clone(), unit)));
    }
    work.into_par_iter().for_each(|(correlation, runs, unit)| {
        for run in &runs.0 {
            let start = run.outputs.start.max(unit.rows.start);
            let end = run.outputs.end.min(unit.rows.end);
            let run = Run { outputs: start..end, ..run.clone() };
            for columns in runs.1.iter().filter(|_| start < end) {
                correlation.unit(isa, &unit, &run, columns, source, destination);
            }
        }
    });
}

impl Correlation<'_> {
    fn check(&self, images: usize, source: &[f32], destination: &[f32]) {
        assert!(source.len() == images * self.source_len(), "the source has another size");
        assert!(destination.len() == images * self.destination_len(), "the destination, too");
        assert!(self.weights.len() == self.panels.len(), "and the weights");
        let gate = self.finish.gate.map(|(gate, _)| gate.len());
        assert!(gate.is_none_or(|len| len == destination.len()), "and the gate");
    }

    fn source_len(&self) -> usize {
        self.rows.source * self.columns.source * self.channels.0
    }

    fn destination_len(&self) -> usize {
        self.rows.size * self.columns.size * self.channels.1
    }

    /// Splits the work by sizes only, never by the number of threads.
    fn units(&self, images: usize) -> Vec<Unit> {
        let pixels = (self.rows.count * self.columns.count).max(1);
        let at_least_units = if self.panels.list.len() > 1 { UNITS / 2 } else { UNITS };
        let together = (UNIT_PIXELS / pixels).clamp(1, (images / at_least_units).max(1));
        // Offsets within a unit have 32 bits.
        let longest = self.source_len().max(self.destination_len());
        let together = together.min(u32::MAX as usize / longest.max(1)).max(1);
        let blocks = match together {
            1 => {
                let by_cache = self.source_len().div_ceil(UNIT_SOURCE);
                by_cache.max(UNITS.div_ceil(images)).min(self.rows.count.div_ceil(4).max(1))
            }
            _ => 1,
        };
        let rows = self.rows.count.div_ceil(blocks).max(1);
        let count = images.div_ceil(together) * self.rows.count.div_ceil(rows);
        let panels = self.panels.list.len();
        let parts = UNITS.div_ceil(count.max(1)).min(panels);
        let mut units = Vec::with_capacity(count * parts);
        for part in 0..parts {
            for image in (0..images).step_by(together) {
                for row in (0..self.rows.count).step_by(rows) {
                    units.push(Unit {
                        images: image..(image + together).min(images),
                        rows: row..(row + rows).min(self.rows.count),
                        panels: part * panels / parts..(part + 1) * panels / parts,
                    });
                }
            }
        }
        units
    }

    /// Computes the pixels of a unit that read the same taps.
    fn unit(
        &self,
        isa: Isa,
        unit: &Unit,
        rows: &Run,
        columns: &Run,
        source: &[f32],
        destination: Destination,
    ) {
        let segments = self.segments(&rows.taps, &columns.taps);
        let count = unit.images.len() * rows.outputs.len() * columns.outputs.len();
        // One more tile, so that slices of a whole tile can be taken at the end.
        let (mut pixels, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (source_row, row) =
            (self.columns.source * self.channels.0, self.columns.size * self.channels.1);
        for image in 0..unit.images.len() {
            for y in rows.outputs.clone() {
                let from = match segments.is_empty() {
                    true => 0,
                    false => {
                        image * self.source_len()
                            + self.rows.position(y, rows.taps.start) * source_row
                            + self.columns.position(columns.outputs.start, columns.taps.start)
                                * self.channels.0
                    }
                };
                let step = self.columns.step() * self.channels.0;
                let to = image * self.destination_len() + self.rows.destination(y) * row;
                for (i, x) in columns.outputs.clone().enumerate() {
                    pixels.push(if segments.is_empty() { 0 } else { (from + i * step) as u32 });
                    places.push((to + self.columns.destination(x) * self.channels.1) as u32);
                }
            }
        }
        let first = unit.images.start;
        let source = &source[first * self.source_len()..];
        // SAFETY: the unit's first image is in the destination.
        let destination = unsafe { destination.0.add(first * self.destination_len()) };
        let gate = self.finish.gate.map(|(gate, _)| &gate[first * self.destination_len()..]);
        for panel in &self.panels.list[unit.panels.clone()] {
            // A block of columns at the border may have fewer channels than its panel.
            let channels = panel.channels.min(columns.positions * self.channels.1);
            let panel = Panel { channels, ..*panel };
            self.panel(isa, &panel, &segments, (&pixels, &places), source, destination, gate);
        }
    }

    /// Values that lie one after the other, from a pixel's first tap on.
    fn segments(&self, rows: &Range<usize>, columns: &Range<usize>) -> Vec<Segment> {
        let (depth, channels) = (self.panels.depth, self.channels.0);
        let mut segments = Vec::new();
        for (y, t) in rows.clone().enumerate() {
            let row = y * self.rows.reach * self.columns.source * channels;
            let tap = t * self.columns.taps;
            if depth == channels && self.columns.reach == 1 {
                let (weights, len) = ((tap + columns.start) * depth, columns.len() * depth);
                segments.push(Segment { source: row, weights, len });
            } else {
                segments.extend(columns.clone().enumerate().map(|(x, u)| Segment {
                    source: row + x * self.columns.reach * channels,
                    weights: (tap + u) * depth,
                    len: depth,
                }));
            }
        }
        segments.retain(|segment| segment.len > 0);
        segments
    }

    /// Computes one panel of channels for a list of pixels.
    fn panel(
        &self,
        isa: Isa,
        panel: &Panel,
        segments: &[Segment],
        (pixels, places): (&[u32], &[u32]),
        source: &[f32],
        destination: *mut f32,
        gate: Option<&[f32]>,
    ) {
        let kernels = Kernels::of(isa);
        let width = panel.vectors * isa.lanes();
        let full = panel.channels == width;
        let mut bias = [0f32; WIDEST];
        if let Some(values) = self.finish.bias {
            // In a block, the channels come once for each column.
            for (i, bias) in bias[..panel.channels].iter_mut().enumerate() {
                *bias = values[(panel.first + i) % values.len()];
            }
        }
        let mut staged = [0f32; MOST * WIDEST];
        let in_stage: [u32; MOST] = std::array::from_fn(|i| (i * width) as u32);
        let group = panel.group * self.panels.depth;
        let tiles = pixels.len().div_ceil(kernels.most);
        for tile in 0..tiles {
            let range = tile * pixels.len() / tiles..(tile + 1) * pixels.len() / tiles;
            let (pixels, places) = (&pixels[range.clone()], &places[range]);
            // SAFETY: the panel's channels are in every place.
            let out = unsafe { destination.add(panel.first) };
            let gate = gate.map(|gate| &gate[panel.first..]);
            let sum = Sum {
                source: source[group..].as_ptr(),
                pixels: pixels.as_ptr(),
                segments: segments.as_ptr(),
                segment_count: segments.len(),
                weights: self.weights[panel.at..].as_ptr(),
                bias: bias.as_ptr(),
                slope: self.finish.leaky.unwrap_or(1.0),
                out: if full { out } else { staged.as_mut_ptr() },
                places: if full { places.as_ptr() } else { in_stage.as_ptr() },
                gate: gate.filter(|_| full).map_or(std::ptr::null(), <[f32]>::as_ptr),
                gate_slope: self.finish.gate.map_or(1.0, |(_, slope)| slope),
            };
            // SAFETY: the instruction set was detected; pixels plus segments stay in the source's
            // images, because taps in the padding are left out; places are pixels of the
            // destination, written by this unit only.
            unsafe { kernels.sum(panel.vectors, pixels.len(), &sum) };
            if full {
                continue;
            }
            for (i, place) in places.iter().enumerate() {
                // SAFETY: as above, for the panel's channels.
                let out = unsafe {
                    std::slice::from_raw_parts_mut(out.add(*place as usize), panel.channels)
                };
                out.copy_from_slice(&staged[i * width..][..panel.channels]);
                if let Some(gate) = gate {
                    for (out, by) in out.iter_mut().zip(&gate[*place as usize..]) {
                        *out = leak(*out, *by, sum.gate_slope);
                    }
                }
            }
        }
    }
}

/// Floats of the widest panel.
const WIDEST: usize = 32;
