//! Reads the sources and holds them to what ARCHITECTURE.md and STYLE.md promise: who imports whom,
//! where the kernel and `unsafe` are, and what no file goes without.
//!
//! A rule that stops fitting is changed here and there together.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of ours that a module may name. As built; "Who may import whom" in ARCHITECTURE.md.
const IMPORTS: &[(&str, &[&str])] = &[
    ("http", &[]),
    ("policy", &["http"]),
    ("conn", &["http", "policy"]),
    ("handler", &["conn", "http"]),
    ("sys", &[]),
    ("text", &[]),
    (
        "log",
        &["config", "conn", "disk", "http", "policy", "sys", "text"],
    ),
    ("disk", &["conn", "files", "http", "log", "sys"]),
    ("files", &["conn", "disk", "handler", "http", "sys"]),
    ("config", &["conn", "files", "http", "policy", "sys"]),
    ("cli", &["config", "plugin", "sys"]),
    ("clients", &["config", "conn"]),
    ("control", &["config", "sys"]),
    ("figures", &[]),
    (
        "plugin",
        &[
            "config",
            "conn",
            "figures",
            "http",
            "sandbox",
            "supervisor",
            "sys",
            "text",
        ],
    ),
    ("sandbox", &["config", "figures", "sys"]),
    (
        "server",
        &[
            "clients",
            "config",
            "conn",
            "control",
            "disk",
            "figures",
            "files",
            "handler",
            "http",
            "log",
            "plugin",
            "policy",
            "sandbox",
            "supervisor",
            "sys",
        ],
    ),
    ("supervisor", &["sys"]),
    (
        "startup",
        &[
            "cli",
            "config",
            "conn",
            "control",
            "log",
            "plugin",
            "server",
            "supervisor",
            "sys",
        ],
    ),
    ("workbench", &["config", "plugin", "server", "sys"]),
    ("lib", &[]),
    // Not part of the program.
    ("testing", &["conn", "handler", "http", "policy"]),
    (
        "fuzzing",
        &[
            "config", "conn", "handler", "http", "plugin", "policy", "testing",
        ],
    ),
];

/// Crates, and the only modules that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("polling", &["sys"]),
    ("rustix", &["sys"]),
    ("libc", &["sys"]),
    ("libloading", &["sys"]),
    ("httparse", &["http", "fuzzing"]),
    ("httpdate", &["http", "fuzzing"]),
    ("memchr", &["http", "files", "log", "fuzzing"]),
    ("lexopt", &["cli"]),
    ("toml", &["config"]),
    ("inotify", &["sys"]),
    ("swiftd_timer", &["plugin", "server"]),
    ("swiftd_plugin", &["plugin", "sys"]),
];

/// What the core must not name: bytes and the time come as arguments.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::sync::mpsc",
    "Mutex",
    "TcpStream",
    "UnixStream",
    "Instant::now",
    "SystemTime",
    "println!",
    "eprintln!",
    "AsFd",
    "AsRawFd",
];

/// The core.
const PURE: &[&str] = &["http", "policy", "conn", "handler"];

/// The only files that opt out of `deny(unsafe_code)`.
const UNSAFE: &[&str] = &[
    "src/sys/abi.rs",
    "src/sys/accounts/library.rs",
    "src/sys/child.rs",
    "src/sys/crash.rs",
    "src/sys/dl.rs",
    "src/sys/fatal.rs",
    "src/sys/guest.rs",
    "src/sys/keys.rs",
    "src/sys/poll.rs",
    "src/sys/raw.rs",
    "src/sys/table.rs",
    "src/sys/tls.rs",
];

/// Past this a file usually holds a second noun. Lines before its tests.
const LINES_MAX: usize = 500;

/// A source file.
struct Source {
    /// From the project's folder on, such as `src/http/body.rs`.
    path: String,
    text: String,
}

impl Source {
    /// Its top module: `http` for `src/http/body.rs`, `log` for `src/log.rs`.
    fn module(&self) -> &str {
        let inner = self.path.strip_prefix("src/").expect("a file of the crate");
        inner
            .split_once('/')
            .map_or(inner.trim_end_matches(".rs"), |(module, _)| module)
    }

