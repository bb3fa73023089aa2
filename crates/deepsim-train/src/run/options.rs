//! Options of a run.

use std::path::PathBuf;
use std::rc::Rc;

use candle_core::Device;
use deepsim_data::dataset::DataOptions;

use crate::dist::{ProcessGroup, SingleProcess};

/// Inputs, outputs and device of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run folder.
    pub out: PathBuf,
    /// Name of the run in its [`Identity`](deepsim_run::Identity); the recipe's name where None.
    pub id: Option<String>,
    /// The data, and how its test split is found.
    pub data: DataOptions,
    /// Folder in which comparators' weights are looked for.
    pub weights: Option<PathBuf>,
    /// Continue the run that the folder holds.
    pub resume: bool,
    /// Device of the networks.
    pub device: Device,
    /// On a GPU, record steps as CUDA graphs ([`Trainer::set_graphs`](crate::trainer::Trainer::set_graphs)); without one it changes nothing.
    pub graphs: bool,
    /// Threads that prepare batches.
    pub workers: usize,
    /// The processes that train together.
    pub group: Rc<dyn ProcessGroup>,
}

impl RunOptions {
    /// A new run of a single process in `out`, on procedural scenes and the CPU, with the weights that come with the project,
    /// and random ones of other networks.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            id: None,
            data: DataOptions::default(),
            weights: None,
            resume: false,
            device: Device::Cpu,
            graphs: true,
            workers: 1,
            group: Rc::new(SingleProcess),
        }
    }
}
