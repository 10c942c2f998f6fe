//! The hooks of a request, called at their moments; what a hook answered, checked.

use super::generation::{Entry, Generation};
use super::host::{Call, Subject};
use super::id::{self, Kind};
use super::instance::{Instance, Tally};
use super::request::More;
use super::resource::Resource;
use super::runtime::Runtime;
use crate::conn::{COMEBACKS_MAX, Caller, Exchange, Flow, Point, Why};
use crate::http::Status;
use crate::sys::abi::{self, Rc as Code};
use crate::sys::clock;
use crate::sys::crash::Hook;
use std::mem::take;
use std::rc::Rc;

/// The hook of a point.
fn hook_of(point: Point) -> Hook {
    match point {
        Point::UrlRaw => Hook::UrlRaw,
        Point::UrlClean => Hook::UrlClean,
        Point::Docroot => Hook::Docroot,
        Point::Physical => Hook::Physical,
        Point::SubrequestStart => Hook::SubrequestStart,
        Point::HandleSubrequest => Hook::HandleSubrequest,
        Point::SubrequestEnd => Hook::SubrequestEnd,
    }
}

impl Runtime {
    /// Calls the chain of one point.
    pub(super) fn call(
        &mut self,
        point: Point,
        exchange: &mut Exchange,
        caller: Caller<'_>,
    ) -> Flow {
        if exchange.ticket == 0 && point != Point::SubrequestEnd {
            exchange.ticket = self.begin(caller.id);
        }
        let Some(record) = self.requests.get(exchange.ticket) else {
            self.lines.complain("too many requests for plugins".into());
            return Flow::Error;
        };
        if point == Point::UrlRaw && !self.missing.is_empty() {
            exchange.response.set_status(Status::SERVICE_UNAVAILABLE);
            return Flow::Finished;
        }
        let generation = Rc::clone(&record.generation);
        let hook = hook_of(point);
        match point {
            Point::HandleSubrequest => self.call_owner(&generation, exchange, caller),
            Point::SubrequestEnd => {
                let mut clock = clock::monotonic_ms();
                for &entry in generation.chain(hook) {
                    let code =
                        self.invoke_timed(&generation, entry, hook, exchange, caller, &mut clock);
                    // The client has its response, so an error is only told.
                    self.judge(&generation, entry.index, hook, code, exchange);
                }
                self.end_if_over(exchange, &generation);
                Flow::GoOn
            }
            _ => self.call_chain(&generation, hook, exchange, caller),
        }
    }

    fn call_chain(
        &mut self,
        generation: &Rc<Generation>,
        hook: Hook,
        exchange: &mut Exchange,
        caller: Caller<'_>,
    ) -> Flow {
        let mut place = exchange.resume as usize;
        let chain = generation.chain(hook);
        if let Some(first) = chain.get(place)
            && self.resume(generation, first.index, exchange, caller) != Flow::GoOn
        {
            return Flow::Error;
        }
        let mut clock = clock::monotonic_ms();
        while let Some(&entry) = chain.get(place) {
            let code = self.invoke_timed(generation, entry, hook, exchange, caller, &mut clock);
            if code == abi::GO_ON {
                // What it began to answer and then passed on is not the next one's.
                if exchange.response.is_complete() {
                    exchange.response.clear();
                }
                place += 1;
                continue;
            }
            let flow = self.judge(generation, entry.index, hook, code, exchange);
            if flow == Flow::Wait {
                exchange.resume = place as u32;
            } else if flow == Flow::Finished
                && hook == Hook::SubrequestStart
                && let Some(record) = self.requests.get_mut(exchange.ticket)
            {
                record.owner = Some(entry.index);
            }
            return flow;
        }
        Flow::GoOn
    }

    fn call_owner(
        &mut self,
        generation: &Rc<Generation>,
        exchange: &mut Exchange,
        caller: Caller<'_>,
    ) -> Flow {
        let hook = Hook::HandleSubrequest;
        let owner = self
            .requests
            .get(exchange.ticket)
            .and_then(|record| record.owner);
        let Some(index) = owner else {
            return Flow::Error;
        };
        let instance = &generation.instances[usize::from(index)];
        let Some(callee) = instance.guest.callee(hook) else {
            self.lines.complain(format!(
                "plugin {}: claimed a request but has no handle_subrequest",
                instance.name
            ));
            return Flow::Error;
        };
        if self.resume(generation, index, exchange, caller) != Flow::GoOn {
            return Flow::Error;
        }
        let entry = Entry { callee, index };
        let code = self.invoke(generation, entry, hook, exchange, caller);
        self.judge(generation, index, hook, code, exchange)
    }

