//! Numbers for the status page: what the plugins' side counts, and the text that shows it.
//!
//! Nothing is counted for each request before a plugin has asked for the figures, so a server
//! without a status page pays nothing for them. INVARIANT: no sample is written twice.

use super::instance::Instance;
use super::request::Record;
use super::resource::What;
use super::runtime::Runtime;
use crate::conn::{Exchange, Why};
use crate::figures::{Family, Kind, Text};
use crate::http::Method;
use crate::sys::clock;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Upper bounds of the latency histogram, microseconds; the last bucket has none.
const BUCKETS_US: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// How many libraries that could not be unmapped are remembered by name; all are counted.
const STUCK_MAX: usize = 16;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Somebody has asked.
    pub(super) is_wanted: bool,
    /// Responses by the first digit of their status.
    classes: [u64; 6],
    /// Requests that ended before their response had left, by [`Why`].
    broken: [u64; 6],
    inner_count: u64,
    body_bytes: u64,
    buckets: [u64; BUCKETS_US.len() + 1],
    sum_us: u64,
    pub(super) reloads: u64,
    pub(super) rejections: u64,
    /// Why the last reload was rejected, if it was.
    pub(super) rejection: Option<String>,
    stuck_count: u64,
    /// The last of them: name, generation, why.
    stuck: Vec<(String, u64, String)>,
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
        if record.depth > 0 {
            self.inner_count += 1;
            return;
        }
        if why != Why::Done {
            self.broken[why as usize] += 1;
            return;
        }
        let response = &exchange.response;
        let class = usize::from(response.status.code() / 100).min(5);
        self.classes[class] += 1;
        if exchange.request.method != Method::Head {
            self.body_bytes += exchange.stream.written_bytes() + response.body.bytes();
        }
        // One that began before anybody asked has no beginning; it is not in the histogram.
        if record.began_us > 0 {
            let took = clock::fine_us().saturating_sub(record.began_us);
            let bucket = BUCKETS_US.partition_point(|&bound| bound < took);
            self.buckets[bucket] += 1;
            self.sum_us += took;
        }
    }

    /// A library cannot be unmapped.
    pub(super) fn note_stuck(&mut self, name: &str, since: u64, why: &str) {
        self.stuck_count += 1;
        let found = (name.to_owned(), since, why.to_owned());
        if self.stuck.contains(&found) {
            return;
        }
        if self.stuck.len() == STUCK_MAX {
            self.stuck.remove(0);
        }
        self.stuck.push(found);
    }

    fn describe_requests(&self, text: &mut Text) {
        let mut family = text.family(
            "swiftd_requests_total",
            Kind::Counter,
            "Requests with a complete head that were answered, by the status of the answer.",
        );
        for (count, class) in self.classes[1..]
            .iter()
            .zip(["1xx", "2xx", "3xx", "4xx", "5xx"])
        {
            family.sample(&[("status", class)], count);
        }
        let mut family = text.family(
            "swiftd_requests_broken_total",
            Kind::Counter,
            "Requests that were cut off, by why; an error page may have followed.",
        );
        for (end, count) in ENDS.iter().zip(self.broken).skip(1) {
            family.sample(&[("why", end)], count);
        }
        text.number(
            "swiftd_inner_requests_total",
            Kind::Counter,
            "Requests that plugins made inside of others; they are in no other number.",
            self.inner_count,
        );
        text.number(
            "swiftd_response_body_bytes_total",
            Kind::Counter,
            "Content of the answers.",
            self.body_bytes,
        );
        let bounds = BUCKETS_US.map(|us| us as f64 / 1e6);
        text.family(
            "swiftd_request_seconds",
            Kind::Histogram,
            "From the complete head to the end of the answer.",
        )
        .histogram(&bounds, &self.buckets, self.sum_us as f64 / 1e6);
    }

    fn describe_reloads(&self, text: &mut Text) {
        let mut family = text.family(
            "swiftd_plugin_reloads_total",
            Kind::Counter,
            "Generations of plugins that took over, the first one included, and that were rejected.",
        );
        family.sample(&[("result", "done")], self.reloads);
        family.sample(&[("result", "rejected")], self.rejections);
        let mut family = text.family(
            "swiftd_plugin_reload_rejected",
            Kind::Gauge,
            "1 if the last reload was rejected, and why.",
        );
        if let Some(why) = &self.rejection {
            family.sample(&[("reason", why)], 1);
        }
        text.number(
            "swiftd_plugin_instances_stuck",
            Kind::Gauge,
            "Libraries that could not be unmapped.",
            self.stuck_count,
        );
        text.number(
            "swiftd_plugin_instances_resident",
            Kind::Gauge,
            "Libraries that stay mapped because they ask to.",
            self.resident_count,
        );
        let mut family = text.family(
            "swiftd_plugin_stuck",
            Kind::Gauge,
            "1 for each of the last libraries that could not be unmapped.",
        );
        for (name, since, why) in &self.stuck {
            let since = since.to_string();
            let labels = [
                ("plugin", &name[..]),
                ("generation", &since),
                ("reason", why),
            ];
            family.sample(&labels, 1);
        }
    }
}

