//! What a plugin is told and may do during one call: the host table over an exchange and the
//! runtime.
//!
//! INVARIANT: nothing here calls into a plugin; what must be called later is queued.

use super::id::{self, Kind};
use super::instance::Instance;
use super::jobs::Task;
use super::request::{Kept, Record};
use super::resource::{Inner, InnerReply, Resource, What};
use super::runtime::Runtime;
use super::{InnerRequest, body};
use crate::conn::{Caller, Exchange, Point};
use crate::http::{Body, Status, Version};
use crate::sys::abi::{
    AGAIN, Datum, Done, Fire, GO_ON, GONE, Host, INVALID, Id, Lent, Rc as Code, WatchFire, Work,
    mode, what,
};
use crate::sys::child::{Child, Pipes, Spawn};
use crate::sys::crash::Hook;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One call into an instance.
pub(super) struct Call<'a> {
    pub(super) runtime: &'a mut Runtime,
    pub(super) instance: &'a Rc<Instance>,
    pub(super) request: Option<Subject<'a>>,
}

/// The request that a call is for.
pub(super) struct Subject<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) caller: Caller<'a>,
    pub(super) hook: Hook,
}

/// How deep inner requests may be, and how many one request may make.
const DEPTH_MAX: u8 = 3;
const INNER_MAX: u8 = 16;

/// How many processes may run at a time, for all plugins: each takes memory that a small machine
/// does not have, and what is over this is a plugin that does not limit itself.
const CHILDREN_MAX: usize = 256;

/// The longest name of a counter, bytes.
const COUNTER_BYTES_MAX: usize = 64;

/// Fields that the server derives from the body and the connection.
const OWN_FIELDS: [&[u8]; 5] = [
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"keep-alive",
    b"upgrade",
];

impl<'a> Call<'a> {
    /// A call that is for no request.
    pub(super) fn of_instance(runtime: &'a mut Runtime, instance: &'a Rc<Instance>) -> Self {
        Self {
            runtime,
            instance,
            request: None,
        }
    }

    fn is_own(&self, seat: usize) -> bool {
        seat == self.instance.guest.address()
    }

    /// What is kept for a request or a connection.
    fn kept_mut(&mut self, of: Id) -> Option<&mut Vec<Kept>> {
        if !Runtime::is_connection(of) {
            let record = self.runtime.requests.find_mut(of)?;
            return Some(&mut record.data);
        }
        // Only the connection of the current request is certain to be alive.
        (of == self.connection()).then(|| self.runtime.kept.entry(of).or_default())
    }

    fn exchange(&mut self) -> Option<&mut Exchange> {
        self.request.as_mut().map(|request| &mut *request.exchange)
    }

    fn record(&mut self) -> Option<&mut Record> {
        let ticket = self.request.as_ref()?.exchange.ticket;
        self.runtime.requests.get_mut(ticket)
    }

    fn hook(&self) -> Option<Hook> {
        self.request.as_ref().map(|request| request.hook)
    }

    /// Whether the response may still be made or changed.
    fn may_respond(&self) -> bool {
        matches!(
            self.hook(),
            Some(
                Hook::UrlRaw
                    | Hook::UrlClean
                    | Hook::Docroot
                    | Hook::Physical
                    | Hook::SubrequestStart
                    | Hook::HandleSubrequest
            )
        ) && self
            .request
            .as_ref()
            .is_some_and(|request| !request.exchange.stream.is_started())
    }

