//! The host table of the mock server: what a request was, what is answered, log and configuration.
//! What can be waited for is in `waits`.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::waits;
use super::world::{Data, Flowing, Handle, Place, State, World};
use crate::abi::{self, Id, Rc, Req, SelfRef, Str, mode, what};

/// The table.
pub(super) static TABLE: abi::Host = abi::Host {
    size: size_of::<abi::Host>() as u32,
    abi_major: abi::MAJOR,
    abi_minor: abi::MINOR,
    req_get,
    req_set,
    req_header,
    req_header_at,
    req_body_len,
    req_body_read,
    req_body_fd,
    req_id,
    req_conn,
    resp_status,
    resp_header,
    resp_body,
    resp_body_own,
    resp_file,
    resp_start,
    resp_write,
    resp_end,
    data_set,
    data_get,
    log,
    config,
    now_ms,
    timer: waits::timer,
    watch: waits::watch,
    cancel: waits::cancel,
    wake: waits::wake,
    deadline: waits::deadline,
    woken_by: waits::woken_by,
    job: waits::job,
    subrequest: waits::subrequest,
    spawn: waits::spawn,
    counter,
    count,
    ext: waits::ext,
};

thread_local! {
    /// `now_ms` has no argument to find its world by.
    static CLOCK: Cell<*const AtomicU64> = const { Cell::new(core::ptr::null()) };
}

/// Sets the clock of this thread.
pub(super) fn set_clock(clock: Option<&Arc<AtomicU64>>) {
    CLOCK.set(clock.map_or(core::ptr::null(), Arc::as_ptr));
}

/// The world behind `sw_self`.
pub(super) fn world<'a>(this: *mut SelfRef) -> &'a World {
    // SAFETY: the harness gives its world as `sw_self`, and that outlives the instance.
    unsafe { &*this.cast::<World>() }
}

/// Runs code on a request, if the pointer still is one.
pub(super) fn on_request<R>(
    req: *mut Req,
    function: &str,
    failed: R,
    code: impl FnOnce(&World, &mut State, Id) -> R,
) -> R {
    // SAFETY: the harness gives its handles as `sw_req` and keeps them to the end.
    let handle = unsafe { &*req.cast::<Handle>() };
    // SAFETY: the world outlives its handles.
    let world = unsafe { &*handle.world };
    let mut state = world.lock_on_loop(function);
    if handle.is_over.get() {
        state.fault(format!(
            "{function}: the sw_req was used after its hook had returned"
        ));
        return failed;
    }
    code(world, &mut state, handle.id)
}

fn on_flow<R>(req: *mut Req, function: &str, failed: R, code: impl FnOnce(&mut Flowing) -> R) -> R {
    on_request(req, function, failed, |_, state, id| {
        code(
            state
                .flows
                .get_mut(&id)
                .expect("a handle that is not over has its flow"),
        )
    })
}

/// # Safety
///
/// `p` is null or points to `n` bytes.
pub(super) unsafe fn copied(p: *const c_void, n: usize) -> Vec<u8> {
    if p.is_null() || n == 0 {
        return Vec::new();
    }
    // SAFETY: by the condition.
    unsafe { core::slice::from_raw_parts(p.cast::<u8>(), n) }.to_vec()
}

/// # Safety
///
/// As for [`copied`].
pub(super) unsafe fn text(p: *const c_char, n: usize) -> String {
    // SAFETY: by the condition.
    String::from_utf8_lossy(&unsafe { copied(p.cast(), n) }).into_owned()
}

unsafe extern "C" fn req_get(req: *mut Req, wanted: u32) -> Str {
    on_request(req, "req_get", Str::ABSENT, |_, state, id| {
        let flow = &state.flows[&id];
        let host = || {
            flow.asked
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        };
        let value = match wanted {
            what::PATH if flow.place > Place::UrlRaw => Some(flow.path.clone()),
            what::TARGET => Some(flow.target.clone()),
            what::QUERY => flow.query.clone(),
            what::METHOD => Some(flow.asked.method.clone().into_bytes()),
            what::PROTOCOL => Some(b"HTTP/1.1".to_vec()),
            what::HOST => host().map(|(_, value)| value.clone()),
            what::PEER => Some(flow.asked.peer.clone().into_bytes()),
            what::LOCAL => Some(b"127.0.0.1:8080".to_vec()),
            what::DOCROOT => Some(flow.docroot.clone()),
            what::PHYSICAL => flow.physical.clone(),
            what::USER => flow.user.clone(),
            what::SCHEME => Some(b"http".to_vec()),
            _ => None,
        };
        value.map_or(Str::ABSENT, |value| state.lend(&value))
    })
}

