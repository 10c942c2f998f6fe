//! The host table of the mock server: timers, watches, wakes, jobs, children, inner requests.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ffi::OsStr;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use super::chain;
use super::kernel;
use super::message::Outgoing;
use super::table::{on_request, text, world};
use super::world::{Child, Inner, Job, Timer, Watch, World};
use crate::abi::{self, Id, Rc, Req, SelfRef, Str, cause, stdio};

/// As the server has it.
const SUBREQUEST_DEPTH: u32 = 3;
/// As the server has it.
const SUBREQUESTS: usize = 16;

pub(super) unsafe extern "C" fn timer(
    this: *mut SelfRef,
    req: Id,
    ms: u32,
    repeat: u32,
    fire: Option<unsafe extern "C" fn(*mut c_void, Id)>,
    arg: *mut c_void,
) -> Id {
    let world = world(this);
    let mut state = world.lock_on_loop("timer");
    if (req != 0 && !state.flows.contains_key(&req)) || (req == 0 && fire.is_none()) {
        return 0;
    }
    let id = state.new_id();
    let at = world.now() + u64::from(ms);
    state.timers.insert(
        id,
        Timer {
            req,
            at,
            repeat,
            fire,
            arg,
        },
    );
    id
}

pub(super) unsafe extern "C" fn watch(
    this: *mut SelfRef,
    req: Id,
    fd: c_int,
    rw: u32,
    fire: Option<unsafe extern "C" fn(*mut c_void, Id, u32)>,
    arg: *mut c_void,
) -> Id {
    let world = world(this);
    let mut state = world.lock_on_loop("watch");
    if (req != 0 && !state.flows.contains_key(&req)) || (req == 0 && fire.is_none()) {
        return 0;
    }
    let id = state.new_id();
    if !world.poll.add(fd, rw, id) {
        return 0;
    }
    state.watches.insert(id, Watch { req, fd, fire, arg });
    id
}

pub(super) unsafe extern "C" fn cancel(this: *mut SelfRef, id: Id) -> Rc {
    let world = world(this);
    let mut state = world.lock_on_loop("cancel");
    if state.timers.remove(&id).is_some() {
        return abi::GO_ON;
    }
    if state.watches.contains_key(&id) {
        world.unwatch(&mut state, id);
        return abi::GO_ON;
    }
    if let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) {
        // Its `done` is called from the top of the loop.
        job.work = None;
        return abi::GO_ON;
    }
    if let Some(child) = state.children.get(&id).filter(|child| child.code.is_none()) {
        kernel::kill_group(child.pid, 9);
        return abi::GO_ON;
    }
    if state.inner.remove(&id).is_some() {
        state.flows.remove(&id);
        return abi::GO_ON;
    }
    abi::GONE
}

/// From any thread.
pub(super) unsafe extern "C" fn wake(this: *mut SelfRef, req: Id) -> Rc {
    let world = world(this);
    let is_there = world.lock().wake(req, cause::WAKE, 0);
    world.ring();
    if is_there { abi::GO_ON } else { abi::GONE }
}

pub(super) unsafe extern "C" fn deadline(req: *mut Req, ms: u32) -> Rc {
    on_request(req, "deadline", abi::ERROR, |_, state, id| {
        let Some(flow) = state.flows.get_mut(&id) else {
            return abi::GONE;
        };
        flow.deadline_ms = ms;
        flow.is_announced = true;
        abi::GO_ON
    })
}

pub(super) unsafe extern "C" fn woken_by(req: *mut Req, which: *mut Id) -> u32 {
    let told = on_request(req, "woken_by", None, |_, state, id| {
        state
            .flows
            .get_mut(&id)
            .and_then(|flow| flow.causes.pop_front())
    });
    let (cause, id) = told.unwrap_or((cause::NONE, 0));
    if !which.is_null() {
        // SAFETY: the caller's promise.
        unsafe { which.write(id) };
    }
    cause
}

pub(super) unsafe extern "C" fn job(
    this: *mut SelfRef,
    req: Id,
    work: Option<unsafe extern "C" fn(*mut c_void)>,
    done: Option<unsafe extern "C" fn(*mut c_void, u32)>,
    arg: *mut c_void,
) -> Id {
    let mut state = world(this).lock_on_loop("job");
    if work.is_none() || (req != 0 && !state.flows.contains_key(&req)) {
        return 0;
    }
    let id = state.new_id();
    state.jobs.push_back(Job {
        id,
        req,
        work,
        done,
        arg,
    });
    id
}

