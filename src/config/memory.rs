//! What the limits allow at worst, and limits that keep to a budget.
//!
//! Every part of the server's memory has a bound; [`worst_case`] adds them up, and [`derive()`] sets
//! those that the operator left open so that the sum is the budget. Counted is what the server
//! allocates and what the kernel allocates for each of its connections. Not counted is what the
//! kernel can take back or bounds by itself: the page cache, with the program's own code in it, and
//! the buffers of sockets (net.ipv4.tcp_mem, tcp(7)); nor what plugins allocate.

use super::settings::amount;
use super::{Config, Destination, PAGE_BYTES_MAX};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;

/// What the process holds whatever it is told: its data and libraries' data, stacks, the read
/// buffer, the queues. Measured as Private_Dirty after some requests: 190 to 215 KiB; the kernel's
/// part of it (page tables, descriptors) is 120 KiB.
const PROCESS_BYTES: u64 = 384 * 1024;

/// A connection's slot with its timer and what the queues keep for it. An idle one is measured to
/// take 151 bytes.
const SLOT_BYTES: u64 = 256;

/// What the kernel allocates for a connection that nothing is queued on. Measured in a memory
/// cgroup: 1.5 KiB.
const KERNEL_BYTES: u64 = 1792;

/// What the allocator loses between allocations of different sizes: one part in so many of what is
/// allocated and freed all the time.
const SLACK_SHARE: u64 = 4;

/// A client in the table of clients.
const CLIENT_BYTES: u64 = 64;

/// The least budget that a server can work with.
pub const BYTES_MIN: u64 = 1024 * 1024;

/// The default bound of what connections own beside their slots, for a machine with so much memory.
#[must_use]
pub fn buffer_bytes_default(machine_bytes: u64) -> usize {
    (machine_bytes / 16).clamp(1024 * 1024, 256 * 1024 * 1024) as usize
}

/// What the server may take at worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Part by part: its name and its bytes.
    pub parts: Vec<(&'static str, u64)>,
}

impl Budget {
    /// All of it, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl fmt::Display for Budget {
    /// A line for each part and one for the sum, in KiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in &self.parts {
            writeln!(f, "{:>9} KiB  {name}", bytes.div_ceil(1024))?;
        }
        let sum = self.bytes().div_ceil(1024);
        write!(f, "{sum:>9} KiB  in all, without plugins' own memory")
    }
}

/// What `config` allows at worst.
#[must_use]
pub fn worst_case(config: &Config) -> Budget {
    let connection_count = config.turn.connections_max as u64;
    let buffers = config.turn.buffer_bytes_max as u64;
    let slack = (buffers + config.cache.bytes_max as u64) / SLACK_SHARE;
    Budget {
        parts: vec![
            ("the process", PROCESS_BYTES),
            ("connections", connection_count * SLOT_BYTES),
            ("the kernel's part of them", connection_count * KERNEL_BYTES),
            ("heads, bodies and responses", buffers),
            ("one connection that is being served", one_turn(config)),
            ("the cache of files", config.cache.bytes_max as u64),
            ("requests that wait for the disk", disk_jobs(config)),
            ("logs", logs(config)),
            ("pages of errors", pages(config)),
            ("clients that are known", clients(config)),
            ("lost between allocations", slack),
        ],
    }
}

/// By how much the bound of all buffers may be exceeded: what one connection takes in one turn.
fn one_turn(config: &Config) -> u64 {
    let limits = &config.limits;
    let head = limits.head.head_bytes_max + config.turn.read_bytes;
    let response = limits.output_bytes_max + config.site.small_bytes_max;
    (head.max(limits.body.memory_bytes_max) + response) as u64
}

fn disk_jobs(config: &Config) -> u64 {
    // The path is in the job and in the list of those who wait.
    config.turn.disk_jobs_max as u64 * (2 * config.limits.head.target_bytes_max as u64 + 256)
}

/// Without bounds for clients there is no table.
fn clients(config: &Config) -> u64 {
    if !config.clients.is_limited() {
        return 0;
    }
    config.clients.table_entries_max as u64 * CLIENT_BYTES
}

/// Each log gathers lines while as many are written; what is kept in memory is there twice while
/// it grows, or is told.
fn logs(config: &Config) -> u64 {
    let access = config.access_logs().into_iter();
    let logs = access.map(|log| log.destination);
    let bytes_of = |log: Destination| match log {
        Destination::Off => 0,
        Destination::Ring(bytes) => 2 * (bytes + config.logs.buffer_bytes_max) as u64,
        _ => 2 * config.logs.buffer_bytes_max as u64,
    };
    logs.chain([config.logs.error.clone()]).map(bytes_of).sum()
}

/// Pages of errors are read when the configuration is, so they are as long as they are now; while
/// it is replaced, those of the old one are there as well.
fn pages(config: &Config) -> u64 {
    let paths: BTreeSet<_> = config
        .sites()
        .flat_map(|(site, rules)| {
            let pages = rules.error_pages.iter();
            pages.map(|(_, page)| site.root.join(page))
        })
        .collect();
    let bytes_of = |path| match fs::metadata(path) {
        Ok(meta) => meta.len().min(PAGE_BYTES_MAX),
        Err(_) => PAGE_BYTES_MAX,
    };
    2 * paths.iter().map(bytes_of).sum::<u64>()
}

