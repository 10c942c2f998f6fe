//! Bad plugins in the real server: what they break, who is told, and how it goes on.
//!
//! A plugin that is wrong before it runs is refused (`plugin_loading.rs`, `plugin_reload.rs`). Here
//! it is those that panic, crash, spin, start threads and leave things behind.

#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "each test program uses its own part")]
#[path = "plugin_reload/stage.rs"]
mod stage;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use stage::{Place, Stage};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Instant;

/// Deaths leave no core behind.
fn without_cores() {
    let limit = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    setrlimit(Resource::Core, none).unwrap();
}

fn stage_with(name: &str, library: &Path, others: &[&str], options: &[&str]) -> Stage {
    let place = Place::new();
    fs::copy(library, place.library(name)).unwrap();
    for other in others {
        place.install(other, 1, &[]);
    }
    place.save(&[others, &[name]].concat());
    place.start(options)
}

/// Asks for something that kills the server; nothing is answered.
fn kill(stage: &Stage, target: &str) {
    let mut client = stage.server.connect();
    client.ask(target);
    assert_eq!(client.all_there_is(), b"");
}

#[test]
fn a_panic_is_a_500_and_a_line_and_the_instance_goes_on() {
    let manifest = "tests/fixtures/plugins/panicking/Cargo.toml";
    let library = plugins::build_crate(manifest, "swiftd-fixture-panicking", "libpanicking.so");
    let mut stage = stage_with("panicking", &library, &[], &[]);
    assert_eq!(stage.get("/panicking").1, "1");
    for count in [2, 4] {
        assert_eq!(stage.get("/panicking/now").0, 500);
        let line = stage.until("plugin panicking: error: panicked at ");
        let words = format!("asked to, for the {count}. time");
        assert!(
            line.contains(&words) && line.contains("src/lib.rs:"),
            "{line}"
        );
        let (_, body) = stage.get("/panicking");
        assert_eq!(body, (count + 1).to_string(), "the same instance");
    }
    assert_eq!(stage.get("/small.txt").1, "small");
    // A panic leaves nothing that would keep the library.
    stage.place.save(&[]);
    stage.generation(2);
    stage.until_unmapped("swiftd:panicking#1");
    stage.finish();
}

#[test]
fn a_death_names_plugin_hook_and_address() {
    without_cores();
    for (way, signal, address) in [
        ("null", Signal::SEGV, Some(" address 0x0")),
        ("abort", Signal::ABORT, None),
        ("overflow", Signal::SEGV, Some(" address 0x")),
    ] {
        let mut stage = Stage::with(&["a"], &[]);
        kill(&stage, &format!("/a/{way}"));
        let line = stage.until("fatal signal");
        let number = signal.as_raw();
        let wanted = format!("fatal signal {number} in plugin a hook handle_subrequest");
        assert!(line.contains(&wanted), "{way}: {line}");
        assert!(
            address.is_none_or(|address| line.contains(address)),
            "{line}"
        );
        let (status, _) = stage.server.wait();
        assert_eq!(status.signal(), Some(number), "the death stays the death");
    }
}

#[test]
fn three_deaths_in_a_minute_leave_a_plugin_out_until_its_file_changes() {
    without_cores();
    let mut stage = Stage::with(&["b", "a"], &["--supervise"]);
    let supervisor = stage.server.pid();
    for (number, way) in (1..).zip(["null", "abort", "overflow"]) {
        stage.assert_version("a", 1);
        let time = Instant::now();
        kill(&stage, &format!("/a/{way}"));
        // The listening socket is the supervisor's: nobody is refused, and the next one serves.
        assert_eq!(stage.get("/small.txt").1, "small");
        println!(
            "{way}: the next request was answered after {:?}",
            time.elapsed()
        );
        stage.until("fatal signal");
        let line = stage.until("restarting");
        assert!(line.contains("in plugin a"), "{line}");
        assert_eq!(
            line.contains("without it until its file changes"),
            number == 3,
            "{line}"
        );
        stage.until("worker restarted");
    }
    let line = stage.until("plugin a is left out");
    assert!(
        line.contains("it comes back when") && line.contains("lib/a.so changes"),
        "{line}"
    );
    stage.assert_version("a", 0);
    stage.assert_version("b", 1);
    assert_eq!(stage.server.pid(), supervisor);
    // Saving the list is not enough; another file is.
    stage.place.install("a", 2, &[]);
    stage.place.save(&["b", "a"]);
    let line = stage.until("plugins: generation 2 ");
    assert!(line.contains("1 added, 0 replaced, 1 kept"), "{line}");
    stage.assert_version("a", 2);
    stage.finish();
}

