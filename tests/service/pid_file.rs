//! The pid file.

use super::server::{Server, program};
use super::{Process, grounds, is_root, said};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn it_is_there_while_the_server_is() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    for options in [&[][..], &["--supervise"]] {
        for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
            // What a dead server has left.
            fs::write(&path, "99999\n").unwrap();
            let options = [&["--pid-file", path.to_str().unwrap()], options].concat();
            let server = Server::start(&root, &options);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{}\n", server.pid()));
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
            server.signal(signal);
            assert!(server.wait().0.success());
            assert!(!path.exists(), "{signal:?} {options:?}");
        }
    }
}

#[test]
fn a_second_server_is_refused() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    let path_text = path.to_str().unwrap();
    for options in [&[][..], &["--supervise"]] {
        let first = [&["--pid-file", path_text], options].concat();
        let server = Server::start(&root, &first);
        // Told before anything else is wrong with it.
        let mut command = program();
        let listen = server.address().to_string();
        command
            .arg(&root)
            .args(["-l", &listen, "--pid-file", path_text]);
        let said = said(&command.output().unwrap(), 1);
        let wanted = format!(
            "swiftd: pid file {path_text}: already running as process {}\n",
            server.pid()
        );
        assert_eq!(said, wanted);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", server.pid())
        );
        server.finish(0);
    }
}

#[test]
fn a_worker_that_is_restarted_leaves_it_alone() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    let options = ["--supervise", "--pid-file", path.to_str().unwrap()];
    let mut server = Server::start(&root, &options);
    let worker = Process::new(server.pid()).child();
    worker.signal(Signal::KILL);
    worker.wait();
    server.next_line().unwrap();
    assert_eq!(server.next_line().unwrap(), "swiftd: worker restarted");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("{}\n", server.pid())
    );
    server.finish_with_log(0);
    assert!(!path.exists());
}

#[test]
fn one_that_was_replaced_is_not_removed() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    let server = Server::start(&root, &["--pid-file", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "1\n").unwrap();
    server.finish(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
}

#[test]
fn a_start_that_fails_leaves_none_behind() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    let missing = grounds.path().join("missing");
    for options in [&[][..], &["--supervise"]] {
        let mut command = program();
        command
            .arg(&missing)
            .args(["-p", "0", "--pid-file"])
            .arg(&path);
        said(&command.args(options).output().unwrap(), 1);
        assert!(!path.exists());
    }
    let socket = grounds.path().join("sock");
    let mut command = program();
    command
        .arg(&missing)
        .arg("-l")
        .arg(format!("unix:{}", socket.display()));
    said(&command.arg("--pid-file").arg(&path).output().unwrap(), 1);
    assert!(!path.exists() && !socket.exists());
    let _ = root;
}

#[test]
fn a_file_that_is_none_is_left_alone() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("notes");
    fs::write(&path, "important").unwrap();
    for (path, wanted) in [
        (path.clone(), "it holds something else than a number"),
        (root.clone(), "Is a directory"),
        (grounds.path().join("a/b"), "make its directory first"),
    ] {
        let mut command = program();
        command
            .arg(&root)
            .args(["-p", "0", "--pid-file"])
            .arg(&path);
        let said = said(&command.output().unwrap(), 1);
        let begin = format!("swiftd: pid file {}: ", path.display());
        assert!(said.starts_with(&begin) && said.contains(wanted), "{said}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "important");
}

#[test]
fn whoever_dropped_root_empties_it_at_least() {
    if !is_root("whoever_dropped_root_empties_it_at_least") {
        return;
    }
    let (grounds, root) = grounds();
    let path = grounds.path().join("swiftd.pid");
    let options = ["--user", "nobody", "--pid-file", path.to_str().unwrap()];
    for _ in 0..2 {
        let server = Server::start(&root, &options);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", server.pid())
        );
        server.finish(0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
    // In a directory of its own it can remove it.
    let own = grounds.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65_534), Some(65_534)).unwrap();
    let path = own.join("swiftd.pid");
    let options = ["--user", "nobody", "--pid-file", path.to_str().unwrap()];
    Server::start(&root, &options).finish(0);
    assert!(!path.exists());
}
