//! The plugin cgi in the real server: scripts are started, fed, heard, killed and reaped.
//!
//! A script tells through a named pipe that it is there; that it and all that it started have gone
//! is the end of that pipe.

#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;

use rustix::process::Signal;
use server::{Client, Server, assert_same, pattern};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Made before the first server is started: a process that begins while a script is written would
/// hold it open, and what is open for writing cannot be run.
static PLACE: LazyLock<PathBuf> = LazyLock::new(make);

const HEAD: &str = "printf 'Content-Type: text/plain\\n\\n'\n";

const SCRIPTS: &[(&str, &str)] = &[
    (
        "vars",
        "echo \"$SERVER_PORT|$REMOTE_ADDR|$SCRIPT_NAME|$PATH_INFO|$QUERY_STRING|$HTTP_X_A|$HTTP_PROXY\"",
    ),
    ("cat", "exec cat"),
    ("hold", "exec 9>\"$QUERY_STRING\"\nsleep 1000 &\nsleep 1000"),
    (
        "steps",
        "exec 8<>\"$QUERY_STRING\"\nwhile read word <&8; do\n\
         [ \"$word\" = end ] && exit\necho \"$word\"\ndone",
    ),
    ("endless", "exec 9>\"$QUERY_STRING\"\nexec yes"),
    ("dies", "echo half\nkill -9 $$"),
    ("fails", "echo fine\nexit 3"),
    (
        "reaches",
        "cd \"$QUERY_STRING\"\ncat secret 2>/dev/null || echo unread\n\
         { echo new >new; } 2>/dev/null && rm new && echo written || echo unwritten\n\
         file=$(mktemp) && echo x >\"$file\" && rm \"$file\" && echo temporary\n\
         [ -r /etc/passwd ] && echo settings",
    ),
];

fn make() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cgi");
    let _ = fs::remove_dir_all(&place);
    let scripts = place.join("site/cgi-bin");
    fs::create_dir_all(&scripts).unwrap();
    fs::write(place.join("site/small.txt"), "small").unwrap();
    let script = |name: &str, text: String| {
        fs::write(scripts.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(scripts.join(name), Permissions::from_mode(0o755)).unwrap();
    };
    for (name, text) in SCRIPTS {
        script(name, format!("{HEAD}{text}"));
    }
    script("redirect", "printf 'Location: /small.txt\\n\\n'".into());
    let other = "printf 'Location: /cgi-bin/vars/%%41?new=1\\n\\n'";
    script("redirect_query", other.into());
    script("silent", "exec sleep 1000".into());
    let built = plugins::build_crate("Cargo.toml", "swiftd-plugin-cgi", "libcgi.so");
    fs::create_dir(place.join("lib")).unwrap();
    fs::copy(built, place.join("lib/cgi.so")).unwrap();
    let line = format!("cgi:{}/$\n", place.join("lib").display());
    fs::write(place.join("plugins"), line).unwrap();
    place
}

fn start(options: &[&str]) -> Server {
    let list = PLACE.join("plugins");
    let plugins = ["--plugins", list.to_str().unwrap()];
    Server::start(&PLACE.join("site"), &[&plugins, options].concat())
}

/// Sends a request whose response ends with the connection.
fn ask(server: &Server, method: &str, target: &str, fields: &str, body: &[u8]) -> Client {
    let mut client = server.connect();
    let length = body.len();
    client.send(format!(
        "{method} {target} HTTP/1.0\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\r\n"
    ));
    client.send(body);
    client
}

/// Its status and content.
fn answer(mut client: Client) -> (u16, Vec<u8>) {
    let status = client.head().status;
    (status, client.all())
}

fn get(server: &Server, target: &str) -> (u16, String) {
    let (status, body) = answer(ask(server, "GET", target, "", b""));
    (status, String::from_utf8(body).unwrap())
}

/// A named pipe.
struct Fifo(TempDir);

impl Fifo {
    fn new() -> Self {
        LazyLock::force(&PLACE);
        let directory = TempDir::new().unwrap();
        let status = Command::new("mkfifo")
            .arg(directory.path().join("f"))
            .status();
        assert!(status.unwrap().success());
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("f")
    }

    fn target(&self, script: &str) -> String {
        format!("/cgi-bin/{script}?{}", self.path().display())
    }

    /// Waits until the script is there.
    fn wait_for_script(&self) -> File {
        File::open(self.path()).unwrap()
    }

