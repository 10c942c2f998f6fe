//! What a plugin keeps beyond a call, and what it waits for.

use super::Call;
use crate::plugin::id::Kind;
use crate::plugin::jobs::Task;
use crate::plugin::request::Kept;
use crate::plugin::resource::{Inner, InnerReply, Resource, What};
use crate::plugin::runtime::Runtime;
use crate::plugin::{InnerRequest, body};
use crate::sys::abi::{
    AGAIN, Asks, Datum, Demands, Done, Fire, GO_ON, GONE, INVALID, Id, Rc as Code, WatchFire, Work,
    cause, what,
};
use crate::sys::child::{Child, Pipes, Spawn};
use crate::sys::crash::Hook;
use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How deep inner requests may be, and how many one request may make.
const DEPTH_MAX: u8 = 3;
const INNER_MAX: u8 = 16;

/// How many processes may run at a time, for all plugins: each takes memory that a small machine
/// does not have, and what is over this is a plugin that does not limit itself.
const CHILDREN_MAX: usize = 256;

/// The longest name of a counter, bytes.
const COUNTER_BYTES_MAX: usize = 64;

impl Call<'_> {
    /// What is kept for a request or a connection.
    fn kept_mut(&mut self, of: Id) -> Option<&mut Vec<Kept>> {
        if !Runtime::is_connection(of) {
            let record = self.runtime.requests.find_mut(of)?;
            return Some(&mut record.more().data);
        }
        // Only the connection of the current request is certain to be alive.
        (of == self.connection()).then(|| self.runtime.kept.entry(of).or_default())
    }

    /// Whether `request` names one that a resource may be bound to: 0 is the instance itself.
    fn may_bind(&mut self, request: Id) -> bool {
        request == 0 || self.runtime.requests.find_mut(request).is_some()
    }

    /// Whether the timers and watches of the instance itself have ended for good: one more would
    /// never start, and would keep the instance for ever.
    fn is_leaving(&self) -> bool {
        let mut leaving = self.runtime.leaving.iter();
        leaving.any(|own| Rc::ptr_eq(own, self.instance))
    }

    /// Puts a resource in and binds it; 0 if there are too many.
    fn bind(&mut self, kind: Kind, request: Id, what: What) -> Id {
        let made = self
            .runtime
            .resources
            .insert(kind, self.instance, request, what);
        if made != 0
            && let Some(record) = self.runtime.requests.find_mut(request)
        {
            record.more().resources.push(made);
        }
        made
    }

    fn own_resource(&mut self, seat: usize, wanted: Id) -> Option<&mut Resource> {
        if !self.is_own(seat) {
            return None;
        }
        let instance = self.instance;
        self.runtime
            .resources
            .find_mut(wanted)
            .filter(|found| Rc::ptr_eq(&found.instance, instance))
    }

    fn inner_reply(&mut self, wanted: Id) -> Result<&InnerReply, Code> {
        let request = self.record().ok_or(INVALID)?.id;
        match self.runtime.resources.find(wanted) {
            Some(Resource {
                what: What::Inner(inner),
                request: parent,
                ..
            }) if *parent == request => inner.reply.as_ref().ok_or(AGAIN),
            _ => Err(GONE),
        }
    }
}

