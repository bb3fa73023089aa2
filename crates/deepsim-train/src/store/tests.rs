use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::*;

/// A file system whose k-th call fails; a write that fails leaves half of its bytes.
struct Failing {
    calls: Rc<Cell<usize>>,
    at: usize,
}

impl Failing {
    fn call(&self) -> io::Result<()> {
        self.calls.set(self.calls.get() + 1);
        let broken = io::Error::new(io::ErrorKind::StorageFull, "no space left on the device");
        if self.calls.get() == self.at { Err(broken) } else { Ok(()) }
    }
}

impl Disk for Failing {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| RealDisk.create_folder(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call().or_else(|error| {
            RealDisk.write(path, &bytes[..bytes.len() / 2])?;
            Err(error)
        })?;
        RealDisk.write(path, bytes)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| RealDisk.sync_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().and_then(|()| RealDisk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| RealDisk.remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.call().and_then(|()| RealDisk.remove_folder(path))
    }
}

fn keep(last: usize) -> Retention {
    Retention { last, ..Retention::default() }
}

fn save(store: &Store, step: u64) -> Result<PathBuf, TrainError> {
    store.save(step, BTreeMap::new(), &|put| {
        put("weights", format!("weights of {step}").as_bytes())?;
        put("state", &[step as u8; 100])
    })
}

fn newest(run: &Path) -> u64 {
    let found = Store::new(run, keep(1)).search().expect("a folder").newest;
    found.map_or(0, |found| found.manifest.step)
}

fn names(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = read_folder(&run.join(CHECKPOINTS))
        .expect("a folder")
        .iter()
        .map(|path| name(path).to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_newest_whole_checkpoint_is_found() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let store = Store::new(run.path(), keep(3));
    assert!(store.search()?.newest.is_none());
    for step in [10, 20, 30, 1_000_000_000] {
        save(&store, step)?;
    }
    assert_eq!(names(run.path()), ["step-0000020", "step-0000030", "step-1000000000"]);
    assert_eq!(newest(run.path()), 1_000_000_000);

    // Shorter, with another byte, without its manifest: each counts no more.
    let file = |step: &str, name: &str| run.path().join(CHECKPOINTS).join(step).join(name);
    std::fs::write(file("step-1000000000", "state"), [0; 99])?;
    let Search { newest: found, broken } = store.search()?;
    assert_eq!(found.map(|f| f.manifest.step), Some(30));
    assert!(
        broken[0].reason.contains("state: expected 100 bytes")
            && broken[0].reason.contains("found 99")
    );
    std::fs::write(file("step-0000030", "weights"), "weights of 31")?;
    assert_eq!(newest(run.path()), 20);
    std::fs::write(file("step-0000020", MANIFEST), "{}")?;
    assert_eq!((newest(run.path()), store.search()?.broken.len()), (0, 3));
    Ok(())
}

#[test]
fn the_newest_checkpoint_is_told_by_manifests_and_sizes_alone() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let step = || super::newest(run.path()).map(|newest| newest.map(|newest| newest.step));
    assert_eq!(step()?, None);
    let store = Store::new(run.path(), keep(3));
    let [_, twenty, thirty] = [save(&store, 10)?, save(&store, 20)?, save(&store, 30)?];
    let newest = super::newest(run.path())?.expect("a checkpoint");
    assert_eq!(newest, Newest { step: 30, checkpoint: thirty.join(CHECKPOINT) });

    // Another byte is not seen; another size and a missing file are.
    std::fs::write(thirty.join("weights"), "weights of 31")?;
    assert_eq!(step()?, Some(30));
    std::fs::write(thirty.join("state"), [0; 99])?;
    assert_eq!(step()?, Some(20));
    std::fs::remove_file(twenty.join("weights"))?;
    assert_eq!(step()?, Some(10));
    Ok(())
}

#[test]
fn a_broken_checkpoint_of_the_same_step_is_replaced_and_a_whole_one_stays() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let store = Store::new(run.path(), keep(2));
    let folder = save(&store, 10)?;
    let modified = |folder: &Path| std::fs::metadata(folder.join("state"))?.modified();
    let before = modified(&folder)?;
    save(&store, 10)?;
    assert_eq!(modified(&folder)?, before);
    std::fs::write(folder.join("state"), "broken")?;
    save(&store, 10)?;
    assert_eq!(newest(run.path()), 10);
    Ok(())
}

#[test]
fn no_failing_call_loses_a_checkpoint() -> anyhow::Result<()> {
    let mut k = 1;
    loop {
        let run = tempfile::tempdir()?;
        save(&Store::new(run.path(), keep(1)), 10)?;
        let calls = Rc::new(Cell::new(0));
        let disk = Failing { calls: calls.clone(), at: k };
        let result = save(&Store::on(run.path(), keep(1), Box::new(disk)), 20);
        if calls.get() < k {
            assert!(result.is_ok() && names(run.path()) == ["step-0000020"]);
            break;
        }
        let error = result.expect_err("a call failed");
        assert!(matches!(error, TrainError::Save { .. }), "call {k}: {error}");
        assert!(error.to_string().contains("no space left"), "call {k}: {error}");
        assert!(newest(run.path()) >= 10, "call {k}: nothing is left to go on from");
        // The next session clears up and saves.
        let store = Store::new(run.path(), keep(1));
        store.clear()?;
        assert!(names(run.path()).iter().all(|name| name.starts_with("step-")), "call {k}");
        save(&store, 30)?;
        assert_eq!((newest(run.path()), names(run.path()).len()), (30, 1), "call {k}");
        k += 1;
    }
    // Folder aside, two files, manifest, flush, rename, flush, removal of manifest and folder.
    assert_eq!(k, 10);
    Ok(())
}

#[test]
fn leftovers_of_a_crash_are_cleared() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let store = Store::new(run.path(), keep(2));
    store.clear()?;
    save(&store, 10)?;
    let checkpoints = run.path().join(CHECKPOINTS);
    std::fs::create_dir_all(checkpoints.join(".saving-1/x"))?;
    std::fs::create_dir(checkpoints.join("step-0000005"))?;
    std::fs::write(checkpoints.join("notes.txt"), "mine")?;
    store.clear()?;
    assert_eq!(names(run.path()), ["notes.txt", "step-0000010"]);
    Ok(())
}
