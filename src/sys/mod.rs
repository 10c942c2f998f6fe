//! The fence: the only code that talks to the kernel.
//!
//! Everything here is a safe function over descriptors and bytes. It owns its descriptors, returns
//! `io::Result`, gives "would block" as a value, and knows nothing of HTTP or of connections.
//! `polling`, `rustix`, `libc`, `libloading` and `inotify` are named here and nowhere else; the files
//! with `unsafe` are listed in tests/tidy.rs.

pub mod abi;
pub mod accounts;
pub mod activation;
pub mod append;
pub mod beneath;
pub mod child;
pub mod clock;
pub mod crash;
pub mod daemon;
pub mod dl;
mod fatal;
pub mod file;
pub mod footprint;
pub mod guest;
pub mod heir;
#[cfg(keeps_thread_locals)]
mod keys;
pub mod landlock;
pub mod local;
pub mod memfd;
pub mod notify;
pub mod outside;
pub mod pid_file;
pub mod poll;
pub mod privileges;
pub mod process;
mod raw;
pub mod seccomp;
pub mod signal;
pub mod small_file;
pub mod socket;
pub mod spool;
pub mod supervise;
pub mod syslog;
mod table;
pub mod threads;
#[cfg(keeps_thread_locals)]
mod tls;
pub mod watch;
/// Where libraries are not unmapped anyway, nothing is kept.
#[cfg(not(keeps_thread_locals))]
mod tls {
    pub(super) fn plugin_at(_: *const std::ffi::c_void) -> Option<usize> {
        None
    }
    pub(super) fn run_here(_: usize) {}
    pub(super) fn forget(_: usize) {}
    pub(super) fn count(_: usize) -> usize {
        0
    }
}
