//! Going into the background.

use super::server::{Client, PATIENCE, program};
use super::{Process, grounds, is_root, said, status};
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The program as a daemon on this port, with a pid file.
fn daemon(root: &Path, port: u16, file: &Path, options: &[&str]) -> Command {
    let mut command = program();
    command
        .arg("--daemon")
        .arg(root)
        .args(["-p", &port.to_string()]);
    command.arg("--pid-file").arg(file).args(options);
    command
}

/// Where a daemon serves that has said this.
#[track_caller]
fn address(said: &str) -> SocketAddr {
    let line = said.lines().last().unwrap();
    let (_, places) = line.split_once(" on http://").expect("the ready line");
    let (address, _) = places.split_once('/').unwrap();
    address.parse().unwrap()
}

/// The fields of /proc/PID/stat behind the name: state, parent, group, session, …
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = text.rsplit_once(')').unwrap();
    fields.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_command_returns_when_the_daemon_serves() {
    let (grounds, root) = grounds();
    let file = grounds.path().join("swiftd.pid");
    for options in [&[][..], &["--supervise"]] {
        // Its end is that of the streams too: nothing in the background holds them.
        let output = daemon(&root, 0, &file, options).output().unwrap();
        let text = said(&output, 0);
        let address = address(&text);
        let ready = format!("swiftd: serving {} on http://{address}/", root.display());
        assert_eq!(text.lines().last(), Some(&*ready));
        let process = Process::of(&file);
        assert_eq!(Client::connect(address).get("/small.txt").body, b"small");
        assert_eq!(
            fs::read_link(format!("/proc/{}/cwd", process.pid)).unwrap(),
            Path::new("/")
        );
        assert_eq!(status(process.pid, process.pid, "Umask"), "0022");
        let fields = stat(process.pid);
        let own = stat(std::process::id());
        assert_ne!(fields[3], own[3], "it has a session of its own");
        assert_ne!(fields[3], process.pid.to_string(), "and does not lead it");
        assert_eq!(fields[4], "0", "there is no terminal");
        for number in 0..3 {
            let stream = format!("/proc/{}/fd/{number}", process.pid);
            assert_eq!(fs::read_link(stream).unwrap(), Path::new("/dev/null"));
        }
        process.stop();
        assert!(!file.exists());
    }
}

#[test]
fn paths_mean_what_they_did_where_it_was_started() {
    let (grounds, _root) = grounds();
    let file = Path::new("relative.pid");
    let mut command = daemon(Path::new("www"), 0, file, &["-l", "unix:sock"]);
    said(&command.current_dir(grounds.path()).output().unwrap(), 0);
    let process = Process::of(&grounds.path().join(file));
    let mut client = Client::connect_unix(grounds.path().join("sock"));
    assert_eq!(client.get("/small.txt").body, b"small");
    process.stop();
    assert!(!grounds.path().join(file).exists() && !grounds.path().join("sock").exists());
}

#[test]
fn an_error_reaches_the_terminal_and_the_exit_code() {
    let (grounds, root) = grounds();
    let file = grounds.path().join("swiftd.pid");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    for options in [&[][..], &["--supervise"]] {
        let output = daemon(&root, port, &file, options).output().unwrap();
        let text = said(&output, 1);
        let wanted = format!("swiftd: cannot listen on 127.0.0.1:{port}: ");
        assert!(text.starts_with(&wanted), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        // What fails late, in a worker.
        let missing = grounds.path().join("missing");
        let output = daemon(&missing, 0, &file, options).output().unwrap();
        assert!(said(&output, 1).starts_with("swiftd: cannot serve "));
        let options = [&["--user", "no-such-user"], options].concat();
        let output = daemon(&root, 0, &file, &options).output().unwrap();
        assert!(said(&output, 78).starts_with("swiftd: there is no user "));
        assert!(!file.exists());
    }
}

#[test]
fn a_second_daemon_is_refused() {
    let (grounds, root) = grounds();
    let file = grounds.path().join("swiftd.pid");
    let text = said(&daemon(&root, 0, &file, &[]).output().unwrap(), 0);
    let address = address(&text);
    let process = Process::of(&file);
    let text = said(
        &daemon(&root, address.port(), &file, &[]).output().unwrap(),
        1,
    );
    let wanted = format!("already running as process {}\n", process.pid);
    assert!(text.ends_with(&wanted), "{text}");
    process.signal(Signal::INT);
    process.wait();
    assert!(!file.exists());
}

#[test]
fn it_drops_root_and_is_locked_in_like_any_other() {
    if !is_root("it_drops_root_and_is_locked_in_like_any_other") {
        return;
    }
    let (grounds, _root) = grounds();
    let jail = grounds.path().canonicalize().unwrap();
    std::os::unix::fs::chown(&jail, Some(65_534), None).unwrap();
    let file = jail.join("swiftd.pid");
    for supervise in [&[][..], &["--supervise"]] {
        let options = ["--user", "nobody", "--chroot", jail.to_str().unwrap()];
        let options = [&options, supervise].concat();
        let mut command = daemon(Path::new("/www"), 0, &file, &options);
        let address = address(&said(&command.output().unwrap(), 0));
        let process = Process::of(&file);
        assert_eq!(
            status(process.pid, process.pid, "Uid"),
            "65534 65534 65534 65534"
        );
        assert_eq!(
            fs::read_link(format!("/proc/{}/root", process.pid)).unwrap(),
            jail
        );
        assert_eq!(Client::connect(address).get("/small.txt").body, b"small");
        process.stop();
        assert!(!file.exists());
    }
}

#[test]
fn its_log_is_made_by_root_for_the_user_and_is_its_standard_error() {
    if !is_root("its_log_is_made_by_root_for_the_user_and_is_its_standard_error") {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let (grounds, root) = grounds();
    let log = grounds.path().canonicalize().unwrap().join("error.log");
    let config = grounds.path().join("swiftd.conf");
    fs::write(&config, format!("[log]\nerror = {log:?}\n")).unwrap();
    let file = grounds.path().join("swiftd.pid");
    let options = ["--user", "nobody", "--config", config.to_str().unwrap()];
    said(&daemon(&root, 0, &file, &options).output().unwrap(), 0);
    let process = Process::of(&file);
    let meta = fs::metadata(&log).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (65_534, 0o640));
    let stderr = format!("/proc/{}/fd/2", process.pid);
    assert_eq!(fs::read_link(stderr).unwrap(), log);
    process.stop();
}

/// Waits until a file has a line with this.
#[track_caller]
fn wait_for(path: &Path, wanted: &str) -> String {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains(wanted)) {
            return line.to_owned();
        }
        assert!(start.elapsed() < PATIENCE, "no {wanted:?} in {text:?}");
        std::thread::yield_now();
    }
}

