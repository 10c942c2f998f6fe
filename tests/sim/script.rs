//! What a client sends: a stream of requests, each with its [`Plan`].
//!
//! The right answer is worked out here from the request and its circumstances, step by step in the
//! order in which a connection must decide. It shares no code with the server.

use super::draft::{self, Draft};
use super::files::FILES;
use super::plan::{Act, Content, Expected, LookUpPlan, Plan, Record, Spool, Suspension};
use super::plugin;
use super::stage::Stage;
use super::world::Settings;
use super::{files, malformed, streaming};
use swiftd::conn::Point;

/// Writes a client's stream and its plans.
pub fn write(stage: &mut Stage, settings: &Settings, client: usize) -> Vec<u8> {
    let first = stage.plans.len();
    let mut stream = Vec::new();
    // Some clients ask for much, and only for what can be had.
    let is_calm = stage.rng.one_in(8);
    let count = if is_calm {
        stage.rng.size(10, 60)
    } else {
        stage.rng.size(1, 8)
    };
    for _ in 0..count {
        if stage.rng.one_in(15) {
            stream.extend_from_slice(b"\r\n");
        }
        let number = stage.plans.len();
        let plan = if !is_calm && stage.rng.one_in(14) {
            malformed::write(stage, settings, client, &mut stream)
        } else {
            let draft = draft::draw(&mut stage.rng, settings, number, is_calm);
            write_request(&draft, settings, client, &mut stream)
        };
        let closes = plan.expected.closes;
        stage.plans.push(plan);
        if closes && stage.rng.one_in(2) {
            break;
        }
    }
    stage.parties[client].plans = first..stage.plans.len();
    stream
}

fn write_request(draft: &Draft, settings: &Settings, client: usize, stream: &mut Vec<u8>) -> Plan {
    let start = stream.len();
    stream.extend_from_slice(draft.head().as_bytes());
    let head_end = stream.len();
    stream.extend_from_slice(&draft.body.encoded);
    let end = stream.len();
    let (mut expected, possible, certain) = decide(draft, settings);
    expected.closes |= draft.asks_to_close;
    let offset = |moment| match moment {
        Moment::Head => head_end,
        Moment::Body => end,
    };
    Plan {
        client,
        start,
        head_end,
        end,
        possible_at: offset(possible),
        certain_at: offset(certain),
        is_head: draft.method == "HEAD",
        is_http_10: draft.is_http_10,
        expects_continue: draft.expects_continue,
        waits_for_continue: draft.waits_for_continue,
        asks_to_close: draft.asks_to_close,
        expected,
        look_up: draft.look_up,
        act: draft.act,
        suspension: draft.suspension,
        spool: draft.spool,
        record: Record::default(),
    }
}

/// What of a request must be there.
#[derive(Copy, Clone)]
enum Moment {
    Head,
    Body,
}

