//! The options of a reproduction, and what can be refused before anything is done.

use std::path::{Path, PathBuf};

use deepsim_data::dataset::{DataOptions, SCENES};
use serde::{Deserialize, Serialize};

use crate::ReproduceError;
use crate::catalogue::{self, Encoder, Experiment, GROUPS, Layer, Target};
use crate::host::Host;
use crate::preset::{Preset, Size};

/// Choice of targets, preset, data and place of a reproduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Names of targets and groups.
    pub targets: Vec<String>,
    /// Preset.
    pub scale: Preset,
    /// Device to train and measure on.
    pub device: Device,
    /// STL-10, ILSVRC-2012 for sections 4.2 and 4.3, or any other data (the photographs of the
    /// project if none is named), and how its test split is found.
    pub data: DataOptions,
    /// Folder with ILSVRC-2012, where `data` is STL-10.
    pub ilsvrc: Option<PathBuf>,
    /// Network that is inverted, that compares, and that a variational autoencoder begins with.
    pub encoder: String,
    /// Layers that are inverted; all if empty.
    pub layers: Vec<Layer>,
    /// Ids of the only runs to make; all that the targets need if empty.
    pub only: Vec<String>,
    /// Id of the run to begin with.
    pub from: Option<String>,
    /// Folder that data and weights are downloaded to, if they are to be downloaded.
    pub fetch_to: Option<PathBuf>,
    /// Folder of the authors' release, whose generators are measured beside ours.
    pub reference: Option<PathBuf>,
    /// Train the comparator Exemplar-CNN first.
    pub train_exemplar_cnn: bool,
    /// Tracks of videos on which the comparator VideoNet is trained first.
    pub train_videonet: Option<PathBuf>,
    /// Runs that are trained at the same time.
    pub jobs: u16,
    /// Folder with comparators' weights.
    pub weights: Option<PathBuf>,
    /// Folder to write to.
    pub out: PathBuf,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Threads; all cores if `None`.
    pub threads: Option<u16>,
    /// Training steps of each run; the preset's if `None`.
    pub steps: Option<u64>,
    /// Images per step; the preset's if `None`.
    pub batch: Option<u64>,
    /// Price of an hour of what one run has for itself, for the report.
    pub price_per_hour: Option<f64>,
    /// Overrides `key=value` of every recipe that has the key.
    pub set: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: vec![GROUPS[0].id.to_owned()],
            scale: Preset::default(),
            device: Device::Cpu,
            data: DataOptions::default(),
            ilsvrc: None,
            encoder: "caffenet".into(),
            layers: Vec::new(),
            only: Vec::new(),
            from: None,
            fetch_to: None,
            reference: None,
            train_exemplar_cnn: false,
            train_videonet: None,
            jobs: 1,
            weights: None,
            out: "out/quick".into(),
            seed: 0,
            threads: None,
            steps: None,
            batch: None,
            price_per_hour: None,
            set: Vec::new(),
        }
    }
}

