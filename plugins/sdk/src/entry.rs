//! The C functions in a descriptor's slots, one per hook and generic over the plugin. Each turns the
//! state pointer into `&mut T`, runs the hook where a panic ends, and turns the result into a code.
//!
//! INVARIANT: at most one of these functions and of the callbacks in `work` and `job` runs at a
//! time, on the loop's thread: the server never calls a plugin from inside a host function. So
//! there is only ever one `&mut T`.

use core::any::TypeId;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;

use crate::abi;
use crate::host::{Host, Raw, bytes};
use crate::panics::{self, guard};
use crate::{ConnectionId, Flow, Plugin, Request, Why};

/// What the state pointer points to.
pub(crate) struct Instance<T> {
    host: Host,
    /// `None` until `init` returns and after `cleanup` began.
    plugin: UnsafeCell<Option<T>>,
}

impl<T: Plugin> Instance<T> {
    /// # Safety
    ///
    /// `state` comes from [`init`] for the same `T` and has not been through [`cleanup`].
    pub(crate) unsafe fn from_state<'a>(state: *mut c_void) -> &'a Self {
        // SAFETY: by the condition; nobody makes a `&mut Instance`.
        unsafe { &*state.cast::<Self>() }
    }

    /// # Safety
    ///
    /// There is no other reference to the plugin: the invariant of this file.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn plugin(&self) -> &mut T {
        // SAFETY: by the condition.
        let plugin = unsafe { &mut *self.plugin.get() };
        plugin.as_mut().expect("hooks run between init and cleanup")
    }
}

/// A descriptor without hooks.
#[must_use]
pub const fn descriptor<T: Plugin>() -> abi::Plugin {
    assert!(
        is_name(T::NAME.to_bytes()),
        "a plugin's NAME is [a-z][a-z0-9_]{{0,30}}"
    );
    abi::Plugin {
        magic: abi::MAGIC,
        size: size_of::<abi::Plugin>() as u32,
        abi_major: abi::MAJOR,
        abi_minor: abi::MINOR,
        flags: T::FLAGS.0,
        state_version: T::STATE_VERSION,
        reserved: 0,
        name: T::NAME.as_ptr(),
        version: T::VERSION.as_ptr(),
        init: None,
        set_default: None,
        cleanup: Some(cleanup::<T>),
        trigger: None,
        sighup: None,
        connection_close: None,
        connection_reset: None,
        joblist: None,
        url_raw: None,
        url_clean: None,
        docroot: None,
        physical: None,
        subrequest_start: None,
        handle_subrequest: None,
        subrequest_end: None,
        save: None,
        restore: None,
        retire: None,
    }
}

/// How long [`needs`] is: each word with its NUL, and one more, so that it is never empty.
#[must_use]
pub const fn needs_bytes(words: &[&str]) -> usize {
    let (mut bytes, mut at) = (1, 0);
    while at < words.len() {
        bytes += words[at].len() + 1;
        at += 1;
    }
    bytes
}

/// The words of a plugin's needs, each ended by NUL.
#[must_use]
pub const fn needs<const BYTES: usize>(words: &[&str]) -> [u8; BYTES] {
    let mut all = [0; BYTES];
    let (mut to, mut at) = (0, 0);
    while at < words.len() {
        let word = words[at].as_bytes();
        let mut from = 0;
        while from < word.len() {
            all[to] = word[from];
            to += 1;
            from += 1;
        }
        to += 1;
        at += 1;
    }
    all
}

const fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 31 || !name[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < name.len() {
        if !(name[at].is_ascii_lowercase() || name[at].is_ascii_digit() || name[at] == b'_') {
            return false;
        }
        at += 1;
    }
    true
}

