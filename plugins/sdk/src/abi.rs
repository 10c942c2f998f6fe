//! The plugin ABI, version 1, as Rust types: the same layout as `swiftd_plugin.h`, member by
//! member. docs/PLUGIN-ABI.md is the contract; this module only spells it.
//!
//! Both sides use it: the server fills a [`Host`] and calls through a [`Plugin`], a plugin the
//! other way round. Nothing here has behaviour, and no Rust type crosses the border.
//! INVARIANT: a released struct only grows at its end and carries its own size.

use core::ffi::{c_char, c_int, c_void};

/// `"SWF1"` as the bytes of a little-endian number; the first member of every descriptor.
pub const MAGIC: u32 = u32::from_le_bytes(*b"SWF1");
/// The major version: part of the entry symbol's name.
pub const MAJOR: u16 = 1;
/// The minor version: what has been appended since 1.0.
pub const MINOR: u16 = 0;
/// The name of the constant that a library exports.
pub const ENTRY: &core::ffi::CStr = c"swiftd_plugin_v1";

/// What a hook or a host function returns.
pub type Rc = i32;
/// Hook: the next one. Host function: done.
pub const GO_ON: Rc = 0;
/// The response is complete, or the request is claimed.
pub const FINISHED: Rc = 1;
/// Start the chain over.
pub const COMEBACK: Rc = 2;
/// Call again when an event has come.
pub const WAIT_FOR_EVENT: Rc = 3;
/// Call again when a watched descriptor is ready.
pub const WAIT_FOR_FD: Rc = 4;
/// It failed.
pub const ERROR: Rc = -1;
/// Host function: not now; the queue is full.
pub const AGAIN: Rc = -2;
/// Host function: what the id named has ended.
pub const GONE: Rc = -3;
/// Host function: an argument is not what it must be, or not allowed here.
pub const INVALID: Rc = -4;
/// Host function: a bound is reached.
pub const LIMIT: Rc = -5;

/// Borrowed bytes. `p` null: absent; `p` not null and `n` 0: present and empty.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct Str {
    /// The first byte.
    pub p: *const u8,
    /// How many.
    pub n: usize,
}

impl Str {
    /// Absent.
    pub const ABSENT: Self = Self {
        p: core::ptr::null(),
        n: 0,
    };
}

/// An instance of a plugin, as the server knows it. Opaque.
#[repr(C)]
#[derive(Debug)]
pub struct SelfRef {
    _opaque: [u8; 0],
}

/// A request, valid only inside the call that brought it. Opaque.
#[repr(C)]
#[derive(Debug)]
pub struct Req {
    _opaque: [u8; 0],
}

/// A request, connection, timer, watch, job or child; 0 is none. An id is never used again, so a
/// stale one is an error code and nothing worse.
pub type Id = u64;

/// Values of `what` for `req_get` and `req_set`.
pub mod what {
    /// The path, decoded and free of dot segments. Settable.
    pub const PATH: u32 = 1;
    /// The request-target as it came. Settable in url_raw.
    pub const TARGET: u32 = 2;
    /// The query without its question mark.
    pub const QUERY: u32 = 3;
    /// The method.
    pub const METHOD: u32 = 4;
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub const PROTOCOL: u32 = 5;
    /// The authority that the request is for.
    pub const HOST: u32 = 6;
    /// The client's address: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `unix:`; port 0 if a trusted
    /// proxy has not told it.
    pub const PEER: u32 = 7;
    /// The server's address, in the same form.
    pub const LOCAL: u32 = 8;
    /// The document root, absolute. Settable until it is used.
    pub const DOCROOT: u32 = 9;
    /// Root and path joined. Settable in physical.
    pub const PHYSICAL: u32 = 10;
    /// The authenticated user. Settable.
    pub const USER: u32 = 11;
    /// `http` or `https`.
    pub const SCHEME: u32 = 12;
}

/// Values of `mode` for `resp_header`.
pub mod mode {
    /// Replaces all fields of that name.
    pub const SET: u32 = 0;
    /// Adds a field line.
    pub const ADD: u32 = 1;
    /// Removes all fields of that name.
    pub const REMOVE: u32 = 2;
}

/// Why a request, a connection or its data ended.
pub mod why {
    /// In good order.
    pub const DONE: u32 = 0;
    /// The client went away.
    pub const CLIENT_GONE: u32 = 1;
    /// A deadline passed.
    pub const DEADLINE: u32 = 2;
    /// Something failed.
    pub const ERROR: u32 = 3;
    /// An old generation is drained.
    pub const DRAIN: u32 = 4;
    /// The server stops.
    pub const STOP: u32 = 5;
}

