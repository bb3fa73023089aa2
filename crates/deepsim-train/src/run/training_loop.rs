//! The loop of every run: batches in, steps, and from time to time a line of the log, a picture and a
//! checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use candle_core::Tensor;
use deepsim_data::{Batch, Cursor, Loader, LoaderConfig};
use deepsim_run::files::{CHECKPOINT, DONE};
use deepsim_run::recipe::Validation;
use tracing::{info, trace_span, warn};

use crate::TrainError;
use crate::dist::ProcessGroup;
use crate::error::NonFinite;
use crate::run::control::{Outcome, Requests};
use crate::run::failure;
use crate::run::recorder::Recorder;
use crate::run::session::{LoopSetup, Phase, Session};
use crate::run::tensorboard::Value;
use crate::step::gradients::GradientHook;
use crate::store::Store;

/// Returns the checkpoint file from which the run in `out` continues, if there is one.
pub(crate) fn earlier(out: &Path, resume: bool) -> Result<Option<PathBuf>, TrainError> {
    let search = Store::new(out, Default::default()).search()?;
    let Some(found) = search.newest else {
        return match search.broken.into_iter().next() {
            None => {
                if resume {
                    let out = out.display();
                    info!("{out}: no run to resume, training starts from the beginning");
                }
                Ok(None)
            }
            Some(broken) => Err(TrainError::Checkpoint {
                path: broken.folder,
                reason: format!("{}; there is no other that is whole", broken.reason),
            }),
        };
    };
    if !resume {
        return Err(TrainError::Folder {
            path: out.into(),
            reason: format!(
                "it holds a run at step {}; continue it with --resume or choose another folder",
                found.manifest.step
            ),
        });
    }
    for broken in &search.broken {
        let (folder, step) = (broken.folder.display(), found.manifest.step);
        warn!("{folder} is broken, continuing from step {step}: {}", broken.reason);
    }
    Ok(Some(found.folder.join(CHECKPOINT)))
}

/// Trains until all steps are made or a stop is requested. All processes make the same steps; the first
/// one writes.
pub(crate) fn training_loop(
    session: &mut dyn Session,
    setup: &LoopSetup<'_>,
    mut cursor: Cursor,
    requests: &Requests,
) -> Result<Outcome, TrainError> {
    let LoopSetup { out, steps, .. } = *setup;
    let group = &*setup.group;
    same_everywhere(group, session)?;
    let mut recorder = match group.leads() {
        true => Some(Recorder::open(setup, session.steps())?),
        false => None,
    };
    // The first process looks: the others may see the folder as it was a moment ago.
    let done = group.leads() && session.steps() >= steps && out.join(DONE).exists();
    if any(group, [done])?[0] {
        if group.leads() {
            let step = session.steps();
            info!("{}: finished at step {step}, nothing is left to train", out.display());
        }
        return Ok(Outcome::Finished);
    }
    if let Some(recorder) = &mut recorder {
        recorder.begin(session.steps())?;
    }
    let mut batches: Option<Loader> = None;
    let mut ahead = None;
    let [mut stop, mut save] = asked(group, requests)?;
    while session.steps() < steps && !stop {
        let empty = || TrainError::recipe("the data set is empty");
        let phase = setup.phases.iter().find(|phase| session.steps() < phase.until);
        let phase = phase.ok_or_else(empty)?;
        let loader = match &mut batches {
            Some(loader) => loader,
            none => none.insert(Loader::new(phase.source.clone(), setup.loader, cursor)?),
        };
        let batch = match ahead.take() {
            Some(batch) => batch,
            None => loader.next().ok_or(TrainError::NoBatch)?,
        }?;
        if session.prefetches() && session.steps() + 1 < phase.until.min(steps) {
            let next = loader.next().ok_or(TrainError::NoBatch)?;
            // An error is reported when its turn comes.
            if let Ok(next) = &next {
                session.prefetch(next);
            }
            ahead = Some(next);
        }
        // In all processes, so that they make the step in the same way, but drawn by one.
        let pictured = setup.pictured(session.steps() + 1);
        let mut histograms = Vec::new();
        let mut hook = |net: &str, name: &str, gradient: &Tensor| {
            if recorder.is_none() {
                return Ok(());
            }
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            histograms.push(Value::histogram(&format!("gradients/{net}/{name}"), &values));
            Ok(())
        };
        let hook: Option<&mut GradientHook<'_>> = if pictured { Some(&mut hook) } else { None };
        let mut report = match trace_span!("step").in_scope(|| session.step(&batch, hook)) {
            Err(TrainError::NonFinite(found)) => {
                let found = explained(found, setup, phase, session, cursor, batch)?;
                return Err(TrainError::NonFinite(found));
            }
            other => other?,
        };
        if let Some(notice) = session.notice()
            && group.leads()
        {
            warn!("{notice}");
        }
        cursor = batch.next;
        let step = report.step;
        if step == phase.until {
            (cursor, batches) = (Cursor::default(), None);
        }
        if let Some(recorder) = &mut recorder {
            let validation = if setup.kept(step) { session.validate()? } else { None };
            report.measures.extend(validation.map(|loss| (Validation::NAME, loss)));
            recorder.record(session, &report, histograms, validation.is_some())?;
        }
        let [asked_to_stop, asked_to_save] = asked(group, requests)?;
        stop = asked_to_stop;
        save |= asked_to_save;
        if (save || setup.kept(step)) && step != steps {
            save = false;
            same_everywhere(group, session)?;
            if let Some(recorder) = &recorder {
                recorder.save_on_the_way(session, cursor)?;
            }
        }
    }
    same_everywhere(group, session)?;
    let finished = session.steps() >= steps;
    if let Some(recorder) = &recorder {
        recorder.end(session, cursor, finished)?;
    }
    // A launcher may end the others as soon as one of them has ended.
    group.meet()?;
    Ok(match finished {
        true => Outcome::Finished,
        false => Outcome::Interrupted(session.steps()),
    })
}

