//! The hooks of a request, called at their moments; what a hook answered, checked.

use super::generation::{Entry, Generation};
use super::host::{Call, Subject};
use super::id::{self, Kind};
use super::instance::{Instance, Tally};
use super::resource::Resource;
use super::runtime::Runtime;
use crate::conn::{COMEBACKS_MAX, Caller, Exchange, Flow, Point, Why};
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
            self.lines.say("too many requests for plugins".into());
            return Flow::Error;
        };
        let generation = Rc::clone(&record.generation);
        let hook = hook_of(point);
        match point {
            Point::HandleSubrequest => self.call_owner(&generation, exchange, caller),
            Point::SubrequestEnd => {
                for &entry in generation.chain(hook) {
                    let code = self.invoke(&generation, entry, hook, exchange, caller);
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
        let chain = generation.chain(hook);
        let mut place = exchange.resume as usize;
        while let Some(&entry) = chain.get(place) {
            if self.resume(generation, entry.index, exchange, caller) != Flow::GoOn {
                return Flow::Error;
            }
            let code = self.invoke(generation, entry, hook, exchange, caller);
            let flow = self.judge(generation, entry.index, hook, code, exchange);
            match flow {
                Flow::GoOn => {
                    // What it began to answer and then passed on is not the next one's.
                    if exchange.response.is_complete() {
                        exchange.response.clear();
                    }
                    place += 1;
                }
                Flow::Wait => {
                    exchange.resume = place as u32;
                    return flow;
                }
                Flow::Finished if hook == Hook::SubrequestStart => {
                    if let Some(record) = self.requests.get_mut(exchange.ticket) {
                        record.owner = Some(entry.index);
                    }
                    return flow;
                }
                _ => return flow,
            }
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
            self.lines.say(format!(
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
        record.told.clear();
        record.told.extend(record.causes.drain(..));
        if take(&mut exchange.stream.has_room_event) {
            let request = record.id;
            record.told.push_back((abi::cause::ROOM, request));
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
        let instance = &generation.instances[usize::from(entry.index)];
        let before = clock::monotonic_ms();
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
        self.note_time(instance, hook, clock::monotonic_ms() - before);
        if let Some(record) = self.requests.get_mut(ticket) {
            record.forget_lent();
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
        let is_woken = !record.causes.is_empty() || record.is_queued;
        let can_wake = if code == abi::WAIT_FOR_FD {
            record.resources.iter().any(|&own| id::is(own, Kind::Watch))
        } else {
            record.has_outside_waker
                || exchange.stream.wants_room()
                || record.resources.iter().any(|&own| {
                    let found = self.resources.find(own);
                    found.is_some_and(Resource::is_pending)
                })
        };
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
        let (request, is_lost) = (record.id, !record.causes.is_empty() && !record.is_queued);
        if is_lost {
            // It came while the request was not suspended and found nobody to resume.
            let (cause, which) = record.causes[0];
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
            let before = clock::monotonic_ms();
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
            self.note_time(
                instance,
                Hook::ConnectionReset,
                clock::monotonic_ms() - before,
            );
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
        let (resources, data) = (take(&mut record.resources), take(&mut record.data));
        if take(&mut record.is_known) {
            self.outside.forget(record.id);
        }
        for resource in resources {
            self.drop_resource(resource);
        }
        let released = data
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
