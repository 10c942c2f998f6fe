//! Where lines leave the process, and the jobs that bring them there. This is what the disk thread
//! does for a log; nothing here waits for a reader.
//!
//! A sink is lent with each batch and comes back with what became of it, so that at most one batch
//! of a log is under way and nobody else has its descriptor.

use super::Error;
use crate::config::Destination;
use crate::sys::append::{append, become_stderr, open_append};
use crate::sys::process;
use crate::sys::syslog::{self, Syslog};
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where lines leave the process.
#[derive(Debug)]
pub(super) enum Sink {
    /// Lines that it does not take at once are lost.
    Stderr,
    File {
        path: PathBuf,
        file: OwnedFd,
    },
    Syslog(Syslog),
}

impl Sink {
    /// Opens what a destination stands for; `None` for one that is in the process.
    pub(super) fn open(destination: &Destination) -> Result<Option<Self>, Error> {
        Ok(Some(match destination {
            Destination::Off | Destination::Ring(_) => return Ok(None),
            Destination::Stderr => Self::Stderr,
            Destination::Syslog => Self::Syslog(Syslog::new(Path::new(syslog::PATH))),
            Destination::SyslogAt(path) => Self::Syslog(Syslog::new(path)),
            Destination::File(path) => Self::File {
                file: open_append(path).map_err(|error| Error::new(path, error))?,
                path: path.clone(),
            },
        }))
    }

    /// Whether writing to it may wait for a disk.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Writes what it takes of `lines`. Tells how many bytes are done with, how many lines of them
    /// are lost, and why there is a rest.
    fn write(&mut self, lines: &[u8]) -> (usize, u64, io::Result<()>) {
        match self {
            Self::Stderr => {
                let written = process::print_error(lines);
                (lines.len(), count_lines(&lines[written..]), Ok(()))
            }
            Self::File { file, .. } => {
                let (written, result) = append(file.as_fd(), lines);
                (written, 0, result)
            }
            Self::Syslog(log) => {
                let mut sent = 0;
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    let message = line.strip_suffix(b"\n").unwrap_or(line);
                    if let Err(error) = log.send(message) {
                        return (sent, 0, Err(error));
                    }
                    sent += line.len();
                }
                (sent, 0, Ok(()))
            }
        }
    }

    /// Opens a file again at its path; the old one stays if that fails.
    fn reopen(&mut self) -> Result<(), Error> {
        if let Self::File { path, file } = self {
            *file = open_append(path).map_err(|error| Error::new(path, error))?;
        }
        Ok(())
    }
}

/// How many lines end in `bytes`.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Lines for a sink.
#[derive(Debug)]
pub struct Batch {
    /// Which log is told what became of it; `None`: nobody.
    pub(super) log: Option<u32>,
    pub(super) sink: Sink,
    pub(super) lines: Vec<u8>,
    /// Behind the lines the file is opened anew.
    pub(super) reopens: bool,
    /// Then standard error becomes the file.
    pub(super) moves_stderr: bool,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Outcome {
    pub(super) log: u32,
    pub(super) sink: Sink,
    /// What has not been written.
    pub(super) rest: Vec<u8>,
    pub(super) lost_count: u64,
    pub(super) result: io::Result<()>,
    /// Whether the file was opened anew, if it was to be.
    pub(super) reopened: Option<Result<(), Error>>,
}

impl Batch {
    /// Lines for standard error, about which nobody is told.
    #[must_use]
    pub fn for_stderr(lines: Vec<u8>) -> Self {
        Self {
            log: None,
            sink: Sink::Stderr,
            lines,
            reopens: false,
            moves_stderr: false,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn perform(mut self) -> Option<Box<Outcome>> {
        let (done, mut lost_count, result) = self.sink.write(&self.lines);
        let reopened = mem::take(&mut self.reopens).then(|| self.sink.reopen());
        if self.moves_stderr
            && !matches!(reopened, Some(Err(_)))
            && let Sink::File { file, .. } = &self.sink
        {
            // It cannot fail; what goes there would go on into the old file.
            let _ = become_stderr(file.as_fd());
        }
        let mut rest = self.lines.split_off(done);
        // The rest of a line that was torn belongs to the old file.
        let is_torn = self.lines.last().is_some_and(|&byte| byte != b'\n');
        if is_torn && matches!(reopened, Some(Ok(()))) {
            let end = memchr::memchr(b'\n', &rest).map_or(rest.len(), |at| at + 1);
            rest.drain(..end);
            lost_count += 1;
        }
        Some(Box::new(Outcome {
            log: self.log?,
            sink: self.sink,
            rest,
            lost_count,
            result,
            reopened,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn batch(path: &Path, lines: &str, reopens: bool) -> Batch {
        let sink = Sink::open(&Destination::File(path.to_owned())).unwrap();
        Batch {
            log: Some(1),
            sink: sink.unwrap(),
            lines: lines.into(),
            reopens,
            moves_stderr: false,
        }
    }

    #[test]
    fn lines_go_into_the_old_file_before_it_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("old"));
        let batch = batch(&path, "one\ntwo\n", true);
        fs::rename(&path, &old).unwrap();
        let outcome = batch.perform().unwrap();
        assert!(outcome.result.is_ok() && outcome.rest.is_empty());
        assert!(matches!(outcome.reopened, Some(Ok(()))));
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut batch = batch(&path, "one\n", true);
        let old = folder.path().join("old");
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        let outcome = batch.perform().unwrap();
        let Some(Err(error)) = &outcome.reopened else {
            panic!("a directory is no log: {outcome:?}");
        };
        assert!(error.to_string().starts_with("cannot open the log "));
        batch = Batch {
            log: Some(1),
            sink: outcome.sink,
            lines: b"two\n".to_vec(),
            reopens: false,
            moves_stderr: false,
        };
        assert!(batch.perform().unwrap().result.is_ok());
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_the_rest() {
        let outcome = batch(Path::new("/dev/full"), "one\ntwo\n", false).perform();
        let outcome = outcome.unwrap();
        assert_eq!(outcome.rest, b"one\ntwo\n");
        assert_eq!(
            outcome.result.unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }
}
