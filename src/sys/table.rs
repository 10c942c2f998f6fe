//! The host table: the `extern "C"` functions that plugins call.
//!
//! Each turns pointers into values and passes them to the [`Host`] of the current call. One that is
//! called outside a call, from another thread, or with a request that is not the current one,
//! changes nothing and says so: absent, 0, INVALID. Conditions on pointers are those of
//! docs/PLUGIN-ABI.md; `SAFETY` comments below say "by the contract" for them.

#![allow(unsafe_code)]

use super::abi::{
    Datum, Done, Fire, GO_ON, GONE, INVALID, Id, Lent, Rc, Release, Seat, WatchFire, Work, borrow,
    lend, with_host, with_request,
};
use super::child::{Spawn, Stream};
use super::clock;
use std::ffi::{CStr, OsString, c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use swiftd_plugin::abi::{
    self, ChildExt, Host, MAJOR, MINOR, Req, ResponseExt, SelfRef, StatusExt, Str, SubrequestExt,
    stdio,
};

/// What every plugin is handed.
pub(super) static TABLE: Host = Host {
    size: size_of::<Host>() as u32,
    abi_major: MAJOR,
    abi_minor: MINOR,
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
    timer,
    watch,
    cancel,
    wake,
    deadline,
    woken_by,
    job,
    subrequest,
    spawn,
    counter,
    count,
    ext,
};

static CHILD: ChildExt = ChildExt {
    size: size_of::<ChildExt>() as u32,
    reserved: 0,
    status: child_status,
    kill: child_kill,
};

static SUBREQUEST: SubrequestExt = SubrequestExt {
    size: size_of::<SubrequestExt>() as u32,
    reserved: 0,
    status: inner_status,
    header: inner_header,
    body: inner_body,
};

static RESPONSE: ResponseExt = ResponseExt {
    size: size_of::<ResponseExt>() as u32,
    reserved: 0,
    status: response_status,
    body_bytes: response_bytes,
};

static STATUS: StatusExt = StatusExt {
    size: size_of::<StatusExt>() as u32,
    reserved: 0,
    read: figures,
};

unsafe extern "C" fn req_get(req: *mut Req, what: u32) -> Str {
    with_request(req, |host| lend(host.get(what))).unwrap_or(Str::ABSENT)
}

unsafe extern "C" fn req_set(req: *mut Req, what: u32, p: *const c_void, n: usize) -> Rc {
    // SAFETY: by the contract.
    let value = unsafe { borrow(p, n) };
    with_request(req, |host| host.set(what, value)).unwrap_or(INVALID)
}

unsafe extern "C" fn req_header(req: *mut Req, name: *const c_char, n: usize, nth: u32) -> Str {
    // SAFETY: by the contract.
    let name = unsafe { borrow(name.cast(), n) };
    with_request(req, |host| lend(host.header(name, nth))).unwrap_or(Str::ABSENT)
}

unsafe extern "C" fn req_header_at(req: *mut Req, i: u32, name: *mut Str, value: *mut Str) -> Rc {
    let Some(found) = with_request(req, |host| {
        host.header_at(i)
            .map(|(name, value)| (lend(Some(name)), lend(Some(value))))
    }) else {
        return INVALID;
    };
    let Some((field_name, field_value)) = found else {
        return GONE;
    };
    if !name.is_null() {
        // SAFETY: valid for a write by the contract.
        unsafe { name.write(field_name) };
    }
    if !value.is_null() {
        // SAFETY: valid for a write by the contract.
        unsafe { value.write(field_value) };
    }
    GO_ON
}

unsafe extern "C" fn req_body_len(req: *mut Req) -> i64 {
    with_request(req, |host| host.body_bytes())
        .flatten()
        .and_then(|bytes| i64::try_from(bytes).ok())
        .unwrap_or(-1)
}

unsafe extern "C" fn req_body_read(req: *mut Req, off: u64, p: *mut c_void, n: usize) -> i64 {
    if p.is_null() || n > isize::MAX as usize {
        return INVALID.into();
    }
    // SAFETY: valid for writes of `n` bytes by the contract; written before it is read.
    let buffer = unsafe { std::slice::from_raw_parts_mut(p.cast::<u8>(), n) };
    match with_request(req, |host| host.read_body(off, buffer)) {
        Some(Ok(bytes)) => bytes as i64,
        Some(Err(rc)) => rc.into(),
        None => INVALID.into(),
    }
}

unsafe extern "C" fn req_body_fd(req: *mut Req) -> c_int {
    with_request(req, |host| host.body_file())
        .flatten()
        .unwrap_or(-1)
}

unsafe extern "C" fn req_id(req: *mut Req) -> Id {
    with_request(req, |host| host.request()).unwrap_or(0)
}

unsafe extern "C" fn req_conn(req: *mut Req) -> Id {
    with_request(req, |host| host.connection()).unwrap_or(0)
}

unsafe extern "C" fn resp_status(req: *mut Req, status: u32) -> Rc {
    with_request(req, |host| host.set_status(status)).unwrap_or(INVALID)
}

unsafe extern "C" fn resp_header(
    req: *mut Req,
    mode: u32,
    name: *const c_char,
    name_n: usize,
    value: *const c_void,
    value_n: usize,
) -> Rc {
    // SAFETY: by the contract.
    let name = unsafe { borrow(name.cast(), name_n) };
    // SAFETY: by the contract.
    let value = unsafe { borrow(value, value_n) };
    with_request(req, |host| host.set_header(mode, name, value)).unwrap_or(INVALID)
}

unsafe extern "C" fn resp_body(req: *mut Req, p: *const c_void, n: usize) -> Rc {
    // SAFETY: by the contract.
    let bytes = unsafe { borrow(p, n) };
    with_request(req, |host| host.set_body(bytes)).unwrap_or(INVALID)
}

unsafe extern "C" fn resp_body_own(
    req: *mut Req,
    p: *const c_void,
    n: usize,
    drop: Option<abi::Drop>,
    arg: *mut c_void,
) -> Rc {
    let mut lent = Some(Lent::new(p.cast(), n, Release::new(drop, arg)));
    let set = with_request(req, |host| {
        lent.take().map_or(INVALID, |lent| host.set_own_body(lent))
    });
    lent.and_then(|lent| with_host(|host| host.discard(lent)));
    set.unwrap_or(INVALID)
}

unsafe extern "C" fn resp_file(req: *mut Req, fd: c_int, off: u64, len: u64) -> Rc {
    if fd < 0 {
        return INVALID;
    }
    with_request(req, |host| {
        // SAFETY: an open descriptor that is handed over, by the contract; after an error it is
        // handed back.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        match host.set_file(file, off, len) {
            Ok(()) => GO_ON,
            Err((file, rc)) => {
                let _ = file.into_raw_fd();
                rc
            }
        }
    })
    .unwrap_or(INVALID)
}

