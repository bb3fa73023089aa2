//! Linear probes: accuracy of linear SVMs on a comparator's features, by the fold protocol of
//! STL-10, against other networks, random weights and pixels.
//!
//! Feature maps are max-pooled over the four quadrants of the image, as in the Exemplar-CNN release.

use std::path::Path;
use std::str::FromStr;

use candle_core::{Device, Tensor};
use deepsim_data::{Crop, Dataset, Source, read_range};
use deepsim_nets::{Comparator, ComparatorKind, Images, PixelFormat};
use tracing::field::Empty;
use tracing::info_span;

use crate::EvalError;
use crate::comparators::deepest;
use crate::measure::Row;
use crate::metrics::pixels::block_means;
use crate::metrics::statistics::percentile_of_magnitudes;
use crate::svm::{Examples, Protocol, accuracy_over_folds, check_labels};

/// Images in one pass through a network.
const BATCH: usize = 50;
/// Maps are pooled over this many parts along each axis, of a map with one row or column over one.
const QUADRANTS: usize = 2;

/// Features to probe, written `pixels`, `NET:TAP`, `NET:TAP+TAP`, or `NET:TAP@random` for random weights.
///
/// ```
/// let probe: deepsim_eval::probe::Probe = "exemplar-cnn:CONV2+CONV3@random".parse()?;
/// assert_eq!(probe.to_string(), "exemplar-cnn:CONV2+CONV3@random");
/// assert!("exemplar-cnn:CONV9".parse::<deepsim_eval::probe::Probe>().is_err());
/// # Ok::<(), deepsim_eval::EvalError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Pixels, averaged over blocks of 4x4.
    Pixels,
    /// Features of a network.
    Network {
        /// The network.
        kind: ComparatorKind,
        /// Taps of the network; features of all are put together.
        taps: Vec<String>,
        /// True to draw its weights at random and look for none.
        random: bool,
    },
}

impl FromStr for Probe {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        if text == "pixels" {
            return Ok(Self::Pixels);
        }
        let unknown =
            |what, known: String, got: &str| EvalError::Unknown { what, known, got: got.into() };
        let (rest, random) = match text.strip_suffix("@random") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (net, taps) = rest.rsplit_once(':').ok_or_else(|| {
            unknown("probe", "pixels, NET:TAP, NET:TAP+TAP, each with @random".into(), text)
        })?;
        let kind: ComparatorKind = net.parse()?;
        let taps: Vec<String> = taps.split('+').map(str::to_owned).collect();
        match taps.iter().find(|tap| !kind.taps().contains(&tap.as_str())) {
            Some(tap) => Err(unknown("tap", kind.taps().join(", "), tap)),
            None => Ok(Self::Network { kind, taps, random }),
        }
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pixels => write!(f, "pixels"),
            Self::Network { kind, taps, random } => {
                let random = if *random { "@random" } else { "" };
                write!(f, "{}:{}{random}", kind, taps.join("+"))
            }
        }
    }
}

impl Probe {
    /// Trains and tests SVMs on these features.
    ///
    /// # Errors
    /// If a network without `@random` has no weights in the folder, data cannot be read, or training
    /// is impossible.
    pub fn accuracy(
        &self,
        dataset: &Dataset,
        weights: Option<&Path>,
        protocol: &Protocol,
        device: &Device,
    ) -> Result<Row, EvalError> {
        check_labels("probe", dataset)?;
        let net = self.open(weights, protocol.seed, device)?;
        let features = |images: &dyn Source| {
            let mut columns = self.features(net.as_deref(), images, device)?;
            if columns.is_empty() {
                columns.push(Columns::default());
            }
            Ok::<_, EvalError>(columns)
        };
        let (train, test) = (features(&*dataset.train.images)?, features(&*dataset.test.images)?);
        // One scale for each layer, from the training images.
        let scales: Vec<f32> = train
            .iter()
            .map(|columns| match percentile_of_magnitudes(&columns.values, protocol.percentile) {
                scale if scale > 0.0 => scale as f32,
                _ => 1.0,
            })
            .collect();
        let (train, test) = (joined(&train, &scales), joined(&test, &scales));
        let dimensions = train.width;
        let train = Examples::new(&train.values, dimensions, &dataset.train.labels)?;
        let test = Examples::new(&test.values, dimensions, &dataset.test.labels)?;
        let name = self.to_string();
        let found = accuracy_over_folds(&name, train, test, &dataset.folds, protocol)?;
        let origin = net.map_or(String::new(), |net| format!("{}; ", net.origin()));
        let note = format!(
            "{origin}{dimensions} numbers; {} folds of {} images, tested on {}; C = {:.5} of {} \
             draws; spread over folds{}",
            found.folds.len(),
            dataset.folds.first().map_or(0, Vec::len),
            dataset.test.images.len(),
            found.c,
            protocol.draws,
            if found.converged { "" } else { "; NOT all machines converged" },
        );
        Ok(Row::new(name, found.mean, "%", note).with_spread(found.spread))
    }

