//! The configuration file as an operator meets it: what the program says of it, and what it makes
//! of it.

#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;

use server::{Server, program};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// A directory with a configuration and what it names.
struct Ground {
    directory: TempDir,
}

impl Ground {
    fn new(text: &str) -> Self {
        let ground = Self {
            directory: TempDir::new().unwrap(),
        };
        for name in ["www", "other", "conf.d"] {
            fs::create_dir(ground.path(name)).unwrap();
        }
        ground.write("swiftd.conf", text);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file; `@` stands for the directory.
    fn write(&self, name: &str, text: &str) {
        let directory = self.directory.path().to_str().unwrap();
        fs::write(self.path(name), text.replace('@', directory)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command.arg("-c").arg(self.path("swiftd.conf"));
        command.args(arguments).output().unwrap()
    }

    /// What is said to standard error, without what all lines and places begin with.
    #[track_caller]
    fn said(&self, arguments: &[&str], code: i32) -> Vec<String> {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let directory = format!("{}/", self.directory.path().display());
        let plain = |line: &str| {
            assert!(!line.contains(|char: char| char.is_control()), "{line:?}");
            let line = line.strip_prefix("swiftd: ");
            line.expect("whose line is it?").replace(&directory, "")
        };
        said.lines().map(plain).collect()
    }
}

/// A configuration that only needs what is there.
const GOOD: &str = "root = '@/www'\nlisten = '127.0.0.1:0'\n";

#[test]
fn a_good_configuration_is_told_so() {
    let ground = Ground::new(GOOD);
    let wanted = ["configuration file swiftd.conf: test is successful"];
    assert_eq!(ground.said(&["-t"], 0), wanted);
    assert_eq!(ground.said(&["--test"], 0), wanted);
    assert!(ground.run(&["-t"]).stdout.is_empty());
    assert_eq!(ground.said(&["-t", "-q"], 0), [""; 0]);
}

#[test]
fn without_a_file_the_command_line_is_tested() {
    let ground = Ground::new("");
    let output = program()
        .arg("-t")
        .arg(ground.path("www"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "swiftd: the command line: test is successful\n");
    let output = program()
        .arg("-t")
        .arg(ground.path("none"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    if !Path::new("/etc/swiftd/swiftd.conf").exists() {
        let output = program().arg("-t").output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        let wanted = "cannot read the configuration file /etc/swiftd/swiftd.conf: there is none; name one with -c\n";
        assert_eq!(said, format!("swiftd: {wanted}"));
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let ground = Ground::new(
        "\
root = 'www'
idle = 3
head-timeout = 1
pidfile = '/x'
[timeout]
head = 1
[limits]
conections = 3
body-memory = '2M'
body-bytes = '1M'
head-bytes = 1
target-bytes = 65000
[log]
level = 'warn'
access = 'here'
[[redirect]]
from = '/a'
to = '/b*'
[mime]
'tar.gz' = 'a/b'
x = 'text'
[timeouts]
idle = nan
",
    );
    let said = ground.said(&["-t"], 78);
    let wanted = [
        "1:8: root \"www\": expected an absolute path, as in \"/var/tmp\"",
        "2:1: unknown key idle; did you mean [timeouts] idle?",
        "3:1: unknown key head-timeout; did you mean [timeouts] head?",
        "4:1: unknown key pidfile; did you mean pid-file?",
        "5:2: unknown table [timeout]; did you mean [timeouts]?",
        "8:1: unknown key conections in [limits]; did you mean connections?",
        "9:1: limits.body-memory 2097152: expected not more than body-bytes, which is 1048576",
        "11:14: limits.head-bytes 1: expected a number of bytes from 256 to 65535, as in 64K",
        "12:1: limits.target-bytes 65000: expected less than head-bytes, which is 16384",
        "14:9: log.level \"warn\": expected error, warning, notice, info or debug; did you mean warning?",
        "15:10: log.access \"here\": expected off, stderr, syslog, ram:64K or an absolute path",
        "18:6: redirect.to: a * at its end needs one at the end of from, as in /old/*",
        "20:1: mime.tar.gz: expected the end of a file's name behind its last dot, as in \".wasm\"",
        "21:5: mime.x \"text\": expected a media type, as in \"text/html; charset=utf-8\"",
        "23:8: timeouts.idle nan: expected seconds from 0.001 to 86400",
    ];
    assert_eq!(said, wanted.map(|line| format!("swiftd.conf:{line}")));
    // The server says the same.
    assert_eq!(ground.said(&[], 78), said);
}

#[test]
fn what_the_machine_lacks_is_told() {
    let ground = Ground::new(
        "\
root = '@/missing'
user = 'nobody-is-called-so'
temp-dir = '@/swiftd.conf'
pid-file = '@/run/swiftd.pid'
[log]
access = '@/logs/access.log'
[error-pages]
404 = '@/404.html'
500 = 'a.html'
[[host]]
names = 'x'
root = '@/www'
",
    );
    let said = ground.said(&["-t"], 78);
    let none = "there is none; make it, or name another";
    let beneath = "(one that begins without / is beneath the root)";
    let mut wanted = [
        format!("error-pages.404 404.html: {none} {beneath}"),
        format!("error-pages.500 missing/a.html: {none}"),
        format!("error-pages.500 www/a.html: {none}"),
        format!("the directory of log logs: {none}"),
        format!("the directory of pid-file run: {none}"),
        format!("root missing: {none}"),
        "temp-dir swiftd.conf: expected a directory".to_owned(),
        "configuration file swiftd.conf: test failed".to_owned(),
    ]
    .to_vec();
    let mut rest = said.clone();
    rest.retain(|line| !wanted.contains(line));
    wanted.retain(|line| !said.contains(line));
    assert!(wanted.is_empty(), "{wanted:#?}\n{said:#?}");
    assert_eq!(rest.len(), 1, "{rest:#?}");
    assert!(
        rest[0].starts_with("there is no user \"nobody-is-called-so\""),
        "{rest:#?}"
    );
    assert_eq!(
        said.last().unwrap(),
        "configuration file swiftd.conf: test failed"
    );
}

#[test]
fn a_server_that_nobody_can_reach_is_none() {
    let ground = Ground::new("root = '@/www'\nlisten = []\n");
    let wanted = [
        "swiftd.conf:2:1: listen: nobody could connect; name an address, as in \"0.0.0.0:80\", or leave the line out",
    ];
    assert_eq!(ground.said(&["-t"], 78), wanted);
    assert_eq!(ground.said(&[], 78), wanted);
}

#[test]
fn a_configuration_without_a_root_is_told_where_to_add_it() {
    let ground = Ground::new("listen = '127.0.0.1:0'\n");
    let wanted = [
        "swiftd.conf: root is missing; add a line root = \"/var/www/html\" before the first table",
    ];
    assert_eq!(ground.said(&["-t"], 78), wanted);
    assert_eq!(ground.said(&[], 78), wanted);
    let root = ground.path("www");
    ground.said(&["-t", root.to_str().unwrap()], 0);
}

#[test]
fn what_holds_is_printed_and_can_be_read_again() {
    let ground = Ground::new(GOOD);
    ground.write(
        "conf.d/a.conf",
        "memory = '4M'\n[[host]]\nnames = ['b', 'A']\n[plugin.x]\ny = 1\n",
    );
    let output = ground.run(&["-T", "--idle-timeout", "7", "--set", "plugin.x.z=\"2\""]);
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "idle = 7\n",
        "z = \"\\\"2\\\"\"\n",
        "names = [\"b\", \"a\"]\n",
        "memory = \"4M\"\n",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(
        printed.ends_with("without plugins' own memory\n"),
        "{printed}"
    );
    let sum = printed.lines().last().unwrap();
    let sum = sum
        .trim_start_matches(['#', ' '])
        .split(' ')
        .next()
        .unwrap();
    assert!(
        (3500..=4096).contains(&sum.parse::<u32>().unwrap()),
        "{sum}"
    );

    let again = Ground::new("");
    fs::write(again.path("swiftd.conf"), &printed).unwrap();
    let output = again.run(&["-T"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), printed);
}

#[test]
fn parts_are_read_in_the_order_of_their_names() {
    let ground = Ground::new(GOOD);
    ground.write(
        "conf.d/20-b.conf",
        "[[host]]\nnames = 'b'\n[mime]\nb = 'x/b'\n",
    );
    ground.write(
        "conf.d/10-a.conf",
        "[[host]]\nnames = 'a'\n[mime]\na = 'x/a'\n",
    );
    ground.write("more", "[[redirect]]\nfrom = '/x'\nto = '/y'\n");
    symlink(ground.path("more"), ground.path("conf.d/30-c.conf")).unwrap();
    for name in [
        ".a.conf",
        "a.conf~",
        "a.conf.bak",
        "a.conf.dpkg-new",
        "README",
        "#a.conf#",
    ] {
        ground.write(&format!("conf.d/{name}"), "this is no TOML\n");
    }
    let output = ground.run(&["-T"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let at = |text: &str| {
        printed
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {printed}"))
    };
    assert!(at("names = [\"a\"]") < at("names = [\"b\"]"));
    assert!(at(".a\" = \"x/a\"") < at(".b\" = \"x/b\""));
    at("from = \"/x\"");
}

#[test]
fn what_is_said_twice_is_told_with_both_places() {
    let ground = Ground::new(
        "root = '@/www'\n[timeouts]\nidle = 3\n[plugin.p]\nk = 1\n[[host]]\nnames = 'x'\n",
    );
    ground.write(
        "conf.d/a.conf",
        "root = '@/other'\n[timeouts]\nhead = 1\nidle = 4\n[plugin.p]\nk = 2\nl = 3\n[[host]]\nnames = ['y', 'X']\n[mime]\n.a = 'b/c'\n",
    );
    ground.write(
        "conf.d/b.conf",
        "[mime]\na = 'b/d'\n'.b' = 'b/e'\n[log]\nlevel = 3\n",
    );
    let said = ground.said(&["-t"], 78);
    let wanted = [
        "conf.d/a.conf:1:1: root is there twice; first in swiftd.conf:1:1",
        "conf.d/a.conf:4:1: timeouts.idle is there twice; first in swiftd.conf:3:1",
        "conf.d/a.conf:6:1: plugin.p.k is there twice; first in swiftd.conf:5:1",
        "conf.d/a.conf:9:15: the host name x is there twice; first in swiftd.conf:7:9",
        "conf.d/b.conf:5:9: log.level: expected error, warning, notice, info or debug, found an integer",
    ];
    for line in wanted {
        assert!(said.iter().any(|it| it == line), "{line}\n{said:#?}");
    }
    assert!(
        said.iter()
            .any(|line| line.starts_with("conf.d/a.conf:11:1: ")),
        "{said:#?}"
    );
}

#[test]
fn a_part_that_cannot_be_read_is_told() {
    let ground = Ground::new(GOOD);
    fs::create_dir(ground.path("conf.d/dir.conf")).unwrap();
    assert_eq!(
        ground.said(&["-t"], 78),
        ["conf.d/dir.conf is no regular file; name a TOML file"]
    );
    fs::remove_dir(ground.path("conf.d/dir.conf")).unwrap();
    fs::write(ground.path("conf.d/x.conf"), b"a = '\xff'\n").unwrap();
    assert_eq!(
        ground.said(&["-t"], 78),
        ["conf.d/x.conf:1:6: not UTF-8; save the file as UTF-8"]
    );
    fs::remove_file(ground.path("conf.d/x.conf")).unwrap();
    for number in 0..300 {
        ground.write(&format!("conf.d/{number}.conf"), "");
    }
    assert_eq!(
        ground.said(&["-t"], 78),
        ["conf.d has more than 256 files; put them together"]
    );
}

#[test]
fn standard_input_is_read_and_has_no_parts() {
    let ground = Ground::new("");
    ground.write("conf.d/a.conf", "this is no TOML\n");
    for option in ["-c", "-f", "--config"] {
        let mut child = program()
            .current_dir(ground.directory.path())
            .args([option, "-", "-t"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let root = ground.path("www");
        let text = format!("root = {root:?}\nlog.level = 'loud'\n");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        let wanted = "swiftd: standard input:2:13: log.level \"loud\": expected";
        assert!(said.starts_with(wanted), "{said}");
    }
}

/// What the server answers to a request, up to its end.
fn answer(server: &Server, request: &str) -> String {
    let address = server.places[0].trim_start_matches("http://");
    let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_serves_what_its_file_says() {
    let ground = Ground::new(
        "\
root = '@/www'
listen = '127.0.0.1:0'
index = ['start.html']
[mime]
'.quux' = 'application/quux'
[error-pages]
404 = 'lost.html'
[[redirect]]
from = '/old/*'
to = '/new/*'
status = 308
[[header]]
path = '*.html'
set = { X-Kind = 'page' }
[[host]]
names = '*.example.org'
root = '@/other'
",
    );
    for (name, text) in [
        ("www/start.html", "default start"),
        ("www/lost.html", "nothing here"),
        ("www/a.quux", "q"),
        ("other/start.html", "other start"),
        ("other/lost.html", "nothing there"),
    ] {
        ground.write(name, text);
    }
    let mut command = program();
    command.arg("-c").arg(ground.path("swiftd.conf"));
    let server = Server::spawn(command);
    for (path, host, wanted) in [
        ("/", "x", &["200 OK", "default start"][..]),
        ("/start.html", "x", &["200 OK", "X-Kind: page", "default"]),
        (
            "/start.html",
            "A.Example.ORG:80",
            &["200 OK", "X-Kind: page", "other start"],
        ),
        ("/a.quux", "x", &["200 OK", "application/quux"]),
        ("/b", "x", &["404 ", "nothing here"]),
        ("/b", "b.example.org", &["404 ", "nothing there"]),
        ("/old/a", "x", &["308 ", "Location: /new/a"]),
        ("/old/a", "b.example.org", &["404 "]),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = answer(&server, &request);
        for part in wanted {
            assert!(answer.contains(part), "{path} {host}: {part}\n{answer}");
        }
    }
    server.finish(0);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let ground = Ground::new("root = '@/missing'\nlisten = '192.0.2.1:1'\n");
    ground.write("www/index.html", "mine");
    let mut command = program();
    command.arg("-c").arg(ground.path("swiftd.conf"));
    command
        .args(["-p", "0", "-l", "127.0.0.1:0"])
        .arg(ground.path("www"));
    let server = Server::spawn(command);
    assert_eq!(server.places.len(), 2);
    let answer = answer(
        &server,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.ends_with("mine"), "{answer}");
    server.finish(0);
}

/// A ground with a plugin `t_hooks`, whose values `init` and `set_default` are what those return, and
/// one that crashes when it is loaded.
fn ground_with_plugins() -> Ground {
    let ground = Ground::new(&format!("{GOOD}plugins = '@/list'\n"));
    let options = ["-DNAME=\"t_hooks\""];
    let library = plugins::build_with("t_hooks", ground.directory.path(), &options);
    fs::rename(library, ground.path("other/t_hooks.so")).unwrap();
    plugins::build("constructor_crash", &ground.path("other"));
    ground
}

const SUCCESS: &str = "configuration file swiftd.conf: test is successful";
const FAILURE: &str = "configuration file swiftd.conf: test failed";

#[test]
fn what_a_server_could_not_be_started_with_is_told_before_with_its_place() {
    let ground = ground_with_plugins();
    let cases = [
        ("# none", &[][..], None),
        ("t_hooks:@/other/$", &[], None),
        (
            "t_hooks:@/other/$",
            &["--set", "plugin.t_hooks.init=0"],
            None,
        ),
        (
            "# one\nnope",
            &[],
            Some("list:2: no $ at the end: was the file cut off? write NAME:/DIR/$"),
        ),
        ("", &[], Some("list:1: the file is empty")),
        (
            "nope:@/other/$",
            &[],
            Some("list:1: nope: other/nope.so: there is no such file"),
        ),
        (
            "t_hooks:@/other/$",
            &["--set", "plugin.t_hooks.init=-1"],
            Some("list:1: t_hooks: init failed (-1)"),
        ),
        (
            "t_hooks:@/other/$",
            &["--set", "plugin.t_hooks.set_default=-1"],
            Some("list:1: t_hooks: set_default failed (-1)"),
        ),
        (
            "\nconstructor_crash:@/other/$",
            &[],
            Some("list:2: constructor_crash: killed by signal 11 (SIGSEGV) while being loaded"),
        ),
        (
            "t_hooks:@/other/$",
            &["--require-plugin", "access"],
            Some("list: there is no line for access, which is one of required-plugins"),
        ),
    ];
    for (list, options, fault) in cases {
        ground.write("list", list);
        let options = [&["-t"], options].concat();
        let Some(fault) = fault else {
            assert_eq!(ground.said(&options, 0), [SUCCESS], "{list}");
            continue;
        };
        let said = ground.said(&options, 78);
        assert!(
            said[0].starts_with(&format!("plugins: {fault}")),
            "{said:?}"
        );
        assert_eq!(said[1..], [FAILURE]);
        // A server says so as well; what a plugin itself says has a line of its own there.
        let start = ground.said(&options[1..], 1);
        let words = |line: &str| line.split(" (-1)").next().unwrap().to_owned();
        assert_eq!(words(start.last().unwrap()), words(&said[0]));
    }
    fs::remove_file(ground.path("list")).unwrap();
    assert_eq!(
        ground.said(&["-T"], 78)[0],
        "plugins: list: there is no such file"
    );
}

#[test]
fn all_plugins_that_are_not_good_are_told_and_what_can_be_borne() {
    let ground = ground_with_plugins();
    ground.write(
        "list",
        "nope:@/other/$\nt_hooks:@/other/$\nnone:builtin/$\n",
    );
    let bad = ["-t", "--set", "plugin.t_hooks.init=-1"];
    let said = ground.said(&bad, 78);
    for (line, begin) in said.iter().zip([
        "plugins: list:1: nope: ",
        "plugins: list:2: t_hooks: init failed (-1): init",
        "plugins: list:3: none: this swiftd has no plugins built in",
    ]) {
        assert!(line.starts_with(begin), "{said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
    // Whoever wants them not to matter is told all the same.
    let optional = [&bad[..], &["--plugin-optional"]].concat();
    let said = ground.said(&optional, 0);
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("warning: plugins: list:1: nope: "));
    assert!(said[0].ends_with("; the server starts without them"));
    // Where no child may load them, no code of theirs runs.
    let unloaded = [&bad[..], &["--plugin-trial", "off"]].concat();
    ground.write("list", "constructor_crash:@/other/$\nt_hooks:@/other/$");
    assert_eq!(ground.said(&unloaded, 0), [SUCCESS]);
    ground.write("list", "nope:@/other/$");
    let said = ground.said(&["-t", "--plugin-trial", "off"], 78);
    assert_eq!(said.len(), 2, "{said:?}");
    let stranger = ["-t", "--set", "plugin.x.y=1"];
    ground.write("list", "# none");
    let said = ground.said(&stranger, 0);
    assert_eq!(
        said,
        [
            "warning: values for plugin.x, which list does not list",
            SUCCESS
        ]
    );
    ground.write("swiftd.conf", GOOD);
    let said = ground.said(&stranger, 0);
    assert_eq!(
        said,
        [
            "warning: values for plugin.x, and no list of plugins is named",
            SUCCESS
        ]
    );
}

#[test]
fn a_plugin_is_tested_as_the_user_that_the_server_becomes() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: not root");
    }
    let ground = ground_with_plugins();
    ground.write("list", "t_hooks:@/other/$");
    let options = ["-t", "--user", "nobody"];
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    mode(ground.directory.path(), 0o755).unwrap();
    assert_eq!(ground.said(&options, 0), [SUCCESS]);
    mode(&ground.path("other/t_hooks.so"), 0o700).unwrap();
    let said = ground.said(&options, 78);
    assert!(said[0].contains("list:1: t_hooks: other/t_hooks.so: cannot open it"));
}
