//! What the page and the JSON are about, taken from the figures: the names of the server's families
//! are here and in `history`, and the two views name none.
//!
//! A number that the server did not tell is `None`, never 0.

use crate::figures::{Figures, Sample};
use crate::history::{History, Rates};
use crate::latency::Latency;

/// A name and a number.
pub(crate) type Named = (String, f64);

/// Everything that is shown.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) version: String,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) is_draining: bool,
    pub(crate) is_paused: bool,
    pub(crate) memory_bytes: Option<f64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) log_lines_dropped: Option<f64>,
    /// By part: whether it is in force.
    pub(crate) sandbox: Vec<Named>,
    pub(crate) connections: Vec<Named>,
    pub(crate) connections_max: Option<f64>,
    pub(crate) accepted: Option<f64>,
    pub(crate) displaced: Option<f64>,
    pub(crate) received_bytes: Option<f64>,
    pub(crate) sent_bytes: Option<f64>,
    pub(crate) responses: Vec<Named>,
    pub(crate) broken: Vec<Named>,
    pub(crate) inner_requests: Option<f64>,
    pub(crate) body_bytes: Option<f64>,
    pub(crate) latency: Latency,
    pub(crate) rates: Option<Rates>,
    /// Requests in each of the last seconds.
    pub(crate) seconds: Vec<f64>,
    pub(crate) cache: Cache,
    pub(crate) disk: Vec<Named>,
    pub(crate) lookups_waiting: Option<f64>,
    pub(crate) generation: Option<f64>,
    pub(crate) reloads: Option<f64>,
    pub(crate) rejections: Option<f64>,
    /// Why the last reload was rejected, if it was.
    pub(crate) rejection: Option<String>,
    /// Requests under way, by the generation that they hold.
    pub(crate) generations: Vec<Named>,
    pub(crate) jobs_waiting: Option<f64>,
    pub(crate) stuck_count: Option<f64>,
    pub(crate) plugins: Vec<Plugin>,
    /// Plugin, name, value.
    pub(crate) counters: Vec<(String, String, f64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    pub(crate) hits: Option<f64>,
    pub(crate) misses: Option<f64>,
    pub(crate) entries: Option<f64>,
    pub(crate) entries_max: Option<f64>,
    pub(crate) bytes: Option<f64>,
    pub(crate) bytes_max: Option<f64>,
    pub(crate) files: Option<f64>,
    pub(crate) files_max: Option<f64>,
}

/// A plugin that is, was or should be loaded.
#[derive(Debug, Default)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) generation: String,
    /// `current`, `draining`, `stuck`, `left out`.
    pub(crate) state: String,
    /// Why, if that is known.
    pub(crate) reason: String,
    pub(crate) calls: Option<f64>,
    pub(crate) errors: Option<f64>,
    pub(crate) slow_calls: Option<f64>,
    pub(crate) busy_seconds: Option<f64>,
    /// What it waits for, by kind.
    pub(crate) holds: Vec<Named>,
}

impl Summary {
    pub(crate) fn new(figures: &Figures<'_>, history: &History) -> Self {
        let number = |name| figures.number(name);
        let is_set = |name| figures.number(name) == Some(1.0);
        let info = figures.all("swiftd_info").first();
        let rejected = figures.all("swiftd_plugin_reload_rejected").first();
        let reloads = |result| figures.labelled("swiftd_plugin_reloads_total", "result", result);
        Self {
            version: info
                .map(|info| info.label("version").to_owned())
                .unwrap_or_default(),
            uptime_seconds: number("swiftd_uptime_seconds"),
            is_draining: is_set("swiftd_draining"),
            is_paused: is_set("swiftd_accepting_paused"),
            memory_bytes: number("process_resident_memory_bytes"),
            cpu_seconds: number("process_cpu_seconds_total"),
            log_lines_dropped: number("swiftd_log_lines_dropped_total"),
            sandbox: named(figures, "swiftd_sandbox", "part"),
            connections: named(figures, "swiftd_connections", "state"),
            connections_max: number("swiftd_connections_max"),
            accepted: number("swiftd_connections_accepted_total"),
            displaced: number("swiftd_connections_displaced_total"),
            received_bytes: number("swiftd_received_bytes_total"),
            sent_bytes: number("swiftd_sent_bytes_total"),
            responses: named(figures, "swiftd_requests_total", "status"),
            broken: named(figures, "swiftd_requests_broken_total", "why"),
            inner_requests: number("swiftd_inner_requests_total"),
            body_bytes: number("swiftd_response_body_bytes_total"),
            latency: Latency::new(figures, "swiftd_request_seconds"),
            rates: history.rates(),
            seconds: history.requests().collect(),
            cache: Cache::new(figures),
            disk: named(figures, "swiftd_disk_jobs_waiting", "kind"),
            lookups_waiting: number("swiftd_lookups_waiting"),
            generation: number("swiftd_plugin_generation"),
            reloads: reloads("done"),
            rejections: reloads("rejected"),
            rejection: rejected.map(|rejected| rejected.label("reason").to_owned()),
            generations: named(figures, "swiftd_plugin_requests", "generation"),
            jobs_waiting: number("swiftd_plugin_jobs_waiting"),
            stuck_count: number("swiftd_plugin_instances_stuck"),
            plugins: plugins(figures),
            counters: figures
                .all("swiftd_plugin_counter")
                .iter()
                .map(|it| (it.label("plugin").into(), it.label("name").into(), it.value))
                .collect(),
        }
    }

