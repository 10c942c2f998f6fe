//! A status page: what the server is doing, for people, scripts and Prometheus.
//!
//! | path | what | type |
//! | --- | --- | --- |
//! | `/server-status` | a page; `?refresh=5` renews it every 5 seconds (1 to 3600) | HTML |
//! | `/server-status/json` | the same numbers | JSON |
//! | `/server-status/metrics` | all figures of the server | Prometheus text format 0.0.4 |
//!
//! GET and HEAD; other methods get 405. Nothing of it is to be stored by caches.
//!
//! # Configuration
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `path` | `/server-status` | where it is: an absolute path of 2 to 200 characters out of letters, digits and `/ . _ ~ -`, without empty or dot segments and without `/` at its end |
//! | `public` | `off` | `on`: everybody may look. `off`: only clients on this machine, over a loopback address or a Unix socket, and no request that a proxy has passed on (one with `Forwarded`, `X-Forwarded-For` or `Via`); all others get 403 |
//!
//! ```toml
//! [plugin.status]
//! path = "/server-status"
//! public = "off"
//! ```
//!
//! A proxy on this machine that adds none of these fields makes everybody a local client. To let
//! some networks in, set `public = "on"` and name them in the plugin `access`.
//!
//! # Cost
//!
//! As long as this plugin is loaded the server takes the time of each request and gathers its own
//! figures once a second, if there is anything to do at all. How fast requests come is sampled once
//! a second while somebody looks at the page or the JSON and for a minute after that; an idle device
//! is not woken.

#![deny(unsafe_code)]

mod figures;
mod format;
mod history;
mod json;
mod latency;
mod page;
mod summary;

use figures::Figures;
use history::{History, Moment, SECONDS};
use std::net::SocketAddr;
use std::time::Duration;
use summary::Summary;
use swiftd_plugin::*;

/// The plugin's state.
#[derive(Debug)]
pub struct Status {
    host: Host,
    path: String,
    is_public: bool,
    history: History,
    /// While somebody looks.
    timer: Option<TimerId>,
    /// When somebody looked last.
    looked_ms: u64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Page,
    Json,
    Metrics,
}

const PATH: &str = "/server-status";

/// The longest path, bytes.
const PATH_MAX: usize = 200;

/// How often the page may renew itself, seconds.
const REFRESH_MAX: u32 = 3600;

/// The page has no script, loads nothing, and is shown in no frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Fields that say that the request comes from somebody else than its peer.
const PASSED_ON: [&str; 3] = ["forwarded", "x-forwarded-for", "via"];

plugin! {
    impl Plugin for Status {
        const NAME: &CStr = c"status";
        const VERSION: &CStr = c"0.1.0";

        fn init(host: &Host) -> Result<Self, String> {
            let path = host.config("path").unwrap_or(PATH);
            check_path(path)?;
            let is_public = is_on("public", host.config("public").unwrap_or("off"))?;
            // From the first time on that somebody asks, requests are counted.
            host.server_status()
                .map_err(|error| format!("the server's figures cannot be read: {error}"))?;
            Ok(Status {
                host: host.clone(),
                path: path.to_owned(),
                is_public,
                history: History::default(),
                timer: None,
                looked_ms: 0,
            })
        }

        fn subrequest_start(&mut self, req: &mut Request) -> Flow {
            if self.view(req.path()).is_none() {
                return Flow::GoOn;
            }
            if !self.is_public && !is_local(req) {
                return refuse(req, 403, &[]);
            }
            if !matches!(req.method(), b"GET" | b"HEAD") {
                return refuse(req, 405, &[("allow", "GET, HEAD")]);
            }
            Flow::Finished
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            let Some(view) = self.view(req.path()) else { return Flow::Error };
            self.show(view, req).unwrap_or_else(|error| {
                self.host.error(format_args!("cannot answer: {error}"));
                Flow::Error
            })
        }
    }
}

