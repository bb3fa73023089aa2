//! The authors' own generators, measured like ours.

use std::path::Path;

use anyhow::{Result, bail};

use super::evaluate::evaluate;
use super::{Failures, Job};
use crate::plan::{Planned, State};
use crate::process::{self, say};
use crate::runs::Run;
use crate::runs::inversion::Layer;
use crate::targets::Experiment;

/// A generator of the release.
#[derive(Clone, Copy)]
struct Released {
    layer: Layer,
    /// Its folder in the release.
    folder: &'static str,
    /// Its form, for `deepsim import`.
    net: &'static str,
    /// What its label has to say of the loss.
    loss: &'static str,
}

const RELEASED: [Released; 5] = [
    Released { layer: Layer::Conv5, folder: "pool5", net: "generator-pool5", loss: "" },
    Released { layer: Layer::Fc6, folder: "fc6", net: "generator-fc6", loss: "" },
    Released {
        layer: Layer::Fc6,
        folder: "fc6_eucl",
        net: "generator-fc6",
        loss: ", image loss only",
    },
    Released { layer: Layer::Fc7, folder: "fc7", net: "generator-fc7", loss: "" },
    Released { layer: Layer::Fc8, folder: "fc8", net: "generator-fc8", loss: "" },
];

/// In the folder of a layer.
const FILE: &str = "generator.caffemodel";

/// Imports and measures the generators for some layers; returns those that were, for the report.
///
/// # Errors
/// If this program was told to stop.
pub(super) fn measure(
    job: &Job<'_>,
    release: &Path,
    layers: &[Layer],
    failures: &mut Failures,
) -> Result<Vec<Planned>> {
    // A network with random weights would stand for the one that they inverted.
    let encoder = job.arguments.weights().map(|folder| folder.join("caffenet.safetensors"));
    if !encoder.is_some_and(|file| file.is_file()) {
        let why = "--reference: wanted caffenet.safetensors in --weights (docs/weights.md)";
        failures.note("reference", Err(anyhow::anyhow!(why)))?;
        return Ok(Vec::new());
    }
    let mut measured = Vec::new();
    for generator in RELEASED.into_iter().filter(|generator| layers.contains(&generator.layer)) {
        let planned = planned(job, generator)?;
        let done = import(job, release, generator, &planned).and_then(|()| evaluate(job, &planned));
        let name = planned.run.name.clone();
        failures.note(&name, done)?;
        if !failures.has(&name) {
            measured.push(planned);
        }
    }
    Ok(measured)
}

fn planned(job: &Job<'_>, Released { layer, folder, loss, .. }: Released) -> Result<Planned> {
    let run = Run::reference(layer, folder, loss);
    Ok(Planned {
        folder: job.out.join("reference").join(folder),
        run,
        measures: vec!["error", "sharpness", "grid"],
        size: job.arguments.size(Experiment::Inversion)?,
        state: State::Finished,
    })
}

fn import(job: &Job<'_>, release: &Path, generator: Released, planned: &Planned) -> Result<()> {
    let Released { folder, net, .. } = generator;
    let (from, to) =
        (release.join(folder).join(FILE), planned.folder.join("generator.safetensors"));
    if to.is_file() {
        return Ok(());
    }
    if !from.is_file() {
        bail!("--reference: {} is not there", from.display());
    }
    say(&format!("== import {}", planned.run.label));
    let mut command = job.program("import");
    command.arg(from).args(["--net", net]).arg("--out").arg(to);
    process::run(&mut command, &format!("importing {}", planned.run.label))
}
