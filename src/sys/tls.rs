//! Destructors of plugins' thread-locals, kept by the server instead of the C library.
//!
//! glibc never unmaps a library that has registered a destructor for a thread that is alive. So the
//! program exports its own `__cxa_thread_atexit_impl` (build.rs), the function that compilers call
//! to register one. Registrations by anybody but a plugin go on to glibc; those of plugins are kept
//! here and run when their thread ends or, on each thread, before the library is closed.
//! INVARIANT: a library is unmapped only when none of its destructors is left ([`count`]).

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What is called with the object when its thread ends.
pub(super) type Destructor = unsafe extern "C" fn(object: *mut c_void);

/// One registration.
struct Entry {
    thread: u32,
    /// Where the library that registered it is mapped.
    base: usize,
    destructor: Destructor,
    /// The object's address: it is given back to the destructor, on its thread.
    object: usize,
}

/// All that have not run. Oldest first.
static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Runs the destructors of the library at `base` that were registered on this thread, the last one
/// first, also those that are registered by these.
pub(super) fn run_here(base: usize) {
    run(|entry| entry.base == base);
    super::keys::run_here(base);
    // In the order in which a thread ends; what the second step has registered anew comes last.
    run(|entry| entry.base == base);
}

/// Before the library at `base` is closed: nothing may call into it at the end of a thread.
pub(super) fn forget(base: usize) {
    super::keys::forget(base);
}

/// How many destructors of the library at `base` have not run, on any thread.
pub(super) fn count(base: usize) -> usize {
    lock().iter().filter(|entry| entry.base == base).count()
}

fn run(is_meant: impl Fn(&Entry) -> bool) {
    let thread = super::threads::current();
    let next = || {
        let mut entries = lock();
        let at = entries
            .iter()
            .rposition(|entry| entry.thread == thread && is_meant(entry))?;
        Some(entries.remove(at))
    };
    // Not locked while one runs: it may register another.
    while let Some(entry) = next() {
        let object = std::ptr::with_exposed_provenance_mut(entry.object);
        // SAFETY: the library registered this function for this object and this thread, and is
        // still mapped: it is closed only when `count` says 0.
        unsafe { (entry.destructor)(object) };
    }
}

fn lock() -> MutexGuard<'static, Vec<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what is left when the thread ends.
struct AtThreadEnd;

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        run(|_| true);
    }
}

thread_local! {
    static AT_THREAD_END: AtThreadEnd = const { AtThreadEnd };
}

unsafe extern "C" {
    /// The program's own handle, from the C start-up files.
    static __dso_handle: u8;
}

/// The same function of glibc.
type Register = unsafe extern "C" fn(Destructor, *mut c_void, *mut c_void) -> c_int;

/// Registers a destructor for an object of this thread. Compilers emit the calls.
///
/// # Safety
/// `destructor` may be called with `object` on this thread until the library that `handle` belongs
/// to is closed.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: Destructor,
    object: *mut c_void,
    handle: *mut c_void,
) -> c_int {
    if handle.cast_const() != (&raw const __dso_handle).cast()
        && let Some(base) = plugin_at(handle)
        // Too late on a thread that is past its end: then glibc runs it.
        && AT_THREAD_END.try_with(|_| ()).is_ok()
    {
        lock().push(Entry {
            thread: super::threads::current(),
            base,
            destructor,
            object: object.expose_provenance(),
        });
        return 0;
    }
    static OF_GLIBC: OnceLock<Option<Register>> = OnceLock::new();
    let register = OF_GLIBC.get_or_init(|| {
        let found = of_the_c_library(c"__cxa_thread_atexit_impl");
        // SAFETY: null is `None`, and any other value is glibc's function of this type.
        unsafe { std::mem::transmute::<*mut c_void, Option<Register>>(found) }
    });
    match register {
        // SAFETY: as for this function; the arguments are handed on as they came.
        Some(register) => unsafe { register(destructor, object, handle) },
        None => -1,
    }
}

/// Where the plugin that contains an address is mapped; `None` for anybody else's address.
pub(super) fn plugin_at(address: *const c_void) -> Option<usize> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address may be asked about; `info` is valid for writing.
    if unsafe { libc::dladdr(address, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: zeroed is a valid value, and dladdr has filled it.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: not null; a string that lives as long as the library, which contains the caller.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    name.to_bytes()
        .starts_with(super::dl::PATH_PREFIX.as_bytes())
        .then_some(info.dli_fbase.addr())
}

/// The function of this name that would be called if the program had none; null if there is none.
pub(super) fn of_the_c_library(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends with NUL; RTLD_NEXT asks whoever comes after the program.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}