    fn say(&self, word: &str) {
        fs::write(self.path(), format!("{word}\n")).unwrap();
    }
}

fn wait_for_end(mut script: File) {
    assert_eq!(script.read(&mut [0]).unwrap(), 0);
}

/// The server's children, dead ones that nobody has asked after among them.
fn children(server: &Server) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_child = |stat: &String| {
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(1) == Some(&server.pid().to_string())
    };
    stats.filter(is_child).collect()
}

/// No child is left, dead or alive, no descriptor, and the server ends in good order.
fn finish(server: Server) -> Vec<String> {
    let start = std::time::Instant::now();
    while !children(&server).is_empty() {
        assert!(
            start.elapsed() < server::PATIENCE,
            "{:?}",
            children(&server)
        );
        // A round trip: by then the server has seen what came before.
        server.get("/small.txt");
    }
    let mut log = server.finish_with_log(1);
    // To start a process takes long where many are started at once.
    let is_expected =
        |line: &str| line.contains("plugins: generation") || line.contains(" held the loop ");
    log.retain(|line| !is_expected(line));
    log
}

#[test]
fn a_script_answers_and_leaves_nothing() {
    let server = start(&[]);
    let port = server.address().port();
    let fields = "X-A: 1\r\nX-A: 2\r\nProxy: http://evil\r\n";
    let client = ask(&server, "GET", "/cgi-bin/vars/a%20b?c=d", fields, b"");
    let (status, body) = answer(client);
    let expected = format!("{port}|127.0.0.1|/cgi-bin/vars|/a b|c=d|1, 2|\n");
    assert_eq!((status, String::from_utf8(body).unwrap()), (200, expected));
    assert_eq!(get(&server, "/cgi-bin/absent").0, 404);
    assert_eq!(get(&server, "/cgi-bin/").0, 403);
    assert_eq!(get(&server, "/cgi-bin/redirect"), (200, "small".into()));
    let (_, redirected) = get(&server, "/cgi-bin/redirect_query?old=1");
    let expected = format!("{port}|127.0.0.1|/cgi-bin/vars|/A|new=1||\n");
    assert_eq!(redirected, expected);
    assert_eq!(
        get(&server, "/cgi-bin/redirect?old=1"),
        (200, "small".into())
    );
    assert_eq!(get(&server, "/small.txt"), (200, "small".into()));
    let log = finish(server);
    assert!(
        log.len() == 1 && log[0].contains("it is a directory"),
        "{log:?}"
    );
}

#[test]
fn bodies_in_memory_and_in_files_reach_the_script() {
    let server = start(&["--body-bytes", "8M", "--body-memory", "64K"]);
    for bytes in [1, 60_000, 64 << 10, 70_000, 3_000_000] {
        let body = pattern(bytes, 1);
        let (status, echo) = answer(ask(&server, "POST", "/cgi-bin/cat", "", &body));
        assert_eq!(status, 200);
        assert_same(&echo, &body);
    }
    assert_eq!(finish(server), [""; 0]);
}

#[test]
fn output_comes_as_it_is_made_and_nobody_waits_for_it() {
    let (fifo, server) = (Fifo::new(), start(&[]));
    let mut slow = ask(&server, "GET", &fifo.target("steps"), "", b"");
    assert_eq!(slow.head().status, 200);
    for word in ["one", "two"] {
        fifo.say(word);
        assert_eq!(slow.bytes(4), format!("{word}\n").as_bytes());
        assert_eq!(get(&server, "/small.txt").1, "small");
        assert_eq!(get(&server, "/cgi-bin/vars").0, 200);
    }
    fifo.say("end");
    slow.expect_end();
    assert_eq!(finish(server), [""; 0]);
}

#[test]
fn scripts_follow_each_other_on_one_connection() {
    let server = start(&[]);
    let mut client = server.connect();
    for _ in 0..50 {
        client.ask("/cgi-bin/redirect");
        client.ask("/cgi-bin/absent");
    }
    for _ in 0..50 {
        assert_eq!(client.response().body, b"small");
        assert_eq!(client.response().status, 404);
    }
    drop(client);
    assert_eq!(finish(server), [""; 0]);
}

