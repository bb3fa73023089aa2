//! GPUs of this machine, as `nvidia-smi` reports them.

use std::fmt;
use std::process::Command;

/// GPU. Facts that the driver does not know are `[N/A]`, or `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    /// Version of the driver.
    pub(crate) driver: String,
    /// Compute capability, e.g. `9.0`.
    capability: String,
    /// Memory in total, with the unit.
    memory: String,
    /// Bytes of memory that all programs together hold.
    pub(crate) used: Option<u64>,
    uuid: String,
}

/// Columns of [`Gpu::parse`].
const QUERY: &str = "--query-gpu=name,driver_version,compute_cap,memory.total,memory.used,uuid";

/// Returns the GPUs, in the order of their numbers.
pub(crate) fn gpus() -> Vec<Gpu> {
    let output = Command::new("nvidia-smi").args([QUERY, "--format=csv,noheader"]).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map_or(String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
    text.lines().filter_map(Gpu::parse).collect()
}

impl Gpu {
    /// A line of `nvidia-smi`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[name, driver, capability, memory, used, uuid] = &cells[..] else { return None };
        let [name, driver, capability, memory, uuid] =
            [name, driver, capability, memory, uuid].map(str::to_owned);
        let used = used.strip_suffix(" MiB").and_then(|used| used.parse::<u64>().ok());
        Some(Self { name, driver, capability, memory, used: used.map(|mib| mib << 20), uuid })
    }

    /// Returns the architecture in cargo's form, e.g. `90`.
    pub(super) fn architecture(&self) -> Option<String> {
        let (major, minor) = self.capability.split_once('.')?;
        let number = |text: &str| text.parse::<u16>().ok();
        Some(format!("{}{}", number(major)?, number(minor)?))
    }

    /// Returns true if an entry of CUDA_VISIBLE_DEVICES, a number or the beginning of a UUID, means
    /// this GPU.
    fn is(&self, number: usize, entry: &str) -> bool {
        entry.parse() == Ok(number) || (entry.starts_with("GPU-") && self.uuid.starts_with(entry))
    }
}

/// Returns the GPU that programs use: the first that CUDA_VISIBLE_DEVICES names, if it is set.
pub(crate) fn first(gpus: Vec<Gpu>, visible: Option<&str>) -> Option<Gpu> {
    let entry = visible.and_then(|visible| visible.split(',').next()).map_or("0", str::trim);
    gpus.into_iter().enumerate().find_map(|(number, gpu)| gpu.is(number, entry).then_some(gpu))
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, driver, capability, memory, .. } = self;
        write!(f, "{name}, {driver}, {capability}, {memory}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        "NVIDIA A100-SXM4-40GB, 580.10, 8.0, 40960 MiB, 1024 MiB, GPU-a1",
        "NVIDIA GB10, 580.10, 12.1, [N/A], [N/A], GPU-b2",
        "NVIDIA X, 580.10, [N/A], 1 MiB, 0 MiB, GPU-c3",
    ];

    fn all() -> Vec<Gpu> {
        LINES.iter().filter_map(|line| Gpu::parse(line)).collect()
    }

    #[test]
    fn what_nvidia_smi_says_is_understood() {
        let used: Vec<_> = all().into_iter().map(|gpu| gpu.used).collect();
        assert_eq!(used, [Some(1 << 30), None, Some(0)]);
        let architectures: Vec<_> = all().iter().map(Gpu::architecture).collect();
        assert_eq!(architectures, [Some("80".to_owned()), Some("121".to_owned()), None]);
        assert_eq!(all()[0].to_string(), "NVIDIA A100-SXM4-40GB, 580.10, 8.0, 40960 MiB");
        assert_eq!(["", "No devices were found"].map(Gpu::parse), [None, None]);
    }

    #[test]
    fn programs_use_the_first_that_is_visible() {
        let name = |visible| first(all(), visible).map(|gpu| gpu.uuid);
        assert_eq!([None, Some("0")].map(name), ["GPU-a1", "GPU-a1"].map(|u| Some(u.to_owned())));
        assert_eq!(name(Some("2,0")), Some("GPU-c3".to_owned()));
        assert_eq!(name(Some("GPU-b")), Some("GPU-b2".to_owned()));
        assert_eq!(["", "3", "MIG-1"].map(|entry| name(Some(entry))), [None, None, None]);
    }
}