unsafe extern "C" fn resp_start(req: *mut Req) -> Rc {
    with_request(req, |host| host.start()).unwrap_or(INVALID)
}

unsafe extern "C" fn resp_write(req: *mut Req, p: *const c_void, n: usize) -> i64 {
    // SAFETY: by the contract.
    let bytes = unsafe { borrow(p, n) };
    match with_request(req, |host| host.write(bytes)) {
        Some(Ok(bytes)) => bytes as i64,
        Some(Err(rc)) => rc.into(),
        None => INVALID.into(),
    }
}

unsafe extern "C" fn resp_end(req: *mut Req) -> Rc {
    with_request(req, |host| host.end()).unwrap_or(INVALID)
}

unsafe extern "C" fn data_set(
    this: *mut SelfRef,
    of: Id,
    pointer: *mut c_void,
    drop: Option<abi::Drop>,
) -> Rc {
    let datum = Datum::new(pointer, drop);
    with_host(|host| host.set_data(this.addr(), of, datum)).unwrap_or(INVALID)
}

unsafe extern "C" fn data_get(this: *mut SelfRef, of: Id) -> *mut c_void {
    with_host(|host| host.data(this.addr(), of)).unwrap_or(ptr::null_mut())
}

unsafe extern "C" fn log(this: *mut SelfRef, level: u32, p: *const c_char, n: usize) {
    // SAFETY: by the contract.
    let text = unsafe { borrow(p.cast(), n) };
    if with_host(|host| host.log(this.addr(), level, text)).is_none()
        // SAFETY: an instance that has not been cleaned up, by the contract.
        && let Some(seat) = unsafe { this.cast::<Seat>().as_ref() }
    {
        seat.outside.log(&seat.name, level, text);
    }
}

unsafe extern "C" fn config(this: *mut SelfRef, key: *const c_char, n: usize) -> Str {
    // SAFETY: by the contract.
    let key = unsafe { borrow(key.cast(), n) };
    with_host(|host| lend(host.config(this.addr(), key))).unwrap_or(Str::ABSENT)
}

