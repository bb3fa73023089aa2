//! The catalogue: what can be reproduced, as tables of typed rows.
//!
//! | to add | add |
//! |---|---|
//! | a table or figure | a row of [`TARGETS`] in `targets.rs` |
//! | a generator that it trains | a row in `runs.rs` |
//! | a number that the paper prints | a row in `paper.rs` |
//!
//! The planner, the status, the report, the help of `deepsim reproduce` and the documentation's table of targets
//! follow from these rows, or are tested against them.

mod paper;
mod runs;
mod targets;

use std::collections::BTreeSet;

use deepsim_run::identity::Method;
use serde::Serialize;

pub(crate) use paper::CODE;
pub(crate) use runs::built_in;
pub use runs::{Encoder, Layer, Run, label, optimised_label, runs};
pub use targets::TARGETS;

use crate::ReproduceError;

/// An experiment of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experiment {
    /// Section 4.1.
    Autoencoder,
    /// Section 4.2.
    Vae,
    /// Section 4.2 with images of 64 pixels.
    SmallVae,
    /// Section 4.3.
    Inversion,
}

impl Experiment {
    /// All experiments, in the paper's order.
    pub const ALL: [Self; 4] = [Self::Autoencoder, Self::Vae, Self::SmallVae, Self::Inversion];

    /// Name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Vae => "variational autoencoder",
            Self::SmallVae => "small variational autoencoder",
            Self::Inversion => "inversion",
        }
    }

    /// True if the paper, or its small version here, trains on STL-10 and not on ILSVRC-2012.
    pub fn on_stl10(self) -> bool {
        matches!(self, Self::Autoencoder | Self::SmallVae)
    }

    /// Measures of every run of the experiment.
    pub fn measures(self) -> &'static [&'static str] {
        match self {
            Self::Autoencoder => &["error", "svm", "sharpness", "grid"],
            Self::Vae | Self::SmallVae => {
                &["error", "sharpness", "grid", "interpolate", "latent", "samples"]
            }
            Self::Inversion => &["error", "sharpness", "grid"],
        }
    }
}

/// A table or figure: what it needs and what it shows.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name on the command line and in reports.
    pub id: &'static str,
    /// One line for the help and the documentation.
    pub about: &'static str,
    /// Place in the paper; empty for what the paper does not have.
    pub paper: &'static str,
    /// Section of the paper (v1).
    pub section: &'static str,
    /// Heading in the report.
    pub title: &'static str,
    /// Experiment that its runs belong to.
    pub experiment: Experiment,
    /// Runs, in the order in which they are shown.
    pub runs: Runs,
    /// Measures of its first method's runs, beside those of the experiment.
    pub measures: &'static [&'static str],
    /// Columns of numbers that the paper prints.
    pub columns: &'static [Column],
    /// Measures that are shown whole.
    pub shown: &'static [&'static str],
    /// Pictures.
    pub pictures: &'static [Pictures],
    /// Effects that the paper reports or lets expect.
    pub claims: &'static [Claim],
    /// True if no group holds it, so that it has to be named.
    pub by_name_only: bool,
}

/// Runs of a target.
#[derive(Clone, Copy, Debug)]
pub enum Runs {
    /// Runs by id.
    Named(&'static [&'static str]),
    /// Inversions.
    Inversions {
        /// Methods by which every layer is inverted.
        each: &'static [Method],
        /// Methods by which one layer is inverted, on which they are compared: FC6 as in the paper.
        main: &'static [Method],
    },
}

impl Runs {
    /// The method that a target's own measures are taken of.
    fn first(self) -> Option<Method> {
        match self {
            Self::Named(_) => None,
            Self::Inversions { each, main } => each.first().or(main.first()).copied(),
        }
    }
}

/// Numbers that the paper prints: a column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// Confidence in the numbers, which is printed wherever one of them is.
    pub tag: &'static str,
    /// How far another training may be off and still be the same result, in the same unit.
    pub tolerance: f64,
    /// Measure of ours that has the numbers.
    pub measure: &'static str,
    /// Its row.
    pub quantity: Quantity,
    /// The paper's numbers, in its order.
    pub printed: &'static [Printed],
}

