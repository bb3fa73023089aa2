//! How this program was started: alone, or as one of several by `mpirun`, `srun` or `torchrun`.

use std::rc::Rc;

use super::{Alone, World};

/// Several processes were started, and cannot work together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LaunchError(String);

/// What launchers tell the processes that they start: name, how many there are.
const LAUNCHERS: [(&str, &str); 4] = [
    ("mpirun", "OMPI_COMM_WORLD_SIZE"),
    ("mpiexec", "PMI_SIZE"),
    // Only within a step; the variables of a job are there for a single process too.
    ("srun", "SLURM_STEP_NUM_TASKS"),
    ("torchrun", "WORLD_SIZE"),
];

/// What they tell of the number of a process among those on its machine.
const LOCAL: [&str; 4] =
    ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "LOCAL_RANK"];

/// The number of the GPU that is for this process: its own number among those on its machine, by its
/// launcher's word, of the GPUs that it sees; 0 if there was no launcher.
pub fn local_gpu() -> usize {
    gpu(|name| std::env::var(name).ok())
}

fn gpu(variable: impl Fn(&str) -> Option<String>) -> usize {
    let number = |name: &&str| variable(name)?.trim().parse().ok();
    let rank: usize = LOCAL.iter().find_map(number).unwrap_or(0);
    // A launcher may show each process one of them, which then has the number 0.
    match variable("CUDA_VISIBLE_DEVICES").map(|list| list.split(',').count()) {
        Some(visible) => rank % visible,
        None => rank,
    }
}

/// The name of the launcher and the number of processes that it started.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    let size = |name: &str| variable(name)?.trim().parse().ok();
    LAUNCHERS.iter().find_map(|(launcher, name)| Some((*launcher, size(name)?)))
}

/// The processes that were started together with this one, by its launcher's word; this one alone if there
/// was no launcher.
///
/// # Errors
/// If the launcher started several, but this program cannot join them.
pub fn join() -> Result<Rc<dyn World>, LaunchError> {
    match launched(|name| std::env::var(name).ok()) {
        None | Some((_, ..=1)) => Ok(Rc::new(Alone)),
        Some((launcher, size)) => join_by(launcher, size),
    }
}

#[cfg(feature = "mpi")]
fn join_by(launcher: &str, size: usize) -> Result<Rc<dyn World>, LaunchError> {
    let refused =
        |reason: String| LaunchError(format!("{launcher} started {size} processes{reason}"));
    let world =
        super::mpi::Mpi::join().ok_or_else(|| refused(", but MPI cannot be started".into()))?;
    match world.size() {
        found if found == size => Ok(Rc::new(world)),
        found => Err(refused(format!(
            ", but MPI knows {found}; is it the MPI that this program was built with? With srun, try \
             --mpi=pmix (docs/parallel.md)"
        ))),
    }
}

#[cfg(not(feature = "mpi"))]
fn join_by(launcher: &str, size: usize) -> Result<Rc<dyn World>, LaunchError> {
    Err(LaunchError(format!(
        "{launcher} started {size} processes, but this program was built without MPI, so each would train \
         by itself; build it with `cargo build --release -p deepsim-train --features mpi` (docs/parallel.md)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_variables() {
        let with = |all: &[(&str, &str)]| {
            let find =
                |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
            launched(find)
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(("mpirun", 4)));
        assert_eq!(with(&[("SLURM_NTASKS", "8")]), None, "a job, but not a step of it");
        assert_eq!(with(&[("SLURM_STEP_NUM_TASKS", " 2 ")]), Some(("srun", 2)));
        assert_eq!(with(&[("WORLD_SIZE", "many")]), None);
        let gpu_with = |all: &[(&str, &str)]| {
            gpu(|name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
        };
        assert_eq!(gpu_with(&[]), 0);
        assert_eq!(gpu_with(&[("SLURM_LOCALID", "3")]), 3);
        let own = [("SLURM_LOCALID", "3"), ("CUDA_VISIBLE_DEVICES", "0")];
        assert_eq!(gpu_with(&own), 0, "each task sees its own");
        let two = [("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("CUDA_VISIBLE_DEVICES", "4,6")];
        assert_eq!(gpu_with(&two), 1);
    }
}
