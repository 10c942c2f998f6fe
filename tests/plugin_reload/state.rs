//! What an instance hands over to the one that replaces it.

use crate::stage::{Place, Stage};

#[test]
fn a_new_version_gets_what_the_old_one_saved() {
    let mut stage = Stage::with(&["a"], &[]);
    for count in 1..4 {
        assert_eq!(stage.get("/a/count").1, format!("{count}\n"));
    }
    stage.place.install("a", 2, &["-DSTATE=7"]);
    stage.hang_up();
    stage.generation(2);
    assert_eq!(stage.count("plugin a: v2 is given 8 bytes of state 1"), 1);
    assert_eq!(stage.get("/a/count").1, "4\n");
    stage.place.install("a", 3, &[]);
    stage.hang_up();
    stage.generation(3);
    assert_eq!(stage.count("plugin a: v3 is given 8 bytes of state 7"), 1);
    assert_eq!(stage.get("/a/count").1, "5\n");
    stage.finish();
}

#[test]
fn one_that_cannot_take_it_over_begins_afresh_or_does_not_begin() {
    let mut stage = Stage::with(&["a"], &[]);
    assert_eq!(stage.get("/a/count").1, "1\n");
    // STATE_REQUIRED: the old one goes on, and what it saved is not lost.
    stage
        .place
        .install("a", 2, &["-DFAIL_RESTORE", "-DFLAGS=2"]);
    stage.hang_up();
    let why = stage.rejection();
    assert!(
        why.contains("a: restore failed (-1), and it needs its state"),
        "{why}"
    );
    assert_eq!(stage.get("/a/count").1, "2\n");
    stage.assert_version("a", 1);
    stage.until("plugin a: v2 cleanup");
    stage.until_unmapped("swiftd:a#2");

    stage.place.install("a", 3, &["-DFAIL_RESTORE"]);
    stage.hang_up();
    stage.generation(2);
    let warning = "plugin a: restore failed (-1); it starts with a fresh state";
    assert_eq!(stage.count(warning), 1, "{:#?}", stage.log);
    assert_eq!(stage.get("/a/count").1, "1\n");
    stage.finish();
}

#[test]
fn a_mebibyte_of_state_is_handed_over_and_not_a_byte_more() {
    let place = Place::new();
    place.install("a", 1, &["-DSAVE_BYTES=1048576"]);
    place.save(&["a"]);
    let mut stage = place.start(&[]);
    stage.place.install("a", 2, &["-DSAVE_BYTES=1048577"]);
    stage.hang_up();
    stage.generation(2);
    assert_eq!(stage.count("v2 is given 1048576 bytes of state 1"), 1);
    stage.place.install("a", 3, &[]);
    stage.hang_up();
    stage.generation(3);
    assert_eq!(stage.count("v3 is given"), 0);
    let warning = "plugin a: save failed (-5); it starts with a fresh state";
    assert_eq!(stage.count(warning), 1, "{:#?}", stage.log);
    // The bound holds for those who need it, too.
    stage.place.install("a", 4, &["-DSAVE_BYTES=1048577"]);
    stage.hang_up();
    stage.generation(4);
    stage.place.install("a", 5, &["-DFLAGS=2"]);
    stage.hang_up();
    let why = stage.rejection();
    assert!(
        why.contains("a: save failed (-5), and it needs its state"),
        "{why}"
    );
    stage.finish();
}

#[test]
fn a_plugin_that_was_removed_and_comes_back_begins_afresh() {
    let mut stage = Stage::with(&["a"], &[]);
    assert_eq!(stage.get("/a/count").1, "1\n");
    stage.place.save(&[]);
    stage.generation(2);
    stage.place.save(&["a"]);
    stage.generation(3);
    assert_eq!(stage.get("/a/count").1, "1\n");
    assert_eq!(stage.count("is given"), 0);
    stage.finish();
}
