//! Names of the files and folders of a run folder.

/// Checked plan of the run.
pub const PLAN: &str = "plan.toml";
/// [Identity](crate::Identity) of the run.
pub const IDENTITY: &str = "identity.json";
/// Paths of the test pictures, one a line, where the data are picture files.
pub const TEST_PICTURES: &str = "held-out.txt";
/// [Log](crate::log), a JSON object per line.
pub const LOG: &str = "log.jsonl";
/// End of a finished run: [`Done`](crate::Done), written last.
pub const DONE: &str = "done.json";
/// Weights of the newest generator; each checkpoint has its own.
pub const GENERATOR: &str = "generator.safetensors";
/// Weights of the newest comparator, in a run that trains one.
pub const COMPARATOR: &str = "comparator.safetensors";
/// Folder of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// State of a checkpoint: everything needed to continue.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// Manifest of a checkpoint, written last: a folder without one is no checkpoint.
pub const MANIFEST: &str = "MANIFEST.json";
/// Folder of image grids drawn in training.
pub const GRIDS: &str = "grids";
/// Folder of steps that were undone because a number was not finite.
pub const FAILURES: &str = "failures";
/// Batch of such a step.
pub const BATCH: &str = "batch.safetensors";
/// Folder of measurements.
pub const EVAL: &str = "eval";
