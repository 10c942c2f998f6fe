//! Plugin files and their copies in memory: opening, describing, copying, sealing.

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Opens a file for reading, without waiting for a writer if it is a pipe.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(openat(rustix::fs::CWD, path, flags, Mode::empty())?.into())
}

/// A file in memory that holds `bytes` and never changes. It shows in the maps as `name`.
///
/// # Errors
/// The kernel refuses, or memory is short.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // It is mapped, never executed as a program. Before Linux 6.3 that cannot be said.
    let copy = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, flags),
        made => made,
    }?;
    let copy = File::from(copy);
    copy.write_all_at(bytes, 0)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

/// Whether the mappings of this process contain the file in memory with this inode.
///
/// # Errors
/// They cannot be listed.
pub fn is_mapped(inode: u64) -> io::Result<bool> {
    let maps = std::fs::read("/proc/self/maps")?;
    // ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH
    let inode = inode.to_string();
    Ok(maps.split(|byte| *byte == b'\n').any(|line| {
        let mut fields = line
            .split(|byte| *byte == b' ')
            .filter(|field| !field.is_empty());
        fields.nth(4) == Some(inode.as_bytes())
            && fields
                .next()
                .is_some_and(|path| path.starts_with(b"/memfd:"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_sealed_copy_cannot_be_changed() {
        let copy = File::from(sealed("swiftd:test#1", b"bytes").unwrap());
        let mut bytes = [0; 5];
        copy.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"bytes");
        assert!(copy.write_all_at(b"B", 0).is_err());
        assert!(copy.set_len(0).is_err() && copy.set_len(9).is_err());
        assert!(!is_mapped(copy.metadata().unwrap().ino()).unwrap());
    }

    #[test]
    fn a_pipe_is_opened_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(!open(&path).unwrap().metadata().unwrap().is_file());
    }
}
