//! Plugins of a server that root has started and that is somebody else by then.

use super::server::{Server, program};
use super::{Process, grounds, is_root, plugins, said};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

#[test]
fn those_of_root_and_of_the_servers_user_are_believed() {
    if !is_root("those_of_root_and_of_the_servers_user_are_believed") {
        return;
    }
    let (grounds, root) = grounds();
    let library = plugins::build("good", grounds.path());
    let list = grounds.path().join("plugins.conf");
    fs::write(&list, format!("good:{}/$\n", grounds.path().display())).unwrap();
    let options = ["--user", "nobody", "--plugins", list.to_str().unwrap()];
    for (owner, mode, refusal) in [
        (0, 0o755, ""),
        (65_534, 0o755, ""),
        (
            4321,
            0o755,
            "belongs to user 4321, who could replace the plugin; it must belong to root or user 65534: chown -h 0 ",
        ),
        // As strict as it is with root, so that a check by root comes to the same end.
        (
            0,
            0o775,
            "can be written by the group, who could replace the plugin: chmod g-w ",
        ),
        (65_534, 0o757, "can be written by others"),
    ] {
        chown(&library, Some(owner), None).unwrap();
        fs::set_permissions(&library, PermissionsExt::from_mode(mode)).unwrap();
        if refusal.is_empty() {
            let server = Server::start(&root, &options);
            assert_eq!(server.get("/small.txt").body, b"small");
            server.signal(rustix::process::Signal::TERM);
            assert!(server.wait().0.success());
        } else {
            let mut command = program();
            command.arg(&root).args(["-p", "0"]).args(options);
            let said = said(&command.output().unwrap(), 1);
            assert!(said.contains(refusal), "{said}");
        }
    }
}

#[test]
fn a_daemon_finds_its_list() {
    let (grounds, _root) = grounds();
    plugins::build("good", grounds.path());
    fs::write(
        grounds.path().join("list"),
        format!("good:{}/$\n", grounds.path().display()),
    )
    .unwrap();
    let mut command = program();
    command.args([
        "--daemon",
        "www",
        "-p",
        "0",
        "--plugins",
        "list",
        "--pid-file",
        "pid",
    ]);
    let said = said(&command.current_dir(grounds.path()).output().unwrap(), 0);
    assert!(
        said.lines().last().unwrap().starts_with("swiftd: serving "),
        "{said}"
    );
    let process = Process::of(&grounds.path().join("pid"));
    let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).unwrap();
    assert!(maps.contains("memfd:swiftd:good#"));
    process.stop();
}
