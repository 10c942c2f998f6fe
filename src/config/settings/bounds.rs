//! The settings that bound: connections, times, the cache.

use super::Kind::{Bytes, Count, Milliseconds, Seconds};
use super::{Row, row};

const ANY: u64 = u32::MAX as u64;

#[rustfmt::skip]
pub(super) const LIMITS: &[Row] = &[
    row("limits", "connections", Count { least: 1, most: 1 << 23 }, |d| &mut d.config.turn.connections_max,
        "Connections at the same time. One more waits in the kernel's queue until a connection ends; idle ones are ended to make room.")
        .option("connections")
        .default("16384, or what ulimit -n allows"),
    row("limits", "buffer-bytes", Bytes { least: 64 << 10, most: 1 << 40 }, |d| &mut d.config.turn.buffer_bytes_max,
        "What all connections own together beside their slots: heads, bodies, responses that wait to be sent. Over it, requests are answered with 503.")
        .option("buffer-bytes")
        .default("1/16 of the machine's memory, 1M to 256M")
        .example("\"2M\""),
    row("limits", "requests", Count { least: 1, most: ANY }, |d| &mut d.config.limits.requests_max,
        "Requests on one connection; then it is closed in good order.")
        .option("requests"),
    row("limits", "head-bytes", Bytes { least: 256, most: 65_535 }, |d| &mut d.config.limits.head.head_bytes_max,
        "The request line and the fields together; more is a 431.")
        .option("head-bytes"),
    row("limits", "target-bytes", Bytes { least: 16, most: 65_000 }, |d| &mut d.config.limits.head.target_bytes_max,
        "The request-target, which is the path with the query; more is a 414.")
        .option("target-bytes"),
    row("limits", "fields", Count { least: 4, most: 128 }, |d| &mut d.config.limits.head.fields_max,
        "Field lines of a request; more is a 431.")
        .option("fields"),
    row("limits", "body-bytes", Bytes { least: 0, most: u64::MAX }, |d| &mut d.config.limits.body.body_bytes_max,
        "The body of a request; more is a 413.")
        .option("body-bytes"),
    row("limits", "body-memory", Bytes { least: 0, most: 1 << 30 }, |d| &mut d.config.limits.body.memory_bytes_max,
        "How much of a body is kept in memory; a longer one goes to a file in `temp-dir`. Not more than `body-bytes`.")
        .option("body-memory"),
    row("limits", "linger-bytes", Bytes { least: 0, most: ANY }, |d| &mut d.config.limits.linger_bytes_max,
        "What a client that was refused may still send, so that it sees the answer; it is read and dropped.")
        .option("linger-bytes"),
    row("limits", "min-rate", Bytes { least: 0, most: ANY }, |d| &mut d.config.limits.rate_min,
        "Bytes a second at which a body must come and a response must be taken, on the average of `body` or `write` of `[timeouts]`.")
        .option("min-rate"),
];

#[rustfmt::skip]
pub(super) const TIMEOUTS: &[Row] = &[
    row("timeouts", "head", Seconds, |d| &mut d.config.limits.head_timeout,
        "From the first byte of a request's head to its end; then 408.")
        .option("head-timeout"),
    row("timeouts", "body", Seconds, |d| &mut d.config.limits.body_timeout,
        "A window in which a part of a request's body must come; else 408.")
        .option("body-timeout"),
    row("timeouts", "idle", Seconds, |d| &mut d.config.limits.idle_timeout,
        "Between two requests on one connection.")
        .option("idle-timeout"),
    row("timeouts", "write", Seconds, |d| &mut d.config.limits.write_timeout,
        "A window in which a client must take a part of its response.")
        .option("write-timeout"),
    row("timeouts", "linger", Seconds, |d| &mut d.config.limits.linger_timeout,
        "A window in which a client that was refused must go on sending, or end its side.")
        .option("linger-timeout"),
    row("timeouts", "drain", Seconds, |d| &mut d.config.turn.drain_timeout,
        "How long a stop in good order may take before the rest is cut off.")
        .option("drain-timeout"),
    row("timeouts", "disk", Seconds, |d| &mut d.config.limits.disk_timeout,
        "For a disk that does not answer; then 503.")
        .option("disk-timeout"),
    row("timeouts", "half-close", Seconds, |d| &mut d.config.limits.half_close_timeout,
        "How long a plugin may still wait when the client has shut its sending side: most often it has gone.")
        .option("half-close-timeout"),
    row("timeouts", "plugin-drain", Seconds, |d| &mut d.config.plugins.drain_timeout,
        "How long requests may go on that began with a plugin that has been replaced.")
        .option("plugin-drain-timeout"),
    row("timeouts", "plugin-hang", Seconds, |d| &mut d.config.plugins.hang,
        "With `supervise`: a worker is ended and restarted if a plugin does not return in this time.")
        .option("plugin-hang")
        .optional()
        .example("30"),
];

#[rustfmt::skip]
pub(super) const CACHE: &[Row] = &[
    row("cache", "bytes", Bytes { least: 0, most: 1 << 31 }, |d| &mut d.config.cache.bytes_max,
        "Memory for small files and for what is known of paths.")
        .option("cache-bytes")
        .default("1/64 of the machine's memory, 256K to 12M")
        .example("\"512K\""),
    row("cache", "entries", Count { least: 0, most: 1 << 24 }, |d| &mut d.config.cache.entries_max,
        "Paths that are remembered.")
        .option("cache-entries"),
    row("cache", "files", Count { least: 0, most: 1 << 20 }, |d| &mut d.config.cache.descriptors_max,
        "Files that are kept open because they are too large for memory.")
        .option("cache-files"),
    row("cache", "trust", Milliseconds { most: 3_600_000 }, |d| &mut d.config.cache.trust,
        "How long what is remembered of a path is believed before it is looked up again.")
        .option("cache-trust"),
    row("cache", "small-file", Bytes { least: 0, most: 1 << 20 }, |d| &mut d.config.site.small_bytes_max,
        "Files up to this length are kept in memory; longer ones are sent from the page cache.")
        .option("small-file"),
];
