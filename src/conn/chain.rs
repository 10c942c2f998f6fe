//! The hooks that see the head alone, from url_raw to subrequest_start, and what they decide.

use super::exchange::Exchange;
use super::hooks::{Flow, Hooks, Point};
use crate::http::{Error, Status, target};

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
const COMEBACKS_MAX: u8 = 10;

/// Runs the chain from `exchange.point` on.
pub(super) fn run(exchange: &mut Exchange, hooks: &mut dyn Hooks) -> Verdict {
    if hooks.is_empty() {
        return match clean_path(exchange) {
            Ok(()) => Verdict::Unclaimed,
            Err(error) => Verdict::Refused(error.status()),
        };
    }
    loop {
        let point = exchange.point;
        match hooks.call(point, exchange) {
            Flow::GoOn => match following(point) {
                Some(next) => enter(exchange, next),
                None => return Verdict::Unclaimed,
            },
            Flow::Finished if point == Point::SubrequestStart => {
                exchange.is_claimed = true;
                enter(exchange, Point::HandleSubrequest);
                return Verdict::Claimed;
            }
            Flow::Finished => return Verdict::Complete,
            Flow::Wait => return Verdict::Wait,
            Flow::Comeback if come_back(exchange) => continue,
            Flow::Comeback | Flow::Error => {
                return Verdict::Refused(Status::INTERNAL_SERVER_ERROR);
            }
        }
        if point == Point::UrlRaw
            && let Err(error) = clean_path(exchange)
        {
            return Verdict::Refused(error.status());
        }
    }
}

/// Starts the chain over: at the raw target if that is where it was, else at the clean path.
/// False if it has done so too often.
pub(super) fn come_back(exchange: &mut Exchange) -> bool {
    exchange.comebacks += 1;
    exchange.is_claimed = false;
    let start = exchange.point.min(Point::UrlClean);
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

/// Target → path: decoded exactly once, dot segments resolved.
fn clean_path(exchange: &mut Exchange) -> Result<(), Error> {
    let raw = exchange.request.raw_path.slice(&exchange.request.head);
    exchange.path.clear();
    match raw {
        b"" => exchange.path.push(b'/'),
        b"*" => exchange.path.push(b'*'),
        raw => target::decode_path(raw, &mut exchange.path)?,
    }
    Ok(())
}
