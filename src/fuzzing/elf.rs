//! A library's file: any bytes, and where they are cut off.

use super::Input;
use crate::plugin::elf::{Entry, Findings, Machine, check, loadable_bytes};
use crate::plugin::prepare::Refusal;

/// What a plugin is to be called.
const NAME: &str = "plugin";

/// The first two bytes of the input say where the file is cut off; the rest is the file.
///
/// What is accepted is for the server's machine, names the entry that was found, and needs no
/// library by its path; it is refused by a server of another kind, and when anything is missing of
/// what is loaded. What is loaded of it is enough to come to the same findings. What is refused is
/// refused in one plain line.
pub fn elf(input: &[u8]) {
    let mut input = Input(input);
    let cut = input.number::<2>() as usize;
    let file = input.rest();
    let file_bytes = file.len() as u64;
    let loadable = loadable_bytes(file, file_bytes);
    let own = match Machine::of(file) {
        Ok(own) => own,
        Err(problem) => {
            assert_plain(&problem);
            assert!(loadable.is_err());
            return;
        }
    };
    let findings = match check(file, file_bytes, &own, Some(NAME)) {
        Ok(findings) => findings,
        Err(problem) => {
            assert_plain(&problem);
            if let Ok(bytes) = loadable {
                let part = &file[..bytes as usize];
                let part = check(part, file_bytes, &own, Some(NAME));
                assert!(part.is_err(), "less of it is not better");
            }
            return;
        }
    };
    let bytes = loadable.expect("what is accepted is all there") as usize;
    assert!((1..=file.len()).contains(&bytes));
    assert_findings(file, &own, &findings);

    if let Ok(part) = check(&file[..bytes], file_bytes, &own, Some(NAME)) {
        assert_same(&part, &findings);
    }
    match check(file, file_bytes, &own, None) {
        Ok(unnamed) => assert_same(&unnamed, &findings),
        Err(problem) => {
            assert_plain(&problem);
            assert_eq!(findings.entry, Entry::Function, "only that one has a name");
        }
    }
    let cut = cut % bytes;
    assert!(check(&file[..cut], cut as u64, &own, Some(NAME)).is_err());
    assert!(check(file, cut as u64, &own, Some(NAME)).is_err());

    let mut foreign = file.to_vec();
    // The machine's number.
    foreign[18] ^= 1;
    let other = Machine::of(&foreign).expect("only its machine is another one");
    assert_ne!(own, other);
    assert!(check(&foreign, file_bytes, &own, Some(NAME)).is_err());
    assert!(check(&foreign, file_bytes, &other, Some(NAME)).is_ok());
}

fn assert_findings(file: &[u8], own: &Machine, findings: &Findings) {
    assert_eq!(findings.machine, *own);
    assert!(findings.needs.iter().all(|need| !need.contains('/')));
    for word in &findings.declared {
        assert!(
            !word.is_empty() && !word.contains(char::is_control),
            "{word:?}"
        );
    }
    let symbol: &[u8] = match findings.entry {
        Entry::Constant(_) => b"swiftd_plugin_v1\0",
        Entry::Function => b"plugin_init\0",
    };
    let mut places = file.windows(symbol.len());
    assert!(places.any(|place| place == symbol));
}

fn assert_same(this: &Findings, other: &Findings) {
    assert_eq!(this.machine, other.machine);
    assert_eq!(this.needs, other.needs);
    assert_eq!(this.entry, other.entry);
    assert_eq!(this.declared, other.declared);
}

fn assert_plain(problem: &dyn std::fmt::Display) {
    let said = Refusal::new(problem).to_string();
    assert!(
        !said.is_empty() && !said.contains(char::is_control),
        "{said:?}"
    );
}
