//! Seccomp (seccomp(2)): the process gives up the system calls that a server does not make.
//!
//! It is for good, and for all that the process starts from then on. The filter is a program of
//! classic BPF that the kernel runs before a call; it sees numbers and words, and no memory. What it
//! always allows the kernel remembers (Linux 5.11): such a call costs 40 ns more than without a
//! filter, one that is decided by its arguments 20 ns more than that. INVARIANT: of the calls of the
//! loop only sending is.
//!
//! Three answers beside yes: an error, as from a kernel that does not permit it; "no such call" for
//! what is newer than this file; and for what no honest library tries, SIGSYS, whose handler says
//! which plugin it was.

#[cfg(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64",
    target_arch = "mips"
))]
mod calls;

/// Nobody has written them down.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64",
    target_arch = "mips"
)))]
mod calls {
    use libc::c_long;
    pub(super) const LAST: c_long = 0;
    pub(super) const ALLOWED: [&[c_long]; 0] = [];
    pub(super) const SENDING: &[(c_long, usize)] = &[];
    pub(super) const EXEC: &[c_long] = &[];
    pub(super) const FORK: &[c_long] = &[];
    pub(super) const MMAP: c_long = libc::SYS_mmap;
    pub(super) const HOSTILE: &[c_long] = &[];
    pub(super) const HOSTILE_UNIFIED: &[c_long] = &[];
    pub(super) const RISKY: &[c_long] = &[];
    pub(super) const RISKY_UNIFIED: &[c_long] = &[];
}

use super::raw;
use libc::{c_long, sock_filter};
use std::io;
use std::mem::offset_of;

/// What the filter leaves.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Programs can be started.
    pub exec: bool,
    /// Sockets can be of any protocol, not of TCP and Unix alone.
    pub network: bool,
    /// Memory can be written and then run.
    pub code: bool,
    /// Calls that nobody has listed can be made: all but the dangerous ones.
    pub calls: bool,
}

/// Installs the filter; how many calls it allows. The process must have given up new privileges.
///
/// # Errors
/// The kernel has none, or this architecture is not known.
pub fn install(policy: Policy) -> io::Result<usize> {
    let Some(architecture) = ARCHITECTURE else {
        let what = "the calls of this architecture are not known";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    };
    raw::seccomp(&program(architecture, policy))?;
    Ok(count(policy))
}

