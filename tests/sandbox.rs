//! The sandbox of the real server: a plugin tries to get out of it, declares what it needs, and is
//! refused when it wants more than the process has kept.
//!
//! INVARIANT: what must be denied is tried in a place where it works without the sandbox, and that it
//! does is shown.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;

use guests::{A, Stage, lines_to, stop};
use server::{Server, program};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;
use tempfile::TempDir;

/// How the line begins.
const START: &str = "swiftd: notice: sandbox: ";

const OFF: [&str; 4] = ["--landlock", "off", "--seccomp", "off"];

/// A stage whose temporary directory is not where everything else is.
struct Yard {
    stage: Stage,
    /// Nothing of the configuration is here.
    outside: TempDir,
}

impl Yard {
    fn new(options: &[&str]) -> Self {
        let outside = TempDir::new().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let stage = Stage::new();
        fs::create_dir(stage.path("bodies")).unwrap();
        let stage = stage.with_options("t_escape", "t_escape", options);
        Self { stage, outside }
    }

    fn start(&self, options: &[&str]) -> Server {
        let bodies = self.stage.path("bodies");
        let own = ["--temp-dir", bodies.to_str().unwrap()];
        self.stage.start(&[&own, options].concat())
    }

    fn outside(&self, name: &str) -> String {
        self.outside.path().join(name).to_str().unwrap().to_owned()
    }
}

/// What came of an attempt.
fn attempt(server: &Server, what: &str, with: &str) -> String {
    let response = server.get(&format!("/{what}?{with}"));
    assert_eq!(response.status, 200);
    String::from_utf8(response.body).unwrap()
}

/// Whether this kernel has both parts; says so if not.
fn is_whole() -> bool {
    let directory = TempDir::new().unwrap();
    let line = state_line(directory.path(), &[], |_| {});
    let is_whole = line.starts_with("landlock (ABI ") && line.contains("seccomp (");
    if !is_whole {
        eprintln!("skipped: {line}");
    }
    is_whole
}

/// Starts a server until it tells what its sandbox is, and returns that.
fn state_line(root: &Path, options: &[&str], prepare: impl FnOnce(&mut Command)) -> String {
    use std::io::BufRead;
    let mut command = program();
    command.arg(root).args(["--port", "0"]).args(options);
    command.stderr(std::process::Stdio::piped());
    prepare(&mut command);
    let mut child = command.spawn().unwrap();
    let stderr = io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix(START).map(str::to_owned));
    child.kill().unwrap();
    child.wait().unwrap();
    line.expect("the state is told")
}

#[test]
fn what_was_not_named_is_out_of_reach() {
    if !is_whole() {
        return;
    }
    let yard = Yard::new(&[]);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port().to_string();
    let secret = yard.outside("secret");
    let new = yard.outside("new");
    let [inside, own] = ["plugins/new", "bodies/new"].map(|name| {
        let path = yard.stage.path(name);
        path.to_str().unwrap().to_owned()
    });
    let table = [
        ("read", &secret[..], "EACCES"),
        ("read", "/etc/shadow", "EACCES"),
        ("write", &secret, "EACCES"),
        ("write", &new, "EACCES"),
        ("write", &inside, "EACCES"),
        ("connect", &port, "EACCES"),
        ("fast", &port, "EACCES"),
        ("datagram", &port, "EACCES"),
        ("run", "/bin/true", "EACCES"),
        ("memory", "", "EPERM"),
        ("later", "", "EPERM"),
        ("keys", "", "EPERM"),
        ("remove", &secret, "EACCES"),
    ];
    let server = yard.start(&[]);
    for (what, with, wanted) in table {
        assert_eq!(attempt(&server, what, with), wanted, "{what} {with}");
    }
    assert_eq!(attempt(&server, "write", &own), "done");
    assert_eq!(attempt(&server, "read", "/dev/urandom"), "done");
    // It serves, from memory and from the disk.
    assert_eq!(server.get("/a.txt").body, A);
    assert_eq!(server.get("/b.txt").body, b"from b\n");
    stop(server);

    // And without the sandbox nothing of it is refused.
    let server = yard.start(&OFF);
    for (what, with, _) in table {
        // Of who runs this, and of how the kernel is set.
        let is_dependent = with == "/etc/shadow" || ["keys", "fast"].contains(&what);
        if !is_dependent {
            assert_eq!(attempt(&server, what, with), "done", "{what} {with}");
        }
    }
    stop(server);
}

