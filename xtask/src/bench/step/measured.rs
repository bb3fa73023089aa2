//! Results of the step benchmark, as rows of a table and as JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::report;
use super::super::rounds::{self, Times};

/// Titles of the columns of [`Measured::rows`].
pub(super) const HEADER: [&str; 10] = [
    "step",
    "wall ms",
    "CPU ms",
    "GFLOP/s",
    "of product",
    "ours / it",
    "memory MiB",
    "ours / it",
    "less libraries",
    "start s",
];

/// Keys of memory in files. On a GPU it is the memory that the first steps took, not the peak.
const MEMORY: [&str; 2] = ["peak_memory_bytes", "gpu_memory_bytes_after_first_steps"];

/// Results for one batch size.
pub(super) struct Measured {
    pub(super) batch: usize,
    /// Contestants, ours first; the next three have this order.
    pub(super) names: Vec<&'static str>,
    pub(super) times: Vec<Times>,
    /// Largest number of bytes that the process held; on a GPU, the bytes that its start and first
    /// steps took.
    pub(super) memory: Vec<Option<u64>>,
    pub(super) start: Vec<f64>,
    /// Bytes that PyTorch holds before there is any network; unknown on a GPU.
    pub(super) libraries: Option<u64>,
    /// FLOPs of a step.
    pub(super) gflop: f64,
    /// Best GFLOP/s of the matrix product.
    pub(super) product: f64,
    /// Largest relative difference between losses in the check.
    pub(super) worst: f64,
    /// PyTorch's version.
    pub(super) torch: Value,
    /// On a GPU: versions of its CUDA and cuDNN.
    pub(super) cuda: [Value; 2],
    pub(super) on_gpu: bool,
}

impl Measured {
    pub(super) fn rows(&self) -> Result<Vec<Vec<String>>> {
        let row = |(at, name): (usize, &&str)| {
            let wall = rounds::median(&self.times[at].wall)?;
            let rate = self.gflop / wall * 1e3;
            let ratio = rounds::ratio(&self.times[0].wall, &self.times[at].wall)?;
            let memory = self.memory[at].map_or("?".to_owned(), |m| (m >> 20).to_string());
            // Ours over another's, from which the memory of its libraries may be subtracted.
            let share = |left_out: Option<u64>| {
                let its = self.memory[at]?.checked_sub(left_out?).filter(|its| *its > 0)?;
                (at > 0).then_some(self.memory[0]? as f64 / its as f64)
            };
            let shares = [share(Some(0)), share(self.libraries)];
            let [whole, rest] = shares.map(|s| s.map_or(String::new(), |s| format!("{s:.2}")));
            Ok(vec![
                format!("batch {}: {name}", self.batch),
                format!("{wall:.1}"),
                format!("{:.1}", rounds::median(&self.times[at].cpu)?),
                format!("{rate:.0}"),
                format!("{:.0} %", 100.0 * rate / self.product),
                if at == 0 { String::new() } else { report::ratio(ratio) },
                memory,
                whole,
                rest,
                format!("{:.2}", self.start[at]),
            ])
        };
        self.names.iter().enumerate().map(row).collect()
    }

    pub(super) fn json(&self) -> Result<Value> {
        let contestant = |(at, name): (usize, &&str)| {
            let times = &self.times[at];
            let wall = rounds::median(&times.wall)?;
            Ok(json!({
                "name": name,
                "wall_ms": wall,
                "cpu_ms": rounds::median(&times.cpu)?,
                "gflop_per_s": self.gflop / wall * 1e3,
                "ours_to_it": report::ratio_json(rounds::ratio(&self.times[0].wall, &times.wall)?),
                MEMORY[usize::from(self.on_gpu)]: self.memory[at],
                "start_to_first_step_s": self.start[at],
                "wall_ms_of_rounds": times.wall,
            }))
        };
        let contestants = self.names.iter().enumerate();
        let contestants = contestants.map(contestant).collect::<Result<Vec<_>>>()?;
        Ok(json!({
            "batch": self.batch,
            "gflop_per_step": self.gflop,
            "product_gflop_per_s": self.product,
            "largest_difference_of_losses": self.worst,
            "bytes_of_pytorchs_libraries": self.libraries,
            "pytorchs_cuda": self.cuda[0],
            "pytorchs_cudnn": self.cuda[1],
            "contestants": contestants,
        }))
    }
}