unsafe extern "C" fn now_ms() -> u64 {
    clock::monotonic_ms()
}

unsafe extern "C" fn timer(
    this: *mut SelfRef,
    req: Id,
    ms: u32,
    repeat: u32,
    fire: Option<unsafe extern "C" fn(*mut c_void, Id)>,
    arg: *mut c_void,
) -> Id {
    let fire = fire.map(|fire| Fire::new(fire, arg));
    with_host(|host| host.timer(this.addr(), req, ms, repeat != 0, fire)).unwrap_or(0)
}

unsafe extern "C" fn watch(
    this: *mut SelfRef,
    req: Id,
    fd: c_int,
    rw: u32,
    fire: Option<unsafe extern "C" fn(*mut c_void, Id, u32)>,
    arg: *mut c_void,
) -> Id {
    let fire = fire.map(|fire| WatchFire::new(fire, arg));
    with_host(|host| host.watch(this.addr(), req, fd, rw, fire)).unwrap_or(0)
}

unsafe extern "C" fn cancel(this: *mut SelfRef, id: Id) -> Rc {
    with_host(|host| host.cancel(this.addr(), id)).unwrap_or(INVALID)
}

unsafe extern "C" fn wake(this: *mut SelfRef, req: Id) -> Rc {
    if let Some(rc) = with_host(|host| host.wake(this.addr(), req)) {
        return rc;
    }
    // SAFETY: an instance that has not been cleaned up, by the contract.
    match unsafe { this.cast::<Seat>().as_ref() } {
        Some(seat) if seat.outside.wake(req) => GO_ON,
        Some(_) => GONE,
        None => INVALID,
    }
}

unsafe extern "C" fn deadline(req: *mut Req, ms: u32) -> Rc {
    with_request(req, |host| host.set_deadline(ms)).unwrap_or(INVALID)
}

unsafe extern "C" fn woken_by(req: *mut Req, which: *mut Id) -> u32 {
    let (cause, id) = with_request(req, |host| host.woken_by()).unwrap_or((0, 0));
    if !which.is_null() {
        // SAFETY: valid for a write by the contract.
        unsafe { which.write(id) };
    }
    cause
}

unsafe extern "C" fn job(
    this: *mut SelfRef,
    req: Id,
    work: Option<unsafe extern "C" fn(*mut c_void)>,
    done: Option<unsafe extern "C" fn(*mut c_void, u32)>,
    arg: *mut c_void,
) -> Id {
    let Some(work) = work else { return 0 };
    let (work, done) = (Work::new(work, arg), done.map(|done| Done::new(done, arg)));
    with_host(|host| host.job(this.addr(), req, work, done)).unwrap_or(0)
}

unsafe extern "C" fn subrequest(req: *mut Req, target: *const c_char, n: usize, flags: u32) -> Id {
    // SAFETY: by the contract.
    let target = unsafe { borrow(target.cast(), n) };
    with_request(req, |host| host.subrequest(target, flags)).unwrap_or(0)
}

unsafe extern "C" fn spawn(
    this: *mut SelfRef,
    req: Id,
    argv: *const *const c_char,
    envp: *const *const c_char,
    dir: *const c_char,
    fds: *mut c_int,
) -> Id {
    // SAFETY: null or valid for reads and writes of three numbers, by the contract.
    let Some(fds) = (unsafe { fds.cast::<[c_int; 3]>().as_mut() }) else {
        return 0;
    };
    // SAFETY: a list of strings that ends with null, by the contract.
    let argv = unsafe { strings(argv) };
    // SAFETY: as above.
    let envp = unsafe { strings(envp) };
    let dir = (!dir.is_null()).then(|| {
        // SAFETY: a string, by the contract.
        let dir = unsafe { CStr::from_ptr(dir) };
        OsString::from_vec(dir.to_bytes().to_vec())
    });
    let mut standard = [Stream::Null, Stream::Null, Stream::Null];
    for (stream, &fd) in standard.iter_mut().zip(fds.iter()) {
        *stream = match fd {
            stdio::PIPE => Stream::Pipe,
            stdio::NULL => Stream::Null,
            fd if fd < 0 => return 0,
            fd => {
                // SAFETY: an open descriptor, by the contract.
                let given = unsafe { BorrowedFd::borrow_raw(fd) };
                match given.try_clone_to_owned() {
                    Ok(copy) => Stream::Given(copy),
                    Err(_) => return 0,
                }
            }
        };
    }
    let process = Spawn {
        argv,
        envp,
        dir,
        standard,
    };
    let Some((id, pipes)) = with_host(|host| host.spawn(this.addr(), req, process)).flatten()
    else {
        return 0;
    };
    for (fd, pipe) in fds.iter_mut().zip(pipes) {
        if let Some(pipe) = pipe {
            *fd = pipe.into_raw_fd();
        }
    }
    id
}

