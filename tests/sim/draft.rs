//! A well-formed request (its body perhaps not), drawn from the seed.

use super::files::{self, FILES};
use super::plan::{Act, LookUpPlan, Spool, Suspension};
use super::rng::Rng;
use super::world::Settings;
use std::fmt::Write;
use swiftd::conn::Point;

/// What is asked and how.
pub struct Draft {
    /// The number of its plan.
    pub number: usize,
    pub method: &'static str,
    pub name: &'static str,
    pub has_query: bool,
    pub selection: Selection,
    pub is_http_10: bool,
    pub asks_to_close: bool,
    pub expects_continue: bool,
    pub waits_for_continue: bool,
    pub body: Body,
    pub look_up: LookUpPlan,
    pub act: Act,
    pub suspension: Option<Suspension>,
    pub spool: Spool,
    /// How the path is spelled.
    spelling: u64,
}

/// Which part of a file is asked for.
pub enum Selection {
    Whole,
    Part(u64, u64),
    Parts(Vec<(u64, u64)>),
    Beyond,
    NotModified,
    Replaced,
}

/// A request's body.
#[derive(Default)]
pub struct Body {
    /// The field line that announces it.
    pub framing: Option<String>,
    pub payload: Vec<u8>,
    pub encoded: Vec<u8>,
    /// The status if it is wrong, and whether its head tells.
    pub refusal: Option<(u16, bool)>,
}

/// Draws a request; a calm one is for a file that is there at once.
pub fn draw(rng: &mut Rng, settings: &Settings, number: usize, is_calm: bool) -> Draft {
    if is_calm {
        return draw_calm(rng, number);
    }
    let act = draw_act(rng, settings);
    let method = match act {
        Act::Echo | Act::Stream(_) => rng.pick(&["POST", "POST", "PUT", "GET", "BREW", "HEAD"]),
        Act::Pass => rng.pick(&[
            "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "HEAD", "OPTIONS", "POST",
            "PUT", "DELETE", "BREW",
        ]),
        _ => rng.pick(&["GET", "GET", "HEAD", "POST"]),
    };
    let is_http_10 = rng.one_in(12);
    let has_body = match method {
        "POST" | "PUT" => !rng.one_in(4),
        _ => rng.one_in(12),
    };
    let body = if has_body {
        draw_body(rng, settings, is_http_10)
    } else {
        Body::default()
    };
    let name = match rng.between(0, 11) {
        0 => files::DIRECTORY,
        1 => files::FORBIDDEN,
        2 => files::MISSING,
        _ => FILES[rng.size(0, FILES.len() - 1)].name,
    };
    let expects_continue = has_body && !is_http_10 && rng.one_in(3);
    // A body that is wrong is enough of a mistake for one request.
    let spool = match rng.between(0, 19) {
        0 | 1 if body.refusal.is_none() => Spool::Fails,
        2 if body.refusal.is_none() => Spool::Never,
        _ => Spool::Works,
    };
    Draft {
        number,
        method,
        name,
        has_query: rng.one_in(4),
        selection: draw_selection(rng, act, method, name),
        is_http_10,
        asks_to_close: if is_http_10 {
            rng.one_in(2)
        } else {
            rng.one_in(20)
        },
        expects_continue,
        waits_for_continue: expects_continue && !body.is_empty() && !rng.one_in(4),
        body,
        look_up: match rng.between(0, 39) {
            0..=23 => LookUpPlan::Now,
            24..=36 => LookUpPlan::Late(rng.between(0, 400)),
            37 => LookUpPlan::Busy,
            38 => LookUpPlan::Never,
            _ => LookUpPlan::Late(20_000),
        },
        act,
        suspension: (settings.has_plugin && rng.one_in(4)).then(|| Suspension {
            point: rng.pick(&POINTS),
            wake_after: match rng.between(0, 15) {
                0 => None,
                1 => Some(20_000),
                _ => Some(rng.between(0, 600)),
            },
        }),
        spool,
        spelling: rng.between(0, 5),
    }
}

fn draw_calm(rng: &mut Rng, number: usize) -> Draft {
    Draft {
        number,
        method: rng.pick(&["GET", "GET", "HEAD"]),
        name: FILES[rng.size(0, CALM_FILES - 1)].name,
        has_query: false,
        selection: Selection::Whole,
        is_http_10: false,
        asks_to_close: false,
        expects_continue: false,
        waits_for_continue: false,
        body: Body::default(),
        look_up: LookUpPlan::Now,
        act: Act::Pass,
        suspension: None,
        spool: Spool::Works,
        spelling: rng.between(0, 5),
    }
}

/// The first so many files are small and in memory.
const CALM_FILES: usize = 4;

const POINTS: [Point; 6] = [
    Point::UrlRaw,
    Point::UrlClean,
    Point::Docroot,
    Point::Physical,
    Point::SubrequestStart,
    Point::HandleSubrequest,
];

fn draw_act(rng: &mut Rng, settings: &Settings) -> Act {
    if !settings.has_plugin {
        return Act::Pass;
    }
    match rng.between(0, 19) {
        0..=5 => Act::Echo,
        6 => Act::Complete(rng.pick(&POINTS[..4])),
        7 => Act::Fail(rng.pick(&POINTS)),
        8 => Act::Loop(rng.pick(&POINTS[..5])),
        9 => Act::Rewrite,
        10 => Act::Abandon,
        11..=13 if rng.one_in(6) => Act::Stream(rng.size(60_000, 120_000)),
        11..=13 => Act::Stream(rng.size(0, 3_000)),
        _ => Act::Pass,
    }
}

