//! Every way in which a list is saved is noticed, and what it says then holds.

use crate::stage::{Looks, Place, Stage};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A way to put a text in the place of a list.
type Way = fn(list: &Path, text: &str);

fn shell(script: &str, arguments: &[&Path]) {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", script, "sh"]).args(arguments);
    assert!(command.status().unwrap().success(), "{script}");
}

/// A new file with this text beside the list.
fn beside(list: &Path, text: &str) -> std::path::PathBuf {
    let new = list.with_extension("new");
    fs::write(&new, text).unwrap();
    new
}

/// A file with this text in another directory.
fn elsewhere(list: &Path, text: &str) -> std::path::PathBuf {
    let new = list.parent().unwrap().with_file_name("new").join("saved");
    fs::write(&new, text).unwrap();
    new
}

const WAYS: &[(&str, Way)] = &[
    ("vim with a backup: move away, write anew", |list, text| {
        let backup = list.with_extension("conf~");
        fs::write(list.with_extension("swp"), "...").unwrap();
        fs::rename(list, &backup).unwrap();
        fs::write(list, text).unwrap();
        fs::remove_file(backup).unwrap();
        fs::remove_file(list.with_extension("swp")).unwrap();
    }),
    ("write beside it and rename", |list, text| {
        fs::rename(beside(list, text), list).unwrap();
    }),
    ("mv from elsewhere", |list, text| {
        shell("mv \"$1\" \"$2\"", &[&elsewhere(list, text), list]);
    }),
    ("cp over it", |list, text| {
        shell("cp \"$1\" \"$2\"", &[&elsewhere(list, text), list]);
    }),
    ("the shell's >", |list, text| {
        shell("cat \"$1\" > \"$2\"", &[&elsewhere(list, text), list]);
    }),
    ("install", |list, text| {
        shell(
            "install -m 644 \"$1\" \"$2\"",
            &[&elsewhere(list, text), list],
        );
    }),
    ("rm and write anew", |list, text| {
        fs::remove_file(list).unwrap();
        fs::write(list, text).unwrap();
    }),
    ("a hard link to another file", |list, text| {
        let new = elsewhere(list, text);
        shell("ln -f \"$1\" \"$2\"; rm \"$1\"", &[&new, list]);
    }),
];

#[test]
fn a_look_waits_for_quiet_also_after_a_long_silence() {
    let stage = Stage::with(&["a"], &[]);
    let looks = Looks::at(&stage.place.list);
    // Meanwhile the server has nothing to do.
    stage.place.install("b", 1, &[]);
    let text = stage.place.lines(&["a", "b"]);
    let start = Instant::now();
    fs::write(&stage.place.list, text).unwrap();
    looks.wait();
    // The server's clock is a tick coarse.
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(90), "{waited:?}");
    stage.finish();
}

#[test]
fn a_list_saved_in_any_way_holds_at_once() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    let mut number = 1;
    for (what, way) in WAYS {
        println!("{what}");
        for names in [&["a"][..], &["a", "b"]] {
            let text = stage.place.lines(names);
            way(&stage.place.list, &text);
            number += 1;
            stage.generation(number);
            stage.assert_version("b", u32::from(names.len() > 1));
            stage.assert_version("a", 1);
        }
    }
    // Whoever edits with sed says what is to change, not what is to be there.
    let list = stage.place.list.clone();
    shell("sed -i '/^b:/d' \"$1\"", &[&list]);
    stage.generation(number + 1);
    stage.assert_version("b", 0);
    shell("sed -i 's/^a:\\(.*\\)/&\\nb:\\1/' \"$1\"", &[&list]);
    stage.generation(number + 2);
    stage.assert_version("b", 1);
    let log = stage.finish();
    assert!(
        !log.iter().any(|line| line.contains("rejected")),
        "{log:#?}"
    );
}

#[test]
fn a_list_behind_a_link_holds_when_the_link_is_made_to_point_elsewhere() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.install(name, 1, &[]);
    }
    let (one, two) = (place.path("conf/one"), place.path("conf/two"));
    fs::write(&one, place.lines(&["a"])).unwrap();
    fs::write(&two, place.lines(&["a", "b"])).unwrap();
    symlink("one", &place.list).unwrap();
    let mut stage = place.start(&[]);
    stage.assert_version("b", 0);
    let list = stage.place.list.clone();
    for (number, target, version) in [(2, "two", 1), (3, "one", 0)] {
        shell("ln -sfn \"$1\" \"$2\"", &[Path::new(target), &list]);
        stage.generation(number);
        stage.assert_version("b", version);
    }
    // The file that it points to has another name; any event of the directory counts.
    fs::write(&one, stage.place.lines(&["b"])).unwrap();
    stage.generation(4);
    stage.assert_version("a", 0);
    stage.finish();
}

