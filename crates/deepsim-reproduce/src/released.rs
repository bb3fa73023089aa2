//! The authors' own generators, measured like ours.

use std::path::Path;

use deepsim_run::files::GENERATOR;
use deepsim_run::identity::Method;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Layer, Run};
use crate::evaluate::evaluate;
use crate::failures::Failures;
use crate::job::Job;
use crate::plan::Planned;

/// A generator of the release.
#[derive(Clone, Copy)]
struct Released {
    layer: Layer,
    /// Folder in the release.
    folder: &'static str,
    /// Network, for `deepsim import`.
    net: &'static str,
    method: Method,
}

const fn released(layer: Layer, folder: &'static str, net: &'static str) -> Released {
    Released { layer, folder, net, method: Method::Released }
}

const RELEASED: [Released; 5] = [
    released(Layer::Conv5, "pool5", "generator-pool5"),
    released(Layer::Fc6, "fc6", "generator-fc6"),
    Released {
        method: Method::ReleasedImageOnly,
        ..released(Layer::Fc6, "fc6_eucl", "generator-fc6")
    },
    released(Layer::Fc7, "fc7", "generator-fc7"),
    released(Layer::Fc8, "fc8", "generator-fc8"),
];

/// In the folder of a layer.
const FILE: &str = "generator.caffemodel";

/// Imports and measures the generators for some layers; returns those that were, for the report.
///
/// # Errors
/// If a signal to stop came.
pub(crate) fn measure(
    job: &Job<'_>,
    release: &Path,
    layers: &[Layer],
    failures: &mut Failures,
) -> Result<Vec<Planned>, ReproduceError> {
    // A network with random weights would stand for the one that they inverted.
    let encoder = job.options.weights(job.host).map(|folder| folder.join("caffenet.safetensors"));
    if !encoder.is_some_and(|file| file.is_file()) {
        let why = "--reference: expected caffenet.safetensors in --weights (docs/comparators.md)";
        failures.note("reference", Err(ReproduceError::Missing(why.into())))?;
        return Ok(Vec::new());
    }
    let mut measured = Vec::new();
    for generator in RELEASED.into_iter().filter(|generator| layers.contains(&generator.layer)) {
        let planned = generator.planned(job)?;
        let done = generator.import(job, release, &planned);
        let done = done.and_then(|()| evaluate(job, &planned));
        let id = planned.run.id.clone();
        failures.note(&id, done)?;
        if !failures.has(&id) {
            measured.push(planned);
        }
    }
    Ok(measured)
}

impl Released {
    fn planned(self, job: &Job<'_>) -> Result<Planned, ReproduceError> {
        let loss = match self.method {
            Method::ReleasedImageOnly => ", image loss only",
            _ => "",
        };
        let run = Run {
            id: format!("reference-{}", self.folder),
            label: format!("{} the authors' generator{loss}", self.layer.name()),
            recipe: String::new(),
            overrides: Vec::new(),
            experiment: Experiment::Inversion,
            method: self.method,
            layer: Some(self.layer),
        };
        Planned::given(job, run, job.options.out.join("reference").join(self.folder))
    }

    fn import(
        self,
        job: &Job<'_>,
        release: &Path,
        planned: &Planned,
    ) -> Result<(), ReproduceError> {
        let Self { folder, net, .. } = self;
        let from = release.join(folder).join(FILE);
        if !planned.folder.join(GENERATOR).is_file() {
            if !from.is_file() {
                let message = format!("--reference: {} is not there", from.display());
                return Err(ReproduceError::Missing(message));
            }
            tracing::info!("== import {}", planned.run.label);
            let mut command = job.program("import");
            command.arg(from).args(["--net", net]);
            command.arg("--out").arg(planned.folder.join(GENERATOR));
            job.host.run(&mut command, &format!("importing {}", planned.run.label), None)?;
        }
        planned.identify()
    }
}