/// What an instance holds, in the order of [`KINDS`].
type Held = [u64; KINDS.len()];

const KINDS: [&str; 5] = ["timer", "watch", "job", "child", "subrequest"];

/// An instance in the text.
struct Row<'a> {
    instance: &'a Instance,
    since: String,
    state: &'static str,
    held: Held,
}

impl Row<'_> {
    fn labels(&self) -> [(&str, &str); 2] {
        [("plugin", &self.instance.name), ("generation", &self.since)]
    }
}

impl Runtime {
    /// Somebody who asks for the figures has come or gone.
    pub(super) fn refresh_wanted(&mut self) {
        let mut instances = self.current.instances.iter();
        self.figures.is_wanted = instances.any(|instance| instance.reads_figures.get());
    }

    /// All figures.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut text = Text::default();
        text.append(&String::from_utf8_lossy(&self.figures.server));
        self.figures.describe_requests(&mut text);
        self.figures.describe_reloads(&mut text);
        self.describe_generations(&mut text);
        self.describe_instances(&mut text);
        let mut family = text.family(
            "swiftd_plugin_left_out",
            Kind::Gauge,
            "1 for each plugin that is listed and not loaded because it has killed the server.",
        );
        for name in &self.left_out {
            family.sample(&[("plugin", name)], 1);
        }
        let mut family = text.family(
            "swiftd_plugin_missing",
            Kind::Gauge,
            "1 for each plugin that is required and does not run; every request is a 503 meanwhile.",
        );
        for name in &self.missing {
            family.sample(&[("plugin", name)], 1);
        }
        let mut family = text.family(
            "swiftd_plugin_counter",
            Kind::Gauge,
            "What plugins count themselves, across their reloads.",
        );
        for counter in self.outside.counters() {
            let name = String::from_utf8_lossy(&counter.name);
            family.sample(
                &[("plugin", &counter.plugin), ("name", &name)],
                counter.value,
            );
        }
        text.into_bytes()
    }

    fn describe_generations(&self, text: &mut Text) {
        text.number(
            "swiftd_plugin_generation",
            Kind::Gauge,
            "The generation of plugins that new requests get.",
            self.current.number,
        );
        let mut counts = BTreeMap::from([(self.current.number, 0_u64)]);
        for record in self.requests.iter() {
            *counts.entry(record.generation.number).or_default() += 1;
        }
        let mut family = text.family(
            "swiftd_plugin_requests",
            Kind::Gauge,
            "Requests under way by the generation that they began with.",
        );
        for (number, count) in counts {
            family.sample(&[("generation", &number.to_string())], count);
        }
        text.number(
            "swiftd_plugin_jobs_waiting",
            Kind::Gauge,
            "Work that waits for the plugins' thread.",
            self.jobs.waiting_count(),
        );
    }

    fn describe_instances(&self, text: &mut Text) {
        let rows = self.rows();
        let mut each = |name, kind, help, write: &dyn Fn(&mut Family<'_>, &Row<'_>)| {
            let mut family = text.family(name, kind, help);
            for row in &rows {
                write(&mut family, row);
            }
        };
        each(
            "swiftd_plugin_info",
            Kind::Gauge,
            "The plugins that are loaded.",
            &|family, row| {
                let version = row.instance.library().version();
                let [plugin, generation] = row.labels();
                let labels = [
                    plugin,
                    generation,
                    ("version", version),
                    ("state", row.state),
                ];
                family.sample(&labels, 1);
            },
        );
        each(
            "swiftd_plugin_calls_total",
            Kind::Counter,
            "Calls of hooks and callbacks.",
            &|family, row| family.sample(&row.labels(), row.instance.tally.calls.get()),
        );
        each(
            "swiftd_plugin_errors_total",
            Kind::Counter,
            "Hooks that failed or answered what is not allowed.",
            &|family, row| family.sample(&row.labels(), row.instance.tally.errors.get()),
        );
        each(
            "swiftd_plugin_slow_calls_total",
            Kind::Counter,
            "Calls that held the loop for over 50 ms.",
            &|family, row| family.sample(&row.labels(), row.instance.tally.slow_calls.get()),
        );
        each(
            "swiftd_plugin_busy_seconds_total",
            Kind::Counter,
            "Time in calls by a coarse clock: right over many calls.",
            &|family, row| {
                let seconds = row.instance.tally.busy_ms.get() as f64 / 1e3;
                family.sample(&row.labels(), seconds);
            },
        );
        each(
            "swiftd_plugin_holds",
            Kind::Gauge,
            "What plugins wait for.",
            &|family, row| {
                let [plugin, generation] = row.labels();
                for (kind, count) in KINDS.iter().zip(row.held) {
                    family.sample(&[plugin, generation, ("kind", kind)], count);
                }
            },
        );
    }

    /// The instances to be shown. One that was taken back before it had begun its work has the
    /// number of the generation that was made next; of two that look alike one is shown.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut held: BTreeMap<u16, Held> = BTreeMap::new();
        for resource in self.resources.iter() {
            let kind = match resource.what {
                What::Timer { .. } => 0,
                What::Watch { .. } => 1,
                What::Job { .. } => 2,
                What::Child(_) | What::Ended(_) => 3,
                What::Inner(_) => 4,
            };
            held.entry(resource.instance.guest.slot()).or_default()[kind] += 1;
        }
        let current = self.current.instances.iter().map(|own| (own, "current"));
        let leaving = self.leaving.iter().map(|own| (own, "draining"));
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (instance, state) in current.chain(leaving) {
            let is_shown = |row: &Row<'_>| {
                row.instance.name == instance.name && row.instance.since == instance.since
            };
            if !rows.iter().any(is_shown) {
                rows.push(Row {
                    instance: Rc::as_ref(instance),
                    since: instance.since.to_string(),
                    state,
                    held: held.remove(&instance.guest.slot()).unwrap_or_default(),
                });
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let mut figures = Figures {
            buckets: [1; BUCKETS_US.len() + 1],
            rejection: Some("a \"b\"\n".into()),
            ..Figures::default()
        };
        for _ in 0..2 {
            figures.note_stuck("a", 1, "a thread of its own");
        }
        let mut text = Text::default();
        figures.describe_requests(&mut text);
        figures.describe_reloads(&mut text);
        let text = String::from_utf8(text.into_bytes()).unwrap();
        for line in [
            "swiftd_request_seconds_bucket{le=\"0.00005\"} 1\n",
            "swiftd_request_seconds_bucket{le=\"+Inf\"} 16\n",
            "swiftd_request_seconds_count 16\n",
            "swiftd_plugin_reload_rejected{reason=\"a \\\"b\\\"\\n\"} 1\n",
            "swiftd_plugin_instances_stuck 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        let is_stuck = |line: &&str| line.starts_with("swiftd_plugin_stuck{");
        assert_eq!(text.lines().filter(is_stuck).count(), 1, "no sample twice");
    }

    #[test]
    fn the_last_stuck_libraries_are_remembered_by_name() {
        let mut figures = Figures::default();
        for since in 0..40 {
            figures.note_stuck("a", since, "why");
        }
        assert_eq!((figures.stuck_count, figures.stuck.len()), (40, STUCK_MAX));
        assert_eq!(figures.stuck.last().map(|found| found.1), Some(39));
    }
}
