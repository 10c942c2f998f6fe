//! Files that are only appended to: opened so that a FIFO without a reader does not hold anybody,
//! written a batch a call.

use rustix::fs::{FileType, Mode, OFlags, open, stat};
use rustix::io::{Errno, write};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// Opens a file to append to; one that does not exist is made, for its owner and group (0640).
///
/// # Errors
/// Its directory does not exist or may not be written to, or it is no file.
pub fn open_append(path: &Path) -> io::Result<OwnedFd> {
    // A FIFO that is open for reading as well has a reader always: opening it waits for nobody, and
    // what is written waits in it for whoever reads it later.
    let is_fifo =
        stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode as _) == FileType::Fifo);
    let access = if is_fifo {
        OFlags::RDWR
    } else {
        OFlags::WRONLY
    };
    let flags = OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    Ok(open(path, access | flags | OFlags::NONBLOCK, mode)?)
}

/// Makes a file this process' standard error, too.
///
/// # Errors
/// See dup2(2).
pub fn become_stderr(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}

/// Writes `bytes` at the end of a file, with one call if it takes them at once. Tells how many were
/// written, and why not all.
pub fn append(file: BorrowedFd<'_>, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match write(file, &bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(errno) => return (written, Err(errno.into())),
        }
    }
    (written, Ok(()))
}
