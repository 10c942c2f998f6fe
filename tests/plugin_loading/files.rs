//! Files: what is cut off, damaged, changed, or could be changed by others.

use crate::plugins;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use swiftd::plugin::elf::{self, Machine};
use swiftd::plugin::library::{Looked, prepare};
use tempfile::TempDir;

/// What the checks make of the bytes of a file, as `prepare` goes about it.
fn check(bytes: &[u8], own: &Machine, name: &str) -> Result<(), elf::Problem> {
    let head = &bytes[..bytes.len().min(16 * 1024)];
    let loadable = elf::loadable_bytes(head, bytes.len() as u64)?;
    let loadable = usize::try_from(loadable).unwrap();
    elf::check(&bytes[..loadable], bytes.len() as u64, own, Some(name)).map(|_| ())
}

#[test]
fn every_cut_is_refused() {
    let directory = TempDir::new().unwrap();
    for (name, file) in [
        ("good", plugins::build("good", directory.path())),
        (
            "thread_local",
            plugins::build("thread_local", directory.path()),
        ),
        // Not stripped, as a debug build is.
        (
            "thread_handle",
            plugins::build_rust("thread_handle", directory.path()),
        ),
    ] {
        let bytes = fs::read(file).unwrap();
        let own = Machine::of(&bytes).unwrap();
        check(&bytes, &own, name).unwrap();
        for end in (0..bytes.len()).step_by(64).chain([bytes.len() - 1]) {
            assert!(
                check(&bytes[..end], &own, name).is_err(),
                "{name} cut at {end}"
            );
        }
    }
}

#[test]
fn no_damage_makes_the_checks_panic() {
    let directory = TempDir::new().unwrap();
    let bytes = fs::read(plugins::build("good", directory.path())).unwrap();
    let own = Machine::of(&bytes).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut refused = 0;
    for round in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=round % 8 {
            // Half of it where the tables are.
            let below = if round % 2 == 0 { 1024 } else { damaged.len() };
            let at = random(below);
            damaged[at] ^= match round % 3 {
                0 => 1 << random(8),
                1 => 0xff,
                _ => random(256) as u8,
            };
        }
        refused += usize::from(check(&damaged, &own, "good").is_err());
    }
    assert!(refused > 1000, "{refused}");
    // The same with the header of the other width and order.
    for (at, value) in [(4, 1), (5, 2)] {
        let mut other = bytes.clone();
        other[at] = value;
        assert!(check(&other, &own, "good").is_err());
    }
}

#[test]
fn a_library_for_another_machine_is_named() {
    let directory = TempDir::new().unwrap();
    let mut bytes = fs::read(plugins::build("good", directory.path())).unwrap();
    let own = Machine::of(&bytes).unwrap();
    bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
    let problem = check(&bytes, &own, "good").unwrap_err().to_string();
    assert!(problem.contains("RISC-V"), "{problem}");
}

#[track_caller]
fn refusal(file: &Path) -> String {
    prepare("good", file, 1, None)
        .map(|_| ())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_no_library_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("good.so");
    assert!(refusal(&path).contains("there is no such file"));
    fs::write(&path, "").unwrap();
    assert!(refusal(&path).contains("it is empty"));
    fs::write(&path, "#!/bin/sh\n").unwrap();
    assert!(refusal(&path).contains("it is not an ELF file"));
    assert!(refusal(directory.path()).contains("it is not a regular file"));
    fs::remove_file(&path).unwrap();
    let object = directory.path().join("good.o");
    let mut bytes = fs::read(plugins::build("good", directory.path())).unwrap();
    bytes[16] = 1;
    fs::write(&object, bytes).unwrap();
    assert!(refusal(&object).contains("it is not a shared object"));
}

#[test]
fn whoever_could_swap_the_file_is_named() {
    let directory = TempDir::new().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let file = plugins::build("good", &inner);
    let set = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    set(&file, 0o757).unwrap();
    let line = refusal(&file);
    assert!(
        line.ends_with(&format!("chmod o-w {}", file.display())),
        "{line}"
    );
    set(&file, 0o755).unwrap();
    set(&inner, 0o777).unwrap();
    let line = refusal(&file);
    assert!(
        line.ends_with(&format!("chmod go-w {}", inner.display())),
        "{line}"
    );
    set(&inner, 0o1777).unwrap();
    assert!(prepare("good", &file, 1, None).is_ok());
}

#[test]
fn the_same_bytes_are_the_same_plugin_until_it_is_touched() {
    let directory = TempDir::new().unwrap();
    let file = plugins::build("good", directory.path());
    let look = |previous| prepare("good", &file, 2, previous).unwrap();
    let Looked::New(first) = look(None) else {
        panic!("there was nothing before");
    };
    let Looked::Same(identity) = look(Some(&first)) else {
        panic!("nothing has changed");
    };
    assert_eq!(identity, first.identity);
    // Another inode with the same time and the same bytes.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let set_time = |path: &Path, time| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    };
    let copy = directory.path().join("copy");
    let replace = |bytes: &[u8], time| {
        fs::write(&copy, bytes).unwrap();
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        set_time(&copy, time);
        fs::rename(&copy, &file).unwrap();
    };
    let bytes = fs::read(&file).unwrap();
    replace(&bytes, modified);
    let Looked::Same(identity) = look(Some(&first)) else {
        panic!("the bytes are the same");
    };
    assert_ne!(identity, first.identity);
    // A new time.
    set_time(&file, modified + std::time::Duration::from_secs(1));
    assert!(matches!(look(Some(&first)), Looked::New(_)));
    // The same time and size, but other bytes.
    let mut other = bytes.clone();
    let at = other.windows(4).position(|part| part == b"1.0\0").unwrap();
    other[at] = b'2';
    replace(&other, modified);
    assert!(matches!(look(Some(&first)), Looked::New(_)));
}