unsafe extern "C" fn req_set(req: *mut Req, wanted: u32, p: *const c_void, n: usize) -> Rc {
    // SAFETY: the caller's promise.
    let value = unsafe { copied(p, n) };
    on_flow(req, "req_set", abi::ERROR, |flow| {
        let is_head = flow.place < Place::Handle;
        // The owner may come back with another path.
        let is_chain = flow.place <= Place::Handle;
        match wanted {
            what::TARGET if flow.place == Place::UrlRaw => {
                flow.target = value;
                flow.is_target_changed = true;
            }
            what::PATH if is_chain && value.first() == Some(&b'/') => flow.path = value,
            what::QUERY if is_chain => flow.query = Some(value),
            what::DOCROOT if flow.place <= Place::Docroot && value.first() == Some(&b'/') => {
                flow.docroot = value;
            }
            what::PHYSICAL if flow.place == Place::Physical => flow.physical = Some(value),
            what::USER if is_head => flow.user = Some(value),
            _ => return abi::INVALID,
        }
        abi::GO_ON
    })
}

unsafe extern "C" fn req_header(req: *mut Req, name: *const c_char, n: usize, nth: u32) -> Str {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, n) };
    on_request(req, "req_header", Str::ABSENT, |_, state, id| {
        let headers = &state.flows[&id].asked.headers;
        let mut of_name = headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(&name));
        let value = of_name.nth(nth as usize).map(|(_, value)| value.clone());
        value.map_or(Str::ABSENT, |value| state.lend(&value))
    })
}

unsafe extern "C" fn req_header_at(req: *mut Req, i: u32, name: *mut Str, value: *mut Str) -> Rc {
    let found = on_request(req, "req_header_at", None, |_, state, id| {
        let (name, value) = state.flows[&id].asked.headers.get(i as usize)?.clone();
        Some((state.lend(name.as_bytes()), state.lend(&value)))
    });
    let Some((found_name, found_value)) = found else {
        return abi::INVALID;
    };
    // SAFETY: the caller's promise.
    unsafe { name.write(found_name) };
    // SAFETY: the caller's promise.
    unsafe { value.write(found_value) };
    abi::GO_ON
}

unsafe extern "C" fn req_body_len(req: *mut Req) -> i64 {
    on_flow(req, "req_body_len", -1, |flow| {
        if flow.place < Place::Handle && !flow.asked.body.is_empty() {
            return -1;
        }
        flow.asked.body.len() as i64
    })
}

unsafe extern "C" fn req_body_read(req: *mut Req, off: u64, into: *mut c_void, n: usize) -> i64 {
    on_flow(req, "req_body_read", abi::ERROR.into(), |flow| {
        let body = &flow.asked.body;
        let rest = usize::try_from(off)
            .ok()
            .and_then(|off| body.get(off..))
            .unwrap_or_default();
        let n = rest.len().min(n);
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping(rest.as_ptr(), into.cast::<u8>(), n) };
        n as i64
    })
}

unsafe extern "C" fn req_body_fd(req: *mut Req) -> c_int {
    on_flow(req, "req_body_fd", -1, |_| -1)
}

unsafe extern "C" fn req_id(req: *mut Req) -> Id {
    on_request(req, "req_id", 0, |_, _, id| id)
}

unsafe extern "C" fn req_conn(req: *mut Req) -> Id {
    on_flow(req, "req_conn", 0, |flow| flow.connection)
}

unsafe extern "C" fn resp_status(req: *mut Req, status: u32) -> Rc {
    on_flow(req, "resp_status", abi::ERROR, |flow| match status {
        200..=599 if !flow.response.is_started => {
            flow.response.status = status as u16;
            abi::GO_ON
        }
        _ => abi::INVALID,
    })
}

unsafe extern "C" fn resp_header(
    req: *mut Req,
    wanted: u32,
    name: *const c_char,
    name_len: usize,
    value: *const c_void,
    value_len: usize,
) -> Rc {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, name_len) };
    // SAFETY: the caller's promise.
    let value = unsafe { copied(value, value_len) };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_bad = name.is_empty()
        || !name.bytes().all(is_token)
        || value.iter().any(|byte| b"\r\n\0".contains(byte))
        || wanted > mode::REMOVE;
    let servers = ["content-length", "transfer-encoding", "connection"];
    on_flow(req, "resp_header", abi::ERROR, |flow| {
        let is_server_owned = servers.iter().any(|own| name.eq_ignore_ascii_case(own));
        if is_bad || is_server_owned || flow.response.is_started || flow.place > Place::Handle {
            return abi::INVALID;
        }
        let is_of_head = flow.place < Place::Handle;
        flow.response.fields.push((wanted, name, value, is_of_head));
        abi::GO_ON
    })
}

fn take_body(flow: &mut Flowing, body: Vec<u8>) -> Rc {
    if flow.response.is_started || flow.place > Place::Handle {
        return abi::INVALID;
    }
    flow.response.body = Some(body);
    abi::GO_ON
}

unsafe extern "C" fn resp_body(req: *mut Req, p: *const c_void, n: usize) -> Rc {
    // SAFETY: the caller's promise.
    let body = unsafe { copied(p, n) };
    on_flow(req, "resp_body", abi::ERROR, |flow| take_body(flow, body))
}

