//! Real libraries: which are refused and why, which are loaded, work, and leave nothing behind.

#[path = "plugin_loading/child.rs"]
mod child;
#[path = "plugin_loading/files.rs"]
mod files;
#[path = "support/plugins.rs"]
mod plugins;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use swiftd::plugin::library::{Closed, Library, Looked, Prepared, Refusal, load, prepare};
use tempfile::TempDir;

/// Prepares a file, under a name in the maps that no other test uses.
fn prepared(name: &str, file: &Path) -> Result<Arc<Prepared>, Refusal> {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
    match prepare(name, file, generation, None)? {
        Looked::New(prepared) => Ok(Arc::new(prepared)),
        Looked::Same(_) => panic!("there was nothing before"),
    }
}

/// Closes a library in a process where other tests have threads.
fn close(library: Library) -> Closed {
    library.close_unless(|| None)
}

fn trigger(library: &Library) -> i32 {
    let trigger = library.descriptor().trigger.expect("a trigger");
    // SAFETY: these fixtures do not look at their state.
    unsafe { trigger(std::ptr::null_mut()) }
}

/// How the copy shows in the maps.
fn shown(prepared: &Prepared) -> String {
    let link = format!("/proc/self/fd/{}", prepared.as_fd().as_raw_fd());
    let name = std::fs::read_link(link).unwrap();
    name.into_os_string().into_string().unwrap()
}

fn is_in_maps(shown: &str) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(shown.starts_with("/memfd:swiftd:") && shown.contains('#'));
    maps.lines().any(|line| line.ends_with(shown))
}

#[test]
fn bad_libraries_are_refused_with_their_reason() {
    let directory = TempDir::new().unwrap();
    for (name, reason) in [
        ("wrong_magic", "wrong magic 0x12345678"),
        ("major_two", "needs ABI 2.0, server has 1.0"),
        (
            "minor_too_new",
            "needs ABI 1.3, server has 1.0: rebuild with SDK feature \"abi-1-0\" or update swiftd",
        ),
        ("short_struct", "version 1.0 has"),
        ("lying_size", "bytes but the symbol has"),
        ("unknown_flags", "unknown flags 0x40"),
        ("reserved", "reserved is not 0"),
        ("bad_name", "bad name \"Bad Name\""),
        ("null_name", "it has no name: set .name = \"null_name\""),
        (
            "name_mismatch",
            "it is called somebody_else, not name_mismatch",
        ),
        (
            "hidden_entry",
            "it exports no constant swiftd_plugin_v1 and no function hidden_entry_init",
        ),
        ("exec_stack", "-Wl,-z,noexecstack"),
        ("unique_symbol", "-fno-gnu-unique"),
    ] {
        let file = plugins::build(name, directory.path());
        let loaded = prepared(name, &file).and_then(|prepared| load(prepared, name));
        let refusal = loaded.map(|_| ()).expect_err(name);
        let line = refusal.to_string();
        assert!(line.contains(reason), "{name}: {line}");
        assert!(line.starts_with(file.to_str().unwrap()), "{name}: {line}");
        assert!(
            !line.contains('\n') && !refusal.is_passing(),
            "{name}: {line}"
        );
    }
}

#[test]
fn what_the_linker_can_do_wrong_is_refused() {
    let directory = TempDir::new().unwrap();
    let helper = plugins::build("hidden_entry", directory.path());
    let by_path = helper.to_str().unwrap();
    for (options, reason) in [
        (&["-Wl,-z,nodelete"][..], "without -z nodelete"),
        (&["-Wl,-rpath,$ORIGIN"], "looks for libraries beside itself"),
        (&["-Wl,--no-as-needed", by_path], "by its path"),
        (
            &["-Wl,--no-as-needed", "-nostdlib", "-Wl,-z,execstack"],
            "executable stack",
        ),
    ] {
        let file = plugins::build_with("good", directory.path(), options);
        let refusal = prepared("good", &file).map(|_| ()).expect_err(reason);
        assert!(refusal.to_string().contains(reason), "{refusal}");
    }
}

#[test]
fn good_libraries_work_and_leave_nothing() {
    let directory = TempDir::new().unwrap();
    for (name, version, answer) in [
        ("good", "1.0", 1),
        ("init_form", "0.9", 42),
        ("long_struct", "1.0", 7),
        ("joined_thread", "1.0", 0),
        ("thread_local", "1.0", 1),
    ] {
        let file = plugins::build(name, directory.path());
        let prepared = prepared(name, &file).unwrap();
        assert_eq!(prepared.warnings, [""; 0]);
        let shown = shown(&prepared);
        let library = load(prepared, name).unwrap();
        assert_eq!((library.name(), library.version()), (name, version));
        assert!(library.descriptor().url_raw.is_none());
        assert!(is_in_maps(&shown));
        assert_eq!(trigger(&library), answer, "{name}");
        assert_eq!(close(library), Closed::Unmapped, "{name}");
        assert!(!is_in_maps(&shown), "{name}");
    }
}