/// How the kernel calls this architecture (linux/audit.h).
const ARCHITECTURE: Option<u32> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64"))
{
    Some(0xc000_003e)
} else if cfg!(target_arch = "x86") {
    Some(0x4000_0003)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xc000_00b7)
} else if cfg!(all(target_arch = "arm", target_endian = "little")) {
    Some(0x4000_0028)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else if cfg!(all(target_arch = "mips", target_endian = "big")) {
    Some(8)
} else if cfg!(all(target_arch = "mips", target_endian = "little")) {
    Some(0x4000_0008)
} else {
    None
};

/// Where numbers of x86-64's other ABI begin, which nobody here speaks.
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const TRAP: u32 = libc::SECCOMP_RET_TRAP;
const NOT_PERMITTED: u32 = fail(libc::EPERM);
const NO_SUCH_CALL: u32 = fail(libc::ENOSYS);

const fn fail(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

fn count(policy: Policy) -> usize {
    let listed: usize = calls::ALLOWED.iter().map(|list| list.len()).sum();
    // Those that are looked at: socket, clone, ioctl, prlimit64, mmap, mprotect.
    let listed = listed + 6 + calls::SENDING.len();
    let exec = calls::EXEC.len() + calls::FORK.len();
    listed + if policy.exec { exec } else { 0 }
}

/// The filter.
fn program(architecture: u32, policy: Policy) -> Vec<sock_filter> {
    let mut code = Vec::new();
    code.push(load(offset_of!(libc::seccomp_data, arch)));
    code.push(is(architecture, 1, 0));
    code.push(answer(KILL));
    code.push(load(offset_of!(libc::seccomp_data, nr)));
    for (call, flags) in calls::SENDING {
        when(&mut code, *call, &send(policy, *flags));
    }
    for list in calls::ALLOWED {
        allow(&mut code, list);
    }
    if policy.exec {
        allow(&mut code, calls::EXEC);
        allow(&mut code, calls::FORK);
    }
    when(&mut code, libc::SYS_socket, &socket(policy));
    when(&mut code, libc::SYS_clone, &clone(policy));
    when(&mut code, calls::MMAP, &map(policy));
    when(&mut code, libc::SYS_mprotect, &protect(policy));
    when(&mut code, libc::SYS_ioctl, &control());
    if !policy.calls {
        when(&mut code, libc::SYS_prlimit64, &limit());
    }
    // The C library goes on with clone(2), whose flags can be seen.
    when(&mut code, raw::unified(435), &[answer(NO_SUCH_CALL)]);
    for list in [calls::HOSTILE, calls::HOSTILE_UNIFIED] {
        list.iter()
            .for_each(|call| when(&mut code, *call, &[answer(TRAP)]));
    }
    if cfg!(target_arch = "x86_64") {
        code.extend([at_least(X32, 0, 1), answer(NO_SUCH_CALL)]);
    }
    if policy.calls {
        for list in [calls::RISKY, calls::RISKY_UNIFIED] {
            list.iter()
                .for_each(|call| when(&mut code, *call, &[answer(NOT_PERMITTED)]));
        }
        code.push(answer(ALLOW));
    } else {
        code.extend([
            at_least(number(calls::LAST) + 1, 0, 1),
            answer(NO_SUCH_CALL),
        ]);
        code.push(answer(NOT_PERMITTED));
    }
    code
}

/// Who sends with the first packet connects without connect(2), and Landlock does not notice.
fn send(policy: Policy, flags: usize) -> Vec<sock_filter> {
    if policy.network {
        return vec![answer(ALLOW)];
    }
    let mut code = vec![argument(flags), and(libc::MSG_FASTOPEN as u32)];
    code.push(is(0, 0, 1));
    code.extend([answer(ALLOW), answer(fail(libc::EACCES))]);
    code
}

/// Without `network` TCP and Unix sockets are left; who connects by TCP is Landlock's matter.
fn socket(policy: Policy) -> Vec<sock_filter> {
    const TCP: u32 = libc::IPPROTO_TCP as u32;
    let mut code = vec![argument(0)];
    let mut families = vec![libc::AF_UNIX];
    if policy.network {
        families.extend([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]);
    }
    for family in families {
        code.push(is(family as u32, 0, 1));
        code.push(answer(ALLOW));
    }
    if !policy.network {
        code.push(is(libc::AF_INET as u32, 2, 0));
        code.push(is(libc::AF_INET6 as u32, 1, 0));
        code.push(answer(fail(libc::EAFNOSUPPORT)));
        // The other bits are flags.
        code.extend([argument(1), and(0xf)]);
        code.push(is(libc::SOCK_STREAM as u32, 1, 0));
        code.push(answer(fail(libc::EACCES)));
        code.push(argument(2));
        code.push(is(0, 1, 0));
        code.push(is(TCP, 0, 1));
        code.push(answer(ALLOW));
        code.push(answer(fail(libc::EACCES)));
    }
    code.push(answer(fail(libc::EAFNOSUPPORT)));
    code
}

/// Threads; processes only for who may start programs; namespaces never.
fn clone(policy: Policy) -> Vec<sock_filter> {
    const NAMESPACES: i32 = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    const THREAD: i32 = libc::CLONE_VM | libc::CLONE_THREAD;
    let (mask, wanted) = if policy.exec {
        (NAMESPACES, 0)
    } else {
        (NAMESPACES | THREAD, THREAD)
    };
    let mut code = vec![argument(0), and(mask as u32)];
    code.push(is(wanted as u32, 0, 1));
    code.extend([answer(ALLOW), answer(NOT_PERMITTED)]);
    code
}

/// Mappings that can be run are of files, and cannot be written.
fn map(policy: Policy) -> Vec<sock_filter> {
    const BOTH: u32 = (libc::PROT_WRITE | libc::PROT_EXEC) as u32;
    if policy.code || policy.calls {
        return vec![answer(ALLOW)];
    }
    let mut code = vec![argument(2), and(BOTH)];
    code.push(is(BOTH, 0, 1));
    code.push(answer(NOT_PERMITTED));
    code.push(is(libc::PROT_EXEC as u32, 1, 0));
    code.push(answer(ALLOW));
    code.extend([argument(3), and(libc::MAP_ANONYMOUS as u32)]);
    code.push(is(0, 0, 1));
    code.extend([answer(ALLOW), answer(NOT_PERMITTED)]);
    code
}

/// What is mapped cannot be made to run later.
fn protect(policy: Policy) -> Vec<sock_filter> {
    if policy.code || policy.calls {
        return vec![answer(ALLOW)];
    }
    let mut code = vec![argument(2), and(libc::PROT_EXEC as u32)];
    code.push(is(0, 0, 1));
    code.extend([answer(ALLOW), answer(NOT_PERMITTED)]);
    code
}

/// Whoever writes into a terminal types for its user.
fn control() -> Vec<sock_filter> {
    let mut code = vec![argument(1)];
    for command in [libc::TIOCSTI as u32, libc::TIOCLINUX as u32] {
        code.push(is(command, 0, 1));
        code.push(answer(NOT_PERMITTED));
    }
    code.push(answer(ALLOW));
    code
}

/// The limits of this process alone.
fn limit() -> Vec<sock_filter> {
    let mut code = vec![argument(0)];
    code.push(is(0, 0, 1));
    code.extend([answer(ALLOW), answer(NOT_PERMITTED)]);
    code
}

fn allow(code: &mut Vec<sock_filter>, calls: &[c_long]) {
    for call in calls {
        code.push(is(number(*call), 0, 1));
        code.push(answer(ALLOW));
    }
}

/// Does `body`, which always answers, if it is this call.
fn when(code: &mut Vec<sock_filter>, call: c_long, body: &[sock_filter]) {
    let over = u8::try_from(body.len()).expect("bodies are a few instructions long");
    code.push(is(number(call), 0, over));
    code.extend(body);
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).expect("numbers of calls are small")
}

fn load(offset: usize) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32)
}

