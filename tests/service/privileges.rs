//! Whom the server becomes, and what it is locked into.

use super::server::{Server, program};
use super::{Process, as_nobody, grounds, is_root, open_to_all, said, status, threads};
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

const NOBODY: &str = "65534";

/// Every thread of a process is nobody, with nothing left.
#[track_caller]
fn assert_dropped(pid: u32, group: &str, groups: &str) {
    let threads = threads(pid);
    for &thread in &threads {
        let status = |name| status(pid, thread, name);
        assert_eq!(status("Uid"), [NOBODY; 4].join(" "));
        assert_eq!(status("Gid"), [group; 4].join(" "));
        assert_eq!(status("Groups"), groups);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(set), "0000000000000000", "{set}");
        }
        assert_eq!(status("NoNewPrivs"), "1");
    }
}

#[test]
fn root_is_dropped_in_every_thread() {
    if !is_root("root_is_dropped_in_every_thread") {
        return;
    }
    let (_grounds, root) = grounds();
    for (user, group, groups) in [
        ("65534:65534", "65534", "65534"),
        ("nobody:4321", "4321", "4321"),
        // Nobody is known by this number.
        ("65534:0", "0", "0"),
    ] {
        let server = Server::start(&root, &["--user", user]);
        assert_eq!(server.get("/small.txt").body, b"small");
        assert!(threads(server.pid()).len() > 1);
        assert_dropped(server.pid(), group, groups);
        assert_eq!(server.notices, [""; 0]);
        server.finish(1);
    }
}

#[test]
fn a_supervisor_has_no_more_rights_than_its_workers() {
    if !is_root("a_supervisor_has_no_more_rights_than_its_workers") {
        return;
    }
    let (_grounds, root) = grounds();
    let mut server = Server::start(&root, &["--user", "65534:65534", "--supervise"]);
    for _ in 0..2 {
        let worker = Process::new(server.pid()).child();
        assert_dropped(server.pid(), NOBODY, NOBODY);
        assert_dropped(worker.pid, NOBODY, NOBODY);
        assert_eq!(server.get("/small.txt").body, b"small");
        worker.signal(Signal::KILL);
        worker.wait();
        server.next_line().unwrap();
        assert_eq!(server.next_line().unwrap(), "swiftd: worker restarted");
    }
    server.finish_with_log(1);
}

#[test]
fn all_groups_of_the_user_come_along() {
    if !is_root("all_groups_of_the_user_come_along") {
        return;
    }
    // Somebody who is a member of a group beside the own one.
    let groups = fs::read_to_string("/etc/group").unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let member = groups.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let name = fields
            .get(3)?
            .split(',')
            .next()
            .filter(|name| !name.is_empty())?;
        let entry = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let is_own = entry.split(':').nth(3) == fields.get(2).copied();
        (name != "root" && !is_own).then(|| (name.to_owned(), fields[2].to_owned()))
    });
    let Some((name, group)) = member else {
        eprintln!("all_groups_of_the_user_come_along: skipped, no user has a second group");
        return;
    };
    let (_grounds, root) = grounds();
    let server = Server::start(&root, &["--user", &name]);
    let got = status(server.pid(), server.pid(), "Groups");
    assert!(got.split(' ').any(|it| it == group), "{name}: {got}");
    server.finish(0);
}

#[test]
fn a_low_port_is_bound_before_root_is_dropped() {
    if !is_root("a_low_port_is_bound_before_root_is_dropped") {
        return;
    }
    let (_grounds, root) = grounds();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (600..1024).find(is_free).unwrap().to_string();
    let mut command = program();
    command
        .arg(&root)
        .args(["--port", &port, "--user", "nobody"]);
    let server = Server::spawn(command);
    assert_eq!(server.address().port().to_string(), port);
    assert_eq!(server.get("/small.txt").body, b"small");
    server.finish(1);
}

