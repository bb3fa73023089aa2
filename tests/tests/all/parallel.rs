//! Several processes that train together make the run that one of them makes alone. Here they are threads;
//! `cargo xtask mpi check` does the same with real ones.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex};

use candle_core::{Device, Tensor};
use deepsim_data::dataset::DataOptions;
use deepsim_data::folder::ImageFolder;
use deepsim_data::shards::{Limits, copy};
use deepsim_run::files::{CHECKPOINT, GENERATOR};
use deepsim_run::recipe::Recipe;
use deepsim_train::TrainError;
use deepsim_train::dist::ProcessGroup;
use deepsim_train::run::failure::replay;
use deepsim_train::run::{Outcome, Requests, RunOptions, run};

use crate::hear::{Told, hear};
use crate::own_pictures::pictures;
use crate::programs::{TINY, bytes, newest};
use crate::support::{Fixture, relative_norm};
use crate::vae::TINY as VAE;

/// State shared by the threads: a slot for each.
struct Shared {
    slots: Mutex<Vec<Vec<f64>>>,
    barrier: Barrier,
}

/// One of several threads that play processes.
struct Thread {
    rank: usize,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "thread {}", self.rank)
    }
}

impl ProcessGroup for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.slots.lock().expect("the slots").len()
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), TrainError> {
        let Shared { slots, barrier } = &*self.shared;
        slots.lock().expect("the slots")[self.rank] = values.to_vec();
        barrier.wait();
        values.fill(0.0);
        for slot in &*slots.lock().expect("the slots") {
            assert_eq!(slot.len(), values.len(), "all threads sum as many values");
            values.iter_mut().zip(slot).for_each(|(sum, value)| *sum += value);
        }
        barrier.wait();
        Ok(())
    }

    fn sum_tensors(&self, tensors: &mut [Tensor]) -> Result<(), TrainError> {
        for tensor in tensors {
            let own = tensor.flatten_all()?.to_vec1::<f32>()?;
            let mut sums: Vec<f64> = own.into_iter().map(f64::from).collect();
            self.sum(&mut sums)?;
            let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
            *tensor = Tensor::from_vec(sums, tensor.shape(), tensor.device())?;
        }
        Ok(())
    }
}

type Ended = Result<Outcome, TrainError>;

/// Trains a recipe with a thread for each of `requests`, in the run folder that `out` names for it; the steps
/// of the first are told to `made`. Returns how each ended.
fn train(
    requests: &[Requests],
    out: impl Fn(usize) -> PathBuf + Sync,
    of: (&str, &[&str]),
    made: impl Fn(u64) + Clone + Send + Sync + 'static,
) -> Vec<Ended> {
    train_on(&DataOptions::default(), requests, out, of, made)
}

/// The same on these data.
fn train_on(
    data: &DataOptions,
    requests: &[Requests],
    out: impl Fn(usize) -> PathBuf + Sync,
    (recipe, sets): (&str, &[&str]),
    made: impl Fn(u64) + Clone + Send + Sync + 'static,
) -> Vec<Ended> {
    let slots = Mutex::new(vec![Vec::new(); requests.len()]);
    let shared = Arc::new(Shared { slots, barrier: Barrier::new(requests.len()) });
    let one = |(rank, requests): (usize, &Requests)| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let group = Rc::new(Thread { rank, shared: shared.clone() });
        let data = data.clone();
        let options = RunOptions { data, resume: true, group, ..RunOptions::new(out(rank)) };
        let (recipe, made) = (Recipe::parse(recipe, &sets)?, made.clone());
        let each = move |told| match told {
            Told::Progress(name, step, _) if name == "training" => made(step),
            _ => {}
        };
        hear(each, || run(&recipe, &options, requests))
    };
    let one = &one;
    std::thread::scope(|scope| {
        let ranks = requests.iter().enumerate();
        let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || one(rank))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// The requests of several threads, of which nothing is asked.
fn threads(size: usize) -> Vec<Requests> {
    (0..size).map(|_| Requests::default()).collect()
}

/// The weights that a run ended with: all of them, in order.
fn weights(run: &Path) -> Vec<f32> {
    let file = Fixture::read(&run.join(GENERATOR)).expect("a generator");
    file.names().flat_map(|name| file.f32(name).expect("a tensor").to_vec()).collect()
}

fn finished(ended: Vec<Ended>) {
    for ended in ended {
        assert_eq!(ended.expect("a run"), Outcome::Finished);
    }
}

/// Largest relative difference of weights after some steps whose sums were added in another order. Adam divides gradients by
/// their size, and so makes the rounding of the smallest count as much as that of the largest.
const ROUNDING: f64 = 3e-4;

#[test]
fn the_number_of_processes_changes_nothing_but_rounding() {
    for recipe in [TINY, VAE] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let go = |name: &str, size, sets: &[&str]| {
            let sets = [&["batch=4", "average=0.5"], sets].concat();
            finished(train(&threads(size), |_| path(name), (recipe, &sets), |_| {}));
        };
        go("one", 1, &[]);
        go("parts", 1, &["micro_batch=2"]);
        go("two", 2, &[]);
        go("four", 4, &[]);
        // Half of them with two processes, and the other half with one.
        go("changed", 2, &["steps=2"]);
        go("changed", 1, &[]);
        let file = |name: &str| bytes(&path(name), GENERATOR);
        assert!(file("two") == file("parts"), "two processes are as two parts of a batch");
        let one = weights(&path("one"));
        for name in ["two", "four", "changed"] {
            let error = relative_norm(&weights(&path(name)), &one);
            assert!(error > 0.0 && error < ROUNDING, "{name}: {error:e}");
        }
    }
}

