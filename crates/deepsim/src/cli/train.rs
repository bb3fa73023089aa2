//! `deepsim train`: trains one generator, or one comparator, from a recipe.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
/// every term (log.jsonl, and TensorBoard event files), grids of reconstructions, or of a comparator's
/// first filters (grids/), checkpoints from which the run can be resumed bit for bit (checkpoints/), and
/// the trained generator (generator.safetensors) or comparator (comparator.safetensors).
///
/// Ctrl-C or SIGTERM saves a checkpoint and stops, a second one stops at once; the same command with
/// --resume continues. SIGUSR1 saves a checkpoint and continues.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Run folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Continue the run in the folder; without one, start from the beginning and say so
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
    stop_on_signals(requests.stop.clone(), arguments.out.clone())?;
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, requests.save.clone())?;
    let outcome = match &recipe {
        AnyRecipe::Generator(recipe) => train_generator(recipe, &options, &requests),
        AnyRecipe::Comparator(recipe) => comparator::run(recipe, &options, &requests),
    };
    Ok(match outcome.map_err(|error| arguments.what.data.explain(error.into()))? {
        Outcome::Finished => exit::DONE,
        Outcome::Interrupted(step) => {
            tracing::info!("interrupted: checkpoint saved at step {step}; continue with --resume");
            exit::INTERRUPTED
        }
    })
}

/// Asks the run to stop at the first signal, and ends the program at the second one.
#[cfg(not(unix))]
fn stop_on_signals(stop: Arc<AtomicBool>, _out: PathBuf) -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let code = i32::from(exit::KILLED);
        signal_hook::flag::register_conditional_shutdown(signal, code, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(())
}

/// Asks the run to stop at the first signal. At the second one says what is lost and ends the program, on a thread of
/// its own: a signal handler must not print.
#[cfg(unix)]
fn stop_on_signals(stop: Arc<AtomicBool>, out: PathBuf) -> Result<()> {
    let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if stop.swap(true, std::sync::atomic::Ordering::Relaxed) {
                tracing::warn!("{}", ended(&out));
                // Nothing is cleaned up: that may wait for the step that is being made.
                signal_hook::low_level::exit(i32::from(exit::KILLED));
            }
        }
    })?;
    Ok(())
}

/// Describes what is left of a run that ends at once.
#[cfg(unix)]
fn ended(out: &std::path::Path) -> String {
    match deepsim_train::store::newest(out) {
        Ok(Some(newest)) => format!(
            "ended at once: steps after the checkpoint at step {} are lost; continue with --resume",
            newest.step
        ),
        Ok(None) => "ended at once, before the first checkpoint: all steps are lost".into(),
        Err(error) => format!("ended at once: steps after the last checkpoint are lost ({error})"),
    }
}