    /// Whether `request` names one that a resource may be bound to: 0 is the instance itself.
    fn may_bind(&mut self, request: Id) -> bool {
        request == 0 || self.runtime.requests.find_mut(request).is_some()
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
            record.resources.push(made);
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

    fn complain(&mut self, text: &str) {
        let name = self.instance.name.clone();
        let id = self.record().map_or(0, |record| record.id);
        self.runtime.lines.add(&name, 1, text.as_bytes(), id);
    }

    /// An address as `what` 7 and 8 tell it.
    fn address(&mut self, is_peer: bool) -> Option<&[u8]> {
        let origin = self.request.as_ref()?.caller.origin;
        let address = if is_peer {
            origin.peer()
        } else {
            origin.local()
        };
        let text = address.map_or("unix:".to_owned(), |address| address.to_string());
        Some(self.record()?.lend(text.into_bytes()))
    }

    fn docroot(&mut self) -> Option<&[u8]> {
        let request = self.request.as_ref()?;
        match &request.exchange.docroot {
            Some(_) => self.request.as_ref()?.exchange.docroot.as_deref(),
            None => Some(&self.runtime.root),
        }
    }

    /// Root and path joined, or what a hook has made of it.
    fn physical(&mut self) -> Option<&[u8]> {
        if self.request.as_ref()?.exchange.physical.is_some() {
            return self.request.as_ref()?.exchange.physical.as_deref();
        }
        let mut joined = self.docroot()?.to_vec();
        while joined.last() == Some(&b'/') {
            joined.pop();
        }
        joined.extend_from_slice(&self.request.as_ref()?.exchange.path);
        Some(self.record()?.lend(joined))
    }

    fn set_path_like(&mut self, what: u32, value: &[u8]) -> Code {
        let hook = self.hook();
        let Some(request) = &mut self.request else {
            return INVALID;
        };
        let exchange = &mut *request.exchange;
        let is_path = value.first() == Some(&b'/') && !value.contains(&0);
        let replaced = match what {
            what::TARGET if hook == Some(Hook::UrlRaw) => exchange.set_target(value).ok(),
            what::QUERY => exchange.request.set_query(value).ok(),
            what::PATH if is_path && exchange.point < Point::HandleSubrequest => {
                Some(exchange.set_path(value.to_vec()))
            }
            what::PATH if is_path && hook == Some(Hook::HandleSubrequest) => {
                Some(exchange.set_path(value.to_vec()))
            }
            what::DOCROOT if is_path && exchange.point <= Point::Docroot => {
                Some(exchange.docroot.replace(value.to_vec()).unwrap_or_default())
            }
            what::PHYSICAL if is_path && hook == Some(Hook::Physical) => Some(
                exchange
                    .physical
                    .replace(value.to_vec())
                    .unwrap_or_default(),
            ),
            _ => None,
        };
        let (Some(replaced), Some(record)) = (replaced, self.record()) else {
            return INVALID;
        };
        record.replaced.push(replaced);
        GO_ON
    }
}

impl Host for Call<'_> {
    fn get(&mut self, what: u32) -> Option<&[u8]> {
        match what {
            what::PEER => return self.address(true),
            what::LOCAL => return self.address(false),
            what::DOCROOT => return self.docroot(),
            what::PHYSICAL => return self.physical(),
            what::USER => {
                return self
                    .record()
                    .map(|record| &record.user[..])
                    .filter(|user| !user.is_empty());
            }
            _ => {}
        }
        let exchange = self.exchange()?;
        let request = &exchange.request;
        match what {
            what::PATH => Some(&exchange.path),
            what::TARGET => Some(request.target.slice(&request.head)),
            what::QUERY => request.query_bytes(),
            what::METHOD => Some(request.method_bytes()),
            what::PROTOCOL => Some(match request.version {
                Version::Http10 => b"HTTP/1.0",
                Version::Http11 => b"HTTP/1.1",
            }),
            what::HOST => request.authority.map(|span| span.slice(&request.head)),
            what::SCHEME => Some(b"http"),
            _ => None,
        }
    }

