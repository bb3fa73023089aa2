//! Options of `deepsim optimise`.

use std::path::PathBuf;

use clap::Args;
use deepsim_eval::generator_input::{Optimiser, Settings};
use deepsim_eval::optimisation_baseline::Prior;
use deepsim_nets::ComparatorKind;

use super::data_options::Data;
use super::place::Place;

/// Find images by gradient descent, of pixels (the paper's baseline) or of a generator's input
///
/// Of pixels: images whose features are those of the test or validation pictures of the data, of those larger than 227
/// pixels the middle, with measures of how far they are. Of a generator's input (--generator): images that the generator
/// can draw whose features are those of --target, or in which a --unit is large; Ctrl-C writes the best so far.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The network: a name, e.g. alexnet, or the path of a description that ends in .toml
    #[arg(long, value_name = "NET", default_value = "alexnet")]
    pub(crate) net: ComparatorKind,
    /// Features to invert, e.g. CONV5; several with commas. With --generator [NET:]TAP[=WEIGHT]
    #[arg(long, value_name = "TAP", required_unless_present = "unit", value_delimiter = ',')]
    pub(crate) tap: Vec<String>,
    #[command(flatten)]
    pub(crate) data: Data,
    /// Side that pictures of another size are brought to first: the short side of those in folders and shards, of which
    /// the middle square is taken; others are stretched
    #[arg(long, value_name = "PIXELS")]
    pub(crate) resize: Option<usize>,
    /// Lets it take random weights where there is no file
    #[arg(long)]
    pub(crate) random_weights: bool,
    /// mahendran-vedaldi, l2 or blur
    #[arg(long, value_name = "PRIOR", default_value = "mahendran-vedaldi")]
    pub(crate) prior: Prior,
    /// Only the first so many pictures
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Pictures from whose pairs errors are normalised; all are held in memory, 0.6 MB each of
    /// 227x227 [default: all, at most 4000]
    #[arg(long, value_name = "N")]
    pub(crate) pairs: Option<usize>,
    /// Pictures that are inverted together; changes the speed only, never the result
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) batch: usize,
    /// Seed of the noise that it starts from, of jitter, and of the data where they are drawn
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Steps, to which the schedule is scaled [default: the prior's, 400; 200 with --generator]
    #[arg(long, value_name = "N")]
    pub(crate) iterations: Option<usize>,
    /// Folder for <prior>-<tap>.json and pictures; taps that are there with these settings are left. With --generator,
    /// for pictures, sheet.png, inputs.safetensors and numbers.json
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
    // The last, because its heading holds for all that follows.
    #[command(flatten)]
    pub(crate) input: InputOptions,
}

/// Options of a descent in the input of a generator.
#[derive(Args)]
#[command(next_help_heading = "In the input of a generator")]
pub(crate) struct InputOptions {
    /// Optimises the input of this generator in place of pixels: a run folder, a file, or the name of one in
    /// --weights or that comes with the project
    #[arg(
        long,
        value_name = "RUN|FILE",
        conflicts_with_all = ["data", "resize", "prior", "limit", "pairs"])]
    pub(crate) generator: Option<PathBuf>,
    /// Aim: photographs, or a file of features for each network (deepsim features); may be repeated
    #[arg(long, value_name = "FILE", requires = "generator")]
    pub(crate) target: Vec<PathBuf>,
    /// Unit to make large, e.g. fc8:281 or squeezenet:LOGITS:281, the mean over positions; one picture for each
    #[arg(
        long,
        value_name = "[NET:]TAP:UNIT",
        requires = "generator",
        conflicts_with_all = ["target", "tap"])]
    pub(crate) unit: Vec<String>,
    /// Inputs to start from, a file of features [default: noise]
    #[arg(long, value_name = "FILE", requires = "generator")]
    pub(crate) start: Option<PathBuf>,
    /// Bounds of inputs, from deepsim features --statistics (least and greatest values), or a .npy of shape (2, ...)
    #[arg(long, value_name = "FILE", requires = "generator")]
    pub(crate) bounds: Option<PathBuf>,
    /// Bounds of so many deviations about the mean in place of the extremes
    #[arg(long, value_name = "K", requires = "bounds")]
    pub(crate) deviations: Option<f64>,
    /// Rule of the steps: adam or momentum
    #[arg(long, value_name = "RULE", requires = "generator", default_value_t = Settings::default().optimiser)]
    pub(crate) optimiser: Optimiser,
    /// Learning rate in deviations of the input; falls to a tenth
    #[arg(long, value_name = "RATE", requires = "generator", default_value_t = Settings::default().rate)]
    pub(crate) rate: f64,
    /// Weight of the input's mean square, in deviations
    #[arg(long, requires = "generator", value_name = "WEIGHT", default_value_t = 0.0)]
    pub(crate) l2: f64,
    /// Descents from other inputs, of which the best is kept
    #[arg(long, requires = "generator", value_name = "N", default_value_t = 1)]
    pub(crate) restarts: usize,
}
