//! Weights of a file that match those of a network, to begin with a network that is partly the same.

use std::path::Path;

use candle_core::{Tensor, Var};

use crate::params::{parse, read};
use crate::spec::Spec;
use crate::{Generator, NetError, Params};

/// Weights of a file that match those of a network ([`Params::match_file`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Number of tensors that were taken.
    pub taken: usize,
    /// Names of the network's tensors that were left as they are, each with the reason.
    pub fresh: Vec<String>,
    /// Number of tensors of the file that the network does not have.
    pub unused: usize,
    /// True if the file is of another kind of generator, whose pixels may have another scale.
    pub other_kind: bool,
}

impl std::fmt::Display for Matched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { taken, fresh, unused, other_kind } = self;
        write!(f, "{taken} of {} tensors match", taken + fresh.len())?;
        if !fresh.is_empty() {
            write!(f, "; fresh: {}", fresh.join(", "))?;
        }
        if *unused > 0 {
            write!(f, "; {unused} others of the file are not used")?;
        }
        if *other_kind {
            write!(f, "; it is of another kind of generator, whose pixels may have another scale")?;
        }
        Ok(())
    }
}

impl Generator {
    /// Loads those weights of a file that the generator has too ([`Params::match_file`]).
    ///
    /// # Errors
    /// As [`Params::match_file`].
    pub fn begin_with_matching(&self, path: &Path) -> Result<Matched, NetError> {
        let matched = self.params().match_file(path)?;
        let other_kind = Spec::read(path).is_ok_and(|found| {
            !matches!(
                (self, found),
                (Self::Autoencoder(_), Spec::Autoencoder(_))
                    | (Self::Inverter(_), Spec::Inverter(_))
                    | (Self::Vae(_), Spec::Vae(_))
            )
        });
        Ok(Matched { other_kind, ..matched })
    }
}

impl Params {
    /// Loads the weights of a file. A tensor that is larger along one dimension takes those of the file as its first ones, and
    /// keeps the others.
    ///
    /// # Errors
    /// As [`Params::load`].
    pub(crate) fn load_leading(&self, path: &Path, net: &str) -> Result<(), NetError> {
        let bytes = read(path)?;
        let file = parse(path, &bytes)?;
        let mut leading = Vec::with_capacity(self.len());
        for (name, var) in self.iter() {
            let shape = file.tensor(name).map_or(var.dims().to_vec(), |view| view.shape().to_vec());
            let larger = grown(&shape, var.dims());
            let dims = if larger.is_some() { &shape } else { var.dims() };
            leading.push((name.to_owned(), Var::zeros(dims, var.dtype(), var.device())?, larger));
        }
        let loaded: Self =
            leading.iter().map(|(name, var, _)| (name.clone(), var.clone())).collect();
        loaded.fill(&file, path, net, |name| Some(name.to_owned()))?;
        for ((_, first, larger), (_, var)) in leading.iter().zip(self.iter()) {
            var.set(&match *larger {
                None => first.as_tensor().clone(),
                Some(dim) => {
                    let (taken, all) = (first.dim(dim)?, var.dim(dim)?);
                    let kept = var.narrow(dim, taken, all - taken)?;
                    Tensor::cat(&[first.as_tensor(), &kept], dim)?
                }
            })?;
        }
        Ok(())
    }

