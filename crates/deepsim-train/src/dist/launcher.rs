//! Start of a process group by `mpirun`, `srun` or `torchrun`, or of a single process.

use std::rc::Rc;

use candle_core::Device;

use super::{ProcessGroup, SingleProcess};

/// Several processes were started, but cannot form a process group.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// This program cannot join the group as it was built, or started.
    #[error("{0}")]
    Refused(String),
    /// The processes could not be connected.
    #[error("{0}")]
    Failed(String),
}

/// Environment variables by which a launcher passes world size, rank and local rank to its processes.
struct Launcher {
    name: &'static str,
    size: &'static str,
    rank: &'static str,
    local: &'static str,
}

const fn launcher(
    name: &'static str,
    size: &'static str,
    rank: &'static str,
    local: &'static str,
) -> Launcher {
    Launcher { name, size, rank, local }
}

const LAUNCHERS: [Launcher; 4] = [
    launcher(
        "mpirun",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ),
    launcher("mpiexec", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
    // Variables of a step, because those of a job are set for a single process too.
    launcher("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    TORCHRUN,
];

/// Launcher that does not start MPI.
const TORCHRUN: Launcher = launcher("torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK");

/// Set by torchrun even where another launcher started it.
const TORCHRUN_ITSELF: &str = "TORCHELASTIC_RUN_ID";

/// Returns the index of this process's GPU among the visible ones: its local rank, as the launcher
/// passes it; 0 without a launcher.
pub fn local_gpu() -> usize {
    gpu(|name| std::env::var(name).ok())
}

fn gpu(variable: impl Fn(&str) -> Option<String>) -> usize {
    let rank = Launched::find(&variable).map_or(0, |launched| launched.local);
    // A launcher may show each process one of them, which then has the number 0.
    match variable("CUDA_VISIBLE_DEVICES").map(|list| list.split(',').count()) {
        Some(visible) => rank % visible,
        None => rank,
    }
}

/// Values that a launcher passes to its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Launched {
    launcher: &'static str,
    size: usize,
    /// Only NCCL has to be told.
    rank: Option<usize>,
    local: usize,
}

impl Launched {
    fn find(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.trim().parse().ok();
        let nearest = variable(TORCHRUN_ITSELF).map(|_| &TORCHRUN);
        nearest.into_iter().chain(&LAUNCHERS).find_map(|launcher| {
            let size = number(launcher.size)?;
            let rank = number(launcher.rank).filter(|rank| *rank < size);
            let local = number(launcher.local).unwrap_or(0);
            Some(Self { launcher: launcher.name, size, rank, local })
        })
    }

    fn refused(&self, reason: &str) -> LaunchError {
        LaunchError::Refused(self.said(reason))
    }

    fn said(&self, reason: &str) -> String {
        format!("{} started {} processes{reason}", self.launcher, self.size)
    }
}

/// The processes that were started together with this one, by its launcher's word; this one alone if there
/// was no launcher. On a GPU they sum by NCCL if this program was built with it, and else by MPI.
///
/// # Errors
/// If the launcher started several, but this program cannot join them.
pub fn join(device: &Device) -> Result<Rc<dyn ProcessGroup>, LaunchError> {
    match Launched::find(|name| std::env::var(name).ok()) {
        None | Some(Launched { size: ..=1, .. }) => Ok(Rc::new(SingleProcess)),
        Some(launched) => join_by(&launched, device),
    }
}

#[cfg(feature = "nccl")]
fn join_by(launched: &Launched, device: &Device) -> Result<Rc<dyn ProcessGroup>, LaunchError> {
    use super::nccl::{Gpus, ID};
    use super::patience::patience;
    use super::rendezvous::Address;

    let Device::Cuda(device) = device else { return by_mpi(launched) };
    let refused = |reason: &str| launched.refused(&format!(": {reason}"));
    let failed = |reason: String| LaunchError::Failed(launched.said(&format!(": {reason}")));
    if cfg!(feature = "mpi") && launched.launcher != TORCHRUN.name {
        let by = by_mpi(launched)?;
        let gpus = Gpus::join((by.rank(), by.size()), device, Some(by.clone()), |own| {
            let mut id = own.unwrap_or([0; ID]).map(f64::from);
            by.sum(&mut id).map_err(|error| error.to_string())?;
            Ok(id.map(|byte| byte as u8))
        });
        return gpus.map(|gpus| Rc::new(gpus) as Rc<dyn ProcessGroup>).map_err(|reason| {
            let error = failed(reason);
            #[expect(clippy::print_stderr, reason = "MPI ends this process with the others")]
            {
                eprintln!("error: process {}: {error}", by.rank());
            }
            by.abort(1);
            error
        });
    }
    let size = launched.size;
    let rank = launched.rank.ok_or_else(|| refused("it does not say which of them this one is"))?;
    let place = Address::find(|name| std::env::var(name).ok()).map_err(|said| refused(&said))?;
    let place = place.ok_or_else(|| {
        refused(
            "NCCL needs MASTER_ADDR and MASTER_PORT, an address of the first process's machine and a free \
             port of it (docs/gpus.md)",
        )
    })?;
    let gpus = Gpus::join((rank, size), device, None, |own| match own {
        Some(id) => place.tell(size, &id, patience()).map(|()| id),
        None => place.ask((rank, size), patience()),
    });
    Ok(Rc::new(gpus.map_err(failed)?))
}

#[cfg(not(feature = "nccl"))]
fn join_by(launched: &Launched, _: &Device) -> Result<Rc<dyn ProcessGroup>, LaunchError> {
    by_mpi(launched)
}

#[cfg(feature = "mpi")]
fn by_mpi(launched: &Launched) -> Result<Rc<dyn ProcessGroup>, LaunchError> {
    if launched.launcher == TORCHRUN.name {
        return Err(launched.refused(NO_MPI));
    }
    let group =
        super::mpi::Mpi::join().ok_or_else(|| launched.refused(", but MPI cannot be started"))?;
    match group.size() {
        found if found == launched.size => Ok(Rc::new(group)),
        found => Err(launched.refused(&format!(
            ", but MPI knows {found}; is it the MPI that this program was built with? With srun, try \
             --mpi=pmix (docs/gpus.md)"
        ))),
    }
}

#[cfg(not(feature = "mpi"))]
fn by_mpi(launched: &Launched) -> Result<Rc<dyn ProcessGroup>, LaunchError> {
    Err(launched.refused(match launched.launcher == TORCHRUN.name {
        true => NO_MPI,
        false => {
            ", but this program was built without MPI, so each would train by itself; build it with `cargo \
             build --release -p deepsim --features mpi`, or for GPUs with `cargo xtask cuda build --nccl` \
             (docs/gpus.md)"
        }
    }))
}

/// Reason.
const NO_MPI: &str = ", which can train together on GPUs alone, with --device cuda and a program that `cargo xtask \
                      cuda build --nccl` built; processes on CPUs are started by mpirun (docs/gpus.md)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_known_by_their_variables() {
        let with = |all: &[(&str, &str)]| {
            let find =
                |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
            Launched::find(find).map(|found| (found.launcher, found.rank, found.size))
        };
        assert_eq!(with(&[]), None);
        let mpirun = [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")];
        assert_eq!(with(&mpirun), Some(("mpirun", Some(3), 4)));
        assert_eq!(
            with(&[("SLURM_NTASKS", "8"), ("SLURM_PROCID", "1")]),
            None,
            "a job, not a step"
        );
        let srun = [("SLURM_STEP_NUM_TASKS", " 2 "), ("SLURM_PROCID", "0")];
        assert_eq!(with(&srun), Some(("srun", Some(0), 2)));
        assert_eq!(with(&[("WORLD_SIZE", "2"), ("RANK", "1")]), Some(("torchrun", Some(1), 2)));
        assert_eq!(with(&[("WORLD_SIZE", "many"), ("RANK", "0")]), None);
        for bad in ["2", "", "-1"] {
            let all = [("WORLD_SIZE", "2"), ("RANK", bad)];
            assert_eq!(with(&all), Some(("torchrun", None, 2)), "{bad:?}");
        }
        // In a step of SLURM, what torchrun says counts.
        let inner = [("WORLD_SIZE", "8"), ("RANK", "5"), ("TORCHELASTIC_RUN_ID", "none")];
        assert_eq!(with(&[&srun[..], &inner].concat()), Some(("torchrun", Some(5), 8)));
        let gpu_with = |all: &[(&str, &str)]| {
            gpu(|name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
        };
        assert_eq!(gpu_with(&[]), 0);
        let third = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_LOCALID", "3")];
        assert_eq!(gpu_with(&third), 3);
        let own = [&third[..], &[("CUDA_VISIBLE_DEVICES", "0")]].concat();
        assert_eq!(gpu_with(&own), 0, "each task sees its own");
        let two = [
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("CUDA_VISIBLE_DEVICES", "4,6"),
        ];
        assert_eq!(gpu_with(&two), 1);
        let inner = [&third[..], &inner, &[("LOCAL_RANK", "1")]].concat();
        assert_eq!(gpu_with(&inner), 1);
    }
}
