//! `deepsim train`: trains one generator, or one comparator, from a recipe.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use candle_core::Device;
use clap::Args;
use deepsim_run::recipe::AnyRecipe;
use deepsim_train::TrainError;
use deepsim_train::comparator;
use deepsim_train::run::{Event, Outcome, Requests, RunOptions, run as train_generator};
use deepsim_train::world::{self, World};
use tracing::Span;

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

/// Trains, alone or as one of several processes; returns the exit code.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let place = arguments.what.place.open()?;
    let world = world::join(&place.0)?;
    if !world.leads() {
        telemetry::be_quiet();
    }
    match train(arguments, place, &world) {
        Err(error) if world.size() > 1 => failed_together(&*world, error),
        other => other,
    }
}

/// Ends the other processes, which would wait for this one indefinitely, unless they all have the same error:
/// then the first one reports it.
fn failed_together(world: &dyn World, error: anyhow::Error) -> Result<u8> {
    if !matches!(error.downcast_ref(), Some(TrainError::NonFinite(_))) {
        tracing::error!("process {} of {}: {error:#}", world.rank(), world.size());
        world.abort(exit::code(&error));
    }
    if world.leads() { Err(error) } else { Ok(exit::code(&error)) }
}

fn train(
    arguments: &Arguments,
    place: (Device, Option<PathBuf>),
    world: &Rc<dyn World>,
) -> Result<u8> {
    let (recipe, options) = arguments.what.on(place, &arguments.out, arguments.resume)?;
    let options = RunOptions { world: world.clone(), ..options };
    let requests = Requests::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal, with the flag already set, ends the program at once.
        let code = i32::from(exit::KILLED);
        signal_hook::flag::register_conditional_shutdown(signal, code, requests.stop.clone())?;
        signal_hook::flag::register(signal, requests.stop.clone())?;
    }
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, requests.save.clone())?;
    let mut course = (Span::none(), 0);
    let tell = |event: Event<'_>| tell(&event, &mut course);
    let outcome = match &recipe {
        AnyRecipe::Generator(recipe) => train_generator(recipe, &options, &requests, tell)?,
        AnyRecipe::Comparator(recipe) => comparator::run(recipe, &options, &requests, tell)?,
    };
    Ok(match outcome {
        Outcome::Finished => exit::DONE,
        Outcome::Interrupted(step) => {
            tracing::info!("interrupted: checkpoint saved at step {step}; go on with --resume");
            exit::INTERRUPTED
        }
    })
}

/// Tells an event of a run, in the span that is opened when the run begins.
fn tell(event: &Event<'_>, (span, all): &mut (Span, u64)) {
    match event {
        Event::Started { heading, steps, from } => {
            heading.iter().for_each(|line| tracing::info!("{line}"));
            if *from > 0 {
                tracing::info!("resuming after step {from}");
            }
            (*span, *all) = (tracing::info_span!("training", total = steps, done = from), *steps);
        }
        Event::Step(record) => {
            span.record("done", record.step);
            let (step, steps) = (record.step, *all);
            let text = format!("{:.0} images/s {}", record.items_per_s, record.summary());
            span.in_scope(|| tracing::info!(target: "deepsim_train::step", step, steps, "{text}"));
        }
        Event::Warning(text) => tracing::warn!("{text}"),
        Event::Saved(step) => tracing::info!("checkpoint at step {step}"),
    }
}