/// A number of the paper.
#[derive(Clone, Copy, Debug)]
pub struct Printed {
    /// Id of the run that does the same.
    pub run: &'static str,
    /// The number.
    pub value: f64,
    /// The number after its ±, if one is printed.
    pub spread: Option<f64>,
}

/// A row of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The first row whose name starts so.
    Named(&'static str),
    /// The error at the layer that is inverted.
    Inverted,
    /// Every row that starts with one of these and is about a trained network that no generator was trained with.
    Independent(&'static [&'static str]),
}

impl Quantity {
    /// Name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Named(name) => name,
            Self::Inverted => "the inverted layer's feature space",
            Self::Independent(_) => "an independent network",
        }
    }
}

/// Pictures of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Pictures {
    /// The originals, and below them what each run makes of them; with a caption.
    Strips(&'static str),
    /// A file that a measure wrote for each run; with a caption.
    File(&'static str, &'static str),
}

/// An effect that should be there.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Methods that it is about.
    pub of: &'static [Method],
    /// What they are compared with.
    pub than: Than,
    /// Measure.
    pub measure: &'static str,
    /// Row of the measure.
    pub quantity: Quantity,
    /// True if the method's number should be the larger one.
    pub larger: bool,
    /// Sentence, with `{run}`, `{other}` and `{quantity}`.
    pub text: &'static str,
    /// Who says so.
    pub source: Source,
}

/// What a number is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Than {
    /// The run with this method; at the same layer, if there are layers.
    Method(Method),
    /// The run with the same method, one layer nearer to the image.
    LayerBelow,
    /// A number.
    Value(f64),
}

/// Who says that an effect should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The paper's text; the direction is certain.
    #[serde(rename = "the paper, CERTAIN")]
    Paper,
    /// The paper's numbers, which are recalled from memory.
    #[serde(rename = "the paper's numbers, RECALLED, unverified")]
    Recalled,
    /// Not a number of the paper: what its argument lets expect.
    #[serde(rename = "expected from the paper's argument; it prints no such number")]
    Argument,
}

/// A name for several targets.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Name on the command line.
    pub id: &'static str,
    /// One line for the help and the documentation.
    pub about: &'static str,
    /// Section of the paper.
    pub paper: &'static str,
    /// Experiments whose targets it holds.
    pub experiments: &'static [Experiment],
}

/// All groups; the first is what is reproduced where no target is named.
pub const GROUPS: [Group; 4] = [
    Group {
        id: "autoencoder",
        about: "Experiment of section 4.1: table3, table4, fig3",
        paper: "v1 section 4.1",
        experiments: &[Experiment::Autoencoder],
    },
    Group {
        id: "vae",
        about: "Experiment of section 4.2: fig4, fig4-small",
        paper: "v1 section 4.2",
        experiments: &[Experiment::Vae, Experiment::SmallVae],
    },
    Group {
        id: "inversion",
        about: "Experiment of section 4.3: table6, fig1, fig5 to fig9, presamples, neighbours",
        paper: "v1 section 4.3",
        experiments: &[Experiment::Inversion],
    },
    Group { id: "all", about: "Every experiment", paper: "", experiments: &Experiment::ALL },
];

/// The targets that a list of names means, each once, in the catalogue's order.
///
/// # Errors
/// If a name is neither a target's nor a group's; the message lists them.
pub fn select(names: &[String]) -> Result<Vec<&'static Target>, ReproduceError> {
    select_from(&TARGETS, names)
}

fn select_from<'a>(
    targets: &'a [Target],
    names: &[String],
) -> Result<Vec<&'a Target>, ReproduceError> {
    let mut chosen = BTreeSet::new();
    for name in names {
        let group = GROUPS.iter().find(|group| group.id == name);
        let held = |target: &Target| match group {
            Some(group) => !target.by_name_only && group.experiments.contains(&target.experiment),
            None => target.id == name,
        };
        let before = chosen.len();
        chosen.extend(targets.iter().enumerate().filter(|(_, t)| held(t)).map(|(i, _)| i));
        if chosen.len() == before && !targets.iter().any(held) {
            let known = GROUPS.iter().map(|g| g.id).chain(targets.iter().map(|t| t.id));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(ReproduceError::usage(format!(
                "expected a target, one of {known}, found {name}"
            )));
        }
    }
    Ok(chosen.into_iter().map(|index| &targets[index]).collect())
}