pub(super) unsafe extern "C" fn subrequest(
    req: *mut Req,
    target: *const c_char,
    n: usize,
    _flags: u32,
) -> Id {
    // SAFETY: the caller's promise.
    let target = unsafe { text(target, n) };
    on_request(req, "subrequest", 0, |world, state, parent| {
        let flow = &state.flows[&parent];
        let (depth, connection) = (flow.depth + 1, flow.connection);
        let count = state
            .inner
            .values()
            .filter(|it| it.parent == parent)
            .count();
        if depth > SUBREQUEST_DEPTH || count >= SUBREQUESTS || !target.starts_with('/') {
            return 0;
        }
        let id = state.new_id();
        let flow = chain::begin(
            state,
            world,
            Outgoing::new("GET", target),
            connection,
            depth,
        );
        state.flows.insert(id, flow);
        state.inner.insert(
            id,
            Inner {
                parent,
                answer: None,
            },
        );
        id
    })
}

pub(super) unsafe extern "C" fn spawn(
    this: *mut SelfRef,
    req: Id,
    argv: *const *const c_char,
    envp: *const *const c_char,
    dir: *const c_char,
    fds: *mut c_int,
) -> Id {
    let world = world(this);
    {
        let state = world.lock_on_loop("spawn");
        if req != 0 && !state.flows.contains_key(&req) {
            return 0;
        }
    }
    // SAFETY: the caller's promise.
    let argv = unsafe { texts(argv) };
    // SAFETY: the caller's promise.
    let envp = unsafe { texts(envp) };
    let Some((program, arguments)) = argv.split_first() else {
        return 0;
    };
    let mut command = Command::new(OsStr::from_bytes(program));
    command
        .args(arguments.iter().map(|text| OsStr::from_bytes(text)))
        .env_clear()
        .process_group(0);
    for entry in &envp {
        let at = entry
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(entry.len());
        let value = entry.get(at + 1..).unwrap_or_default();
        command.env(OsStr::from_bytes(&entry[..at]), OsStr::from_bytes(value));
    }
    if !dir.is_null() {
        // SAFETY: the caller's promise.
        command.current_dir(OsStr::from_bytes(unsafe { CStr::from_ptr(dir) }.to_bytes()));
    }
    // SAFETY: the caller's promise.
    let fds = unsafe { core::slice::from_raw_parts_mut(fds, 3) };
    let Some(ends) = streams(&mut command, fds) else {
        return 0;
    };
    start(world, req, command, ends, fds)
}

/// The plugin's ends of the pipes.
type Ends = [Option<OwnedFd>; 3];

fn streams(command: &mut Command, fds: &[c_int]) -> Option<Ends> {
    let mut ends = [None, None, None];
    for (at, wanted) in fds.iter().enumerate() {
        let stream = match *wanted {
            stdio::NULL => Stdio::null(),
            stdio::PIPE => {
                let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().ok()?;
                let (ours, theirs): (OwnedFd, OwnedFd) = if at == 0 {
                    (writer.into(), reader.into())
                } else {
                    (reader.into(), writer.into())
                };
                kernel::set_nonblocking(ours.as_raw_fd());
                ends[at] = Some(ours);
                theirs.into()
            }
            // SAFETY: the caller's promise: it is open.
            fd => unsafe { BorrowedFd::borrow_raw(fd) }
                .try_clone_to_owned()
                .ok()?
                .into(),
        };
        match at {
            0 => command.stdin(stream),
            1 => command.stdout(stream),
            _ => command.stderr(stream),
        };
    }
    Some(ends)
}

fn start(
    world: &'static World,
    req: Id,
    mut command: Command,
    ends: Ends,
    fds: &mut [c_int],
) -> Id {
    let Ok(mut process) = command.spawn() else {
        return 0;
    };
    // The child's ends of the pipes are closed here with it.
    drop(command);
    let mut state = world.lock();
    let id = state.new_id();
    state.children.insert(
        id,
        Child {
            req,
            pid: process.id(),
            code: None,
            is_told: false,
        },
    );
    for (end, place) in ends.into_iter().zip(fds) {
        if let Some(end) = end {
            *place = end.into_raw_fd();
            if let Some(identity) = kernel::identity(*place) {
                state.given.push((*place, identity));
            }
        }
    }
    let waiter = std::thread::spawn(move || {
        let status = process.wait();
        let code = status.map_or(-1, |status| {
            status
                .code()
                .or(status.signal().map(|signal| 256 + signal))
                .unwrap_or(-1)
        });
        if let Some(child) = world.lock().children.get_mut(&id) {
            child.code = Some(code);
        }
        world.ring();
    });
    state.waiters.push(waiter);
    id
}

