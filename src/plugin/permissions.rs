//! Who could put other code in a plugin's place: the owners and modes of a file and of everything
//! on the way to it. The plugin list is held to the same rules.
//!
//! [`judge`] is pure; [`walk`] collects what it judges. A name is walked as the kernel walks it,
//! through symbolic links, because whoever can swap a link on the way can swap the file.

use crate::sys::privileges;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What the way to a file goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub path: PathBuf,
    /// Whose.
    pub owner: u32,
    /// Type and permission bits, as stat(2) gives them.
    pub mode: u32,
    /// The file system it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Links that are followed, as the kernel does.
const LINKS_MAX: usize = 40;

/// Whose files are believed beside root's.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The user that the server runs as. What it could change it could do itself.
    pub user: u32,
    /// Whether root has started the server: then a group that may write is nobody's wish, also if
    /// the server is somebody else by now, so that a check by root comes to the same end.
    pub is_of_root: bool,
}

impl Trust {
    /// What holds for this process.
    #[must_use]
    pub fn own() -> Self {
        Self {
            user: privileges::effective_user(),
            is_of_root: privileges::is_of_root(),
        }
    }
}

/// Says whether only root and the server's user can change what the steps lead to. The steps are in
/// the order in which they are gone, the file itself last. Returns warnings.
///
/// # Errors
/// Somebody else can; which step, and how to mend it.
pub fn judge(trust: Trust, steps: &[Step]) -> Result<Vec<String>, String> {
    let Trust { user, is_of_root } = trust;
    let is_safe = |owner: u32| owner == 0 || owner == user;
    let mut warnings = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let path = step.path.display();
        if !is_safe(step.owner) {
            let owner = step.owner;
            let (wanted, cure) = match (is_of_root, user) {
                (true, 0) => ("root".to_owned(), 0),
                (true, user) => (format!("root or user {user}"), 0),
                (false, user) => ("root or you".to_owned(), user),
            };
            return Err(format!(
                "{path} belongs to user {owner}, who could replace the plugin; it must belong to {wanted}: chown -h {cure} {path}"
            ));
        }
        let kind = step.mode & TYPE;
        // In a sticky directory only its owner can replace an entry: whose that is, the next step
        // tells.
        let is_sticky = kind == DIRECTORY && step.mode & STICKY != 0 && index + 1 < steps.len();
        if kind == LINK || is_sticky {
            continue;
        }
        let by_group = step.mode & GROUP_WRITES != 0;
        let by_others = step.mode & OTHERS_WRITE != 0;
        if by_others || (by_group && is_of_root) {
            let (who, bits) = match (by_group, by_others) {
                (true, true) => ("group and others", "go-w"),
                (true, false) => ("the group", "g-w"),
                _ => ("others", "o-w"),
            };
            return Err(format!(
                "{path} can be written by {who}, who could replace the plugin: chmod {bits} {path}"
            ));
        }
        if by_group {
            let warning = format!(
                "{path} can be written by the group, who could replace the plugin: chmod g-w {path}"
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    Ok(warnings)
}

/// Goes the way to a file, from the root of the file system on.
///
/// # Errors
/// Something on it cannot be described, or there are too many links.
pub fn walk(file: &Path) -> io::Result<Vec<Step>> {
    let mut names: VecDeque<OsString> = VecDeque::new();
    let mut here = PathBuf::from("/");
    let mut steps = vec![describe(&here)?];
    let mut links = 0;
    push_front(&mut names, &std::path::absolute(file)?);
    while let Some(name) = names.pop_front() {
        if name == "/" || name == ".." {
            if name == "/" {
                here = "/".into();
            } else {
                here.pop();
            }
            steps.push(describe(&here)?);
            continue;
        }
        let entry = here.join(&name);
        let step = describe(&entry)?;
        let is_link = step.mode & TYPE == LINK;
        steps.push(step);
        if !is_link {
            here = entry;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::other("too many symbolic links"));
        }
        push_front(&mut names, &std::fs::read_link(&entry)?);
        // The link's target is looked up from where the link is.
        steps.push(describe(&here)?);
    }
    Ok(steps)
}

fn push_front(names: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => names.push_front(name.into()),
            Component::RootDir => names.push_front("/".into()),
            Component::ParentDir => names.push_front("..".into()),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

fn describe(path: &Path) -> io::Result<Step> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok(Step {
        path: path.to_owned(),
        owner: meta.uid(),
        mode: meta.mode(),
        device: meta.dev(),
        inode: meta.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 1000;
    const OTHER: u32 = 1001;

    fn step(path: &str, owner: u32, mode: u32) -> Step {
        Step {
            path: path.into(),
            owner,
            mode,
            device: 0,
            inode: 0,
        }
    }

    fn way(middle: &[(&str, u32, u32)], file: (u32, u32)) -> Vec<Step> {
        let mut steps = vec![step("/", 0, 0o040_755)];
        steps.extend(
            middle
                .iter()
                .map(|(path, owner, mode)| step(path, *owner, *mode)),
        );
        steps.push(step("/p/a.so", file.0, 0o100_000 | file.1));
        steps
    }

    #[test]
    fn who_could_swap_the_file_is_found_out() {
        const TMP: (&str, u32, u32) = ("/tmp", 0, 0o041_777);
        // user, on the way, file, what a refusal says ("" is none), warnings
        type Row<'a> = (u32, &'a [(&'a str, u32, u32)], (u32, u32), &'a str, usize);
        let table: &[Row<'_>] = &[
            (0, &[("/p", 0, 0o040_755)], (0, 0o755), "", 0),
            (0, &[], (0, 0o775), "chmod g-w /p/a.so", 0),
            (0, &[], (0, 0o757), "chmod o-w /p/a.so", 0),
            (0, &[], (0, 0o777), "chmod go-w /p/a.so", 0),
            (0, &[], (ME, 0o755), "/p/a.so belongs to user 1000", 0),
            (
                0,
                &[("/p", ME, 0o040_755)],
                (0, 0o755),
                "/p belongs to user 1000",
                0,
            ),
            (0, &[("/p", 0, 0o040_775)], (0, 0o755), "chmod g-w /p", 0),
            (0, &[("/p", 0, 0o040_777)], (0, 0o755), "chmod go-w /p", 0),
            (0, &[TMP, ("/tmp/p", 0, 0o040_755)], (0, 0o755), "", 0),
            (
                0,
                &[TMP, ("/tmp/p", ME, 0o040_755)],
                (0, 0o755),
                "/tmp/p belongs",
                0,
            ),
            // The bit protects only what belongs to somebody safe.
            (0, &[TMP], (ME, 0o755), "/p/a.so belongs", 0),
            (
                0,
                &[TMP, ("/tmp/p", 0, 0o040_777)],
                (0, 0o755),
                "chmod go-w /tmp/p",
                0,
            ),
            // A link's own mode means nothing, its owner does.
            (
                0,
                &[("/l", 0, 0o120_777), ("/", 0, 0o040_755)],
                (0, 0o755),
                "",
                0,
            ),
            (
                0,
                &[TMP, ("/tmp/l", ME, 0o120_777)],
                (0, 0o755),
                "/tmp/l belongs",
                0,
            ),
            (ME, &[("/p", ME, 0o040_755)], (ME, 0o755), "", 0),
            (ME, &[("/p", ME, 0o040_755)], (0, 0o755), "", 0),
            (ME, &[], (OTHER, 0o755), "belongs to user 1001", 0),
            (
                ME,
                &[("/p", OTHER, 0o040_755)],
                (ME, 0o755),
                "/p belongs to user 1001",
                0,
            ),
            (ME, &[], (ME, 0o757), "chmod o-w /p/a.so", 0),
            (
                ME,
                &[("/p", ME, 0o040_777)],
                (ME, 0o755),
                "chmod go-w /p",
                0,
            ),
            (ME, &[TMP], (ME, 0o755), "", 0),
            (ME, &[TMP], (OTHER, 0o755), "/p/a.so belongs", 0),
            (ME, &[("/p", ME, 0o040_775)], (ME, 0o775), "", 2),
            (
                ME,
                &[("/p", ME, 0o040_775), ("/p", ME, 0o040_775)],
                (ME, 0o755),
                "",
                1,
            ),
        ];
        for (index, (user, middle, file, refusal, warnings)) in table.iter().enumerate() {
            let trust = Trust {
                user: *user,
                is_of_root: *user == 0,
            };
            match judge(trust, &way(middle, *file)) {
                Ok(got) => {
                    assert_eq!(*refusal, "", "row {index} passes");
                    assert_eq!(got.len(), *warnings, "row {index}: {got:?}");
                }
                Err(got) => assert!(
                    !refusal.is_empty() && got.contains(refusal),
                    "row {index}: {got}"
                ),
            }
        }
    }

    #[test]
    fn a_server_that_root_has_started_is_as_strict_when_it_is_somebody_else() {
        let trust = Trust {
            user: ME,
            is_of_root: true,
        };
        assert_eq!(judge(trust, &way(&[], (0, 0o755))), Ok(vec![]));
        assert_eq!(judge(trust, &way(&[], (ME, 0o755))), Ok(vec![]));
        let refusal = judge(trust, &way(&[], (OTHER, 0o755))).unwrap_err();
        let wanted = "it must belong to root or user 1000: chown -h 0 /p/a.so";
        assert!(refusal.ends_with(wanted), "{refusal}");
        let refusal = judge(trust, &way(&[], (0, 0o775))).unwrap_err();
        assert!(refusal.contains("chmod g-w /p/a.so"), "{refusal}");
    }

    #[test]
    fn a_way_through_links_names_every_directory_on_it() {
        use std::os::unix::fs::symlink;
        let grounds = tempfile::tempdir().unwrap();
        let grounds = grounds.path().canonicalize().unwrap();
        std::fs::create_dir_all(grounds.join("real/deep")).unwrap();
        std::fs::write(grounds.join("real/a.so"), "").unwrap();
        symlink("real/deep", grounds.join("link")).unwrap();
        symlink("../a.so", grounds.join("real/deep/a.so")).unwrap();
        let steps = walk(&grounds.join("link/a.so")).unwrap();
        let below = steps
            .iter()
            .filter_map(|step| step.path.strip_prefix(&grounds).ok());
        let below: Vec<_> = below.map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            below,
            [
                "",
                "link",
                "",
                "real",
                "real/deep",
                "real/deep/a.so",
                "real/deep",
                "real",
                "real/a.so"
            ]
        );
        symlink("loop", grounds.join("loop")).unwrap();
        assert!(walk(&grounds.join("loop")).is_err());
        assert!(walk(&grounds.join("missing")).is_err());
    }
}
