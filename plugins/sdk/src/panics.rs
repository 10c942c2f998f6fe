//! A panic ends at the border: it is logged with its place, counted, and answered with an error.
//!
//! The hook takes no backtrace, whatever `RUST_BACKTRACE` says: one would keep the library mapped
//! after its unloading. For the same reason nothing here is a thread-local with a destructor. The
//! hook itself is a value of the library's own standard library and of size zero, so it goes with
//! the mapping and leaves nothing behind.

use core::cell::Cell;
use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::flow::Level;
use crate::host::{Host, Raw};

thread_local! {
    /// Through which the hook logs: set while code of the plugin runs on this thread.
    static CURRENT: Cell<*const Raw> = const { Cell::new(core::ptr::null()) };
}

/// In a test process the panics of the tests themselves are printed as ever.
static IS_TEST: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// This process runs tests. Has to come before the first `init`.
pub(crate) fn expect_tests() {
    IS_TEST.store(true, Ordering::Relaxed);
}

/// Sets the panic hook, once for each copy of the library.
pub(crate) fn install() {
    HOOK.call_once(|| {
        // Where the plugin is a part of the server, it is the server's hook that is asked else.
        if IS_TEST.load(Ordering::Relaxed) || cfg!(feature = "builtin") {
            let before = take_hook();
            set_hook(Box::new(move |info| {
                if !log_current(info) {
                    before(info);
                }
            }));
        } else {
            set_hook(Box::new(|info| {
                if !log_current(info) {
                    eprintln!("swiftd: {}", describe(info));
                }
            }));
        }
    });
}

/// Whether there was somebody to tell.
fn log_current(info: &PanicHookInfo<'_>) -> bool {
    let current = CURRENT.get();
    // SAFETY: null, or set by `within`, whose borrow ends after the panic has been caught.
    let Some(raw) = (unsafe { current.as_ref() }) else {
        return false;
    };
    raw.log(Level::Error, &describe(info));
    true
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text");
    match info.location() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}

/// Runs code of the plugin on the loop's thread. `None` if it panicked.
pub(crate) fn guard<R>(host: &Host, code: impl FnOnce() -> R) -> Option<R> {
    let result = within(&host.raw_copy(), code);
    if result.is_none() {
        host.counter("panics").add(1);
    }
    result
}

/// Runs code of the plugin on any thread. `None` if it panicked.
pub(crate) fn within<R>(raw: &Raw, code: impl FnOnce() -> R) -> Option<R> {
    let before = CURRENT.replace(raw);
    let result = catch_unwind(AssertUnwindSafe(code));
    CURRENT.set(before);
    result.map_err(discard).ok()
}

/// Drops what a panic carried. If that panics too, the second one is forgotten: it would be a
/// third, a fourth.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        core::mem::forget(again);
    }
}