/// Makes the instance.
///
/// # Safety
///
/// `host` points to the server's table, which lives like `this` until [`cleanup`] has returned;
/// `state` may be written.
pub unsafe extern "C" fn init<T: Plugin>(
    host: *const abi::Host,
    this: *mut abi::SelfRef,
    state: *mut *mut c_void,
) -> abi::Rc {
    // SAFETY: every table begins with its size.
    let size = unsafe { host.cast::<u32>().read() };
    let Some(table) = NonNull::new(host.cast_mut()) else {
        return abi::ERROR;
    };
    if (size as usize) < size_of::<abi::Host>() {
        return abi::ERROR;
    }
    // SAFETY: large enough, and alive until cleanup has returned.
    let raw = unsafe { Raw::new(table, this) };
    panics::install();
    // SAFETY: `end` is called below and in cleanup.
    let host = unsafe { Host::new(raw, TypeId::of::<T>()) };
    let instance = Box::into_raw(Box::new(Instance::<T> {
        host: host.clone(),
        plugin: UnsafeCell::new(None),
    }));
    host.0.instance.set(instance.cast());
    match guard(&host, || T::init(&host)) {
        Some(Ok(plugin)) => {
            // SAFETY: `instance` was made above and nobody else refers to it.
            unsafe { (*instance).plugin = UnsafeCell::new(Some(plugin)) };
            // SAFETY: by the condition above.
            unsafe { state.write(instance.cast()) };
            return abi::GO_ON;
        }
        Some(Err(reason)) => host.error(reason),
        None => {}
    }
    host.end();
    // SAFETY: it was made by `Box::into_raw` above, and `end` made it unreachable.
    drop(unsafe { Box::from_raw(instance) });
    abi::ERROR
}

/// Ends the instance: drops the plugin while the host still answers, then lets go of the host.
///
/// # Safety
///
/// `state` comes from [`init`] for the same `T`; it is not used again.
pub unsafe extern "C" fn cleanup<T: Plugin>(state: *mut c_void) {
    // SAFETY: it was made by `Box::into_raw` in init, and no hook runs.
    let instance = unsafe { Box::from_raw(state.cast::<Instance<T>>()) };
    let Instance { host, plugin } = *instance;
    guard(&host, || drop(plugin));
    guard(&host, || host.end());
    host.end();
}

/// Runs code with the plugin. `None` if it panicked.
///
/// # Safety
///
/// As for [`Instance::from_state`].
pub(crate) unsafe fn with_plugin<T: Plugin, R>(
    state: *mut c_void,
    code: impl FnOnce(&Host, &mut T) -> R,
) -> Option<R> {
    // SAFETY: by the condition.
    let instance = unsafe { Instance::<T>::from_state(state) };
    guard(&instance.host, || {
        // SAFETY: the invariant of this file.
        code(&instance.host, unsafe { instance.plugin() })
    })
}

/// A result with a reason.
fn verdict(host: &Host, result: Result<(), String>) -> abi::Rc {
    match result {
        Ok(()) => abi::GO_ON,
        Err(reason) => {
            host.error(reason);
            abi::ERROR
        }
    }
}

/// Checks the configuration.
///
/// # Safety
///
/// As for every hook: `state` comes from [`init`] for the same `T`, before [`cleanup`].
pub unsafe extern "C" fn set_default<T: Plugin>(state: *mut c_void) -> abi::Rc {
    // SAFETY: by the condition.
    let rc = unsafe {
        with_plugin(state, |host, plugin: &mut T| {
            verdict(host, plugin.set_default())
        })
    };
    rc.unwrap_or(abi::ERROR)
}

/// Each second.
///
/// # Safety
///
/// As for [`set_default`].
pub unsafe extern "C" fn trigger<T: Plugin>(state: *mut c_void) -> abi::Rc {
    // SAFETY: by the condition.
    let done = unsafe { with_plugin(state, |_, plugin: &mut T| plugin.trigger()) };
    done.map_or(abi::ERROR, |()| abi::GO_ON)
}

/// On SIGHUP.
///
/// # Safety
///
/// As for [`set_default`].
pub unsafe extern "C" fn sighup<T: Plugin>(state: *mut c_void) -> abi::Rc {
    // SAFETY: by the condition.
    let done = unsafe { with_plugin(state, |_, plugin: &mut T| plugin.sighup()) };
    done.map_or(abi::ERROR, |()| abi::GO_ON)
}

