//! Which script a path means: the first regular file on the way from the scripts' directory along
//! the path; the rest of the path is the script's (RFC 3875, 3.2). Every look here may wait for the
//! disk, so it is done in a job.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// A file that is to be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) file: PathBuf,
    /// SCRIPT_NAME: the part of the path that leads to it.
    pub(crate) name: Vec<u8>,
    /// PATH_INFO: the rest of the path, empty or from a slash on.
    pub(crate) path_info: Vec<u8>,
    /// What runs it, if it is not run itself.
    pub(crate) interpreter: Option<Vec<Vec<u8>>>,
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 404.
    NotFound,
    /// 403, and a line in the log that says why.
    Forbidden(&'static str),
    /// 500.
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // NUL in a name, a name that is too long or a file in the place of a directory: there
            // can be no such file.
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename => Self::NotFound,
            ErrorKind::PermissionDenied => Self::Forbidden("the server may not look there"),
            _ => Self::Failed(error),
        }
    }
}

/// Looks for the script of a path that begins with the prefix, beneath `root`.
pub(crate) fn find(config: &Config, root: &Path, path: &[u8]) -> Result<Script, Refusal> {
    let (file, name_end, metadata) = walk(root, path, config.prefix.len())?;
    let base = file.file_name().map_or(&b""[..], OsStr::as_bytes);
    let handler = config.handler(base);
    if !metadata.is_file() {
        return Err(Refusal::Forbidden("it is not a regular file"));
    }
    if !config.is_script(base) {
        return Err(Refusal::Forbidden("its suffix is not one of the scripts'"));
    }
    if base.starts_with(b"nph-") {
        return Err(Refusal::Forbidden("non-parsed headers are not supported"));
    }
    if handler.is_none() && metadata.permissions().mode() & 0o111 == 0 {
        return Err(Refusal::Forbidden("it is not executable"));
    }
    if !fs::canonicalize(&file)?.starts_with(fs::canonicalize(root)?) {
        return Err(Refusal::Forbidden("a link leads out of the directory"));
    }
    Ok(Script {
        name: path[..name_end].to_vec(),
        path_info: path[name_end..].to_vec(),
        interpreter: handler.map(|handler| handler.command.clone()),
        file,
    })
}

/// The first thing on the way that is no directory, and where in the path its name ends.
fn walk(root: &Path, path: &[u8], from: usize) -> Result<(PathBuf, usize, Metadata), Refusal> {
    let mut file = root.to_path_buf();
    let mut at = from;
    loop {
        let rest = path.get(at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'/');
        let name = &rest[..len.unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(Refusal::Forbidden("it is a directory"));
        }
        // Dot segments would have been resolved; whatever else is hidden stays so.
        if name.starts_with(b".") {
            return Err(Refusal::NotFound);
        }
        file.push(OsStr::from_bytes(name));
        at += name.len();
        let metadata = fs::metadata(&file)?;
        if !metadata.is_dir() {
            return Ok((file, at, metadata));
        }
        at += 1;
    }
}