/// Ranges and preconditions are for GET on a file that nobody puts another in the place of.
fn draw_selection(rng: &mut Rng, act: Act, method: &str, name: &str) -> Selection {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Selection::Whole;
    };
    if method != "GET" || matches!(act, Act::Rewrite | Act::Abandon) {
        return Selection::Whole;
    }
    match rng.between(0, 11) {
        0 => Selection::NotModified,
        1 => Selection::Replaced,
        2 => Selection::Beyond,
        3 | 4 if file.bytes > 0 => {
            let first = rng.between(0, file.bytes - 1);
            Selection::Part(first, rng.between(first, file.bytes - 1))
        }
        5 | 6 if file.bytes >= 100 => {
            let middle = rng.between(10, file.bytes - 10);
            let (first, last) = (
                rng.between(0, middle - 3),
                rng.between(middle, file.bytes - 1),
            );
            let parts = vec![(first, rng.between(first, middle - 3)), (middle, last)];
            Selection::Parts(parts)
        }
        _ => Selection::Whole,
    }
}

fn draw_body(rng: &mut Rng, settings: &Settings, is_http_10: bool) -> Body {
    let bounds = &settings.limits.body;
    let body_bytes_max = bounds.body_bytes_max as usize;
    let length = match rng.between(0, 4) {
        0 => rng.size(0, 3),
        1..=3 => rng.size(0, bounds.memory_bytes_max * 2),
        _ => rng.size(0, body_bytes_max),
    };
    let payload = rng.bytes(length);
    let mistake = if rng.one_in(8) { rng.between(1, 4) } else { 0 };
    if is_http_10 || rng.one_in(2) {
        let (announced, refusal) = if mistake == 0 {
            (payload.len(), None)
        } else {
            (body_bytes_max + 1, Some((413, true)))
        };
        return Body {
            framing: Some(format!("Content-Length: {announced}")),
            encoded: payload.clone(),
            payload,
            refusal,
        };
    }
    let mut encoded = Vec::new();
    let mut rest = &payload[..];
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.size(1, rest.len()));
        let extension = if rng.one_in(5) { ";note=\"x\"" } else { "" };
        encoded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
        rest = after;
    }
    let (end, refusal) = match mistake {
        0 if rng.one_in(4) => ("0\r\nX-Checksum: 5\r\n\r\n".into(), None),
        0 => ("0\r\n\r\n".into(), None),
        1 => ("g\r\n\r\n".into(), Some((400, false))),
        2 => ("0\n\n".into(), Some((400, false))),
        3 => (format!("{:x}\r\n", body_bytes_max + 1), Some((413, false))),
        _ => {
            let filler = "f".repeat(bounds.trailer_bytes_max);
            (format!("0\r\nX-Long: {filler}\r\n\r\n"), Some((431, false)))
        }
    };
    encoded.extend_from_slice(end.as_bytes());
    Body {
        framing: Some("Transfer-Encoding: chunked".into()),
        payload,
        encoded,
        refusal,
    }
}

impl Body {
    /// Whether nothing follows the head, by what the head says.
    pub fn is_empty(&self) -> bool {
        self.framing
            .as_deref()
            .is_none_or(|line| line == "Content-Length: 0")
    }
}

impl Draft {
    /// The bytes of its head.
    pub fn head(&self) -> String {
        let Self {
            number,
            method,
            name,
            ..
        } = self;
        let path = match self.spelling {
            0 => format!("/{number}/./{name}"),
            1 => format!("/{number}/x/../{name}"),
            2 => format!("/{number}/%{:02x}{}", name.as_bytes()[0], &name[1..]),
            3 => format!("http://example.org/{number}/{name}"),
            _ => format!("/{number}/{name}"),
        };
        let query = if self.has_query { "?q=1" } else { "" };
        let minor = if self.is_http_10 { 0 } else { 1 };
        let mut head = format!(
            "{method} {path}{query} HTTP/1.{minor}\r\nHost: example.org\r\nX-Id: {number}\r\n"
        );
        if self.asks_to_close && !self.is_http_10 {
            head += "Connection: close\r\n";
        }
        if !self.asks_to_close && self.is_http_10 {
            head += "Connection: keep-alive\r\n";
        }
        if self.expects_continue {
            head += "Expect: 100-continue\r\n";
        }
        if let Some(line) = &self.body.framing {
            head += line;
            head += "\r\n";
        }
        self.push_selection(&mut head).expect("a string takes it");
        head += "\r\n";
        head
    }

    fn push_selection(&self, head: &mut String) -> std::fmt::Result {
        match &self.selection {
            Selection::Whole => Ok(()),
            Selection::Part(first, last) => write!(head, "Range: bytes={first}-{last}\r\n"),
            Selection::Parts(parts) => {
                let [(a, b), (c, d)] = parts[..] else {
                    unreachable!("two parts are drawn")
                };
                write!(head, "Range: bytes={a}-{b}, {c}-{d}\r\n")
            }
            Selection::Beyond => write!(head, "Range: bytes=1000000-\r\n"),
            Selection::NotModified => write!(head, "If-None-Match: *\r\n"),
            Selection::Replaced => write!(head, "If-Match: \"another\"\r\n"),
        }
    }
}
