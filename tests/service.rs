//! The real program as a service: whom it becomes, where it is locked in, how it goes into the
//! background, how it is found, and what it tells a service manager.
//!
//! Most of it needs root; whoever is not skips and says so. INVARIANT: only processes that were
//! started here are ever signalled, each by its own number while it is known to live.

#[path = "service/activation.rs"]
mod activation;
#[path = "service/daemon.rs"]
mod daemon;
#[path = "service/plugins.rs"]
mod loading;
#[path = "service/notify.rs"]
mod notify;
#[path = "service/pid_file.rs"]
mod pid_file;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "service/privileges.rs"]
mod privileges;
#[path = "support/server.rs"]
mod server;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use server::PATIENCE;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Whether this test can run; says so if it cannot.
fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("{test}: skipped, it needs root");
    }
    is_root
}

/// A directory that everybody may look into, with a site in `www`.
fn grounds() -> (TempDir, PathBuf) {
    let grounds = TempDir::new().unwrap();
    open_to_all(grounds.path());
    let root = grounds.path().join("www");
    fs::create_dir(&root).unwrap();
    open_to_all(&root);
    fs::write(root.join("small.txt"), "small").unwrap();
    (grounds, root)
}

fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A process that is no child of this one, held so that no other can be meant.
struct Process {
    pid: u32,
    handle: OwnedFd,
    /// Nobody else ends it when a test fails.
    is_daemon: bool,
}

impl Process {
    fn new(pid: u32) -> Self {
        let number = Pid::from_raw(pid.cast_signed()).unwrap();
        let handle = pidfd_open(number, PidfdFlags::empty()).unwrap();
        Self {
            pid,
            handle,
            is_daemon: false,
        }
    }

    /// The daemon of a pid file.
    fn of(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.ends_with('\n'), "{text:?}");
        let mut process = Self::new(text.trim_end().parse().unwrap());
        process.is_daemon = true;
        process
    }

    /// The one child.
    fn child(&self) -> Self {
        let Self { pid, .. } = self;
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Self::new(list.trim().parse().expect("one child"))
    }

    fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.handle, signal).unwrap();
    }

    fn wait(&self) {
        let patience = PATIENCE.try_into().unwrap();
        let mut ready = [PollFd::new(&self.handle, PollFlags::IN)];
        let count = poll(&mut ready, Some(&patience)).unwrap();
        assert_eq!(count, 1, "process {} lives on", self.pid);
    }

    /// Ends it in good order.
    fn stop(&self) {
        self.signal(Signal::TERM);
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_daemon {
            // A test that failed; one that did not has waited for the end.
            let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        }
    }
}

/// The value of a line of /proc/PID/task/TID/status, its words joined by a space.
fn status(pid: u32, thread: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    words.join(" ")
}

/// The threads of a process.
fn threads(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let number = |entry: std::io::Result<fs::DirEntry>| {
        entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    tasks.map(number).collect()
}

/// What a command said when it ended with this code.
#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The program, run as nobody.
fn as_nobody(directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let arguments = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ];
    command.args(arguments).arg(server::copy_program(directory));
    command
}