/// # Safety
///
/// Null, or an array of strings that ends with null.
unsafe fn texts(mut array: *const *const c_char) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    while !array.is_null() {
        // SAFETY: by the condition, as the end has not been seen.
        let text = unsafe { *array };
        if text.is_null() {
            break;
        }
        // SAFETY: by the condition.
        texts.push(unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
        array = array.wrapping_add(1);
    }
    texts
}

static CHILD: abi::ChildExt = abi::ChildExt {
    size: size_of::<abi::ChildExt>() as u32,
    reserved: 0,
    status: child_status,
    kill: child_kill,
};
static SUBREQUEST: abi::SubrequestExt = abi::SubrequestExt {
    size: size_of::<abi::SubrequestExt>() as u32,
    reserved: 0,
    status: inner_status,
    header: inner_header,
    body: inner_body,
};
static RESPONSE: abi::ResponseExt = abi::ResponseExt {
    size: size_of::<abi::ResponseExt>() as u32,
    reserved: 0,
    status: response_status,
    body_bytes: response_bytes,
};
static STATUS: abi::StatusExt = abi::StatusExt {
    size: size_of::<abi::StatusExt>() as u32,
    reserved: 0,
    read: status_read,
};

pub(super) unsafe extern "C" fn ext(_this: *mut SelfRef, id: *const c_char) -> *const c_void {
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(id) }.to_bytes() {
        b"swiftd.child/1" => (&raw const CHILD).cast(),
        b"swiftd.subrequest/1" => (&raw const SUBREQUEST).cast(),
        b"swiftd.response/1" => (&raw const RESPONSE).cast(),
        b"swiftd.status/1" => (&raw const STATUS).cast(),
        _ => core::ptr::null(),
    }
}

unsafe extern "C" fn child_status(this: *mut SelfRef, id: Id, code: *mut i32) -> Rc {
    let state = world(this).lock_on_loop("child.status");
    match state.children.get(&id).map(|child| child.code) {
        None => abi::GONE,
        Some(None) => abi::AGAIN,
        Some(Some(value)) => {
            // SAFETY: the caller's promise.
            unsafe { code.write(value) };
            abi::GO_ON
        }
    }
}

unsafe extern "C" fn child_kill(this: *mut SelfRef, id: Id, signal: i32) -> Rc {
    let state = world(this).lock_on_loop("child.kill");
    match state.children.get(&id) {
        Some(child) if child.code.is_none() && kernel::kill_group(child.pid, signal) => abi::GO_ON,
        _ => abi::GONE,
    }
}

unsafe extern "C" fn inner_status(req: *mut Req, id: Id) -> i32 {
    on_request(
        req,
        "subrequest.status",
        abi::ERROR,
        |_, state, parent| match state.inner.get(&id).filter(|inner| inner.parent == parent) {
            None => abi::GONE,
            Some(inner) => inner
                .answer
                .as_ref()
                .map_or(abi::AGAIN, |it| it.status.into()),
        },
    )
}

unsafe extern "C" fn inner_header(req: *mut Req, id: Id, name: *const c_char, n: usize) -> Str {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, n) };
    on_request(req, "subrequest.header", Str::ABSENT, |_, state, _| {
        let answer = state.inner.get(&id).and_then(|inner| inner.answer.as_ref());
        let value = answer.and_then(|it| it.header(&name)).map(str::to_owned);
        value.map_or(Str::ABSENT, |value| state.lend(value.as_bytes()))
    })
}

unsafe extern "C" fn inner_body(req: *mut Req, id: Id) -> Str {
    on_request(req, "subrequest.body", Str::ABSENT, |_, state, _| {
        let answer = state.inner.get(&id).and_then(|inner| inner.answer.as_ref());
        let body = answer.map(|it| it.body.clone());
        body.map_or(Str::ABSENT, |body| state.lend(&body))
    })
}

unsafe extern "C" fn response_status(req: *mut Req) -> u32 {
    on_request(req, "response.status", 0, |_, state, id| {
        state.flows[&id].response.status.into()
    })
}

unsafe extern "C" fn response_bytes(req: *mut Req) -> u64 {
    on_request(req, "response.body_bytes", 0, |_, state, id| {
        state.flows[&id]
            .response
            .body
            .as_ref()
            .map_or(0, |body| body.len() as u64)
    })
}

unsafe extern "C" fn status_read(this: *mut SelfRef) -> Str {
    let mut state = world(this).lock_on_loop("status.read");
    let lines: Vec<String> = state
        .counters
        .iter()
        .map(|(name, value)| format!("{name} {value}\n"))
        .collect();
    let text = format!("{}{}", state.status, lines.concat());
    state.lend(text.as_bytes())
}
