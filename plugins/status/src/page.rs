//! The page: HTML without a script, whole in one answer.
//!
//! INVARIANT: every text that is not a literal of this file goes through [`escape`].

use crate::format::{age, bytes, count, escape, or_unknown, percent, rate, seconds};
use crate::history::SECONDS;
use crate::latency::Percentile;
use crate::summary::{Named, Plugin, Summary, total};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// Intervals that the page offers, seconds.
const INTERVALS: [u32; 3] = [1, 5, 30];

/// What the states of a connection mean.
const STATES: [(&str, &str); 11] = [
    ("connect", "connected"),
    ("request_start", "idle"),
    ("read", "head arrives"),
    ("request_end", "plugins decide"),
    ("read_post", "body arrives"),
    ("handle_request", "in work"),
    ("response_start", "answer begins"),
    ("write", "answer leaves"),
    ("response_end", "answer left"),
    ("error", "refused"),
    ("close", "closing"),
];

/// The whole page. `path` is where it is.
pub(crate) fn render(summary: &Summary, path: &str, refresh: Option<u32>) -> String {
    let mut out = String::with_capacity(STYLE.len() + 16 * 1024);
    // Writing to memory does not fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    );
    if let Some(seconds) = refresh {
        let _ = write!(out, "<meta http-equiv=\"refresh\" content=\"{seconds}\">");
    }
    let _ = write!(
        out,
        "<title>swiftd status</title>\n<style>{STYLE}</style></head><body>\n"
    );
    header(&mut out, summary, path, refresh);
    notes(&mut out, summary);
    cards(&mut out, summary);
    out.push_str("<div class=\"halves\"><div class=\"half\">\n");
    latency(&mut out, summary);
    answers(&mut out, summary);
    out.push_str("</div><div class=\"half\">\n");
    connections(&mut out, summary);
    files(&mut out, summary);
    out.push_str("</div></div>\n");
    plugins(&mut out, summary);
    counters(&mut out, &summary.counters);
    out.push_str("</body></html>\n");
    out
}

fn header(out: &mut String, summary: &Summary, path: &str, refresh: Option<u32>) {
    let (class, word) = match summary {
        it if it.is_draining => ("warn", "stopping"),
        it if it.is_paused => ("warn", "full"),
        _ => ("ok", "serving"),
    };
    let _ = write!(
        out,
        "<header><h1>swiftd <small>{}</small></h1><span class=\"tag {class}\">{word}</span>\
         <span class=\"soft\">up {}</span><nav><span>refresh</span>",
        escape(&summary.version),
        or_unknown(summary.uptime_seconds, age)
    );
    let path = escape(path);
    match refresh {
        None => out.push_str("<b>off</b>"),
        Some(_) => drop(write!(out, "<a href=\"{path}\">off</a>")),
    }
    for seconds in INTERVALS {
        let _ = if refresh == Some(seconds) {
            write!(out, "<b>{seconds} s</b>")
        } else {
            write!(out, "<a href=\"{path}?refresh={seconds}\">{seconds} s</a>")
        };
    }
    let _ = writeln!(
        out,
        "<span>·</span><a href=\"{path}/json\">JSON</a><a href=\"{path}/metrics\">metrics</a>\
         </nav></header>"
    );
}

/// What the operator should know before anything else.
fn notes(out: &mut String, summary: &Summary) {
    let mut note = |class: &str, title: &str, text: &str| {
        let _ = writeln!(
            out,
            "<section class=\"note {class}\"><b>{title}</b><p>{}</p></section>",
            escape(text)
        );
    };
    if let Some(reason) = &summary.rejection {
        note("bad", "The last reload of plugins was rejected", reason);
    }
    for plugin in summary.plugins.iter().filter(|it| it.state == "left out") {
        note(
            "bad",
            "A plugin is left out",
            &format!(
                "{} has killed the server and is not loaded until its file changes.",
                plugin.name
            ),
        );
    }
    if summary.is_paused {
        note(
            "warn",
            "No room",
            "New connections have to wait until others end.",
        );
    }
    if let Some(count) = summary.log_lines_dropped.filter(|count| *count > 0.0) {
        note(
            "warn",
            "The log is incomplete",
            &format!("{count} lines found no room."),
        );
    }
}

