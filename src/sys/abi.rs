//! The border to native code, from the server's side: calls into a plugin, and the host table that
//! a plugin calls.
//!
//! Raw pointers and `extern "C"` end here. A plugin's calls arrive at a [`Host`], which is plain
//! Rust, through a frame that exists for the time of one call: a `sw_req` is the number of the
//! current call, so one that was kept is recognised and refused. A `sw_self` is the address of a
//! [`Seat`]; on the loop's thread it is only compared, on other threads it is followed, because
//! nothing else could tell.
//!
//! INVARIANT: a host function never calls into a plugin, so no two [`Host`] borrows overlap.
//! What a plugin does with its own memory cannot be checked; loading one is trusting it.

#![allow(unsafe_code)]

use super::child::{Pipes, Spawn};
use super::crash::{self, Hook};
use super::outside::Outside;
use std::cell::Cell;
use std::ffi::c_void;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use swiftd_plugin::abi::{self, Req, Str};
pub use swiftd_plugin::abi::{
    AGAIN, COMEBACK, ERROR, FINISHED, GO_ON, GONE, INVALID, Id, LIMIT, Plugin, Rc, WAIT_FOR_EVENT,
    WAIT_FOR_FD, cause, flags, level, mode, ready, what, why,
};

/// What a plugin reads and changes of a request.
pub trait Asks {
    /// See [`what`]. The bytes stay where they are until the hook returns.
    fn get(&mut self, what: u32) -> Option<&[u8]>;
    /// Sets a property.
    fn set(&mut self, what: u32, value: &[u8]) -> Rc;
    /// The nth field of a name.
    fn header(&mut self, name: &[u8], nth: u32) -> Option<&[u8]>;
    /// The ith field.
    fn header_at(&mut self, index: u32) -> Option<(&[u8], &[u8])>;
    /// The body's length if it is known.
    fn body_bytes(&mut self) -> Option<u64>;
    /// Reads of the body.
    fn read_body(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Rc>;
    /// The body's file.
    fn body_file(&mut self) -> Option<RawFd>;
    /// The request's id.
    fn request(&mut self) -> Id;
    /// Its connection's id.
    fn connection(&mut self) -> Id;
}

/// How a plugin responds.
pub trait Answers {
    /// Sets the status.
    fn set_status(&mut self, status: u32) -> Rc;
    /// Changes a field.
    fn set_header(&mut self, mode: u32, name: &[u8], value: &[u8]) -> Rc;
    /// The content, to be copied.
    fn set_body(&mut self, bytes: &[u8]) -> Rc;
    /// The content, not to be copied.
    fn set_own_body(&mut self, bytes: Lent) -> Rc;
    /// Content that is refused: it is let go.
    fn discard(&mut self, bytes: Lent);
    /// The content is a part of a file. After an error the descriptor is handed back.
    fn set_file(&mut self, file: OwnedFd, offset: u64, bytes: u64) -> Result<(), (OwnedFd, Rc)>;
    /// Begins to stream.
    fn start(&mut self) -> Rc;
    /// Queues content.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Rc>;
    /// Ends the stream.
    fn end(&mut self) -> Rc;
    /// The status and the length of the response as it is.
    fn response(&mut self) -> (u32, u64);
}

/// What a plugin keeps and waits for. `seat` is what `Guest::address` says of some instance, or any
/// number that a plugin made up.
pub trait Demands {
    /// Keeps a pointer.
    fn set_data(&mut self, seat: usize, of: Id, data: Datum) -> Rc;
    /// That pointer.
    fn data(&mut self, seat: usize, of: Id) -> *mut c_void;
    /// A value of the configuration.
    fn config(&mut self, seat: usize, key: &[u8]) -> Option<&[u8]>;
    /// A log line of the current request.
    fn log(&mut self, seat: usize, level: u32, text: &[u8]);
    /// A timer.
    fn timer(&mut self, seat: usize, req: Id, ms: u32, repeats: bool, fire: Option<Fire>) -> Id;
    /// A watch.
    fn watch(&mut self, seat: usize, req: Id, fd: RawFd, rw: u32, fire: Option<WatchFire>) -> Id;
    /// Ends what an id names.
    fn cancel(&mut self, seat: usize, id: Id) -> Rc;
    /// Wakes a request.
    fn wake(&mut self, seat: usize, req: Id) -> Rc;
    /// How long each wait may last.
    fn set_deadline(&mut self, ms: u32) -> Rc;
    /// What woke the request.
    fn woken_by(&mut self) -> (u32, Id);
    /// Work for a helper thread.
    fn job(&mut self, seat: usize, req: Id, work: Work, done: Option<Done>) -> Id;
    /// An inner request.
    fn subrequest(&mut self, target: &[u8], flags: u32) -> Id;
    /// A process, and the ends of its pipes that are the plugin's.
    fn spawn(&mut self, seat: usize, req: Id, process: Spawn) -> Option<(Id, Pipes)>;
    /// What became of a process.
    fn child_status(&mut self, seat: usize, id: Id) -> Result<i32, Rc>;
    /// Sends a signal to a process group.
    fn kill_child(&mut self, seat: usize, id: Id, signal: i32) -> Rc;
    /// A counter.
    fn counter(&mut self, seat: usize, name: &[u8]) -> u32;
    /// The status of an inner request.
    fn inner_status(&mut self, id: Id) -> Result<u32, Rc>;
    /// A field of its response.
    fn inner_header(&mut self, id: Id, name: &[u8]) -> Option<&[u8]>;
    /// Its content.
    fn inner_body(&mut self, id: Id) -> Option<&[u8]>;
    /// The server's figures.
    fn figures(&mut self, seat: usize) -> &[u8];
}

/// The host table in plain Rust.
pub trait Host: Asks + Answers + Demands {}

impl<T: Asks + Answers + Demands> Host for T {}

/// The time of one call into a plugin.
struct Frame {
    host: NonNull<dyn Host>,
    has_request: bool,
    /// What a `sw_req` is during this call. Not the address of anything: the next call's frame may
    /// lie in the same place, and a pointer that was kept must not fit it.
    number: usize,
}

thread_local! {
    static LAST_NUMBER: Cell<usize> = const { Cell::new(0) };
    static CURRENT: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// Whether a call is for a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// For one: the host answers for it.
    Request,
    /// For the instance only.
    Instance,
}

/// Runs `call` with `host` behind the host table.
pub(super) fn within<R>(
    host: &mut dyn Host,
    subject: Subject,
    mark: Mark,
    call: impl FnOnce(*mut Req) -> R,
) -> R {
    // SAFETY: only the lifetime is changed. The frame is taken out of `CURRENT` before this
    // function returns, so the pointer is not followed after the borrow has ended.
    let host = unsafe {
        std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host + 'static>>(NonNull::from(
            host,
        ))
    };
    let number = LAST_NUMBER.get().wrapping_add(1).max(1);
    LAST_NUMBER.set(number);
    let frame = Frame {
        host,
        has_request: subject == Subject::Request,
        number,
    };
    let outer = CURRENT.replace(&raw const frame);
    crash::enter(mark.slot, mark.hook);
    let result = call(ptr::without_provenance_mut(number));
    crash::leave();
    CURRENT.set(outer);
    result
}