    /// Requests that have ended, in whatever way.
    pub(crate) fn request_count(&self) -> f64 {
        total(&self.responses) + total(&self.broken)
    }
}

impl Cache {
    fn new(figures: &Figures<'_>) -> Self {
        let looked = |result| figures.labelled("swiftd_cache_lookups_total", "result", result);
        let number = |name| figures.number(name);
        Self {
            hits: looked("hit"),
            misses: looked("miss"),
            entries: number("swiftd_cache_entries"),
            entries_max: number("swiftd_cache_entries_max"),
            bytes: number("swiftd_cache_bytes"),
            bytes_max: number("swiftd_cache_bytes_max"),
            files: number("swiftd_cache_files"),
            files_max: number("swiftd_cache_files_max"),
        }
    }

    /// How many of the look-ups it answered, from 0 to 1; `None` if there were none.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        let (hits, misses) = (self.hits?, self.misses?);
        (hits + misses > 0.0).then(|| hits / (hits + misses))
    }
}

/// The sum of the numbers.
pub(crate) fn total(list: &[Named]) -> f64 {
    list.iter().map(|(_, value)| value).sum()
}

fn named(figures: &Figures<'_>, name: &str, label: &str) -> Vec<Named> {
    let samples = figures.all(name).iter();
    samples
        .map(|sample| (sample.label(label).to_owned(), sample.value))
        .collect()
}

fn plugins(figures: &Figures<'_>) -> Vec<Plugin> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for sample in figures.all("swiftd_plugin_info") {
        plugins.push(Plugin {
            version: sample.label("version").to_owned(),
            state: sample.label("state").to_owned(),
            ..Plugin::named(sample)
        });
    }
    fill(
        &mut plugins,
        figures,
        "swiftd_plugin_calls_total",
        |it, sample| {
            it.calls = Some(sample.value);
        },
    );
    fill(
        &mut plugins,
        figures,
        "swiftd_plugin_errors_total",
        |it, sample| {
            it.errors = Some(sample.value);
        },
    );
    fill(
        &mut plugins,
        figures,
        "swiftd_plugin_slow_calls_total",
        |it, sample| {
            it.slow_calls = Some(sample.value);
        },
    );
    fill(
        &mut plugins,
        figures,
        "swiftd_plugin_busy_seconds_total",
        |it, sample| {
            it.busy_seconds = Some(sample.value);
        },
    );
    fill(
        &mut plugins,
        figures,
        "swiftd_plugin_holds",
        |it, sample| {
            it.holds
                .push((sample.label("kind").to_owned(), sample.value));
        },
    );
    for (name, state) in [
        ("swiftd_plugin_stuck", "stuck"),
        ("swiftd_plugin_left_out", "left out"),
    ] {
        plugins.extend(figures.all(name).iter().map(|sample| Plugin {
            state: state.to_owned(),
            reason: sample.label("reason").to_owned(),
            ..Plugin::named(sample)
        }));
    }
    plugins
}

/// Samples of a family go to the plugins that they are about. Families list the same plugins in the
/// same order, so that each search begins where the last one ended.
fn fill(
    plugins: &mut [Plugin],
    figures: &Figures<'_>,
    name: &str,
    set: impl Fn(&mut Plugin, &Sample<'_>),
) {
    let mut at = 0;
    for sample in figures.all(name) {
        let is_it = |it: &Plugin| {
            it.name == sample.label("plugin") && it.generation == sample.label("generation")
        };
        let found = plugins[at..].iter().position(is_it).map(|far| at + far);
        let Some(place) = found.or_else(|| plugins.iter().position(is_it)) else {
            continue;
        };
        at = place;
        set(&mut plugins[place], sample);
    }
}

impl Plugin {
    fn named(sample: &Sample<'_>) -> Self {
        Self {
            name: sample.label("plugin").to_owned(),
            generation: sample.label("generation").to_owned(),
            ..Self::default()
        }
    }
}