fn cards(out: &mut String, summary: &Summary) {
    out.push_str("<div class=\"cards\">\n");
    let rates = summary.rates;
    let requests = match (rates, summary.uptime_seconds) {
        (Some(rates), _) => format!("{} <small>per second</small>", rate(rates.requests)),
        (None, Some(uptime)) if uptime > 0.0 => {
            let mean = summary.request_count() / uptime;
            format!("{} <small>per second since the start</small>", rate(mean))
        }
        _ => or_unknown(None, rate),
    };
    let _ = writeln!(
        out,
        "<section class=\"wide\"><h2>Requests</h2><p class=\"big\">{requests}</p>\
         <p>{} in all, {} broken off</p>{}</section>",
        count(summary.request_count()),
        count(total(&summary.broken)),
        sparkline(&summary.seconds)
    );
    let part = |part| {
        summary
            .latency
            .percentile(part)
            .map_or("–".to_owned(), percentile)
    };
    card(
        out,
        "Latency",
        &format!("{} <small>p50</small>", part(0.5)),
        &[format!("p90 {}", part(0.9)), format!("p99 {}", part(0.99))],
    );
    let open = total(&summary.connections);
    card(
        out,
        "Connections",
        &format!("{} <small>open</small>", count(open)),
        &[
            format!("of at most {}", or_unknown(summary.connections_max, count)),
            format!("{} accepted", or_unknown(summary.accepted, count)),
        ],
    );
    let sent = rates.map_or_else(
        || or_unknown(summary.sent_bytes, bytes),
        |rates| format!("{}<small>/s</small>", bytes(rates.sent_bytes)),
    );
    card(
        out,
        "Traffic",
        &sent,
        &[
            format!("{} sent", or_unknown(summary.sent_bytes, bytes)),
            format!("{} received", or_unknown(summary.received_bytes, bytes)),
        ],
    );
    card(
        out,
        "Process",
        &or_unknown(summary.memory_bytes, bytes),
        &[
            format!("{} CPU", or_unknown(rates.map(|it| it.cpu), percent)),
            format!("{} in all", or_unknown(summary.cpu_seconds, seconds)),
            sandbox(&summary.sandbox),
        ],
    );
    out.push_str("</div>\n");
}

/// What the process is locked in by; empty if the server does not tell.
fn sandbox(parts: &[Named]) -> String {
    let in_force = parts.iter().filter(|(_, value)| *value > 0.0);
    let names: Vec<_> = in_force.map(|(name, _)| escape(name)).collect();
    match &names[..] {
        [] if parts.is_empty() => String::new(),
        [] => "no sandbox".to_owned(),
        names => format!("locked in by {}", names.join(", ")),
    }
}

/// `big` and `lines` are HTML.
fn card(out: &mut String, title: &str, big: &str, lines: &[String]) {
    let _ = write!(out, "<section><h2>{title}</h2><p class=\"big\">{big}</p>");
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let _ = write!(out, "<p>{line}</p>");
    }
    out.push_str("</section>\n");
}

/// Bars for the last minute, the newest at the right end.
fn sparkline(values: &[f64]) -> String {
    let most = values.iter().copied().fold(1.0, f64::max);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} 20\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"requests in each second of the last minute\">",
        SECONDS * 4
    );
    for (index, value) in values.iter().rev().enumerate().take(SECONDS) {
        let x = (SECONDS - 1 - index) * 4;
        // A second without a request leaves a trace.
        let height = (value / most * 20.0).max(0.6);
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{:.1}\" width=\"3\" height=\"{height:.1}\"/>",
            20.0 - height
        );
    }
    svg + "</svg>"
}

fn percentile(found: Percentile) -> String {
    let over = if found.is_over { "over " } else { "" };
    format!("{over}{}", seconds(found.seconds))
}