/// What woke a request (`woken_by`).
pub mod cause {
    /// Nothing that has not been told yet.
    pub const NONE: u32 = 0;
    /// A timer.
    pub const TIMER: u32 = 1;
    /// A watched descriptor.
    pub const WATCH: u32 = 2;
    /// A job.
    pub const JOB: u32 = 3;
    /// A child process has ended.
    pub const CHILD: u32 = 4;
    /// A subrequest is complete.
    pub const SUBREQUEST: u32 = 5;
    /// The send queue has room again.
    pub const ROOM: u32 = 6;
    /// `wake`.
    pub const WAKE: u32 = 7;
}

/// Bits of `rw` for `watch`, and of what its callback is told.
pub mod ready {
    /// A read would not block.
    pub const READ: u32 = 1;
    /// A write would not block.
    pub const WRITE: u32 = 2;
    /// The other side is gone (told only).
    pub const HANGUP: u32 = 4;
}

/// Levels of `log`.
pub mod level {
    /// Something failed.
    pub const ERROR: u32 = 0;
    /// Something may fail.
    pub const WARNING: u32 = 1;
    /// Worth knowing.
    pub const NOTICE: u32 = 2;
    /// Details.
    pub const INFO: u32 = 3;
    /// For whoever mends the plugin.
    pub const DEBUG: u32 = 4;
}

/// Bits of [`Plugin::flags`].
pub mod flags {
    /// Never unmap: for libraries with threads of their own or `atexit`.
    pub const RESIDENT: u32 = 1;
    /// A failed `restore` rejects the reload.
    pub const STATE_REQUIRED: u32 = 2;
    /// All that this minor knows.
    pub const KNOWN: u32 = RESIDENT | STATE_REQUIRED;
}

/// Values of an entry of `fds` for `spawn`.
pub mod stdio {
    /// Make a pipe; the server puts the plugin's end, non-blocking, in the place of this value.
    pub const PIPE: i32 = -1;
    /// `/dev/null`.
    pub const NULL: i32 = -2;
}

/// A hook that is called for the instance.
pub type OnInstance = unsafe extern "C" fn(state: *mut c_void) -> Rc;
/// A hook that is called for a request.
pub type OnRequest = unsafe extern "C" fn(state: *mut c_void, req: *mut Req) -> Rc;
/// Runs once when the server lets go of something.
pub type Drop = unsafe extern "C" fn(arg: *mut c_void);
/// What `save` hands its bytes to.
pub type Put = unsafe extern "C" fn(arg: *mut c_void, bytes: *const c_void, n: usize);

/// What a plugin is: the constant `swiftd_plugin_v1`, or what `NAME_init` fills. A hook that is
/// `None` is not implemented.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u32,
    /// The size of this struct as the plugin knows it, bytes.
    pub size: u32,
    /// [`MAJOR`].
    pub abi_major: u16,
    /// The minor that the plugin needs.
    pub abi_minor: u16,
    /// Bits of [`flags`].
    pub flags: u32,
    /// The version of what `save` writes.
    pub state_version: u32,
    /// 0.
    pub reserved: u32,
    /// `[a-z][a-z0-9_]{0,30}`, the config line's name.
    pub name: *const c_char,
    /// For people.
    pub version: *const c_char,
    /// Once for each instance, before any request.
    pub init: Option<
        unsafe extern "C" fn(host: *const Host, this: *mut SelfRef, state: *mut *mut c_void) -> Rc,
    >,
    /// After init of all new instances.
    pub set_default: Option<OnInstance>,
    /// The end of the instance.
    pub cleanup: Option<unsafe extern "C" fn(state: *mut c_void)>,
    /// Each second.
    pub trigger: Option<OnInstance>,
    /// On SIGHUP.
    pub sighup: Option<OnInstance>,
    /// A connection ended, or leaves an old generation.
    pub connection_close: Option<unsafe extern "C" fn(state: *mut c_void, conn: Id, why: u32)>,
    /// A request ended.
    pub connection_reset: Option<unsafe extern "C" fn(state: *mut c_void, req: *mut Req, why: u32)>,
    /// A suspended request was woken.
    pub joblist: Option<OnRequest>,
    /// The head is parsed.
    pub url_raw: Option<OnRequest>,
    /// The path is clean.
    pub url_clean: Option<OnRequest>,
    /// The document root is about to be used.
    pub docroot: Option<OnRequest>,
    /// Root and path are joined.
    pub physical: Option<OnRequest>,
    /// Who handles it?
    pub subrequest_start: Option<OnRequest>,
    /// The owner answers.
    pub handle_subrequest: Option<OnRequest>,
    /// The response is handed over or given up.
    pub subrequest_end: Option<OnRequest>,
    /// Writes the state for the next instance.
    pub save: Option<unsafe extern "C" fn(state: *mut c_void, put: Put, arg: *mut c_void) -> Rc>,
    /// Reads what another version saved.
    pub restore:
        Option<unsafe extern "C" fn(state: *mut c_void, from_version: u32, blob: Str) -> Rc>,
    /// The instance has been replaced or removed; requests may still be there.
    pub retire: Option<unsafe extern "C" fn(state: *mut c_void)>,
}

