//! The configuration file: any bytes.

use crate::config::{Config, dump, file};
use std::path::PathBuf;

/// The whole input is the file.
///
/// What is accepted can be printed, and what is printed is the same configuration. What is refused
/// is refused in plain lines, each with a place in the file, in order.
pub fn config(input: &[u8]) {
    let mut config = Config::new(PathBuf::new());
    let faults = match file::parse(input, &mut config) {
        Ok(()) => {
            let printed = dump(&config);
            let mut again = Config::new(PathBuf::new());
            if let Err(faults) = file::parse(printed.as_bytes(), &mut again) {
                panic!("{printed}\n{}", file::Error::Faults(faults));
            }
            assert_eq!(format!("{config:?}"), format!("{again:?}"), "{printed}");
            assert_eq!(dump(&again), printed);
            return;
        }
        Err(faults) => faults,
    };
    let lines = input.split(|&byte| byte == b'\n').count();
    let places: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, fault.column))
        .collect();
    assert!(!places.is_empty() && places.is_sorted());
    for (line, column) in places {
        assert!((1..=lines).contains(&(line as usize)) && column >= 1);
    }
    let said = file::Error::Faults(faults).to_string();
    let is_plain = |line: &str| !line.is_empty() && !line.contains(|char: char| char.is_control());
    assert!(said.split('\n').all(is_plain), "{said:?}");
}
