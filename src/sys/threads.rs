//! The threads of this process: which of them the server started, and whether there are others.
//!
//! A library must not be unmapped while a thread of its own may still run in it. The kernel does
//! not tell who started a thread, so the server's own threads say so themselves, first thing.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The kernel's numbers of the threads that registered. Those that have ended are taken out when
/// somebody looks.
static OWN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// How long a thread that has been joined may still be listed: the kernel wakes whoever joins it
/// just before it takes it off the list.
const ENDING: Duration = Duration::from_millis(20);

/// Says that this thread is the server's. Every thread that the server starts calls it before
/// anything else; the first thread of the process need not.
pub fn register_own() {
    let id = current();
    let mut own = lock();
    if !own.contains(&id) {
        own.push(id);
    }
}

/// Lets the other threads come before this one and its children. There is no way back.
pub fn stand_back() {
    // For the kernel a thread is what this names. What fails here only makes others wait longer.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// A tenth of the processor's time is left when the others want all of it. With less, a library
/// might not be tried in time on a slow machine under load.
const NICE: i32 = 10;

/// The kernel's number of this thread.
#[must_use]
pub fn current() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .cast_unsigned()
}

/// The threads that are not the server's, as `NAME (NUMBER)`. One that is just ending is waited
/// for, briefly.
///
/// # Errors
/// They cannot be listed.
pub fn foreign() -> io::Result<Vec<String>> {
    let start = Instant::now();
    loop {
        let listed = list()?;
        if listed.is_empty() || start.elapsed() >= ENDING {
            return Ok(listed);
        }
        std::thread::sleep(ENDING / 20);
    }
}

/// The threads that are not the server's at this moment; one of them may be just ending.
///
/// # Errors
/// They cannot be listed.
pub fn list() -> io::Result<Vec<String>> {
    let mut alive = vec![std::process::id()];
    for entry in std::fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        alive.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    let mut own = lock();
    own.retain(|id| alive.contains(id));
    let foreign = alive[1..]
        .iter()
        .filter(|id| **id != alive[0] && !own.contains(id));
    Ok(foreign
        .filter_map(|id| {
            // Who cannot be read any more has ended.
            let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
            Some(format!("{} ({id})", name.trim_end().escape_debug()))
        })
        .collect())
}

fn lock() -> MutexGuard<'static, Vec<u32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_foreign_until_it_says_otherwise() {
        let (to_thread, orders) = mpsc::channel::<()>();
        let (to_test, reports) = mpsc::channel();
        let thread = std::thread::Builder::new().name("stranger".into());
        let thread = thread.spawn(move || {
            to_test.send(current()).unwrap();
            orders.recv().unwrap();
            register_own();
            to_test.send(current()).unwrap();
            orders.recv().unwrap();
        });
        let id = reports.recv().unwrap();
        let entry = format!("stranger ({id})");
        assert!(foreign().unwrap().contains(&entry));
        to_thread.send(()).unwrap();
        reports.recv().unwrap();
        assert!(!foreign().unwrap().contains(&entry));
        to_thread.send(()).unwrap();
        thread.unwrap().join().unwrap();
        // Other tests' threads are listed, this one is not.
        assert!(!foreign().unwrap().contains(&entry));
    }
}