unsafe extern "C" fn resp_body_own(
    req: *mut Req,
    p: *const c_void,
    n: usize,
    drop: Option<abi::Drop>,
    arg: *mut c_void,
) -> Rc {
    // SAFETY: the caller's promise.
    let body = unsafe { copied(p, n) };
    on_request(req, "resp_body_own", abi::ERROR, |_, state, id| {
        state.drops.push(Data { p: arg, drop });
        let flow = state
            .flows
            .get_mut(&id)
            .expect("a handle that is not over has its flow");
        take_body(flow, body)
    })
}

unsafe extern "C" fn resp_file(req: *mut Req, fd: c_int, off: u64, len: u64) -> Rc {
    // SAFETY: it is only read here, and closed only if it becomes ours.
    let file = core::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let mut body = vec![0; usize::try_from(len).unwrap_or(0)];
    if file.read_exact_at(&mut body, off).is_err() {
        return abi::INVALID;
    }
    let rc = on_flow(req, "resp_file", abi::ERROR, |flow| take_body(flow, body));
    if rc == abi::GO_ON {
        drop(core::mem::ManuallyDrop::into_inner(file));
    }
    rc
}

unsafe extern "C" fn resp_start(req: *mut Req) -> Rc {
    on_flow(req, "resp_start", abi::ERROR, |flow| {
        let response = &mut flow.response;
        let is_complete = response.is_started || response.body.is_some();
        if is_complete || response.status == 0 || flow.place != Place::Handle {
            return abi::INVALID;
        }
        response.is_started = true;
        response.body = Some(Vec::new());
        abi::GO_ON
    })
}

unsafe extern "C" fn resp_write(req: *mut Req, p: *const c_void, n: usize) -> i64 {
    // SAFETY: the caller's promise.
    let content = unsafe { copied(p, n) };
    on_request(req, "resp_write", abi::ERROR.into(), |_, state, id| {
        let limit = state.send_queue;
        let flow = state
            .flows
            .get_mut(&id)
            .expect("a handle that is not over has its flow");
        let response = &mut flow.response;
        let (true, false, Some(body)) =
            (response.is_started, response.is_ended, &mut response.body)
        else {
            return abi::INVALID.into();
        };
        let taken = content.len().min(limit - response.queued);
        if taken == 0 && !content.is_empty() {
            response.wants_room = true;
            return abi::AGAIN.into();
        }
        response.queued += taken;
        body.extend_from_slice(&content[..taken]);
        taken as i64
    })
}

unsafe extern "C" fn resp_end(req: *mut Req) -> Rc {
    on_flow(req, "resp_end", abi::ERROR, |flow| {
        if !flow.response.is_started || flow.response.is_ended {
            return abi::INVALID;
        }
        flow.response.is_ended = true;
        abi::GO_ON
    })
}

unsafe extern "C" fn data_set(
    this: *mut SelfRef,
    id: Id,
    p: *mut c_void,
    drop: Option<abi::Drop>,
) -> Rc {
    let mut state = world(this).lock_on_loop("data_set");
    let place = match state.flows.get_mut(&id) {
        Some(flow) => &mut flow.data,
        None => match state.connections.get_mut(&id) {
            Some(data) => data,
            None => return abi::GONE,
        },
    };
    let before = core::mem::replace(place, Data { p, drop });
    if before.p != p {
        state.drops.push(before);
    }
    abi::GO_ON
}

unsafe extern "C" fn data_get(this: *mut SelfRef, id: Id) -> *mut c_void {
    let state = world(this).lock_on_loop("data_get");
    let of_flow = state.flows.get(&id).map(|flow| flow.data);
    let data = of_flow.or_else(|| state.connections.get(&id).copied());
    data.map_or(core::ptr::null_mut(), |data| data.p)
}

unsafe extern "C" fn log(this: *mut SelfRef, level: u32, p: *const c_char, n: usize) {
    // SAFETY: the caller's promise.
    let line = unsafe { text(p, n) };
    world(this).lock().log.push((level, line));
}

unsafe extern "C" fn config(this: *mut SelfRef, key: *const c_char, n: usize) -> Str {
    // SAFETY: the caller's promise.
    let key = unsafe { text(key, n) };
    let state = world(this).lock_on_loop("config");
    let value = state.config.get(&key);
    value.map_or(Str::ABSENT, |value| Str {
        p: value.as_ptr(),
        n: value.len(),
    })
}

unsafe extern "C" fn now_ms() -> u64 {
    // SAFETY: null, or the clock of the world that runs on this thread.
    unsafe { CLOCK.get().as_ref() }.map_or(0, |clock| clock.load(Ordering::Relaxed))
}

unsafe extern "C" fn counter(this: *mut SelfRef, name: *const c_char, n: usize) -> u32 {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, n) };
    let mut state = world(this).lock_on_loop("counter");
    let at = state.counters.iter().position(|(known, _)| *known == name);
    let at = at.unwrap_or_else(|| {
        state.counters.push((name, 0));
        state.counters.len() - 1
    });
    at as u32 + 1
}

unsafe extern "C" fn count(this: *mut SelfRef, counter: u32, add: i64) {
    let mut state = world(this).lock();
    let at = (counter as usize).checked_sub(1);
    if let Some((_, value)) = at.and_then(|at| state.counters.get_mut(at)) {
        *value += add;
    }
}
