//! The rules: read once, then looked up for each request.
//!
//! Their order does not matter: an exact path beats a prefix, a longer prefix a shorter one, and no
//! path may be there twice.

use std::collections::HashMap;

use swiftd_plugin_rules::{Line, lines, parse_path, split_word};

use crate::location::Location;

/// More is a mistake: a prefix is looked for one by one.
const RULES_MAX: usize = 1000;

/// About as many as a browser follows.
const HOPS_MAX: usize = 10;

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is elsewhere.
    Moved {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where.
        to: Location,
    },
    /// It is no more.
    Gone,
}

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    exact: HashMap<Vec<u8>, Answer>,
    /// The longest first.
    prefixes: Vec<(Vec<u8>, Answer)>,
}

impl Rules {
    /// Reads the value of `rules`.
    ///
    /// # Errors
    /// A line is no rule, or leads to itself; the text names it.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for line in lines("rules", value) {
            rules.insert(line).map_err(|reason| line.error(reason))?;
        }
        rules
            .prefixes
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        for line in lines("rules", value) {
            rules
                .check_loop(line)
                .map_err(|reason| line.error(reason))?;
        }
        Ok(rules)
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// The answer for a path, with the part of the path that follows a prefix.
    #[must_use]
    pub(crate) fn find<'p>(&self, path: &'p [u8]) -> Option<(&Answer, &'p [u8])> {
        if let Some(answer) = self.exact.get(path) {
            return Some((answer, b""));
        }
        self.prefixes.iter().find_map(|(prefix, answer)| {
            let rest = path.strip_prefix(&prefix[..])?;
            let is_whole = prefix.ends_with(b"/") || matches!(rest, [] | [b'/', ..]);
            is_whole.then_some((answer, rest))
        })
    }

    fn insert(&mut self, line: Line<'_>) -> Result<(), String> {
        if self.exact.len() + self.prefixes.len() == RULES_MAX {
            return Err(format!("there are more than {RULES_MAX} rules"));
        }
        let (kind, path, answer) = parse_rule(line)?;
        let is_new = if kind == Kind::Exact {
            self.exact.insert(path, answer).is_none()
        } else {
            let is_new = self.prefixes.iter().all(|(other, _)| *other != path);
            self.prefixes.push((path, answer));
            is_new
        };
        if is_new {
            Ok(())
        } else {
            Err("there is already a rule for this path; remove one of them".into())
        }
    }

    /// Goes where a client would be sent, as far as that is on this server. What stands for all
    /// paths below a prefix is the prefix itself and one name below it.
    fn check_loop(&self, line: Line<'_>) -> Result<(), String> {
        let (kind, path, _) = parse_rule(line)?;
        let mut starts = vec![path.clone()];
        if kind == Kind::Prefix {
            let slash = if path.ends_with(b"/") { &b""[..] } else { b"/" };
            starts.push([&path, slash, b"x"].concat());
        }
        for mut path in starts {
            for _ in 0..=HOPS_MAX {
                let Some((Answer::Moved { to, .. }, rest)) = self.find(&path) else {
                    break;
                };
                let Some(base) = to.local_path() else { break };
                path = [&base, rest].concat();
            }
            let is_going_on = |(answer, _): (&Answer, &[u8])| matches!(answer, Answer::Moved { to, .. } if to.local_path().is_some());
            if self.find(&path).is_some_and(is_going_on) {
                return Err(format!(
                    "it leads to itself, or to more than {HOPS_MAX} redirects in a row"
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
}

fn parse_rule(line: Line<'_>) -> Result<(Kind, Vec<u8>, Answer), String> {
    let (word, rest) = line.split();
    let (path, rest) = split_word(rest);
    let kind = match word {
        "exact" | "gone" => Kind::Exact,
        "prefix" => Kind::Prefix,
        _ => return Err("a rule begins with 'exact', 'prefix' or 'gone'".into()),
    };
    if word == "gone" {
        if !rest.is_empty() {
            return Err("expected: gone PATH".into());
        }
        return Ok((kind, parse_path(path)?, Answer::Gone));
    }
    let (to, status) = split_word(rest);
    if to.is_empty() {
        return Err(format!("expected: {word} PATH LOCATION [STATUS]"));
    }
    let path = parse_path(path)?;
    let (to, status) = (Location::parse(to)?, parse_status(status)?);
    if kind == Kind::Prefix {
        check_prefix(&path, &to)?;
    }
    Ok((kind, path, Answer::Moved { status, to }))
}

fn parse_status(text: &str) -> Result<u16, String> {
    match text {
        "" | "301" => Ok(301),
        "302" => Ok(302),
        "303" => Ok(303),
        "307" => Ok(307),
        "308" => Ok(308),
        _ => Err(format!(
            "{text:?} is no status; expected 301, 302, 303, 307 or 308"
        )),
    }
}

/// The rest of the path is appended as it is: with one slash too few `https://a.example` and
/// `evil.org` would become a host of somebody else.
fn check_prefix(path: &[u8], to: &Location) -> Result<(), String> {
    if !to.is_open() {
        return Err("the rest of the path is appended: no '?' and no '#' may be there".into());
    }
    if path.ends_with(b"/") != to.ends_with_slash() {
        return Err("the rest of the path is appended: end both with '/', or none of them".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_beats_prefix_and_the_longest_prefix_wins() {
        let rules = Rules::parse(
            "prefix / https://h/\nprefix /a/ /A/ 302\nprefix /a/b /B 307\nexact /a/b/c /C 308\ngone /a/no",
        )
        .unwrap();
        for (path, status, url) in [
            ("/", 301, "https://h/"),
            ("/a", 301, "https://h/a"),
            ("/a/", 302, "/A/"),
            ("/a/x/y", 302, "/A/x/y"),
            ("/a/b", 307, "/B"),
            ("/a/b/", 307, "/B/"),
            ("/a/b/d", 307, "/B/d"),
            ("/a/bc", 302, "/A/bc"),
            ("/a/b/c", 308, "/C"),
        ] {
            let (answer, rest) = rules.find(path.as_bytes()).unwrap();
            let Answer::Moved { status: found, to } = answer else {
                panic!("{path}: {answer:?}");
            };
            assert_eq!(
                (*found, &to.url(rest, None)[..]),
                (status, url.as_bytes()),
                "{path}"
            );
        }
        assert_eq!(rules.find(b"/a/no"), Some((&Answer::Gone, &b""[..])));
        assert_eq!(rules.find(b"*"), None);
        assert!(Rules::parse("# none").unwrap().is_empty());
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_line() {
        for (rules, line, reason) in [
            ("rewrite /a /b", 1, "'exact', 'prefix' or 'gone'"),
            ("\nexact /a", 2, "expected: exact PATH"),
            ("exact a /b", 1, "must begin with '/'"),
            ("exact /a b", 1, "must begin with"),
            ("exact /a /b 300", 1, "no status"),
            ("exact /a /b 301 x", 1, "no status"),
            ("gone /a /b", 1, "expected: gone PATH"),
            ("exact /a /b\ngone /a", 2, "already"),
            ("prefix /a/ /b/\nprefix /a/ /c/", 2, "already"),
            ("prefix /a https://h/", 1, "end both"),
            ("prefix /a/ https://h", 1, "end both"),
            ("prefix / https://h.example", 1, "end both"),
            ("prefix /a /b?c", 1, "no '?'"),
        ] {
            let error = Rules::parse(rules).unwrap_err();
            assert!(
                error.starts_with(&format!("rules: line {line}: ")),
                "{error}"
            );
            assert!(error.contains(reason), "{rules}: {error}");
        }
    }

    #[test]
    fn loops_are_refused_and_what_ends_is_not() {
        for rules in [
            "exact /a /a",
            "exact /a /a?b",
            "exact /a /%61",
            "exact /a /b\nexact /b /a",
            "prefix /a/ /a/b/",
            "prefix / /new/",
            "prefix /a /b\nprefix /b /a",
            "prefix /a/ /b/\nexact /b/ /a/",
        ] {
            let error = Rules::parse(rules).unwrap_err();
            assert!(error.contains("leads to itself"), "{rules}: {error}");
        }
        for rules in [
            "exact /a /b\nexact /b /c",
            "exact /a /a/",
            "prefix /a/a/ /a/",
            "prefix / https://h/\nexact /a /b",
            "exact / /index.html",
            "exact /a /b\ngone /b",
        ] {
            assert!(Rules::parse(rules).is_ok(), "{rules}");
        }
    }

    #[test]
    fn the_number_of_rules_is_bounded() {
        let rules = |count| {
            (0..count)
                .map(|n| format!("gone /{n}\n"))
                .collect::<String>()
        };
        assert!(Rules::parse(&rules(RULES_MAX)).is_ok());
        assert!(
            Rules::parse(&rules(RULES_MAX + 1))
                .unwrap_err()
                .contains("more than")
        );
    }
}
