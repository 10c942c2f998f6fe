//! Why a log cannot be opened, and how to mend it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be appended to.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    error: io::Error,
}

impl Error {
    /// The file, and why.
    #[must_use]
    pub fn new(path: &Path, error: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            error,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel says.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, error } = self;
        write!(f, "cannot open the log {}: {error}", path.display())?;
        let directory = path.parent().unwrap_or(path).display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                write!(f, "; make its directory first: mkdir -p {directory}")
            }
            io::ErrorKind::PermissionDenied => write!(
                f,
                "; swiftd's user must be allowed to write it, or to make it in {directory}"
            ),
            io::ErrorKind::IsADirectory => write!(f, "; name a file in it"),
            io::ErrorKind::ReadOnlyFilesystem => {
                write!(f, "; name one elsewhere, or use syslog or ram:64K")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_how_to_mend_it() {
        for (kind, cure) in [
            (
                io::ErrorKind::NotFound,
                "; make its directory first: mkdir -p /no",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "; swiftd's user must be allowed to write it, or to make it in /no",
            ),
            (io::ErrorKind::IsADirectory, "; name a file in it"),
            (io::ErrorKind::Other, ""),
        ] {
            let line = Error::new(Path::new("/no/log"), kind.into()).to_string();
            assert!(line.starts_with("cannot open the log /no/log: ") && line.ends_with(cure));
        }
    }
}
