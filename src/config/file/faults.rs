//! What is wrong in a file: where, and which of it is worth being told.

use std::fmt;
use std::path::{Path, PathBuf};

/// More than this is not told: behind one slip, dozens of lines may be misread.
pub(super) const FAULTS_MAX: usize = 20;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What is wrong and how to mend it; one line.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            text,
        } = self;
        let file = shown(&file.to_string_lossy());
        write!(f, "{file}:{line}:{column}: {text}")
    }
}

/// What is wrong at a byte of a text.
pub(super) type Wrong = (usize, String);

/// All that is wrong in one file: what is no TOML, and what was read and refused.
pub(super) fn of_file(
    path: &Path,
    text: &str,
    errors: &[toml::de::Error],
    mut refused: Vec<Wrong>,
) -> Vec<Fault> {
    let start = |error: &toml::de::Error| error.span().map_or(text.len(), |span| span.start);
    let mut broken: Vec<Wrong> = errors
        .iter()
        .map(|error| (start(error), shown(error.message())))
        .collect();
    // To locate one takes as long as the file is long.
    broken.sort();
    broken.truncate(FAULTS_MAX + 1);
    refused.sort();
    refused.truncate(FAULTS_MAX + 1);
    retain_believable(text, &broken, &mut refused);
    refused.extend(broken);
    refused.sort();
    refused.truncate(FAULTS_MAX + 1);
    let located = refused.into_iter();
    located
        .map(|(at, what)| {
            let (line, column) = place(text, at);
            Fault {
                file: path.to_owned(),
                line,
                column,
                text: what,
            }
        })
        .collect()
}

/// What was read wrongly because the text before it is no TOML is no fault of its own: a line has
/// one kind of fault, and behind a broken table header or value of several lines nothing is certain.
fn retain_believable(text: &str, broken: &[Wrong], refused: &mut Vec<Wrong>) {
    for (at, _) in broken {
        let start = text[..*at].rfind('\n').map_or(0, |before| before + 1);
        let end = text[*at..].find('\n').map_or(text.len(), |more| at + more);
        let line = &text[start..end];
        let is_confined = !line.trim_start().starts_with('[') && line.contains('=');
        let doubtful = if is_confined {
            start..=end
        } else {
            start..=text.len()
        };
        refused.retain(|(at, _)| !doubtful.contains(at));
    }
}

/// Line and column of a byte, from 1; the column counts characters.
pub(super) fn place(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (
        count(before.matches('\n').count() + 1),
        count(before[line_start..].chars().count() + 1),
    )
}

/// A text of the file in one plain line.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
