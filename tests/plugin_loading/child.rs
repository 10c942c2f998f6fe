//! The real program with `--check-plugin`: what it reports, and that it outlives what it loads.

use crate::plugins;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What it prints, and its exit code.
fn check(file: &Path) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftd"));
    let output = command.arg("--check-plugin").arg(file).output().unwrap();
    assert!(output.stderr.is_empty(), "the report is all there is");
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code(),
    )
}

#[test]
fn a_good_library_is_described() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build_with("good", directory.path(), &["-s"]);
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let (report, code) = check(&file);
    assert_eq!(code, Some(0), "{report}");
    let lines: Vec<&str> = report.lines().collect();
    let (first, rest) = lines.split_first().unwrap();
    let bytes = fs::metadata(&file).unwrap().len();
    assert!(
        first.starts_with(&format!("file      good.so  {bytes} bytes, loadable ")),
        "{first}"
    );
    assert!(
        first.contains(", mode 0755 ") && first.len() == 80,
        "{first}"
    );
    let struct_bytes = size_of::<swiftd_plugin::abi::Plugin>();
    let entry =
        format!("entry     swiftd_plugin_v1, struct {struct_bytes} bytes (server {struct_bytes})");
    let wanted = [
        "stack     not executable",
        "needs     nothing",
        "unload    no NODELETE, no unique symbols",
        entry.as_str(),
        "version   needs ABI 1.0, server has 1.0",
        "plugin    good 1.0, flags none, state version 0",
        "hooks     trigger",
        "unmapped  nothing of it is left",
        "verdict   loads on this server",
    ];
    let said = rest[1..]
        .iter()
        .map(|line| line.strip_suffix("ok").unwrap_or(line).trim_end());
    assert_eq!(said.collect::<Vec<_>>(), wanted);
    assert!(
        rest[0].starts_with("elf       ") && rest[0].contains("complete"),
        "{}",
        rest[0]
    );
}

#[test]
fn what_cargo_builds_is_found_by_its_name() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build_rust("thread_handle", directory.path());
    let built = directory.path().join("libthread_handle.so");
    fs::rename(file, &built).unwrap();
    let (report, code) = check(&built);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("entry     thread_handle_init"), "{report}");
}

#[test]
fn what_is_refused_is_refused_with_its_reason() {
    let directory = TempDir::new().unwrap();
    for (name, verdict) in [
        (
            "minor_too_new",
            "needs ABI 1.3, server has 1.0: rebuild with SDK feature \"abi-1-0\" or update swiftd",
        ),
        (
            "constructor_crash",
            "killed by signal 11 (SIGSEGV) while being loaded",
        ),
        (
            "constructor_exit",
            "it ended the process with code 0 while being loaded",
        ),
        (
            "constructor_abort",
            "killed by signal 6 (SIGABRT) while being loaded",
        ),
        (
            "exec_stack",
            "it wants an executable stack, for the whole server: build it with -Wl,-z,noexecstack",
        ),
    ] {
        let file = plugins::build(name, directory.path());
        let (report, code) = check(&file);
        assert_eq!(code, Some(1), "{report}");
        let last = report.lines().last().unwrap();
        assert_eq!(last, format!("verdict   REFUSED: {verdict}"));
    }
    let file = plugins::build("own_thread", directory.path());
    let (report, code) = check(&file);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("REFUSED: each reload would leave it behind: a thread runs that the server did not start"), "{report}");
    for (file, verdict) in [
        ("missing.so", "there is no such file"),
        ("../../etc/Passwd", "no such file"),
        (".", "it is not a regular file"),
    ] {
        let (report, code) = check(&directory.path().join(file));
        assert_eq!(code, Some(1), "{report}");
        assert!(
            report.starts_with("verdict   REFUSED: ") && report.contains(verdict),
            "{report}"
        );
    }
    let odd = directory.path().join("Odd\nname.so");
    fs::rename(plugins::build("good", directory.path()), &odd).unwrap();
    let (report, code) = check(&odd);
    assert_eq!((code, report.lines().count()), (Some(1), 1), "{report}");
}

#[test]
fn a_report_that_is_refused_early_tells_what_was_good() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("unique_symbol", directory.path());
    let (report, _) = check(&file);
    let labels = report.lines().map(|line| line.split(' ').next().unwrap());
    assert_eq!(
        labels.collect::<Vec<_>>(),
        ["file", "elf", "stack", "needs", "verdict"]
    );
}

#[test]
fn the_program_exports_what_keeps_libraries_unmappable() {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--portability"])
        .arg(env!("CARGO_BIN_EXE_swiftd"))
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "__cxa_thread_atexit_impl",
            "pthread_key_create",
            "pthread_key_delete"
        ]
    );
}

#[test]
fn a_trial_without_a_copy_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftd"));
    command.args(["--trial-load", "good"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not an ELF file"));
}

#[test]
fn a_library_that_never_finishes_loading_is_given_up() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("constructor_hang", directory.path());
    let (report, code) = check(&file);
    assert_eq!(code, Some(1), "{report}");
    let last = report.lines().last().unwrap();
    assert_eq!(
        last,
        "verdict   REFUSED: not done after 10 seconds while being loaded"
    );
}

#[test]
fn a_process_that_a_constructor_leaves_behind_is_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let (report, code) = check(&plugins::build("constructor_fork", directory.path()));
    assert_eq!(code, Some(0), "{report}");
    assert!(
        report.ends_with("verdict   loads on this server\n"),
        "{report}"
    );
}
