//! System calls that `rustix` does not offer: signalfd, cachestat, alarm, getresuid, options of TCP
//! sockets, Landlock, seccomp; and fork, anonymous memory, the environment and inherited descriptors,
//! made safe.

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

/// The number of a system call of Linux 5.1 and later: since then a new one has the same number on
/// all architectures but MIPS, whose three ABIs count from 4000, 5000 and 6000.
pub(super) const fn unified(number: libc::c_long) -> libc::c_long {
    let base = if cfg!(target_arch = "mips") {
        4000
    } else if cfg!(target_arch = "mips64") {
        5000
    } else {
        0
    };
    base + number
}

/// Linux 6.5.
const SYS_CACHESTAT: libc::c_long = unified(451);

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

/// What a set of Landlock's rules is about (linux/landlock.h).
#[repr(C)]
#[derive(Default)]
pub(super) struct LandlockAttributes {
    pub(super) files: u64,
    /// Since ABI 4.
    pub(super) network: u64,
    /// Since ABI 6.
    pub(super) scopes: u64,
}

/// Landlock's rule for a file, or a directory with all that is beneath it.
#[repr(C, packed)]
struct LandlockPath {
    allowed: u64,
    parent: i32,
}

const SYS_LANDLOCK_CREATE_RULESET: libc::c_long = unified(444);
const SYS_LANDLOCK_ADD_RULE: libc::c_long = unified(445);
const SYS_LANDLOCK_RESTRICT_SELF: libc::c_long = unified(446);

/// Which version of Landlock the kernel has.
pub(super) fn landlock_abi() -> io::Result<u32> {
    const VERSION: libc::c_uint = 1;
    let none = std::ptr::null::<LandlockAttributes>();
    // SAFETY: with this flag there are no attributes, and no descriptor is made.
    let abi = unsafe { libc::syscall(SYS_LANDLOCK_CREATE_RULESET, none, 0_usize, VERSION) };
    u32::try_from(abi).map_err(|_| io::Error::last_os_error())
}

/// A set of rules without rules yet. `bytes` is how much of the attributes the kernel knows.
pub(super) fn landlock_ruleset(
    attributes: &LandlockAttributes,
    bytes: usize,
) -> io::Result<OwnedFd> {
    debug_assert!(bytes <= size_of::<LandlockAttributes>());
    let attributes = std::ptr::from_ref(attributes);
    // SAFETY: the attributes are laid out as in linux/landlock.h and have that many bytes.
    let fd = unsafe { libc::syscall(SYS_LANDLOCK_CREATE_RULESET, attributes, bytes, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Adds a rule for what `parent` refers to.
pub(super) fn landlock_allow(
    ruleset: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    allowed: u64,
) -> io::Result<()> {
    const PATH_BENEATH: libc::c_int = 1;
    let rule = LandlockPath {
        allowed,
        parent: parent.as_raw_fd(),
    };
    // SAFETY: the rule is laid out as in linux/landlock.h and outlives the call; flags must be 0.
    let failed = unsafe {
        libc::syscall(
            SYS_LANDLOCK_ADD_RULE,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Holds this thread, and what it will start, to the rules.
pub(super) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: it takes a descriptor and flags, and touches no memory.
    let failed = unsafe { libc::syscall(SYS_LANDLOCK_RESTRICT_SELF, ruleset.as_raw_fd(), 0) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Installs a filter of system calls for this thread and what it will start.
pub(super) fn seccomp(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut(),
    };
    let install = |flags: libc::c_ulong| {
        let filter = libc::SECCOMP_SET_MODE_FILTER;
        let program = &raw const program;
        // SAFETY: the kernel copies the program, which outlives the call, and checks it.
        match unsafe { libc::syscall(libc::SYS_seccomp, filter, flags, program) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // What is refused shows in the kernel's log, since Linux 4.14.
    match install(libc::SECCOMP_FILTER_FLAG_LOG) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(0),
        other => other,
    }
}
