//! The memory budget, kept by the real program in a memory cgroup that has no more than the budget,
//! while clients do their worst.
//!
//! The cgroup is one of version 1 or 2, made beneath the one that this test runs in. Where that
//! cannot be done, the test says so and measures without.

#[path = "support/server.rs"]
mod server;

use server::{Client, Server, pattern, program};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const BUDGET: u64 = 4 << 20;

/// A memory cgroup of its own, removed when it is dropped.
struct Group {
    path: PathBuf,
    is_v1: bool,
}

impl Group {
    fn new(bytes: u64) -> Option<Self> {
        let list = fs::read_to_string("/proc/self/cgroup").ok()?;
        let (own, is_v1) = list
            .lines()
            .find_map(|line| Some((line.split_once(":memory:")?.1, true)))
            .or_else(|| {
                list.lines()
                    .find_map(|line| Some((line.strip_prefix("0::")?, false)))
            })?;
        let mount = if is_v1 {
            "/sys/fs/cgroup/memory"
        } else {
            "/sys/fs/cgroup"
        };
        let name = format!("swiftd-budget-{}", std::process::id());
        // A container may see its own group as the root of the tree.
        let parents = [format!("{mount}{own}"), mount.to_owned()];
        let path = parents.iter().map(|parent| Path::new(parent).join(&name));
        let path = path.into_iter().find(|path| fs::create_dir(path).is_ok())?;
        let group = Self { path, is_v1 };
        let limit = if is_v1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        fs::write(group.path.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// What its processes allocated and what the kernel did for them, without the page cache.
    fn taken_bytes(&self) -> u64 {
        let stat = fs::read_to_string(self.path.join("memory.stat")).unwrap();
        let field = |name: &str| {
            stat.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .map_or(0, |number| number.parse::<u64>().unwrap())
        };
        if self.is_v1 {
            let kernel = fs::read_to_string(self.path.join("memory.kmem.usage_in_bytes")).unwrap();
            return field("rss") + kernel.trim().parse::<u64>().unwrap();
        }
        field("anon") + field("kernel")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has ended; if not, the group stays, empty or not.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Files whose sizes are those that hurt: kept in memory and copied, or sent from the disk.
fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    for number in 0..1_000 {
        let path = root.path().join(format!("{number}.html"));
        fs::write(path, pattern(7_000, number)).unwrap();
    }
    fs::write(root.path().join("large.bin"), pattern(3_000_000, 2)).unwrap();
    root
}

fn start(root: &Path, group: Option<&Group>) -> Server {
    let mut command = Command::new("sh");
    let join = match group {
        Some(group) => format!("echo $$ > {}/cgroup.procs && ", group.path.display()),
        None => String::new(),
    };
    command.args(["-c", &format!("{join}exec \"$0\" \"$@\"")]);
    command.arg(program().get_program()).arg(root);
    command.args(["--port", "0", "--memory", "4M", "--head-timeout", "600"]);
    command.args([
        "--write-timeout",
        "600",
        "--idle-timeout",
        "600",
        "--small-file",
        "16K",
    ]);
    Server::spawn(command)
}

/// A connection whose kernel buffers are small, or nothing if the server has no room.
fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    Some(stream)
}

/// Heads that never end: each is kept as far as it has come.
fn hold_heads(address: SocketAddr, count: usize, bytes: usize) -> Vec<TcpStream> {
    let head = [
        b"GET /0.html HTTP/1.1\r\nHost: a\r\nX: ".as_slice(),
        &vec![b'x'; bytes],
    ]
    .concat();
    let hold = |_| {
        let mut stream = connect(address)?;
        stream.write_all(&head).ok()?;
        Some(stream)
    };
    (0..count).filter_map(hold).collect()
}

/// Requests whose answers nobody reads.
fn hold_answers(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let hold = |number: usize| {
        let mut stream = connect(address)?;
        let ask = format!("GET /{number}.html HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = stream.write_all(ask.repeat(200).as_bytes());
        Some(stream)
    };
    (0..count).filter_map(hold).collect()
}

/// Asks for one file after the other until told to end; counts the answers of each kind.
fn ask(address: SocketAddr, is_over: &AtomicBool, counts: &[AtomicU64; 2]) {
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Some(mut stream) = connect(address) else {
            continue;
        };
        let ask = format!(
            "GET /{}.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            number % 1_000
        );
        number += 1;
        let mut answer = Vec::new();
        if stream.write_all(ask.as_bytes()).is_ok() && stream.read_to_end(&mut answer).is_ok() {
            let is_short = answer.starts_with(b"HTTP/1.1 503");
            counts[usize::from(is_short)].fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_worst_that_clients_can_do_stays_within_the_budget() {
    let root = site();
    let group = Group::new(BUDGET);
    if group.is_none() {
        println!("no memory cgroup can be made here; the process alone is measured");
    }
    let server = start(root.path(), group.as_ref());
    let address = server.address();
    let taken = || match &group {
        Some(group) => group.taken_bytes(),
        None => server.memory("Private_Dirty") as u64,
    };
    let mut most = taken();
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| ask(address, &is_over, &counts));
        // Sizes that leave gaps behind which the next ones do not fit into.
        for bytes in [15_000, 1_000, 9_000, 300, 15_500, 4_000] {
            let mut held = hold_heads(address, 150, bytes);
            most = most.max(taken());
            held.extend(hold_answers(address, 150));
            most = most.max(taken());
            held.extend(hold_heads(address, 600, bytes));
            most = most.max(taken());
        }
        let is_bound = counts[1].load(Ordering::Relaxed) > 0;
        assert!(is_bound, "the bound was not reached");
        is_over.store(true, Ordering::Relaxed);
    });
    println!(
        "{} KiB at most of {}; {} requests answered meanwhile, {} with 503",
        most / 1024,
        BUDGET / 1024,
        counts[0].load(Ordering::Relaxed),
        counts[1].load(Ordering::Relaxed)
    );
    assert!(most <= BUDGET, "{most}");
    // It has outlived that, and has room again as soon as the others have gone.
    let is_back = (0..10_000).any(|_| Client::connect(address).get("/0.html").status == 200);
    assert!(is_back);
    let log = server.finish_with_log(0);
    let is_known = |line: &String| line.contains("new ones have to wait");
    assert!(log.iter().all(is_known), "{log:?}");
}
