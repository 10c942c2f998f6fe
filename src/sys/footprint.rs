//! What this process occupies, as the kernel tells it.

use std::io;

/// What a process occupies that could grow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Memory of its own, KiB.
    pub dirty_kib: u64,
    /// Mappings of copies of plugins.
    pub mapping_count: usize,
    /// Open descriptors.
    pub descriptor_count: usize,
}

/// How the copies of plugins are called in the maps.
const COPY: &str = "/memfd:swiftd:";

impl Footprint {
    /// That of this process now.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn now() -> io::Result<Self> {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let maps = std::fs::read("/proc/self/maps")?;
        let maps = String::from_utf8_lossy(&maps);
        Ok(Self {
            dirty_kib: dirty_kib(&rollup).ok_or(io::ErrorKind::InvalidData)?,
            mapping_count: maps.lines().filter(|line| line.contains(COPY)).count(),
            descriptor_count: std::fs::read_dir("/proc/self/fd")?.count(),
        })
    }
}

fn dirty_kib(rollup: &str) -> Option<u64> {
    let mut lines = rollup.lines();
    let value = lines.find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_its_own_is_found() {
        let rollup = "Rss: 9 kB\nPrivate_Clean:  7 kB\nPrivate_Dirty:        1234 kB\n";
        assert_eq!(dirty_kib(rollup), Some(1234));
        assert_eq!(dirty_kib("Rss: 9 kB\n"), None);
    }

    #[test]
    fn this_process_occupies_something() {
        let now = Footprint::now().unwrap();
        assert!(now.dirty_kib > 0 && now.descriptor_count >= 3, "{now:?}");
    }
}
