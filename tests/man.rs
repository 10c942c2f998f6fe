//! The man pages: they say what the program says, and are well-formed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use swiftd::config::Order;

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man");
    let entries = fs::read_dir(folder).unwrap();
    let mut pages: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man");
    fs::read_to_string(path.join(name)).unwrap()
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_swiftd"))
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Options with their other spellings and their arguments: `--root` with `-r` and `DIR`.
type Options = BTreeMap<String, (Vec<String>, String)>;

fn add(options: &mut Options, mut spellings: Vec<String>, argument: &str) {
    // The last one is the long one, if there is one.
    let name = spellings.pop().expect("an option");
    spellings.sort();
    let before = options.insert(name.clone(), (spellings, argument.to_owned()));
    assert!(before.is_none(), "{name} is there twice");
}

/// What `--help` has: lines `  -r, --root DIR   what it is`.
fn options_of_help() -> Options {
    let mut options = Options::new();
    for line in help().lines() {
        let option = line.trim_start();
        if !option.starts_with('-') || !line.starts_with("  ") || line.len() - option.len() > 6 {
            continue;
        }
        let end = option.find("  ").unwrap_or(option.len());
        let words: Vec<&str> = option[..end].split(' ').collect();
        let count = words
            .iter()
            .take_while(|word| word.starts_with('-'))
            .count();
        let spelling = |word: &&str| word.trim_end_matches(',').to_owned();
        let spellings = words[..count].iter().map(spelling).collect();
        // A description may follow after one blank: an argument is in capitals, or `on|off`.
        let is_argument = |word: &&&str| {
            word.starts_with(|char: char| char.is_ascii_uppercase())
                || word.contains('|')
                || word.contains('=')
        };
        let arguments: Vec<&str> = words[count..]
            .iter()
            .take_while(is_argument)
            .copied()
            .collect();
        add(&mut options, spellings, &arguments.join(" "));
    }
    options
}

/// What swiftd.8 has: lines `.It Fl r , Fl -root Ar DIR`.
fn options_of_page() -> Options {
    let mut options = Options::new();
    let page = page("swiftd.8");
    for line in page.lines() {
        let Some(item) = line.strip_prefix(".It Fl ") else {
            continue;
        };
        let (flags, argument) = item.split_once(" Ar ").unwrap_or((item, ""));
        let spellings = flags.split(" , Fl ").map(|flag| format!("-{flag}"));
        add(&mut options, spellings.collect(), argument);
    }
    options
}

#[test]
fn the_page_has_the_options_of_the_help_and_no_others() {
    let (help, page) = (options_of_help(), options_of_page());
    assert!(help.len() > 40, "{help:?}");
    let mut differences = Vec::new();
    for name in help.keys().chain(page.keys()) {
        let (said, written) = (help.get(name), page.get(name));
        if said != written {
            differences.push(format!("{name}: --help {said:?}, swiftd.8 {written:?}"));
        }
    }
    differences.dedup();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn the_page_has_every_order_and_every_exit_code() {
    let page = page("swiftd.8");
    for (order, _) in Order::NAMES {
        assert!(page.contains(&format!("Cm {order} ")), "-s {order}");
    }
    for code in ["0", "1", "2", "78"] {
        assert!(page.contains(&format!("\n.It {code}\n")), "{code}");
    }
}

#[test]
fn the_pages_name_each_other_and_what_is_there() {
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        let own = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (name, section) = own.rsplit_once('.').unwrap();
        let title = format!(".Dt {} {section}\n", name.to_uppercase());
        assert!(text.contains(&title), "{own}: {title}");
        for line in text
            .lines()
            .filter_map(|line| line.strip_prefix(".Xr swiftd"))
        {
            let mut words = line.split(' ');
            let (rest, section) = (words.next().unwrap(), words.next().unwrap());
            let file = format!("swiftd{rest}.{section}");
            let is_there = pages().iter().any(|page| page.ends_with(&file));
            assert!(is_there || file == "swiftd.conf.5", "{own} names {file}");
        }
    }
}

#[test]
fn the_pages_are_well_formed() {
    let pages = pages();
    assert!(pages.len() >= 3);
    let output = Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .args(&pages)
        .output()
        .expect("mandoc is installed (apt-get install mandoc)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
    for page in pages {
        let output = Command::new("mandoc")
            .args(["-T", "ascii"])
            .arg(&page)
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        // A macro that stands where it is text.
        let macros = [" Ar ", " Fl ", " Ns ", " Cm ", " Pa ", " Ta ", " Xr "];
        let found = macros.iter().find(|word| text.contains(**word));
        assert_eq!(found, None, "{}", page.display());
    }
}
