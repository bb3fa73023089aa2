//! Tables and figures of the paper, and the runs and measures that each of them needs.

use clap::ValueEnum;

use crate::runs::inversion::{
    ABLATION, Encoder, FULL, IMAGE_ONLY, L1, Layer, NO_ADVERSARIAL, NO_FEATURE, NOISE, PLAIN,
    VIDEONET, Variant, run,
};
use crate::runs::{Run, autoencoders, vae};

/// What can be reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Everything below
    All,
    /// The whole experiment of section 4.1: table3, table4 and fig3
    Autoencoder,
    /// The whole experiment of section 4.2: fig4 and fig4-small
    Vae,
    /// The whole experiment of section 4.3: table6, fig1, fig5 to fig9, presamples, neighbours
    Inversion,
    /// Normalised Euclidean error of the autoencoders' reconstructions
    Table3,
    /// Accuracy of linear SVMs on the autoencoders' code
    Table4,
    /// Reconstructions of the autoencoders side by side
    Fig3,
    /// Samples of variational autoencoders
    Fig4,
    /// The same with pictures of 64 pixels, for machines without a GPU
    Fig4Small,
    /// Normalised Euclidean error of inversions
    Table6,
    /// Inversions with one loss after the other
    Fig1,
    /// Inversions of each layer
    Fig5,
    /// Inversions of each layer by each method
    Fig6,
    /// Ablation: inversions without one loss or the other
    Fig7,
    /// Inversions of inversions
    Fig8,
    /// Images between two images
    Fig9,
    /// Whether noise makes images of one feature vector differ
    Presamples,
    /// Training images that are nearest to test images
    Neighbours,
}

/// An experiment of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Experiment {
    /// Section 4.1.
    Autoencoder,
    /// Section 4.2.
    Vae,
    /// The same with pictures of 64 pixels.
    SmallVae,
    /// Section 4.3.
    Inversion,
}

impl Experiment {
    /// Whether the paper takes STL-10 for it, and not ILSVRC-2012.
    pub(crate) fn on_stl10(self) -> bool {
        matches!(self, Self::Autoencoder | Self::SmallVae)
    }

    /// All of them, in the paper's order.
    pub(crate) const ALL: [Self; 4] =
        [Self::Autoencoder, Self::Vae, Self::SmallVae, Self::Inversion];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Autoencoder => "autoencoder",
            Self::Vae => "variational autoencoder",
            Self::SmallVae => "small variational autoencoder",
            Self::Inversion => "inversion",
        }
    }
}

/// What a table or figure needs.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    /// Generators for every layer.
    layers: &'static [Variant],
    /// Generators for the layer on which variants are compared.
    main: &'static [Variant],
    /// What is measured on the first of them, beside what is measured on all.
    measure: Option<&'static str>,
    /// Whether Mahendran & Vedaldi's method is compared with.
    optimised: bool,
}

/// Figure 1: one loss after the other.
const COMPONENTS: &[Variant] = &[IMAGE_ONLY, NO_FEATURE, NO_ADVERSARIAL, FULL];

impl Target {
    /// Tables and figures in the paper's order.
    const SINGLE: [Self; 14] = [
        Self::Table3,
        Self::Table4,
        Self::Fig3,
        Self::Fig4,
        Self::Fig4Small,
        Self::Table6,
        Self::Fig1,
        Self::Fig5,
        Self::Fig6,
        Self::Fig7,
        Self::Fig8,
        Self::Fig9,
        Self::Presamples,
        Self::Neighbours,
    ];

    /// Name in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The tables and figures of a list of targets, each once, in the paper's order.
    pub(crate) fn expand(targets: &[Self]) -> Vec<Self> {
        let whole = |experiment| match experiment {
            Experiment::Autoencoder => Self::Autoencoder,
            Experiment::Vae | Experiment::SmallVae => Self::Vae,
            Experiment::Inversion => Self::Inversion,
        };
        let wanted = |single: &Self| {
            [Self::All, whole(single.experiment()), *single].iter().any(|t| targets.contains(t))
        };
        Self::SINGLE.into_iter().filter(wanted).collect()
    }

    /// The experiment of a table or figure.
    pub(crate) fn experiment(self) -> Experiment {
        match self {
            Self::Autoencoder | Self::Table3 | Self::Table4 | Self::Fig3 => Experiment::Autoencoder,
            Self::Vae | Self::Fig4 => Experiment::Vae,
            Self::Fig4Small => Experiment::SmallVae,
            _ => Experiment::Inversion,
        }
    }

    fn needs(self) -> Needs {
        let none = Needs::default();
        match self {
            Self::Table6 => Needs {
                layers: &[FULL, PLAIN],
                main: &[IMAGE_ONLY, L1, VIDEONET],
                optimised: true,
                ..none
            },
            Self::Fig1 => Needs { main: COMPONENTS, ..none },
            Self::Fig5 => Needs { layers: &[FULL], ..none },
            Self::Fig6 => Needs { layers: &[FULL, PLAIN], optimised: true, ..none },
            Self::Fig7 => Needs { main: ABLATION, ..none },
            Self::Fig8 => Needs { layers: &[FULL], measure: Some("reencode"), ..none },
            Self::Fig9 => Needs { main: &[FULL], measure: Some("interpolate"), ..none },
            Self::Presamples => Needs { main: &[NOISE], measure: Some("presamples"), ..none },
            Self::Neighbours => Needs { layers: &[FULL], measure: Some("neighbours"), ..none },
            _ => none,
        }
    }
}

