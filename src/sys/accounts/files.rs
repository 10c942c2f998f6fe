//! Users and groups as `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)), for a program
//! without the C library's ways to ask.

#![cfg_attr(not(target_feature = "crt-static"), allow(dead_code))]

use super::User;
use std::io;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

pub(super) fn user(name: &str) -> io::Result<Option<User>> {
    let text = read(USERS)?;
    Ok(users(&text).find(|user| user.name == name))
}

pub(super) fn user_by_number(number: u32) -> io::Result<Option<User>> {
    let text = read(USERS)?;
    Ok(users(&text).find(|user| user.user == number))
}

pub(super) fn group(name: &str) -> io::Result<Option<u32>> {
    let text = read(GROUPS)?;
    Ok(groups(&text)
        .find(|group| group.name == name)
        .map(|group| group.number))
}

pub(super) fn groups_of(name: &str, first: u32) -> io::Result<Vec<u32>> {
    Ok(members(&read(GROUPS)?, name, first))
}

/// A file that is not there has no lines: such machines know numbers only.
fn read(path: &str) -> io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// `NAME:PASSWORD:UID:GID:…`
fn users(text: &str) -> impl Iterator<Item = User> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        Some(User {
            name: name.to_owned(),
            user: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    })
}

struct Group<'a> {
    name: &'a str,
    number: u32,
    members: &'a str,
}

/// `NAME:PASSWORD:GID:MEMBER,MEMBER`
fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        Some(Group {
            name,
            number: fields.next()?.parse().ok()?,
            members: fields.next().unwrap_or_default(),
        })
    })
}

fn members(text: &str, name: &str, first: u32) -> Vec<u32> {
    let mut numbers = vec![first];
    for group in groups(text) {
        let is_member = group.members.split(',').any(|member| member.trim() == name);
        if is_member && !numbers.contains(&group.number) {
            numbers.push(group.number);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let text = "root:x:0:0:root:/root:/bin/sh\n\n+::::::\n#a:b\nweb:x:33:34::/:\nbad:x:a:1\nshort:x:1\n";
        let found: Vec<(String, u32, u32)> = users(text)
            .map(|user| (user.name, user.user, user.group))
            .collect();
        assert_eq!(found, [("root".into(), 0, 0), ("web".into(), 33, 34)]);
    }

    #[test]
    fn groups_are_those_of_the_members() {
        let text = "a:x:1:web\nb:x:2:\nc:x:3:other,web\nd:x:4:webmaster\nbad:x:z:web\ne:x:1:web";
        assert_eq!(members(text, "web", 33), [33, 1, 3]);
        assert_eq!(members(text, "nobody", 33), [33]);
        assert_eq!(members(text, "", 33), [33, 2]);
    }

    #[test]
    fn both_ways_to_ask_agree_on_root() {
        assert_eq!(user("root").unwrap(), user_by_number(0).unwrap());
        #[cfg(not(target_feature = "crt-static"))]
        assert_eq!(
            user("root").unwrap(),
            crate::sys::accounts::library::user("root").unwrap()
        );
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(user("no-such-user").unwrap(), None);
    }
}