    /// If this instance was suspended: tells it what woke it, and calls its joblist, which may
    /// fail.
    fn resume(
        &mut self,
        generation: &Rc<Generation>,
        index: u16,
        exchange: &mut Exchange,
        caller: Caller<'_>,
    ) -> Flow {
        let Some(record) = self.requests.get_mut(exchange.ticket) else {
            return Flow::GoOn;
        };
        if record.waiting.take() != Some(index) {
            return Flow::GoOn;
        }
        let request = record.id;
        let More { causes, told, .. } = record.more();
        // What was not asked for the last time may still be asked for.
        for cause in causes.drain(..) {
            if !told.contains(&cause) {
                told.push_back(cause);
            }
        }
        if take(&mut exchange.stream.has_room_event) {
            told.push_back((abi::cause::ROOM, request));
        }
        let instance = &generation.instances[usize::from(index)];
        let Some(callee) = instance.guest.callee(Hook::Joblist) else {
            return Flow::GoOn;
        };
        let entry = Entry { callee, index };
        let code = self.invoke(generation, entry, Hook::Joblist, exchange, caller);
        self.judge(generation, index, Hook::Joblist, code, exchange)
    }

    fn invoke(
        &mut self,
        generation: &Rc<Generation>,
        entry: Entry,
        hook: Hook,
        exchange: &mut Exchange,
        caller: Caller<'_>,
    ) -> Code {
        let mut clock = clock::monotonic_ms();
        self.invoke_timed(generation, entry, hook, exchange, caller, &mut clock)
    }

    /// Calls a hook. `clock` is the time before and becomes the time after: one reading serves two
    /// calls.
    fn invoke_timed(
        &mut self,
        generation: &Rc<Generation>,
        entry: Entry,
        hook: Hook,
        exchange: &mut Exchange,
        caller: Caller<'_>,
        clock: &mut u64,
    ) -> Code {
        let instance = &generation.instances[usize::from(entry.index)];
        let watch = self.bench.is_some().then(|| self.stopwatch());
        let ticket = exchange.ticket;
        let code = entry.callee.call(&mut Call {
            runtime: self,
            instance,
            request: Some(Subject {
                exchange,
                caller,
                hook,
            }),
        });
        let before = std::mem::replace(clock, clock::monotonic_ms());
        self.note_time(instance, hook, *clock - before);
        self.loans.end();
        if let Some(watch) = watch {
            self.trace(watch, instance, hook, ticket, Some(code));
        }
        code
    }

    /// What a result means at this hook; one that is not allowed there is an error.
    fn judge(
        &mut self,
        generation: &Rc<Generation>,
        index: u16,
        hook: Hook,
        code: Code,
        exchange: &mut Exchange,
    ) -> Flow {
        let instance = &generation.instances[usize::from(index)];
        let trouble = match code {
            abi::GO_ON if hook != Hook::HandleSubrequest => return Flow::GoOn,
            abi::FINISHED if is_chain(hook) => match finished(hook, exchange) {
                None => return Flow::Finished,
                Some(trouble) => trouble.to_owned(),
            },
            abi::COMEBACK if is_chain(hook) && hook != Hook::Docroot => {
                if hook == Hook::HandleSubrequest && exchange.stream.is_started() {
                    "COMEBACK after the response has begun".into()
                } else if exchange.comebacks < COMEBACKS_MAX {
                    return Flow::Comeback;
                } else {
                    format!("rewrite loop: COMEBACK more than {COMEBACKS_MAX} times")
                }
            }
            abi::WAIT_FOR_EVENT | abi::WAIT_FOR_FD if is_chain(hook) => {
                match self.suspend(exchange, index, code) {
                    Ok(()) => return Flow::Wait,
                    Err(trouble) => trouble.to_owned(),
                }
            }
            abi::ERROR => "failed".to_owned(),
            code => format!("returned {code}, which is not allowed here"),
        };
        Tally::add(&instance.tally.errors, 1);
        let request = self.requests.get(exchange.ticket).map_or(0, |r| r.id);
        let text = format!("{}: {trouble}", hook.name());
        self.lines
            .add(&instance.name, abi::level::ERROR, text.as_bytes(), request);
        Flow::Error
    }