#[test]
fn without_a_plugin_that_is_required_nothing_is_served() {
    without_cores();
    let options = ["--supervise", "--require-plugin", "a"];
    let mut stage = Stage::with(&["b", "a"], &options);
    for way in ["null", "abort", "overflow"] {
        stage.assert_version("a", 1);
        kill(&stage, &format!("/a/{way}"));
        stage.until("worker restarted");
    }
    let line = stage.until("every request is answered with 503");
    assert!(line.ends_with(": a"), "{line}");
    assert_eq!(stage.get("/small.txt").0, 503);
    // A list without it would be the same, so it is refused.
    stage.place.save(&["b"]);
    let line = stage.until("reload rejected");
    assert!(line.contains("no line for a, which is"), "{line}");
    assert_eq!(stage.get("/small.txt").0, 503);
    stage.place.install("a", 2, &[]);
    stage.place.save(&["b", "a"]);
    stage.until("plugins: generation 2 ");
    stage.assert_version("a", 2);
    assert_eq!(stage.get("/small.txt").1, "small");
    stage.finish();
}

#[test]
fn a_plugin_that_spins_is_ended_and_named() {
    without_cores();
    let mut stage = Stage::with(&["a"], &["--supervise", "--plugin-hang", "0.5"]);
    kill(&stage, "/a/spin");
    assert_eq!(stage.get("/small.txt").1, "small");
    let line = stage.until("restarting");
    assert!(line.contains("plugin a"), "{line}");
    stage.until("worker restarted");
    stage.assert_version("a", 1);
    stage.finish();
}

#[test]
fn a_plugin_that_calls_exit_does_not_stop_a_supervised_server() {
    let mut stage = Stage::with(&["a"], &["--supervise"]);
    kill(&stage, "/a/exit");
    assert_eq!(stage.get("/small.txt").1, "small");
    let line = stage.until("restarting");
    assert!(line.contains("plugin a"), "{line}");
    stage.until("worker restarted");
    stage.finish();
}

#[test]
fn a_thread_that_was_not_joined_keeps_its_library() {
    let place = Place::new();
    let library = plugins::build("own_thread", &place.path("new"));
    let mut stage = stage_with("own_thread", &library, &["a"], &[]);
    stage.place.save(&["a"]);
    stage.generation(2);
    let line = stage.until("plugin own_thread of generation 1: it cannot be unmapped");
    assert!(
        line.contains("a thread runs that the server did not start"),
        "{line}"
    );
    assert!(stage.maps("swiftd:own_thread#1") > 0);
    let (_, figures) = stage.get("/a/status");
    let stuck = figures
        .lines()
        .find(|line| line.contains("stuck") && !line.starts_with('#'));
    assert!(stuck.is_some_and(|line| line.ends_with(" 1")), "{figures}");
    stage.finish();
}

#[test]
fn a_thread_local_with_a_destructor_is_destroyed_and_its_library_unmapped() {
    let place = Place::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin_bad/destructor.cpp");
    let library = place.path("new/destructor.so");
    plugins::compile("c++", &source, &library, &[]);
    let mut stage = stage_with("destructor", &library, &[], &[]);
    for number in [2, 4] {
        stage.hang_up();
        stage.until("plugin destructor: touched");
        stage.place.save(&[]);
        stage.generation(number);
        stage.until_unmapped("swiftd:destructor#");
        stage.place.save(&["destructor"]);
        stage.generation(number + 1);
    }
    // The plugin writes that itself, before or after the server's lines.
    let log = stage.finish();
    assert_eq!(
        log.iter().filter(|line| *line == "destroyed").count(),
        2,
        "{log:#?}"
    );
}