#[test]
fn a_script_and_what_it_started_end_with_the_client() {
    let (fifo, server) = (Fifo::new(), start(&[]));
    let client = ask(&server, "GET", &fifo.target("hold"), "", b"");
    let script = fifo.wait_for_script();
    client.reset();
    wait_for_end(script);
    let mut reader = ask(&server, "GET", &fifo.target("endless"), "", b"");
    let script = fifo.wait_for_script();
    assert_eq!(reader.head().status, 200);
    assert_eq!(reader.bytes(4), b"y\ny\n");
    reader.reset();
    wait_for_end(script);
    assert_eq!(finish(server), [""; 0]);
}

#[test]
fn scripts_end_with_the_server() {
    let (fifo, server) = (Fifo::new(), start(&["--drain-timeout", "1"]));
    let _client = ask(&server, "GET", &fifo.target("hold"), "", b"");
    let script = fifo.wait_for_script();
    server.signal(Signal::TERM);
    wait_for_end(script);
    server.wait();
}

#[test]
fn silence_is_a_504_and_sudden_death_no_good_end() {
    let server = start(&["--set", "plugin.cgi.timeout=1"]);
    assert_eq!(get(&server, "/cgi-bin/silent").0, 504);
    let mut cut = server.connect();
    cut.send("GET /cgi-bin/dies HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let all = cut.all_there_is();
    let text = String::from_utf8_lossy(&all);
    // A chunked response without its end, or an error if the end came before the beginning.
    assert!(
        text.contains(" 502 ") || !text.ends_with("0\r\n\r\n"),
        "{text}"
    );
    assert_eq!(get(&server, "/cgi-bin/fails"), (200, "fine\n".into()));
    let log = finish(server);
    for part in ["no output for 1 s", "signal 9", "it ended with code 3"] {
        assert!(
            log.iter().any(|line| line.contains(part)),
            "{part}: {log:?}"
        );
    }
}

#[test]
fn too_many_are_sent_away_for_a_second() {
    let (fifo, server) = (Fifo::new(), start(&["--set", "plugin.cgi.max_processes=1"]));
    let client = ask(&server, "GET", &fifo.target("hold"), "", b"");
    let script = fifo.wait_for_script();
    let refused = server.get("/cgi-bin/vars");
    assert_eq!(
        (refused.status, refused.field("Retry-After")),
        (503, Some("1"))
    );
    drop(client);
    wait_for_end(script);
    assert_eq!(get(&server, "/cgi-bin/vars").0, 200);
    assert_eq!(finish(server).len(), 1);
}

#[test]
fn a_value_that_cannot_be_meant_keeps_the_server_from_starting() {
    let list = PLACE.join("plugins");
    let output = server::program()
        .arg(PLACE.join("site"))
        .args([
            "--port",
            "0",
            "--set",
            "plugin.cgi.timeout=soon",
            "--plugins",
        ])
        .arg(list)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("timeout: \"soon\" is not a whole number from 1 to 3600"),
        "{said}"
    );
}

/// Scripts are in the sandbox of the server.
#[test]
fn a_script_reaches_what_is_declared_and_allowed() {
    // What lies beside the list of plugins is not.
    let outside = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let outside = outside.path();
    fs::write(outside.join("secret"), "secret\n").unwrap();
    let target = format!("/cgi-bin/reaches?{}", outside.display());
    let temporary = TempDir::new().unwrap();
    let temp_dir = ["--temp-dir", temporary.path().to_str().unwrap()];
    let ask = |options: &[&str]| {
        let mut command = server::program();
        command.arg(PLACE.join("site")).args(["--port", "0"]);
        command.arg("--plugins").arg(PLACE.join("plugins"));
        command.args(["--set", "plugin.cgi.pass_env=TMPDIR"]);
        command.env("TMPDIR", temporary.path());
        command.args(temp_dir).args(options);
        let server = Server::spawn(command);
        let (status, said) = get(&server, &target);
        assert_eq!(status, 200);
        server.signal(Signal::TERM);
        let (ended, _) = server.wait();
        assert!(ended.success());
        said
    };
    let held = "unread\nunwritten\ntemporary\nsettings\n";
    let free = "secret\nwritten\ntemporary\nsettings\n";
    assert_eq!(ask(&[]), held);
    let read = format!("read:{}", outside.display());
    let wanted = "secret\nunwritten\ntemporary\nsettings\n";
    assert_eq!(ask(&["--allow", &read]), wanted);
    let write = format!("write:{}", outside.display());
    assert_eq!(ask(&["--allow", &write]), free);
    assert_eq!(ask(&["--landlock", "off"]), free);
}