    /// Loads those weights of a file that these have too, by name and shape, and leaves the others as they are: to begin
    /// with a network that is partly the same.
    ///
    /// # Errors
    /// If the file cannot be read, no weight matches, or one that does is not finite. The weights are then unchanged.
    ///
    /// ```
    /// use candle_core::Device;
    /// use deepsim_nets::{Autoencoder, AutoencoderConfig};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let new = |code_channels| {
    ///     let config = AutoencoderConfig { code_channels, ..Default::default() };
    ///     Autoencoder::new(config, 0, &Device::Cpu)
    /// };
    /// let file = std::env::temp_dir().join(format!("matching-{}.safetensors", std::process::id()));
    /// new(8)?.save(&file)?;
    /// // All but the layers around the code, which is twice as wide.
    /// let matched = new(16)?.params().match_file(&file)?;
    /// assert_eq!((matched.taken, matched.fresh.len()), (18, 3));
    /// assert!(matched.fresh[0].starts_with("encoder.c7.weight"));
    /// # std::fs::remove_file(file)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn match_file(&self, path: &Path) -> Result<Matched, NetError> {
        let bytes = read(path)?;
        let file = parse(path, &bytes)?;
        let mut names = Vec::new();
        let mut matched = Matched::default();
        for (name, var) in self.iter() {
            match file.tensor(name) {
                Ok(view) if view.shape() == var.dims() => names.push(name),
                Ok(view) => matched.fresh.push(format!(
                    "{name} (expected {:?}, found {:?})",
                    var.dims(),
                    view.shape()
                )),
                Err(_) => matched.fresh.push(format!("{name} (not there)")),
            }
        }
        if names.is_empty() {
            return Err(NetError::Mismatch {
                path: path.into(),
                net: "the network".into(),
                problems: matched.fresh,
            });
        }
        let own = self.part(|name| names.contains(&name));
        own.fill(&file, path, "the network", |name| own.get(name).map(|_| name.to_owned()))?;
        matched.taken = names.len();
        matched.unused = file.names().into_iter().filter(|name| self.get(name).is_none()).count();
        Ok(matched)
    }
}

/// Dimension along which a shape is larger than another, if it is the only one that differs.
fn grown(from: &[usize], to: &[usize]) -> Option<usize> {
    let mut differing = (0..to.len()).filter(|dim| from.get(*dim) != to.get(*dim));
    let (dim, more) = (differing.next()?, differing.next());
    (from.len() == to.len() && more.is_none() && from[dim] < to[dim]).then_some(dim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComparatorKind, Inverter, InverterConfig};
    use candle_core::{DType, Device};

    #[test]
    fn an_inverter_begins_with_one_that_takes_less_noise() -> Result<(), NetError> {
        let folder = tempfile::tempdir().expect("a folder");
        let small = InverterConfig {
            small: true,
            ..InverterConfig::new(ComparatorKind::alexnet(), "CONV5", &[16, 3, 3], 64)
        };
        let with = |noise, global_noise, stage_noise| InverterConfig {
            noise,
            global_noise,
            stage_noise,
            ..small.clone()
        };
        let x = Tensor::ones((1, 16, 3, 3), DType::F32, &Device::Cpu)?;
        let images = |net: &Inverter, noise: Option<&Tensor>| -> Result<Vec<f32>, NetError> {
            Ok(net.forward(&x, noise)?.tensor().flatten_all()?.to_vec1()?)
        };
        // Of what the networks share the same images are drawn where the other noise is zero.
        for (less, more) in [((0, 0, 0), (4, 2, 3)), ((4, 2, 0), (4, 2, 3)), ((4, 2, 1), (4, 5, 3))]
        {
            let less = Inverter::new(with(less.0, less.1, less.2), 1, &Device::Cpu)?;
            let more = Inverter::new(with(more.0, more.1, more.2), 2, &Device::Cpu)?;
            let file = folder.path().join("less.safetensors");
            less.params().save(&file, &less.spec())?;
            Generator::Inverter(more.clone()).begin_with(&file)?;
            let zero = |net: &Inverter| -> Result<Option<Tensor>, NetError> {
                let noise = net.noise(1, &mut crate::random::stream(0, "noise", 0))?;
                Ok(noise.map(|noise| noise.zeros_like()).transpose()?)
            };
            let (a, b) =
                (images(&less, zero(&less)?.as_ref())?, images(&more, zero(&more)?.as_ref())?);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3), "{:?}", more.config());
            // The new noise matters: its weights are not zero.
            let noise = more.noise(1, &mut crate::random::stream(0, "noise", 0))?;
            assert!(images(&more, noise.as_ref())? != b);
            // Less noise than the file's, or other channels first, is another network.
            more.params().save(&file, &more.spec())?;
            assert!(Generator::Inverter(less).begin_with(&file).is_err());
        }
        let other = Inverter::new(with(2, 0, 0), 1, &Device::Cpu)?;
        let file = folder.path().join("other.safetensors");
        other.params().save(&file, &other.spec())?;
        let net = Generator::Inverter(Inverter::new(with(4, 0, 0), 1, &Device::Cpu)?);
        assert!(net.begin_with(&file).is_err());
        Ok(())
    }
}
