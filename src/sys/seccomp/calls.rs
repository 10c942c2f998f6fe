//! Which system calls there are for what: names of the C library's, which differ by architecture.
//!
//! A plugin and the libraries that it needs make calls as well, so the list is of what programs
//! commonly do with what they have, not of what the loop was seen to call. Each is here because it
//! reaches nobody outside, or only what other means (Landlock, permissions) watch over.

use crate::sys::raw::unified;
use libc::c_long;

/// The numbers of these calls.
macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// What a busy server calls, first: where the kernel keeps no table of what is always allowed
/// (before Linux 5.11) the list is gone through at every call.
#[rustfmt::skip]
const HOT: &[c_long] = calls![
    SYS_epoll_pwait SYS_recvfrom SYS_sendfile SYS_accept4 SYS_epoll_ctl SYS_close
    SYS_futex SYS_read SYS_write SYS_readv SYS_writev SYS_recvmsg SYS_clock_gettime
];

#[rustfmt::skip]
const COMMON: &[c_long] = calls![
    // Files.
    SYS_openat SYS_statx SYS_faccessat SYS_readlinkat SYS_getdents64 SYS_preadv SYS_pwritev
    SYS_preadv2 SYS_pwritev2 SYS_fallocate SYS_readahead SYS_fsync SYS_fdatasync SYS_syncfs
    SYS_flock SYS_mkdirat SYS_unlinkat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_fchmod
    SYS_fchmodat SYS_utimensat SYS_getcwd SYS_chdir SYS_fchdir SYS_umask SYS_splice SYS_tee
    SYS_vmsplice SYS_copy_file_range SYS_memfd_create SYS_lseek SYS_fcntl SYS_ftruncate
    SYS_truncate SYS_statfs SYS_fstatfs SYS_fstat
    // Waiting.
    SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch SYS_dup SYS_dup3 SYS_pipe2
    SYS_eventfd2 SYS_signalfd4 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_ppoll
    SYS_pselect6 SYS_epoll_create1
    // Memory.
    SYS_brk SYS_munmap SYS_mremap SYS_madvise SYS_mlock SYS_mlock2 SYS_munlock SYS_mincore SYS_msync
    SYS_membarrier
    // Sockets; making them is looked at.
    SYS_socketpair SYS_bind SYS_listen SYS_connect SYS_getsockname SYS_getpeername
    SYS_recvmmsg SYS_setsockopt SYS_getsockopt SYS_shutdown
    // This process and its children.
    SYS_getpid SYS_getppid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid
    SYS_getresgid SYS_getgroups SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_capget
    SYS_getrandom SYS_uname SYS_sysinfo SYS_getrusage SYS_times SYS_getcpu SYS_prctl
    SYS_set_tid_address SYS_set_robust_list SYS_get_robust_list SYS_sched_yield
    SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam SYS_sched_getscheduler
    SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_rr_get_interval SYS_getpriority
    SYS_setpriority SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tkill SYS_tgkill
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait
    SYS_rt_sigsuspend SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_sigaltstack SYS_restart_syscall
    // Time.
    SYS_nanosleep SYS_clock_getres SYS_clock_nanosleep SYS_gettimeofday SYS_getitimer SYS_setitimer
    SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete
    // To be locked in further.
    SYS_seccomp
];

/// Calls that have the same number everywhere.
const UNIFIED: &[c_long] = &[
    unified(424), // pidfd_send_signal
    unified(434), // pidfd_open
    unified(436), // close_range
    unified(437), // openat2
    unified(439), // faccessat2
    unified(441), // epoll_pwait2
    unified(444), // landlock_create_ruleset
    unified(445), // landlock_add_rule
    unified(446), // landlock_restrict_self
    unified(449), // futex_waitv
    unified(451), // cachestat
    unified(452), // fchmodat2
    unified(454), // futex_wake
    unified(455), // futex_wait
    unified(456), // futex_requeue
    unified(462), // mseal
];

/// The last number that this file knows of. What is newer does not exist, for whoever asks; a
/// library then does without it, as on a kernel of its time.
pub(super) const LAST: c_long = unified(462);

/// What newer architectures leave out.
#[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
#[rustfmt::skip]
const OLD: &[c_long] = calls![
    SYS_access SYS_creat SYS_dup2 SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_getdents
    SYS_getpgrp SYS_inotify_init SYS_link SYS_lstat SYS_mkdir SYS_open SYS_pause SYS_pipe SYS_poll
    SYS_readlink SYS_rename SYS_rmdir SYS_signalfd SYS_stat SYS_symlink SYS_unlink SYS_utimes
    SYS_chmod SYS_renameat
];
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const OLD: &[c_long] = &[];

/// What is of one width, or of one architecture.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OWN: &[c_long] = calls![
    SYS_newfstatat SYS_pread64 SYS_pwrite64 SYS_fadvise64 SYS_sync_file_range SYS_accept SYS_rseq
    SYS_getrlimit SYS_alarm SYS_arch_prctl SYS_select SYS_time SYS_utime
];
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
#[rustfmt::skip]
const OWN: &[c_long] = calls![
    SYS_newfstatat SYS_pread64 SYS_pwrite64 SYS_fadvise64 SYS_accept SYS_rseq
];
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
#[rustfmt::skip]
const OWN: &[c_long] = calls![
    SYS_pread64 SYS_pwrite64 SYS_fstatat64 SYS__newselect SYS_ugetrlimit SYS_getuid32
    SYS_geteuid32 SYS_getgid32 SYS_getegid32 SYS_getresuid32 SYS_getresgid32 SYS_getgroups32
];
#[cfg(target_arch = "mips")]
const OWN: &[c_long] = &[
    4142, // _newselect
    4168, // accept
    4175, // recv
    4178, // send
    4200, // pread64
    4201, // pwrite64
    4254, // fadvise64
    4293, // fstatat64
    4305, // sync_file_range
    4367, // rseq
    libc::SYS_getrlimit,
    libc::SYS_alarm,
    libc::SYS_time,
    libc::SYS_utime,
    libc::SYS_set_thread_area,
    libc::SYS_cacheflush,
    libc::SYS_sysmips,
    libc::SYS_waitpid,
];