/// Waits until the standard error of a process is this file.
#[track_caller]
fn wait_for_stderr(process: &Process, file: &Path) {
    let start = Instant::now();
    let stderr = format!("/proc/{}/fd/2", process.pid);
    while fs::read_link(&stderr).unwrap() != file {
        assert!(start.elapsed() < PATIENCE, "{:?}", fs::read_link(&stderr));
        std::thread::yield_now();
    }
}

#[test]
fn its_standard_error_goes_with_the_log_when_that_is_rotated() {
    let (grounds, root) = grounds();
    let place = grounds.path().canonicalize().unwrap();
    let (log, file) = (place.join("error.log"), place.join("swiftd.pid"));
    for supervise in [&[][..], &["--supervise"]] {
        let options = [&["--error-log", log.to_str().unwrap()], supervise].concat();
        said(&daemon(&root, 0, &file, &options).output().unwrap(), 0);
        let process = Process::of(&file);
        let worker = (!supervise.is_empty()).then(|| process.child());
        let processes: Vec<&Process> = [&process].into_iter().chain(&worker).collect();
        for by_signal in [true, false] {
            fs::rename(&log, place.join("error.log.1")).unwrap();
            if by_signal {
                process.signal(Signal::USR1);
            } else {
                let mut order = program();
                order.args(["-s", "reopen", "--pid-file"]).arg(&file);
                said(&order.output().unwrap(), 0);
            }
            for process in &processes {
                wait_for_stderr(process, &log);
            }
            wait_for(&log, "Z notice: the logs are opened anew");
        }
        if let Some(worker) = &worker {
            worker.signal(Signal::SEGV);
            wait_for(&log, "fatal signal 11");
            let line = wait_for(&log, "killed by signal 11");
            let wanted = format!("Z error: worker {} killed", worker.pid);
            assert!(line.contains(&wanted), "{line}");
            wait_for(&log, "Z notice: worker restarted");
            fs::rename(&log, place.join("error.log.1")).unwrap();
            process.signal(Signal::USR1);
            wait_for(&log, "Z notice: the logs are opened anew");
            wait_for_stderr(&process.child(), &log);
        }
        process.stop();
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn start_and_end_are_in_its_log_once() {
    let (grounds, root) = grounds();
    let place = grounds.path().canonicalize().unwrap();
    let (log, file) = (place.join("error.log"), place.join("swiftd.pid"));
    for supervise in [&[][..], &["--supervise"]] {
        let options = [&["--error-log", log.to_str().unwrap()], supervise].concat();
        let text = said(&daemon(&root, 0, &file, &options).output().unwrap(), 0);
        assert_eq!(text.matches("swiftd: serving ").count(), 1, "{text}");
        Process::of(&file).stop();
        let text = fs::read_to_string(&log).unwrap();
        for line in [
            "Z notice: sandbox: ".to_owned(),
            format!("Z notice: serving {} on http://127.0.0.1:", root.display()),
            "Z notice: stopping, ".to_owned(),
            "Z notice: stopped".to_owned(),
        ] {
            assert_eq!(text.matches(&line).count(), 1, "{line}: {text}");
        }
        assert!(text.ends_with("Z notice: stopped\n"), "{text}");
        assert!(!text.contains("swiftd: "), "{text}");
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn what_its_supervisor_says_is_in_the_log_of_the_system() {
    let (grounds, root) = grounds();
    let (socket, file) = (
        grounds.path().join("log"),
        grounds.path().join("swiftd.pid"),
    );
    let socket = UnixDatagram::bind(socket).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = format!("syslog:{}", grounds.path().join("log").display());
    let options = ["--supervise", "--error-log", &to];
    said(&daemon(&root, 0, &file, &options).output().unwrap(), 0);
    let process = Process::of(&file);
    let worker = process.child();
    worker.signal(Signal::KILL);
    let mut buffer = [0; 2048];
    let wanted = format!(
        " swiftd[{}]: worker {} killed by signal 9 (SIGKILL) outside any plugin; restarting",
        process.pid, worker.pid
    );
    loop {
        let count = socket.recv(&mut buffer).expect("the supervisor's line");
        let text = String::from_utf8_lossy(&buffer[..count]);
        if text.ends_with(&wanted) {
            assert!(text.starts_with("<27>"), "{text}");
            break;
        }
    }
    process.stop();
}