/// Sets the bounds that were not `said` so that the worst case is the budget of `config`, if it has
/// one. The names are those of the settings.
///
/// # Errors
/// The budget is too small for the bounds that were said, or for any server.
pub fn derive(config: &mut Config, is_said: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let Some(budget) = config.memory else {
        return Ok(());
    };
    if budget < BYTES_MIN {
        return Err(format!(
            "memory = {budget}: expected at least 1M, less is not enough for any server"
        ));
    }
    for share in SHARES.iter().filter(|share| !is_said(share.setting)) {
        share.take(config, budget);
    }
    // What is left of the budget belongs to connections and their buffers, in equal parts.
    let mut bare = config.clone();
    bare.turn.connections_max = 0;
    bare.turn.buffer_bytes_max = 0;
    let left = budget.saturating_sub(worst_case(&bare).bytes());
    let per_connection = SLOT_BYTES + KERNEL_BYTES;
    let (has_connections, has_buffers) = (
        is_said("limits.connections"),
        is_said("limits.buffer-bytes"),
    );
    let with_slack = |bytes: u64| bytes / (SLACK_SHARE + 1) * SLACK_SHARE;
    match (has_connections, has_buffers) {
        (true, true) => {}
        (true, false) => {
            let taken = config.turn.connections_max as u64 * per_connection;
            let buffers = with_slack(left.saturating_sub(taken));
            config.turn.buffer_bytes_max = usize::try_from(buffers).unwrap_or(usize::MAX);
        }
        (false, _) => {
            let half = left / 2;
            if !has_buffers {
                config.turn.buffer_bytes_max =
                    usize::try_from(with_slack(half)).unwrap_or(usize::MAX);
            }
            let buffers = config.turn.buffer_bytes_max as u64;
            let taken = buffers + buffers.div_ceil(SLACK_SHARE);
            let count = left.saturating_sub(taken) / per_connection;
            config.turn.connections_max = (count as usize).min(CONNECTIONS_MOST);
        }
    }
    check(config, budget)
}

/// More connections than the default are made by saying so.
const CONNECTIONS_MOST: usize = 16_384;

/// A server with less than this is none.
const CONNECTIONS_LEAST: usize = 16;
const BUFFER_BYTES_LEAST: usize = 64 * 1024;

fn check(config: &Config, budget: u64) -> Result<(), String> {
    let worst = worst_case(config);
    let largest = worst.parts.iter().max_by_key(|(_, bytes)| bytes);
    let (name, bytes) = largest.copied().unwrap_or_default();
    let is_too_small = config.turn.connections_max < CONNECTIONS_LEAST
        || config.turn.buffer_bytes_max < BUFFER_BYTES_LEAST
        || worst.bytes() > budget;
    if !is_too_small {
        return Ok(());
    }
    Err(format!(
        "memory = {}: the limits that are set need more, {}K at least, most of it for {name} ({}K); raise it, or lower them (swiftd -T lists the parts)",
        amount(budget),
        worst.bytes().div_ceil(1024),
        bytes.div_ceil(1024),
    ))
}

/// A bound that takes its share of the budget, and no more than its default.
struct Share {
    setting: &'static str,
    /// One part in so many bytes.
    part: u64,
    least: u64,
    set: fn(&mut Config, u64),
    now: fn(&Config) -> u64,
}

impl Share {
    fn take(&self, config: &mut Config, budget: u64) {
        let most = (self.now)(config).max(self.least);
        (self.set)(config, (budget / self.part).clamp(self.least, most));
    }
}