/// The answer, when it may come, and when it must.
fn decide(draft: &Draft, settings: &Settings) -> (Expected, Moment, Moment) {
    let on_head = |expected| (expected, Moment::Head, Moment::Head);
    let on_body = |expected| (expected, Moment::Body, Moment::Body);
    // A length of nothing is as good as no body.
    let has_body = !draft.body.is_empty();
    if waits_for_ever(draft, Point::UrlRaw, Point::SubrequestStart) {
        return on_head(refusal(504));
    }
    match draft.act {
        Act::Complete(_) => {
            return on_head(Expected {
                closes: has_body,
                ..success(200, plugin::EARLY.to_vec())
            });
        }
        Act::Fail(point) if point < Point::HandleSubrequest => return on_head(refusal(500)),
        Act::Loop(_) => return on_head(refusal(500)),
        _ => {}
    }
    let claims = draft.act.claims();
    let method_status = match draft.method {
        "GET" | "HEAD" | "OPTIONS" => None,
        "BREW" => Some(501),
        _ => Some(405),
    };
    if let Some(status) = method_status.filter(|_| !claims) {
        return on_head(Expected {
            closes: has_body,
            ..refusal(status)
        });
    }
    if let Some((status, is_announced)) = draft.body.refusal {
        let certain = if is_announced {
            Moment::Head
        } else {
            Moment::Body
        };
        return (refusal(status), Moment::Head, certain);
    }
    let is_spooled = claims && draft.body.payload.len() > settings.limits.body.memory_bytes_max;
    match draft.spool {
        Spool::Fails if is_spooled => return (refusal(507), Moment::Head, Moment::Body),
        Spool::Never if is_spooled => return (refusal(503), Moment::Head, Moment::Body),
        _ => {}
    }
    if claims {
        if waits_for_ever(draft, Point::HandleSubrequest, Point::HandleSubrequest) {
            return on_body(refusal(504));
        }
        match draft.act {
            Act::Echo => return on_body(success(200, draft.body.payload.clone())),
            Act::Stream(bytes) => {
                return on_body(Expected {
                    content: Content::Streamed(streaming::content(bytes)),
                    ..empty(200)
                });
            }
            Act::Fail(_) => return on_body(refusal(500)),
            _ => {}
        }
        // The chain runs again; nobody claims it now, and its body has been read.
        if let Some(status) = method_status {
            return on_body(Expected {
                closes: false,
                ..refusal(status)
            });
        }
    }
    on_body(from_files(draft))
}

/// Whether the plugin gets to wait, from one point to another, and is never woken.
fn waits_for_ever(draft: &Draft, first: Point, last: Point) -> bool {
    let Some(Suspension {
        point,
        wake_after: None,
    }) = draft.suspension
    else {
        return false;
    };
    point >= first && point <= last && point <= draft.act.last_point()
}

fn from_files(draft: &Draft) -> Expected {
    if draft.method == "OPTIONS" {
        return Expected {
            line: Some("Allow: GET, HEAD, OPTIONS".into()),
            ..empty(204)
        };
    }
    match draft.look_up {
        LookUpPlan::Never => return refusal(503),
        LookUpPlan::Busy => {
            return Expected {
                closes: false,
                line: Some("Retry-After: 1".into()),
                ..refusal(503)
            };
        }
        LookUpPlan::Now | LookUpPlan::Late(_) => {}
    }
    let is_rewritten = matches!(draft.act, Act::Rewrite | Act::Abandon);
    let name = if is_rewritten {
        plugin::REWRITTEN
    } else {
        draft.name
    };
    let page = |status, line| Expected {
        status,
        closes: false,
        content: Content::Page,
        line,
    };
    match name {
        files::DIRECTORY => {
            let query = if draft.has_query { "?q=1" } else { "" };
            let number = draft.number;
            page(301, Some(format!("Location: /{number}/{name}/{query}")))
        }
        files::FORBIDDEN => page(403, None),
        files::MISSING => page(404, None),
        name => {
            let number = files::number(name);
            let bytes = FILES[number as usize].bytes;
            match &draft.selection {
                draft::Selection::Whole => success(200, files::part(number, 0, bytes)),
                draft::Selection::NotModified => empty(304),
                draft::Selection::Replaced => page(412, None),
                draft::Selection::Beyond => {
                    page(416, Some(format!("Content-Range: bytes */{bytes}")))
                }
                &draft::Selection::Part(first, last) => Expected {
                    line: Some(format!("Content-Range: bytes {first}-{last}/{bytes}")),
                    ..success(206, files::part(number, first, last - first + 1))
                },
                draft::Selection::Parts(parts) => Expected {
                    content: Content::Parts(name, parts.clone()),
                    ..empty(206)
                },
            }
        }
    }
}

fn success(status: u16, bytes: Vec<u8>) -> Expected {
    Expected {
        content: Content::Exactly(bytes),
        ..empty(status)
    }
}

fn empty(status: u16) -> Expected {
    Expected {
        status,
        closes: false,
        content: Content::Nothing,
        line: None,
    }
}

/// An error after which the connection ends.
pub fn refusal(status: u16) -> Expected {
    Expected {
        status,
        closes: true,
        content: Content::Page,
        line: None,
    }
}