#[test]
fn what_only_root_may_read_is_not_served() {
    if !is_root("what_only_root_may_read_is_not_served") {
        return;
    }
    let (grounds, root) = grounds();
    use std::os::unix::fs::PermissionsExt;
    fs::write(root.join("secret"), "secret").unwrap();
    fs::set_permissions(root.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    let server = Server::start(&root, &["--user", "nobody"]);
    assert_eq!(server.get("/secret").status, 403);
    server.finish(0);
    let closed = grounds.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = program();
    let output = command.arg(&closed).args(["-p", "0", "--user", "nobody"]);
    let said = said(&output.output().unwrap(), 1);
    assert!(said.contains("needs read and search permission"), "{said}");
}

#[test]
fn root_that_stays_root_is_told_once() {
    if !is_root("root_that_stays_root_is_told_once") {
        return;
    }
    let (_grounds, root) = grounds();
    let server = Server::start(&root, &[]);
    assert_eq!(
        server.notices,
        [
            "swiftd: notice: running as root: set a user who may read what is served and nothing else (--user)"
        ]
    );
    server.finish(0);
    let server = Server::start(&root, &["--user", "root"]);
    assert_eq!(server.notices, [""; 0]);
    assert_eq!(status(server.pid(), server.pid(), "Uid"), "0 0 0 0");
    server.finish(0);
}

#[test]
fn who_is_not_there_is_a_wrong_configuration() {
    let (_grounds, root) = grounds();
    for (user, wanted) in [
        (
            "no-such-user",
            "swiftd: there is no user \"no-such-user\"; make it",
        ),
        (
            "nobody:no-such-group",
            "swiftd: there is no group \"no-such-group\"; make it",
        ),
        (
            "3999999999",
            "swiftd: user 3999999999 is not in the user database, so a group",
        ),
    ] {
        let mut command = program();
        command.arg(&root).args(["-p", "0", "--user", user]);
        let said = said(&command.output().unwrap(), 78);
        assert!(said.starts_with(wanted), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn only_root_becomes_somebody_else() {
    if !is_root("only_root_becomes_somebody_else") {
        return;
    }
    let (grounds, root) = grounds();
    for (arguments, wanted) in [
        (
            ["--user", "root"],
            "swiftd: cannot become user root: only root can; start it as root, or leave user out",
        ),
        (
            ["--chroot", "/"],
            "swiftd: cannot change the root directory to /: only root can; start it as root, or leave chroot out",
        ),
    ] {
        let mut command = as_nobody(grounds.path());
        command.arg(&root).args(["-p", "0"]).args(arguments);
        assert_eq!(said(&command.output().unwrap(), 1), format!("{wanted}\n"));
    }
    // Who is that already need not become it.
    let mut command = as_nobody(grounds.path());
    command.arg(&root).args(["-p", "0", "--user", "65534"]);
    let server = Server::spawn(command);
    assert_eq!(server.get("/small.txt").body, b"small");
    server.finish(1);
}

#[test]
fn a_socket_that_root_made_is_removed_by_whom_it_became() {
    if !is_root("a_socket_that_root_made_is_removed_by_whom_it_became") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let (grounds, root) = grounds();
    let sticky = grounds.path().join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, PermissionsExt::from_mode(0o1777)).unwrap();
    let path = sticky.join("sock");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&root, &["--user", "nobody", "-l", &listen]);
    assert_eq!(fs::metadata(&path).unwrap().uid(), 65_534);
    server.finish(0);
    assert!(!path.exists());
}

#[test]
fn a_jail_holds_the_server_and_its_workers() {
    if !is_root("a_jail_holds_the_server_and_its_workers") {
        return;
    }
    let (grounds, root) = grounds();
    let jail = grounds.path().canonicalize().unwrap();
    // One names the root as seen from outside, one from inside.
    for (root, options) in [
        (root.to_str().unwrap(), &["--user", "nobody"][..]),
        ("/www", &["--user", "nobody", "--supervise"]),
        ("/www", &[]),
    ] {
        let mut command = program();
        command
            .args([root, "-p", "0", "--chroot"])
            .arg(&jail)
            .args(options);
        let mut server = Server::spawn(command);
        let is_supervised = options.contains(&"--supervise");
        let mut server_process = Process::new(server.pid());
        assert_eq!(
            fs::read_link(format!("/proc/{}/root", server.pid())).unwrap(),
            jail
        );
        if is_supervised {
            let worker = server_process.child();
            worker.signal(Signal::KILL);
            worker.wait();
            server.next_line().unwrap();
            assert_eq!(server.next_line().unwrap(), "swiftd: worker restarted");
            server_process = server_process.child();
        }
        let process = format!("/proc/{}", server_process.pid);
        assert_eq!(fs::read_link(format!("{process}/root")).unwrap(), jail);
        // No way leads out: all open directories are inside.
        for entry in fs::read_dir(format!("{process}/fd")).unwrap() {
            let target = fs::metadata(entry.as_ref().unwrap().path());
            if target.is_ok_and(|meta| meta.is_dir()) {
                let target = fs::read_link(entry.unwrap().path()).unwrap();
                assert!(target.starts_with(&jail), "{target:?}");
            }
        }
        // More than is kept in memory, so that the disk thread's ways are gone, too.
        fs::write(jail.join("www/large"), vec![b'x'; 3_000_000]).unwrap();
        assert_eq!(server.get("/small.txt").body, b"small");
        assert_eq!(server.get("/large").body.len(), 3_000_000);
        server.signal(Signal::TERM);
        assert!(server.wait().0.success());
    }
}

#[test]
fn a_jail_that_is_none_ends_the_start() {
    if !is_root("a_jail_that_is_none_ends_the_start") {
        return;
    }
    let (grounds, _root) = grounds();
    let missing = grounds.path().join("missing");
    let mut command = program();
    command.args(["/www", "-p", "0", "--chroot"]).arg(&missing);
    let said = said(&command.output().unwrap(), 1);
    let wanted = format!(
        "cannot change the root directory to {}: No such",
        missing.display()
    );
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_may_be() {
    if !is_root("the_limit_of_descriptors_is_raised_as_far_as_may_be") {
        return;
    }
    let (grounds, root) = grounds();
    open_to_all(grounds.path());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 300; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_swiftd")).arg(&root);
    command.args(["-p", "0", "--user", "nobody"]);
    let server = Server::spawn(command);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft: u64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let own = u64::from_str_radix(
        &status(std::process::id(), std::process::id(), "CapEff"),
        16,
    );
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    if own.unwrap() & CAP_SYS_RESOURCE != 0 {
        assert!(soft >= 16_384, "{soft}");
        assert_eq!(server.notices, [""; 0]);
    } else {
        assert_eq!(soft, 300);
        let wanted = "swiftd: notice: at most 159 connections at the same time instead of 16384: the limit of open files is too low";
        assert!(
            server.notices.concat().starts_with(wanted),
            "{:?}",
            server.notices
        );
    }
    server.finish(0);
}