#[test]
fn a_dangerous_call_ends_the_server_and_the_log_says_whose_it_was() {
    if !is_whole() {
        return;
    }
    let yard = Yard::new(&[]);
    for what in ["mount", "trace"] {
        let mut server = yard.start(&[]);
        let mut client = server.connect();
        client.send(format!("GET /{what} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let line = lines_to(&mut server, "fatal signal").pop().unwrap();
        assert!(
            line.contains("in plugin t_escape hook handle_subrequest by system call ")
                && line.ends_with(", which the sandbox forbids"),
            "{line}"
        );
        let (status, _) = server.wait();
        assert_eq!(status.signal(), Some(rustix::process::Signal::SYS.as_raw()));
    }
    // A parent starts it anew, and the next worker is locked in as well.
    let mut server = yard.start(&["--supervise"]);
    let mut client = server.connect();
    client.send("GET /mount HTTP/1.1\r\nHost: x\r\n\r\n");
    lines_to(&mut server, "worker restarted");
    assert_eq!(attempt(&server, "read", &yard.outside("secret")), "EACCES");
    stop(server);
}

#[test]
fn what_a_plugin_declares_is_kept() {
    let needs = r#"-DNEEDS="exec", "network", "code", "write:$place""#;
    let yard = Yard::new(&[needs]);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port().to_string();
    let place = format!("plugin.t_escape.place={}", yard.outside.path().display());
    let server = yard.start(&["--set", &place]);
    for (what, with) in [
        ("read", &yard.outside("secret")[..]),
        ("write", &yard.outside("new")),
        ("remove", &yard.outside("new")),
        ("connect", &port),
        ("datagram", &port),
        ("run", "/bin/true"),
        ("memory", ""),
        ("later", ""),
    ] {
        assert_eq!(attempt(&server, what, with), "done", "{what} {with}");
    }
    stop(server);
}

#[test]
fn what_the_operator_allows_is_kept() {
    if !is_whole() {
        return;
    }
    let yard = Yard::new(&[]);
    let read = format!("read:{}", yard.outside.path().display());
    let server = yard.start(&["--allow", "code", "--allow", &read]);
    let secret = yard.outside("secret");
    assert_eq!(attempt(&server, "read", &secret), "done");
    assert_eq!(attempt(&server, "write", &secret), "EACCES");
    assert_eq!(attempt(&server, "memory", ""), "done");
    assert_eq!(attempt(&server, "run", "/bin/true"), "EACCES");
    stop(server);
}

#[test]
fn a_plugin_that_needs_what_was_given_up_is_refused_until_a_restart() {
    if !is_whole() {
        return;
    }
    let yard = Yard::new(&[]);
    let mut server = yard.start(&[]);
    let secret = yard.outside("secret");
    for (needs, word) in [
        (r#"-DNEEDS="network""#, "network".to_owned()),
        (
            &format!("-DNEEDS=\"read:{}\"", yard.outside.path().display())[..],
            format!("read:{}", yard.outside.path().display()),
        ),
    ] {
        yard.stage.compile("t_escape", "t_escape", &[needs]);
        fs::write(yard.stage.list(), fs::read(yard.stage.list()).unwrap()).unwrap();
        let line = lines_to(&mut server, "reload rejected: ").pop().unwrap();
        assert!(
            line.contains(&format!(
                "t_escape: it needs {word}, which this process has given up: restart swiftd, or allow it in [sandbox]; keeping generation 1"
            )),
            "{line}"
        );
        assert_eq!(attempt(&server, "read", &secret), "EACCES");
    }
    // One that needs no more than is there is taken.
    let needs = format!("-DNEEDS=\"read:{}\"", yard.stage.path("plugins").display());
    yard.stage.compile("t_escape", "t_escape", &[&needs]);
    fs::write(yard.stage.list(), fs::read(yard.stage.list()).unwrap()).unwrap();
    lines_to(&mut server, "plugins: generation 2 ");
    stop(server);
    // The last one that was refused is taken by a new process.
    yard.stage
        .compile("t_escape", "t_escape", &[r#"-DNEEDS="network""#]);
    let server = yard.start(&[]);
    stop(server);
}

#[test]
fn a_plugin_in_a_directory_that_was_not_named_is_refused_with_the_reason() {
    if !is_whole() {
        return;
    }
    let yard = Yard::new(&[]);
    let mut server = yard.start(&[]);
    let elsewhere = yard.outside("t_escape.so");
    fs::copy(yard.stage.path("plugins/t_escape.so"), elsewhere).unwrap();
    let line = format!("t_escape:{}/$\n", yard.outside.path().display());
    fs::write(yard.stage.list(), line).unwrap();
    let line = lines_to(&mut server, "reload rejected: ").pop().unwrap();
    assert!(
        line.contains("outside of what the sandbox of this process allows: restart swiftd"),
        "{line}"
    );
    stop(server);
}

#[test]
fn a_log_that_was_not_named_is_refused_at_a_reload_with_the_reason() {
    if !is_whole() {
        return;
    }
    let (own, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let root = own.path().join("www");
    fs::create_dir(&root).unwrap();
    let config = own.path().join("swiftd.conf");
    fs::write(&config, "").unwrap();
    // The directory for bodies is allowed, and would be that of both.
    let own = own.path().to_str().unwrap();
    let options = ["--config", config.to_str().unwrap(), "--temp-dir", own];
    let mut server = Server::start(&root, &options);
    let log = outside.path().join("access");
    fs::write(&config, format!("[log]\naccess = {log:?}\n")).unwrap();
    server.signal(rustix::process::Signal::HUP);
    let line = lines_to(&mut server, "cannot open the log ").pop().unwrap();
    assert!(
        line.contains("outside of what the sandbox of this process allows: restart swiftd"),
        "{line}"
    );
    stop(server);
}

#[test]
fn a_need_that_is_none_is_told_by_the_check() {
    let yard = Yard::new(&[r#"-DNEEDS="exec", "read:$dir", "netwrok""#]);
    let check = |yard: &Yard| -> Output {
        let library = yard.stage.path("plugins/t_escape.so");
        program()
            .arg("--check-plugin")
            .arg(library)
            .output()
            .unwrap()
    };
    let output = check(&yard);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    let wanted = "REFUSED: it declares a need that is none: \"netwrok\": expected exec, network, ";
    assert!(said.contains(wanted), "{said}");
    assert!(said.contains("did you mean network?; mend it"), "{said}");

    yard.stage
        .compile("t_escape", "t_escape", &[r#"-DNEEDS="exec", "read:$dir""#]);
    let output = check(&yard);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("sandbox   exec read:$dir "), "{said}");
}

#[test]
fn the_state_is_shown_at_the_start_and_in_the_figures() {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    assert_eq!(state_line(root, &OFF, |_| {}), "off");
    if !is_whole() {
        return;
    }
    let line = state_line(root, &[], |_| {});
    assert!(
        line.contains("files, no TCP to others), seccomp ("),
        "{line}"
    );
    let line = state_line(root, &["--seccomp", "off", "--allow", "network"], |_| {});
    assert!(line.ends_with(": files), seccomp off"), "{line}");
    let line = state_line(root, &["--landlock", "off", "--allow", "calls"], |_| {});
    let wanted = "landlock off, seccomp (no dangerous calls)";
    assert_eq!(line, wanted);

    let yard = Yard::new(&[]);
    let server = yard.start(&["--landlock", "off"]);
    // They are gathered once somebody has asked.
    let began = Instant::now();
    let figures = loop {
        let text = String::from_utf8(server.get("/figures").body).unwrap();
        if text.contains("swiftd_sandbox") {
            break text;
        }
        assert!(began.elapsed() < server::PATIENCE, "{text}");
    };
    let line = "swiftd_sandbox{part=\"landlock\",detail=\"off\"} 0";
    assert!(figures.lines().any(|one| one == line), "{figures}");
    let mut lines = figures.lines();
    let start = "swiftd_sandbox{part=\"seccomp\",detail=\"";
    let line = lines.find(|one| one.starts_with(start)).unwrap();
    assert!(line.ends_with(" calls\"} 1"), "{line}");
    stop(server);
}

#[test]
fn a_kernel_without_it_is_served_unless_it_is_required() {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    for part in ["landlock", "seccomp"] {
        let line = state_line(root, &[], |command| forget(command, part));
        let wanted = format!("{part} not to be had (");
        assert!(line.contains(&wanted), "{line}");

        let mut command = program();
        command.arg(root).args(["--port", "0"]);
        command.arg(format!("--{part}=required"));
        forget(&mut command, part);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let wanted = format!("swiftd: {part} is required, and not to be had: ");
        assert!(
            said.starts_with(&wanted) && said.lines().count() == 1,
            "{said}"
        );
    }
    if is_whole() {
        let options = ["--landlock", "required", "--seccomp", "required"];
        let line = state_line(root, &options, |_| {});
        assert!(line.starts_with("landlock (ABI "), "{line}");
    }
}

/// Has the command live on a kernel that lacks this part.
fn forget(command: &mut Command, part: &str) {
    let call = match part {
        "landlock" => 444 + if cfg!(target_arch = "mips") { 4000 } else { 0 },
        _ => libc::SYS_seccomp as u32,
    };
    // If it is this call, there is none.
    let filter = [
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call),
        (
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        (libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = filter.map(|(code, jt, jf, k)| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    });
    let install = move || {
        let program = libc::sock_fprog {
            len: 4,
            filter: filter.as_ptr().cast_mut(),
        };
        rustix::thread::set_no_new_privs(true)?;
        let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
        // SAFETY: the program outlives the call, and the kernel checks it.
        match unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: it makes two system calls on memory of its own.
    unsafe { command.pre_exec(install) };
}

#[test]
fn another_root_that_cannot_be_reached_leaves_the_one_before_and_a_line() {
    if !is_whole() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("bodies")).unwrap();
    let release = |text: &str| {
        fs::create_dir(path("site")).unwrap();
        fs::write(path("site/version.txt"), text).unwrap();
    };
    release("one");
    let bodies = path("bodies");
    let options = ["--temp-dir", bodies.to_str().unwrap(), "--cache-trust", "1"];
    let mut server = Server::start(&path("site"), &options);
    assert_eq!(server.get("/version.txt").body, b"one");
    fs::rename(path("site"), path("before")).unwrap();
    release("two");
    // The root is looked at once a second, by whoever asks then.
    let asker = server.address();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut client = server::Client::connect(asker);
                assert_eq!(client.get("/version.txt").body, b"one");
            }
        });
        let line = server.next_line().unwrap();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(line.contains("another directory is at"), "{line}");
        assert!(line.contains("[sandbox] allow"), "{line}");
    });
    // Once is enough.
    assert_eq!(server.finish_with_log(0).len(), 1);
}