    fn set(&mut self, what: u32, value: &[u8]) -> Code {
        if what != what::USER {
            return self.set_path_like(what, value);
        }
        let is_text = !value.iter().any(u8::is_ascii_control);
        match self.record() {
            Some(record) if is_text => {
                let replaced = std::mem::replace(&mut record.user, value.to_vec());
                record.replaced.push(replaced);
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn header(&mut self, name: &[u8], nth: u32) -> Option<&[u8]> {
        let request = &self.exchange()?.request;
        request.fields.by_name(name, nth as usize, &request.head)
    }

    fn header_at(&mut self, index: u32) -> Option<(&[u8], &[u8])> {
        let request = &self.exchange()?.request;
        request.fields.at(index as usize, &request.head)
    }

    fn body_bytes(&mut self) -> Option<u64> {
        let exchange = self.exchange()?;
        body::length(exchange)
    }

    fn read_body(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Code> {
        let exchange = self.exchange().ok_or(INVALID)?;
        body::read(exchange, offset, buffer)
    }

    fn body_file(&mut self) -> Option<RawFd> {
        let exchange = self.exchange()?;
        exchange.body.file().map(|file| file.as_raw_fd())
    }

    fn request(&mut self) -> Id {
        let Some(record) = self.record() else {
            return 0;
        };
        let id = record.id;
        let is_new = record.ended.is_none() && !std::mem::replace(&mut record.is_known, true);
        if is_new {
            self.runtime.outside.publish(id);
        }
        id
    }

    fn connection(&mut self) -> Id {
        self.request
            .as_ref()
            .map_or(0, |request| id::of_connection(request.caller.id))
    }

    fn set_status(&mut self, status: u32) -> Code {
        let status = u16::try_from(status)
            .ok()
            .and_then(Status::new)
            .filter(|status| status.code() >= 200);
        match (self.may_respond(), status, self.exchange()) {
            (true, Some(status), Some(exchange)) => {
                exchange.response.set_status(status);
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn set_header(&mut self, how: u32, name: &[u8], value: &[u8]) -> Code {
        if !self.may_respond() || !body::is_field(name, value) || how > mode::REMOVE {
            return INVALID;
        }
        if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return INVALID;
        }
        let is_owner = self.hook() == Some(Hook::HandleSubrequest);
        let Some(exchange) = self.exchange() else {
            return INVALID;
        };
        let (amendments, response) = (&mut exchange.amendments, &mut exchange.response);
        match (is_owner, how) {
            (false, mode::SET) => amendments.set(name, value),
            (false, mode::ADD) => amendments.add(name, value),
            (false, _) => amendments.remove(name),
            (true, mode::SET) => response.set_field(name, value),
            (true, mode::ADD) => response.add_field(name, value),
            (true, _) => response.remove_field(name),
        }
        GO_ON
    }

    fn set_body(&mut self, bytes: &[u8]) -> Code {
        match (self.may_respond(), self.exchange()) {
            (true, Some(exchange)) => {
                exchange.response.body = Body::Bytes(bytes.to_vec());
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn set_own_body(&mut self, bytes: Lent) -> Code {
        let shared = body::Borrowed::new(bytes, self.instance, &self.runtime.releases);
        match (self.may_respond(), self.exchange()) {
            (true, Some(exchange)) => {
                exchange.response.body = Body::Shared(Rc::new(shared));
                GO_ON
            }
            // What was lent is let go by itself.
            _ => INVALID,
        }
    }

    fn discard(&mut self, bytes: Lent) {
        // Letting it go is queued.
        drop(body::Borrowed::new(
            bytes,
            self.instance,
            &self.runtime.releases,
        ));
    }

    fn set_file(&mut self, file: OwnedFd, offset: u64, bytes: u64) -> Result<(), (OwnedFd, Code)> {
        let may_respond = self.may_respond();
        let Some(exchange) = self.exchange().filter(|_| may_respond) else {
            return Err((file, INVALID));
        };
        let body = body::of_file(file, offset, bytes).map_err(|file| (file, INVALID))?;
        exchange.response.body = body;
        Ok(())
    }

    fn start(&mut self) -> Code {
        if self.hook() != Some(Hook::HandleSubrequest) || !self.may_respond() {
            return INVALID;
        }
        self.exchange().map_or(INVALID, |exchange| {
            exchange.stream.start();
            GO_ON
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Code> {
        if self.hook() != Some(Hook::HandleSubrequest) {
            return Err(INVALID);
        }
        let exchange = self.exchange().ok_or(INVALID)?;
        if !exchange.stream.is_started() || exchange.stream.is_ended() {
            return Err(INVALID);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        exchange.stream.write(bytes).ok_or(AGAIN)
    }

    fn end(&mut self) -> Code {
        match (self.hook(), self.exchange()) {
            (Some(Hook::HandleSubrequest), Some(exchange)) if exchange.stream.is_started() => {
                exchange.stream.end();
                GO_ON
            }
            _ => INVALID,
        }
    }

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
                .map(|record| &record.data)
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
        let value = self.instance.values.get(str::from_utf8(key).ok()?)?;
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
        if !self.is_own(seat) || !self.may_bind(req) || (req == 0 && fire.is_none()) {
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
        let is_meant = (1..=3).contains(&rw) && fd >= 0 && (req != 0 || fire.is_some());
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
        self.runtime.drop_resource(wanted);
        self.runtime.unbind(request, wanted);
        GO_ON
    }

    fn wake(&mut self, seat: usize, req: Id) -> Code {
        if !self.is_own(seat) {
            return INVALID;
        }
        if self.runtime.wake(req, crate::sys::abi::cause::WAKE, req) {
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
            record.has_outside_waker = true;
        }
        GO_ON
    }

    fn woken_by(&mut self) -> (u32, Id) {
        let told = self.record().and_then(|record| record.told.pop_front());
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
        if flags != 0 || !is_target || request.hook == Hook::SubrequestEnd {
            return 0;
        }
        let host = self.get(what::HOST).map(<[u8]>::to_vec);
        let Some(record) = self.record() else {
            return 0;
        };
        if record.depth >= DEPTH_MAX || record.inner_count >= INNER_MAX {
            return 0;
        }
        record.inner_count += 1;
        let (parent, depth) = (record.id, record.depth + 1);
        let generation = Rc::clone(&record.generation);
        let made = self.bind(Kind::Subrequest, parent, What::Inner(Inner::default()));
        if made != 0
            && let Some(request) = &self.request
        {
            let host = host.as_deref();
            let origin = request.caller.origin;
            let inner = InnerRequest::new(made, depth, generation, target, host, origin);
            self.runtime.inner.push_back(inner);
        }
        made
    }

    fn spawn(&mut self, seat: usize, req: Id, process: Spawn) -> Option<(Id, Pipes)> {
        if !self.is_own(seat) || !self.may_bind(req) {
            return None;
        }
        let program = process.argv.first().cloned().unwrap_or_default();
        if self.runtime.child_count() >= CHILDREN_MAX {
            let program = program.display();
            self.complain(&format!(
                "cannot start {program}: {CHILDREN_MAX} processes run already"
            ));
            return None;
        }
        let (child, pipes) = match Child::start(process) {
            Ok(started) => started,
            Err(error) => {
                self.complain(&format!("cannot start {}: {error}", program.display()));
                return None;
            }
        };
        let what = What::Child {
            child,
            status: None,
        };
        let made = self.bind(Kind::Child, req, what);
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
        match self.own_resource(seat, wanted).map(|found| &mut found.what) {
            Some(What::Child { child, status }) => {
                if status.is_none() {
                    *status = child.status();
                }
                status.ok_or(AGAIN)
            }
            _ => Err(GONE),
        }
    }

    fn kill_child(&mut self, seat: usize, wanted: Id, signal: i32) -> Code {
        match self.own_resource(seat, wanted).map(|found| &found.what) {
            Some(What::Child {
                child,
                status: None,
            }) => match child.kill(signal) {
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

    fn response(&mut self) -> (u32, u64) {
        self.exchange().map_or((0, 0), |exchange| {
            let (response, stream) = (&exchange.response, &exchange.stream);
            let bytes = stream.written_bytes() + response.body.bytes();
            // The server's own answers have another status, or content.
            let is_there =
                response.is_complete() || stream.is_started() || response.status != Status::OK;
            let status = if is_there { response.status.code() } else { 0 };
            (status.into(), bytes)
        })
    }

    fn figures(&mut self, seat: usize) -> &[u8] {
        if !self.is_own(seat) {
            return &[];
        }
        self.runtime.figures.is_wanted = true;
        let text = self.runtime.describe();
        match self.record() {
            Some(record) => record.lend(text),
            None => &[],
        }
    }
}