/// The lower half of an argument: those that are looked at are no longer.
fn argument(index: usize) -> sock_filter {
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    load(offset_of!(libc::seccomp_data, args) + index * 8 + half)
}

fn and(mask: u32) -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
}

fn answer(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Skips so many instructions if the value is this, and so many if not.
fn is(value: u32, skip: u8, otherwise: u8) -> sock_filter {
    jump(libc::BPF_JEQ, value, skip, otherwise)
}

fn at_least(value: u32, skip: u8, otherwise: u8) -> sock_filter {
    jump(libc::BPF_JGE, value, skip, otherwise)
}

fn jump(kind: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    let code = (libc::BPF_JMP | kind | libc::BPF_K) as u16;
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter on a call.
    fn run(code: &[sock_filter], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
        let word = |at: usize| match at {
            0 => nr,
            4 => arch,
            16.. => {
                let bytes = args[(at - 16) / 8].to_ne_bytes();
                let at = (at - 16) % 8;
                u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
            }
            _ => panic!("nothing else is looked at"),
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let one = code[at];
            at += 1;
            let goes = match u32::from(one.code) {
                0x20 => {
                    value = word(one.k as usize);
                    continue;
                }
                0x54 => {
                    value &= one.k;
                    continue;
                }
                0x06 => return one.k,
                0x15 => value == one.k,
                0x35 => value >= one.k,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if goes { one.jt } else { one.jf });
        }
    }

    fn ask(policy: Policy, call: c_long, args: &[u64]) -> u32 {
        let arch = ARCHITECTURE.expect("a known architecture");
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        run(&program(arch, policy), arch, call as u32, all)
    }

    const STRICT: Policy = Policy {
        exec: false,
        network: false,
        code: false,
        calls: false,
    };

    #[test]
    fn calls_are_answered_by_what_is_kept() {
        let exec = Policy {
            exec: true,
            ..STRICT
        };
        let network = Policy {
            network: true,
            ..STRICT
        };
        let code = Policy {
            code: true,
            ..STRICT
        };
        let wide = Policy {
            calls: true,
            ..STRICT
        };
        let (unix, inet) = (libc::AF_UNIX as u64, libc::AF_INET as u64);
        let packet = libc::AF_PACKET as u64;
        let stream = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64;
        let fast = libc::MSG_FASTOPEN as u64;
        let datagram = libc::SOCK_DGRAM as u64;
        let (write, run) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
        let anonymous = (libc::MAP_ANONYMOUS | libc::MAP_PRIVATE) as u64;
        let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_FILES) as u64;
        let commands = [libc::FIONBIO as u32, libc::TIOCSTI as u32];
        let [harmless, typing] = commands.map(u64::from);
        let namespace = libc::CLONE_NEWUSER as u32 as u64;
        let (denied, none) = (NOT_PERMITTED, NO_SUCH_CALL);
        let family = fail(libc::EAFNOSUPPORT);
        let access = fail(libc::EACCES);
        let table: &[(Policy, c_long, &[u64], u32)] = &[
            (STRICT, libc::SYS_read, &[], ALLOW),
            (STRICT, libc::SYS_sendfile, &[], ALLOW),
            (STRICT, libc::SYS_execve, &[], denied),
            (exec, libc::SYS_execve, &[], ALLOW),
            (STRICT, libc::SYS_mount, &[], TRAP),
            (wide, libc::SYS_mount, &[], TRAP),
            (exec, libc::SYS_ptrace, &[], TRAP),
            (STRICT, libc::SYS_keyctl, &[], denied),
            (wide, libc::SYS_keyctl, &[], denied),
            (STRICT, libc::SYS_sethostname, &[], denied),
            (wide, libc::SYS_sethostname, &[], ALLOW),
            (wide, raw::unified(425), &[], denied),
            (wide, raw::unified(435), &[], none),
            (STRICT, raw::unified(900), &[], none),
            (wide, raw::unified(900), &[], ALLOW),
            (STRICT, libc::SYS_socket, &[unix, datagram], ALLOW),
            (STRICT, libc::SYS_socket, &[inet, stream, 0], ALLOW),
            (STRICT, libc::SYS_socket, &[inet, stream, 6], ALLOW),
            // SCTP and the like are no matter of Landlock's.
            (STRICT, libc::SYS_socket, &[inet, stream, 132], access),
            (STRICT, libc::SYS_socket, &[inet, datagram, 0], access),
            (STRICT, libc::SYS_socket, &[packet, datagram], family),
            (network, libc::SYS_socket, &[inet, datagram, 0], ALLOW),
            (network, libc::SYS_socket, &[packet, datagram], family),
            (STRICT, libc::SYS_sendto, &[0, 0, 0, 0x4000], ALLOW),
            (STRICT, libc::SYS_sendto, &[0, 0, 0, fast], access),
            (STRICT, libc::SYS_sendmsg, &[0, 0, fast], access),
            (wide, libc::SYS_sendmmsg, &[0, 0, 0, fast], access),
            (network, libc::SYS_sendto, &[0, 0, 0, fast], ALLOW),
            (STRICT, libc::SYS_clone, &[thread], ALLOW),
            (STRICT, libc::SYS_clone, &[17], denied),
            (exec, libc::SYS_clone, &[17], ALLOW),
            (exec, libc::SYS_clone, &[thread | namespace], denied),
            (exec, libc::SYS_clone, &[17 | namespace], denied),
            (STRICT, calls::MMAP, &[0, 0, write, anonymous], ALLOW),
            (STRICT, calls::MMAP, &[0, 0, run, 2], ALLOW),
            (STRICT, calls::MMAP, &[0, 0, run, anonymous], denied),
            (STRICT, calls::MMAP, &[0, 0, run | write, 2], denied),
            (code, calls::MMAP, &[0, 0, run | write, anonymous], ALLOW),
            (STRICT, libc::SYS_mprotect, &[0, 0, 1], ALLOW),
            (STRICT, libc::SYS_mprotect, &[0, 0, 1 | run], denied),
            (code, libc::SYS_mprotect, &[0, 0, 1 | run], ALLOW),
            (STRICT, libc::SYS_ioctl, &[0, harmless], ALLOW),
            (STRICT, libc::SYS_ioctl, &[0, typing], denied),
            (STRICT, libc::SYS_prlimit64, &[0], ALLOW),
            (STRICT, libc::SYS_prlimit64, &[1], denied),
            (wide, libc::SYS_prlimit64, &[1], ALLOW),
        ];
        for (index, (policy, call, args, wanted)) in table.iter().enumerate() {
            let got = ask(*policy, *call, args);
            assert_eq!(got, *wanted, "row {index}: {got:#x}");
        }
    }

    #[test]
    fn another_architecture_is_the_end() {
        let own = ARCHITECTURE.expect("a known architecture");
        let code = program(own, STRICT);
        assert!(code.len() < 4096);
        assert_eq!(run(&code, own ^ 1, libc::SYS_read as u32, [0; 6]), KILL);
        if cfg!(target_arch = "x86_64") {
            let policy = Policy {
                calls: true,
                ..STRICT
            };
            assert_eq!(ask(policy, X32 as c_long | 59, &[]), NO_SUCH_CALL);
        }
    }

    #[test]
    fn what_is_forbidden_is_not_allowed_elsewhere() {
        let lists = [
            calls::HOSTILE,
            calls::HOSTILE_UNIFIED,
            calls::RISKY,
            calls::RISKY_UNIFIED,
            calls::EXEC,
            calls::FORK,
        ];
        for list in lists {
            for call in list {
                let is_allowed = calls::ALLOWED.iter().any(|list| list.contains(call));
                assert!(!is_allowed, "call {call}");
            }
        }
    }

    #[test]
    fn the_kernel_takes_it_and_holds_a_thread_to_it() {
        let outcome = std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            let count = install(STRICT)?;
            assert!(count > 100);
            let error = std::process::Command::new("/bin/true").spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            let error = std::net::UdpSocket::bind("127.0.0.1:0").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            std::thread::spawn(|| 7).join().unwrap();
            Ok::<_, io::Error>(())
        });
        match outcome.join().unwrap() {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                eprintln!("skipped: this kernel has no seccomp");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