/// How many arguments or variables a process may get.
const STRINGS_MAX: usize = 4096;

/// The strings of a list that ends with null.
///
/// # Safety
/// `list` is null, or points to pointers to strings of which the last one is null.
unsafe fn strings(list: *const *const c_char) -> Vec<OsString> {
    let mut found = Vec::new();
    while !list.is_null() && found.len() < STRINGS_MAX {
        // SAFETY: no element before this one was null, so it is part of the list.
        let element = unsafe { list.add(found.len()) };
        // SAFETY: as above.
        let string = unsafe { element.read() };
        if string.is_null() {
            break;
        }
        // SAFETY: a string, by the condition above.
        let string = unsafe { CStr::from_ptr(string) };
        found.push(OsString::from_vec(string.to_bytes().to_vec()));
    }
    found
}

unsafe extern "C" fn counter(this: *mut SelfRef, name: *const c_char, n: usize) -> u32 {
    // SAFETY: by the contract.
    let name = unsafe { borrow(name.cast(), n) };
    with_host(|host| host.counter(this.addr(), name)).unwrap_or(0)
}

unsafe extern "C" fn count(this: *mut SelfRef, counter: u32, add: i64) {
    // SAFETY: an instance that has not been cleaned up, by the contract.
    if let Some(seat) = unsafe { this.cast::<Seat>().as_ref() } {
        seat.outside.count(counter, add);
    }
}

unsafe extern "C" fn ext(_this: *mut SelfRef, id: *const c_char) -> *const c_void {
    if id.is_null() {
        return ptr::null();
    }
    // SAFETY: a string, by the contract.
    match unsafe { CStr::from_ptr(id) }.to_bytes() {
        b"swiftd.child/1" => (&raw const CHILD).cast(),
        b"swiftd.subrequest/1" => (&raw const SUBREQUEST).cast(),
        b"swiftd.response/1" => (&raw const RESPONSE).cast(),
        b"swiftd.status/1" => (&raw const STATUS).cast(),
        _ => ptr::null(),
    }
}

unsafe extern "C" fn child_status(this: *mut SelfRef, id: Id, code: *mut i32) -> Rc {
    match with_host(|host| host.child_status(this.addr(), id)) {
        Some(Ok(found)) => {
            if !code.is_null() {
                // SAFETY: valid for a write by the contract.
                unsafe { code.write(found) };
            }
            GO_ON
        }
        Some(Err(rc)) => rc,
        None => INVALID,
    }
}

unsafe extern "C" fn child_kill(this: *mut SelfRef, id: Id, signal: i32) -> Rc {
    with_host(|host| host.kill_child(this.addr(), id, signal)).unwrap_or(INVALID)
}

unsafe extern "C" fn inner_status(req: *mut Req, id: Id) -> i32 {
    match with_request(req, |host| host.inner_status(id)) {
        Some(Ok(status)) => status as i32,
        Some(Err(rc)) => rc,
        None => INVALID,
    }
}

unsafe extern "C" fn inner_header(req: *mut Req, id: Id, name: *const c_char, n: usize) -> Str {
    // SAFETY: by the contract.
    let name = unsafe { borrow(name.cast(), n) };
    with_request(req, |host| lend(host.inner_header(id, name))).unwrap_or(Str::ABSENT)
}

unsafe extern "C" fn inner_body(req: *mut Req, id: Id) -> Str {
    with_request(req, |host| lend(host.inner_body(id))).unwrap_or(Str::ABSENT)
}

unsafe extern "C" fn response_status(req: *mut Req) -> u32 {
    with_request(req, |host| host.response()).map_or(0, |(status, _)| status)
}

unsafe extern "C" fn response_bytes(req: *mut Req) -> u64 {
    with_request(req, |host| host.response()).map_or(0, |(_, bytes)| bytes)
}

unsafe extern "C" fn figures(this: *mut SelfRef) -> Str {
    with_host(|host| lend(Some(host.figures(this.addr())))).unwrap_or(Str::ABSENT)
}
