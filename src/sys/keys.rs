//! Keys of thread-specific data (pthread_key_create) that plugins have made.
//!
//! The other way to have something called at the end of a thread, and nothing takes it back when
//! the library is unmapped: the thread would jump into nowhere. Rust's standard library makes such
//! a key when a plugin asks for the current thread. So the program exports these two functions as
//! well, notes which keys have a destructor in a plugin, and deletes them before it is closed;
//! deleted, a key's destructor is called no more.

#![allow(unsafe_code)]

use super::tls::{Destructor, of_the_c_library, plugin_at};
use libc::pthread_key_t;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A key of a plugin.
#[derive(Copy, Clone)]
struct Key {
    key: pthread_key_t,
    /// Where the plugin is mapped.
    base: usize,
    destructor: Destructor,
}

static KEYS: Mutex<Vec<Key>> = Mutex::new(Vec::new());

/// How often destructors are run that set new values, as at the end of a thread.
const ROUNDS: usize = 4;

/// Runs the destructors for the values that this thread has for keys of the library at `base`.
pub(super) fn run_here(base: usize) {
    for _ in 0..ROUNDS {
        let mut is_done = true;
        let keys: Vec<Key> = lock()
            .iter()
            .filter(|key| key.base == base)
            .copied()
            .collect();
        for key in keys {
            // SAFETY: the key exists: whoever deletes it takes it out of the table.
            let value = unsafe { libc::pthread_getspecific(key.key) };
            if value.is_null() {
                continue;
            }
            is_done = false;
            // SAFETY: as above.
            unsafe { libc::pthread_setspecific(key.key, std::ptr::null()) };
            // SAFETY: the plugin made the key with this destructor for such values, and is still
            // mapped.
            unsafe { (key.destructor)(value) };
        }
        if is_done {
            return;
        }
    }
}

/// Deletes the keys of the library at `base`.
pub(super) fn forget(base: usize) {
    let mut keys = lock();
    let (gone, kept) = keys.iter().partition(|key| key.base == base);
    *keys = kept;
    drop(keys);
    let gone: Vec<Key> = gone;
    for key in gone {
        // SAFETY: the key exists, and nobody else will use it: its owner is being closed.
        unsafe { delete(key.key) };
    }
}

fn lock() -> MutexGuard<'static, Vec<Key>> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

type Create = unsafe extern "C" fn(*mut pthread_key_t, Option<Destructor>) -> c_int;
type Delete = unsafe extern "C" fn(pthread_key_t) -> c_int;

/// Makes a key.
///
/// # Safety
/// As for the function of the C library, which does it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(
    key: *mut pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    static OF_GLIBC: OnceLock<Option<Create>> = OnceLock::new();
    let create = OF_GLIBC.get_or_init(|| {
        let found = of_the_c_library(c"pthread_key_create");
        // SAFETY: null is `None`, and any other value is glibc's function of this type.
        unsafe { std::mem::transmute::<*mut c_void, Option<Create>>(found) }
    });
    let Some(create) = create else {
        return libc::ENOSYS;
    };
    // SAFETY: as the caller promises.
    let failed = unsafe { create(key, destructor) };
    if failed == 0
        && let Some(destructor) = destructor
        && let Some(base) = plugin_at(destructor as *const c_void)
    {
        // SAFETY: the call has just written it.
        let key = unsafe { *key };
        lock().push(Key {
            key,
            base,
            destructor,
        });
    }
    failed
}

/// Deletes a key.
///
/// # Safety
/// As for the function of the C library, which does it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_delete(key: pthread_key_t) -> c_int {
    // First: once it is deleted, its number may be another's.
    lock().retain(|known| known.key != key);
    // SAFETY: as the caller promises.
    unsafe { delete(key) }
}

/// Has the C library delete a key.
///
/// # Safety
/// Nobody uses the key any more.
unsafe fn delete(key: pthread_key_t) -> c_int {
    static OF_GLIBC: OnceLock<Option<Delete>> = OnceLock::new();
    let delete = OF_GLIBC.get_or_init(|| {
        let found = of_the_c_library(c"pthread_key_delete");
        // SAFETY: null is `None`, and any other value is glibc's function of this type.
        unsafe { std::mem::transmute::<*mut c_void, Option<Delete>>(found) }
    });
    match delete {
        // SAFETY: as the caller promises.
        Some(delete) => unsafe { delete(key) },
        None => libc::ENOSYS,
    }
}
