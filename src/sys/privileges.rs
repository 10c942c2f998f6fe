//! Whom the process becomes, and that there is no way back.
//!
//! Everything here is done while there is one thread: the kernel keeps these things for each.

use super::raw;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, getegid, geteuid, getgroups, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody in the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What people call it.
    pub name: String,
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
    /// All groups, that one too.
    pub groups: Vec<u32>,
}

/// Whether root has started this process, which then became somebody else.
static IS_DROPPED: AtomicBool = AtomicBool::new(false);

/// Whose rights this process has.
#[must_use]
pub fn effective_user() -> u32 {
    geteuid().as_raw()
}

/// Whether this process is root's, or was when it was started.
#[must_use]
pub fn is_of_root() -> bool {
    IS_DROPPED.load(Ordering::Relaxed) || geteuid().is_root()
}

/// For a program that takes over from one that root has started and that became somebody else: no
/// one of the same user can look into it either, which exec(2) has changed.
///
/// # Errors
/// See prctl(2).
pub fn stay_dropped() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    IS_DROPPED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether root has started this process, which then became somebody else.
#[must_use]
pub fn is_dropped() -> bool {
    IS_DROPPED.load(Ordering::Relaxed)
}

/// Whether this process is in a group.
#[must_use]
pub fn is_in(group: u32) -> bool {
    let groups = getgroups().unwrap_or_default();
    getegid().as_raw() == group || groups.iter().any(|gid| gid.as_raw() == group)
}

/// Becomes `account`, for good: groups, group, user, in this order, because each step takes away
/// what the one before needs. No capability is left, none can be had by starting another program,
/// and processes of the same user (CGI programs, say) cannot look into this one.
///
/// # Errors
/// A step failed, or could be undone. The process must end then.
pub fn drop_to(account: &Account) -> io::Result<()> {
    if !raw::is_only_thread()? {
        return Err(io::Error::other("there is more than one thread"));
    }
    let gid = Gid::from_raw(account.group);
    let uid = Uid::from_raw(account.user);
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    empty_bounding_set();
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    rustix::thread::set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    verify(account, &groups)?;
    IS_DROPPED.store(true, Ordering::Relaxed);
    Ok(())
}

/// What a program that is started later can have at most. In a container this may be forbidden, and
/// `no_new_privs` serves the same end.
fn empty_bounding_set() {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    // Kernels before 4.3 have no ambient ones.
    let _ = rustix::thread::clear_ambient_capability_set();
}

fn verify(account: &Account, groups: &[Gid]) -> io::Result<()> {
    let fail = |what| Err(io::Error::other(what));
    if raw::user_ids()? != [account.user; 3] {
        return fail("the kernel kept a user");
    }
    if raw::group_ids()? != [account.group; 3] {
        return fail("the kernel kept a group");
    }
    let (mut wanted, mut got) = (groups.to_vec(), getgroups()?);
    wanted.sort_unstable_by_key(|gid| gid.as_raw());
    got.sort_unstable_by_key(|gid| gid.as_raw());
    wanted.dedup();
    got.dedup();
    if wanted != got {
        return fail("the kernel kept other groups");
    }
    let left = rustix::thread::capabilities(None)?;
    if !left.permitted.is_empty() || !left.effective.is_empty() {
        return fail("the kernel kept capabilities");
    }
    let root = Uid::from_raw(0);
    if rustix::thread::set_thread_res_uid(root, root, root).is_ok() {
        return fail("it could become root again");
    }
    Ok(())
}

/// Makes `directory` the root directory. The working directory is there as well, and nothing that
/// is open must be a directory outside.
///
/// # Errors
/// It is no directory, or this process is not root.
pub fn enter_jail(directory: &Path) -> io::Result<()> {
    super::file::keep_null()?;
    rustix::process::chroot(directory)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Makes a log that is not there, and gives it to `owner`, who must be able to open it anew. Whoever
/// could change the way to it could have this make a file elsewhere: see to it first.
///
/// # Errors
/// See open(2) and chown(2); that it is there already is none.
pub fn make_log(path: &Path, owner: &Account) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
    let file = match rustix::fs::open(path, flags, LOG_MODE) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    };
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    rustix::fs::fchown(&file, Some(user), Some(group))?;
    Ok(())
}

/// Who else reads logs is in the group.
const LOG_MODE: Mode = Mode::from_raw_mode(0o640);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_dropped_while_there_are_threads() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receiver.recv());
        let account = Account {
            name: "nobody".into(),
            user: 65_534,
            group: 65_534,
            groups: vec![65_534],
        };
        assert!(drop_to(&account).is_err());
        assert_ne!(effective_user(), 65_534);
        drop(sender);
        assert!(thread.join().unwrap().is_err());
    }

    #[test]
    fn a_log_is_made_for_its_owner_and_one_that_is_there_stays_whose_it_is() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let owner = Account {
            name: "somebody".into(),
            // Who is not root can give a file to nobody else.
            user: if effective_user() == 0 {
                4321
            } else {
                effective_user()
            },
            group: getegid().as_raw(),
            groups: Vec::new(),
        };
        make_log(&path, &owner).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (owner.user, 0o640));
        std::fs::write(&path, "line\n").unwrap();
        let other = Account {
            user: effective_user(),
            ..owner.clone()
        };
        make_log(&path, &other).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), owner.user);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\n");
        // A link is not followed to make something.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("target"), &link).unwrap();
        make_log(&link, &owner).unwrap();
        assert!(!directory.path().join("target").exists());
    }
}
