//! Which file a plugin came from, so that a look at the file tells whether it is another one now.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What tells one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file system it is on.
    pub device: u64,
    /// Its number there. File systems use numbers again.
    pub inode: u64,
    /// Its size.
    pub bytes: u64,
    /// When its content changed, nanoseconds since 1970. Reproducible builds give every version
    /// the same.
    pub modified: i128,
    /// When anything about it changed, nanoseconds since 1970.
    pub changed: i128,
}

impl Identity {
    /// That of an open file.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// As the shared page of the supervisor holds it.
    #[must_use]
    pub fn to_words(&self) -> crate::sys::crash::FileIdentity {
        // Nanoseconds of five centuries fit; what is beyond is compared by its low part.
        [
            self.device,
            self.inode,
            self.bytes,
            self.modified as u64,
            self.changed as u64,
        ]
    }

    /// Whether the file may hold the same bytes as the other: size and time of the content are
    /// equal. A new time is the operator's wish to load it again, whatever the bytes are.
    #[must_use]
    pub fn may_equal(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.modified == other.modified
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}
