//! The list of plugins: a file of lines `NAME:/DIR/$`, each for the library `/DIR/NAME.so`, or
//! `NAME:builtin/$` for a plugin that is a part of the program.
//!
//! Saving this file is what reloads plugins, so it is often read while somebody is about to write
//! it. The `$` shows that a line is complete, and may be nowhere else in it. INVARIANT: what is
//! read from the beginning of a list is an error or the beginning of what it lists.
//!
//! A file of no bytes is what a program leaves that opens it for writing, so it is an error, while a
//! lone comment unloads all plugins. Blanks before a line and behind its `$` are allowed, also the
//! CR of an editor from elsewhere; a comment may begin behind blanks. A `#` behind an entry begins
//! no comment. The last line needs no line end.

use crate::config::{NAME_FORM, is_plugin_name};
use crate::sys::file::{Kind, Opened};
use crate::sys::small_file;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A list is not longer. 64 plugins with the longest paths would be, but that is a wrong file
/// rather than a list.
pub const BYTES_MAX: usize = 64 * 1024;

/// Not more plugins than this.
pub const ENTRIES_MAX: usize = 64;

/// The path of a library that the kernel takes: PATH_MAX without its NUL.
const LIBRARY_BYTES_MAX: usize = 4095;

/// A plugin of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The line of the list, from 1.
    pub line: u32,
}

/// Where a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its library is in this directory; absolute.
    Directory(PathBuf),
    /// In the program.
    Builtin,
}

impl Entry {
    /// The file of its library, if it has one.
    #[must_use]
    pub fn library(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Directory(directory) => Some(directory.join(format!("{}.so", self.name))),
            Place::Builtin => None,
        }
    }
}

/// What stands in the place of a directory for a plugin that is in the program.
pub const BUILTIN: &str = "builtin/";

/// What is wrong with a list, and where. Displays as "line 3: what; how to mend it".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file has no bytes.
    Empty,
    /// The file is longer than [`BYTES_MAX`].
    TooLong,
    /// One entry more than [`ENTRIES_MAX`].
    TooMany,
    /// The line is not UTF-8.
    NotUtf8,
    /// There is a control character in it.
    Control(char),
    /// There is no `$`.
    NoEnd,
    /// There is something behind the `$`.
    AfterEnd,
    /// There is no colon.
    NoColon,
    /// A plugin cannot be called so.
    Name(String),
    /// The plugin is listed already.
    Duplicate {
        /// The plugin.
        name: String,
        /// Where it is listed first.
        first: u32,
    },
    /// The directory does not begin with a slash.
    Relative(String),
    /// The directory does not end with a slash.
    NoSlash(String),
    /// The path of the library is longer than the kernel takes.
    PathTooLong,
}

impl ParseError {
    /// The error as one line that names the file: `/etc/plugins.conf:3: what; how to mend it`.
    #[must_use]
    pub fn describe(&self, path: &Path) -> String {
        let path = path.to_string_lossy();
        format!("{}:{}: {}", path.escape_debug(), self.line, self.fault)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "the file is empty: truncated while it is saved? to unload all plugins, leave a comment in it, such as \"# none\""
            ),
            Self::TooLong => write!(
                f,
                "the file is longer than {BYTES_MAX} bytes; is it the right one?"
            ),
            Self::TooMany => write!(
                f,
                "more than {ENTRIES_MAX} plugins; remove some or put a # before them"
            ),
            Self::NotUtf8 => write!(f, "not UTF-8; save the file as UTF-8 or use ASCII"),
            Self::Control(char) => write!(
                f,
                "a control character, {}; remove it",
                char.escape_unicode()
            ),
            Self::NoEnd => write!(
                f,
                "no $ at the end: was the file cut off? write NAME:/DIR/$"
            ),
            Self::AfterEnd => write!(
                f,
                "something behind the $; write NAME:/DIR/$, each on a line of its own and without $ in DIR"
            ),
            Self::NoColon => write!(f, "no colon behind the name; write NAME:/DIR/$"),
            Self::Name(name) => write!(f, "{name:?}: {NAME_FORM}"),
            Self::Duplicate { name, first } => {
                write!(f, "{name} is in line {first} already; remove one of them")
            }
            Self::Relative(directory) => write!(
                f,
                "{directory:?} is no absolute directory; begin it with a slash: NAME:/DIR/$"
            ),
            Self::NoSlash(directory) => write!(
                f,
                "no slash between {directory:?} and the $; write NAME:/DIR/$"
            ),
            Self::PathTooLong => write!(
                f,
                "the path of the library is longer than {LIBRARY_BYTES_MAX} bytes; choose a shorter one"
            ),
        }
    }
}

