//! The password file: lines `NAME:HASH`, read as a whole or not at all.
//!
//! Reading may block, so it happens at the start or on a helper thread. It must not know requests.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::hash::Hash;

/// More is no password file, and all of it is kept in memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Those who have a password.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users {
    /// Sorted by name.
    entries: Vec<(Vec<u8>, Arc<Hash>)>,
}

impl Users {
    /// The users of a password file. Empty lines and lines that begin with `#` are nothing; what
    /// follows a second colon neither.
    ///
    /// # Errors
    /// A line is wrong; the text begins with its number.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut entries: Vec<(Vec<u8>, Arc<Hash>)> = Vec::new();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (name, hash) =
                parse_line(line).map_err(|reason| format!("{}: {reason}", index + 1))?;
            match entries.binary_search_by(|(other, _)| other.cmp(&name)) {
                Ok(_) => {
                    let name = String::from_utf8_lossy(&name);
                    return Err(format!("{}: user {name:?} is there twice", index + 1));
                }
                Err(at) => entries.insert(at, (name, Arc::new(hash))),
            }
        }
        Ok(Self { entries })
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many have a hash that is made for guessing.
    pub(crate) fn weak(&self) -> usize {
        self.entries
            .iter()
            .filter(|(_, hash)| hash.is_weak())
            .count()
    }

    /// The hash of a user.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Arc<Hash>> {
        let at = self
            .entries
            .binary_search_by(|(other, _)| other[..].cmp(name))
            .ok()?;
        Some(&self.entries[at].1)
    }

    /// Somebody's hash, the same for the same number: what is computed for an unknown user, so
    /// that it takes as long as for a known one. `None` if there are no users.
    pub(crate) fn decoy(&self, number: usize) -> Option<&Arc<Hash>> {
        let at = number.checked_rem(self.entries.len())?;
        Some(&self.entries[at].1)
    }
}

fn parse_line(line: &[u8]) -> Result<(Vec<u8>, Hash), String> {
    let mut parts = line.splitn(3, |&byte| byte == b':');
    let (Some(name), Some(hash)) = (parts.next(), parts.next()) else {
        return Err("expected NAME:HASH".into());
    };
    if name.is_empty() || name.iter().any(u8::is_ascii_control) {
        return Err("expected NAME:HASH, the name without control bytes".into());
    }
    let name = name.to_vec();
    // The reason must not show what may be a password.
    let of_user = |reason| format!("user {:?}: {reason}", String::from_utf8_lossy(&name));
    let hash = core::str::from_utf8(hash)
        .map_err(|_| "the hash is no ASCII".to_owned())
        .and_then(Hash::parse)
        .map_err(of_user)?;
    Ok((name, hash))
}

/// Which state of a file was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// As above; of the inode too, so that a change of its mode counts.
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A password file that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) users: Users,
    pub(crate) identity: Identity,
    /// Everybody on the machine may read it.
    pub(crate) is_public: bool,
}

/// A password file that could not be used.
#[derive(Debug)]
pub(crate) struct Broken {
    /// `None`: it could not even be looked at.
    pub(crate) identity: Option<Identity>,
    /// With the file's name, and the line if it is one.
    pub(crate) reason: String,
}

/// Reads the file, unless it is still the one that is known.
///
/// # Errors
/// It is not there, is no file, too large, writable by everybody, or a line is wrong.
pub(crate) fn read(path: &Path, known: Option<&Identity>) -> Result<Option<Loaded>, Broken> {
    let broken = |identity, reason: String| Broken {
        identity,
        reason: format!("{}{reason}", path.display()),
    };
    // By name first: opening a FIFO would wait for whoever writes.
    let metadata = fs::metadata(path).map_err(|error| broken(None, format!(": {error}")))?;
    let identity = Identity::of(&metadata);
    if known == Some(&identity) {
        return Ok(None);
    }
    let broken = |reason| broken(Some(identity), reason);
    if !metadata.is_file() {
        return Err(broken(": no regular file".into()));
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(broken(
            ": everybody may write to it; mend it with chmod o-w".into(),
        ));
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(|error| broken(format!(": {error}")))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(broken(format!(": larger than {FILE_BYTES_MAX} bytes")));
    }
    let users = Users::parse(&text).map_err(|reason| broken(format!(":{reason}")))?;
    Ok(Some(Loaded {
        users,
        identity,
        is_public: metadata.mode() & 0o004 != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const SHA: &str = "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=";

    #[test]
    fn lines_are_users() {
        let text = format!("# people\n\nbob:{SHA}\r\nalice:{SHA}:Alice, room 7\n  zoë:{SHA}");
        let users = Users::parse(text.as_bytes()).unwrap();
        assert_eq!((users.len(), users.weak()), (3, 3));
        for name in ["alice", "bob", "zoë"] {
            assert!(
                users.find(name.as_bytes()).unwrap().verify(b"open sesame"),
                "{name}"
            );
        }
        for name in ["", "alic", "alicee", "Alice", "# people"] {
            assert!(users.find(name.as_bytes()).is_none(), "{name}");
        }
        assert!(users.decoy(usize::MAX).is_some());
        assert!(Users::default().decoy(7).is_none());
    }

    #[test]
    fn a_bad_line_is_named_and_keeps_its_secret() {
        for (text, line, reason) in [
            ("alice", 1, "expected NAME:HASH"),
            ("\n:{SHA}x", 2, "expected NAME:HASH"),
            (
                "# a\nalice:hunter2\n",
                2,
                "user \"alice\": no hash that is known",
            ),
            (
                &format!("a:{SHA}\nb:{SHA}\na:{SHA}"),
                3,
                "user \"a\" is there twice",
            ),
            ("a\u{1}b:{SHA}x", 1, "control bytes"),
        ] {
            let error = Users::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(&format!("{line}: ")), "{error}");
            assert!(
                error.contains(reason) && !error.contains("hunter2"),
                "{error}"
            );
        }
        assert!(
            Users::parse(b"a:\xff\xff")
                .unwrap_err()
                .contains("no ASCII")
        );
    }

    #[test]
    fn a_file_is_read_again_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let error = read(&path, None).unwrap_err();
        assert!(error.identity.is_none() && error.reason.contains("No such file"));

        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&path, format!("a:{SHA}\n")).unwrap();
        mode(0o640);
        let first = read(&path, None).unwrap().unwrap();
        assert_eq!((first.users.len(), first.is_public), (1, false));
        assert!(read(&path, Some(&first.identity)).unwrap().is_none());

        let new = folder.path().join("new");
        fs::write(&new, format!("a:{SHA}\nb:{SHA}\n")).unwrap();
        fs::rename(&new, &path).unwrap();
        mode(0o644);
        let second = read(&path, Some(&first.identity)).unwrap().unwrap();
        assert_eq!((second.users.len(), second.is_public), (2, true));
    }

    #[test]
    fn what_is_no_password_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            read(folder.path(), None)
                .unwrap_err()
                .reason
                .contains("no regular file")
        );
        let path = folder.path().join("users");
        for (text, mode, reason) in [
            (format!("a:{SHA}"), 0o602, "chmod o-w"),
            ("# ".repeat(1 << 19) + "#", 0o600, "larger than"),
            (format!("a:{SHA}\nb:x"), 0o600, "/users:2: user \"b\""),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path, None).unwrap_err();
            assert!(error.reason.contains(reason), "{error:?}");
            assert!(read(&path, error.identity.as_ref()).unwrap().is_none());
        }
    }
}
