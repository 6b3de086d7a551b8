//! How many instances are evaluated at once by default.

/// Most at once: upstream's advice.
const MOST: usize = 24;

/// What one run is counted with: memory and room for what it writes, in bytes.
const MEMORY_OF_ONE: u64 = 2 << 30;
const DISK_OF_ONE: u64 = 4 << 30;

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Processors.
    pub cores: usize,
    /// Bytes of memory that are free; `None` where that is not known.
    pub memory: Option<u64>,
    /// Bytes of disk that are free where runs write; `None` where that is not known.
    pub disk: Option<u64>,
}

/// The number of workers, and what it is limited by.
#[must_use]
pub(crate) fn default_workers(
    machine: &Machine,
    memory_of_one: Option<u64>,
) -> (usize, &'static str) {
    let whole = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut limits = vec![
        (machine.cores * 3 / 4, "processors"),
        (MOST, "upstream's advice"),
    ];
    if let Some(memory) = machine.memory {
        let each = memory_of_one.unwrap_or(MEMORY_OF_ONE).max(1);
        limits.push((whole(memory / each), "memory"));
    }
    if let Some(disk) = machine.disk {
        limits.push((whole(disk / DISK_OF_ONE), "disk"));
    }
    limits
        .into_iter()
        .min_by_key(|(count, _)| *count)
        .map_or((1, "nothing"), |(count, what)| (count.max(1), what))
}

impl Machine {
    /// What this machine has, and the file system that `scratch` is on.
    #[must_use]
    pub(crate) fn here(scratch: &std::path::Path) -> Self {
        let meminfo = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        let disk = rustix::fs::statvfs(scratch).ok();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: available.map(|kib| kib.saturating_mul(1024)),
            disk: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_decides_and_one_there_always_is() {
        let machine = |cores, memory: u64, disk: u64| Machine {
            cores,
            memory: Some(memory << 30),
            disk: Some(disk << 30),
        };
        assert_eq!(
            default_workers(&machine(16, 256, 500), None),
            (12, "processors")
        );
        assert_eq!(
            default_workers(&machine(96, 256, 500), None),
            (24, "upstream's advice")
        );
        assert_eq!(default_workers(&machine(96, 16, 500), None), (8, "memory"));
        assert_eq!(
            default_workers(&machine(96, 16, 500), Some(8 << 30)),
            (2, "memory")
        );
        assert_eq!(default_workers(&machine(96, 256, 5), None), (1, "disk"));
        assert_eq!(default_workers(&machine(1, 256, 500), None).0, 1);
        let unknown = Machine {
            cores: 4,
            memory: None,
            disk: None,
        };
        assert_eq!(default_workers(&unknown, None).0, 3);
    }
}