/// The instance has been replaced.
///
/// # Safety
///
/// As for [`set_default`].
pub unsafe extern "C" fn retire<T: Plugin>(state: *mut c_void) {
    // SAFETY: by the condition.
    let _ = unsafe { with_plugin(state, |_, plugin: &mut T| plugin.retire()) };
}

/// A connection ended.
///
/// # Safety
///
/// As for [`set_default`].
pub unsafe extern "C" fn connection_close<T: Plugin>(state: *mut c_void, id: abi::Id, why: u32) {
    let why = Why::from_code(why);
    // SAFETY: by the condition.
    let _ = unsafe {
        with_plugin(state, |_, plugin: &mut T| {
            plugin.connection_close(ConnectionId(id), why)
        })
    };
}

/// A request ended.
///
/// # Safety
///
/// As for [`set_default`]; `req` is a request that lives until this returns.
pub unsafe extern "C" fn connection_reset<T: Plugin>(
    state: *mut c_void,
    req: *mut abi::Req,
    why: u32,
) {
    // SAFETY: by the condition.
    let _ = unsafe {
        with_plugin(state, |host, plugin: &mut T| {
            plugin.connection_reset(&mut Request::new(host, req), Why::from_code(why));
        })
    };
}

macro_rules! request_hooks {
    ($($hook:ident)*) => {$(
        /// A hook that is called for a request.
        ///
        /// # Safety
        ///
        /// As for [`connection_reset`].
        pub unsafe extern "C" fn $hook<T: Plugin>(state: *mut c_void, req: *mut abi::Req) -> abi::Rc {
            // SAFETY: by the condition.
            let flow = unsafe {
                with_plugin(state, |host, plugin: &mut T| plugin.$hook(&mut Request::new(host, req)))
            };
            flow.unwrap_or(Flow::Error) as abi::Rc
        }
    )*};
}

request_hooks! { joblist url_raw url_clean docroot physical subrequest_start handle_subrequest subrequest_end }

/// Writes the state for the next instance.
///
/// # Safety
///
/// As for [`set_default`]; `put` may be called with `arg` and the bytes until this returns.
pub unsafe extern "C" fn save<T: Plugin>(
    state: *mut c_void,
    put: abi::Put,
    arg: *mut c_void,
) -> abi::Rc {
    // SAFETY: by the condition.
    let blob = unsafe { with_plugin(state, |_, plugin: &mut T| plugin.save()) };
    match blob {
        Some(Some(blob)) => {
            // SAFETY: by the condition.
            unsafe { put(arg, blob.as_ptr().cast(), blob.len()) };
            abi::GO_ON
        }
        Some(None) => abi::GO_ON,
        None => abi::ERROR,
    }
}

/// Reads what another instance saved.
///
/// # Safety
///
/// As for [`set_default`]; `blob` lives until this returns.
pub unsafe extern "C" fn restore<T: Plugin>(
    state: *mut c_void,
    from_version: u32,
    blob: abi::Str,
) -> abi::Rc {
    // SAFETY: by the condition.
    let blob = unsafe { bytes(blob) }.unwrap_or_default();
    // SAFETY: by the condition.
    let rc = unsafe {
        with_plugin(state, |host, plugin: &mut T| {
            verdict(host, plugin.restore(from_version, blob))
        })
    };
    rc.unwrap_or(abi::ERROR)
}

#[cfg(test)]
mod tests {
    use super::{is_name, needs, needs_bytes};

    #[test]
    fn needs_are_words_that_end_with_nul() {
        const WORDS: &[&str] = &["exec", "read:$file"];
        const ALL: [u8; needs_bytes(WORDS)] = needs(WORDS);
        assert_eq!(&ALL, b"exec\0read:$file\0\0");
        assert_eq!(needs::<{ needs_bytes(&[]) }>(&[]), [0]);
    }

    #[test]
    fn names_are_short_and_lower_case() {
        for good in ["a", "dir_index", "a1", &"a".repeat(31)] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        for bad in ["", "1a", "_a", "a-b", "A", "aB", "\u{e4}", &"a".repeat(32)] {
            assert!(!is_name(bad.as_bytes()), "{bad}");
        }
    }
}
