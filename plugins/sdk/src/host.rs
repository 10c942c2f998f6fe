//! The server as a plugin sees it: configuration, log, counters, and the handle that everything
//! else goes through.
//!
//! A [`Host`] stays on the loop's thread. What may be used elsewhere goes through a [`Gate`], which
//! closes when the instance ends. INVARIANT: no function of the table is called after that.

use core::any::TypeId;
use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_void};
use core::fmt::Display;
use core::ptr::NonNull;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, RwLock};

use crate::abi;
use crate::flow::{Error, Level, Result, check};
use crate::id::Cancel;

/// The table and the instance: what each call needs.
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    table: NonNull<abi::Host>,
    pub(crate) this: *mut abi::SelfRef,
}

// SAFETY: off the loop's thread only the functions marked [any] are called, by `Gate` and `log`.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Raw {
    /// # Safety
    ///
    /// `table` points to a table at least as large as [`abi::Host`] that lives, like `this`, until
    /// the instance has ended, and nothing is called through this value later.
    pub(crate) unsafe fn new(table: NonNull<abi::Host>, this: *mut abi::SelfRef) -> Self {
        Self { table, this }
    }

    pub(crate) fn table(&self) -> &abi::Host {
        // SAFETY: the table lives as long as this value is used, by `new`.
        unsafe { self.table.as_ref() }
    }

    /// [any]
    pub(crate) fn log(&self, level: Level, text: &str) {
        // SAFETY: `this` is alive by `new`; the text is `len` bytes.
        unsafe { (self.table().log)(self.this, level as u32, text.as_ptr().cast(), text.len()) };
    }

    /// [any]
    fn wake(&self, request: abi::Id) -> abi::Rc {
        // SAFETY: `this` is alive by `new`; a stale id is an error code.
        unsafe { (self.table().wake)(self.this, request) }
    }

    /// [any]
    fn count(&self, counter: u32, add: i64) {
        // SAFETY: `this` is alive by `new`; an unknown handle is ignored.
        unsafe { (self.table().count)(self.this, counter, add) };
    }
}

/// What other threads go through. `None` once the instance has ended.
pub(crate) struct Gate(RwLock<Option<Raw>>);

impl Gate {
    fn pass<R>(&self, call: impl FnOnce(&Raw) -> R) -> Option<R> {
        // Nothing that holds the lock can panic, so a poisoned one is as good.
        let raw = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        raw.as_ref().map(call)
    }

    pub(crate) fn wake(&self, request: abi::Id) -> Result<()> {
        check(self.pass(|raw| raw.wake(request)).unwrap_or(abi::GONE))
    }

    fn close(&self) {
        *self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    }
}

/// A callback of the instance: the state (`*mut Instance<T>`) and what is ready.
pub(crate) type Callback = Box<dyn FnMut(*mut c_void, u32)>;

/// What all clones of a host share.
pub(crate) struct Inner {
    raw: Raw,
    gate: Arc<Gate>,
    is_alive: Cell<bool>,
    /// Of the plugin's type: callbacks are checked against it when they are registered.
    pub(crate) plugin: TypeId,
    /// The `Instance<T>`; null outside its life.
    pub(crate) instance: Cell<*mut c_void>,
    /// By the id of the timer or watch; `None` while it runs.
    pub(crate) callbacks: RefCell<BTreeMap<abi::Id, Option<Callback>>>,
}