/// Device to train and measure on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl Device {
    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl Options {
    /// The targets that are asked for.
    ///
    /// # Errors
    /// If a name is unknown.
    pub fn select(&self) -> Result<Vec<&'static Target>, ReproduceError> {
        catalogue::select(&self.targets)
    }

    /// The data of an experiment that is named.
    fn named(&self, experiment: Experiment) -> Option<&Path> {
        let own = self.ilsvrc.as_deref().filter(|_| !experiment.on_stl10());
        own.or(self.data.data.as_deref())
    }

    /// The data of an experiment, or where it will be once it is downloaded.
    pub(crate) fn data(&self, experiment: Experiment) -> Option<PathBuf> {
        let fetched = || self.stl10().filter(|_| experiment.on_stl10());
        self.named(experiment).map(Path::to_path_buf).or_else(fetched)
    }

    /// The same with how its test split is found and how pictures are read; that of `--ilsvrc` has a test split.
    pub(crate) fn data_options(&self, experiment: Experiment) -> DataOptions {
        let data = self.data(experiment);
        let DataOptions { cache, without_duplicates, .. } = self.data.clone();
        match self.ilsvrc.is_some() && !experiment.on_stl10() {
            true => DataOptions { data, cache, ..DataOptions::default() },
            false => DataOptions {
                data,
                without_duplicates: without_duplicates && experiment.on_stl10(),
                ..self.data.clone()
            },
        }
    }

    /// True if an experiment is made on procedural scenes.
    pub(crate) fn on_scenes(&self, experiment: Experiment) -> bool {
        self.named(experiment).is_some_and(|path| path.as_os_str() == SCENES)
    }

    /// Folder of STL-10 among the downloads.
    pub(crate) fn stl10(&self) -> Option<PathBuf> {
        self.fetch_to.as_ref().map(|folder| folder.join("stl10_binary"))
    }

    /// The layers that are inverted, each once and in order.
    pub fn layers(&self) -> Vec<Layer> {
        let wanted = |layer: &Layer| self.layers.is_empty() || self.layers.contains(layer);
        Layer::ALL.into_iter().filter(wanted).collect()
    }

    /// The network that is inverted. The paper's weight of the feature term is for CaffeNet's features of photographs.
    pub fn encoder(&self) -> Encoder {
        let given = self.data(Experiment::Inversion).is_some();
        let papers = self.encoder == "caffenet" && given && !self.on_scenes(Experiment::Inversion);
        Encoder { name: self.encoder.clone(), calibrated: !papers }
    }

    /// Returns the numbers of the preset for an experiment, with overrides.
    ///
    /// # Errors
    /// If an override makes no sense.
    pub fn size(&self, experiment: Experiment) -> Result<Size, ReproduceError> {
        self.scale.size(experiment).with(&self.sets())
    }

    /// The folder of weights that is used, or will be once they are downloaded.
    pub(crate) fn weights(&self, host: &Host<'_>) -> Option<PathBuf> {
        let fetched = || self.fetch_to.as_ref().map(|folder| folder.join("weights"));
        self.weights.clone().or_else(fetched).or_else(|| host.weights.clone())
    }

    /// Returns every override `key=value`; of two of one key, the later one counts.
    pub(crate) fn sets(&self) -> Vec<String> {
        let mut sets = self.set.clone();
        sets.extend(self.steps.map(|steps| format!("steps={steps}")));
        sets.extend(self.batch.map(|batch| format!("batch={batch}")));
        sets
    }

    /// Refuses what cannot be done, before anything is.
    ///
    /// # Errors
    /// [`ReproduceError::Usage`], with the option and what it should be.
    pub fn check(&self) -> Result<(), ReproduceError> {
        let refuse = |message: String| Err(ReproduceError::usage(message));
        let folders = [
            ("--ilsvrc", &self.ilsvrc),
            ("--weights", &self.weights),
            ("--reference", &self.reference),
        ];
        for (option, folder) in folders {
            if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
                return refuse(format!("{option} {}: no such folder", folder.display()));
            }
        }
        if let Some(tracks) = self.train_videonet.as_ref().filter(|tracks| !tracks.exists()) {
            return refuse(format!(
                "--train-videonet {}: no such file or folder",
                tracks.display()
            ));
        }
        if self.data.without_duplicates && self.data.data.is_none() && self.fetch_to.is_none() {
            return refuse("--without-duplicates: expected --data or --fetch".into());
        }
        if self.reference.is_some() && self.encoder != "caffenet" {
            return refuse(
                "--reference: the authors' generators invert caffenet, and no other --encoder"
                    .into(),
            );
        }
        let targets = self.select()?;
        for experiment in Experiment::ALL {
            if targets.iter().any(|target| target.experiment == experiment) {
                self.check_experiment(experiment)?;
            }
        }
        Ok(())
    }

    fn check_experiment(&self, experiment: Experiment) -> Result<(), ReproduceError> {
        self.size(experiment)?;
        if experiment == Experiment::Vae && !self.encoder().begins_vae() {
            return Err(ReproduceError::usage(format!(
                "--encoder {}: a variational autoencoder begins with caffenet, alexnet or \
                 alexnet-stand-in",
                self.encoder
            )));
        }
        let what = match experiment.on_stl10() {
            true => "STL-10: get it with --fetch, or say where it is with --data DIR",
            false => "ILSVRC-2012: say where it is with --ilsvrc DIR",
        };
        match self.named(experiment) {
            // Programs take all kinds of data for all experiments. Known by the names of their files; what is in
            // them is looked at later.
            Some(_) => {
                let format = self.data_options(experiment).format();
                let refused = |e| ReproduceError::usage(format!("--data {e} (docs/data.md)"));
                format.map(|_| ()).map_err(refused)
            }
            // The file will be there.
            None if self.fetch_to.is_some() && experiment.on_stl10() => Ok(()),
            None if self.scale == Preset::Paper => {
                Err(ReproduceError::usage(format!("--scale paper trains on {what} (docs/data.md)")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use deepsim_data::stl10;

    use super::*;
    use crate::error::USAGE;

    fn options(targets: &[&str]) -> Options {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        Options { targets, ..Options::default() }
    }

    fn at(data: impl Into<PathBuf>) -> DataOptions {
        DataOptions { data: Some(data.into()), ..DataOptions::default() }
    }

    #[test]
    fn the_default_is_the_whole_experiment_at_quick_scale() -> Result<(), ReproduceError> {
        let options = Options::default();
        options.check()?;
        let ids: Vec<_> = options.select()?.iter().map(|target| target.id).collect();
        assert_eq!(ids, ["table3", "table4", "fig3"]);
        let experiment = Experiment::Autoencoder;
        assert_eq!(options.size(experiment)?, Preset::Quick.size(experiment));
        Ok(())
    }

    #[test]
    fn bad_options_are_refused_with_the_exit_code_of_bad_arguments() {
        let nowhere = || Some(PathBuf::from("no/such/folder"));
        let without_duplicates = DataOptions { without_duplicates: true, ..Default::default() };
        let paper = |targets: &[&str]| Options { scale: Preset::Paper, ..options(targets) };
        let cases = [
            (
                Options { data: at("no/such/folder"), ..Options::default() },
                "--data opening no/such/folder: No such file",
            ),
            (Options { weights: nowhere(), ..Options::default() }, "--weights no/such/folder"),
            (Options { train_videonet: nowhere(), ..Options::default() }, "no such file or folder"),
            (paper(&["autoencoder"]), "--data DIR"),
            (paper(&["table6"]), "--ilsvrc DIR"),
            (Options { ilsvrc: nowhere(), ..options(&["fig8"]) }, "--ilsvrc no/such/folder"),
            (
                Options { set: vec!["batch=0".into()], ..Options::default() },
                "--set batch=0: expected",
            ),
            (
                Options { encoder: "videonet".into(), ..options(&["fig4"]) },
                "--encoder videonet: a var",
            ),
            (
                Options { data: without_duplicates, ..Options::default() },
                "expected --data or --fetch",
            ),
            (options(&["table9"]), "found table9"),
        ];
        for (options, expected) in cases {
            let error = options.check().expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), USAGE);
        }
    }

    #[test]
    fn data_are_looked_at_before_anything_is_done() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let options = Options {
            scale: Preset::Paper,
            data: at(folder.path()),
            set: vec!["steps=7".into()],
            ..Options::default()
        };
        let error = options.check().expect_err("an empty folder").to_string();
        assert!(error.contains("none of these and no pictures (docs/data.md)"), "{error}");
        for inner in [folder.path().to_path_buf(), folder.path().join("stl10_binary")] {
            std::fs::create_dir_all(&inner)?;
            std::fs::write(inner.join(stl10::FILES[0]), "")?;
            for (at, file) in stl10::FILES.into_iter().enumerate().skip(1) {
                let error = options.check().expect_err(file).to_string();
                let missing = stl10::FILES[at..].join(", ");
                assert!(error.contains(&format!("found a folder without {missing}")), "{error}");
                std::fs::write(inner.join(file), "")?;
            }
            options.check().expect("all is there");
        }
        let size = options.size(Experiment::Autoencoder).expect("good overrides");
        assert_eq!((size.steps, size.batch), (7, 64));
        let photos = tempfile::tempdir()?;
        std::fs::write(photos.path().join("photos.toml"), "")?;
        let options = Options { data: at(photos.path()), ..options };
        options.check().expect("photographs");
        let pictures = tempfile::tempdir()?;
        std::fs::write(pictures.path().join("a.jpg"), "")?;
        let options = Options { data: at(pictures.path()), ..options };
        options.check().expect("a folder of pictures");
        let data = DataOptions { test_share: Some(2.0), ..at(pictures.path()) };
        let share = Options { data, ..options };
        let error = share.check().expect_err("more than all").to_string();
        assert!(error.contains("expected a share above 0 and below 1, found 2"), "{error}");
        Ok(())
    }

    #[test]
    fn steps_and_batch_are_short_for_overrides_and_come_last() -> Result<(), ReproduceError> {
        let set = vec!["steps=20".into(), "batch=3".into()];
        let options = Options { steps: Some(30), set, ..Options::default() };
        let size = options.size(Experiment::Autoencoder)?;
        assert_eq!((size.steps, size.batch), (30, 3));
        Ok(())
    }

    #[test]
    fn the_papers_weight_is_for_caffenet_on_photographs() {
        let on = |ilsvrc: Option<&str>, encoder: &str| {
            let encoder = encoder.to_owned();
            Options { ilsvrc: ilsvrc.map(Into::into), encoder, ..options(&["table6"]) }.encoder()
        };
        assert!(!on(Some("imagenet"), "caffenet").calibrated);
        assert!(on(None, "caffenet").calibrated && on(Some("imagenet"), "alexnet").calibrated);
    }
}
