//! One request's way through the hooks: which comes next, what each may answer, and how it ends.

use core::cell::Cell;
use core::ffi::c_void;

use super::message::{Answer, Outgoing};
use super::world::{Data, Flowing, Handle, Inner, Place, Response, State, World};
use crate::abi::{self, Id, Rc, cause, mode};
use crate::flow::Why;

/// After so many a request is in a loop.
const COMEBACKS_MAX: u32 = 10;

/// A wait without another word lasts so long.
const DEADLINE_MS: u32 = 30_000;

/// An instance of the plugin in its world.
pub(super) struct Runner {
    pub(super) world: Box<World>,
    pub(super) plugin: abi::Plugin,
    pub(super) state: *mut c_void,
}

/// A request as it arrives.
pub(super) fn begin(
    state: &State,
    world: &World,
    asked: Outgoing,
    connection: Id,
    depth: u32,
) -> Flowing {
    Flowing {
        target: asked.target.clone(),
        is_target_changed: false,
        path: Vec::new(),
        query: None,
        docroot: state.docroot.clone().into_bytes(),
        physical: None,
        user: None,
        connection,
        depth,
        place: Place::UrlRaw,
        is_claimed: false,
        is_waiting: false,
        was_waiting: false,
        since: world.now(),
        is_woken: false,
        causes: Default::default(),
        deadline_ms: DEADLINE_MS,
        is_announced: false,
        comebacks: 0,
        response: Response::default(),
        data: Data::NONE,
        trace: Vec::new(),
        asked,
    }
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::UrlRaw => "url_raw",
            Self::UrlClean => "url_clean",
            Self::Docroot => "docroot",
            Self::Physical => "physical",
            Self::SubrequestStart => "subrequest_start",
            Self::Handle => "handle_subrequest",
            Self::Joblist => "joblist",
            Self::End => "subrequest_end",
            Self::Reset => "connection_reset",
        }
    }

    fn slot(self, plugin: &abi::Plugin) -> Option<abi::OnRequest> {
        match self {
            Self::UrlRaw => plugin.url_raw,
            Self::UrlClean => plugin.url_clean,
            Self::Docroot => plugin.docroot,
            Self::Physical => plugin.physical,
            Self::SubrequestStart => plugin.subrequest_start,
            Self::Handle => plugin.handle_subrequest,
            Self::Joblist => plugin.joblist,
            Self::End => plugin.subrequest_end,
            Self::Reset => None,
        }
    }

    /// What the hook may answer beside ERROR.
    fn allows(self, rc: Rc, is_started: bool) -> bool {
        use abi::{COMEBACK, ERROR, FINISHED, GO_ON, WAIT_FOR_EVENT, WAIT_FOR_FD};
        match rc {
            ERROR => true,
            GO_ON => self != Self::Handle,
            FINISHED => self <= Self::Handle,
            WAIT_FOR_EVENT | WAIT_FOR_FD => self <= Self::Handle,
            COMEBACK => self <= Self::Handle && self != Self::Docroot && !is_started,
            _ => false,
        }
    }
}

impl Runner {
    /// Runs a request until it waits or is over.
    pub(super) fn run(&self, id: Id) {
        loop {
            let Some(place) = self.enter(id) else { return };
            let rc = self.call(id, place);
            if !self.judge(id, place, rc) {
                return;
            }
        }
    }

    /// What the server does before a hook. `None`: the request is gone.
    fn enter(&self, id: Id) -> Option<Place> {
        let mut state = self.world.lock();
        let flow = state.flows.get_mut(&id)?;
        if flow.is_waiting {
            // It re-enters exactly the hook that waited.
            flow.is_waiting = false;
            return Some(flow.place);
        }
        match flow.place {
            Place::UrlClean if flow.path.is_empty() || flow.is_target_changed => {
                let mut parts = flow.target.splitn(2, |byte| *byte == b'?');
                flow.path = clean(parts.next().unwrap_or_default());
                flow.query = parts.next().map(<[u8]>::to_vec);
                flow.is_target_changed = false;
            }
            Place::Physical => {
                flow.physical = Some([&flow.docroot[..], &flow.path[..]].concat());
            }
            _ => {}
        }
        Some(flow.place)
    }

