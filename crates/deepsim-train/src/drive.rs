//! The loop of every run: batches in, steps, and from time to time a line of the log, a picture and a
//! checkpoint.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use candle_core::Tensor;
use deepsim_data::{Batch, Cursor, Loader, LoaderConfig};
use deepsim_run::files::{CHECKPOINT, DONE};

use crate::TrainError;
use crate::error::NonFinite;
use crate::events::{Event, Outcome, Requests};
use crate::failure;
use crate::gradients::See;
use crate::recorder::Recorder;
use crate::session::{Course, Phase, Session};
use crate::store::Store;
use crate::tensorboard::Value;
use crate::world::World;

/// The checkpoint file that the run in `out` goes on from, if there is one.
pub(crate) fn earlier(
    out: &Path,
    resume: bool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Option<PathBuf>, TrainError> {
    let search = Store::new(out, Default::default()).search()?;
    let Some(found) = search.newest else {
        return match search.broken.into_iter().next() {
            None => Ok(None),
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
        let text = format!("{folder} is broken, going on from step {step}: {}", broken.reason);
        tell(Event::Warning(&text));
    }
    Ok(Some(found.folder.join(CHECKPOINT)))
}

/// Trains until all steps are made or a stop is requested. All processes make the same steps; the first
/// one writes.
pub(crate) fn drive(
    session: &mut dyn Session,
    course: &Course<'_>,
    mut cursor: Cursor,
    requests: &Requests,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let Course { out, steps, output, .. } = *course;
    let world = &*course.world;
    same_everywhere(world, session)?;
    let mut recorder = match world.leads() {
        true => Some(Recorder::open(course, session.steps())?),
        false => None,
    };
    // The first process looks: the others may see the folder as it was a moment ago.
    let done = world.leads() && session.steps() >= steps && out.join(DONE).exists();
    if any(world, [done])?[0] {
        return Ok(Outcome::Finished);
    }
    if let Some(recorder) = &mut recorder {
        recorder.begin(session.steps(), tell)?;
    }
    // Phases are parts of one set.
    if let Some(phase) = course.phases.last().filter(|_| world.leads()) {
        let unread = phase.source.unread();
        if !unread.is_empty() {
            tell(Event::Warning(&unread.to_string()));
        }
    }
    let mut batches: Option<Loader> = None;
    let mut ahead = None;
    let [mut stop, mut save] = asked(world, requests)?;
    while session.steps() < steps && !stop {
        let empty = || TrainError::recipe("the data set is empty");
        let phase = course.phases.iter().find(|phase| session.steps() < phase.until);
        let phase = phase.ok_or_else(empty)?;
        let loader = match &mut batches {
            Some(loader) => loader,
            none => none.insert(Loader::new(phase.source.clone(), course.loader, cursor)?),
        };
        let batch = match ahead.take() {
            Some(batch) => batch,
            None => loader.next().ok_or(TrainError::NoBatch)?,
        }?;
        if session.prefetches() && session.steps() + 1 < phase.until.min(steps) {
            let next = loader.next().ok_or(TrainError::NoBatch)?;
            // What is wrong with it is said when its turn comes.
            if let Ok(next) = &next {
                session.prefetch(next);
            }
            ahead = Some(next);
        }
        // In all processes, so that they make the step in the same way, but drawn by one.
        let looked_at = course.pictured(session.steps() + 1);
        let mut histograms = Vec::new();
        let mut see = |net: &str, name: &str, gradient: &Tensor| {
            if recorder.is_none() {
                return Ok(());
            }
            let values = gradient.flatten_all()?.to_vec1::<f32>()?;
            histograms.push(Value::histogram(&format!("gradients/{net}/{name}"), &values));
            Ok(())
        };
        let see: Option<&mut See<'_>> = if looked_at { Some(&mut see) } else { None };
        let report = match session.step(&batch, see) {
            Err(TrainError::NonFinite(found)) => {
                let found = explained(found, course, phase, session, cursor, batch)?;
                return Err(TrainError::NonFinite(found));
            }
            other => other?,
        };
        if let Some(notice) = session.notice() {
            tell(Event::Warning(&notice));
        }
        cursor = batch.next;
        let step = report.step;
        if step == phase.until {
            (cursor, batches) = (Cursor::default(), None);
        }
        if let Some(recorder) = &mut recorder {
            recorder.record(session, &report, histograms, tell)?;
        }
        let [asked_to_stop, asked_to_save] = asked(world, requests)?;
        stop = asked_to_stop;
        save |= asked_to_save;
        if (save || step.is_multiple_of(output.checkpoint_every)) && step != steps {
            save = false;
            same_everywhere(world, session)?;
            if let Some(recorder) = &recorder {
                recorder.save_on_the_way(session, cursor, tell)?;
            }
        }
    }
    same_everywhere(world, session)?;
    let finished = session.steps() >= steps;
    if let Some(recorder) = &recorder {
        recorder.end(session, cursor, finished, tell)?;
    }
    // A launcher may end the others as soon as one of them has ended.
    world.meet()?;
    Ok(match finished {
        true => Outcome::Finished,
        false => Outcome::Interrupted(session.steps()),
    })
}

/// Whether any process is asked to stop, and whether to save.
fn asked(world: &dyn World, requests: &Requests) -> Result<[bool; 2], TrainError> {
    let Requests { stop, save } = requests;
    any(world, [stop.load(Ordering::Relaxed), save.swap(false, Ordering::Relaxed)])
}

/// Of each flag, whether it is set in any process.
fn any<const N: usize>(world: &dyn World, flags: [bool; N]) -> Result<[bool; N], TrainError> {
    let mut flags = flags.map(|flag| f64::from(u8::from(flag)));
    world.sum(&mut flags)?;
    Ok(flags.map(|flag| flag > 0.0))
}

/// Refuses to go on if the processes do not stand at the same step with the same weights: where the run
/// folder is not one that all of them see, or something broke.
fn same_everywhere(world: &dyn World, session: &dyn Session) -> Result<(), TrainError> {
    if world.size() == 1 {
        return Ok(());
    }
    world.agree("step", session.steps() as f64)?;
    let mut sum = 0;
    for (_, var) in session.networks().iter().flat_map(|(_, params)| params.iter()) {
        sum = crc32c::crc32c_append(sum, &deepsim_nets::params::to_bytes(var)?);
    }
    world.agree("checksum of all weights", f64::from(sum))
}

/// What is known of a step that was undone, with all that is needed to make it again: the whole batch, of
/// all processes.
fn explained(
    mut found: Box<NonFinite>,
    course: &Course<'_>,
    phase: &Phase,
    session: &dyn Session,
    cursor: Cursor,
    mut batch: Batch,
) -> Result<Box<NonFinite>, TrainError> {
    let (world, part) = (&*course.world, course.loader);
    if world.leads() {
        if world.size() > 1 {
            let whole =
                LoaderConfig { batch: part.batch * part.world, world: 1, prefetch: 1, ..part };
            let mut loader = Loader::new(phase.source.clone(), whole, cursor)?;
            batch = loader.next().transpose()?.unwrap_or(batch);
        }
        found.batch = batch.samples.iter().map(|sample| sample.index).collect();
        // If the disk is full as well, the loss is still what must be told.
        found.reproducer = failure::keep(course.out, session, cursor, &batch).ok();
    }
    world.meet()?;
    Ok(found)
}

#[cfg(test)]
mod tests;