    fn open(
        &self,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Option<Box<dyn Comparator>>, EvalError> {
        let Self::Network { kind, taps, random } = self else { return Ok(None) };
        let file = kind.find_weights(weights).filter(|_| !random);
        if file.is_none() && !random {
            let wanted = format!("weights of {} in --weights, or {self}@random", kind.name());
            return Err(EvalError::input("probe", wanted, "none"));
        }
        Ok(Some(kind.open_to(deepest(kind, taps), file.as_deref(), seed, device)?))
    }

    /// Features of all images, layer by layer.
    fn features(
        &self,
        net: Option<&dyn Comparator>,
        images: &dyn Source,
        device: &Device,
    ) -> Result<Vec<Columns>, EvalError> {
        let what = format!("features: {self}");
        let (mut layers, n): (Vec<Columns>, usize) = (Vec::new(), images.len());
        let span = info_span!("features", what, total = n as u64, done = Empty).entered();
        for start in (0..n).step_by(BATCH) {
            let batch = read_range(images, start..(start + BATCH).min(n), Crop::Full)?;
            let (count, height, width) = (batch.n, batch.height, batch.width);
            let rows: Vec<Vec<f32>> = match (self, net) {
                (Self::Network { taps, .. }, Some(net)) => {
                    let format = PixelFormat::RGB_U8;
                    let images =
                        Images::from_u8(&batch.pixels, count, height, width, format, device)?;
                    let taps: Vec<&str> = taps.iter().map(String::as_str).collect();
                    let maps = net.features_at(&images, &taps)?;
                    maps.iter().map(quadrants).collect::<Result<_, _>>()?
                }
                _ => vec![block_means(&batch.pixels, height, width)],
            };
            layers.resize_with(rows.len(), Columns::default);
            for (layer, rows) in layers.iter_mut().zip(rows) {
                layer.width = rows.len() / count;
                layer.values.extend(rows);
            }
            span.record("done", (start + count) as u64);
        }
        Ok(layers)
    }
}

/// Rows of equal width, one for each image.
#[derive(Default)]
struct Columns {
    width: usize,
    values: Vec<f32>,
}

/// Layers side by side, each divided by its scale.
fn joined(layers: &[Columns], scales: &[f32]) -> Columns {
    let width = layers.iter().map(|layer| layer.width).sum();
    let rows = layers.first().map_or(0, |layer| layer.values.len() / layer.width.max(1));
    let mut values = Vec::with_capacity(rows * width);
    for row in 0..rows {
        for (layer, scale) in layers.iter().zip(scales) {
            let row = &layer.values[row * layer.width..(row + 1) * layer.width];
            values.extend(row.iter().map(|value| value / scale));
        }
    }
    Columns { width, values }
}

/// The largest value of every map in each of its quadrants.
///
/// # Shapes
/// `(N, C, H, W)` -> `N * C * 4` numbers, less where a side is 1; `(N, C)` -> `N * C`
fn quadrants(maps: &Tensor) -> Result<Vec<f32>, EvalError> {
    let values = || maps.flatten_all()?.to_vec1::<f32>();
    let values = values().map_err(deepsim_nets::NetError::from)?;
    let &[_, _, height, width] = maps.dims() else { return Ok(values) };
    // Rows in the middle of an odd height belong to both halves.
    let halves = |length: usize| -> Vec<std::ops::Range<usize>> {
        let half = |i| i * (length / 2)..length - (1 - i) * (length / 2);
        (0..QUADRANTS.min(length)).map(half).collect()
    };
    let (rows, columns) = (halves(height), halves(width));
    let mut pooled = Vec::new();
    for map in values.chunks_exact(height * width) {
        for rows in &rows {
            for columns in &columns {
                let cells = rows.clone().flat_map(|row| &map[row * width..][columns.clone()]);
                pooled.push(cells.copied().fold(f32::MIN, f32::max));
            }
        }
    }
    Ok(pooled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_pooled_over_quadrants() -> Result<(), Box<dyn std::error::Error>> {
        let maps = Tensor::arange(0f32, 24.0, &Device::Cpu)?;
        assert_eq!(quadrants(&maps.reshape((1, 1, 4, 6))?)?, [8.0, 11.0, 20.0, 23.0]);
        // The middle of five rows belongs to both halves.
        let odd = Tensor::arange(0f32, 10.0, &Device::Cpu)?.reshape((1, 1, 5, 2))?;
        assert_eq!(quadrants(&odd)?, [4.0, 5.0, 8.0, 9.0]);
        assert_eq!(quadrants(&maps.reshape((2, 12, 1, 1))?)?.len(), 24);
        assert_eq!(quadrants(&maps.reshape((2, 12))?)?.len(), 24);
        Ok(())
    }

    #[test]
    fn probes_are_read_as_they_are_written() {
        for text in ["pixels", "alexnet:CONV5", "exemplar-cnn:CONV1+CONV3@random"] {
            assert_eq!(text.parse::<Probe>().map(|p| p.to_string()).ok().as_deref(), Some(text));
        }
        for (text, words) in [
            ("alexnet", "NET:TAP"),
            ("lexnet:CONV5", "unknown network `lexnet`"),
            ("exemplar-cnn:CONV5", "unknown tap `CONV5`; known are CONV1"),
            ("exemplar-cnn:CONV1+", "unknown tap ``"),
        ] {
            let message = text.parse::<Probe>().expect_err(text).to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn layers_stand_side_by_side_in_their_own_scale() {
        let layer = |width, values: &[f32]| Columns { width, values: values.to_vec() };
        let both = joined(&[layer(1, &[2.0, 4.0]), layer(2, &[3.0, 6.0, 9.0, 12.0])], &[2.0, 3.0]);
        assert_eq!((both.width, &both.values[..]), (3, &[1.0, 1.0, 2.0, 2.0, 3.0, 4.0][..]));
    }
}