/// What a list of targets needs, each once.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Runs to train, with the measures of each.
    pub runs: Vec<(Run, Vec<&'static str>)>,
    /// Layers that are inverted by optimisation.
    pub optimised: Vec<Layer>,
}

impl Work {
    /// Collects what targets need to invert these layers of a network.
    pub fn of(targets: &[&Target], layers: &[Layer], encoder: &Encoder) -> Self {
        let main = Layer::main(layers);
        let mut work = Self::default();
        for run in runs(layers, encoder) {
            let needed: Vec<_> = targets.iter().filter(|target| target.needs(&run, main)).collect();
            if needed.is_empty() {
                continue;
            }
            let mut measures = run.experiment.measures().to_vec();
            for target in needed {
                if target.runs.first().is_none_or(|first| first == run.method) {
                    measures.extend(target.measures);
                }
            }
            work.runs.push((run, measures));
        }
        let optimises = |target: &&Target| matches!(target.runs, Runs::Inversions { each, .. } if each.contains(&Method::Optimised));
        if targets.iter().any(optimises) {
            work.optimised = layers.to_vec();
        }
        work
    }
}

impl Target {
    /// Place of a run among those it shows; `None` if it does not show it.
    ///
    /// Runs that the catalogue does not have, of users' own, come last. The authors' generators stand beside ours
    /// where methods are compared.
    pub(crate) fn place(&self, id: &str, method: Method) -> Option<usize> {
        match self.runs {
            Runs::Named(ids) => {
                let listed = ids.iter().position(|known| *known == id);
                listed.or_else(|| label(id).is_none().then_some(ids.len()))
            }
            Runs::Inversions { each, main } => {
                let of = |ours: Method| each.iter().chain(main).position(|known| *known == ours);
                match method {
                    Method::Released if each.len() > 1 => of(Method::DeePSiM),
                    Method::ReleasedImageOnly => of(Method::ImageOnly),
                    Method::Released => None,
                    method => of(method),
                }
            }
        }
    }

    /// Of runs by method and layer, the layer on which methods are compared, if it shows no other.
    pub(crate) fn one_layer<'a>(
        &self,
        mut runs: impl Iterator<Item = (Method, &'a Option<String>)>,
    ) -> Option<Option<String>> {
        let Runs::Inversions { each: [], .. } = self.runs else { return None };
        // The paper's method is trained for every layer by other targets.
        runs.find(|(method, _)| *method != Method::DeePSiM).map(|(_, layer)| layer.clone())
    }

