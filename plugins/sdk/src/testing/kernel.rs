//! The few system calls that the standard library does not have: edges of descriptors, signals.

use core::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::abi::ready;

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(packed))]
#[derive(Clone, Copy)]
struct Event {
    events: u32,
    data: u64,
}

unsafe extern "C" {
    fn epoll_create1(flags: c_int) -> c_int;
    fn epoll_ctl(epoll: c_int, op: c_int, fd: c_int, event: *mut Event) -> c_int;
    fn epoll_wait(epoll: c_int, events: *mut Event, max: c_int, ms: c_int) -> c_int;
    fn fcntl(fd: c_int, cmd: c_int, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
}

const CLOEXEC: c_int = 0o200_0000;
const ADD: c_int = 1;
const DEL: c_int = 2;
const IN: u32 = 0x1;
const OUT: u32 = 0x4;
const ERR: u32 = 0x8;
const HUP: u32 = 0x10;
const RDHUP: u32 = 0x2000;
const EDGE: u32 = 1 << 31;
const GETFL: c_int = 3;
const SETFL: c_int = 4;
#[cfg(any(target_arch = "mips", target_arch = "mips64"))]
const NONBLOCK: c_int = 0x80;
#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
const NONBLOCK: c_int = 0o4000;

/// An epoll instance.
pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> Self {
        // SAFETY: no conditions.
        let fd = unsafe { epoll_create1(CLOEXEC) };
        assert!(fd >= 0, "epoll: {}", io::Error::last_os_error());
        // SAFETY: it is new.
        Self(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Edge-triggered, as the server does it.
    pub(super) fn add(&self, fd: c_int, rw: u32, id: u64) -> bool {
        let read = if rw & ready::READ != 0 { IN | RDHUP } else { 0 };
        let write = if rw & ready::WRITE != 0 { OUT } else { 0 };
        let mut event = Event {
            events: read | write | EDGE,
            data: id,
        };
        // SAFETY: `event` may be read; a bad descriptor is an error.
        unsafe { epoll_ctl(self.0.as_raw_fd(), ADD, fd, &mut event) == 0 }
    }

    /// Whether it was still open.
    pub(super) fn remove(&self, fd: c_int) -> bool {
        let mut event = Event { events: 0, data: 0 };
        // SAFETY: `event` may be read; a bad descriptor is an error.
        unsafe { epoll_ctl(self.0.as_raw_fd(), DEL, fd, &mut event) == 0 }
    }

    /// Ids and what they are ready for.
    pub(super) fn wait(&self, ms: c_int) -> Vec<(u64, u32)> {
        let mut events = [Event { events: 0, data: 0 }; 64];
        // SAFETY: 64 events may be written.
        let count = unsafe { epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, ms) };
        let translate = |event: &Event| {
            let (bits, id) = (event.events, event.data);
            let mut ready = 0;
            if bits & (IN | RDHUP | HUP | ERR) != 0 {
                ready |= ready::READ;
            }
            if bits & (OUT | HUP | ERR) != 0 {
                ready |= ready::WRITE;
            }
            if bits & (RDHUP | HUP | ERR) != 0 {
                ready |= ready::HANGUP;
            }
            (id, ready)
        };
        let count = usize::try_from(count).unwrap_or(0);
        events[..count].iter().map(translate).collect()
    }
}

pub(super) fn set_nonblocking(fd: c_int) {
    // SAFETY: a bad descriptor is an error.
    let flags = unsafe { fcntl(fd, GETFL) };
    // SAFETY: as above.
    unsafe { fcntl(fd, SETFL, flags | NONBLOCK) };
}

/// Signals a process group.
pub(super) fn kill_group(pid: u32, signal: c_int) -> bool {
    // SAFETY: no conditions on memory.
    c_int::try_from(pid).is_ok_and(|pid| pid > 1 && unsafe { kill(-pid, signal) == 0 })
}

/// What a descriptor of this process is, to know it again.
pub(super) fn identity(fd: c_int) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    Some((meta.dev(), meta.ino()))
}
