//! What the server tells a status page about itself: connections, bytes, the cache, the disk, the
//! process.
//!
//! It is gathered once a second at most, in a turn that has something to do anyway, and only if
//! somebody wants to know. Otherwise it costs one comparison a turn, and what is always counted is a
//! sum for each connection and for each call that moves bytes.

use super::Server;
use crate::conn::State;
use crate::disk::Backlog;
use crate::figures::{Kind, Text};
use crate::sandbox;
use crate::sys::{clock, process};

/// What is always counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) accepted_count: u64,
    /// Connections that were idle and ended to make room.
    pub(super) displaced_count: u64,
    /// When the figures are gathered again, milliseconds.
    due: u64,
    started_ms: u64,
    started_unix_secs: u64,
}

/// Bytes through sockets.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Traffic {
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

/// For how long figures are good, milliseconds.
const LIFE_MS: u64 = 1000;

impl Tally {
    pub(super) fn new(now: u64) -> Self {
        Self {
            accepted_count: 0,
            displaced_count: 0,
            due: 0,
            started_ms: now,
            started_unix_secs: clock::unix_secs(),
        }
    }
}

impl Server {
    /// Gathers the figures if they are old and somebody wants them.
    pub(super) fn refresh_figures(&mut self) {
        if self.core.now < self.tally.due {
            return;
        }
        self.tally.due = self.core.now + LIFE_MS;
        if self.core.hooks.wants_figures() {
            let lines = self.describe();
            self.core.hooks.set_figures(lines);
        }
    }

    fn describe(&self) -> Vec<u8> {
        let mut text = Text::default();
        self.describe_process(&mut text);
        self.describe_connections(&mut text);
        self.describe_files(&mut text);
        self.describe_disk(&mut text);
        text.into_bytes()
    }

    fn describe_process(&self, text: &mut Text) {
        let version = env!("CARGO_PKG_VERSION");
        text.family("swiftd_info", Kind::Gauge, "The version that runs.")
            .sample(&[("version", version)], 1);
        let uptime = (self.core.now - self.tally.started_ms) as f64 / 1e3;
        text.number(
            "swiftd_uptime_seconds",
            Kind::Gauge,
            "For how long the server has been running.",
            uptime,
        );
        text.number(
            "swiftd_draining",
            Kind::Gauge,
            "1 while the server waits for its last requests before it stops.",
            u8::from(self.core.is_draining),
        );
        text.number(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the server began, seconds since 1970.",
            self.tally.started_unix_secs,
        );
        text.number(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time of the server with its threads.",
            clock::processor_us() as f64 / 1e6,
        );
        if let Some(bytes) = process::resident_bytes() {
            text.number(
                "process_resident_memory_bytes",
                Kind::Gauge,
                "Memory that the server occupies.",
                bytes,
            );
        }
        let dropped = self.log.dropped_totals();
        text.number(
            "swiftd_log_lines_dropped_total",
            Kind::Counter,
            "Lines that found no room in a log.",
            dropped.iter().map(|(_, count)| count).sum::<u64>(),
        );
        let mut family = text.family(
            "swiftd_log_dropped_total",
            Kind::Counter,
            "Lines that found no room, by log.",
        );
        for (name, count) in &dropped {
            family.sample(&[("log", name)], *count);
        }
        if let Some(state) = sandbox::state() {
            state.describe(text);
        }
    }

