//! A reload that fails changes nothing, and says which file, which line and why.

use crate::server::{PATIENCE, program};
use crate::stage::{Place, Stage};
use std::fs;
use std::time::Instant;

/// Checks that everything is as it was before the failure.
#[track_caller]
fn assert_untouched(stage: &mut Stage, fragments: &[&str]) {
    let why = stage.rejection();
    for fragment in fragments {
        assert!(why.contains(fragment), "no {fragment:?} in {why}");
    }
    assert!(why.ends_with("; keeping generation 1"), "{why}");
    stage.assert_version("a", 1);
    stage.assert_version("b", 0);
}

#[test]
fn a_wrong_list_is_rejected_as_a_whole() {
    let mut stage = Stage::with(&["a"], &[]);
    stage.place.install("b", 1, &[]);
    let good = stage.place.lines(&["a", "b"]);
    let list = stage.place.list.to_str().unwrap().to_owned();
    let at = |line: u32| format!("{list}:{line}: ");
    let tables: [(String, u32, &str); 7] = [
        (
            good.trim_end().trim_end_matches('$').into(),
            3,
            "no $ at the end",
        ),
        (good.replace("b:", "b "), 3, "no colon"),
        (good.replace("b:/", "b:"), 3, "no absolute directory"),
        (good.replace("b:", "B:"), 3, "a small letter"),
        (good.replace("b:", "a:"), 3, "a is in line 2 already"),
        (
            format!("{good}{}", good.replace("b:", "c:").replace("a:", "d:")),
            5,
            "lib/d.so: there is no such file",
        ),
        (String::new(), 1, "the file is empty"),
    ];
    for (text, line, what) in tables {
        stage.place.save_text(&text);
        let why = stage.rejection();
        assert!(
            why.contains(&at(line)) && why.contains(what),
            "{what}: {why}"
        );
        assert!(why.ends_with("; keeping generation 1"), "{why}");
        stage.assert_version("a", 1);
        stage.assert_version("b", 0);
        println!("{why}");
    }
    stage.place.save(&["a", "b"]);
    stage.generation(2);
    stage.assert_version("b", 1);
    stage.finish();
}

#[test]
fn a_wrong_library_is_rejected_with_its_file_and_line() {
    let mut stage = Stage::with(&["a"], &[]);
    // Version 2 of a must not come either: one list, one generation.
    stage.place.install("a", 2, &[]);
    let good = stage.place.build("b", 1, &[]);
    let bytes = fs::read(&good).unwrap();
    let library = stage.place.library("b");
    let list = stage.place.list.to_str().unwrap().to_owned();
    let line = format!("{list}:3: b: ");
    fs::write(&library, &bytes[..bytes.len() / 2]).unwrap();
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &[&line, "lib/b.so: "]);

    fs::copy(stage.place.build("c", 1, &[]), &library).unwrap();
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &[&line, "it is called c, not b"]);

    stage.place.install("b", 1, &["-DMINOR=7"]);
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &[&line, "needs ABI 1.7, server has 1.0"]);

    stage.place.install("b", 1, &["-DCRASH"]);
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &[&line, "killed by signal 11 (SIGSEGV)"]);

    stage.place.install("b", 1, &["-DFAIL_INIT"]);
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &["b: init failed"]);
    assert_eq!(stage.count("plugin b: v1 has no wish to begin"), 1);

    stage.place.install("b", 1, &["-DFAIL_DEFAULT"]);
    stage.place.save(&["a", "b"]);
    assert_untouched(&mut stage, &["b: set_default failed"]);
    assert_eq!(stage.count("plugin b: v1 does not like its values"), 1);
    // What had begun was ended: b, and version 2 of a that came before it.
    stage.until("plugin a: v2 cleanup");
    stage.until_unmapped("swiftd:b#");
    stage.until_unmapped("swiftd:a#2");
    assert!(stage.maps("swiftd:a#1") > 0);

    stage.place.install("b", 1, &[]);
    stage.hang_up();
    stage.generation(2);
    stage.assert_version("a", 2);
    stage.assert_version("b", 1);
    stage.finish();
}

#[test]
fn a_crashing_constructor_kills_the_child_alone_also_without_a_supervisor() {
    let mut stage = Stage::with(&["a"], &[]);
    let descriptors = stage.server.descriptors();
    for _ in 0..10 {
        stage.place.install("a", 2, &["-DCRASH"]);
        stage.hang_up();
        let why = stage.refusal();
        assert!(why.contains("SIGSEGV"), "{why}");
        stage.place.save(&["a"]);
        let why = stage.rejection();
        assert!(why.contains("SIGSEGV"), "{why}");
    }
    stage.assert_version("a", 1);
    stage.server.wait_until_idle(2);
    assert!(stage.server.descriptors() <= descriptors + 2);
    stage.finish();
}

#[test]
fn what_was_made_is_taken_back_in_the_reverse_order() {
    let mut stage = Stage::with(&["a"], &[]);
    for name in ["b", "c", "d"] {
        stage.place.install(name, 1, &[]);
    }
    stage.place.install("e", 1, &["-DFAIL_DEFAULT"]);
    stage.place.save(&["a", "b", "c", "d", "e"]);
    assert!(stage.rejection().contains("e: set_default failed"));
    let log = stage.finish();
    let ends = log.iter().filter(|line| line.ends_with(": v1 cleanup"));
    let ends: Vec<_> = ends
        .filter_map(|line| line.split("plugin ").nth(1)?.split(':').next())
        .collect();
    assert_eq!(ends, ["e", "d", "c", "b", "a"]);
}

#[test]
fn what_was_made_for_a_start_that_fails_is_taken_back() {
    let place = Place::new();
    place.install("a", 1, &[]);
    place.install("b", 1, &["-DFAIL_INIT"]);
    place.save(&["a", "b"]);
    let mut command = program();
    command.arg(place.path("site")).args(["--port", "0"]);
    let output = command.arg("--plugins").arg(&place.list).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("b: init failed"), "{said}");
    assert!(said.contains("plugin a: v1 cleanup"), "{said}");
}

#[test]
fn a_rejection_is_forgotten_when_the_list_is_mended() {
    let mut stage = Stage::with(&["a"], &[]);
    let is_told = |stage: &Stage| {
        let (_, figures) = stage.get("/a/status");
        figures.contains("swiftd_plugin_reload_rejected{")
    };
    stage.place.save_text("wrong");
    stage.rejection();
    assert!(is_told(&stage));
    stage.place.save(&["a"]);
    let start = Instant::now();
    while is_told(&stage) {
        assert!(start.elapsed() < PATIENCE, "it is told for ever");
    }
    stage.finish();
}
