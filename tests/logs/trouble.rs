//! Disks that are full, readers that hang, a thread that has stopped: requests are answered, memory
//! does not grow, and every line is written or counted.

use crate::server::{PATIENCE, Server, program};
use crate::stage::{Stage, lines, wait_until};
use crate::stopped::StoppedThread;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

const REQUESTS: usize = 2_000;

/// A buffer for about forty lines.
const BUFFER: [&str; 2] = ["--log-buffer", "4096"];

fn ask(server: &Server, count: usize) {
    let mut client = server.connect();
    for _ in 0..count {
        assert_eq!(client.get("/a.txt").body, b"hello");
    }
}

/// How many lines the log says were dropped.
fn dropped(log: &[String]) -> usize {
    let counts = log.iter().filter_map(|line| {
        let (count, _) = line
            .strip_prefix("swiftd: ")?
            .split_once(" access lines dropped")?;
        count.parse::<usize>().ok()
    });
    counts.sum()
}

fn stop(server: Server) -> Vec<String> {
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log:?}");
    log
}

#[test]
fn a_full_disk_stalls_nobody_and_every_line_is_counted() {
    let stage = Stage::new();
    let full = ["--access-log", "/dev/full", "--head-timeout", "2"];
    let options = [&full[..], &BUFFER].concat();
    let server = stage.serve(&options);
    let before = server.memory("Anonymous");
    ask(&server, REQUESTS);
    let grown = server.memory("Anonymous").saturating_sub(before);
    assert!(grown < 512 * 1024, "{grown} bytes for lines that wait");
    let ticks = server.ticks();
    // It does not try again and again while nobody asks: this one is told so after two seconds.
    let mut client = server.connect();
    client.send("GET /a.txt HTTP/1.1\r\n");
    assert_eq!(client.response().status, 408);
    let spent = server.ticks() - ticks;
    let log = stop(server);
    assert!(spent < 50, "{spent} ticks while nobody asked");
    let told = log.iter().filter(|line| line.contains("cannot write"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{log:#?}");
    assert!(told[0].starts_with("swiftd: cannot write the access log /dev/full: No space left"));
    assert_eq!(dropped(&log), REQUESTS + 1, "{log:#?}");
}

/// Where the server sees `path`, which only it may have mounted.
fn seen_by(server: &Server, path: &Path) -> PathBuf {
    let root = format!("/proc/{}/root", server.pid());
    Path::new(&root).join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_disk_that_has_room_again_gets_the_lines_that_waited() {
    let stage = Stage::new();
    let disk = stage.path("disk");
    fs::create_dir(&disk).unwrap();
    // A file system of its own that only this server sees, and that is full but for a page.
    let script = "mount -t tmpfs -o size=64k none \"$1\" 2>/dev/null || exec sleep 0
        head -c 60000 /dev/zero > \"$1/filler\"; shift; exec \"$@\"";
    let mut probe = std::process::Command::new("unshare");
    probe
        .args(["-m", "sh", "-c", "mount -t tmpfs none \"$0\""])
        .arg(&disk);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&disk);
    command.arg(program().get_program()).arg(stage.path("site"));
    command
        .args(["--port", "0", "--access-log"])
        .arg(disk.join("access"));
    command.args(BUFFER);
    let mut server = Server::spawn(command);
    ask(&server, REQUESTS);
    let line = server.next_line().unwrap();
    assert!(line.contains("No space left on device"), "{line}");
    fs::remove_file(seen_by(&server, &disk.join("filler"))).unwrap();
    // By itself, after the pause.
    let mut log = vec![line];
    while !log.last().unwrap().contains("is written again") {
        log.push(server.next_line().unwrap());
    }
    while dropped(&log) == 0 {
        log.push(server.next_line().unwrap());
    }
    ask(&server, 1);
    let access = seen_by(&server, &disk.join("access"));
    wait_until("every line is written or counted", || {
        log.extend(server.try_next_line());
        let text = fs::read(&access).unwrap();
        let written = text.iter().filter(|&&byte| byte == b'\n').count();
        written + dropped(&log) == REQUESTS + 1
    });
    let whole = |line: &String| line.starts_with("127.0.0.1 ") && line.ends_with('"');
    assert!(lines(&access).iter().all(whole), "no line is torn");
    stop(server);
}

#[test]
fn a_fifo_that_nobody_reads_stalls_nobody() {
    let stage = Stage::new();
    let fifo = stage.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let options = [&["--access-log", fifo.to_str().unwrap()][..], &BUFFER].concat();
    let mut server = stage.serve(&options);
    ask(&server, REQUESTS);
    let line = server.next_line().unwrap();
    assert!(
        line.ends_with("takes no more; lines are dropped when the buffer is full"),
        "{line}"
    );
    // A reader comes: it gets what the pipe and the buffer hold.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let reader = open(&fifo, flags, Mode::empty()).unwrap();
    let mut reader = fs::File::from(reader);
    let mut read = Vec::new();
    let mut is_written = false;
    let mut buffer = [0; 4096];
    while !is_written {
        let count = reader.read(&mut buffer).unwrap_or(0);
        read.extend_from_slice(&buffer[..count]);
        while let Some(line) = server.try_next_line() {
            is_written |= line.contains("is written again");
        }
    }
    ask(&server, 1);
    let log = stop(server);
    reader.read_to_end(&mut read).unwrap();
    let written = read.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(written + dropped(&log), REQUESTS + 1, "{log:#?}");
}

#[test]
fn a_log_whose_disk_hangs_holds_nobody() {
    let stage = Stage::new();
    for number in 0..10 {
        fs::write(stage.path("site").join(number.to_string()), "cold").unwrap();
    }
    // Every look-up that the cache cannot answer is made by the disk thread.
    let server = stage.serve_logging(&[&BUFFER[..], &["--avoid", "resolve-cached"]].concat());
    let mut client = server.connect();
    assert_eq!(client.get("/a.txt").status, 200);
    let log = StoppedThread::new(&server, "swiftd-log");
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/a.txt").status, 200);
    }
    for number in 0..10 {
        assert_eq!(client.get(&format!("/{number}")).body, b"cold");
    }
    drop(log);
    assert_eq!(client.get("/a.txt").status, 200);
    drop(client);
    let log = stop(server);
    let written = lines(&stage.path("access")).len();
    assert_eq!(written + dropped(&log), REQUESTS + 12, "{log:#?}");
    assert!(dropped(&log) > 0, "{log:#?}");
}

#[test]
fn an_order_does_not_wait_for_a_disk_that_hangs() {
    let stage = Stage::new();
    let server = stage.serve_logging(&[]);
    let log = StoppedThread::new(&server, "swiftd-log");
    let name = format!("swiftd.{}", server.pid());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let mut desk = UnixStream::connect_addr(&address).unwrap();
    desk.set_read_timeout(Some(PATIENCE)).unwrap();
    desk.write_all(b"reopen\n").unwrap();
    let mut answer = String::new();
    desk.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("failed the disk does not answer: after 5 s "),
        "{answer}"
    );
    drop(log);
    server.get("/a.txt");
    stop(server);
}

#[test]
fn a_stop_does_not_wait_for_a_log_that_hangs() {
    let stage = Stage::new();
    let mut server = stage.serve_logging(&[]);
    let log = StoppedThread::new(&server, "swiftd-log");
    ask(&server, 3);
    server.signal(Signal::TERM);
    // The end of the log is that of the process, but for a thread that is this one's to bury.
    while server.next_line().is_some() {}
    drop(log);
    let (status, log) = server.wait();
    assert!(status.success());
    assert_eq!(dropped(&log), 3, "{log:#?}");
}