#[test]
fn what_goes_wrong_only_when_it_is_called_is_loaded() {
    let directory = TempDir::new().unwrap();
    for name in ["aborting", "leaking", "null", "spinning", "stack_overflow"] {
        let file = plugins::build(name, directory.path());
        let library = load(prepared(name, &file).unwrap(), name).unwrap();
        assert!(library.descriptor().handle_subrequest.is_some());
        assert_eq!(close(library), Closed::Unmapped, "{name}");
    }
}

#[test]
fn a_library_that_wishes_to_stay_stays() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("resident", directory.path());
    let prepared = prepared("resident", &file).unwrap();
    let shown = shown(&prepared);
    assert_eq!(close(load(prepared, "resident").unwrap()), Closed::Resident);
    assert!(is_in_maps(&shown));
}

#[test]
fn two_copies_of_a_file_share_nothing() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("good", directory.path());
    let one = load(prepared("good", &file).unwrap(), "good").unwrap();
    assert_eq!((trigger(&one), trigger(&one)), (1, 2));
    let two = load(prepared("good", &file).unwrap(), "good").unwrap();
    assert_eq!((trigger(&two), trigger(&one)), (1, 3));
    assert_eq!(close(one), Closed::Unmapped);
    assert_eq!(trigger(&two), 2);
    assert_eq!(close(two), Closed::Unmapped);
}

#[test]
fn destructors_run_on_their_thread_and_before_the_end() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("thread_local", directory.path());
    let library = load(prepared("thread_local", &file).unwrap(), "thread_local").unwrap();
    let destroyed = AtomicI64::new(0);
    let retire = library.descriptor().retire.unwrap();
    // SAFETY: the fixture counts there until it is unmapped.
    unsafe { retire(destroyed.as_ptr().cast()) };
    let hook = library.descriptor().trigger.unwrap();
    // SAFETY: the fixture does not look at its state.
    let touch = move || unsafe { hook(std::ptr::null_mut()) };
    // A thread that ends takes its own with it.
    std::thread::spawn(touch).join().unwrap();
    assert_eq!(destroyed.load(Ordering::Relaxed), 1);
    // One that goes on is asked to.
    let locals = library.thread_locals();
    std::thread::scope(|scope| {
        let helper = scope.spawn(move || {
            touch();
            assert_eq!(locals.left(), 1);
            locals.run_here();
            assert_eq!(locals.left(), 0);
        });
        helper.join().unwrap();
    });
    assert_eq!(destroyed.load(Ordering::Relaxed), 2);
    touch();
    assert_eq!(close(library), Closed::Unmapped);
    assert_eq!(destroyed.load(Ordering::Relaxed), 3);
}

#[test]
fn what_another_thread_still_needs_is_not_unmapped() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("thread_local", directory.path());
    let prepared = prepared("thread_local", &file).unwrap();
    let shown = shown(&prepared);
    let library = load(prepared, "thread_local").unwrap();
    let hook = library.descriptor().trigger.unwrap();
    let (touched, is_touched) = std::sync::mpsc::channel();
    let (end, is_end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // SAFETY: the fixture does not look at its state.
        touched.send(unsafe { hook(std::ptr::null_mut()) }).unwrap();
        is_end.recv().unwrap();
    });
    is_touched.recv().unwrap();
    let Closed::Stuck(why) = close(library) else {
        panic!("unmapped under a thread");
    };
    assert!(why.contains("1 destructors of thread-locals"), "{why}");
    assert!(is_in_maps(&shown));
    // Its destructor runs, at the thread's end, in code that is still there.
    end.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn what_rust_leaves_on_a_thread_does_not_outlive_the_library() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build_rust("thread_handle", directory.path());
    let prepared = prepared("thread_handle", &file).unwrap();
    let library = load(prepared, "thread_handle").unwrap();
    let hook = library.descriptor().trigger.unwrap();
    let locals = library.thread_locals();
    let (touched, is_touched) = std::sync::mpsc::channel();
    let (end, is_end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // SAFETY: the fixture does not look at its state.
        let answer = unsafe { hook(std::ptr::null_mut()) };
        locals.run_here();
        touched.send(answer).unwrap();
        is_end.recv().unwrap();
    });
    assert_eq!(is_touched.recv().unwrap(), 1);
    assert_eq!(trigger(&library), 1);
    assert_eq!(close(library), Closed::Unmapped);
    // Whatever is called at the end of the thread, it is not in the library.
    end.send(()).unwrap();
    thread.join().unwrap();
}
