//! Converts a weight file to safetensors, with a report of everything in it.

use std::path::Path;

use candle_core::{Device, Tensor, Var};
use deepsim_nets::{InverterConfig, NetError, Params};
use sha2::{Digest, Sha256};

use crate::ImportError;
use crate::assign::{Tensors, assign, mean};
use crate::contents::{Contents, Format};
use crate::file::read;
use crate::nearest;
use crate::net::Net;
use crate::other_layers;
use crate::plan::Plan;
use crate::report::Report;

/// Options of [`import`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Network to import for; by default told from the tensors.
    pub net: Option<Net>,
    /// Rounds the weights to half precision.
    pub half: bool,
    /// Dictionary of a checkpoint, or prefix of names, to read, e.g. `state_dict_ema`; by default
    /// the likeliest.
    pub part: Option<String>,
}

/// Reads weights from `file` and writes them for a network. `output` is a folder, in which the file
/// gets the name of the network, or the name of a file that ends in `.safetensors`.
///
/// If the file cannot be read or is broken, if its tensors are not those of the network (all faults
/// are listed), or if they do not fit half precision. Nothing is written then.
pub fn import(file: &Path, output: &Path, options: &ImportOptions) -> Result<Report, ImportError> {
    let part = options.part.as_deref();
    let (bytes, contents) = read(file, part)?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    drop(bytes);
    let format = contents.format;
    let container = contents.container.clone();
    let mut notes = contents.notes.clone();
    let net = match options.net.clone() {
        _ if format == Format::CaffeBlob && options.net.is_none() => Net::Mean,
        Some(net) => net,
        None => guess(file, &contents, part)?,
    };
    let mut prefix = None;
    let (tensors, lines) = match &net {
        Net::Mean => mean(file, contents.blobs)?,
        net => {
            let mut plan = other_layers::plan(net.clone(), &contents, part);
            let assigned = assign(&mut plan, file, contents, options.net.is_some())?;
            notes.append(&mut plan.notes);
            prefix = Some(plan.prefix).filter(|prefix| !prefix.is_empty());
            assigned
        }
    };
    if options.half {
        notes.extend(vanishing(&tensors));
    }
    let output = match output.extension().is_some_and(|ending| ending == "safetensors") {
        true => output.to_path_buf(),
        false => output.join(format!("{}.safetensors", net.name())),
    };
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).map_err(ImportError::io("creating folder", folder))?;
    }
    // A generator can be opened by its description.
    let mut spec = match &net {
        Net::Generator(kind) => serde_json::from_str(&InverterConfig::released(*kind).spec())
            .expect("descriptions are JSON"),
        net => serde_json::json!({ "net": net.name() }),
    };
    spec["from"] = serde_json::json!({ "net": net.name(), "format": format, "sha256": sha256 });
    let params = params(tensors)?;
    match options.half {
        true => params.save_half(&output, &spec.to_string())?,
        false => params.save(&output, &spec.to_string())?,
    }
    Ok(Report { format, sha256, net, container, prefix, notes, output, lines })
}

fn params(tensors: Tensors) -> Result<Params, ImportError> {
    let var = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok((name, Var::from_tensor(&tensor)?))
    };
    let vars: Result<Params, candle_core::Error> = tensors.into_iter().map(var).collect();
    Ok(vars.map_err(NetError::from)?)
}

/// The sentence for values that half precision rounds to zero.
fn vanishing(tensors: &Tensors) -> Option<String> {
    let values = || tensors.iter().flat_map(|(.., values)| values);
    let gone = |value: &&f32| **value != 0.0 && half::f16::from_f32(**value).to_f32() == 0.0;
    let (gone, all) = (values().filter(gone).count(), values().count());
    (gone > 0).then(|| format!("half precision rounds {gone} of {all} values to zero"))
}

/// The network whose tensors a file has.
fn guess(file: &Path, contents: &Contents, part: Option<&str>) -> Result<Net, ImportError> {
    let nets = Net::all().into_iter().filter(|net| *net != Net::Mean);
    let plans: Vec<Plan> = nets.map(|net| other_layers::plan(net, contents, part)).collect();
    let whole = || plans.iter().filter(|plan| plan.is_whole());
    // Without a whole one, the deepest of those that lack no more than a classifier. LPIPS's own files
    // have such a network beside the heads.
    let trunks =
        || plans.iter().filter(|plan| !plan.is_whole() && plan.has_trunk() && plan.kept > 0);
    let trunks = || trunks().filter(|plan| plan.net.may_end_early());
    let deepest = trunks().map(|plan| plan.kept).max();
    let deepest = trunks().filter(|plan| Some(plan.kept) == deepest);
    let fits: Vec<&Plan> = match whole().all(|plan| plan.net.is_heads()) {
        true => whole().chain(deepest).collect(),
        false => whole().collect(),
    };
    match fits[..] {
        [plan] => Ok(plan.net.clone()),
        [] => Err(ImportError::NoNetwork {
            path: file.into(),
            hints: nearest::nearest(&plans, contents),
        }),
        _ => Err(ImportError::Ambiguous {
            path: file.into(),
            got: fits.iter().map(|plan| plan.net.name()).collect::<Vec<_>>().join(", "),
            known: Net::all().iter().map(Net::name).collect::<Vec<_>>().join(", "),
        }),
    }
}
