//! The manual's tables of settings, in its three forms: Markdown, mdoc, and a sample file.
//!
//! `tests/settings.rs` compares them with what is in `docs/CONFIG.md`,
//! `packaging/man/swiftd.conf.5` and `packaging/swiftd.conf`. The program itself does not use this.

use super::kind::amount;
use super::{Draft, Kind, Plain, ROWS, Row, SECTIONS, Section, Setting};

/// The tables of `docs/CONFIG.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let heading = match section.name {
            "" => "The top of the file".to_owned(),
            _ => format!("`{}`", header(section)),
        };
        out.push_str(&format!("### {heading}\n\n{}\n\n", section.about));
        out.push_str("| Key | Value | Default | What it is |\n|---|---|---|---|\n");
        for row in rows(section) {
            let setting = &row.setting;
            let option = option(setting).map_or(String::new(), |option| format!(" (`{option}`)"));
            let line = format!(
                "| `{}` | {} | {} | {}{option} |\n",
                setting.key,
                described(setting),
                default_of(row),
                row.about,
            );
            out.push_str(&line);
        }
        out.push('\n');
    }
    out
}

/// The sections of swiftd.conf(5).
#[must_use]
pub fn mdoc() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let heading = match section.name {
            "" => "The top of the file".to_owned(),
            _ => header(section),
        };
        out.push_str(&format!(".Ss {heading}\n"));
        mdoc_text(&mut out, section.about);
        out.push_str(".Bl -tag -width Ds\n");
        for row in rows(section) {
            let setting = &row.setting;
            out.push_str(&format!(
                ".It Ic {} No = Ar {}\n",
                setting.key,
                argument(setting)
            ));
            mdoc_text(&mut out, row.about);
            if !matches!(
                setting.kind,
                Kind::Text(_) | Kind::Listen | Kind::Map { .. }
            ) {
                mdoc_text(&mut out, &format!("Expected: {}.", described(setting)));
            }
            mdoc_text(&mut out, &format!("Default: {}.", default_of(row)));
            if let Some(flag) = setting.option {
                let short = flag.short.map(|short| format!("Fl {short} , "));
                let short = short.unwrap_or_default();
                out.push_str(&format!(
                    "On the command line:\n.{short}Fl -{} .\n",
                    flag.long
                ));
            }
        }
        out.push_str(".El\n");
    }
    out
}

/// A file with every setting, at its default, in comments.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(SAMPLE_START);
    for section in SECTIONS {
        if !section.name.is_empty() {
            out.push_str("\n\n");
            comment(&mut out, section.about);
            let sign = if section.is_repeated { "#" } else { "" };
            out.push_str(&format!("{sign}{}\n", header(section)));
        }
        for row in rows(section) {
            let setting = &row.setting;
            let value = example_of(row);
            out.push('\n');
            let meaning = match is_clear(setting.kind) {
                true => row.about.to_owned(),
                false => format!("{} Expected: {}.", row.about, described(setting)),
            };
            comment(&mut out, &meaning);
            // Without it there is nothing to serve.
            let sign = if setting.name() == "root" { "" } else { "#" };
            out.push_str(&format!("{sign}{} = {value}\n", setting.key));
        }
    }
    out.push_str(SAMPLE_END);
    out
}

const SAMPLE_START: &str = "\
# The configuration of swiftd(8). swiftd.conf(5) says more about it.
#
# Each line that begins with # and a key shows the default, or what it may look
# like. Try a change with \"swiftd -t\", and let the server have it with
# \"swiftd -s reload\". Files conf.d/*.conf beside this one are read after it.
";

const SAMPLE_END: &str = "

# What a plugin is told; its own manual says which keys it has.
#[plugin.NAME]
#key = \"value\"
";

fn rows(section: &Section) -> impl Iterator<Item = &'static Row> {
    let all = ROWS.iter().copied().flatten();
    all.filter(move |row| row.setting.section == section.name)
}

/// The line that begins the table.
fn header(section: &Section) -> String {
    match section.is_repeated {
        true => format!("[[{}]]", section.name),
        false => format!("[{}]", section.name),
    }
}

/// Nobody needs to be told that more than this is refused.
const MANY: u64 = u32::MAX as u64;

