//! Files that are rotated, by rename and SIGUSR1 and by copy and truncate.

use crate::server::{Client, Server};
use crate::stage::{Stage, lines, wait_for_lines, wait_until};
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const CLIENTS: usize = 4;
const REQUESTS: usize = 3_000;
const ROTATIONS: usize = 20;

/// Asks for things by number, each once, over several connections.
fn load(address: SocketAddr) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut connection = Client::connect(address);
                for number in 0..REQUESTS {
                    let target = format!("/a.txt?{}", client * REQUESTS + number);
                    assert_eq!(connection.get(&target).status, 200);
                }
            });
        }
    });
}

/// How often each number is in the lines of `files`.
fn count(files: &[PathBuf]) -> HashMap<usize, usize> {
    let mut seen = HashMap::new();
    for line in files.iter().flat_map(|file| lines(file)) {
        let (_, rest) = line.split_once("/a.txt?").unwrap();
        let number = rest.split(' ').next().unwrap().parse().unwrap();
        *seen.entry(number).or_insert(0) += 1;
    }
    seen
}

/// Renames the log and waits until there is another.
fn rotate(server: &Server, from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
    server.signal(Signal::USR1);
    wait_until("there is another log", || from.exists());
}

#[test]
fn a_rename_under_load_loses_no_line_and_doubles_none() {
    let stage = Stage::new();
    // Room for everything, so that a slow machine drops nothing.
    let server = stage.serve_logging(&["--log-buffer", "8M"]);
    let access = stage.path("access");
    let mut files: Vec<_> = (0..ROTATIONS)
        .map(|n| stage.path(&format!("access.{n}")))
        .collect();
    let address = server.address();
    std::thread::scope(|scope| {
        scope.spawn(move || load(address));
        for old in &files {
            rotate(&server, &access, old);
        }
    });
    // Each file has lines only after there were some, so what came last is seen in the last one.
    files.push(access);
    server.finish(1);
    let seen = count(&files);
    assert_eq!(seen.len(), CLIENTS * REQUESTS, "lines are lost");
    assert!(seen.values().all(|&count| count == 1), "lines are doubled");
}

#[test]
fn what_was_logged_before_the_signal_is_in_the_old_file() {
    let stage = Stage::new();
    let server = stage.serve_logging(&[]);
    let (access, old) = (stage.path("access"), stage.path("old"));
    server.get("/a.txt?1");
    // It need not have been written yet.
    rotate(&server, &access, &old);
    server.get("/a.txt?2");
    wait_for_lines(&access, 1);
    assert!(lines(&old)[0].contains("/a.txt?1 "));
    assert!(lines(&access)[0].contains("/a.txt?2 "));
    server.finish(1);
}

#[test]
fn copy_and_truncate_works() {
    let stage = Stage::new();
    let server = stage.serve_logging(&[]);
    let (access, old) = (stage.path("access"), stage.path("old"));
    for number in 0..5 {
        server.get(&format!("/a.txt?{number}"));
    }
    wait_for_lines(&access, 5);
    fs::copy(&access, &old).unwrap();
    let file = fs::File::options().write(true).open(&access).unwrap();
    file.set_len(0).unwrap();
    for number in 5..8 {
        server.get(&format!("/a.txt?{number}"));
    }
    // Without O_APPEND there would be a hole of zeros before them.
    let after = wait_for_lines(&access, 3);
    assert!(
        after[0].starts_with("127.0.0.1 ") && after.len() == 3,
        "{after:?}"
    );
    assert_eq!(count(&[access, old]).len(), 8);
    server.finish(1);
}

#[test]
fn a_log_that_cannot_be_opened_anew_is_written_on() {
    let stage = Stage::new();
    let mut server = stage.serve_logging(&[]);
    let (access, old) = (stage.path("access"), stage.path("old"));
    fs::rename(&access, &old).unwrap();
    fs::create_dir(&access).unwrap();
    server.signal(Signal::USR1);
    let line = server.next_line().unwrap();
    let wanted = format!("swiftd: cannot open the log {}: ", access.display());
    assert!(line.starts_with(&wanted), "{line}");
    assert!(
        line.ends_with("; what was open before is used on"),
        "{line}"
    );
    server.get("/a.txt?1");
    wait_for_lines(&old, 1);
    // Once it is mended, it is opened.
    fs::remove_dir(&access).unwrap();
    server.signal(Signal::USR1);
    wait_until("the log is there", || access.exists());
    server.get("/a.txt?2");
    wait_for_lines(&access, 1);
    server.finish_with_log(1);
}

#[test]
fn the_error_log_is_rotated_too() {
    let stage = Stage::new();
    let error = stage.path("error");
    let server = stage.serve(&["--error-log", error.to_str().unwrap()]);
    rotate(&server, &error, &stage.path("old"));
    let anew = wait_for_lines(&error, 1);
    assert!(anew[0].ends_with("Z notice: the logs are opened anew"));
    server.finish(0);
}

#[test]
fn a_log_that_cannot_be_opened_is_a_start_that_fails() {
    let stage = Stage::new();
    let path = stage.path("none/access");
    let mut command = crate::server::program();
    command.arg(stage.path("site")).args(["--port", "0"]);
    command.arg("--access-log").arg(&path);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "swiftd: cannot open the log {}: No such file or directory (os error 2); make its directory first: mkdir -p {}\n",
        path.display(),
        path.parent().unwrap().display()
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}