impl Status {
    fn view(&self, path: &[u8]) -> Option<View> {
        match path.strip_prefix(self.path.as_bytes())? {
            b"" | b"/" => Some(View::Page),
            b"/json" => Some(View::Json),
            b"/metrics" => Some(View::Metrics),
            _ => None,
        }
    }

    fn show(&mut self, view: View, req: &mut Request<'_>) -> Result<Flow> {
        let text = self.host.server_status()?;
        let (content_type, body) = match view {
            View::Metrics => ("text/plain; version=0.0.4; charset=utf-8", text),
            View::Json => ("application/json", json::render(&self.summary(&text))),
            View::Page => {
                let refresh = refresh(req.query().unwrap_or_default());
                let page = page::render(&self.summary(&text), &self.path, refresh);
                ("text/html; charset=utf-8", page)
            }
        };
        req.set_status(200)?;
        req.set_header("content-type", content_type)?;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            req.set_header(name, value)?;
        }
        req.body_owned(body.into_bytes())?;
        Ok(Flow::Finished)
    }

    fn summary(&mut self, text: &str) -> Summary {
        let figures = Figures::parse(text);
        let now = self.host.now_ms();
        self.looked_ms = now;
        if self.timer.is_none() {
            let every = self.host.every(Duration::from_secs(1), Status::tick);
            // Without it there are rates between two views only.
            self.timer = every.ok();
        }
        self.history.add(Moment::of(&figures, now));
        Summary::new(&figures, &self.history)
    }

    /// Once a second, until nobody has looked for a while.
    fn tick(&mut self) {
        let now = self.host.now_ms();
        let idle_seconds = now.saturating_sub(self.looked_ms) / 1000;
        if idle_seconds > SECONDS as u64 {
            if let Some(timer) = self.timer.take() {
                // It is the one that runs.
                let _ = self.host.cancel(timer);
            }
            self.history.clear();
            return;
        }
        if let Ok(text) = self.host.server_status() {
            self.history.add(Moment::of(&Figures::parse(&text), now));
        }
    }
}

/// An answer that the server writes the page for.
fn refuse(req: &mut Request<'_>, status: u16, fields: &[(&str, &str)]) -> Flow {
    let mut result = req.set_status(status);
    for (name, value) in fields.iter().chain(&[("cache-control", "no-store")]) {
        result = result.and_then(|()| req.set_header(name, value));
    }
    if result.is_ok() {
        Flow::Finished
    } else {
        Flow::Error
    }
}

/// Whether the request comes from this machine and from nobody behind it.
fn is_local(req: &Request<'_>) -> bool {
    let peer = req.peer();
    let is_near = peer.starts_with(b"unix:")
        || str::from_utf8(peer)
            .ok()
            .and_then(|peer| peer.parse::<SocketAddr>().ok())
            .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    is_near && PASSED_ON.iter().all(|name| req.header(name).is_none())
}

/// The seconds of `refresh=N`, if that is something to be done.
fn refresh(query: &[u8]) -> Option<u32> {
    let mut pairs = query.split(|byte| *byte == b'&');
    let value = pairs.find_map(|pair| pair.strip_prefix(b"refresh="))?;
    let seconds = str::from_utf8(value).ok()?.parse().ok()?;
    (1..=REFRESH_MAX).contains(&seconds).then_some(seconds)
}

fn check_path(path: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
    let mut segments = path.split('/');
    let is_good = (2..=PATH_MAX).contains(&path.len())
        && segments.next() == Some("")
        && path.bytes().all(is_plain)
        && segments.all(|segment| !matches!(segment, "" | "." | ".."));
    if is_good {
        return Ok(());
    }
    Err(format!(
        "path: {path:?} is no path for the page: expected at most {PATH_MAX} letters, digits and \
         / . _ ~ - that begin and do not end with /, such as {PATH:?}"
    ))
}

fn is_on(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        other => Err(format!(
            "{key}: {other:?} is neither \"on\" nor \"off\"; write one of them"
        )),
    }
}

#[cfg(test)]
mod tests;
