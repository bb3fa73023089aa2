//! Estimates of time, from counted operations and an assumed speed.

/// Speed that estimates assume, in FLOP/s per core: a cautious figure for a recent desktop or server processor.
const FLOPS_PER_CORE: f64 = 60e9;
/// The same for an NVIDIA H200: a tenth of its peak for dense TF32 products, 494e12. An assumption.
const FLOPS_OF_A_GPU: f64 = 50e12;

/// Machine that computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Machine {
    /// So many cores of a processor.
    Cores(usize),
    Gpu,
}

impl Machine {
    /// Estimate of the minutes of so many steps of so many FLOPs.
    pub(crate) fn minutes(self, flops: f64, steps: u64) -> f64 {
        (flops / self.speed()).max(self.least()) * steps as f64 / 60.0
    }

    fn speed(self) -> f64 {
        match self {
            Self::Cores(n) => FLOPS_PER_CORE * n as f64,
            Self::Gpu => FLOPS_OF_A_GPU,
        }
    }

    /// Seconds that a step takes at least: a GPU is sent several hundred kernels.
    fn least(self) -> f64 {
        match self {
            Self::Cores(_) => 0.0,
            Self::Gpu => 3e-3,
        }
    }

    /// Explains how estimates are made.
    pub(crate) fn about(self) -> String {
        match self {
            Self::Cores(n) => format!(
                "an estimate from the number of operations at {} GFLOP/s on each of {n} cores",
                FLOPS_PER_CORE / 1e9
            ),
            Self::Gpu => format!(
                "an estimate from the number of operations at {} TFLOP/s and at least {} ms a step, which is \
                 assumed of an NVIDIA H200 and was not timed",
                FLOPS_OF_A_GPU / 1e12,
                1e3 * self.least()
            ),
        }
    }

    /// Minutes until all are done, if each of `jobs` GPUs takes the next one when it is free; the parts of a
    /// processor take as long as the whole of it.
    pub(crate) fn together(self, minutes: impl Iterator<Item = f64>, jobs: usize) -> f64 {
        let mut ends = match self {
            Self::Cores(_) => vec![0.0],
            Self::Gpu => vec![0.0; jobs.max(1)],
        };
        for run in minutes {
            if let Some(first) = ends.iter_mut().min_by(|a: &&mut f64, b| a.total_cmp(b)) {
                *first += run;
            }
        }
        ends.into_iter().fold(0.0, f64::max)
    }
}

/// A duration as people read it.
pub(crate) fn duration(minutes: f64) -> String {
    match minutes {
        0.0 => "-".to_owned(),
        m if m < 0.1 => "0.1 minutes".to_owned(),
        m if m < 90.0 => format!("{m:.1} minutes"),
        m if m < 48.0 * 60.0 => format!("{m:.0} minutes ({:.1} hours)", m / 60.0),
        m => format!("{m:.0} minutes ({:.1} days)", m / (24.0 * 60.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_from_the_operations() {
        // 2.17 GFLOP * 64 images * 500,000 steps / (60 GFLOP/s * 2) / 60 s
        assert_eq!(Machine::Cores(2).minutes(2.17e9 * 64.0, 500_000).round(), 9644.0);
        assert_eq!(duration(9644.0), "9644 minutes (6.7 days)");
        // Small networks are bound by 3 ms a step.
        assert_eq!(Machine::Gpu.minutes(0.6e9 * 64.0, 500_000), 25.0);
        assert!(Machine::Gpu.about().contains("was not timed"));
        let all = |machine: Machine, jobs| machine.together([5.0, 1.0, 1.0, 2.0].into_iter(), jobs);
        assert_eq!((all(Machine::Gpu, 1), all(Machine::Gpu, 2)), (9.0, 5.0));
        assert_eq!(all(Machine::Cores(8), 2), 9.0, "two halves are one processor");
    }
}