/// What the breadcrumb says during a call.
#[derive(Copy, Clone, Debug)]
pub struct Mark {
    /// The instance's place in the shared page.
    pub slot: u16,
    /// The hook.
    pub hook: Hook,
}

/// Runs `act` with the host of the current frame; `None` if there is no call on this thread.
pub(super) fn with_host<R>(act: impl FnOnce(&'static mut dyn Host) -> R) -> Option<R> {
    let frame = CURRENT.get();
    if frame.is_null() {
        return None;
    }
    // SAFETY: a frame that is in `CURRENT` is alive (`within`).
    let mut host = unsafe { (*frame).host };
    // SAFETY: the borrow that the frame was made of is not used while the plugin runs, and a host
    // function does not call into a plugin, so this is the only one. What is handed out of it is
    // turned into raw pointers at once.
    Some(act(unsafe { host.as_mut() }))
}

/// The same for a request: `None` too if `req` is not the one of the current call.
pub(super) fn with_request<R>(
    req: *mut Req,
    act: impl FnOnce(&'static mut dyn Host) -> R,
) -> Option<R> {
    let frame = CURRENT.get();
    if frame.is_null() {
        return None;
    }
    // SAFETY: a frame that is in `CURRENT` is alive (`within`).
    let frame = unsafe { &*frame };
    if !frame.has_request || req.addr() != frame.number {
        return None;
    }
    with_host(act)
}

pub(super) fn lend(bytes: Option<&[u8]>) -> Str {
    bytes.map_or(Str::ABSENT, |bytes| Str {
        p: bytes.as_ptr(),
        n: bytes.len(),
    })
}

/// Bytes that a plugin hands over for the time of a call.
///
/// # Safety
/// `p` is null or valid for reads of `n` bytes until the host function returns.
pub(super) unsafe fn borrow<'a>(p: *const c_void, n: usize) -> &'a [u8] {
    if p.is_null() || n == 0 || n > isize::MAX as usize {
        return &[];
    }
    // SAFETY: not null, and valid for `n` bytes by the condition above.
    unsafe { std::slice::from_raw_parts(p.cast(), n) }
}

// ---- what a plugin hands over ---------------------------------------------------------------

/// A function and its argument that run once on the loop's thread when something is let go.
#[derive(Debug)]
pub struct Release {
    drop: Option<abi::Drop>,
    arg: *mut c_void,
}

impl Release {
    pub(super) fn new(drop: Option<abi::Drop>, arg: *mut c_void) -> Self {
        Self { drop, arg }
    }

    /// Runs it.
    pub fn run(self, host: &mut dyn Host, slot: u16) {
        let Some(drop) = self.drop else { return };
        let hook = Hook::Callback;
        within(host, Subject::Instance, Mark { slot, hook }, |_| {
            // SAFETY: the plugin asked for this call with this argument; it is made once, because
            // `self` is consumed, and while the library is loaded.
            unsafe { drop(self.arg) }
        });
    }
}

/// A pointer that the server keeps for a plugin.
#[derive(Debug)]
pub struct Datum {
    pointer: *mut c_void,
    release: Option<abi::Drop>,
}

impl Datum {
    pub(super) fn new(pointer: *mut c_void, release: Option<abi::Drop>) -> Self {
        Self { pointer, release }
    }

    /// The pointer.
    #[must_use]
    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }

    /// How it is let go.
    #[must_use]
    pub fn into_release(self) -> Release {
        Release {
            drop: self.release.filter(|_| !self.pointer.is_null()),
            arg: self.pointer,
        }
    }
}

/// Bytes that a plugin lends until they have been sent.
#[derive(Debug)]
pub struct Lent {
    bytes: *const u8,
    len: usize,
    release: Option<Release>,
}

impl Lent {
    pub(super) fn new(bytes: *const u8, len: usize, release: Release) -> Self {
        Self {
            bytes,
            len,
            release: Some(release),
        }
    }

    /// How they are let go; to be taken when they are not used any more.
    pub fn take_release(&mut self) -> Option<Release> {
        self.len = 0;
        self.release.take()
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the plugin promised that the bytes stay until the release has run, which takes
        // the length away first.
        unsafe { borrow(self.bytes.cast(), self.len) }
    }
}

/// What a timer calls.
#[derive(Copy, Clone, Debug)]
pub struct Fire {
    fire: unsafe extern "C" fn(*mut c_void, Id),
    arg: *mut c_void,
}

impl Fire {
    pub(super) fn new(fire: unsafe extern "C" fn(*mut c_void, Id), arg: *mut c_void) -> Self {
        Self { fire, arg }
    }

    /// Calls it.
    pub fn call(self, host: &mut dyn Host, slot: u16, id: Id) {
        let hook = Hook::Callback;
        within(host, Subject::Instance, Mark { slot, hook }, |_| {
            // SAFETY: as the plugin asked when it made the timer; its library is loaded.
            unsafe { (self.fire)(self.arg, id) }
        });
    }
}

/// What a watch calls.
#[derive(Copy, Clone, Debug)]
pub struct WatchFire {
    fire: unsafe extern "C" fn(*mut c_void, Id, u32),
    arg: *mut c_void,
}

impl WatchFire {
    pub(super) fn new(fire: unsafe extern "C" fn(*mut c_void, Id, u32), arg: *mut c_void) -> Self {
        Self { fire, arg }
    }

    /// Calls it.
    pub fn call(self, host: &mut dyn Host, slot: u16, id: Id, ready: u32) {
        let hook = Hook::Callback;
        within(host, Subject::Instance, Mark { slot, hook }, |_| {
            // SAFETY: as the plugin asked when it made the watch; its library is loaded.
            unsafe { (self.fire)(self.arg, id, ready) }
        });
    }
}

/// Work for a helper thread.
#[derive(Debug)]
pub struct Work {
    work: unsafe extern "C" fn(*mut c_void),
    arg: *mut c_void,
}

// SAFETY: `work` is meant for another thread; that its argument may go there is the plugin's
// promise (docs/PLUGIN-ABI.md, "work").
unsafe impl Send for Work {}

impl Work {
    pub(super) fn new(work: unsafe extern "C" fn(*mut c_void), arg: *mut c_void) -> Self {
        Self { work, arg }
    }

    /// Does it.
    pub fn run(self) {
        // SAFETY: called once, as asked; the instance is kept loaded until `done` has been called.
        unsafe { (self.work)(self.arg) }
    }
}

/// What is called when work is done.
#[derive(Debug)]
pub struct Done {
    done: unsafe extern "C" fn(*mut c_void, u32),
    arg: *mut c_void,
}

impl Done {
    pub(super) fn new(done: unsafe extern "C" fn(*mut c_void, u32), arg: *mut c_void) -> Self {
        Self { done, arg }
    }

    /// Calls it.
    pub fn call(self, host: &mut dyn Host, slot: u16, is_cancelled: bool) {
        let hook = Hook::Callback;
        within(host, Subject::Instance, Mark { slot, hook }, |_| {
            // SAFETY: called once, as asked; the library is loaded.
            unsafe { (self.done)(self.arg, is_cancelled.into()) }
        });
    }
}

/// What an instance is to its plugin: the place that `sw_self` points to.
#[derive(Debug)]
pub struct Seat {
    pub(super) outside: Arc<Outside>,
    pub(super) name: Box<str>,
}

impl Seat {
    pub(super) fn new(name: &str, outside: Arc<Outside>) -> Self {
        Self {
            outside,
            name: name.into(),
        }
    }
}