    /// Its lines before the tests, with their numbers.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_attribute_before = false;
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(move |(_, line)| {
                let is_tests = is_attribute_before && line.starts_with("mod tests");
                is_attribute_before = *line == "#[cfg(test)]";
                !is_tests
            })
    }

    /// The same without comments and without what is in string literals.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.program().map(|(number, line)| (number, strip(line)))
    }

    /// Where in the code a word stands by itself.
    fn find(&self, word: &str) -> Vec<String> {
        self.code()
            .filter(|(_, line)| has_word(line, word))
            .map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim()))
            .collect()
    }
}

/// A line without its comment and with empty strings. Good enough for formatted code.
fn strip(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        code.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("//") {
            return code;
        }
        if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[rest[1..].find('\'').map_or(rest.len(), |end| end + 2)..];
        } else if let Some(text) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = text.find(|char| {
                let is_end = char == '"' && !escaped;
                escaped = char == '\\' && !escaped;
                is_end
            });
            code.push_str("\"\"");
            rest = end.map_or("", |end| &text[end + 1..]);
        } else {
            code.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    code + rest
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(at, _)| {
        let end = at + word.len();
        let begins = at == 0 || !is_part(bytes[at - 1]) || !is_part(bytes[at]);
        let ends = end == bytes.len() || !is_part(bytes[end]) || !is_part(bytes[end - 1]);
        begins && ends
    })
}

/// The sources below a folder of the project.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(root).expect("below the root");
                let path = path.to_str().expect("ASCII").to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty());
    found
}

/// The sources of the library: the program's `main` may name everything.
fn library() -> Vec<Source> {
    let mut sources = sources("src");
    sources.retain(|source| source.path != "src/main.rs");
    sources
}

fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