/// The size of [`Plugin`] in version 1.0, bytes.
pub const PLUGIN_SIZE_1_0: usize = size_of::<Plugin>();

// SAFETY: a descriptor is a constant; its pointers are to constants and to functions.
unsafe impl Sync for Plugin {}

/// What the server offers. Functions marked `[any]` may be called from any thread, all others from
/// the loop's thread only.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct Host {
    /// The size of this struct as the server knows it, bytes.
    pub size: u32,
    /// The server's major.
    pub abi_major: u16,
    /// The server's minor.
    pub abi_minor: u16,
    /// A property of the request; see [`what`].
    pub req_get: unsafe extern "C" fn(*mut Req, what: u32) -> Str,
    /// Sets one.
    pub req_set: unsafe extern "C" fn(*mut Req, what: u32, *const c_void, usize) -> Rc,
    /// The nth field of a name.
    pub req_header: unsafe extern "C" fn(*mut Req, name: *const c_char, usize, nth: u32) -> Str,
    /// The ith field.
    pub req_header_at:
        unsafe extern "C" fn(*mut Req, i: u32, name: *mut Str, value: *mut Str) -> Rc,
    /// The body's length, -1 while unknown.
    pub req_body_len: unsafe extern "C" fn(*mut Req) -> i64,
    /// Reads of the body from an offset.
    pub req_body_read: unsafe extern "C" fn(*mut Req, off: u64, *mut c_void, usize) -> i64,
    /// The body's file if it has one, else -1. The server's.
    pub req_body_fd: unsafe extern "C" fn(*mut Req) -> c_int,
    /// The request's id.
    pub req_id: unsafe extern "C" fn(*mut Req) -> Id,
    /// Its connection's id.
    pub req_conn: unsafe extern "C" fn(*mut Req) -> Id,
    /// Sets the status, 200 to 599.
    pub resp_status: unsafe extern "C" fn(*mut Req, u32) -> Rc,
    /// Sets, adds or removes a field; see [`mode`].
    pub resp_header: unsafe extern "C" fn(
        *mut Req,
        mode: u32,
        name: *const c_char,
        usize,
        value: *const c_void,
        usize,
    ) -> Rc,
    /// The content, copied.
    pub resp_body: unsafe extern "C" fn(*mut Req, *const c_void, usize) -> Rc,
    /// The content, not copied; `drop` runs once, also if this fails.
    pub resp_body_own:
        unsafe extern "C" fn(*mut Req, *const c_void, usize, Option<Drop>, arg: *mut c_void) -> Rc,
    /// The content is a part of a file. After success the descriptor is the server's.
    pub resp_file: unsafe extern "C" fn(*mut Req, fd: c_int, off: u64, len: u64) -> Rc,
    /// The head may leave; the content follows piece by piece.
    pub resp_start: unsafe extern "C" fn(*mut Req) -> Rc,
    /// Queues content; the bytes taken, or [`AGAIN`].
    pub resp_write: unsafe extern "C" fn(*mut Req, *const c_void, usize) -> i64,
    /// The content is complete.
    pub resp_end: unsafe extern "C" fn(*mut Req) -> Rc,
    /// Keeps a pointer for a request or a connection.
    pub data_set: unsafe extern "C" fn(*mut SelfRef, Id, *mut c_void, Option<Drop>) -> Rc,
    /// That pointer, or null.
    pub data_get: unsafe extern "C" fn(*mut SelfRef, Id) -> *mut c_void,
    /// A log line; see [`level`]. `[any]`
    pub log: unsafe extern "C" fn(*mut SelfRef, level: u32, *const c_char, usize),
    /// A value of the configuration.
    pub config: unsafe extern "C" fn(*mut SelfRef, key: *const c_char, usize) -> Str,
    /// A clock that never goes back, milliseconds. `[any]`
    pub now_ms: unsafe extern "C" fn() -> u64,
    /// A timer.
    pub timer: unsafe extern "C" fn(
        *mut SelfRef,
        req: Id,
        ms: u32,
        repeat: u32,
        fire: Option<unsafe extern "C" fn(arg: *mut c_void, Id)>,
        arg: *mut c_void,
    ) -> Id,
    /// Watches a descriptor, edge-triggered; see [`ready`].
    pub watch: unsafe extern "C" fn(
        *mut SelfRef,
        req: Id,
        fd: c_int,
        rw: u32,
        fire: Option<unsafe extern "C" fn(arg: *mut c_void, Id, ready: u32)>,
        arg: *mut c_void,
    ) -> Id,
    /// Ends a timer, watch, queued job, child or subrequest.
    pub cancel: unsafe extern "C" fn(*mut SelfRef, Id) -> Rc,
    /// Wakes a request. `[any]`
    pub wake: unsafe extern "C" fn(*mut SelfRef, req: Id) -> Rc,
    /// How long each wait of the request may last from now on.
    pub deadline: unsafe extern "C" fn(*mut Req, ms: u32) -> Rc,
    /// What woke the request, one by one; see [`cause`].
    pub woken_by: unsafe extern "C" fn(*mut Req, which: *mut Id) -> u32,
    /// Work for a helper thread.
    pub job: unsafe extern "C" fn(
        *mut SelfRef,
        req: Id,
        work: Option<unsafe extern "C" fn(arg: *mut c_void)>,
        done: Option<unsafe extern "C" fn(arg: *mut c_void, why: u32)>,
        arg: *mut c_void,
    ) -> Id,
    /// An inner GET request.
    pub subrequest: unsafe extern "C" fn(*mut Req, target: *const c_char, usize, flags: u32) -> Id,
    /// Starts a process; see [`stdio`].
    pub spawn: unsafe extern "C" fn(
        *mut SelfRef,
        req: Id,
        argv: *const *const c_char,
        envp: *const *const c_char,
        dir: *const c_char,
        fds: *mut c_int,
    ) -> Id,
    /// A counter that keeps its value across reloads; 0 if there are too many.
    pub counter: unsafe extern "C" fn(*mut SelfRef, name: *const c_char, usize) -> u32,
    /// Adds to one. `[any]`
    pub count: unsafe extern "C" fn(*mut SelfRef, counter: u32, add: i64),
    /// A table of functions by its name, or null.
    pub ext: unsafe extern "C" fn(*mut SelfRef, id: *const c_char) -> *const c_void,
}

