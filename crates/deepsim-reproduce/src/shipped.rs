//! Measures the autoencoders that come with the project like the runs, to show the effect of longer training.

use std::path::Path;

use deepsim_data::atomic::write_atomic;
use deepsim_nets::shipped;
use deepsim_run::files::GENERATOR;
use deepsim_run::identity::Method;

use crate::ReproduceError;
use crate::catalogue::{Experiment, Run};
use crate::evaluate::evaluate;
use crate::failures::Failures;
use crate::job::Job;
use crate::plan::Planned;
use crate::preset::Preset;

/// Names among the weights, with labels.
const SHIPPED: [(&str, &str); 2] =
    [("autoencoder-se", "SE, shipped"), ("autoencoder-alexnet-conv3", "AlexNet CONV3, shipped")];

/// True if they are measured: beside runs of minutes on the photographs that come with the project, which no generator was
/// trained on. Overrides could give images another size.
pub(crate) fn are_measured(job: &Job<'_>) -> bool {
    let options = job.options;
    job.targets.iter().any(|target| target.experiment == Experiment::Autoencoder)
        && matches!(options.scale, Preset::Smoke | Preset::Quick)
        && options.data(Experiment::Autoencoder).is_none()
        && options.sets().is_empty()
}

/// Measures them; returns those that were, for the report. One whose file is not there is left out with a warning.
///
/// # Errors
/// If a signal to stop came.
pub(crate) fn measure(
    job: &Job<'_>,
    failures: &mut Failures,
) -> Result<Vec<Planned>, ReproduceError> {
    let mut measured = Vec::new();
    if !are_measured(job) {
        return Ok(measured);
    }
    for (name, label) in SHIPPED {
        let Some(file) = shipped::find(&format!("{name}.safetensors")) else {
            tracing::warn!("{label}: left out, because weights/{name}.safetensors was not found");
            continue;
        };
        let planned = planned(job, name, label)?;
        let done = place(&planned, &file).and_then(|()| evaluate(job, &planned));
        let id = planned.run.id.clone();
        failures.note(&id, done)?;
        if !failures.has(&id) {
            measured.push(planned);
        }
    }
    Ok(measured)
}

fn planned(job: &Job<'_>, name: &str, label: &str) -> Result<Planned, ReproduceError> {
    let run = Run {
        id: format!("shipped-{name}"),
        label: label.to_owned(),
        recipe: String::new(),
        overrides: Vec::new(),
        experiment: Experiment::Autoencoder,
        method: Method::Shipped,
        layer: None,
    };
    Planned::given(job, run, job.options.out.join("shipped").join(name))
}

/// Copies a generator into its folder, unless it is there: a new file would have to be measured again.
fn place(planned: &Planned, file: &Path) -> Result<(), ReproduceError> {
    let folder = &planned.folder;
    std::fs::create_dir_all(folder).map_err(ReproduceError::io("creating folder", folder))?;
    planned.identify()?;
    let bytes = std::fs::read(file).map_err(ReproduceError::io("reading", file))?;
    let copy = folder.join(GENERATOR);
    match std::fs::read(&copy).is_ok_and(|there| there == bytes) {
        true => Ok(()),
        false => Ok(write_atomic(&copy, &bytes)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::host::tests::with;
    use deepsim_nets::shipped::GENERATORS;
    use deepsim_run::identity::Identity;

    #[test]
    fn they_come_with_the_project() {
        assert!(SHIPPED.iter().all(|(name, _)| GENERATORS.contains(name)), "{SHIPPED:?}");
    }

    #[test]
    fn they_stand_beside_short_runs_on_the_photographs_that_come_along() {
        let measured = |options: Options| {
            with(|host| are_measured(&Job::new(&options, host).expect("good options")))
        };
        assert!(measured(Options::default()));
        assert!(measured(Options { scale: Preset::Smoke, ..Options::default() }));
        assert!(!measured(Options { scale: Preset::Hour, ..Options::default() }));
        assert!(!measured(Options { targets: vec!["table6".into()], ..Options::default() }));
        assert!(!measured(Options { set: vec!["crop=48".into()], ..Options::default() }));
        assert!(!measured(Options { steps: Some(20_000), ..Options::default() }));
        let mut options = Options::default();
        options.data.data = Some("scenes".into());
        assert!(!measured(options), "they may have been trained on other data");
    }

    #[test]
    fn a_generator_is_placed_once_and_says_what_it_is() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let options = Options { out: folder.path().join("out"), ..Options::default() };
        let file = folder.path().join("autoencoder.safetensors");
        let planned = with(|host| {
            let job = Job::new(&options, host).expect("good options");
            planned(&job, "mine", "mine").expect("planned")
        });
        let missing = place(&planned, &file).expect_err("no such file").to_string();
        assert!(missing.contains("autoencoder.safetensors"), "{missing}");

        let copy = planned.folder.join(GENERATOR);
        let placed = |bytes: &str| {
            std::fs::write(&file, bytes)?;
            place(&planned, &file).expect("placed");
            copy.metadata()?.modified()
        };
        let first = placed("weights")?;
        let (id, method) = ("shipped-mine".into(), Method::Shipped);
        let identity = Identity { id, method, layer: None };
        assert_eq!(Identity::read(&planned.folder).expect("an identity"), Some(identity));
        let long_ago = first - std::time::Duration::from_secs(9);
        std::fs::File::options().write(true).open(&copy)?.set_modified(long_ago)?;
        assert_eq!(placed("weights")?, long_ago, "measures stay fresh");
        assert_ne!(placed("others")?, long_ago);
        assert_eq!(std::fs::read_to_string(&copy)?, "others");
        Ok(())
    }
}
