//! Users and groups, by name or by number.
//!
//! The C library asks whatever the machine is set up for (files, LDAP, systemd). A static program
//! has no such library, and reads `/etc/passwd` and `/etc/group`.

#[cfg(any(test, target_feature = "crt-static"))]
mod files;
#[cfg(not(target_feature = "crt-static"))]
mod library;

use super::privileges::Account;
#[cfg(target_feature = "crt-static")]
use files as database;
#[cfg(not(target_feature = "crt-static"))]
use library as database;
use std::fmt;
use std::io;

/// A user, as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    user: u32,
    group: u32,
}

/// Why there is no such account.
#[derive(Debug)]
pub enum Error {
    /// Nobody is called so.
    User(String),
    /// No group is called so.
    Group(String),
    /// A number that is not in the database, so its group is not known.
    GroupWanted(u32),
    /// The database does not answer.
    System(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(
                f,
                "there is no user {name:?}; make it (useradd --system {0}) or name another",
                name.escape_debug()
            ),
            Self::Group(name) => write!(
                f,
                "there is no group {name:?}; make it (groupadd --system {0}) or name another",
                name.escape_debug()
            ),
            Self::GroupWanted(user) => write!(
                f,
                "user {user} is not in the user database, so a group must be set as well"
            ),
            Self::System(error) => write!(f, "cannot read the user database: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Finds a user, with the groups that it is in. `group` is instead of its own.
///
/// # Errors
/// There is no such user or group.
pub fn find(user: &str, group: Option<&str>) -> Result<Account, Error> {
    let known = match number(user) {
        Some(number) => database::user_by_number(number)?,
        None => Some(database::user(user)?.ok_or_else(|| Error::User(user.to_owned()))?),
    };
    let group = match group {
        None => None,
        Some(text) => Some(match number(text) {
            Some(number) => number,
            None => database::group(text)?.ok_or_else(|| Error::Group(text.to_owned()))?,
        }),
    };
    if let Some(known) = known {
        let group = group.unwrap_or(known.group);
        let mut groups = database::groups_of(&known.name, group)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
        return Ok(Account {
            name: known.name,
            user: known.user,
            group,
            groups,
        });
    }
    // Not a name, or it would have been an error before.
    let user = number(user).ok_or_else(|| Error::User(user.to_owned()))?;
    let group = group.ok_or(Error::GroupWanted(user))?;
    Ok(Account {
        name: user.to_string(),
        user,
        group,
        groups: vec![group],
    })
}

/// A name is never all digits (useradd(8)). The largest number means "nobody is meant" to the
/// kernel.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.filter(|&number| number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_by_number() {
        for user in ["root", "0"] {
            let root = find(user, None).unwrap();
            assert_eq!((&*root.name, root.user, root.group), ("root", 0, 0));
            assert!(root.groups.contains(&0));
        }
        let other = find("root", Some("4321")).unwrap();
        assert_eq!((other.user, other.group), (0, 4321));
        assert!(other.groups.contains(&4321));
    }

    #[test]
    fn who_is_not_there_is_named_with_the_cure() {
        for (user, group, wanted) in [
            (
                "no-such-user",
                None,
                "there is no user \"no-such-user\"; make it",
            ),
            (
                "root",
                Some("no-such-group"),
                "there is no group \"no-such-group\"; make it",
            ),
            ("3999999999", None, "a group must be set as well"),
            ("99999999999", None, "there is no user"),
            ("", None, "there is no user"),
            ("a\0b", None, "there is no user"),
        ] {
            let said = find(user, group).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
        let stranger = find("3999999999", Some("7")).unwrap();
        assert_eq!((stranger.user, stranger.group), (3_999_999_999, 7));
        assert_eq!(stranger.groups, [7]);
    }
}
