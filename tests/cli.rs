//! The command line of the real program: what it says, where, and the exit code.

#[path = "support/server.rs"]
mod server;

use server::{Server, copy_program, program};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Output, Stdio};
use tempfile::TempDir;

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    program().args(arguments).output().unwrap()
}

/// The one line that a program says that ends with `code`.
#[track_caller]
fn complaint(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "complaints go to standard error");
    let line = said
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("{said:?}"));
    assert!(
        !line.contains(['\n', '\r', '\u{1b}']),
        "not one plain line: {said:?}"
    );
    let line = line.strip_prefix("swiftd: ");
    line.unwrap_or_else(|| panic!("whose line is it? {said}"))
        .to_owned()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for option in ["--help", "-h"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Usage: swiftd [OPTION]... DIR"), "{help}");
        for line in help.lines() {
            assert!(line.len() <= 80, "too wide for a terminal: {line}");
        }
    }
    for option in ["--version", "-v", "-V"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty());
        let wanted = concat!("swiftd ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(output.stdout, wanted.as_bytes());
    }
}

#[test]
fn help_wins_over_what_comes_after_it() {
    assert!(run(&["--help", "--nonsense"]).status.success());
    assert!(run(&[".", "--version"]).status.success());
}

#[test]
fn every_option_of_the_help_is_known() {
    let output = run(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    let words = help.split_whitespace().map(|word| word.trim_matches(','));
    let options: Vec<&str> = words.filter(|word| word.starts_with("--")).collect();
    assert!(options.len() > 25);
    for option in options {
        if !matches!(option, "--help" | "--version" | "--supervise") {
            // Whatever is wrong with it, it is the value.
            let said = complaint(&run(&[option]), 2);
            assert!(said.contains(&format!("{option} needs a value")), "{said}");
        }
    }
}

#[test]
fn a_wrong_option_is_named_with_its_cure() {
    for (arguments, wanted) in [
        (&["--prot", "1"][..], "did you mean --port?"),
        (&["--liste"], "did you mean --listen?"),
        (&["--frobnicate"], "unknown option --frobnicate"),
        (&["-x"], "unknown option -x"),
        (&[], "which directory? try: swiftd ."),
        (&[""], "try: swiftd ."),
        (&["a", "b"], "one directory at a time"),
        (&["--root", "a", "b"], "one directory at a time"),
        (&["--root"], "--root needs a value"),
        (&["-p"], "--port needs a value"),
        (&["--port", "http"], "--port \"http\": expected"),
        (&["--port", "65536"], "--port \"65536\": expected"),
        (&["--port", "-1"], "--port \"-1\": expected"),
        (&["-p", ""], "--port \"\": expected"),
        (
            &["--listen", "80"],
            "--listen \"80\": expected ADDRESS:PORT",
        ),
        (&["--listen", "example.org:80"], "expected ADDRESS:PORT"),
        (&["--listen", "::1:80"], "[::]:80"),
        (&["--listen", "unix:"], "unix: needs a path"),
        (&["--index", "a/b"], "expected a file name"),
        (&["--index", ""], "expected a file name"),
        (&["--idle-timeout", "soon"], "expected seconds from 0.001"),
        (
            &["--idle-timeout", "0"],
            "--idle-timeout \"0\": expected seconds",
        ),
        (&["--idle-timeout", "-1"], "expected seconds"),
        (&["--head-timeout", "nan"], "expected seconds"),
        (&["--body-timeout", "inf"], "expected seconds"),
        (&["--write-timeout", "1e9"], "expected seconds"),
        (&["--linger-timeout", "1s"], "expected seconds"),
        (&["--plugin-hang", "0"], "expected seconds"),
        (&["--supervise=yes", "."], "unexpected argument"),
        (&["--connections", "0"], "expected a number from 1 to"),
        (
            &["--connections", "1x"],
            "--connections \"1x\": expected a number",
        ),
        (&["--requests", "1.5"], "expected a number"),
        (&["--head-bytes", "64K"], "from 256 to 65535"),
        (&["--head-bytes", "255"], "from 256 to 65535"),
        (&["--fields", "129"], "from 4 to 128"),
        (
            &["--body-bytes", "99999999999999999999"],
            "expected a number",
        ),
        (
            &["--body-bytes", "18446744073709551615G"],
            "expected a number",
        ),
        (&["--body-memory", "K"], "expected a number"),
        (&["--cache-trust", "-5"], "expected a number"),
        (&["--small-file", "\u{fc}"], "expected a number"),
        (
            &["--avoid", "epoll"],
            "expected openat2, resolve-cached, nowait or cachestat",
        ),
        (&["--cache-files=many"], "--cache-files \"many\""),
        (&["--bad\noption"], "unknown option"),
        (&["-\n"], "unknown option"),
        (&["--port", "1\n2"], "expected"),
    ] {
        let said = complaint(&run(arguments), 2);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(
            said.ends_with("(swiftd --help lists all options)"),
            "{said}"
        );
    }
}

#[test]
fn arguments_that_are_no_text_are_refused_in_one_line() {
    let odd = OsString::from(OsStr::from_bytes(b"--\xff\xfe"));
    complaint(&run(&[odd]), 2);
    let odd = OsStr::from_bytes(b"\xff");
    for option in ["--port", "--listen", "--index", "--idle-timeout", "--avoid"] {
        complaint(&run(&[OsStr::new(option), odd]), 2);
    }
}

#[test]
fn more_listeners_than_there_is_room_for_are_refused() {
    let arguments = [".", "--listen", "127.0.0.1:0"].into_iter();
    let more = ["--port", "0"].into_iter().cycle().take(2 * 300);
    let arguments: Vec<&str> = arguments.chain(more).collect();
    let said = complaint(&run(&arguments), 2);
    assert!(said.contains("--listen addresses"), "{said}");
}

#[test]
fn a_root_that_cannot_be_served_ends_the_start() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for (root, cure) in [
        (&missing, "name a directory that exists"),
        (&file, "name the directory it is in"),
    ] {
        let output = program().arg(root).args(["--port", "0"]).output().unwrap();
        let said = complaint(&output, 1);
        let what = format!("cannot serve {}", root.display());
        assert!(said.starts_with(&what) && said.contains(cure), "{said}");
    }
}