    /// True if it shows a run, given the layer on which methods are compared.
    fn needs(&self, run: &Run, main: Option<Layer>) -> bool {
        self.experiment == run.experiment
            && match self.runs {
                Runs::Named(ids) => ids.contains(&run.id.as_str()),
                Runs::Inversions { each, main: methods } => {
                    each.contains(&run.method)
                        || (methods.contains(&run.method) && run.layer == main)
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> Encoder {
        Encoder { name: "alexnet".into(), calibrated: true }
    }

    fn selected(names: &[&str]) -> Vec<&'static Target> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        select(&names).expect("known names")
    }

    fn ids(names: &[&str], layers: &[Layer]) -> Vec<String> {
        let work = Work::of(&selected(names), layers, &encoder());
        work.runs.into_iter().map(|(run, _)| run.id).collect()
    }

    #[test]
    fn targets_come_once_and_in_the_catalogues_order() {
        let of = |names: &[&str]| selected(names).iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(of(&["autoencoder"]), ["table3", "table4", "fig3"]);
        assert_eq!(of(&["fig3", "autoencoder"]), ["table3", "table4", "fig3"]);
        assert_eq!(of(&["fig8", "fig3", "table3", "fig3"]), ["table3", "fig3", "fig8"]);
        assert_eq!(of(&["vae"]), ["fig4", "fig4-small"]);
        assert_eq!(of(&["inversion"]).len(), 9);
        assert_eq!(of(&["all"]).len(), 14);
        let error = select(&["table9".to_owned()]).expect_err("no such target").to_string();
        assert!(
            error.contains("autoencoder, vae, inversion, all, table3") && error.contains("table9"),
            "{error}"
        );
    }

    #[test]
    fn names_are_distinct_and_groups_say_what_they_hold() {
        let mut names: Vec<&str> = TARGETS.iter().map(|t| t.id).collect();
        names.extend(GROUPS.iter().map(|g| g.id));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for target in &TARGETS {
            assert!(target.by_name_only || !target.section.is_empty(), "{}", target.id);
        }
    }

    #[test]
    fn runs_that_several_targets_need_come_once() {
        assert_eq!(ids(&["table4"], &Layer::ALL).len(), 4);
        assert_eq!(ids(&["vae"], &Layer::ALL).len(), 6);
        let without = ids(&["fig4"], &[Layer::Conv5]);
        assert_eq!(without, ["vae-se", "vae-alexnet-conv5", "vae-videonet-conv5"]);
        let all = ids(&["inversion"], &Layer::ALL);
        assert_eq!(all.len(), 16, "{all:?}");
        assert_eq!(
            ids(&["fig5", "fig8"], &[Layer::Conv5, Layer::Fc6]),
            ["inversion-conv5", "inversion-fc6"]
        );
        // The ablation is FC6's as in the paper, or that of the layer at hand.
        assert!(ids(&["fig7"], &Layer::ALL).iter().all(|id| id.starts_with("inversion-fc6")));
        let conv5 = ids(&["fig7"], &[Layer::Conv5]);
        assert_eq!(conv5.len(), 6);
        assert!(conv5.iter().all(|id| id.starts_with("inversion-conv5")));
        let optimised =
            |names: &[&str]| Work::of(&selected(names), &Layer::ALL, &encoder()).optimised;
        assert_eq!((optimised(&["fig6"]), optimised(&["fig5"])), (Layer::ALL.to_vec(), Vec::new()));
    }

    #[test]
    fn a_figure_brings_its_own_measure() {
        let measures = |names: &[&str]| {
            let work = Work::of(&selected(names), &[Layer::Fc6], &encoder());
            work.runs.into_iter().map(|(_, measures)| measures).collect::<Vec<_>>()
        };
        assert_eq!(measures(&["fig5"]), [["error", "sharpness", "grid"]]);
        let both = measures(&["fig8", "presamples"]);
        assert_eq!((both[0].last(), both[1].last()), (Some(&"reencode"), Some(&"presamples")));
        assert!(measures(&["table6"]).iter().all(|measures| measures.len() == 3));
    }

    #[test]
    fn one_row_is_a_new_target() {
        let table3 = TARGETS.iter().find(|t| t.id == "table3").expect("a row");
        let own = Target {
            id: "own",
            runs: Runs::Named(&["autoencoder-se", "autoencoder-alexnet-conv3"]),
            ..*table3
        };
        let all = [&TARGETS[..], &[own]].concat();
        let chosen = select_from(&all, &["own".to_owned()]).expect("it is there");
        let work = Work::of(&chosen, &Layer::ALL, &encoder());
        let ids: Vec<_> = work.runs.iter().map(|(run, _)| run.id.as_str()).collect();
        assert_eq!(ids, ["autoencoder-se", "autoencoder-alexnet-conv3"]);
        assert!(work.runs.iter().all(|(_, measures)| measures.contains(&"error")));
    }

    #[test]
    fn every_name_in_a_row_exists() {
        let all: BTreeSet<String> =
            runs(&Layer::ALL, &encoder()).into_iter().map(|run| run.id).collect();
        let measures: Vec<&str> =
            deepsim_eval::measure::all().map(|measure| measure.name()).to_vec();
        for target in &TARGETS {
            if let Runs::Named(ids) = target.runs {
                assert!(ids.iter().all(|id| all.contains(*id)), "{}: {ids:?}", target.id);
            }
            for printed in target.columns.iter().flat_map(|column| column.printed) {
                assert!(label(printed.run).is_some(), "{}: {}", target.id, printed.run);
            }
            let named = target.measures.iter().chain(target.shown);
            let named = named.chain(target.columns.iter().map(|column| &column.measure));
            for measure in named.chain(target.claims.iter().map(|claim| &claim.measure)) {
                assert!(measures.contains(measure), "{}: {measure}", target.id);
            }
        }
    }
}