const _: () = assert!(size_of::<usize>() != 8 || size_of::<Host>() == 280);
const _: () = assert!(size_of::<usize>() != 8 || size_of::<Plugin>() == 184);

// SAFETY: the table is a constant of the server.
unsafe impl Sync for Host {}
// SAFETY: as above.
unsafe impl Send for Host {}

/// `ext("swiftd.child/1")`: what became of a process.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct ChildExt {
    /// The size of this struct, bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// [`AGAIN`] while it runs; then `code` is the exit code, or 256 plus the signal's number.
    pub status: unsafe extern "C" fn(*mut SelfRef, Id, code: *mut i32) -> Rc,
    /// Sends a signal to its process group.
    pub kill: unsafe extern "C" fn(*mut SelfRef, Id, signal: i32) -> Rc,
}

/// `ext("swiftd.subrequest/1")`: the response of an inner request that is complete. The bytes live
/// until the parent ends.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct SubrequestExt {
    /// The size of this struct, bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Its status, [`AGAIN`] while it runs, or another error.
    pub status: unsafe extern "C" fn(*mut Req, Id) -> i32,
    /// A field of it.
    pub header: unsafe extern "C" fn(*mut Req, Id, name: *const c_char, usize) -> Str,
    /// Its content.
    pub body: unsafe extern "C" fn(*mut Req, Id) -> Str,
}

/// `ext("swiftd.response/1")`: the response as it is, for subrequest_end.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct ResponseExt {
    /// The size of this struct, bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The status, 0 while there is none.
    pub status: unsafe extern "C" fn(*mut Req) -> u32,
    /// The length of the content as far as it is known, bytes.
    pub body_bytes: unsafe extern "C" fn(*mut Req) -> u64,
}

/// `ext("swiftd.status/1")`: the server's own figures.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct StatusExt {
    /// The size of this struct, bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Lines `name{label="value",…} number`, as in the Prometheus text format; they live until the
    /// hook returns.
    pub read: unsafe extern "C" fn(*mut SelfRef) -> Str,
}
