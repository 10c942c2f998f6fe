//! `--try-plugin` and `--check-plugin --init`: real libraries in the real program, without a socket
//! that listens.

#[path = "support/plugins.rs"]
mod plugins;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// What a run said and how it ended.
struct Run {
    code: Option<i32>,
    signal: Option<i32>,
    out: String,
    err: String,
}

fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Run {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_swiftd"))
        .args(arguments)
        .output()
        .unwrap();
    Run {
        code: status.code(),
        signal: status.signal(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// Tries a plugin with a request and further arguments.
fn ask(file: &Path, request: &str, more: &[&str]) -> Run {
    let file = file.to_str().unwrap();
    run(&[&["--try-plugin", file, request], more].concat())
}

impl Run {
    #[track_caller]
    fn has_ended(self, code: i32) -> Self {
        let Self { out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "{out}\n{err}");
        self
    }

    /// The status line's code.
    fn status(&self) -> &str {
        self.out.split(' ').nth(1).unwrap_or("none")
    }

    fn body(&self) -> &str {
        self.out.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The trace and the log: hooks without their times.
    fn lines(&self) -> Vec<String> {
        let lines = self.err.lines().map(|line| line.strip_prefix("swiftd: "));
        let plain = |line: &str| match line.strip_suffix(" ms") {
            Some(hook) if line.contains("hook ") => {
                let (hook, ms) = hook.rsplit_once(' ').unwrap();
                assert!(ms.parse::<f64>().is_ok(), "{line}");
                hook.to_owned()
            }
            _ => line.to_owned(),
        };
        lines
            .map(|line| plain(line.expect("a line of ours")))
            .collect()
    }

    #[track_caller]
    fn assert_said(&self, what: &str) {
        assert!(self.err.contains(what), "no {what:?} in {}", self.err);
    }
}

/// The fixture `t_try`, in a directory of its own.
fn built() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let file = plugins::build_with("t_try", directory.path(), &["-Wno-cast-function-type"]);
    (directory, file)
}

#[test]
fn the_answer_goes_to_standard_output_and_the_calls_to_standard_error() {
    let (directory, file) = built();
    let asked = ask(&file, "GET /x HTTP/1.1", &[]).has_ended(0);
    assert!(
        asked.out.starts_with("HTTP/1.1 200 OK\r\n"),
        "{}",
        asked.out
    );
    assert_eq!(asked.body(), "cause 0, body 0\n");
    let mut lines = asked.lines();
    assert!(
        lines
            .remove(1)
            .starts_with("plugins: generation 1 with 1 (1 added")
    );
    assert_eq!(
        lines,
        [
            "hook init",
            "hook subrequest_start \u{2192} FINISHED",
            "hook handle_subrequest \u{2192} FINISHED",
            "hook cleanup",
        ]
    );
    // What cargo calls it before it is installed.
    let renamed = directory.path().join("libt_try.so");
    fs::copy(&file, &renamed).unwrap();
    ask(&renamed, "HEAD /x HTTP/1.0", &[]).has_ended(0);
    // Content, with its length.
    let asked = ask(&file, "POST /x HTTP/1.1\nX: y\n\n12345", &[]).has_ended(0);
    assert_eq!(asked.body(), "cause 0, body 5\n");
    let asked = ask(&file, "POST /x HTTP/1.1\\r\\n\\r\\n1234", &[]).has_ended(0);
    assert_eq!(asked.body(), "cause 0, body 4\n");
    // More than two sockets hold, so that the client waits for the server.
    let much = format!("POST /x HTTP/1.1\n\n{}", "x".repeat(100_000));
    let asked = ask(&file, &much, &["--body-memory", "1K"]).has_ended(0);
    assert_eq!(asked.body(), "cause 0, body 100000\n");
}

#[test]
fn files_are_there_only_if_a_root_is_named() {
    let (directory, file) = built();
    let site = directory.path().join("site");
    fs::create_dir(&site).unwrap();
    let bytes = "0123456789abcdef".repeat(100_000);
    fs::write(site.join("a.txt"), &bytes).unwrap();
    let temporary = directory.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let none = ["--temp-dir", temporary.to_str().unwrap()];
    let asked = ask(&file, "GET /a.txt HTTP/1.1", &none).has_ended(0);
    assert_eq!(asked.status(), "404");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    let asked = ask(
        &file,
        "GET /a.txt HTTP/1.1",
        &["--root", site.to_str().unwrap()],
    );
    assert_eq!(asked.status(), "200");
    assert!(asked.body() == bytes, "{} bytes", asked.body().len());
}

#[test]
fn whatever_a_plugin_waits_for_comes() {
    let (_directory, file) = built();
    for (target, cause) in [("/timer", 1), ("/job", 3), ("/child", 4), ("/inner", 5)] {
        let asked = ask(&file, &format!("GET {target} HTTP/1.1"), &[]).has_ended(0);
        assert_eq!(asked.body(), format!("cause {cause}, body 0\n"), "{target}");
        asked.assert_said("hook handle_subrequest \u{2192} WAIT_FOR_EVENT ");
    }
    // The calls of an inner request are indented.
    let asked = ask(&file, "GET /inner HTTP/1.1", &[]);
    asked.assert_said("swiftd:   hook subrequest_start \u{2192} GO_ON ");
}

#[test]
fn what_fails_ends_with_1() {
    let (directory, file) = built();
    let asked = ask(&file, "GET /fail HTTP/1.1", &[]).has_ended(1);
    assert_eq!(asked.status(), "500");
    asked.assert_said("hook handle_subrequest \u{2192} ERROR ");
    asked.assert_said("the answer was 500");
    let asked = ask(&file, "GET /cut HTTP/1.1", &[]).has_ended(1);
    assert_eq!(asked.status(), "200");
    asked.assert_said("the response is cut off");
    let bad = ["--set", "plugin.t_try.bad=1"];
    let asked = ask(&file, "GET /x HTTP/1.1", &bad).has_ended(1);
    assert_eq!(asked.out, "");
    asked.assert_said("t_try: error: bad is set");
    asked.assert_said("init failed (-1)");
    let asked = ask(&directory.path().join("none.so"), "GET / HTTP/1.1", &[]).has_ended(1);
    asked.assert_said("none.so: there is no such file");
    let crash = plugins::build("constructor_crash", directory.path());
    let asked = ask(&crash, "GET / HTTP/1.1", &[]).has_ended(1);
    asked.assert_said("killed by signal 11");
    // In the process itself there is only the breadcrumb.
    let asked = ask(&file, "GET /crash HTTP/1.1", &[]);
    assert_eq!(asked.signal, Some(6), "{}", asked.err);
    asked.assert_said("fatal signal 6 in plugin t_try hook subrequest_start");
    ask(&file, "GET /", &[]).has_ended(2);
}

#[test]
fn reloads_leave_nothing_or_it_is_told() {
    let (directory, file) = built();
    let (target, many) = (
        "GET /timer HTTP/1.1",
        ["--reload", "60", "--plugin-trial", "off"],
    );
    let asked = ask(&file, target, &many).has_ended(0);
    assert_eq!(asked.body(), "cause 1, body 0\n");
    assert_eq!(asked.out.matches("HTTP/1.1 200").count(), 1);
    asked.assert_said("swiftd: 60 reloads: ");
    asked.assert_said(" KiB growth, all unmapped\n");
    assert_eq!(asked.err.matches("hook init").count(), 1, "{}", asked.err);
    // With the trial in a child, and few.
    ask(&file, target, &["--reload", "2"]).has_ended(0);

    let leaks = [&many[..], &["--set", "plugin.t_try.leak=1"]].concat();
    let asked = ask(&file, target, &leaks).has_ended(1);
    asked.assert_said("all unmapped");
    let kib = asked.err.split("60 reloads: ").nth(1).unwrap();
    let kib: u64 = kib.split(' ').next().unwrap().parse().unwrap();
    assert!((400..4000).contains(&kib), "{}", asked.err);
    let leaks = [&many[..], &["--set", "plugin.t_try.leak_fd=1"]].concat();
    ask(&file, target, &leaks).has_ended(1);
    let leaves = [&["--reload", "2"][..], &["--set", "plugin.t_try.leave=1"]].concat();
    let asked = ask(&file, target, &leaves).has_ended(0);
    asked.assert_said("its cleanup left 1 timers, watches, jobs or children");

    let resident = plugins::build("resident", directory.path());
    let asked = ask(&resident, "GET / HTTP/1.1", &["--reload", "3"]).has_ended(0);
    asked.assert_said("3 stay mapped, as it asks");
}

#[test]
fn a_copy_that_stays_is_told_with_its_reason() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build_with("own_thread", directory.path(), &["-pthread"]);
    let asked = ask(&file, "GET / HTTP/1.1", &["--reload", "3"]).has_ended(1);
    asked.assert_said("3 reloads: ");
    asked.assert_said("3 not unmapped: a thread runs that the server did not start");
}

#[test]
fn a_check_can_begin_and_end_a_plugin() {
    let (directory, file) = built();
    let check = |file: &Path, more: &[&str]| {
        let file = file.to_str().unwrap();
        run(&[&["--check-plugin", file], more].concat())
    };
    let good = check(&file, &["--init"]).has_ended(0);
    assert!(
        good.out
            .contains("\nbegun     init, set_default and cleanup ")
    );
    assert!(good.out.contains("\nunmapped  nothing of it is left "));
    assert!(good.out.ends_with("verdict   loads on this server\n"));
    assert!(!check(&file, &[]).has_ended(0).out.contains("begun"));
    let bad = ["--init", "--set", "plugin.t_try.bad=1"];
    let bad = check(&file, &bad).has_ended(1);
    assert!(
        bad.out
            .contains("\nlog       plugin t_try: error: bad is set\n"),
        "{}",
        bad.out
    );
    assert!(
        bad.out.ends_with("verdict   REFUSED: init failed (-1)\n"),
        "{}",
        bad.out
    );
    let leave = ["--init", "--set=plugin.t_try.leave=1"];
    let leave = check(&file, &leave).has_ended(0);
    assert!(
        leave.out.contains("its cleanup left 1 timers"),
        "{}",
        leave.out
    );
    // From the configuration file too.
    let config = directory.path().join("swiftd.toml");
    fs::write(&config, "[plugin.t_try]\nbad = \"1\"\n").unwrap();
    check(&file, &["--init", "--config", config.to_str().unwrap()]).has_ended(1);
    let resident = plugins::build("resident", directory.path());
    let resident = check(&resident, &["--init"]).has_ended(0);
    assert!(resident.out.contains("\nunmapped  stays, as it wishes "));
}
