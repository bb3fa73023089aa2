//! The machine that a benchmark runs on, and what else it does meanwhile.

use std::env;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::process::{Failure, complain};

/// Time for which the processor is watched.
const WATCHED: Duration = Duration::from_millis(1500);
/// Share of the processor in use by others above which a machine counts as busy.
const BUSY: f64 = 0.1;

/// Share of all cores that were in use while nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Use(Option<f64>);

impl Use {
    /// Watches the processor for a moment; warns if it is busy.
    ///
    /// # Errors
    /// If it is busy and the numbers are to be saved.
    pub(crate) fn before(save: bool) -> Result<Self> {
        let found = Self::now();
        if found.is_busy() {
            let text = format!(
                "the machine is busy: {found} of the processor is in use, expected less than {:.0} %; numbers from a \
                 busy machine are worthless",
                100.0 * BUSY
            );
            if save {
                return Err(Failure::usage(format!("--save: {text}")));
            }
            complain(&format!("warning: {text}"));
        }
        Ok(found)
    }

    /// Watches the processor once more after the last measurement.
    pub(crate) fn after() -> Self {
        let found = Self::now();
        if found.is_busy() {
            complain(&format!("warning: {found} of the processor is in use after the last round"));
        }
        found
    }

    fn now() -> Self {
        let stat = || times(&std::fs::read_to_string("/proc/stat").ok()?);
        let before = stat();
        std::thread::sleep(WATCHED);
        Self(before.zip(stat()).and_then(|(before, after)| share(before, after)))
    }

    fn is_busy(self) -> bool {
        self.0.is_some_and(|share| share > BUSY)
    }

    pub(crate) fn json(self) -> Value {
        json!(self.0)
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(share) => write!(f, "{:.0} %", 100.0 * share),
            None => f.write_str("unknown"),
        }
    }
}

/// Ticks in use and ticks altogether, of all cores since the start of the system.
fn times(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let all = ticks.iter().take(8).sum();
    // user nice system idle iowait
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

fn share(before: (u64, u64), after: (u64, u64)) -> Option<f64> {
    let all = after.1.checked_sub(before.1).filter(|all| *all > 0)?;
    Some(after.0.saturating_sub(before.0) as f64 / all as f64)
}

/// Instruction set of our kernels: the best that the processor has, or the one that `DEEPSIM_ISA` names.
pub(crate) fn instructions() -> String {
    let named = env::var("DEEPSIM_ISA").ok().filter(|name| !name.is_empty());
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    named.unwrap_or_else(|| best(&info).to_owned())
}

fn best(info: &str) -> &'static str {
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    // The choice of deepsim-ops.
    match () {
        () if ["avx512f", "avx512vl", "avx512dq", "avx512bw"].into_iter().all(has) => "avx512",
        () if has("avx2") && has("fma") => "avx2",
        () => "portable",
    }
}

/// Name of the processor, with family and model where the system tells: processors that differ much share a name.
pub(crate) fn processor() -> String {
    described(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn described(info: &str) -> String {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let name = field("model name");
    let name = name.unwrap_or_else(|| format!("{} on {}", env::consts::ARCH, env::consts::OS));
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name}, family {family}, model {model}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_a_share_of_all_ticks() {
        let stat =
            |user: u64, idle: u64| times(&format!("cpu  {user} 0 5 {idle} 5 0 0 0 9 9\ncpu0 1\n"));
        assert_eq!(stat(10, 80), Some((15, 100)));
        let before = stat(10, 80).expect("times");
        assert_eq!(share(before, stat(30, 140).expect("times")), Some(0.25));
        assert_eq!(share(before, before), None);
        assert_eq!(times("intr 1\n"), None);
        assert_eq!(Use(Some(0.25)).to_string(), "25 %");
        assert!(Use(Some(0.25)).is_busy() && !Use(Some(0.02)).is_busy() && !Use(None).is_busy());
    }

    #[test]
    fn processors_of_one_name_are_told_apart() {
        let info = "model\t\t: 17\nmodel name\t: AMD EPYC\ncpu family\t: 25\nflags\t\t: fma avx2 avx512f\n";
        assert_eq!(described(info), "AMD EPYC, family 25, model 17");
        assert_eq!(best(info), "avx2");
        let all = info.replace("avx512f", "avx512f avx512vl avx512dq avx512bw");
        assert_eq!((best(&all), best("")), ("avx512", "portable"));
    }
}
