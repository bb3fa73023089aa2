//! `deepsim train`: trains one generator, or one comparator, from a recipe.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use deepsim_run::recipe::AnyRecipe;
use deepsim_train::TrainError;
use deepsim_train::comparator;
use deepsim_train::dist::{self, ProcessGroup};
use deepsim_train::run::{Outcome, Requests, RunOptions, run as train_generator};

use super::exit;
use super::recipe::What;
use super::telemetry;

/// Train a generator, or a comparator, from a recipe
///
/// The recipe says what is trained: sizes, the weights of the image, feature and adversarial terms,
/// the comparator, the optimiser. The run folder receives the checked plan (plan.toml), the log of
/// every term (log.jsonl, and TensorBoard event files), grids of reconstructions (grids/),
/// checkpoints from which the run can be resumed bit for bit (checkpoints/), and the trained generator
/// (generator.safetensors).
///
/// Ctrl-C or SIGTERM saves a checkpoint and stops, a second one stops at once; the same command with
/// --resume continues. SIGUSR1 saves a checkpoint and continues.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Continue the run in the folder, if there is one
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    what: What,
}

#[cfg(test)]
impl Arguments {
    /// Checks the recipe's name and keys.
    pub(crate) fn check(&self) -> Result<()> {
        self.what.check()
    }
}

/// Trains, alone or as one of several processes; returns the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let place = arguments.what.place.open()?;
    let group = dist::join(&place.0)?;
    if !group.leads() {
        telemetry::be_quiet();
    }
    match train(arguments, place, &group) {
        Err(error) if group.size() > 1 => failed_together(&*group, error),
        other => other,
    }
}

/// Ends the other processes, which would wait for this one indefinitely, unless they all have the same error:
/// then the first one reports it.
fn failed_together(group: &dyn ProcessGroup, error: anyhow::Error) -> Result<u8> {
    if !matches!(error.downcast_ref(), Some(TrainError::NonFinite(_))) {
        tracing::error!("process {} of {}: {error:#}", group.rank(), group.size());
        group.abort(exit::code(&error));
    }
    if group.leads() { Err(error) } else { Ok(exit::code(&error)) }
}

fn train(
    arguments: &Arguments,
    place: (Device, Option<PathBuf>),
    group: &Rc<dyn ProcessGroup>,
) -> Result<u8> {
    let (recipe, options) = arguments.what.on(place, &arguments.out, arguments.resume)?;
    let options = RunOptions { group: group.clone(), ..options };
    let requests = Requests::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal, with the flag already set, ends the program at once.
        let code = i32::from(exit::KILLED);
        signal_hook::flag::register_conditional_shutdown(signal, code, requests.stop.clone())?;
        signal_hook::flag::register(signal, requests.stop.clone())?;
    }
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, requests.save.clone())?;
    let outcome = match &recipe {
        AnyRecipe::Generator(recipe) => train_generator(recipe, &options, &requests)?,
        AnyRecipe::Comparator(recipe) => comparator::run(recipe, &options, &requests)?,
    };
    Ok(match outcome {
        Outcome::Finished => exit::DONE,
        Outcome::Interrupted(step) => {
            tracing::info!("interrupted: checkpoint saved at step {step}; continue with --resume");
            exit::INTERRUPTED
        }
    })
}
