//! System calls that `rustix` does not offer: signalfd, cachestat, alarm, getresuid, options of TCP
//! sockets; and fork, anonymous memory, the environment and inherited descriptors, made safe.

#![allow(unsafe_code)]

use std::ffi::OsString;
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

/// Whether this is the only thread of the process.
pub(super) fn is_only_thread() -> io::Result<bool> {
    if let Ok(tasks) = std::fs::read_dir("/proc/self/task") {
        return Ok(tasks.count() == 1);
    }
    // In a jail there may be no /proc. The kernel refuses this to a process that has threads, and
    // else it means nothing.
    // SAFETY: it takes no pointer, and a thread cannot be separated from itself.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        error => Err(error),
    }
}

/// Forks a process that has one thread: the child's number, or 0 in the child. With more threads
/// it is refused, because what the others held locked would stay so in the child.
pub(super) fn fork() -> io::Result<i32> {
    if !is_only_thread()? {
        return Err(io::Error::other("there is more than one thread"));
    }
    // SAFETY: this is the only thread, so the child's memory is as whole as the parent's.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pid)
}

/// Takes a variable out of the environment, so that no child gets it. With more than one thread it
/// stays.
pub(super) fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    if is_only_thread().is_ok_and(|is_only| is_only) {
        // SAFETY: there is no other thread that could read the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
    Some(value)
}

/// Lets a descriptor stay open in the program that this process becomes.
pub(super) fn keep_across_exec(number: i32) -> io::Result<()> {
    // SAFETY: it touches no memory; a number that is not open is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Owns a descriptor that this process was started with; `None` if there is none of this number, or
/// if it is a standard stream. It is closed in programs that are started later.
///
/// The caller knows from whoever started this process that it is meant for it, and asks once.
pub(super) fn inherited(number: i32) -> Option<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: it touches no memory; a number that is not open is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and what was handed over by its number nobody in this process has.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The real, the effective and the saved user.
pub(super) fn user_ids() -> io::Result<[u32; 3]> {
    let [mut real, mut effective, mut saved] = [0; 3];
    // SAFETY: the three are valid for writing.
    if unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok([real, effective, saved])
}

/// The real, the effective and the saved group.
pub(super) fn group_ids() -> io::Result<[u32; 3]> {
    let [mut real, mut effective, mut saved] = [0; 3];
    // SAFETY: the three are valid for writing.
    if unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok([real, effective, saved])
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