    /// Calls one hook, if the plugin has it.
    pub(super) fn call(&self, id: Id, place: Place) -> Rc {
        let Some(hook) = place.slot(&self.plugin) else {
            return if place == Place::Handle {
                abi::ERROR
            } else {
                abi::GO_ON
            };
        };
        // SAFETY: the state is the plugin's and the request lives until the hook returns.
        self.with_request(id, place, |req| unsafe { hook(self.state, req) })
    }

    fn with_request<R>(&self, id: Id, place: Place, code: impl FnOnce(*mut abi::Req) -> R) -> R {
        let handle = Box::new(Handle {
            world: &raw const *self.world,
            id,
            is_over: Cell::new(false),
        });
        let req = (&raw const *handle).cast_mut().cast::<abi::Req>();
        {
            let mut state = self.world.lock();
            state.handles.push(handle);
            if let Some(flow) = state.flows.get_mut(&id) {
                flow.trace.push(place.name());
            }
        }
        let result = code(req);
        let mut state = self.world.lock();
        if let Some(handle) = state.handles.last() {
            handle.is_over.set(true);
        }
        state.lent.clear();
        drop(state);
        self.drop_queued();
        result
    }

    /// Drops what was let go of while the plugin ran.
    pub(super) fn drop_queued(&self) {
        loop {
            let drops = core::mem::take(&mut self.world.lock().drops);
            if drops.is_empty() {
                return;
            }
            for data in drops {
                if let (Some(drop), false) = (data.drop, data.p.is_null()) {
                    // SAFETY: it is called once for each pointer.
                    unsafe { drop(data.p) };
                }
            }
        }
    }

    /// Acts on a hook's answer. Whether to go on at once.
    fn judge(&self, id: Id, place: Place, rc: Rc) -> bool {
        let mut state = self.world.lock();
        let Some(flow) = state.flows.get_mut(&id) else {
            return false;
        };
        if !place.allows(rc, flow.response.is_started) {
            state.fault(format!(
                "{}: {} is not allowed there",
                place.name(),
                name_of(rc)
            ));
            drop(state);
            self.fail(id);
            return false;
        }
        match rc {
            abi::GO_ON if place == Place::SubrequestStart => {
                drop(state);
                self.serve_unclaimed(id);
                false
            }
            abi::GO_ON => {
                flow.place = next(place);
                true
            }
            abi::FINISHED => {
                drop(state);
                self.finish_hook(id, place)
            }
            abi::COMEBACK => {
                drop(state);
                self.come_back(id)
            }
            abi::WAIT_FOR_EVENT | abi::WAIT_FOR_FD => {
                drop(state);
                self.wait(id, place, rc)
            }
            _ => {
                drop(state);
                self.fail(id);
                false
            }
        }
    }

    fn finish_hook(&self, id: Id, place: Place) -> bool {
        let mut state = self.world.lock();
        let Some(flow) = state.flows.get_mut(&id) else {
            return false;
        };
        let response = &flow.response;
        if place == Place::SubrequestStart && response.status == 0 {
            flow.is_claimed = true;
            flow.place = Place::Handle;
            return true;
        }
        let fault = if response.status == 0 {
            Some("FINISHED, but the response has no status")
        } else if response.is_started && !response.is_ended {
            Some("FINISHED after resp_start without resp_end")
        } else {
            None
        };
        flow.is_claimed = true;
        if let Some(fault) = fault {
            state.fault(format!("{}: {fault}", place.name()));
        }
        drop(state);
        if fault.is_some() {
            self.fail(id)
        } else {
            self.end(id, Why::Done)
        }
        false
    }

