//! Selection of targets, and the runs and measures that it needs.

use std::collections::BTreeSet;

use deepsim_run::identity::Method;

use super::{Encoder, Experiment, Layer, Run, Runs, TARGETS, Target, label, runs};
use crate::ReproduceError;

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

/// Every group; the first is reproduced where no target is named.
pub const GROUPS: [Group; 4] = [
    Group {
        id: "autoencoder",
        about: "Every target of section 4.1 but table3-conv5",
        paper: "v1 section 4.1",
        experiments: &[Experiment::Autoencoder],
    },
    Group {
        id: "vae",
        about: "Every target of section 4.2",
        paper: "v1 section 4.2",
        experiments: &[Experiment::Vae, Experiment::SmallVae],
    },
    Group {
        id: "inversion",
        about: "Every target of section 4.3, fig1 and neighbours",
        paper: "v1 section 4.3",
        experiments: &[Experiment::Inversion, Experiment::SmallInversion],
    },
    Group {
        id: "all",
        about: "Every target that a group holds",
        paper: "",
        experiments: &Experiment::ALL,
    },
];

/// The targets that a list of names means, each once, in the catalogue's order.
///
/// # Errors
/// If a name is neither a target's nor a group's; the message lists them.
pub fn select(names: &[String]) -> Result<Vec<&'static Target>, ReproduceError> {
    select_from(TARGETS, names)
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

/// Runs and measures that a list of targets needs, each once.
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
                    let more = target.measures.iter().filter(|more| !measures.contains(more));
                    let more: Vec<_> = more.copied().collect();
                    measures.extend(more);
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

    /// Returns the layer on which methods are compared, among runs by method and layer, if it shows no other.
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
        assert_eq!(of(&["fig3", "autoencoder"]), of(&["autoencoder"]));
        assert_eq!(of(&["autoencoder"])[..2], ["table3", "table4"]);
        assert_eq!(of(&["fig8", "fig3", "table3", "fig3"]), ["table3", "fig3", "fig8"]);
        let grouped = TARGETS.iter().filter(|target| !target.by_name_only).count();
        assert_eq!(of(&["all"]).len(), grouped);
        assert_eq!(of(&["autoencoder", "vae", "inversion"]), of(&["all"]));
        let error = select(&["table9".to_owned()]).expect_err("no such target").to_string();
        assert!(
            error.contains("autoencoder, vae, inversion, all, table3") && error.contains("table9"),
            "{error}"
        );
    }

    #[test]
    fn names_are_distinct_and_what_groups_hold_has_a_section() {
        let mut names: Vec<&str> = TARGETS.iter().map(|t| t.id).collect();
        names.extend(GROUPS.iter().map(|g| g.id));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for target in TARGETS {
            assert!(target.by_name_only || !target.section.is_empty(), "{}", target.id);
        }
    }

    #[test]
    fn runs_that_several_targets_need_come_once() {
        assert_eq!(ids(&["table4"], &Layer::ALL).len(), 5);
        assert_eq!(ids(&["vae"], &Layer::ALL).len(), 6);
        let without = ids(&["fig4"], &[Layer::Conv5]);
        assert_eq!(without, ["vae-se", "vae-alexnet-conv5", "vae-videonet-conv5"]);
        let all = ids(&["inversion"], &Layer::ALL);
        assert_eq!(all.len(), 16 + 7, "{all:?}");
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
    fn what_a_target_shows_is_measured_and_nothing_twice() {
        for target in TARGETS {
            let twice = [target, &Target { id: "again", ..*target }];
            let work = Work::of(&twice, &Layer::ALL, &encoder());
            for (run, measures) in &work.runs {
                let distinct: BTreeSet<_> = measures.iter().collect();
                assert_eq!(distinct.len(), measures.len(), "{}: {measures:?}", run.id);
            }
            // Recognition is measured where its network is found.
            for shown in target.shown.iter().filter(|shown| **shown != "recognise") {
                let taken = work.runs.iter().any(|(_, measures)| measures.contains(shown));
                assert!(taken, "{} shows {shown}, which no run takes", target.id);
            }
        }
    }

    #[test]
    fn one_row_is_a_new_target() {
        let table3 = TARGETS.iter().find(|t| t.id == "table3").expect("a row");
        let own = Target {
            id: "own",
            runs: Runs::Named(&["autoencoder-se", "autoencoder-alexnet-conv3"]),
            ..*table3
        };
        let all = [TARGETS, &[own]].concat();
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
            deepsim_eval::measure::all().iter().map(|kind| kind.name()).collect();
        for target in TARGETS {
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