/// Where numbers have 32 bits, files have more.
#[cfg(target_pointer_width = "32")]
#[rustfmt::skip]
const NARROW: &[c_long] = calls![
    SYS__llseek SYS_fstat64 SYS_stat64 SYS_lstat64 SYS_fcntl64 SYS_sendfile64 SYS_ftruncate64
    SYS_truncate64 SYS_statfs64 SYS_fstatfs64 SYS_sigreturn SYS_sigprocmask SYS_sigaction
];
#[cfg(not(target_pointer_width = "32"))]
const NARROW: &[c_long] = &[];

/// And times.
#[cfg(target_pointer_width = "32")]
const TIMES: &[c_long] = &[
    unified(403), // clock_gettime64
    unified(406), // clock_getres_time64
    unified(407), // clock_nanosleep_time64
    unified(408), // timer_gettime64
    unified(409), // timer_settime64
    unified(410), // timerfd_gettime64
    unified(411), // timerfd_settime64
    unified(412), // utimensat_time64
    unified(413), // pselect6_time64
    unified(414), // ppoll_time64
    unified(417), // recvmmsg_time64
    unified(421), // rt_sigtimedwait_time64
    unified(422), // futex_time64
    unified(423), // sched_rr_get_interval_time64
];
#[cfg(not(target_pointer_width = "32"))]
const TIMES: &[c_long] = &[];

/// What neither the C library's names nor the others have.
#[cfg(target_arch = "x86")]
const REST: &[c_long] = &[
    102, // socketcall, which old C libraries do all with
    250, // fadvise64
    272, // fadvise64_64
    314, // sync_file_range
    386, // rseq
    libc::SYS_alarm,
    libc::SYS_time,
    libc::SYS_utime,
    libc::SYS_waitpid,
    libc::SYS_getrlimit,
    libc::SYS_set_thread_area,
    libc::SYS_get_thread_area,
];
#[cfg(target_arch = "arm")]
const REST: &[c_long] = &[
    270,       // arm_fadvise64_64
    285,       // accept
    289,       // send
    291,       // recv
    341,       // sync_file_range2
    398,       // rseq
    0x0f_0002, // cacheflush
    0x0f_0005, // set_tls
];
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const REST: &[c_long] = &[];

/// What is always allowed.
pub(super) const ALLOWED: [&[c_long]; 8] = [HOT, COMMON, UNIFIED, OLD, OWN, NARROW, TIMES, REST];

/// What sends, with the place of the flags among its arguments.
pub(super) const SENDING: &[(c_long, usize)] = &[
    (libc::SYS_sendto, 3),
    (libc::SYS_sendmsg, 2),
    (libc::SYS_sendmmsg, 3),
];

/// What starts programs, and processes that are no threads.
pub(super) const EXEC: &[c_long] = calls![SYS_execve SYS_execveat];
#[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "arm"))]
pub(super) const FORK: &[c_long] = calls![SYS_fork SYS_vfork];
#[cfg(target_arch = "mips")]
pub(super) const FORK: &[c_long] = calls![SYS_fork];
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
pub(super) const FORK: &[c_long] = &[];

/// What maps memory, with the protection as its third argument and the flags as its fourth.
#[cfg(target_pointer_width = "64")]
pub(super) const MMAP: c_long = libc::SYS_mmap;
#[cfg(target_pointer_width = "32")]
pub(super) const MMAP: c_long = libc::SYS_mmap2;

/// What no plugin calls in passing: it ends the process, and the log says whose doing it was.
#[rustfmt::skip]
pub(super) const HOSTILE: &[c_long] = calls![
    SYS_ptrace SYS_process_vm_writev SYS_kexec_load SYS_init_module SYS_finit_module
    SYS_delete_module SYS_mount SYS_umount2 SYS_pivot_root SYS_setns SYS_unshare SYS_bpf SYS_reboot
    SYS_swapon SYS_swapoff SYS_open_by_handle_at
];

/// The same, of the same number everywhere.
pub(super) const HOSTILE_UNIFIED: &[c_long] = &[
    unified(428), // open_tree
    unified(429), // move_mount
    unified(430), // fsopen
    unified(431), // fsconfig
    unified(432), // fsmount
    unified(433), // fspick
    unified(442), // mount_setattr
];

/// What a program may try, and do without: refused to everybody.
#[rustfmt::skip]
pub(super) const RISKY: &[c_long] = calls![
    SYS_process_vm_readv SYS_keyctl SYS_add_key SYS_request_key SYS_perf_event_open SYS_userfaultfd
    SYS_kcmp SYS_acct SYS_quotactl SYS_syslog SYS_settimeofday SYS_clock_settime SYS_adjtimex
    SYS_clock_adjtime SYS_personality
];

/// The same, of the same number everywhere.
pub(super) const RISKY_UNIFIED: &[c_long] = &[
    unified(425), // io_uring_setup
    unified(426), // io_uring_enter
    unified(427), // io_uring_register
    unified(438), // pidfd_getfd
    unified(440), // process_madvise
];
