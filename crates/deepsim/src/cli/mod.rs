//! The command line: one module for each command, and what they share.
//!
//! | module | holds |
//! |---|---|
//! | [`data_options`] | `--data`, `--test`, `--test-share` |
//! | [`device`] | kinds of devices |
//! | [`exit`] | exit codes |
//! | [`folders`] | two folders in `compare` |
//! | [`help`] | groups of commands |
//! | [`locate`] | the folders that data and weights are in, and `hf://` addresses |
//! | [`measure_options`] | options of measures: flags and `--set` |
//! | [`optimise_input`] | `optimise --generator` |
//! | [`optimise_options`] | options of `optimise` |
//! | [`place`] | `--device`, `--weights`, `--threads` |
//! | [`recipe`] | the recipe and the data of `train` and `plan` |
//! | [`signals`] | Ctrl-C and requests to terminate |
//! | [`show`] | rows of numbers |
//! | [`telemetry`] | messages, progress, traces |

pub(crate) mod compare;
pub(crate) mod curves;
pub(crate) mod data;
mod data_options;
mod device;
pub(crate) mod diff_runs;
pub(crate) mod download;
pub(crate) mod eval;
pub(crate) mod exit;
pub(crate) mod features;
mod folders;
pub(crate) mod generate;
pub(crate) mod help;
pub(crate) mod import;
pub(crate) mod invert;
mod locate;
mod measure_options;
pub(crate) mod optimise;
mod optimise_input;
mod optimise_options;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod probe;
mod recipe;
pub(crate) mod recipes;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod sample;
mod show;
mod signals;
pub(crate) mod status;
pub(crate) mod telemetry;
pub(crate) mod train;
