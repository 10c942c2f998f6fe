//! What the filter answers: run by a small machine, and by the kernel in threads of their own.

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
    let datagram = libc::SOCK_DGRAM as u64;
    let (write, run) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    let anonymous = (libc::MAP_ANONYMOUS | libc::MAP_PRIVATE) as u64;
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_FILES) as u64;
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
        (STRICT, libc::SYS_ioctl, &[0, libc::FIONBIO as u64], ALLOW),
        (STRICT, libc::SYS_ioctl, &[0, libc::TIOCSTI as u64], denied),
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