    /// Suspends a request, if anything could ever wake it.
    fn suspend(&mut self, exchange: &Exchange, index: u16, code: Code) -> Result<(), &'static str> {
        let Some(record) = self.requests.get_mut(exchange.ticket) else {
            return Err("the request has no record");
        };
        let is_queued = record.is_queued;
        let More {
            causes,
            resources,
            has_outside_waker,
            ..
        } = record.more();
        let first_cause = causes.first().copied();
        let can_wake = if code == abi::WAIT_FOR_FD {
            resources.iter().any(|&own| id::is(own, Kind::Watch))
        } else {
            *has_outside_waker
                || exchange.stream.wants_room()
                || resources.iter().any(|&own| {
                    let found = self.resources.find(own);
                    found.is_some_and(Resource::is_pending)
                })
        };
        let is_woken = first_cause.is_some() || is_queued;
        if !can_wake && !is_woken {
            return Err(if code == abi::WAIT_FOR_FD {
                "WAIT_FOR_FD without a watch of this request: it would wait for ever"
            } else {
                "WAIT_FOR_EVENT without a timer, job, child, subrequest, full queue or deadline of \
                 this request: it would wait for ever"
            });
        }
        record.waiting = Some(index);
        record.touched |= 1 << index;
        let request = record.id;
        if let Some((cause, which)) = first_cause.filter(|_| !is_queued) {
            // It came while the request was not suspended and found nobody to resume.
            self.wake(request, cause, which);
        }
        Ok(())
    }

    /// A request has ended: its plugins are told, what they keep is let go, what it waits for ends.
    pub(super) fn reset(&mut self, exchange: &mut Exchange, why: Why, caller: Caller<'_>) {
        let Some(record) = self.requests.get(exchange.ticket) else {
            return;
        };
        let (generation, touched) = (Rc::clone(&record.generation), record.touched);
        for index in
            (0..generation.instances.len() as u16).filter(|index| touched >> index & 1 == 1)
        {
            let instance = &generation.instances[usize::from(index)];
            let watch = self.stopwatch();
            let ticket = exchange.ticket;
            instance.guest.reset(
                &mut Call {
                    runtime: self,
                    instance,
                    request: Some(Subject {
                        exchange,
                        caller,
                        hook: Hook::ConnectionReset,
                    }),
                },
                why as u32,
            );
            self.note_time(instance, Hook::ConnectionReset, watch.ms());
            self.trace(watch, instance, Hook::ConnectionReset, ticket, None);
        }
        self.let_go(exchange.ticket);
        if let Some(record) = self.requests.get_mut(exchange.ticket) {
            record.ended = Some(why);
        }
        // Behind a deadline the 504 and its subrequest_end are still to come.
        if exchange.point == Point::SubrequestEnd {
            self.end_if_over(exchange, &generation);
        }
    }

    /// Forgets a request whose plugins have been told of its end.
    fn end_if_over(&mut self, exchange: &mut Exchange, generation: &Rc<Generation>) {
        let record = self.requests.get(exchange.ticket);
        let Some(why) = record.and_then(|record| record.ended) else {
            return;
        };
        if let Some(record) = self.requests.end(take(&mut exchange.ticket)) {
            self.figures.note(&record, exchange, why);
            // The next request of the connection takes the current generation, so what an old one
            // keeps for it goes now. If the connection ends with this request, `close` follows.
            let lives_on = matches!(why, Why::Done | Why::Drain);
            if lives_on && !self.kept.is_empty() && !Rc::ptr_eq(generation, &self.current) {
                self.leave_connection(id::of_connection(record.connection));
            }
        }
    }

    /// Ends what a request waits for, and lets go what is kept for it.
    fn let_go(&mut self, ticket: u32) {
        let Some(record) = self.requests.get_mut(ticket) else {
            return;
        };
        let more = record.take_more();
        if take(&mut record.is_known) {
            self.outside.forget(record.id);
        }
        let Some(more) = more else { return };
        for resource in more.resources {
            self.drop_resource(resource);
        }
        let released = more
            .data
            .into_iter()
            .map(|kept| (kept.instance, kept.datum.into_release()));
        self.releases.borrow_mut().extend(released);
    }

    /// A connection has ended.
    pub(super) fn close(&mut self, connection: u64, why: Why) {
        let generation = Rc::clone(&self.current);
        let keepers = self.keepers(connection);
        let gone = keepers.iter().filter(|own| !generation.has(own));
        // First the calls: what is kept can be asked for until they have returned.
        for instance in generation.instances.iter().chain(gone) {
            self.close_for(instance, connection, why);
        }
        for kept in self.take_kept(connection, |_| true) {
            let release = (kept.instance, kept.datum.into_release());
            self.releases.borrow_mut().push_back(release);
        }
    }

    /// The instances that keep something for a connection.
    pub(super) fn keepers(&self, connection: u64) -> Vec<Rc<Instance>> {
        let kept = self.kept.get(&connection).into_iter().flatten();
        kept.map(|kept| Rc::clone(&kept.instance)).collect()
    }

    pub(super) fn close_for(&mut self, instance: &Rc<Instance>, connection: u64, why: Why) {
        if instance.guest.plugin().connection_close.is_some() {
            self.timed(instance, Hook::ConnectionClose, |call| {
                instance.guest.close(call, connection, why as u32);
            });
        }
    }
}

/// Hooks that may claim, answer and wait.
fn is_chain(hook: Hook) -> bool {
    matches!(
        hook,
        Hook::UrlRaw
            | Hook::UrlClean
            | Hook::Docroot
            | Hook::Physical
            | Hook::SubrequestStart
            | Hook::HandleSubrequest
    )
}

/// What is wrong with FINISHED here.
fn finished(hook: Hook, exchange: &Exchange) -> Option<&'static str> {
    let is_complete = exchange.response.is_complete() || exchange.stream.is_started();
    let claims = hook == Hook::SubrequestStart;
    (!is_complete && !claims).then_some("FINISHED without a status, a body or a stream")
}