    fn come_back(&self, id: Id) -> bool {
        let mut state = self.world.lock();
        let Some(flow) = state.flows.get_mut(&id) else {
            return false;
        };
        flow.comebacks += 1;
        flow.response = Response::default();
        flow.is_claimed = false;
        flow.physical = None;
        flow.place = if flow.is_target_changed {
            Place::UrlRaw
        } else {
            Place::UrlClean
        };
        if flow.comebacks > COMEBACKS_MAX {
            state
                .log
                .push((abi::level::ERROR, "rewrite loop".to_owned()));
            drop(state);
            self.fail(id);
            return false;
        }
        true
    }

    fn wait(&self, id: Id, place: Place, rc: Rc) -> bool {
        let mut state = self.world.lock();
        let Some(flow) = state.flows.get(&id) else {
            return false;
        };
        let can_wake = if rc == abi::WAIT_FOR_FD {
            flow.is_woken || state.watches.values().any(|watch| watch.req == id)
        } else {
            state.can_wake(id, flow)
        };
        if !can_wake {
            let text = format!(
                "{}: {}, but nothing can wake the request",
                place.name(),
                name_of(rc)
            );
            state.fault(text);
            drop(state);
            self.fail(id);
            return false;
        }
        let now = self.world.now();
        if let Some(flow) = state.flows.get_mut(&id) {
            (flow.is_waiting, flow.was_waiting, flow.since) = (true, true, now);
        }
        false
    }

    /// Nobody claimed it: a page of the test, or what stands for "not found".
    fn serve_unclaimed(&self, id: Id) {
        let mut state = self.world.lock();
        let path = state
            .flows
            .get(&id)
            .map(|flow| String::from_utf8_lossy(&flow.path).into_owned());
        let page = path
            .and_then(|path| state.pages.get(&path))
            .map(|page| (200, page.clone()));
        let (status, body) = page.unwrap_or_else(|| state.unclaimed.clone());
        if let Some(flow) = state.flows.get_mut(&id) {
            flow.response.status = status;
            flow.response.body = Some(body);
        }
        drop(state);
        self.end(id, Why::Done);
    }

    /// 500, or the end of the connection.
    pub(super) fn fail(&self, id: Id) {
        self.give_up(id, 500, Why::Error);
    }

    /// The response becomes an error page if it has not begun.
    pub(super) fn give_up(&self, id: Id, status: u16, why: Why) {
        let mut state = self.world.lock();
        let Some(flow) = state.flows.get_mut(&id) else {
            return;
        };
        let response = &mut flow.response;
        if !response.is_started {
            // What a hook that sees the head alone has set amends error pages too.
            response.fields.retain(|(.., is_of_head)| *is_of_head);
            response.status = status;
            response.body = None;
        }
        drop(state);
        self.end(id, why);
    }

    /// The last hooks, then everything that belongs to the request goes.
    pub(super) fn end(&self, id: Id, why: Why) {
        let rc = self.call(id, Place::End);
        let mut state = self.world.lock();
        if rc != abi::GO_ON && rc != abi::ERROR {
            state.fault(format!(
                "subrequest_end: {} is not allowed there",
                name_of(rc)
            ));
        }
        let Some(flow) = state.flows.get(&id) else {
            return;
        };
        let is_concerned = !flow.data.p.is_null() || flow.was_waiting;
        drop(state);
        if let (true, Some(hook)) = (is_concerned, self.plugin.connection_reset) {
            // SAFETY: the state is the plugin's and the request lives until the hook returns.
            self.with_request(id, Place::Reset, |req| unsafe {
                hook(self.state, req, why.code())
            });
        }
        self.world.end_all_of(id);
        let mut state = self.world.lock();
        for job in state.jobs.iter_mut().filter(|job| job.req == id) {
            job.work = None;
        }
        let inner: Vec<Id> = state
            .inner
            .iter()
            .filter(|(_, it)| it.parent == id)
            .map(|it| *it.0)
            .collect();
        drop(state);
        for inner in inner {
            if self.world.lock().flows.contains_key(&inner) {
                self.give_up(inner, 503, Why::ClientGone);
            }
            self.world.lock().inner.remove(&inner);
        }
        let mut state = self.world.lock();
        let Some(flow) = state.flows.remove(&id) else {
            return;
        };
        state.drops.push(flow.data);
        let (connection, is_kept) = (flow.connection, flow.asked.connection.is_some());
        let is_inner = flow.depth > 0;
        let answer = answer(flow, why);
        if let Some(Inner {
            parent,
            answer: place,
        }) = state.inner.get_mut(&id)
        {
            *place = Some(answer);
            let parent = *parent;
            state.wake(parent, cause::SUBREQUEST, id);
        } else if !is_inner {
            state.answers.insert(id, answer);
        }
        drop(state);
        self.drop_queued();
        if !is_kept && !is_inner {
            self.close(connection, why);
        }
    }

