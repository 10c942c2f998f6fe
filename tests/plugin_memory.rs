//! Loading and unloading for hours: nothing grows, and what is not the server's is noticed.
//!
//! One test and no more: the process has the harness's thread and this one, and both are known.

#[path = "support/plugins.rs"]
mod plugins;

use std::path::Path;
use std::sync::Arc;
use swiftd::plugin::library::{Closed, Library, Looked, load, prepare};
use swiftd::sys::threads;
use tempfile::TempDir;

/// As many as were measured when this was designed: 57 MB were left without the server's own
/// destructors of thread-locals.
const LOADS: u64 = 300;

/// What 300 reloads may leave behind, KiB; the allocator is allowed a page or two of its own.
const GROWTH_KIB_MAX: u64 = 512;

fn loaded(name: &str, file: &Path, generation: u64) -> Library {
    let Looked::New(prepared) = prepare(name, file, generation, None).unwrap() else {
        panic!("there was nothing before");
    };
    load(Arc::new(prepared), name).unwrap()
}

fn trigger(library: &Library) -> i32 {
    let trigger = library.descriptor().trigger.expect("a trigger");
    // SAFETY: these fixtures do not look at their state.
    unsafe { trigger(std::ptr::null_mut()) }
}

fn count(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

/// Memory of this process's own in KiB, and the number of its mappings.
fn memory() -> (u64, usize) {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let dirty = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = dirty
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (kib, maps.lines().count())
}

fn reloads_leave_nothing(name: &str, file: &Path) {
    let turn = |generation| {
        let library = loaded(name, file, generation);
        assert!(trigger(&library) >= 0);
        assert_eq!(library.close(), Closed::Unmapped, "{name} {generation}");
    };
    // The first few fill what is kept for ever.
    (0..10).for_each(turn);
    let (before, mappings) = memory();
    let descriptors = count("/proc/self/fd");
    (10..10 + LOADS).for_each(turn);
    let (after, mappings_after) = memory();
    assert!(
        after <= before + GROWTH_KIB_MAX,
        "{name}: {before} KiB, then {after}"
    );
    assert!(
        mappings_after <= mappings + 2,
        "{name}: {mappings} mappings, then {mappings_after}"
    );
    assert_eq!(count("/proc/self/fd"), descriptors, "{name}");
}

#[test]
fn reloads_leave_nothing_and_foreign_threads_are_noticed() {
    threads::register_own();
    let directory = TempDir::new().unwrap();
    for name in ["good", "init_form", "thread_local", "joined_thread"] {
        reloads_leave_nothing(name, &plugins::build(name, directory.path()));
    }
    // More often than there are keys of thread-specific data.
    let rust = plugins::build_rust("thread_handle", directory.path());
    for _ in 0..4 {
        reloads_leave_nothing("thread_handle", &rust);
    }

    let file = plugins::build("own_thread", directory.path());
    let Closed::Stuck(why) = loaded("own_thread", &file, 1).close() else {
        panic!("a thread may run in it");
    };
    assert!(
        why.contains("a thread runs that the server did not start"),
        "{why}"
    );
    // From then on nothing is sure.
    let file = plugins::build("good", directory.path());
    assert!(matches!(loaded("good", &file, 1).close(), Closed::Stuck(_)));
}
