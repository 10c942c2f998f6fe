//! The plugin: it does with each request what the request's plan says, and checks that it is called
//! as the contract says.
//!
//! A request is recognised by its X-Id field, not by its address, so that a second reset of an
//! exchange cannot pass for the first one of another.

use super::plan::{Act, Plan};
use super::stage::{Event, Shared, Stage};
use super::streaming;
use swiftd::conn::{Caller, Exchange, Flow, Hooks, Point, Why};
use swiftd::http::Body;

/// What a response consists of that the plugin makes early.
pub const EARLY: &[u8] = b"made before the body was read";

/// The name that rewritten paths get.
pub const REWRITTEN: &str = "small.txt";

/// The plugin, or none.
pub struct Plugin {
    stage: Shared,
    is_loaded: bool,
}

impl Plugin {
    pub fn new(stage: Shared, is_loaded: bool) -> Self {
        Self { stage, is_loaded }
    }
}

/// The number in the X-Id field; none if the head never came.
fn number(exchange: &Exchange) -> Option<usize> {
    let head = str::from_utf8(&exchange.request.head).ok()?;
    let (_, rest) = head.split_once("X-Id: ")?;
    rest.split_once('\r')?.0.parse().ok()
}

impl Hooks for Plugin {
    fn is_empty(&self) -> bool {
        !self.is_loaded
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        assert!(self.is_loaded, "no plugin is loaded");
        let stage = &mut *self.stage.borrow_mut();
        let number = number(exchange).expect("a request with a head");
        assert_eq!(exchange.point, point);
        let plan = &mut stage.plans[number];
        plan.record.is_seen = true;
        let is_first = plan.record.last_point.is_none();
        let last_point = plan.record.last_point.replace(point);
        if point == Point::SubrequestEnd {
            assert!(last_point != Some(point), "subrequest_end twice");
            return Flow::GoOn;
        }
        assert_eq!(plan.record.resets, 0, "called after its reset");
        assert!(!is_first || point == Point::UrlRaw, "began at {point:?}");
        assert!(
            last_point != Some(Point::SubrequestEnd),
            "called after its end"
        );
        stage.parties[plan.client].current = Some(number);
        let is_streaming = stage.plans[number].record.is_streaming;
        if !is_streaming && must_wait(stage, number, point) {
            return Flow::Wait;
        }
        act(stage, number, point, exchange)
    }

    fn handle_reset(&mut self, exchange: &mut Exchange, why: Why, _caller: Caller<'_>) {
        let stage = &mut *self.stage.borrow_mut();
        let number = number(exchange).expect("a request with a head");
        let record = &mut stage.plans[number].record;
        record.resets += 1;
        assert_eq!(
            record.resets, 1,
            "a second reset of request {number}: {why:?}"
        );
        let is_ended = record.last_point == Some(Point::SubrequestEnd);
        // A response may still follow a hook's deadline.
        assert!(is_ended || why == Why::Deadline, "reset because of {why:?}");
        let client = stage.plans[number].client;
        stage.note("exchange reset", client, why as u64);
    }
}

/// Whether the plugin waits here; the first time, it is decided when it will be woken.
fn must_wait(stage: &mut Stage, number: usize, point: Point) -> bool {
    let Plan {
        client,
        suspension,
        record,
        ..
    } = &mut stage.plans[number];
    let client = *client;
    let Some(suspension) = suspension.filter(|it| it.point == point && !record.is_woken) else {
        return false;
    };
    let party = &mut stage.parties[client];
    party.is_hook_waiting = true;
    let id = party.id.expect("a connection that is served");
    if record.is_suspended {
        stage.note("spurious resumption", client, 0);
        return true;
    }
    record.is_suspended = true;
    match suspension.wake_after {
        Some(delay) => {
            stage.note("hook suspended", client, delay);
            stage.after(delay, Event::Wake(id, number));
        }
        None => stage.note("hook suspended for ever", client, 0),
    }
    true
}

fn act(stage: &mut Stage, number: usize, point: Point, exchange: &mut Exchange) -> Flow {
    if let Act::Stream(bytes) = stage.plans[number].act
        && point == Point::HandleSubrequest
    {
        return streaming::write(stage, number, bytes, exchange);
    }
    let plan = &mut stage.plans[number];
    let client = plan.client;
    let flow = match plan.act {
        Act::Fail(at) if at == point => Flow::Error,
        Act::Complete(at) if at == point => {
            exchange.response.body = Body::Bytes(EARLY.to_vec());
            Flow::Finished
        }
        Act::Loop(at) if at == point => Flow::Comeback,
        Act::Rewrite if point == Point::UrlClean && !plan.record.is_rewritten => {
            rewrite(plan, number, exchange)
        }
        Act::Abandon if point == Point::HandleSubrequest => rewrite(plan, number, exchange),
        Act::Echo if point == Point::HandleSubrequest => {
            let body = match exchange.body.memory() {
                Some(bytes) => bytes.to_vec(),
                None => stage.parties[client].spool.clone(),
            };
            assert_eq!(body.len() as u64, exchange.body.kept_bytes());
            exchange.response.body = Body::Bytes(body);
            Flow::Finished
        }
        act if point == Point::SubrequestStart && act.claims() && !plan.record.is_rewritten => {
            Flow::Finished
        }
        _ => return Flow::GoOn,
    };
    let what = match flow {
        Flow::Error => "hook failed",
        Flow::Comeback => "hook started over",
        _ if point == Point::SubrequestStart => "hook claimed",
        _ => "hook answered",
    };
    stage.note(what, client, point as u64);
    flow
}

fn rewrite(plan: &mut Plan, number: usize, exchange: &mut Exchange) -> Flow {
    plan.record.is_rewritten = true;
    exchange.path = format!("/{number}/{REWRITTEN}").into_bytes();
    Flow::Comeback
}
