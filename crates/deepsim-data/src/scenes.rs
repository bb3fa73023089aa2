//! Procedural scenes: occluding, shaded, textured shapes of many sizes.
//!
//! The dead-leaves model (Matheron; Lee, Mumford & Huang 2001): shapes whose sizes follow a power
//! law r⁻³ hide one another. Such pictures share the statistics of photographs that matter to an
//! autoencoder: edges from occlusion, smooth shading, a power spectrum near 1/f². Each scene has
//! one or two larger objects in front, whose shape, texture and typical hue are its class.

use rand_core::Rng;

use crate::random::{Purpose, below, between, stream, uniform};
use crate::source::Rectangle;
use crate::{DataError, Source};

/// Height and width of a scene.
pub const SIDE: usize = 96;
/// The split generators are trained on.
pub const UNLABELED: u8 = 0;
/// The split classifiers are trained on.
pub const TRAIN: u8 = 1;
/// The split everything is measured on.
pub const TEST: u8 = 2;

/// Names of the classes: texture and shape of the object in front.
pub const CLASS_NAMES: [&str; 10] = [
    "plain-disc",
    "striped-disc",
    "plain-box",
    "striped-box",
    "plain-triangle",
    "striped-triangle",
    "plain-bar",
    "striped-bar",
    "plain-ring",
    "striped-ring",
];

/// Images of one split, each computed when it is read from (seed, split, index).
#[derive(Clone, Copy, Debug)]
pub struct Scenes {
    seed: u64,
    split: u8,
    len: usize,
}

impl Scenes {
    /// `len` scenes of a split.
    pub fn new(seed: u64, split: u8, len: usize) -> Self {
        Self { seed, split, len }
    }

    /// Class index of a scene.
    pub fn class(&self, index: usize) -> usize {
        index % CLASS_NAMES.len()
    }
}

impl Source for Scenes {
    fn len(&self) -> usize {
        self.len
    }

    fn height(&self) -> usize {
        SIDE
    }

    fn width(&self) -> usize {
        SIDE
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.class(index) as u32)
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn content(&self) -> String {
        let Self { seed, split, len } = self;
        format!("{len} procedural scenes of split {split}, seed {seed}")
    }

    fn read_part(&self, index: usize, part: Rectangle, pixels: &mut [u8]) -> Result<(), DataError> {
        part.check(self, index, pixels.len())?;
        let mut rng = stream(self.seed, Purpose::Scene(self.split), 0, index as u64);
        let mut image = vec![0; 3 * SIDE * SIDE];
        Canvas::paint(&mut rng, self.class(index)).write(&mut image);
        part.copy(&image, SIDE, pixels);
        Ok(())
    }
}

type Colour = [f32; 3];

/// Painted front to back: a pixel is done once it is covered.
struct Canvas {
    colour: Vec<Colour>,
    cover: Vec<f32>,
    light: [f32; 4],
}

impl Canvas {
    fn paint(rng: &mut impl Rng, class: usize) -> Self {
        // Light falls off across the scene and tints it a little.
        let angle = between(rng, 0.0, std::f32::consts::TAU);
        let strength = between(rng, 0.0, 0.45);
        let light =
            [angle.cos() * strength, angle.sin() * strength, between(rng, 0.6, 1.15), uniform(rng)];
        let mut canvas =
            Self { colour: vec![[0.0; 3]; SIDE * SIDE], cover: vec![0.0; SIDE * SIDE], light };

        let objects = 1 + below(rng, 2);
        for number in 0..objects {
            let radius = between(rng, 16.0, 30.0) / (1.0 + 0.4 * number as f32);
            let mut leaf = Leaf::new(rng, radius);
            leaf.shape = Shape::ALL[class / 2];
            leaf.texture = [Texture::Plain, Texture::Stripes][class % 2];
            leaf.contrast = if class % 2 == 1 { between(rng, 0.5, 0.9) } else { 0.0 };
            leaf.centre = [between(rng, 28.0, 68.0), between(rng, 28.0, 68.0)];
            // A class has a typical colour, as natural classes do: there is something that even a
            // linear machine on pixels can learn from a few hundred examples.
            let hue = 0.6 * class as f32 + between(rng, -0.4, 0.4);
            leaf.colour = hsv(hue, between(rng, 0.4, 0.9), between(rng, 0.25, 0.9));
            canvas.draw(&leaf);
        }
        for _ in 0..90 {
            // Inverse of the cumulative distribution of r⁻³ between 3 and 60 pixels.
            let (low, high) = (3f32.powi(-2), 60f32.powi(-2));
            let radius = (low + (high - low) * uniform(rng)).powf(-0.5);
            let leaf = Leaf::new(rng, radius);
            canvas.draw(&leaf);
        }
        let mut background = Leaf::new(rng, 140.0);
        (background.shape, background.centre) = (Shape::Disc, [48.0, 48.0]);
        canvas.draw(&background);
        canvas
    }

