//! Networks from their tables and weight files.

use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};
use deepsim_ops::{Upsampling, upsample};
use safetensors::tensor::SafeTensors;

use super::{Comparator, ComparatorKind, ComparatorSpec, WeightsOrigin};
use crate::image::{Images, PixelFormat};
use crate::layers::{Layer, Stack};
use crate::params::{Params, parse, read};
use crate::sides::{Sides, sides, through};
use crate::{NetError, Pass, shipped};

/// Ending of a tensor of PyTorch's batch normalisation that counts the steps of training.
const COUNTER: &str = ".num_batches_tracked";

impl ComparatorKind {
    /// Names and shapes of the whole network's weights, in the order of its layers.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.spec().tensors().concat()
    }

    /// Sides of the images that the network can be computed for, up to a tap.
    ///
    /// # Errors
    /// If the network has no such tap.
    pub fn sides(&self, tap: &str) -> Result<Sides, NetError> {
        let sides = sides(self.rows(tap)?);
        // Smaller images are enlarged to a size that fits.
        let enlarged = self.spec().input.is_some_and(|side| sides.contains(side));
        Ok(if enlarged { Sides { least: 1, ..sides } } else { sides })
    }

    /// Shape of one image's features at a tap, `(C, H, W)` or `(C)`, for an image of this height and width;
    /// nothing is computed.
    ///
    /// # Errors
    /// If the network has no such tap, or images of this size do not fit.
    ///
    /// ```
    /// use deepsim_nets::ComparatorKind;
    /// let alexnet = ComparatorKind::alexnet();
    /// assert_eq!(alexnet.shape("CONV3", 64, 64)?, [384, 3, 3]);
    /// let message = alexnet.shape("CONV5", 32, 32).unwrap_err().to_string();
    /// assert_eq!(message, "alexnet CONV5: expected sides of at least 39 pixels, found 32");
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn shape(&self, tap: &str, height: usize, width: usize) -> Result<Vec<usize>, NetError> {
        let rows = self.rows(tap)?;
        let (h, w) = self.spec().enlarged(height, width);
        match through(rows, [h, w]) {
            Some(shape) => Ok(shape),
            None => Err(NetError::Size {
                operation: format!("{} {tap}", self.name()),
                expected: self.sides(tap)?,
                found: (height, width),
            }),
        }
    }

    /// Cost of one pass over an image of `side` pixels up to a tap.
    ///
    /// # Errors
    /// If the network has no such tap, or images of this size do not fit.
    pub fn cost(&self, tap: &str, side: usize) -> Result<Pass, NetError> {
        self.shape(tap, side, side)?;
        let (side, _) = self.spec().enlarged(side, side);
        let mut pass = Pass::default();
        pass.begin(self.rows(tap)?, "", &[3, side, side])?;
        Ok(pass)
    }

    /// The table up to a tap.
    pub(crate) fn rows(&self, tap: &str) -> Result<&[Layer], NetError> {
        let end = self.spec().row(tap).ok_or_else(|| NetError::UnknownTap {
            net: self.name().into(),
            wanted: self.taps().into_iter().map(str::to_owned).collect(),
            got: tap.into(),
        })?;
        Ok(&self.spec().layers[..=end])
    }

    /// Builds the network with the weights that come with the project, as deep as these go.
    ///
    /// # Errors
    /// If none come with it or the file is not there ([`shipped`]), or as [`ComparatorKind::open`].
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::ComparatorKind;
    /// let net = ComparatorKind::exemplar_cnn().open_shipped(&Device::Cpu)?;
    /// assert_eq!(net.taps(), ["CONV1", "CONV2", "CONV3"]);
    /// let error = ComparatorKind::alexnet().open_shipped(&Device::Cpu).map(drop).unwrap_err();
    /// assert!(error.to_string().starts_with("alexnet: expected weights that come with the project"));
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn open_shipped(&self, device: &Device) -> Result<Box<dyn Comparator>, NetError> {
        let weights = self.find_weights(None).ok_or_else(|| NetError::Table {
            place: self.name().into(),
            expected: "weights that come with the project".into(),
            found: match self.spec().shipped {
                true => {
                    format!("no such file; name the folder of `weights` in {}", shipped::VARIABLE)
                }
                false => "none; open a file of your own".into(),
            },
        })?;
        self.open(Some(&weights), 0, device)
    }

    /// Builds the network with weights from a safetensors file, as deep as the file goes: one that
    /// ends with conv5 gives a network that ends with pool5. Without a file, builds its
    /// convolutional part with random weights drawn from `seed`, even if weights come with the project: see
    /// [`ComparatorKind::open_shipped`].
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold exactly this network's tensors up to some layer.
    pub fn open(
        &self,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        self.build(None, weights, seed, device)
    }

    /// Builds the network up to a tap, with weights from a safetensors file, or with random weights.
    /// Deeper tensors of the file are left alone.
    ///
    /// # Errors
    /// If the network has no such tap, the file cannot be read, or does not hold the tensors up to
    /// the tap.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{ComparatorKind, Images, PixelFormat};
    /// let net = ComparatorKind::alexnet().open_to("CONV2", None, 0, &Device::Cpu)?;
    /// assert_eq!(net.taps(), ["CONV1", "CONV2"]);
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn open_to(
        &self,
        tap: &str,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        self.build(Some(self.rows(tap)?.len()), weights, seed, device)
    }

    /// Builds the network with the bytes of a safetensors file, as deep as these go. `name` says in messages where
    /// they are from.
    ///
    /// # Errors
    /// If the bytes do not hold exactly this network's tensors up to some layer.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{ComparatorKind, layers::Stack};
    /// let kind = ComparatorKind::exemplar_cnn();
    /// // Weights of a program of your own, or `include_bytes!`.
    /// let (_, params) = Stack::new(&kind.spec().layers, 3, "mine", 0, &Device::Cpu)?;
    /// let net = kind.open_bytes(&params.to_safetensors("{}")?, "mine", &Device::Cpu)?;
    /// assert_eq!(net.origin().to_string(), "weights mine, in memory");
    /// # Ok::<(), deepsim_nets::NetError>(())
    /// ```
    pub fn open_bytes(
        &self,
        bytes: &[u8],
        name: &str,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        let path = Path::new(name);
        let file = parse(path, bytes)?;
        let end = depth(self.spec(), &file);
        let (stack, params) = self.stack(end, 0, device)?;
        self.fill(&params, 0..end, &file, path)?;
        self.finish(stack, end, WeightsOrigin::Memory(name.into()))
    }

    /// Builds the first `end` rows of the table, or as many as the file holds.
    fn build(
        &self,
        end: Option<usize>,
        weights: Option<&Path>,
        seed: u64,
        device: &Device,
    ) -> Result<Box<dyn Comparator>, NetError> {
        let spec = self.spec();
        let Some(path) = weights else {
            let end = end.unwrap_or(spec.convolutional());
            let (stack, _) = self.stack(end, seed, device)?;
            return self.finish(stack, end, WeightsOrigin::Random(seed));
        };
        let bytes = read(path)?;
        let file = parse(path, &bytes)?;
        let end = end.unwrap_or_else(|| depth(spec, &file));
        let (stack, params) = self.stack(end, seed, device)?;
        // A head may lie in a file of its own, beside that of the convolutions.
        let trunk = spec
            .trunk
            .as_ref()
            .and_then(|trunk| trunk.parse::<Self>().ok()?.find_weights(path.parent()));
        match trunk {
            None => self.fill(&params, 0..end, &file, path)?,
            Some(beside) => {
                let middle = spec.convolutional().min(end);
                let bytes = read(&beside)?;
                self.fill(&params, 0..middle, &parse(&beside, &bytes)?, &beside)?;
                self.fill(&params, middle..end, &file, path)?;
            }
        }
        self.finish(stack, end, WeightsOrigin::File(path.into()))
    }

    /// The first `end` rows with random weights.
    fn stack(&self, end: usize, seed: u64, device: &Device) -> Result<(Stack, Params), NetError> {
        Stack::new(&self.spec().layers[..end], 3, self.name(), seed, device)
    }

    /// Fills the weights of some rows from a file, in which tensors of other rows are left alone.
    fn fill(
        &self,
        params: &Params,
        rows: Range<usize>,
        file: &SafeTensors<'_>,
        path: &Path,
    ) -> Result<(), NetError> {
        let spec = self.spec();
        let tensors = spec.tensors();
        let among = |rows: &[Vec<(String, Vec<usize>)>], name: &str| {
            rows.iter().flatten().any(|(known, _)| known == name)
        };
        let part = params.part(|name| among(&tensors[rows.clone()], name));
        let others = [&tensors[..rows.start], &tensors[rows.end..]];
        part.fill(file, path, self.name(), |name| {
            let own = own_name(spec, name);
            let left = name.ends_with(COUNTER) || others.iter().any(|rows| among(rows, &own));
            (!left).then_some(own)
        })
    }

    fn finish(
        &self,
        stack: Stack,
        end: usize,
        origin: WeightsOrigin,
    ) -> Result<Box<dyn Comparator>, NetError> {
        let taps = || self.spec().taps.iter().map(|(tap, _)| &**tap);
        let rows: Vec<usize> = taps().filter_map(|tap| self.spec().row(tap)).collect();
        let stack = stack.frozen().folded(&rows)?;
        Ok(Box::new(FeatureNet { kind: self.clone(), stack, end, origin }))
    }
}