#[test]
fn modules_import_only_what_they_may() {
    let mut offences = Vec::new();
    for source in library() {
        let module = source.module();
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            offences.push(format!("{}: not in the table", source.path));
            continue;
        };
        // What `super` means at the top of the tree.
        let is_top =
            [format!("src/{module}.rs"), format!("src/{module}/mod.rs")].contains(&source.path);
        for (number, line) in source.code() {
            let mut roots: Vec<&str> = line.split("crate::").skip(1).collect();
            if is_top {
                roots.extend(line.split("super::").skip(1));
            }
            if line.contains("super::super") {
                offences.push(format!("{}:{number}: say `crate::`", source.path));
            }
            for root in roots {
                let end = root.find(|char: char| !char.is_alphanumeric() && char != '_');
                let name = &root[..end.unwrap_or(root.len())];
                if name != module && !allowed.contains(&name) {
                    offences.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert_none("ARCHITECTURE.md, \"Who may import whom\"", &offences);
}

#[test]
fn the_table_of_imports_has_no_row_too_many() {
    let sources = library();
    for (module, allowed) in IMPORTS {
        let of_module = || sources.iter().filter(|source| source.module() == *module);
        assert!(of_module().next().is_some(), "there is no {module}");
        for other in *allowed {
            let is_used =
                of_module().any(|source| !source.find(&format!("crate::{other}")).is_empty());
            assert!(
                is_used || *module == "fuzzing",
                "{module} does not use {other}"
            );
        }
    }
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let mut offences = Vec::new();
    for source in sources("src") {
        for (name, modules) in CRATES {
            if !modules.contains(&source.module()) {
                offences.extend(source.find(&format!("{name}::")));
                offences.extend(source.find(&format!("use {name};")));
            }
        }
    }
    assert_none("a dependency has one home", &offences);
}

#[test]
fn the_core_names_no_socket_no_file_and_no_clock() {
    let mut offences = Vec::new();
    for source in library() {
        if PURE.contains(&source.module()) {
            offences.extend(IMPURE.iter().flat_map(|word| source.find(word)));
        }
    }
    assert_none("the core gets bytes and the time as arguments", &offences);
}

#[test]
fn unsafe_code_is_behind_the_fence() {
    let mut offences = Vec::new();
    for source in sources("src").into_iter().chain(sources("timer/src")) {
        let is_allowed = UNSAFE.contains(&&source.path[..]);
        if !is_allowed {
            offences.extend(source.find("unsafe"));
            offences.extend(source.find("allow(unsafe_code)"));
        }
    }
    // The SDK is the same fence seen from outside; plugins in Rust stay inside it.
    for source in sources("plugins") {
        if !source.path.starts_with("plugins/sdk/") {
            offences.extend(source.find("unsafe"));
            offences.extend(source.find("allow(unsafe_code)"));
        }
    }
    assert_none("`unsafe` is behind the fence", &offences);
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    assert!(
        lib.expect("the crate has a root")
            .contains("#![deny(unsafe_code)]")
    );
}

#[test]
fn every_file_says_what_it_is() {
    let mut offences = Vec::new();
    for folder in ["src", "timer/src", "timer/tests", "tests", "plugins"] {
        for source in sources(folder) {
            let is_described = source.text.starts_with("//! ")
                || source
                    .text
                    .starts_with("#![doc = include_str!(\"../README.md\")]");
            if !is_described {
                offences.push(source.path);
            }
        }
    }
    assert_none("a file opens with `//!`", &offences);
}

#[test]
fn no_file_is_too_long() {
    let mut offences = Vec::new();
    for source in sources("src").into_iter().chain(sources("plugins")) {
        // The mock server's tables, and an example for each item, are long but one noun.
        if source.path.starts_with("plugins/sdk/") {
            continue;
        }
        let lines = source.program().count();
        if lines > LINES_MAX {
            offences.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert_none(
        &format!("over {LINES_MAX} lines before its tests"),
        &offences,
    );
}

#[test]
fn the_program_has_no_unwrap_and_nothing_unfinished() {
    let words = [".unwrap()", "todo!", "unimplemented!", "dbg!"];
    let mut offences = Vec::new();
    for source in sources("src").into_iter().chain(sources("timer/src")) {
        let is_program = !["testing", "fuzzing"].iter().any(|test| {
            source
                .path
                .strip_prefix("src/")
                .is_some_and(|path| path.starts_with(test))
        });
        for word in words {
            if is_program || word != ".unwrap()" {
                offences.extend(source.find(word));
            }
        }
    }
    assert_none("`expect` with the invariant, and finished", &offences);
}

#[test]
fn the_state_of_a_connection_changes_in_one_place() {
    let mut changes = Vec::new();
    let mut function = String::new();
    for source in library() {
        if !source.path.starts_with("src/conn/") {
            continue;
        }
        for (number, line) in source.code() {
            if let Some(at) = line.find("fn ") {
                function = line[at + 3..]
                    .split(['(', '<'])
                    .next()
                    .unwrap_or_default()
                    .to_owned();
            }
            if line.contains("self.state = ") || line.contains("&mut self.state") {
                changes.push(format!("{}:{number} in {function}", source.path));
            }
        }
    }
    assert!(
        matches!(&changes[..], [only] if only.starts_with("src/conn/advance.rs:") && only.ends_with("in enter")),
        "every transition is checked against the table: {changes:?}"
    );
}

#[test]
fn what_is_stripped_is_no_code() {
    for (line, code) in [
        ("let a = 1; // unsafe", "let a = 1; "),
        ("//! unsafe", ""),
        (
            "f(\"unsafe \\\" // x\", b'\\'', '\"', 'a'); g()",
            "f(\"\", b'\\'', , 'a'); g()",
        ),
        ("a / b", "a / b"),
        ("fn f<'a>(a: &'a str) {} // 'x'", "fn f<'a>(a: &'a str) {} "),
    ] {
        assert_eq!(strip(line), code, "{line}");
    }
    assert!(has_word("unsafe {", "unsafe") && has_word("a.unwrap()", ".unwrap()"));
    assert!(!has_word("deny(unsafe_code)", "unsafe") && !has_word("my_libc::a", "libc::"));
}