/// The server. It can be cloned and kept in the plugin; it stays on its thread.
///
/// ```
/// # use swiftd_plugin::*;
/// struct Clock { host: Host, since: u64 }
/// impl Clock {
///     fn init(host: &Host) -> Result<Self, String> {
///         Ok(Clock { host: host.clone(), since: host.now_ms() })
///     }
///     fn trigger(&mut self) {
///         self.host.debug(format_args!("up for {} ms", self.host.now_ms() - self.since));
///     }
/// }
/// ```
///
/// It is not for other threads:
///
/// ```compile_fail
/// fn assert_send<T: Send>() {}
/// assert_send::<swiftd_plugin::Host>();
/// ```
#[derive(Clone)]
pub struct Host(pub(crate) Rc<Inner>);

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host")
            .field("is_alive", &self.0.is_alive)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// # Safety
    ///
    /// As for [`Raw::new`]; [`Host::end`] is called before the table or the instance go.
    pub(crate) unsafe fn new(raw: Raw, plugin: TypeId) -> Self {
        Self(Rc::new(Inner {
            raw,
            gate: Arc::new(Gate(RwLock::new(Some(raw)))),
            is_alive: Cell::new(true),
            plugin,
            instance: Cell::new(core::ptr::null_mut()),
            callbacks: RefCell::default(),
        }))
    }

    /// The instance is over: timers and watches end, and no clone reaches the server any more.
    pub(crate) fn end(&self) {
        let callbacks = self.0.callbacks.take();
        for id in callbacks.keys() {
            let _ = self.cancel_number(*id);
        }
        self.0.gate.close();
        self.0.is_alive.set(false);
        self.0.instance.set(core::ptr::null_mut());
        // What the callbacks own may hold a host; by now that one is quiet.
        drop(callbacks);
    }

    pub(crate) fn raw(&self) -> Result<&Raw> {
        if self.0.is_alive.get() {
            Ok(&self.0.raw)
        } else {
            Err(Error::Gone)
        }
    }

    pub(crate) fn raw_copy(&self) -> Raw {
        self.0.raw
    }

    pub(crate) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.0.gate)
    }

    /// A value of the configuration, `plugin.NAME.KEY`. The lines of an array are joined by `\n`.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn init(host: &Host) -> String { host.config("text").unwrap_or("hello\n").into() }
    /// ```
    #[must_use]
    pub fn config(&self, key: &str) -> Option<&str> {
        let raw = self.raw().ok()?;
        // SAFETY: the instance is alive; the key is `len` bytes.
        let value = unsafe { (raw.table().config)(raw.this, key.as_ptr().cast(), key.len()) };
        // SAFETY: the server's promise: values stay where they are as long as the instance lives.
        let bytes = unsafe { bytes(value) }?;
        core::str::from_utf8(bytes).ok()
    }

    /// The values of an array in the configuration, or the one value; none if there is none.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn hosts(host: &Host) -> Vec<String> { host.config_list("hosts").map(str::to_owned).collect() }
    /// ```
    pub fn config_list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.config(key)
            .into_iter()
            .flat_map(str::lines)
            .filter(|line| !line.is_empty())
    }

    /// A value of the configuration as a type, or the default; the error names key and value.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn port(host: &Host) -> Result<u16, String> { host.config_or("port", 8080) }
    /// ```
    pub fn config_or<V: FromStr>(&self, key: &str, default: V) -> Result<V, String> {
        match self.config(key) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| {
                format!(
                    "{key}: not understood: {text:?} (a {} is expected)",
                    core::any::type_name::<V>()
                )
            }),
        }
    }

    /// Writes a line to the server's log.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn say(host: &Host, n: usize) { host.log(Level::Notice, format_args!("{n} rules")); }
    /// ```
    pub fn log(&self, level: Level, text: impl Display) {
        if let Ok(raw) = self.raw() {
            raw.log(level, &text.to_string());
        }
    }

    /// [`log`](Self::log) that something failed.
    ///
    /// ```
    /// fn say(host: &swiftd_plugin::Host) { host.error("the table is gone"); }
    /// ```
    pub fn error(&self, text: impl Display) {
        self.log(Level::Error, text);
    }

    /// [`log`](Self::log) that something may fail.
    ///
    /// ```
    /// fn say(host: &swiftd_plugin::Host) { host.warn("the table is nearly full"); }
    /// ```
    pub fn warn(&self, text: impl Display) {
        self.log(Level::Warning, text);
    }

    /// [`log`](Self::log) what is worth knowing.
    ///
    /// ```
    /// fn say(host: &swiftd_plugin::Host) { host.notice("the table is read"); }
    /// ```
    pub fn notice(&self, text: impl Display) {
        self.log(Level::Notice, text);
    }

    /// [`log`](Self::log) details.
    ///
    /// ```
    /// fn say(host: &swiftd_plugin::Host) { host.info("the table has 7 rows"); }
    /// ```
    pub fn info(&self, text: impl Display) {
        self.log(Level::Info, text);
    }

    /// [`log`](Self::log) for whoever mends the plugin.
    ///
    /// ```
    /// fn say(host: &swiftd_plugin::Host) { host.debug("row 7 is short"); }
    /// ```
    pub fn debug(&self, text: impl Display) {
        self.log(Level::Debug, text);
    }

    /// The log for other threads.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn work(host: &Host) {
    ///     let log = host.logger();
    ///     std::thread::spawn(move || log.log(Level::Info, "from elsewhere")).join().ok();
    /// }
    /// ```
    #[must_use]
    pub fn logger(&self) -> Logger {
        Logger(self.gate())
    }

    /// A clock that never goes back, milliseconds. In tests it stands still until told otherwise.
    ///
    /// ```
    /// fn age(host: &swiftd_plugin::Host, born: u64) -> u64 { host.now_ms() - born }
    /// ```
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        // SAFETY: the function has no conditions.
        self.raw()
            .map_or(0, |raw| unsafe { (raw.table().now_ms)() })
    }

    /// A counter on the server's status page; it keeps its value across reloads.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// struct Hits(Counter);
    /// fn init(host: &Host) -> Result<Hits, String> { Ok(Hits(host.counter("hits"))) }
    /// fn hit(hits: &Hits) { hits.0.add(1); }
    /// ```
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        // SAFETY: the instance is alive; the name is `len` bytes.
        let make = |raw: &Raw| unsafe {
            (raw.table().counter)(raw.this, name.as_ptr().cast(), name.len())
        };
        Counter {
            gate: self.gate(),
            handle: self.raw().map_or(0, make),
        }
    }

    /// Ends a timer, a watch, a job that has not begun, a child or a subrequest.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn stop(host: &Host, timer: TimerId) {
    ///     assert_ne!(host.cancel(timer), Err(Error::Invalid));
    /// }
    /// ```
    pub fn cancel(&self, id: impl Cancel) -> Result<()> {
        let callback = self.0.callbacks.borrow_mut().remove(&id.number());
        let result = self.cancel_number(id.number());
        // Its captures may themselves cancel something: the table is free again by now.
        drop(callback);
        result
    }

    fn cancel_number(&self, id: abi::Id) -> Result<()> {
        let raw = self.raw()?;
        // SAFETY: the instance is alive; a stale id is an error code.
        check(unsafe { (raw.table().cancel)(raw.this, id) })
    }

    /// The server's own figures: lines as in the Prometheus text format.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn page(host: &Host) -> Result<String> { host.server_status() }
    /// ```
    pub fn server_status(&self) -> Result<String> {
        let raw = self.raw()?;
        let ext: &abi::StatusExt = self.ext(c"swiftd.status/1")?;
        // SAFETY: the instance is alive.
        let text = unsafe { (ext.read)(raw.this) };
        // SAFETY: the text lives until the hook returns, and it is copied at once.
        let text = unsafe { bytes(text) }.ok_or(Error::Absent)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// A table of an extension.
    pub(crate) fn ext<T: Ext>(&self, id: &core::ffi::CStr) -> Result<&T> {
        let raw = self.raw()?;
        // SAFETY: the instance is alive; the name ends with NUL.
        let table: *const T = unsafe { (raw.table().ext)(raw.this, id.as_ptr()) }.cast();
        // SAFETY: null, or a table under that name, which begins with its size and lives as long
        // as the instance.
        let size = unsafe { table.cast::<u32>().as_ref() }.ok_or(Error::Absent)?;
        if (*size as usize) < size_of::<T>() {
            return Err(Error::Absent);
        }
        // SAFETY: not null, and large enough to be a `T`.
        unsafe { table.as_ref() }.ok_or(Error::Absent)
    }
}

