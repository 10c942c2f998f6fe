//! The hooks that see the head alone, from url_raw to subrequest_start, and what they decide.
//!
//! Between url_clean and docroot the operator's redirects are looked at, whether there are hooks or
//! not: the path is what will be served, and nobody has claimed it.

use super::exchange::{Change, Exchange};
use super::hooks::{Caller, Flow, Hooks, Point};
use crate::http::{Body, Error, Method, Status, target};

/// What is to become of an exchange after its head has been seen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No plugin wants it.
    Unclaimed,
    /// A plugin will handle it.
    Claimed,
    /// A hook has made the response.
    Complete,
    /// A hook waits.
    Wait,
    /// It cannot go on.
    Refused(Status),
}

/// How often a chain may start over before it counts as a loop.
pub const COMEBACKS_MAX: u8 = 10;

/// Runs the chain from `exchange.point` on.
pub(super) fn run(exchange: &mut Exchange, hooks: &mut dyn Hooks, caller: Caller<'_>) -> Verdict {
    if hooks.is_empty() {
        return match clean_path(exchange) {
            Ok(()) if redirect(exchange) => Verdict::Complete,
            Ok(()) => Verdict::Unclaimed,
            Err(error) => Verdict::Refused(error.status()),
        };
    }
    exchange.is_heard = true;
    loop {
        let point = exchange.point;
        match hooks.call(point, exchange, caller) {
            Flow::GoOn => {
                // Whoever lets others answer leaves no answer behind.
                exchange.response.clear();
                // What url_clean has made of the path is what counts.
                if point == Point::UrlClean && redirect(exchange) {
                    return Verdict::Complete;
                }
                match following(point) {
                    Some(next) => enter(exchange, next),
                    None => return Verdict::Unclaimed,
                }
            }
            Flow::Finished if is_answered(exchange) => return Verdict::Complete,
            Flow::Finished if point == Point::SubrequestStart => {
                exchange.is_claimed = true;
                enter(exchange, Point::HandleSubrequest);
                return Verdict::Claimed;
            }
            Flow::Wait => return Verdict::Wait,
            Flow::Comeback if come_back(exchange) => continue,
            // What a hook before subrequest_start has finished must be a response.
            Flow::Finished | Flow::Comeback | Flow::Error => {
                return Verdict::Refused(Status::INTERNAL_SERVER_ERROR);
            }
        }
        if point == Point::UrlRaw
            && std::mem::take(&mut exchange.change) != Change::Path
            && let Err(error) = clean_path(exchange)
        {
            return Verdict::Refused(error.status());
        }
    }
}

/// Whether whoever has finished leaves a response behind. An error without a body gets its page.
pub(super) fn is_answered(exchange: &mut Exchange) -> bool {
    if exchange.stream.is_started() {
        exchange.stream.end();
        return true;
    }
    let response = &mut exchange.response;
    if response.status.is_error() && matches!(response.body, Body::Empty) {
        response.set_page(response.status);
    }
    response.is_complete()
}

/// Starts the chain over: at the raw target if that was changed or is where it was, else at the
/// clean path. False if it has done so too often.
pub(super) fn come_back(exchange: &mut Exchange) -> bool {
    exchange.comebacks += 1;
    exchange.forget_decisions();
    let start = match std::mem::take(&mut exchange.change) {
        Change::Target => Point::UrlRaw,
        Change::Path => Point::UrlClean,
        Change::None => exchange.point.min(Point::UrlClean),
    };
    enter(exchange, start);
    exchange.comebacks <= COMEBACKS_MAX
}

fn enter(exchange: &mut Exchange, point: Point) {
    exchange.point = point;
    exchange.resume = 0;
}

fn following(point: Point) -> Option<Point> {
    match point {
        Point::UrlRaw => Some(Point::UrlClean),
        Point::UrlClean => Some(Point::Docroot),
        Point::Docroot => Some(Point::Physical),
        Point::Physical => Some(Point::SubrequestStart),
        Point::SubrequestStart | Point::HandleSubrequest | Point::SubrequestEnd => None,
    }
}

/// Whether the operator has decided that the path leads elsewhere; the response says where.
fn redirect(exchange: &mut Exchange) -> bool {
    let Some(host) = exchange.host.as_deref() else {
        return false;
    };
    // The target of CONNECT has no path.
    if host.redirects.is_empty() || exchange.request.method == Method::Connect {
        return false;
    }
    let Some((redirect, rest)) = host.redirect(&exchange.path) else {
        return false;
    };
    let query = exchange.request.query_bytes();
    exchange.response.set_error(redirect.status);
    exchange.response.push_with("Location", |value| {
        redirect.locate(rest, query, value);
    });
    true
}

/// Target → path: decoded exactly once, dot segments resolved.
fn clean_path(exchange: &mut Exchange) -> Result<(), Error> {
    let request = &exchange.request;
    let raw = request.raw_path.slice(&request.head);
    exchange.path.clear();
    match raw {
        b"" if request.target.slice(&request.head) == b"*" => exchange.path.push(b'*'),
        b"" => exchange.path.push(b'/'),
        raw => target::decode_path(raw, &mut exchange.path)?,
    }
    Ok(())
}