/// What a list of tables and figures needs, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Generators to train, with what is measured on each.
    pub(crate) runs: Vec<(Run, Vec<&'static str>)>,
    /// Layers that are inverted by optimisation.
    pub(crate) optimised: Vec<Layer>,
}

impl Work {
    /// Of tables and figures ([`Target::expand`]), for the inversion of these layers of a network.
    pub(crate) fn of(targets: &[Target], layers: &[Layer], encoder: &Encoder) -> Self {
        let mut work = Self::default();
        let mut add = |experiment, runs: Vec<Run>, measures: &[&'static str]| {
            if targets.iter().any(|target| target.experiment() == experiment) {
                work.runs.extend(runs.into_iter().map(|run| (run, measures.to_vec())));
            }
        };
        let measures = ["error", "svm", "sharpness", "grid"];
        add(Experiment::Autoencoder, autoencoders().into(), &measures);
        add(Experiment::Vae, vae::large(layers, encoder), &vae::MEASURES);
        add(Experiment::SmallVae, vae::small().into(), &vae::MEASURES);
        let main = Layer::main(layers);
        let needs: Vec<Needs> = targets.iter().map(|target| target.needs()).collect();
        for &layer in layers {
            for variant in Variant::ALL {
                let mut measures = vec!["error", "sharpness", "grid"];
                let mut wanted = false;
                for needs in &needs {
                    let among = needs.layers.contains(&variant)
                        || (Some(layer) == main && needs.main.contains(&variant));
                    wanted |= among;
                    let first = needs.layers.first().or(needs.main.first()) == Some(&variant);
                    measures.extend(needs.measure.filter(|_| among && first));
                }
                if wanted {
                    work.runs.push((run(layer, variant, encoder), measures));
                }
            }
            if needs.iter().any(|needs| needs.optimised) {
                work.optimised.push(layer);
            }
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODER: Encoder = Encoder { name: String::new(), calibrated: false };

    fn names(targets: &[Target], layers: &[Layer]) -> Vec<String> {
        let work = Work::of(&Target::expand(targets), layers, &ENCODER);
        work.runs.into_iter().map(|(run, _)| run.name).collect()
    }

    #[test]
    fn targets_come_once_and_in_order() {
        use Target::{All, Autoencoder, Fig3, Fig8, Inversion, Table3, Table4};
        assert_eq!(Target::expand(&[Autoencoder]), [Table3, Table4, Fig3]);
        assert_eq!(Target::expand(&[Fig3, Autoencoder]), [Table3, Table4, Fig3]);
        assert_eq!(Target::expand(&[Fig8, Fig3, Table3, Fig3]), [Table3, Fig3, Fig8]);
        assert_eq!(Target::expand(&[All]).len(), 14);
        assert_eq!(Target::expand(&[Target::Vae]), [Target::Fig4, Target::Fig4Small]);
        assert_eq!(Target::expand(&[Inversion]).len(), 9);
    }

    #[test]
    fn runs_that_several_targets_need_come_once() {
        use Target::{Fig5, Fig7, Fig8, Inversion, Table4};
        assert_eq!(names(&[Table4], &Layer::ALL).len(), 4);
        assert_eq!(names(&[Target::Vae], &Layer::ALL).len(), 6);
        let without = names(&[Target::Fig4], &[Layer::Conv5]);
        assert_eq!(without, ["vae-se", "vae-alexnet-conv5", "vae-videonet-conv5"]);
        let all = names(&[Inversion], &Layer::ALL);
        assert_eq!(all.len(), 16, "{all:?}");
        let both = names(&[Fig5, Fig8], &[Layer::Conv5, Layer::Fc6]);
        assert_eq!(both, ["inversion-conv5", "inversion-fc6"]);
        // The ablation is FC6's as in the paper, or that of the layer at hand.
        assert!(names(&[Fig7], &Layer::ALL).iter().all(|name| name.starts_with("inversion-fc6")));
        let conv5 = names(&[Fig7], &[Layer::Conv5]);
        assert_eq!(conv5.len(), 6);
        assert!(conv5.iter().all(|name| name.starts_with("inversion-conv5")));
    }

    #[test]
    fn a_figure_brings_its_own_measure() {
        let measures = |targets: &[Target]| {
            let work = Work::of(&Target::expand(targets), &[Layer::Fc6], &ENCODER);
            work.runs.into_iter().map(|(_, measures)| measures).collect::<Vec<_>>()
        };
        assert_eq!(measures(&[Target::Fig5]), [["error", "sharpness", "grid"]]);
        let both = measures(&[Target::Fig8, Target::Presamples]);
        assert_eq!(both[0].last(), Some(&"reencode"));
        assert_eq!(both[1].last(), Some(&"presamples"));
        assert!(measures(&[Target::Table6]).iter().all(|measures| measures.len() == 3));
    }
}
