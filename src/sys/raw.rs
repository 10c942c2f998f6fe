//! System calls that `rustix` does not offer: signalfd, cachestat, alarm, options of TCP sockets; and
//! fork and anonymous memory, made safe.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is valid for writing; sigemptyset initialises it and cannot fail for it.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in signals {
        // SAFETY: `set` was initialised above; a bad number is refused by an error.
        if unsafe { libc::sigaddset(set.as_mut_ptr(), signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: initialised by sigemptyset.
    Ok(unsafe { set.assume_init() })
}

/// Blocks `signals` for this thread and those that it will start, and returns a descriptor that
/// becomes readable when one of them is pending.
pub(super) fn signalfd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals)?;
    // SAFETY: `set` outlives the call; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: -1 asks for a new descriptor; `set` outlives the call.
    let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets signals through to this thread again.
pub(super) fn unblock(signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals)?;
    // SAFETY: `set` outlives the call; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok(())
}

/// Lets all signals through to this thread; for a child before its program begins.
pub(super) fn unblock_all() -> io::Result<()> {
    let set = signal_set(&[])?;
    // SAFETY: `set` outlives the call; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok(())
}

/// Gives a signal its default action, whatever this program was started with.
pub(super) fn reset_action(signal: i32) -> io::Result<()> {
    // SAFETY: no handler is installed.
    if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Forks a process that has one thread: the child's number, or 0 in the child. With more threads
/// it is refused, because what the others held locked would stay so in the child.
pub(super) fn fork() -> io::Result<i32> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there is more than one thread"));
    }
    // SAFETY: this is the only thread, so the child's memory is as whole as the parent's.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pid)
}

/// Maps anonymous memory, all zero, that stays mapped. Pages cost nothing until they are used.
pub(super) fn map(bytes: usize, sharing: i32) -> io::Result<*mut libc::c_void> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_ANONYMOUS | sharing,
    );
    // SAFETY: the kernel chooses an address where nothing is mapped.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(address)
}

/// Has this process get SIGALRM after so many seconds.
pub(super) fn alarm(seconds: u32) {
    // SAFETY: it takes any number and touches no memory.
    unsafe { libc::alarm(seconds) };
}

/// Sets an option of a TCP socket whose value is an int.
pub(super) fn set_tcp_option(socket: BorrowedFd<'_>, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` is an int, as all these options take, and outlives the call.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The range that cachestat(2) looks at.
#[repr(C)]
struct CachestatRange {
    offset: u64,
    bytes: u64,
}

/// What cachestat(2) tells, in pages.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// The number of cachestat(2), Linux 6.5. System calls of that time have the same number on all
/// architectures but MIPS, whose three ABIs count from 4000, 5000 and 6000.
const SYS_CACHESTAT: libc::c_long = if cfg!(target_arch = "mips") {
    4451
} else if cfg!(target_arch = "mips64") {
    5451
} else {
    451
};

/// How many pages of a range of a file are in memory.
pub(super) fn cached_pages(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<u64> {
    let mut range = CachestatRange { offset, bytes };
    let mut result = Cachestat::default();
    // SAFETY: both structs are laid out as in linux/mman.h and outlive the call; flags must be 0.
    let failed = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            &raw mut range,
            &raw mut result,
            0,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result.cached)
}