/// A table of an extension: begins with its own size.
///
/// # Safety
///
/// The type is `repr(C)` and its first member is the `u32` size.
pub(crate) unsafe trait Ext {}
// SAFETY: see there.
unsafe impl Ext for abi::ChildExt {}
// SAFETY: see there.
unsafe impl Ext for abi::SubrequestExt {}
// SAFETY: see there.
unsafe impl Ext for abi::ResponseExt {}
// SAFETY: see there.
unsafe impl Ext for abi::StatusExt {}

/// The bytes of a string of the server; `None` if absent.
///
/// # Safety
///
/// A pointer that is not null is to `n` bytes that stay as they are for `'a`.
pub(crate) unsafe fn bytes<'a>(str: abi::Str) -> Option<&'a [u8]> {
    if str.p.is_null() {
        return None;
    }
    // SAFETY: by the condition above.
    Some(unsafe { core::slice::from_raw_parts(str.p, str.n) })
}

/// A name as the table's functions take it.
pub(crate) fn chars(text: &str) -> *const c_char {
    text.as_ptr().cast()
}

/// The log for other threads. After the end of the instance it is quiet.
///
/// ```
/// # use swiftd_plugin::*;
/// fn assert_send<T: Send + Sync + Clone>() {}
/// assert_send::<Logger>();
/// ```
#[derive(Clone)]
pub struct Logger(Arc<Gate>);

impl Logger {
    /// Writes a line to the server's log.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn say(log: &Logger) { log.log(Level::Error, "the worker cannot go on"); }
    /// ```
    pub fn log(&self, level: Level, text: impl Display) {
        let text = text.to_string();
        self.0.pass(|raw| raw.log(level, &text));
    }
}

impl core::fmt::Debug for Logger {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Logger")
    }
}

/// A counter on the status page, for any thread. See [`Host::counter`].
///
/// ```
/// # use swiftd_plugin::*;
/// fn assert_send<T: Send + Sync + Clone>() {}
/// assert_send::<Counter>();
/// ```
#[derive(Clone)]
pub struct Counter {
    gate: Arc<Gate>,
    handle: u32,
}

impl Counter {
    /// Adds to it, or takes away.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn opened(open: &Counter) { open.add(1); }
    /// fn closed(open: &Counter) { open.add(-1); }
    /// ```
    pub fn add(&self, add: i64) {
        self.gate.pass(|raw| raw.count(self.handle, add));
    }
}

impl core::fmt::Debug for Counter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Counter").field(&self.handle).finish()
    }
}