/// The bounds beside those of connections.
const SHARES: &[Share] = &[
    Share {
        setting: "cache.bytes",
        part: 8,
        least: 64 * 1024,
        set: |config, bytes| config.cache.bytes_max = bytes as usize,
        now: |config| config.cache.bytes_max as u64,
    },
    Share {
        setting: "cache.small-file",
        part: 512,
        least: 2 * 1024,
        set: |config, bytes| config.site.small_bytes_max = bytes as usize,
        now: |config| config.site.small_bytes_max as u64,
    },
    Share {
        setting: "limits.body-memory",
        part: 128,
        least: 8 * 1024,
        set: |config, bytes| config.limits.body.memory_bytes_max = bytes as usize,
        now: |config| config.limits.body.memory_bytes_max as u64,
    },
    Share {
        setting: "log.buffer",
        part: 128,
        least: 8 * 1024,
        set: |config, bytes| config.logs.buffer_bytes_max = bytes as usize,
        now: |config| config.logs.buffer_bytes_max as u64,
    },
    Share {
        setting: "clients.table",
        part: 32 * CLIENT_BYTES,
        least: 64,
        set: |config, count| config.clients.table_entries_max = count as usize,
        now: |config| config.clients.table_entries_max as u64,
    },
    // No setting: a look-up that finds no place in the queue is a 503. One is counted with twice
    // the longest path.
    Share {
        setting: "",
        part: 20 * 16 * 1024,
        least: 8,
        set: |config, count| config.turn.disk_jobs_max = count as usize,
        now: |config| config.turn.disk_jobs_max as u64,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn derived(memory: u64, said: &[&str], set: impl Fn(&mut Config)) -> Result<Config, String> {
        let mut config = Config::new(PathBuf::from("/srv"));
        config.memory = Some(memory);
        set(&mut config);
        derive(&mut config, &|name| said.contains(&name))?;
        Ok(config)
    }

    #[test]
    fn the_worst_case_is_the_budget_and_nearly_all_of_it() {
        for memory in [1 << 20, 2 << 20, 4 << 20, 16 << 20, 5_000_000, 1 << 30] {
            let config = derived(memory, &[], |_| {}).unwrap();
            let worst = worst_case(&config).bytes();
            assert!(worst <= memory, "{worst} of {memory}");
            // A large budget meets the most that makes sense.
            let is_full = config.turn.connections_max == CONNECTIONS_MOST;
            assert!(is_full || worst > memory * 9 / 10, "{worst} of {memory}");
            assert!(config.turn.connections_max >= 32, "{memory}");
        }
    }

    #[test]
    fn what_was_said_stays() {
        let set = |config: &mut Config| {
            config.turn.connections_max = 100;
            config.cache.bytes_max = 1 << 20;
        };
        let config = derived(4 << 20, &["limits.connections", "cache.bytes"], set).unwrap();
        assert_eq!(config.turn.connections_max, 100);
        assert_eq!(config.cache.bytes_max, 1 << 20);
        assert!(config.turn.buffer_bytes_max > 1 << 20);
        assert!(worst_case(&config).bytes() <= 4 << 20);

        let set = |config: &mut Config| config.turn.buffer_bytes_max = 3 << 19;
        let config = derived(4 << 20, &["limits.buffer-bytes"], set).unwrap();
        assert_eq!(config.turn.buffer_bytes_max, 3 << 19);
        assert!(worst_case(&config).bytes() <= 4 << 20);
    }

    #[test]
    fn a_budget_that_cannot_be_kept_is_refused_with_what_needs_most() {
        let refusal = derived(1 << 19, &[], |_| {}).unwrap_err();
        assert!(refusal.contains("at least 1M"), "{refusal}");
        let set = |config: &mut Config| config.turn.connections_max = 100_000;
        let refusal = derived(4 << 20, &["limits.connections"], set).unwrap_err();
        assert!(refusal.contains("the kernel's part of them"), "{refusal}");
        let set = |config: &mut Config| config.cache.bytes_max = 4 << 20;
        let refusal = derived(4 << 20, &["cache.bytes"], set).unwrap_err();
        assert!(refusal.contains("the cache of files"), "{refusal}");
    }

    #[test]
    fn pages_of_errors_are_counted_each_once_as_long_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("404.html");
        std::fs::write(&page, "x".repeat(1_000)).unwrap();
        let mut config = Config::new(directory.path().into());
        assert_eq!(pages(&config), 0);
        config.rules.error_pages = vec![(404, page.clone()), (410, "404.html".into())];
        assert_eq!(pages(&config), 2 * 1_000);
        config.hosts = vec![crate::config::Host {
            names: Vec::new(),
            site: config.site.clone(),
            rules: config.rules.clone(),
        }];
        assert_eq!(pages(&config), 2 * 1_000);
        // Of one that cannot be looked at nothing is known but its bound.
        config.hosts[0].site.root = "/none".into();
        assert_eq!(pages(&config), 2 * (1_000 + PAGE_BYTES_MAX));
    }

    #[test]
    fn a_log_is_counted_once_whoever_writes_to_it() {
        use crate::config::{AccessLog, Format};
        let mut config = Config::new(PathBuf::from("/srv"));
        config.logs.error = Destination::Off;
        assert_eq!(logs(&config), 0);
        let log = |destination| {
            Some(AccessLog {
                destination,
                format: Format::Combined,
            })
        };
        config.rules.access_log = log(Destination::Ring(1_000));
        let once = logs(&config);
        assert_eq!(once, 2 * (1_000 + config.logs.buffer_bytes_max as u64));
        config.hosts = vec![crate::config::Host {
            names: Vec::new(),
            site: config.site.clone(),
            rules: config.rules.clone(),
        }];
        assert_eq!(logs(&config), once);
        config.hosts[0].rules.access_log = log(Destination::Syslog);
        assert!(logs(&config) > once);
        // Lines of two formats, and those of errors, wait apart even for the same destination.
        config.logs.error = Destination::Ring(1_000);
        config.hosts[0].rules.access_log = Some(AccessLog {
            destination: Destination::Ring(1_000),
            format: Format::Json,
        });
        assert_eq!(logs(&config), 3 * once);
    }
}
