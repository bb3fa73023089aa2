//! Weights of a file that match those of a network, to begin with a network that is partly the same.

use std::path::Path;

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
