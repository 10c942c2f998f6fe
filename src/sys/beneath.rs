//! A walk beneath a directory, for kernels without openat2(2).
//!
//! Each component is opened by itself with O_NOFOLLOW, so that no name is ever resolved by the
//! kernel in more than one step and nothing that is swapped meanwhile can lead outside. A symbolic
//! link is read and its target walked in the same way; `..` in one goes back along the directories
//! that were passed and never above the first.

use super::file::FILE_FLAGS;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many symbolic links may be met, as in the kernel.
const LINKS_MAX: usize = 40;

/// How many components may be pending, so that links cannot multiply them without end.
const COMPONENTS_MAX: usize = 4096;

/// Opens `path` beneath `root` for reading. Absolute links and ways out are EXDEV.
///
/// # Errors
/// As openat2(2) with RESOLVE_BENEATH.
pub fn open(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut pending: Vec<Vec<u8>> = components(path);
    let mut passed: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        let here = passed.last().map_or(root, AsFd::as_fd);
        match &name[..] {
            b"" | b"." => continue,
            b".." => {
                passed.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(here, &name[..], flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                // The descriptor itself is read, not the name, which may be another link by now.
                let target = readlinkat(&found, "", Vec::new())?.into_bytes();
                if target.first() == Some(&b'/') {
                    return Err(Errno::XDEV);
                }
                pending.extend(components(&target));
                if links > LINKS_MAX || pending.len() > COMPONENTS_MAX {
                    return Err(Errno::LOOP);
                }
            }
            FileType::Directory => passed.push(found),
            _ if pending.iter().any(|rest| !rest.is_empty()) => return Err(Errno::NOTDIR),
            // O_NOFOLLOW once more: if the name is another file by now, that one is checked by
            // whoever opened it; if it is a link by now, ELOOP refuses it.
            _ => {
                return openat(
                    here,
                    &name[..],
                    FILE_FLAGS | OFlags::NOFOLLOW,
                    Mode::empty(),
                );
            }
        }
    }
    let here = passed.last().map_or(root, AsFd::as_fd);
    openat(here, ".", FILE_FLAGS, Mode::empty())
}

/// The components of a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}