#[test]
fn two_processes_on_shards_make_the_run_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    pictures(&path("mine"), 24, &["cat", "dog"]);
    let files = ImageFolder::open(&path("mine")).expect("pictures");
    let limits = Limits { samples: 5, bytes: 1 << 30 };
    copy(&files, &path("shards"), "train", limits).expect("five shards");
    let data = DataOptions { data: Some(path("shards")), ..DataOptions::default() };
    // More than a pass over the 22 pictures that are not held out.
    let go = |name: &str, size, sets: &[&str]| {
        let sets = [&["batch=4", "steps=8"], sets].concat();
        finished(train_on(&data, &threads(size), |_| path(name), (TINY, &sets), |_| {}));
        bytes(&path(name), GENERATOR)
    };
    let two = go("two", 2, &[]);
    assert!(two == go("parts", 1, &["micro_batch=2"]), "two are as two parts of a batch");
    go("one", 1, &[]);
    let error = relative_norm(&weights(&path("two")), &weights(&path("one")));
    assert!(error > 0.0 && error < ROUNDING, "{error:e}");
}

#[test]
fn a_request_to_one_is_one_to_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let requests = threads(2);
    let second = requests[1].clone();
    let stop = move |step| {
        if step == 3 {
            second.stop.store(true, Ordering::Relaxed);
        }
    };
    let sets = ["steps=9", "output.checkpoint_every=100"];
    let ended = train(&requests, |_| run.clone(), (TINY, &sets), stop);
    let steps = ended.into_iter().map(|ended| match ended.expect("a run") {
        Outcome::Interrupted(step) => step,
        Outcome::Finished => 9,
    });
    let steps: Vec<u64> = steps.collect();
    // After the step that was being made, or, if that process was ahead, the next one.
    assert!(steps == [3, 3] || steps == [4, 4], "{steps:?}");
    let newest = newest(&run, CHECKPOINT);
    let wanted = Path::new(&format!("step-000000{}", steps[0])).join(CHECKPOINT);
    assert!(newest.ends_with(&wanted), "{}", newest.display());
}

#[test]
fn processes_that_do_not_fit_together_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let go = |size, out: &(dyn Fn(usize) -> PathBuf + Sync), sets: &[&str]| {
        let ended = train(&threads(size), out, (TINY, sets), |_| {});
        ended.into_iter().map(|ended| ended.expect_err("refused").to_string()).collect::<Vec<_>>()
    };
    for (sets, wanted) in [
        (&["batch=4"][..], "batch: expected a multiple for 3 processes, found 4"),
        (
            &["batch=12", "micro_batch=3"],
            "batch: expected a multiple for 3 processes, in micro-batches of 3 each, found 12",
        ),
    ] {
        for message in go(3, &|_| path("odd"), sets) {
            assert!(message.contains(wanted), "{message}");
        }
    }
    // A run folder that they do not share, of which one holds the beginning of the run.
    let two = threads(2);
    finished(train(&two, |_| path("shared"), (TINY, &["steps=2"]), |_| {}));
    let own = |rank| path(["shared", "own"][rank]);
    for message in go(2, &own, &[]) {
        let wanted = "expected the same step in every process, found [2.0, 0.0]";
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_step_that_fails_is_kept_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let sets = ["batch=4", "image.weight=1e35"];
    let ended = train(&threads(2), |_| folder.path().to_owned(), (TINY, &sets), |_| {});
    let [first, second] = <[Ended; 2]>::try_from(ended).expect("two");
    let (Err(TrainError::NonFinite(first)), Err(TrainError::NonFinite(second))) = (first, second)
    else {
        panic!("both processes see what is not finite");
    };
    assert_eq!(
        (first.step, first.term, first.quantity),
        (second.step, second.term, second.quantity)
    );
    // The whole batch is there, for a single process to make the step again.
    assert_eq!(first.batch.len(), 4, "{first}");
    let kept = first.reproducer.expect("a folder to replay");
    match replay(&kept, None, &Device::Cpu) {
        Err(TrainError::NonFinite(again)) => {
            assert_eq!(
                (again.term, again.quantity, again.batch),
                (first.term, first.quantity, first.batch)
            );
        }
        other => panic!("expected the same end again, found {other:?}"),
    }
}