/// What may stand behind the `=`.
fn described(setting: &Setting) -> String {
    let words = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
        words.join(", ")
    };
    let described = match setting.kind {
        Kind::Count {
            least,
            most: MANY..,
        } => format!("a number, {least} or more"),
        Kind::Count { least, most } => format!("a number, {least} to {most}"),
        Kind::Bytes {
            least,
            most: MANY..,
        } => format!("bytes, {} or more", amount(least)),
        Kind::Bytes { least, most } => format!("bytes, {} to {}", amount(least), amount(most)),
        Kind::Milliseconds { most } => format!("milliseconds, 0 to {most}"),
        Kind::Seconds => "seconds, 0.001 to 86400".into(),
        Kind::OneOf(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            numbers.join(", ")
        }
        Kind::Switch => "`true` or `false`".into(),
        Kind::Word(known) => words(known),
        Kind::File => "the path of a file".into(),
        Kind::Directory => "the path of a directory".into(),
        Kind::Text(what) => what.into(),
        Kind::List(what) => format!("an array of {what}"),
        Kind::Listen => "an array of addresses".into(),
        Kind::Map { key, value } => format!("a table of lines `{key} = \"...\"`: {value}"),
    };
    match setting.is_optional && setting.kind.is_number() {
        true => format!("{described}, or `\"off\"`"),
        false => described,
    }
}

/// Whether a description says all that there is to be said of a value.
fn is_clear(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::File
            | Kind::Directory
            | Kind::Switch
            | Kind::Text(_)
            | Kind::Listen
            | Kind::Map { .. }
    )
}

/// One word for a value.
fn argument(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Count { .. } | Kind::OneOf(_) => "number",
        Kind::Bytes { .. } => "bytes",
        Kind::Milliseconds { .. } => "milliseconds",
        Kind::Seconds => "seconds",
        Kind::Switch => "switch",
        Kind::Word(_) => "word",
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Text(_) => "text",
        Kind::List(_) | Kind::Listen => "array",
        Kind::Map { .. } => "table",
    }
}

/// The default, as the manual has it.
fn default_of(row: &Row) -> String {
    if let Some(words) = row.default {
        return words.to_owned();
    }
    let setting = &row.setting;
    match setting.value(&mut Draft::default()) {
        Plain::Unset => match setting.kind.is_number() {
            true => "`\"off\"`".to_owned(),
            false => "none".to_owned(),
        },
        Plain::List(items) if items.is_empty() => "none".to_owned(),
        plain => format!("`{}`", setting.kind.show(&plain).unwrap_or_default()),
    }
}

/// What the sample shows.
fn example_of(row: &Row) -> String {
    let setting = &row.setting;
    let default = setting.kind.show(&setting.value(&mut Draft::default()));
    let example = row.example.map(str::to_owned).or(default);
    example.unwrap_or_else(|| "\"\"".to_owned())
}

fn option(setting: &Setting) -> Option<String> {
    setting.option.map(|flag| match flag.short {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    })
}

/// A comment of lines that fit on a terminal.
fn comment(out: &mut String, text: &str) {
    const WIDTH: usize = 78;
    let mut line = String::from("#");
    for word in text.replace('`', "").split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// A paragraph: a line for each sentence, macros for what is code and for other pages.
fn mdoc_text(out: &mut String, text: &str) {
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            start_line(out);
            let code = part.replace('\\', "\\e").replace('"', "\\(dq");
            out.push_str(&format!(".Ql \"{code}\""));
            continue;
        }
        // Punctuation behind a macro is an argument of it.
        let marks = if index == 0 {
            0
        } else {
            part.bytes().take_while(|b| b".,:;)".contains(b)).count()
        };
        for mark in part[..marks].chars() {
            out.push_str(&format!(" {mark}"));
        }
        if index > 0 {
            out.push('\n');
        }
        for word in part[marks..].split(' ').filter(|word| !word.is_empty()) {
            mdoc_word(out, word);
        }
    }
    start_line(out);
}

fn mdoc_word(out: &mut String, word: &str) {
    if let Some((name, rest)) = word.split_once('(')
        && let Some((section, marks)) = rest.split_once(')')
        && matches!(section.as_bytes(), [b'1'..=b'8'])
    {
        start_line(out);
        out.push_str(&format!(".Xr {name} {section}"));
        for mark in marks.chars() {
            out.push_str(&format!(" {mark}"));
        }
        return out.push('\n');
    }
    let column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    if column > 0 && column + 1 + word.len() > 78 {
        out.push('\n');
    }
    if !out.ends_with('\n') {
        out.push(' ');
    } else if word.starts_with(['.', '\'']) {
        out.push_str("\\&");
    }
    out.push_str(&word.replace('\\', "\\e"));
    if word.ends_with(['.', ':']) && word.len() > 2 {
        out.push('\n');
    }
}

fn start_line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}
