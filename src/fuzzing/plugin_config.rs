//! The list of plugins: any bytes, and where they are cut off.

use super::Input;
use crate::plugin::config::{BUILTIN, BYTES_MAX, ENTRIES_MAX, Place, parse};

/// The first two bytes of the input say where the list is cut off; the rest is the list.
///
/// What is accepted is what a regular expression would accept, line by line; written anew without
/// comments it is the same; and whatever is cut off from it, nothing appears that the whole does not
/// list. What is refused is refused in one plain line that names a line of the file.
pub fn plugin_config(input: &[u8]) {
    let mut input = Input(input);
    let cut = input.number::<2>() as usize;
    let list = input.rest();
    let entries = match parse(list) {
        Ok(entries) => entries,
        Err(error) => {
            let lines = list.split(|&byte| byte == b'\n').count();
            assert!((1..=lines).contains(&(error.line as usize)));
            let said = error.to_string();
            assert!(!said.contains(|char: char| char.is_control()), "{said:?}");
            return;
        }
    };
    assert!(!list.is_empty() && list.len() <= BYTES_MAX && entries.len() <= ENTRIES_MAX);

    let text = std::str::from_utf8(list).expect("what is accepted is UTF-8");
    let mut wanted = Vec::new();
    for (line, text) in (1..).zip(text.split('\n')) {
        let text = text.trim_matches([' ', '\t', '\r']);
        if !text.is_empty() && !text.starts_with('#') {
            let (name, directory) = naive(text).expect("what is accepted is well-formed");
            wanted.push((line, name.to_owned(), directory.to_owned()));
        }
    }
    let found = entries.iter().map(|entry| {
        let directory = match &entry.place {
            Place::Directory(directory) => directory.to_str().expect("it was UTF-8"),
            Place::Builtin => BUILTIN,
        };
        (entry.line, entry.name.clone(), directory.to_owned())
    });
    assert_eq!(found.collect::<Vec<_>>(), wanted);

    let mut names: Vec<_> = wanted.iter().map(|(_, name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), wanted.len(), "a plugin is listed once");
    for entry in &entries {
        let Place::Directory(directory) = &entry.place else {
            assert_eq!(entry.library(), None);
            continue;
        };
        let library = entry.library().expect("it has one");
        assert_eq!(library.parent(), Some(&**directory));
        assert!(library.as_os_str().len() < 4096);
    }

    let lines = wanted
        .iter()
        .map(|(_, name, directory)| format!("{name}:{directory}$\n"));
    let anew = lines.fold("#\n".to_owned(), |list, line| list + &line);
    if anew.len() <= BYTES_MAX {
        let again = parse(anew.as_bytes()).expect("what was read can be written");
        assert_eq!(again.len(), entries.len());
        for (before, after) in entries.iter().zip(&again) {
            assert_eq!((&before.name, &before.place), (&after.name, &after.place));
        }
    }

    if let Ok(cut) = parse(&list[..cut.min(list.len())]) {
        assert!(entries.starts_with(&cut), "half a line listed something");
    }
}

/// `([a-z][a-z0-9_]{0,30}):(/|/[^$]*/|builtin/)\$`
fn naive(line: &str) -> Option<(&str, &str)> {
    let colon = line.find(':')?;
    let (name, directory) = (&line[..colon], line[colon + 1..].strip_suffix('$')?);
    let is_name = matches!(name.as_bytes(), [b'a'..=b'z', rest @ ..]
        if rest.len() <= 30 && rest.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    let is_directory =
        directory.starts_with('/') && directory.ends_with('/') || directory == BUILTIN;
    (is_name && is_directory && !directory.contains('$')).then_some((name, directory))
}