    fn describe_connections(&self, text: &mut Text) {
        let counts = self.slots.count_states();
        let mut family = text.family(
            "swiftd_connections",
            Kind::Gauge,
            "Open connections by what they are at.",
        );
        for (state, count) in State::ALL.iter().zip(counts) {
            family.sample(&[("state", state.name())], count);
        }
        text.number(
            "swiftd_connections_max",
            Kind::Gauge,
            "How many connections there may be.",
            self.turn.connections_max,
        );
        text.number(
            "swiftd_connections_accepted_total",
            Kind::Counter,
            "Connections that were accepted.",
            self.tally.accepted_count,
        );
        text.number(
            "swiftd_connections_displaced_total",
            Kind::Counter,
            "Idle connections that were ended to make room for others.",
            self.tally.displaced_count,
        );
        self.describe_clients(text);
        text.number(
            "swiftd_accepting_paused",
            Kind::Gauge,
            "1 while new connections have to wait for room.",
            u8::from(self.is_paused),
        );
        let ledger = &self.core.ledger;
        text.number(
            "swiftd_buffers_bytes",
            Kind::Gauge,
            "Memory that connections own beside their slots.",
            ledger.owned_bytes(),
        );
        text.number(
            "swiftd_buffers_peak_bytes",
            Kind::Gauge,
            "The most that they have owned since the start.",
            ledger.peak_bytes,
        );
        text.number(
            "swiftd_buffers_max_bytes",
            Kind::Gauge,
            "How much they may own; over it, requests are answered with 503.",
            ledger.owned_bytes_max,
        );
        let traffic = self.core.traffic;
        text.number(
            "swiftd_received_bytes_total",
            Kind::Counter,
            "Bytes read from clients.",
            traffic.received_bytes,
        );
        text.number(
            "swiftd_sent_bytes_total",
            Kind::Counter,
            "Bytes written to clients, heads and bodies.",
            traffic.sent_bytes,
        );
    }

    fn describe_clients(&self, text: &mut Text) {
        let clients = &self.core.clients;
        text.number(
            "swiftd_clients",
            Kind::Gauge,
            "Clients whose connections and requests are counted.",
            clients.len(),
        );
        text.number(
            "swiftd_clients_max",
            Kind::Gauge,
            "How many there may be; 0 if none are counted.",
            clients.entries_max(),
        );
        let refusals = clients.refusals();
        let mut family = text.family(
            "swiftd_connections_refused_total",
            Kind::Counter,
            "Connections that were ended at once: of clients that had enough, of others than trusted proxies, of proxies without a header.",
        );
        for (why, count) in [
            ("client", refusals.connections),
            ("stranger", refusals.strangers),
            ("header", refusals.headers),
        ] {
            family.sample(&[("why", why)], count);
        }
        text.number(
            "swiftd_requests_refused_total",
            Kind::Counter,
            "Requests that were answered by 429.",
            refusals.requests,
        );
    }

    fn describe_files(&self, text: &mut Text) {
        let cache = self.core.handler.files.figures();
        let mut family = text.family(
            "swiftd_cache_lookups_total",
            Kind::Counter,
            "Look-ups of files by whether the cache answered.",
        );
        family.sample(&[("result", "hit")], cache.hits);
        family.sample(&[("result", "miss")], cache.misses);
        for (name, help, value) in [
            (
                "swiftd_cache_entries",
                "Paths in the cache.",
                cache.entry_count,
            ),
            (
                "swiftd_cache_entries_max",
                "How many paths there may be.",
                cache.bounds.entries_max,
            ),
            ("swiftd_cache_bytes", "Memory of the cache.", cache.bytes),
            (
                "swiftd_cache_bytes_max",
                "How much memory the cache may have.",
                cache.bounds.bytes_max,
            ),
            (
                "swiftd_cache_files",
                "Files that the cache holds open.",
                cache.descriptor_count,
            ),
            (
                "swiftd_cache_files_max",
                "How many files it may hold open.",
                cache.bounds.descriptors_max,
            ),
            (
                "swiftd_lookups_waiting",
                "Requests that wait for the disk to find a file.",
                cache.asker_count,
            ),
        ] {
            text.number(name, Kind::Gauge, help, value);
        }
    }

    fn describe_disk(&self, text: &mut Text) {
        let Backlog {
            short_count,
            load_count,
            append_count,
        } = self.disk.backlog();
        let mut family = text.family(
            "swiftd_disk_jobs_waiting",
            Kind::Gauge,
            "Work that waits for the disk thread: short jobs, pieces of files to be read, pieces of request bodies to be written.",
        );
        for (kind, count) in [
            ("short", short_count),
            ("load", load_count),
            ("append", append_count),
        ] {
            family.sample(&[("kind", kind)], count);
        }
        let mut family = text.family(
            "swiftd_disk_jobs_max",
            Kind::Gauge,
            "How many may wait: short jobs, all others.",
        );
        let (short_max, long_max) = self.disk.bounds();
        family.sample(&[("kind", "short")], short_max);
        family.sample(&[("kind", "long")], long_max);
    }
}
