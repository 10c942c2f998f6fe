//! A helper thread that has stopped, as if its disk had: there is none to be had without a device of
//! one's own.

use crate::server::{PATIENCE, Server};
use std::fs;
use std::time::Instant;

/// A helper thread of a server, stopped as a debugger would stop it while this exists. It can be let go only by the thread that
/// stopped it.
pub(crate) struct StoppedThread(libc::pid_t);

impl StoppedThread {
    /// Stops the thread of this name.
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        let name = format!("{name}\n");
        let find = || {
            let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
            let mut tasks = tasks.map(|task| task.unwrap().path());
            tasks.find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|own| own == name))
        };
        // A thread gives itself its name, when it first runs.
        let start = Instant::now();
        let thread = loop {
            match find() {
                Some(thread) => break thread,
                None => assert!(start.elapsed() < PATIENCE, "the server has no {name}"),
            }
            std::thread::yield_now();
        };
        let thread: libc::pid_t = thread
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: neither request reads or writes memory of this process.
            assert_eq!(unsafe { libc::ptrace(request, thread, 0, 0) }, 0);
        }
        // SAFETY: no status is asked for.
        let waited = unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) };
        assert_eq!(waited, thread);
        Self(thread)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        // SAFETY: the request reads and writes no memory of this process.
        if unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0) } != 0 {
            // The server has ended; its thread is still ours to bury.
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL) };
        }
    }
}
