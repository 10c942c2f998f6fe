//! The figures as JSON, for scripts. A number that is not known is null.

use crate::summary::{Named, Summary};
use std::fmt::Write;

/// The whole document.
pub(crate) fn render(summary: &Summary) -> String {
    let mut out = String::new();
    object(&mut out, |top| {
        top.object("server", |it| server(it, summary));
        top.object("connections", |it| connections(it, summary));
        top.object("requests", |it| requests(it, summary));
        top.object("cache", |it| {
            let cache = &summary.cache;
            it.number("hits", cache.hits);
            it.number("misses", cache.misses);
            it.number("hit_ratio", cache.hit_ratio());
            it.number("entries", cache.entries);
            it.number("entries_max", cache.entries_max);
            it.number("bytes", cache.bytes);
            it.number("bytes_max", cache.bytes_max);
            it.number("files", cache.files);
            it.number("files_max", cache.files_max);
        });
        top.object("disk", |it| {
            it.named("jobs_waiting", &summary.disk);
            it.number("lookups_waiting", summary.lookups_waiting);
        });
        top.object("plugins", |it| plugins(it, summary));
    });
    out.push('\n');
    out
}

fn server(it: &mut Object<'_>, summary: &Summary) {
    it.text("version", &summary.version);
    it.number("uptime_seconds", summary.uptime_seconds);
    it.bool("is_draining", summary.is_draining);
    it.bool("is_accepting_paused", summary.is_paused);
    it.number("memory_bytes", summary.memory_bytes);
    it.number("cpu_seconds", summary.cpu_seconds);
    it.number("log_lines_dropped", summary.log_lines_dropped);
    it.named("sandbox", &summary.sandbox);
}

fn connections(it: &mut Object<'_>, summary: &Summary) {
    it.number("open", Some(crate::summary::total(&summary.connections)));
    it.number("max", summary.connections_max);
    it.number("accepted", summary.accepted);
    it.number("displaced", summary.displaced);
    it.number("received_bytes", summary.received_bytes);
    it.number("sent_bytes", summary.sent_bytes);
    it.named("states", &summary.connections);
}

fn requests(it: &mut Object<'_>, summary: &Summary) {
    it.number("total", Some(summary.request_count()));
    it.named("by_status", &summary.responses);
    it.named("broken", &summary.broken);
    it.number("inner", summary.inner_requests);
    it.number("body_bytes", summary.body_bytes);
    let rates = summary.rates;
    it.number("per_second", rates.map(|rates| rates.requests));
    it.number("sent_bytes_per_second", rates.map(|rates| rates.sent_bytes));
    it.object("latency_seconds", |it| {
        let latency = &summary.latency;
        for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            it.number(name, latency.percentile(part).map(|found| found.seconds));
        }
        it.number("mean", latency.mean_seconds());
        it.number("sum", latency.sum_seconds);
        it.number("count", Some(latency.count()));
        it.list("buckets", &latency.buckets, |it, bucket| {
            // The last one has no bound.
            it.number("le", Some(bucket.bound_seconds));
            it.number("count", Some(bucket.count));
        });
    });
}

fn plugins(it: &mut Object<'_>, summary: &Summary) {
    it.number("generation", summary.generation);
    it.number("reloads", summary.reloads);
    it.number("rejections", summary.rejections);
    match &summary.rejection {
        Some(reason) => it.text("last_rejection", reason),
        None => it.number("last_rejection", None),
    }
    it.number("jobs_waiting", summary.jobs_waiting);
    it.number("stuck", summary.stuck_count);
    it.named("requests_by_generation", &summary.generations);
    it.list("instances", &summary.plugins, |it, plugin| {
        it.text("name", &plugin.name);
        it.text("version", &plugin.version);
        it.number("generation", plugin.generation.parse().ok());
        it.text("state", &plugin.state);
        it.text("reason", &plugin.reason);
        it.number("calls", plugin.calls);
        it.number("errors", plugin.errors);
        it.number("slow_calls", plugin.slow_calls);
        it.number("busy_seconds", plugin.busy_seconds);
        it.named("holds", &plugin.holds);
    });
    it.list(
        "counters",
        &summary.counters,
        |it, (plugin, name, value)| {
            it.text("plugin", plugin);
            it.text("name", name);
            it.number("value", Some(*value));
        },
    );
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut String,
    has_members: bool,
}

fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object {
        out,
        has_members: false,
    });
    out.push('}');
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        if self.has_members {
            self.out.push(',');
        }
        self.has_members = true;
        string(key, self.out);
        self.out.push(':');
    }

    fn number(&mut self, key: &str, value: Option<f64>) {
        self.key(key);
        // JSON has no infinity.
        match value.filter(|value| value.is_finite()) {
            // Writing to memory does not fail.
            Some(value) => drop(write!(self.out, "{value}")),
            None => self.out.push_str("null"),
        }
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.push_str(if value { "true" } else { "false" });
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        string(value, self.out);
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.out, fill);
    }

    fn named(&mut self, key: &str, list: &[Named]) {
        self.object(key, |it| {
            for (name, value) in list {
                it.number(name, Some(*value));
            }
        });
    }

    fn list<T>(&mut self, key: &str, items: &[T], fill: impl Fn(&mut Object<'_>, &T)) {
        self.key(key);
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            object(self.out, |it| fill(it, item));
        }
        self.out.push(']');
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            char if char.is_control() => {
                // All control characters are below U+0100.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json_has_them() {
        let mut out = String::new();
        object(&mut out, |it| {
            it.number("a", Some(1e15));
            it.number("b", Some(0.000_05));
            it.number("c", Some(f64::INFINITY));
            it.text("d\"", "x\\\"\n\u{1}\u{7f}é");
            it.list("e", &[1, 2], |it, value| it.bool("v", *value == 1));
            it.named("f", &[]);
        });
        assert_eq!(
            out,
            "{\"a\":1000000000000000,\"b\":0.00005,\"c\":null,\
             \"d\\\"\":\"x\\\\\\\"\\n\\u0001\\u007fé\",\
             \"e\":[{\"v\":true},{\"v\":false}],\"f\":{}}"
        );
    }
}
