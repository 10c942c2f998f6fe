//! The hooks that are for an instance and no request.

use super::guests::{A, Stage, lines_to, plain, stop};
use super::server::program;
use rustix::process::Signal;
use std::process::Command;

fn three() -> Stage {
    Stage::new()
        .with("one", "t_hooks")
        .with_options("two", "t_hooks", &["-DOLD_ENTRY=two_init"])
        .with("three", "t_hooks")
}

#[test]
fn instances_begin_in_load_order_and_end_the_other_way_round() {
    let stage = three();
    let mut server = stage.start_untraced(&[]);
    let lines = lines_to(&mut server, "plugins: generation 1");
    let all = |hook: &str| ["one", "two", "three"].map(|name| format!("{name}: {hook}"));
    let mut expected = all("init").to_vec();
    expected.extend(all("set_default"));
    assert_eq!(
        lines[..lines.len() - 1],
        expected,
        "all are made before any checks"
    );
    assert_eq!(
        stop(server),
        ["three: cleanup", "two: cleanup", "one: cleanup"]
    );
}

/// Runs the server, which must not start; what it says.
fn refused(stage: &Stage, options: &[&str]) -> Vec<String> {
    let mut command: Command = program();
    command.arg(stage.site()).args(["--port", "0"]);
    let output = command
        .arg("--plugins")
        .arg(stage.list())
        .args(options)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(plain).collect()
}

#[test]
fn what_init_and_set_default_refuse_is_not_served() {
    let stage = three();
    let lines = refused(&stage, &["--set", "plugin.two.init=-1"]);
    assert!(
        lines.last().unwrap().contains("two: init failed (-1)"),
        "{lines:?}"
    );
    let lines = refused(&stage, &["--set", "plugin.one.init=1"]);
    assert!(
        lines.last().unwrap().contains("one: init failed (1)"),
        "{lines:?}"
    );
    let lines = refused(&stage, &["--set", "plugin.three.set_default=-1"]);
    assert!(
        lines
            .last()
            .unwrap()
            .contains("three: set_default failed (-1)"),
        "{lines:?}"
    );
}

#[test]
fn sighup_is_told_to_all_in_load_order_and_ends_nothing() {
    let stage = three();
    let mut server = stage.start(&[]);
    for _ in 0..2 {
        server.signal(Signal::HUP);
        let lines = lines_to(&mut server, "three: sighup");
        assert_eq!(lines, ["one: sighup", "two: sighup", "three: sighup"]);
        assert_eq!(server.get("/a.txt").body, A);
        lines_to(&mut server, "three: connection_close");
    }
}

#[test]
fn what_sighup_returns_is_told_and_ends_nothing() {
    let stage = Stage::new().with("one", "t_hooks");
    let mut server = stage.start(&["--set", "plugin.one.sighup=-1"]);
    server.signal(Signal::HUP);
    let lines = lines_to(&mut server, "error");
    assert_eq!(lines, ["one: sighup", "one: error: sighup returned -1"]);
    assert_eq!(server.get("/a.txt").body, A);
}

#[test]
fn trigger_comes_each_second_and_is_not_made_up_for() {
    let stage = Stage::new().with_options("one", "t_hooks", &["-DTRIGGER"]);
    let mut server = stage.start(&[]);
    let lines = lines_to(&mut server, "trigger 4");
    let ticks: Vec<_> = lines
        .iter()
        .filter(|line| line.contains(" after "))
        .collect();
    // In tenths of a second. The second call took 2.3 s; those that it swallowed do not come.
    let after: Vec<u32> = ticks
        .iter()
        .map(|tick| tick.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(after[0] >= 9, "{ticks:?}");
    assert!(after[1] >= 22, "{ticks:?}");
    assert!(after[2] >= 9 && after[3] >= 9, "{ticks:?}");
    // Its result means nothing.
    assert!(
        lines.iter().all(|line| !line.contains("error")),
        "{lines:?}"
    );
}

#[test]
fn a_plugin_that_implements_nothing_changes_nothing() {
    let stage = Stage::new()
        .with_options("empty", "t_hooks", &["-DEMPTY"])
        .with("one", "t_hooks")
        .with_options("void", "t_hooks", &["-DEMPTY"]);
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    assert_eq!(client.get("/a.txt").body, A);
    assert_eq!(client.get("/p?claim=one").body, b"one: GET with 0 bytes\n");
    client.end();
    client.expect_end();
    let lines = lines_to(&mut server, "connection_close");
    assert!(
        lines.iter().all(|line| line.starts_with("one: ")),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 6 + 7 + 1, "{lines:?}");
    assert_eq!(stop(server), ["one: cleanup"]);
}