fn latency(out: &mut String, summary: &Summary) {
    let buckets = &summary.latency.buckets;
    let mean = or_unknown(summary.latency.mean_seconds(), seconds);
    let _ = write!(
        out,
        "<section><h2>How long requests take <small>mean {mean}</small></h2><dl>"
    );
    let most = buckets.iter().map(|it| it.count).fold(0.0, f64::max);
    let mut lower = 0.0;
    for bucket in buckets {
        let label = if bucket.bound_seconds.is_infinite() {
            format!("over {}", seconds(lower))
        } else {
            format!("≤ {}", seconds(bucket.bound_seconds))
        };
        lower = bucket.bound_seconds;
        bar(out, &label, bucket.count, most, "");
    }
    if buckets.is_empty() {
        out.push_str("<dt>unknown</dt>");
    }
    out.push_str("</dl></section>\n");
}

fn connections(out: &mut String, summary: &Summary) {
    let displaced = or_unknown(summary.displaced, count);
    let _ = write!(
        out,
        "<section><h2>Connections <small>{displaced} ended for others</small></h2><dl>"
    );
    let states = &summary.connections;
    let most = states.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    for (state, value) in states {
        let meaning = STATES.iter().find(|(name, _)| name == state);
        let label = meaning.map_or_else(|| escape(state), |(_, text)| (*text).to_owned());
        bar(out, &label, *value, most, "");
    }
    if states.is_empty() {
        out.push_str("<dt>unknown</dt>");
    }
    out.push_str("</dl></section>\n");
}

fn answers(out: &mut String, summary: &Summary) {
    let body = or_unknown(summary.body_bytes, bytes);
    let _ = write!(
        out,
        "<section><h2>Answers <small>{body} of content</small></h2><dl>"
    );
    let all = summary.responses.iter().chain(&summary.broken);
    let most = all.map(|(_, value)| *value).fold(0.0, f64::max);
    for (class, value) in &summary.responses {
        let tint = match class.as_bytes().first() {
            Some(b'2') => "ok",
            Some(b'4') => "warn",
            Some(b'5') => "bad",
            _ => "main",
        };
        bar(out, &escape(class), *value, most, tint);
    }
    for (why, value) in summary.broken.iter().filter(|(_, value)| *value > 0.0) {
        let label = format!("broken: {}", escape(&why.replace('_', " ")));
        bar(out, &label, *value, most, "bad");
    }
    out.push_str("</dl></section>\n");
}

/// A line of a bar chart; `label` is HTML.
fn bar(out: &mut String, label: &str, value: f64, most: f64, tint: &str) {
    let part = if most > 0.0 {
        value / most * 100.0
    } else {
        0.0
    };
    // One of many is to be seen as well.
    let part = if value > 0.0 { part.max(1.0) } else { 0.0 };
    let zero = if value > 0.0 { "" } else { " class=\"zero\"" };
    let _ = write!(
        out,
        "<dt{zero}>{label}</dt><dd class=\"bar {tint}\"><i style=\"width:{part:.1}%\"></i></dd>\
         <dd{zero}>{}</dd>",
        count(value)
    );
}

fn files(out: &mut String, summary: &Summary) {
    let cache = &summary.cache;
    let ratio = or_unknown(cache.hit_ratio(), percent);
    let _ = write!(
        out,
        "<section><h2>Files <small>{ratio} answered by the cache</small></h2><dl>"
    );
    let most = cache.hits.unwrap_or(0.0).max(cache.misses.unwrap_or(0.0));
    bar(out, "hits", cache.hits.unwrap_or(0.0), most, "ok");
    bar(out, "misses", cache.misses.unwrap_or(0.0), most, "");
    out.push_str("</dl><hr><dl class=\"pairs\">");
    let of = |value, most, write: fn(f64) -> String| {
        format!(
            "{} of {}",
            or_unknown(value, write),
            or_unknown(most, write)
        )
    };
    pair(out, "paths", &of(cache.entries, cache.entries_max, count));
    pair(out, "memory", &of(cache.bytes, cache.bytes_max, bytes));
    pair(out, "open files", &of(cache.files, cache.files_max, count));
    pair(
        out,
        "requests that wait for a look-up",
        &or_unknown(summary.lookups_waiting, count),
    );
    for (kind, value) in &summary.disk {
        let kind = match &kind[..] {
            "short" => "look-ups and log lines in the disk's queue".to_owned(),
            "load" => "pieces of files to be read".to_owned(),
            "append" => "pieces of bodies to be written".to_owned(),
            other => escape(other),
        };
        pair(out, &kind, &count(*value));
    }
    out.push_str("</dl></section>\n");
}