#[test]
fn a_root_that_may_not_be_read_ends_the_start() {
    let grounds = TempDir::new().unwrap();
    let root = grounds.path().join("closed");
    fs::create_dir(&root).unwrap();
    let set_mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set_mode(&root, 0o000);
    let mut command = program();
    if rustix::process::getuid().is_root() {
        // To root everything is readable, so somebody else runs a copy of the program.
        let copy = copy_program(grounds.path());
        set_mode(grounds.path(), 0o755);
        command = std::process::Command::new(copy);
        command.uid(65_534).gid(65_534);
    }
    let output = command.arg(&root).args(["--port", "0"]).output().unwrap();
    let said = complaint(&output, 1);
    assert!(
        said.contains("cannot serve") && said.contains("chmod o+rx"),
        "{said}"
    );
    set_mode(&root, 0o755);
}

#[test]
fn a_busy_port_ends_the_start_and_the_listeners_before_it() {
    let root = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let path = root.path().join("first.sock");
    let mut command = program();
    command.arg(root.path()).arg("--listen");
    command.arg(format!("unix:{}", path.display()));
    command.args(["--port", &address.port().to_string()]);
    let said = complaint(&command.output().unwrap(), 1);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("choose another with --listen"), "{said}");
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn the_end_of_the_reader_does_not_change_the_exit_code() {
    for (arguments, code) in [(&["--nonsense"][..], 2), (&["/nowhere"], 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program();
        command.args(arguments).stderr(writer).stdout(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(code));
    }
}

#[test]
fn the_ready_line_names_the_root_and_all_places() {
    let root = TempDir::new().unwrap();
    let mut command = program();
    command.current_dir(root.path()).args(["-r", "."]);
    command.args(["-l", "127.0.0.1:0", "--listen=unix:s.sock", "-p0"]);
    let server = Server::spawn(command);
    assert_eq!(server.places.len(), 3, "{:?}", server.places);
    assert!(server.places[0].starts_with("http://127.0.0.1:"));
    assert_eq!(server.places[1], "unix:s.sock");
    assert!(server.places[2].starts_with("http://127.0.0.1:"));
    server.finish(0);
}