#[test]
fn a_list_of_kubernetes_holds_when_its_data_are_swapped() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.install(name, 1, &[]);
    }
    let conf = place.path("conf");
    let publish = |version: &str, text: &str| {
        let data = conf.join(format!("..{version}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("plugins"), text).unwrap();
        symlink(format!("..{version}"), conf.join("..data_tmp")).unwrap();
        fs::rename(conf.join("..data_tmp"), conf.join("..data")).unwrap();
    };
    publish("2026_01", &place.lines(&["a"]));
    symlink("..data/plugins", &place.list).unwrap();
    let with_both = place.lines(&["a", "b"]);
    let mut stage = place.start(&[]);
    stage.assert_version("b", 0);
    publish("2026_02", &with_both);
    stage.generation(2);
    stage.assert_version("b", 1);
    fs::remove_dir_all(conf.join("..2026_01")).unwrap();
    stage.finish();
}

#[test]
fn a_link_above_the_directory_is_noticed_without_an_event() {
    let mut place = Place::new();
    for name in ["a", "b"] {
        place.install(name, 1, &[]);
    }
    for (release, names) in [("one", &["a"][..]), ("two", &["a", "b"])] {
        let release = place.path("conf").join(release);
        fs::create_dir(&release).unwrap();
        fs::write(release.join("plugins"), place.lines(names)).unwrap();
    }
    let current = place.path("conf/current");
    symlink("one", &current).unwrap();
    place.list = current.join("plugins");
    let mut stage = place.start(&[]);
    shell("ln -sfn two \"$1\"", &[&current]);
    stage.generation(2);
    stage.assert_version("b", 1);
    // The directory that it is now is the one that is watched.
    stage.place.save(&["b"]);
    stage.generation(3);
    stage.assert_version("a", 0);
    stage.finish();
}

#[test]
fn a_list_that_is_gone_keeps_what_runs_until_it_is_back() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    fs::remove_file(&stage.place.list).unwrap();
    let why = stage.rejection();
    assert!(why.contains("conf/plugins: there is no such file"), "{why}");
    assert!(why.contains("keeping generation 1"), "{why}");
    stage.assert_version("b", 1);
    stage.place.save(&["a"]);
    stage.generation(2);
    stage.assert_version("b", 0);
    // So is its directory.
    let (conf, away) = (stage.place.path("conf"), stage.place.path("away"));
    fs::rename(&conf, &away).unwrap();
    stage.rejection();
    stage.assert_version("a", 1);
    fs::create_dir(&conf).unwrap();
    stage.place.save(&["a", "b"]);
    stage.generation(3);
    stage.assert_version("b", 1);
    stage.finish();
}

#[test]
fn nothing_new_is_no_new_generation() {
    let mut stage = Stage::with(&["a"], &[]);
    let (list, library) = (stage.place.list.clone(), stage.place.library("a"));
    let looks = Looks::at(&library);
    shell("touch \"$1\"", &[&list]);
    looks.wait();
    stage.hang_up();
    looks.wait();
    // The same bytes with the same times in another file, as reproducible builds have them.
    shell(
        "cp -p \"$1\" \"$2\" && mv \"$2\" \"$1\"",
        &[&library, &stage.place.path("new/a")],
    );
    let looks = Looks::at(&library);
    stage.hang_up();
    looks.wait();
    stage
        .place
        .save_text(&format!("{}# a comment\n", stage.place.lines(&["a"])));
    looks.wait();
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    assert_eq!(stage.count("plugins: generation"), 2);
    stage.finish();
}

#[test]
fn a_comment_unloads_everything() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    stage.place.save(&[]);
    let line = stage.generation(2);
    assert!(line.contains("0 kept, 2 removed"), "{line}");
    stage.assert_version("a", 0);
    stage.until_unmapped("swiftd:");
    stage.place.save(&["b"]);
    stage.generation(3);
    stage.assert_version("b", 1);
    stage.finish();
}