    fn draw(&mut self, leaf: &Leaf) {
        let reach = 1.5 * leaf.radius + 3.0;
        let range = |centre: f32| {
            let from = (centre - reach).clamp(0.0, SIDE as f32) as usize;
            from..((centre + reach).ceil().clamp(0.0, SIDE as f32) as usize)
        };
        let columns = range(leaf.centre[0]);
        for y in range(leaf.centre[1]) {
            for x in columns.clone() {
                let at = y * SIDE + x;
                if self.cover[at] > 0.995 {
                    continue;
                }
                let [u, v] = leaf.local(x as f32, y as f32);
                let distance = leaf.shape.distance(u, v) * leaf.radius;
                let alpha = (0.5 - distance / leaf.softness).clamp(0.0, 1.0);
                if alpha > 0.0 {
                    let share = alpha * (1.0 - self.cover[at]);
                    let colour = leaf.colour_at(u, v);
                    for (sum, c) in self.colour[at].iter_mut().zip(colour) {
                        *sum += share * c;
                    }
                    self.cover[at] += share;
                }
            }
        }
    }

    fn write(&self, pixels: &mut [u8]) {
        let [across, down, level, warmth] = self.light;
        let tint = [0.94 + 0.12 * warmth, 1.0, 1.06 - 0.12 * warmth];
        for (channel, plane) in pixels.chunks_exact_mut(SIDE * SIDE).enumerate() {
            for (at, pixel) in plane.iter_mut().enumerate() {
                let (x, y) = ((at % SIDE) as f32 / 48.0 - 1.0, (at / SIDE) as f32 / 48.0 - 1.0);
                let light = level * (1.0 + across * x + down * y) * tint[channel];
                let value = (self.colour[at][channel] * light).clamp(0.0, 1.0);
                // Square root as a cheap display gamma.
                *pixel = (255.0 * value.sqrt()).round() as u8;
            }
        }
    }
}

/// One shape of a scene.
struct Leaf {
    shape: Shape,
    texture: Texture,
    centre: [f32; 2],
    radius: f32,
    /// Cosine and sine of its rotation.
    turn: [f32; 2],
    softness: f32,
    colour: Colour,
    second: Colour,
    contrast: f32,
    frequency: f32,
    shading: [f32; 2],
    salt: u32,
}

impl Leaf {
    fn new(rng: &mut impl Rng, radius: f32) -> Self {
        let angle = between(rng, 0.0, std::f32::consts::TAU);
        let light = between(rng, 0.0, std::f32::consts::TAU);
        let depth = between(rng, 0.0, 0.5);
        let colour = natural_colour(rng);
        // Waves are 4 to 16 pixels long, whatever the size of the shape.
        let frequency = radius / between(rng, 4.0, 16.0);
        Self {
            shape: Shape::ALL[below(rng, Shape::ALL.len())],
            texture: Texture::ALL[below(rng, Texture::ALL.len())],
            centre: [between(rng, -10.0, 106.0), between(rng, -10.0, 106.0)],
            radius,
            turn: [angle.cos(), angle.sin()],
            softness: between(rng, 1.0, 2.6),
            second: mix(colour, natural_colour(rng), 0.8),
            colour,
            contrast: between(rng, 0.15, 0.7),
            frequency,
            shading: [depth * light.cos(), depth * light.sin()],
            salt: rng.next_u32(),
        }
    }

