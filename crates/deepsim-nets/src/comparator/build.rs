//! Networks from their tables and weight files.

use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::SafeTensors;

use super::{Comparator, ComparatorKind, Table, WeightsOrigin, row};
use crate::image::{Images, PixelFormat};
use crate::layers::{Layer, Op, Stack};
use crate::params::{ParamBuilder, Params, parse, read};
use crate::sides::{Sides, sides, through};
use crate::{NetError, Pass};

impl ComparatorKind {
    /// Sides of the images that the network can be computed for, up to a tap.
    ///
    /// # Errors
    /// If the network has no such tap.
    pub fn sides(self, tap: &str) -> Result<Sides, NetError> {
        Ok(sides(self.rows(tap)?))
    }

    /// Shape of one image's features at a tap, `(C, H, W)` or `(C)`, for an image of this height and width;
    /// nothing is computed.
    ///
    /// # Errors
    /// If the network has no such tap, or images of this size do not fit.
    ///
    /// ```
    /// use deepsim_nets::ComparatorKind;
    /// assert_eq!(ComparatorKind::AlexNet.shape("CONV3", 64, 64)?, [384, 3, 3]);
    /// let message = ComparatorKind::AlexNet.shape("CONV5", 32, 32).unwrap_err().to_string();
    /// assert_eq!(message, "alexnet CONV5: expected sides of at least 39 pixels, found 32");
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn shape(self, tap: &str, height: usize, width: usize) -> Result<Vec<usize>, NetError> {
        let rows = self.rows(tap)?;
        through(rows, [height, width]).ok_or_else(|| NetError::Size {
            operation: format!("{} {tap}", self.name()),
            expected: sides(rows),
            found: (height, width),
        })
    }

    /// Cost of one pass over an image of `side` pixels up to a tap.
    ///
    /// # Errors
    /// If the network has no such tap, or images of this size do not fit.
    pub fn cost(self, tap: &str, side: usize) -> Result<Pass, NetError> {
        self.shape(tap, side, side)?;
        let mut pass = Pass::default();
        pass.begin(self.rows(tap)?, "", &[3, side, side])?;
        Ok(pass)
    }

    /// The table up to a tap.
    pub(super) fn rows(self, tap: &str) -> Result<&'static [Layer], NetError> {
        let table = self.table();
        let end = row(table.layers, table.taps, tap).ok_or_else(|| NetError::UnknownTap {
            net: self.name().into(),
            wanted: self.taps().into_iter().map(str::to_owned).collect(),
            got: tap.into(),
        })?;
        Ok(&table.layers[..=end])
    }

    /// Builds the first `end` rows of the table, or as many as the file holds.
    pub(super) fn build(
        self,
        end: Option<usize>,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        let table = self.table();
        // A head may lie in a file of its own, beside that of the convolutions.
        let beside = |head: &Path| Self::AlexNet.find_weights(head.parent()?);
        let trunk = weights.filter(|_| self == Self::AlexNetStandIn).and_then(beside);
        let read = |path: &Path| Ok::<_, NetError>((path.to_owned(), read(path)?));
        let trunk = trunk.as_deref().map(read).transpose()?;
        let bytes = weights.map(read).transpose()?;
        let file = match &bytes {
            Some((path, bytes)) => Some((path, parse(path, bytes)?)),
            None => None,
        };
        let end = match (end, &file) {
            (Some(end), _) => end,
            (None, Some((_, file))) => table.depth(file),
            (None, None) => table.convolutional,
        };
        let mut builder = ParamBuilder::new(self.name(), seed, device);
        let stack = Stack::new(&table.layers[..end], 3, "", &mut builder)?.frozen();
        let origin = match file {
            Some((path, file)) => {
                let deeper = &table.layers[end..];
                let fill = |part: &Params, file: &SafeTensors<'_>, path: &Path, convs: bool| {
                    part.fill(file, path, self.name(), |name| {
                        let wanted = !deeper.iter().any(|layer| belongs(name, layer))
                            && (!convs || name.starts_with("conv"));
                        wanted.then(|| name.to_owned())
                    })
                };
                match &trunk {
                    None => fill(&builder.params, &file, path, false)?,
                    Some((beside, bytes)) => {
                        let part = |convs: bool| {
                            builder.params.part(|name| name.starts_with("conv") == convs)
                        };
                        fill(&part(true), &parse(beside, bytes)?, beside, true)?;
                        fill(&part(false), &file, path, false)?;
                    }
                }
                WeightsOrigin::File(path.into())
            }
            None => WeightsOrigin::Random(seed),
        };
        let taps = table.taps.iter().filter_map(|(tap, name)| {
            Some((*tap, table.layers[..end].iter().position(|layer| layer.name == *name)?))
        });
        let taps = taps.collect();
        Ok(Box::new(FeatureNet { kind: self, stack, taps, format: table.format, origin }))
    }
}

impl Table {
    /// How many rows a file has weights for, with the rows without weights that follow the last one.
    fn depth(&self, file: &SafeTensors<'_>) -> usize {
        let names = file.names();
        let held = |layer: &Layer| names.iter().any(|name| belongs(name, layer));
        let last = self.layers.iter().rposition(held).unwrap_or(self.layers.len() - 1);
        let weighted =
            |op: Op| matches!(op, Op::Conv(_) | Op::UpConv(_) | Op::Linear(..) | Op::Fire { .. });
        let rest = &self.layers[last + 1..];
        last + 1 + rest.iter().position(|layer| weighted(layer.op)).unwrap_or(rest.len())
    }
}

/// Whether a tensor is a row's, by its name.
fn belongs(name: &str, layer: &Layer) -> bool {
    name.strip_prefix(layer.name).is_some_and(|rest| rest.starts_with(['.', '/']))
}

/// A [`Stack`] with names for its taps.
struct FeatureNet {
    kind: ComparatorKind,
    stack: Stack,
    /// Names and positions in the table.
    taps: Vec<(&'static str, usize)>,
    format: PixelFormat,
    origin: WeightsOrigin,
}

impl FeatureNet {
    fn position(&self, tap: &str) -> Result<usize, NetError> {
        let named = self.taps.iter().find(|(name, _)| *name == tap).map(|(_, row)| *row);
        named.or_else(|| self.stack.layers().position(|layer| layer.name == tap)).ok_or_else(|| {
            NetError::UnknownTap { net: self.name().into(), wanted: self.taps(), got: tap.into() }
        })
    }
}

impl Comparator for FeatureNet {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn format(&self) -> PixelFormat {
        self.format
    }

    fn taps(&self) -> Vec<String> {
        self.taps.iter().map(|(tap, _)| (*tap).to_owned()).collect()
    }

    fn origin(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
        let wanted =
            taps.iter().map(|tap| self.position(tap)).collect::<Result<Vec<usize>, _>>()?;
        let (height, width) = (images.height(), images.width());
        for tap in taps {
            self.kind.shape(tap, height, width)?;
        }
        let mut rows = wanted.clone();
        rows.sort_unstable();
        rows.dedup();
        let images = images.convert(self.format)?;
        let outputs = self.stack.forward_to(images.tensor(), &rows)?;
        let output = |row: &usize| outputs[rows.partition_point(|other| other < row)].clone();
        Ok(wanted.iter().map(output).collect())
    }
}
