//! Small files that the operator writes: opened once, looked at, and read within a bound.
//!
//! Everything here may wait for a disk, so it is for the start and for helper threads.

use super::file::{FILE_FLAGS, Meta, Opened, meta};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// Opens a file for reading, without being held up by a FIFO; `None` if there is none.
///
/// # Errors
/// See open(2).
pub fn open_existing(path: &Path) -> io::Result<Option<Opened>> {
    open_with(path, FILE_FLAGS)
}

/// What `path` stands for, symbolic links followed; `None` if there is nothing. Two answers are
/// equal as long as nobody has replaced, written, or touched it.
///
/// # Errors
/// See open(2).
pub fn identify(path: &Path) -> io::Result<Option<Meta>> {
    let opened = open_with(path, OFlags::PATH | OFlags::CLOEXEC)?;
    Ok(opened.map(|opened| opened.meta))
}

/// All that is in a file; `None` if that is more than `bytes_max`, whatever its length was said to
/// be when it was opened.
///
/// # Errors
/// See read(2).
pub fn read_whole(file: Opened, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::from(file.descriptor)
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<Option<Opened>> {
    match open(path, flags, Mode::empty()) {
        Ok(descriptor) => {
            let meta = meta(descriptor.as_fd())?;
            Ok(Some(Opened { descriptor, meta }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
