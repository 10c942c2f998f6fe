//! Libraries that are replaced, values that change, and the order of the list.

use crate::plugins;
use crate::server::PATIENCE;
use crate::stage::{Place, Stage};
use std::fs;
use std::process::Command;
use std::time::Instant;

fn shell(script: &str, from: &std::path::Path, to: &std::path::Path) {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script, "sh"]).arg(from).arg(to);
    assert!(command.status().unwrap().success(), "{script}");
}

#[test]
fn a_library_may_be_replaced_in_any_way() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    let library = stage.place.library("a");
    let ways = [
        ("mv", "mv \"$1\" \"$2\""),
        ("cp over it", "cp \"$1\" \"$2\""),
        ("the shell's >", "cat \"$1\" > \"$2\""),
        ("install", "install -m 755 \"$1\" \"$2\""),
        ("rm first", "rm \"$2\"; cp \"$1\" \"$2\""),
    ];
    for (version, (what, script)) in (2..).zip(ways) {
        println!("{what}");
        let new = stage.place.build("a", version, &[]);
        // Whatever is done to the file, the copy that runs is another one.
        shell(script, &new, &library);
        stage.assert_version("a", version - 1);
        stage.hang_up();
        let line = stage.generation(u64::from(version));
        assert!(
            line.contains("(0 added, 1 replaced, 1 kept, 0 removed)"),
            "{line}"
        );
        stage.assert_version("a", version);
        stage.until_unmapped(&format!("swiftd:a#{}", version - 1));
    }
    assert!(stage.maps("swiftd:b#1") > 0, "b was kept");
    stage.finish();
}

#[test]
fn a_library_that_is_cut_off_while_it_runs_hurts_nobody() {
    let mut stage = Stage::with(&["a"], &[]);
    let library = stage.place.library("a");
    fs::write(&library, "").unwrap();
    stage.assert_version("a", 1);
    stage.hang_up();
    let why = stage.refusal();
    assert!(why.contains("lib/a.so: it is empty"), "{why}");
    fs::remove_file(&library).unwrap();
    stage.place.save(&["a"]);
    let why = stage.rejection();
    assert!(why.contains("lib/a.so: there is no such file"), "{why}");
    stage.assert_version("a", 1);
    stage.finish();
}

#[test]
fn touch_means_reload() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    shell("touch \"$1\"", &stage.place.library("a"), "".as_ref());
    stage.hang_up();
    let line = stage.generation(2);
    assert!(line.contains("1 replaced, 1 kept"), "{line}");
    // Saving the list, even as it was, is a look as well.
    shell("touch \"$1\"", &stage.place.library("b"), "".as_ref());
    stage.place.save(&["a", "b"]);
    let line = stage.generation(3);
    assert!(line.contains("1 replaced, 1 kept"), "{line}");
    stage.finish();
}

#[test]
fn a_value_that_changes_reloads_its_plugin_alone() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.install(name, 1, &[]);
    }
    place.save(&["a", "b"]);
    let config = place.path("conf/swiftd.toml");
    let write = |text: &str| fs::write(&config, format!("[plugin.b]\ntext = \"{text}\"\n"));
    write("one").unwrap();
    let option = config.to_str().unwrap().to_owned();
    let mut stage = place.start(&["--config", &option, "--set", "plugin.a.text=fixed"]);
    assert_eq!(stage.get("/a/text").1, "fixed");
    assert_eq!(stage.get("/b/text").1, "one");
    write("two").unwrap();
    stage.hang_up();
    let line = stage.generation(2);
    assert!(
        line.contains("(0 added, 1 replaced, 1 kept, 0 removed)"),
        "{line}"
    );
    assert_eq!(stage.get("/b/text").1, "two");
    assert_eq!(stage.get("/a/text").1, "fixed");
    stage.until_unmapped("swiftd:b#1");
    assert!(stage.maps("swiftd:a#1") > 0, "a was kept");
    // The command line wins, also over what comes later.
    fs::write(
        &config,
        "[plugin.a]\ntext = \"lost\"\n[plugin.b]\ntext = \"3\"\n",
    )
    .unwrap();
    stage.hang_up();
    stage.generation(3);
    assert_eq!(stage.get("/a/text").1, "fixed");
    assert!(stage.maps("swiftd:a#1") > 0, "nothing changed for a");
    // A configuration that is wrong changes nothing.
    fs::write(&config, "[plugin.b]\ntext = \n").unwrap();
    stage.hang_up();
    let why = stage.until("configuration not reloaded");
    assert!(why.contains("swiftd.toml:2"), "{why}");
    assert_eq!(stage.get("/b/text").1, "3");
    stage.finish();
}

#[test]
fn the_order_of_the_list_is_the_order_of_asking() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    assert_eq!(stage.get("/shared").1, "a");
    stage.get("/a/count");
    stage.place.save(&["b", "a"]);
    let line = stage.generation(2);
    assert!(
        line.contains("(0 added, 0 replaced, 2 kept, 0 removed)"),
        "{line}"
    );
    assert_eq!(stage.get("/shared").1, "b");
    assert_eq!(stage.get("/a/count").1, "2\n", "the instance is the same");
    stage.place.install("c", 1, &[]);
    stage.place.save(&["c", "b", "a"]);
    let line = stage.generation(3);
    assert!(
        line.contains("(1 added, 0 replaced, 2 kept, 0 removed)"),
        "{line}"
    );
    assert_eq!(stage.get("/shared").1, "c");
    stage.finish();
}

#[test]
fn a_plugin_in_rust_is_replaced_and_unmapped() {
    let place = Place::new();
    let hello = plugins::build_crate("Cargo.toml", "swiftd-plugin-hello", "libhello.so");
    fs::copy(hello, place.library("hello")).unwrap();
    place.save(&["hello"]);
    let config = place.path("conf/swiftd.toml");
    let write = |number| fs::write(&config, format!("[plugin.hello]\ntext = \"{number}\"\n"));
    write(1).unwrap();
    let option = config.to_str().unwrap().to_owned();
    let mut stage = place.start(&["--config", &option]);
    for number in 2..10 {
        assert_eq!(stage.get("/hello").1, (number - 1).to_string());
        write(number).unwrap();
        stage.hang_up();
        stage.generation(number);
        stage.until_unmapped(&format!("swiftd:hello#{}", number - 1));
    }
    assert_eq!(stage.get("/hello").1, "9");
    stage.finish();
}

#[test]
fn a_process_that_a_new_version_starts_at_once_is_watched_once() {
    let mut stage = Stage::with(&["a"], &[]);
    stage.place.install("a", 2, &["-DCHILD=1000"]);
    stage.hang_up();
    stage.generation(2);
    stage.assert_version("a", 2);
    let log = stage.finish();
    assert!(
        !log.iter().any(|line| line.contains("cannot watch")),
        "{log:#?}"
    );
}

#[test]
fn a_process_that_has_ended_holds_no_descriptor() {
    let mut stage = Stage::with(&["a"], &[]);
    stage.place.install("a", 2, &["-DCHILD=0"]);
    stage.hang_up();
    stage.generation(2);
    let descriptors = format!("/proc/{}/fd", stage.server.pid());
    let is_process = |entry: std::io::Result<fs::DirEntry>| {
        let target = fs::read_link(entry.unwrap().path());
        target.is_ok_and(|target| target.to_string_lossy().contains("pidfd"))
    };
    let start = Instant::now();
    while fs::read_dir(&descriptors).unwrap().any(is_process) {
        assert!(start.elapsed() < PATIENCE, "it stays open");
    }
    stage.finish();
}
