//! The files that make up a configuration: the one that was named, then `conf.d/*.conf` beside it.

use super::faults::place;
use super::{BYTES_MAX, Error, Fault};
use crate::sys::file::Kind;
use crate::sys::small_file;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The name of a file that stands for standard input.
pub const STDIN: &str = "-";

/// More files are not read from `conf.d`.
pub(super) const PARTS_MAX: usize = 256;

/// A file that was read.
pub(super) struct Source {
    /// What it is called.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

impl Source {
    /// Its text, or where it is none.
    pub(super) fn text(&self) -> Result<&str, Fault> {
        str::from_utf8(&self.bytes).map_err(|error| {
            let text = String::from_utf8_lossy(&self.bytes[..error.valid_up_to()]);
            let (line, column) = place(&text, text.len());
            Fault {
                file: self.path.clone(),
                line,
                column,
                text: "not UTF-8; save the file as UTF-8".into(),
            }
        })
    }
}

/// Reads the file at `path`, and the parts beside it.
pub(super) fn read(path: &Path) -> Result<Vec<Source>, Error> {
    if path == Path::new(STDIN) {
        return Ok(vec![read_stdin()?]);
    }
    let mut sources = vec![read_file(path)?];
    for part in parts(path)? {
        sources.push(read_file(&part)?);
    }
    Ok(sources)
}

fn read_file(path: &Path) -> Result<Source, Error> {
    let of_system = |error| Error::Read(path.to_owned(), error);
    let opened = small_file::open_existing(path)
        .map_err(of_system)?
        .ok_or_else(|| of_system(io::ErrorKind::NotFound.into()))?;
    if opened.meta.kind != Kind::Regular {
        return Err(Error::Special(path.to_owned()));
    }
    let bytes = small_file::read_whole(opened, BYTES_MAX).map_err(of_system)?;
    Ok(Source {
        path: path.to_owned(),
        bytes: bytes.ok_or_else(|| Error::TooLong(path.to_owned()))?,
    })
}

/// The parts beside a file, by name. What an editor or a package manager has left there is none.
fn parts(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = path.with_file_name("conf.d");
    let of_system = |error| Error::Read(folder.clone(), error);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        Err(error) => return Err(of_system(error)),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let name = entry.map_err(of_system)?.file_name();
        let is_part = name
            .to_str()
            .is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'));
        if is_part {
            parts.push(folder.join(name));
        }
        if parts.len() > PARTS_MAX {
            return Err(Error::TooMany(folder));
        }
    }
    parts.sort();
    Ok(parts)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What came from standard input. It comes once; whoever asks again, for a reload, gets the same.
fn read_stdin() -> Result<Source, Error> {
    static GIVEN: OnceLock<Vec<u8>> = OnceLock::new();
    let path = PathBuf::from("standard input");
    let bytes = match GIVEN.get() {
        Some(bytes) => bytes.clone(),
        None => {
            let mut bytes = Vec::new();
            let read = io::stdin()
                .lock()
                .take(BYTES_MAX + 1)
                .read_to_end(&mut bytes);
            read.map_err(|error| Error::Read(path.clone(), error))?;
            GIVEN.get_or_init(|| bytes).clone()
        }
    };
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Error::TooLong(path));
    }
    Ok(Source { path, bytes })
}