/// `name` and `value` are HTML.
fn pair(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
}

fn plugins(out: &mut String, summary: &Summary) {
    let _ = writeln!(
        out,
        "<section><h2>Plugins <small>generation {}, {} reloads, {} rejected</small></h2>\
         <table><thead><tr><th>plugin<th>state<th class=\"n\">generation\
         <th class=\"n\">calls<th class=\"n\">errors<th class=\"n\">slow<th class=\"n\">time\
         <th>waits for</tr></thead><tbody>",
        or_unknown(summary.generation, count),
        // The first generation was a load.
        or_unknown(
            summary.reloads.map(|reloads| (reloads - 1.0).max(0.0)),
            count
        ),
        or_unknown(summary.rejections, count)
    );
    for plugin in &summary.plugins {
        row(out, plugin);
    }
    out.push_str("</tbody></table>");
    let held = summary.generations.iter();
    let held: Vec<String> = held
        .map(|(number, value)| format!("{} of generation {}", count(*value), escape(number)))
        .collect();
    let _ = writeln!(
        out,
        "<p class=\"soft foot\">Requests under way: {}.</p></section>",
        held.join(", ")
    );
}

fn row(out: &mut String, plugin: &Plugin) {
    let tint = match &plugin.state[..] {
        "current" => "ok",
        "draining" => "warn",
        _ => "bad",
    };
    let _ = write!(
        out,
        "<tr><td><span><b>{}</b> <span class=\"soft\">{}</span></span>\
         <td class=\"state\"><span><span class=\"tag {tint}\">{}</span> {}</span>\
         <td class=\"n\" data-of=\"generation\">{}",
        escape(&plugin.name),
        escape(&plugin.version),
        escape(&plugin.state),
        escape(&plugin.reason),
        escape(&plugin.generation)
    );
    number(out, "calls", plugin.calls, count, false);
    number(out, "errors", plugin.errors, count, true);
    number(out, "slow", plugin.slow_calls, count, true);
    number(out, "time", plugin.busy_seconds, seconds, false);
    let held = plugin.holds.iter().filter(|(_, value)| *value > 0.0);
    let held: Vec<String> = held.map(|(kind, value)| things(kind, *value)).collect();
    let _ = writeln!(
        out,
        "<td class=\"all\" data-of=\"waits for\">{}</tr>",
        held.join(", ")
    );
}

/// `2 timers`, as HTML.
fn things(kind: &str, value: f64) -> String {
    let plural = match kind {
        _ if value <= 1.0 => "",
        "child" => "ren",
        "watch" => "es",
        _ => "s",
    };
    format!("{} {}{plural}", count(value), escape(kind))
}

/// A cell; nothing is wrong as long as a number that `is_bad` is 0.
fn number(out: &mut String, of: &str, value: Option<f64>, write: fn(f64) -> String, is_bad: bool) {
    let wrong = if is_bad && value > Some(0.0) {
        " wrong"
    } else {
        ""
    };
    let text = value.map(write).unwrap_or_default();
    let _ = write!(out, "<td class=\"n{wrong}\" data-of=\"{of}\">{text}");
}

fn counters(out: &mut String, counters: &[(String, String, f64)]) {
    if counters.is_empty() {
        return;
    }
    out.push_str("<section class=\"after\"><h2>What plugins count</h2><dl class=\"pairs\">");
    for (plugin, name, value) in counters {
        let name = format!("{} <b>{}</b>", escape(plugin), escape(name));
        pair(out, &name, &count(*value));
    }
    out.push_str("</dl></section>\n");
}