    /// Coordinates in which the shape has radius 1.
    fn local(&self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = ((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius);
        [self.turn[0] * dx + self.turn[1] * dy, self.turn[0] * dy - self.turn[1] * dx]
    }

    fn colour_at(&self, u: f32, v: f32) -> Colour {
        let (fu, fv) = (u * self.frequency, v * self.frequency);
        let pattern = match self.texture {
            Texture::Plain => 0.0,
            Texture::Stripes => wave(fu),
            Texture::Checker => wave(fu) * wave(fv) * 2.0,
            Texture::Dots => (wave(fu) + wave(fv) - 0.4).max(0.0),
            // Two octaves, the finer one weaker: roughly 1/f.
            Texture::Noise => {
                noise(fu * 2.0, fv * 2.0, self.salt) * 0.65
                    + noise(fu * 5.0, fv * 5.0, !self.salt) * 0.35
            }
        };
        let shade = (1.0 + self.shading[0] * u + self.shading[1] * v).max(0.2);
        mix(self.colour, self.second, (self.contrast * pattern).clamp(0.0, 1.0)).map(|c| c * shade)
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Disc,
    Box,
    Triangle,
    Bar,
    Ring,
}

impl Shape {
    const ALL: [Self; 5] = [Self::Disc, Self::Box, Self::Triangle, Self::Bar, Self::Ring];

    /// Signed distance to the outline, negative inside.
    fn distance(self, u: f32, v: f32) -> f32 {
        match self {
            Shape::Disc => u.hypot(v) - 1.0,
            Shape::Box => (u.abs() - 0.9).max(v.abs() - 0.8),
            Shape::Triangle => (0.866 * u.abs() + 0.5 * v).max(-v) - 0.55,
            Shape::Bar => (u.abs() - 1.4).max(v.abs() - 0.3),
            Shape::Ring => (u.hypot(v) - 0.8).abs() - 0.22,
        }
    }
}

#[derive(Clone, Copy)]
enum Texture {
    Plain,
    Stripes,
    Checker,
    Dots,
    Noise,
}

impl Texture {
    /// Noise is listed thrice: most natural surfaces are irregular.
    const ALL: [Self; 7] = [
        Self::Plain,
        Self::Stripes,
        Self::Checker,
        Self::Dots,
        Self::Noise,
        Self::Noise,
        Self::Noise,
    ];
}

/// Muted colours more often than vivid ones, dark ones more often than bright ones.
fn natural_colour(rng: &mut impl Rng) -> Colour {
    let value = 0.03 + 0.9 * uniform(rng).powf(1.6);
    let saturation = 0.75 * uniform(rng) * uniform(rng).sqrt();
    hsv(between(rng, 0.0, 6.0), saturation, value)
}

/// Hue in sixths of the colour circle, 0 is red.
fn hsv(hue: f32, saturation: f32, value: f32) -> Colour {
    std::array::from_fn(|channel| {
        let distance = (hue - 2.0 * channel as f32).rem_euclid(6.0);
        let full = (2.0 - distance.min(6.0 - distance)).clamp(0.0, 1.0);
        value * (1.0 - saturation * (1.0 - full))
    })
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
}

/// A soft square wave of period 1 between 0 and 1.
fn wave(phase: f32) -> f32 {
    // A triangle wave, steepened: no library sine, so the bytes are the same everywhere.
    let triangle = (2.0 * (phase - phase.floor()) - 1.0).abs();
    (2.5 * triangle - 0.75).clamp(0.0, 1.0)
}

/// Smooth noise between 0 and 1: random values on a grid, interpolated.
fn noise(x: f32, y: f32, salt: u32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let corner = |dx: i32, dy: i32| {
        let mut hash = (column as i32 + dx) as u32;
        hash = hash.wrapping_mul(0x9e37_79b1) ^ salt;
        hash =
            (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b).wrapping_add((row as i32 + dy) as u32);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        (hash ^ (hash >> 16)) as f32 / u32::MAX as f32
    };
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - column), ease(y - row));
    let blend = |a: f32, b: f32, t: f32| a + (b - a) * t;
    blend(blend(corner(0, 0), corner(1, 0), u), blend(corner(0, 1), corner(1, 1), u), v)
}