    /// The end of a connection.
    pub(super) fn close(&self, connection: Id, why: Why) {
        let is_there = self.world.lock().connections.contains_key(&connection);
        if let (Some(hook), true) = (self.plugin.connection_close, is_there) {
            // SAFETY: the state is the plugin's.
            unsafe { hook(self.state, connection, why.code()) };
        }
        let mut state = self.world.lock();
        if let Some(data) = state.connections.remove(&connection) {
            state.drops.push(data);
        }
        drop(state);
        self.drop_queued();
    }
}

fn next(place: Place) -> Place {
    match place {
        Place::UrlRaw => Place::UrlClean,
        Place::UrlClean => Place::Docroot,
        Place::Docroot => Place::Physical,
        _ => Place::SubrequestStart,
    }
}

/// The response as the client sees it: what the owner set, amended by the hooks before it.
fn answer(flow: Flowing, why: Why) -> Answer {
    let response = flow.response;
    let mut headers: Vec<(String, String)> = Vec::new();
    for of_head in [false, true] {
        for (mode, name, value, is_of_head) in &response.fields {
            if *is_of_head != of_head {
                continue;
            }
            if *mode != mode::ADD {
                headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
            }
            if *mode != mode::REMOVE {
                headers.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
            }
        }
    }
    let is_gone = matches!(why, Why::ClientGone | Why::Stop | Why::Drain);
    let is_head = flow.asked.method == "HEAD";
    Answer {
        status: if is_gone && !response.is_started {
            0
        } else {
            response.status
        },
        headers,
        body: if is_head {
            Vec::new()
        } else {
            response.body.unwrap_or_default()
        },
        is_aborted: why != Why::Done && response.is_started,
        is_claimed: flow.is_claimed,
        trace: flow.trace,
        physical: flow
            .physical
            .map_or_else(String::new, |it| String::from_utf8_lossy(&it).into_owned()),
        path: String::from_utf8_lossy(&flow.path).into_owned(),
        user: flow
            .user
            .map(|it| String::from_utf8_lossy(&it).into_owned()),
    }
}

fn name_of(rc: Rc) -> String {
    match rc {
        abi::GO_ON => "GO_ON".into(),
        abi::FINISHED => "FINISHED".into(),
        abi::COMEBACK => "COMEBACK".into(),
        abi::WAIT_FOR_EVENT => "WAIT_FOR_EVENT".into(),
        abi::WAIT_FOR_FD => "WAIT_FOR_FD".into(),
        other => format!("the result {other}"),
    }
}

/// A path without percent signs, dot segments and double slashes.
fn clean(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let digit = |at: usize| raw.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (raw[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut is_folder = true;
    for segment in decoded.split(|byte| *byte == b'/').skip(1) {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let mut path = b"/".to_vec();
    path.extend(segments.join(&b'/'));
    if is_folder && !segments.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_path_is_decoded_and_cleaned() {
        for (raw, path) in [
            ("/", "/"),
            ("/a%20b", "/a b"),
            ("//a//b/", "/a/b/"),
            ("/a/./../b", "/b"),
            ("/../..", "/"),
            ("/a/b/..", "/a/"),
            ("/100%", "/100%"),
        ] {
            assert_eq!(clean(raw.as_bytes()), path.as_bytes(), "{raw}");
        }
    }
}
