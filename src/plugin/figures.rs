//! Numbers for the status page: what the plugins' side counts, and the text that shows it.
//!
//! Nothing is counted for each request before somebody has asked for the figures, so a server
//! without a status page pays nothing for them.

use super::instance::Instance;
use super::request::Record;
use super::resource::What;
use super::runtime::Runtime;
use crate::conn::{Exchange, Why};
use crate::sys::clock;
use std::fmt::Write;
use std::rc::Rc;

/// Upper bounds of the latency histogram, microseconds; the last bucket has none.
const BUCKETS_US: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000,
];

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Somebody has asked.
    pub(super) is_wanted: bool,
    /// Responses by the first digit of their status.
    classes: [u64; 6],
    /// Requests that ended before their response had left, by [`Why`].
    broken: [u64; 6],
    body_bytes: u64,
    buckets: [u64; BUCKETS_US.len() + 1],
    sum_us: u64,
    pub(super) reloads: u64,
    pub(super) rejections: u64,
    /// Why the last reload was rejected, if it was.
    pub(super) rejection: Option<String>,
    pub(super) stuck_count: u64,
    pub(super) resident_count: u64,
    /// What the server itself has counted.
    pub(super) server: Vec<u8>,
}

/// The names of [`Why`].
const ENDS: [&str; 6] = ["done", "client_gone", "deadline", "error", "drain", "stop"];

impl Figures {
    /// The time, if anybody wants to know how long requests take.
    pub(super) fn now_us(&self) -> u64 {
        if self.is_wanted { clock::fine_us() } else { 0 }
    }

    /// A request has ended.
    pub(super) fn note(&mut self, record: &Record, exchange: &Exchange, why: Why) {
        if !self.is_wanted {
            return;
        }
        if why != Why::Done {
            self.broken[why as usize] += 1;
            return;
        }
        let response = &exchange.response;
        let class = usize::from(response.status.code() / 100).min(5);
        self.classes[class] += 1;
        self.body_bytes += exchange.stream.written_bytes() + response.body.bytes();
        if record.began_us > 0 {
            let took = clock::fine_us().saturating_sub(record.began_us);
            let bucket = BUCKETS_US.partition_point(|&bound| bound < took);
            self.buckets[bucket] += 1;
            self.sum_us += took;
        }
    }

    fn describe(&self, out: &mut String) {
        for (class, count) in self.classes.iter().enumerate().skip(1) {
            line(
                out,
                "requests_total",
                &format!("status=\"{class}xx\""),
                *count,
            );
        }
        for (end, count) in ENDS.iter().zip(self.broken).skip(1) {
            line(
                out,
                "requests_broken_total",
                &format!("why=\"{end}\""),
                count,
            );
        }
        line(out, "response_body_bytes_total", "", self.body_bytes);
        let mut below = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            below += count;
            let bound = BUCKETS_US.get(index);
            let bound = bound.map_or("+Inf".to_owned(), |&us| (us as f64 / 1e6).to_string());
            line(
                out,
                "request_seconds_bucket",
                &format!("le=\"{bound}\""),
                below,
            );
        }
        let _ = writeln!(
            out,
            "swiftd_request_seconds_sum {}",
            self.sum_us as f64 / 1e6
        );
        line(out, "request_seconds_count", "", below);
        line(out, "plugin_reloads_total", "result=\"done\"", self.reloads);
        line(
            out,
            "plugin_reloads_total",
            "result=\"rejected\"",
            self.rejections,
        );
        line(out, "plugin_instances_stuck", "", self.stuck_count);
        line(out, "plugin_instances_resident", "", self.resident_count);
        if let Some(why) = &self.rejection {
            let labels = format!("reason=\"{}\"", quoted(why));
            line(out, "plugin_reload_rejected", &labels, 1);
        }
    }
}

impl Runtime {
    /// All figures.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut out = String::from_utf8_lossy(&self.figures.server).into_owned();
        self.figures.describe(&mut out);
        line(&mut out, "plugin_generation", "", self.current.number);
        line(&mut out, "plugin_requests", "", self.requests.len() as u64);
        line(
            &mut out,
            "plugin_jobs_waiting",
            "",
            self.jobs.waiting_count() as u64,
        );
        for instance in &self.current.instances {
            self.describe_instance(&mut out, instance, "current");
        }
        for instance in &self.leaving {
            self.describe_instance(&mut out, instance, "draining");
        }
        for name in &self.left_out {
            line(
                &mut out,
                "plugin_left_out",
                &format!("plugin=\"{name}\""),
                1,
            );
        }
        for counter in self.outside.counters() {
            let name = String::from_utf8_lossy(&counter.name);
            let labels = format!("plugin=\"{}\",name=\"{}\"", counter.plugin, quoted(&name));
            let _ = writeln!(out, "swiftd_plugin_counter{{{labels}}} {}", counter.value);
        }
        out.into_bytes()
    }

    fn describe_instance(&self, out: &mut String, instance: &Rc<Instance>, state: &str) {
        let who = format!(
            "plugin=\"{}\",generation=\"{}\"",
            instance.name, instance.since
        );
        let version = quoted(instance.library().version());
        let labels = format!("{who},version=\"{version}\",state=\"{state}\"");
        line(out, "plugin_info", &labels, 1);
        let tally = &instance.tally;
        line(out, "plugin_calls_total", &who, tally.calls.get());
        line(out, "plugin_errors_total", &who, tally.errors.get());
        line(out, "plugin_slow_calls_total", &who, tally.slow_calls.get());
        let seconds = tally.busy_ms.get() as f64 / 1e3;
        let _ = writeln!(out, "swiftd_plugin_busy_seconds_total{{{who}}} {seconds}");
        let mut held = [0_u64; 5];
        for resource in self.resources.iter() {
            if Rc::ptr_eq(&resource.instance, instance) {
                let kind = match resource.what {
                    What::Timer { .. } => 0,
                    What::Watch { .. } => 1,
                    What::Job { .. } => 2,
                    What::Child { .. } => 3,
                    What::Inner(_) => 4,
                };
                held[kind] += 1;
            }
        }
        for (kind, count) in ["timer", "watch", "job", "child", "subrequest"]
            .iter()
            .zip(held)
        {
            line(
                out,
                "plugin_holds",
                &format!("{who},kind=\"{kind}\""),
                count,
            );
        }
    }
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    // Writing to memory does not fail.
    let _ = if labels.is_empty() {
        writeln!(out, "swiftd_{name} {value}")
    } else {
        writeln!(out, "swiftd_{name}{{{labels}}} {value}")
    };
}

/// A label's value: the text format escapes these three.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let figures = Figures {
            buckets: [1; BUCKETS_US.len() + 1],
            rejection: Some("a \"b\"\n".into()),
            ..Figures::default()
        };
        let mut out = String::new();
        figures.describe(&mut out);
        assert!(out.contains("swiftd_request_seconds_bucket{le=\"0.00005\"} 1\n"));
        assert!(out.contains("swiftd_request_seconds_bucket{le=\"+Inf\"} 13\n"));
        assert!(out.contains("swiftd_request_seconds_count 13\n"));
        assert!(out.contains("swiftd_plugin_reload_rejected{reason=\"a \\\"b\\\"\\n\"} 1\n"));
    }
}
