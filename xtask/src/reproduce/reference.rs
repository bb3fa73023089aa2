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

/// The release's name of a layer: that of a folder in it.
fn released(layer: Layer) -> &'static str {
    match layer {
        Layer::Conv5 => "pool5",
        Layer::Fc6 => "fc6",
        Layer::Fc7 => "fc7",
        Layer::Fc8 => "fc8",
    }
}

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
    for &layer in layers {
        let planned = planned(job, layer)?;
        let done = import(job, release, layer, &planned).and_then(|()| evaluate(job, &planned));
        let name = planned.run.name.clone();
        failures.note(&name, done)?;
        if !failures.has(&name) {
            measured.push(planned);
        }
    }
    Ok(measured)
}

fn planned(job: &Job<'_>, layer: Layer) -> Result<Planned> {
    let folder = released(layer);
    let run = Run::reference(layer, folder);
    Ok(Planned {
        folder: job.out.join("reference").join(folder),
        run,
        measures: vec!["error", "sharpness", "grid"],
        size: job.arguments.size(Experiment::Inversion)?,
        state: State::Finished,
    })
}

fn import(job: &Job<'_>, release: &Path, layer: Layer, planned: &Planned) -> Result<()> {
    let folder = released(layer);
    let (from, to) =
        (release.join(folder).join(FILE), planned.folder.join("generator.safetensors"));
    if to.is_file() {
        return Ok(());
    }
    if !from.is_file() {
        bail!("--reference: {} is not there", from.display());
    }
    say(&format!("== import {}", planned.run.label));
    let mut command = job.program("deepsim-import");
    command.arg(from).args(["--net", &format!("generator-{folder}")]).arg("--out").arg(to);
    process::run(&mut command, &format!("importing {}", planned.run.label))
}