/// Returns the network's own name of a tensor; the file may name the layer as another program does.
fn own_name(spec: &ComparatorSpec, name: &str) -> String {
    let renamed = name
        .rsplit_once('.')
        .and_then(|(layer, part)| spec.alias(layer).map(|row| format!("{row}.{part}")));
    renamed.unwrap_or_else(|| name.to_owned())
}

/// Counts the rows that a file has weights for, and the rows without weights that follow the last one.
fn depth(spec: &ComparatorSpec, file: &SafeTensors<'_>) -> usize {
    let names: Vec<String> = file.names().into_iter().map(|name| own_name(spec, name)).collect();
    let tensors = spec.tensors();
    let held = |row: &Vec<(String, _)>| row.iter().any(|(name, _)| names.contains(name));
    let last = tensors.iter().rposition(held).unwrap_or(tensors.len() - 1);
    let rest = &tensors[last + 1..];
    last + 1 + rest.iter().position(|row| !row.is_empty()).unwrap_or(rest.len())
}

/// A [`Stack`] with names for its taps.
struct FeatureNet {
    kind: ComparatorKind,
    stack: Stack,
    /// Rows of the table that the stack has.
    end: usize,
    origin: WeightsOrigin,
}

impl FeatureNet {
    /// The row of a tap, if the network goes so deep.
    fn row(&self, tap: &str) -> Option<usize> {
        self.kind.spec().row(tap).filter(|row| *row < self.end && !self.stack.is_folded(*row))
    }
}