/// Returns whether any process is asked to stop, and whether any to save.
fn asked(group: &dyn ProcessGroup, requests: &Requests) -> Result<[bool; 2], TrainError> {
    let Requests { stop, save } = requests;
    any(group, [stop.load(Ordering::Relaxed), save.swap(false, Ordering::Relaxed)])
}

/// All-reduces flags by logical or.
fn any<const N: usize>(
    group: &dyn ProcessGroup,
    flags: [bool; N],
) -> Result<[bool; N], TrainError> {
    let mut flags = flags.map(|flag| f64::from(u8::from(flag)));
    group.sum(&mut flags)?;
    Ok(flags.map(|flag| flag > 0.0))
}

/// Fails if the ranks are not at the same step with the same weights, as when they do not share the run
/// folder.
fn same_everywhere(group: &dyn ProcessGroup, session: &dyn Session) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    group.agree("step", session.steps() as f64)?;
    let mut sum = 0;
    for (_, var) in session.networks().iter().flat_map(|(_, params)| params.iter()) {
        sum = crc32c::crc32c_append(sum, &deepsim_nets::params::to_bytes(var)?);
    }
    group.agree("checksum of all weights", f64::from(sum))
}

/// Completes the error of an undone step with what reproduces it: the whole batch of all ranks.
fn explained(
    mut found: Box<NonFinite>,
    setup: &LoopSetup<'_>,
    phase: &Phase,
    session: &dyn Session,
    cursor: Cursor,
    mut batch: Batch,
) -> Result<Box<NonFinite>, TrainError> {
    let (group, part) = (&*setup.group, setup.loader);
    if group.leads() {
        if group.size() > 1 {
            let whole =
                LoaderConfig { batch: part.batch * part.world, world: 1, prefetch: 1, ..part };
            let mut loader = Loader::new(phase.source.clone(), whole, cursor)?;
            batch = loader.next().transpose()?.unwrap_or(batch);
        }
        found.batch = batch.samples.iter().map(|sample| sample.index).collect();
        // If the disk is full as well, the error still reports the loss.
        found.reproducer = failure::keep(setup.out, session, cursor, &batch).ok();
    }
    group.meet()?;
    Ok(found)
}

#[cfg(test)]
mod tests;