impl Demands for Call<'_> {
    fn set_data(&mut self, seat: usize, of: Id, datum: Datum) -> Code {
        if !self.is_own(seat) {
            return INVALID;
        }
        let instance = Rc::clone(self.instance);
        if let Some(record) = self.runtime.requests.find_mut(of)
            && let Some(index) = record.generation.index_of(&instance)
        {
            record.touched |= 1 << index;
        }
        let Some(kept) = self.kept_mut(of) else {
            return GONE;
        };
        let old = kept
            .iter()
            .position(|kept| Rc::ptr_eq(&kept.instance, &instance))
            .map(|place| kept.swap_remove(place));
        if !datum.pointer().is_null() {
            kept.push(Kept { instance, datum });
        }
        if let Some(old) = old {
            let release = (old.instance, old.datum.into_release());
            self.runtime.releases.borrow_mut().push_back(release);
        }
        GO_ON
    }

    fn data(&mut self, seat: usize, of: Id) -> *mut c_void {
        if !self.is_own(seat) {
            return ptr::null_mut();
        }
        let instance = self.instance;
        let kept = if Runtime::is_connection(of) {
            self.runtime.kept.get(&of)
        } else {
            self.runtime
                .requests
                .find_mut(of)
                .and_then(|record| record.asked())
                .map(|asked| &asked.data)
        };
        kept.into_iter()
            .flatten()
            .find(|kept| Rc::ptr_eq(&kept.instance, instance))
            .map_or(ptr::null_mut(), |kept| kept.datum.pointer())
    }

    fn config(&mut self, seat: usize, key: &[u8]) -> Option<&[u8]> {
        if !self.is_own(seat) {
            return None;
        }
        let key = str::from_utf8(key).ok()?;
        let value = self.instance.values.get(key)?;
        self.instance.asked.borrow_mut().insert(key.to_owned());
        Some(value.as_bytes())
    }

    fn log(&mut self, seat: usize, level: u32, text: &[u8]) {
        if self.is_own(seat) {
            let id = self.record().map_or(0, |record| record.id);
            let name = &self.instance.name;
            self.runtime.lines.add(name, level, text, id);
        }
    }

    fn timer(&mut self, seat: usize, req: Id, ms: u32, repeats: bool, fire: Option<Fire>) -> Id {
        let is_meant = req != 0 || (fire.is_some() && !self.is_leaving());
        if !self.is_own(seat) || !self.may_bind(req) || !is_meant {
            return 0;
        }
        let made = self.bind(
            Kind::Timer,
            req,
            What::Timer {
                timer: None,
                ms,
                repeats,
                fire,
            },
        );
        if made != 0 && (req != 0 || self.instance.is_live.get()) {
            self.runtime.start_timer(made);
        }
        made
    }

    fn watch(&mut self, seat: usize, req: Id, fd: RawFd, rw: u32, fire: Option<WatchFire>) -> Id {
        let is_bound = req != 0 || (fire.is_some() && !self.is_leaving());
        let is_meant = (1..=3).contains(&rw) && fd >= 0 && is_bound;
        if !self.is_own(seat) || !self.may_bind(req) || !is_meant {
            return 0;
        }
        let is_live = req != 0 || self.instance.is_live.get();
        let made = self.bind(
            Kind::Watch,
            req,
            What::Watch {
                fd,
                rw,
                is_live: false,
                fire,
            },
        );
        if made == 0 || !is_live {
            return made;
        }
        match self.runtime.start_watch(made) {
            Ok(()) => made,
            Err(error) => {
                self.complain(&format!("cannot watch descriptor {fd}: {error}"));
                self.cancel(seat, made);
                0
            }
        }
    }

    fn cancel(&mut self, seat: usize, wanted: Id) -> Code {
        let Some(resource) = self.own_resource(seat, wanted) else {
            return GONE;
        };
        let request = resource.request;
        if let What::Inner(inner) = &mut resource.what
            && let Some(reply) = inner.reply.take()
        {
            // The plugin may have bytes of it in hand.
            let replaced = &mut self.runtime.loans.replaced;
            replaced.extend([reply.fields, reply.body]);
        }
        self.runtime.drop_resource(wanted);
        self.runtime.unbind(request, wanted);
        GO_ON
    }

    fn wake(&mut self, seat: usize, req: Id) -> Code {
        if !self.is_own(seat) {
            return INVALID;
        }
        if self.runtime.wake(req, cause::WAKE, req) {
            GO_ON
        } else {
            GONE
        }
    }

    fn set_deadline(&mut self, ms: u32) -> Code {
        let Some(request) = &mut self.request else {
            return INVALID;
        };
        request.exchange.wait_ms = Some(ms.max(1));
        if let Some(record) = self.record() {
            record.more().has_outside_waker = true;
        }
        GO_ON
    }

    fn woken_by(&mut self) -> (u32, Id) {
        let told = self
            .record()
            .filter(|record| record.asked().is_some())
            .and_then(|record| record.more().told.pop_front());
        told.unwrap_or((0, 0))
    }

    fn job(&mut self, seat: usize, req: Id, work: Work, done: Option<Done>) -> Id {
        if !self.is_own(seat) || !self.may_bind(req) {
            return 0;
        }
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let what = What::Job {
            is_cancelled: Arc::clone(&is_cancelled),
            done,
        };
        let made = self.bind(Kind::Job, req, what);
        if made == 0 {
            return 0;
        }
        let task = Task::Plugin {
            id: made,
            slot: self.instance.guest.slot(),
            work,
            is_cancelled,
        };
        match self.runtime.jobs.submit(task) {
            Ok(()) => made,
            Err(error) => {
                self.complain(&format!("no room for a job: {error}"));
                self.runtime.resources.remove(made);
                self.runtime.unbind(req, made);
                0
            }
        }
    }

    fn subrequest(&mut self, target: &[u8], flags: u32) -> Id {
        let Some(request) = &self.request else {
            return 0;
        };
        let is_target = target.first() == Some(&b'/')
            && !target.iter().any(|&byte| byte <= b' ' || byte == 0x7f);
        // Behind the response nobody could read the answer.
        let is_over = matches!(request.hook, Hook::SubrequestEnd | Hook::ConnectionReset);
        if flags != 0 || !is_target || is_over {
            return 0;
        }
        let host = self.get(what::HOST).map(<[u8]>::to_vec);
        let Some(record) = self.record() else {
            return 0;
        };
        if record.depth >= DEPTH_MAX || record.more().inner_count >= INNER_MAX {
            return 0;
        }
        record.more().inner_count += 1;
        let (parent, depth) = (record.id, record.depth + 1);
        let generation = Rc::clone(&record.generation);
        let made = self.bind(Kind::Subrequest, parent, What::Inner(Inner::default()));
        if made != 0
            && let Some(request) = &self.request
        {
            let host = host.as_deref();
            let origin = request.caller.origin;
            let mut inner = InnerRequest::new(made, depth, generation, target, host, origin);
            inner.peer = request.exchange.client_address(origin);
            self.runtime.inner.push_back(inner);
        }
        made
    }

    fn spawn(&mut self, seat: usize, req: Id, process: Spawn) -> Option<(Id, Pipes)> {
        if !self.is_own(seat) || !self.may_bind(req) {
            return None;
        }
        let program = process.argv.first().cloned().unwrap_or_default();
        if self.runtime.resources.child_count() + self.runtime.dying.len() >= CHILDREN_MAX {
            let program = program.display();
            self.complain(&format!(
                "cannot start {program}: {CHILDREN_MAX} processes run already"
            ));
            return None;
        }
        if !self.runtime.resources.has_room() {
            return None;
        }
        let (child, pipes) = match Child::start(process) {
            Ok(started) => started,
            Err(error) => {
                self.complain(&format!("cannot start {}: {error}", program.display()));
                return None;
            }
        };
        let made = self.bind(Kind::Child, req, What::Child(child));
        if made == 0 {
            return None;
        }
        if let Err(error) = self.runtime.register(made) {
            self.complain(&format!("cannot watch a process: {error}"));
            self.cancel(seat, made);
            return None;
        }
        Some((made, pipes))
    }

    fn child_status(&mut self, seat: usize, wanted: Id) -> Result<i32, Code> {
        let found = self.own_resource(seat, wanted).ok_or(GONE)?;
        if !matches!(found.what, What::Child(_) | What::Ended(_)) {
            return Err(GONE);
        }
        let status = found.child_end().ok_or(AGAIN)?;
        if found.request == 0 {
            // Nobody else would end it.
            self.runtime.resources.remove(wanted);
        }
        Ok(status)
    }

    fn kill_child(&mut self, seat: usize, wanted: Id, signal: i32) -> Code {
        match self.own_resource(seat, wanted).map(|found| &found.what) {
            Some(What::Child(child)) => match child.kill(signal) {
                Ok(()) => GO_ON,
                Err(_) => INVALID,
            },
            _ => GONE,
        }
    }

    fn counter(&mut self, seat: usize, name: &[u8]) -> u32 {
        let is_name = !name.is_empty()
            && name.len() <= COUNTER_BYTES_MAX
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !self.is_own(seat) || !is_name {
            return 0;
        }
        self.runtime.outside.counter(&self.instance.name, name)
    }

    fn inner_status(&mut self, wanted: Id) -> Result<u32, Code> {
        self.inner_reply(wanted).map(|reply| reply.status)
    }

    fn inner_header(&mut self, wanted: Id, name: &[u8]) -> Option<&[u8]> {
        let reply = self.inner_reply(wanted).ok()?;
        body::field(&reply.fields, name)
    }

    fn inner_body(&mut self, wanted: Id) -> Option<&[u8]> {
        self.inner_reply(wanted).ok().map(|reply| &reply.body[..])
    }

    fn figures(&mut self, seat: usize) -> &[u8] {
        if !self.is_own(seat) {
            return &[];
        }
        self.runtime.figures.is_wanted = true;
        self.instance.reads_figures.set(true);
        let text = self.runtime.describe();
        self.runtime.loans.lend(text)
    }
}