/// Reads a list.
///
/// # Errors
/// The first thing that is wrong with it. Half of a list is worth nothing.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, ParseError> {
    let of_file = |fault| Err(ParseError { line: 1, fault });
    if bytes.is_empty() {
        return of_file(Fault::Empty);
    }
    if bytes.len() > BYTES_MAX {
        return of_file(Fault::TooLong);
    }
    let mut entries = Vec::new();
    let mut lines = BTreeMap::new();
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let parsed = parse_line(text).and_then(|entry| {
            let Some((name, place)) = entry else {
                return Ok(None);
            };
            if let Some(&first) = lines.get(&name) {
                return Err(Fault::Duplicate { name, first });
            }
            if entries.len() == ENTRIES_MAX {
                return Err(Fault::TooMany);
            }
            Ok(Some((name, place)))
        });
        if let Some((name, place)) = parsed.map_err(|fault| ParseError { line, fault })? {
            lines.insert(name.clone(), line);
            entries.push(Entry { name, place, line });
        }
    }
    Ok(entries)
}

/// The name and the place in a line; `None` if it is blank or a comment.
fn parse_line(line: &[u8]) -> Result<Option<(String, Place)>, Fault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
    let line = line.trim_matches([' ', '\t']);
    let is_comment = line.starts_with('#');
    let is_allowed = |char: char| is_comment && char == '\t';
    let mut controls = line.chars().filter(|char| char.is_control());
    if let Some(control) = controls.find(|&char| !is_allowed(char)) {
        return Err(Fault::Control(control));
    }
    if line.is_empty() || is_comment {
        return Ok(None);
    }
    let (entry, behind) = line.split_once('$').ok_or(Fault::NoEnd)?;
    if !behind.is_empty() {
        return Err(Fault::AfterEnd);
    }
    let (name, directory) = entry.split_once(':').ok_or(Fault::NoColon)?;
    if !is_plugin_name(name) {
        return Err(Fault::Name(name.to_owned()));
    }
    if directory == BUILTIN {
        return Ok(Some((name.to_owned(), Place::Builtin)));
    }
    if !directory.starts_with('/') {
        return Err(Fault::Relative(directory.to_owned()));
    }
    if !directory.ends_with('/') {
        return Err(Fault::NoSlash(directory.to_owned()));
    }
    if directory.len() + name.len() + ".so".len() > LIBRARY_BYTES_MAX {
        return Err(Fault::PathTooLong);
    }
    let place = Place::Directory(PathBuf::from(directory));
    Ok(Some((name.to_owned(), place)))
}

/// Why a list was not read.
#[derive(Debug)]
pub enum ReadError {
    /// The system refused.
    System(io::Error),
    /// It is no regular file.
    Special,
    /// It is longer than [`BYTES_MAX`].
    TooLong,
    /// Somebody else could have written it; how to mend that.
    Untrusted(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => {
                write!(f, "cannot read the list of plugins: {error}")?;
                if error.kind() == io::ErrorKind::PermissionDenied {
                    write!(f, "; the server's user needs to read the file (chmod +r)")?;
                }
                Ok(())
            }
            Self::Special => write!(f, "not a regular file; name a file of lines NAME:/DIR/$"),
            Self::TooLong => Fault::TooLong.fmt(f),
            Self::Untrusted(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads the file of a list, once and from one descriptor, after `check` has found that nobody but
/// those who may can have written it: the path and the open file, or why not. `None` if there is no
/// such file. It may wait for a disk, so it is for a helper thread.
///
/// # Errors
/// See [`ReadError`].
pub fn read(
    path: &Path,
    check: impl FnOnce(&Path, &Opened) -> Result<(), String>,
) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(opened) = small_file::open_existing(path).map_err(ReadError::System)? else {
        return Ok(None);
    };
    if opened.meta.kind != Kind::Regular {
        return Err(ReadError::Special);
    }
    check(path, &opened).map_err(ReadError::Untrusted)?;
    let bytes = small_file::read_whole(opened, BYTES_MAX as u64).map_err(ReadError::System)?;
    bytes.map(Some).ok_or(ReadError::TooLong)
}