impl Comparator for FeatureNet {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn format(&self) -> PixelFormat {
        self.kind.spec().pixels
    }

    fn taps(&self) -> Vec<String> {
        let taps = self.kind.taps().into_iter().filter(|tap| self.row(tap).is_some());
        taps.map(str::to_owned).collect()
    }

    fn origin(&self) -> &WeightsOrigin {
        &self.origin
    }

    fn features_at(&self, images: &Images, taps: &[&str]) -> Result<Vec<Tensor>, NetError> {
        let (height, width) = (images.height(), images.width());
        let mut wanted = Vec::with_capacity(taps.len());
        for tap in taps {
            wanted.push(self.row(tap).ok_or_else(|| NetError::UnknownTap {
                net: self.name().into(),
                wanted: self.taps(),
                got: (*tap).into(),
            })?);
            self.kind.shape(tap, height, width)?;
        }
        let mut rows = wanted.clone();
        rows.sort_unstable();
        rows.dedup();
        let images = images.convert(self.format())?;
        let outputs = match self.kind.spec().enlarged(height, width) {
            same if same == (height, width) => self.stack.forward_to(images.tensor(), &rows)?,
            size => {
                let large = upsample(images.tensor(), size, Upsampling::Bilinear)?;
                self.stack.forward_to(&large, &rows)?
            }
        };
        let output = |row: &usize| outputs[rows.partition_point(|other| other < row)].clone();
        Ok(wanted.iter().map(output).collect())
    }
}
