//! The rules: which field is changed for which paths.

use swiftd_plugin_rules::{Line, Prefix, lines, parse_path, split_word};

/// More is a mistake: all of them are looked at for each request.
const RULES_MAX: usize = 1000;

/// The longest value, bytes. The head of a response has to fit what clients take, often 8 KiB.
const VALUE_BYTES_MAX: usize = 4096;

/// Written by the server alone: framing, the connection, and what all responses have.
const OF_THE_SERVER: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    paths: Paths,
    /// What is done.
    pub(crate) change: Change,
    /// A token.
    pub(crate) name: String,
    /// Empty for `remove`.
    pub(crate) value: String,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has this value and no other.
    Set,
    /// It has this value too.
    Add,
    /// There is none.
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    Below(Prefix),
    Exactly(Vec<u8>),
    EndingWith(Vec<u8>),
}

impl Rule {
    /// Reads the value of `rules`.
    ///
    /// # Errors
    /// A line is no rule; the text names it.
    pub(crate) fn parse_all(value: &str) -> Result<Vec<Self>, String> {
        let mut rules = Vec::new();
        for line in lines("rules", value) {
            if rules.len() == RULES_MAX {
                return Err(line.error(format_args!("there are more than {RULES_MAX} rules")));
            }
            rules.push(Self::parse(line).map_err(|reason| line.error(reason))?);
        }
        Ok(rules)
    }

    /// Whether it is meant for a path.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match &self.paths {
            Paths::Below(prefix) => prefix.contains(path),
            Paths::Exactly(exact) => path == exact,
            Paths::EndingWith(suffix) => path.ends_with(suffix),
        }
    }

    fn parse(line: Line<'_>) -> Result<Self, String> {
        let (word, rest) = line.split();
        let change = match word {
            "set" => Change::Set,
            "add" => Change::Add,
            "remove" => Change::Remove,
            _ => return Err("a rule begins with 'set', 'add' or 'remove'".into()),
        };
        let (paths, rest) = split_word(rest);
        let (name, value) = split_word(rest);
        if name.is_empty() {
            return Err(format!(
                "expected: {word} PATHS NAME VALUE (remove: no VALUE)"
            ));
        }
        let paths = parse_paths(paths)?;
        check_name(name)?;
        check_value(change, value)?;
        Ok(Self {
            paths,
            change,
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

fn parse_paths(text: &str) -> Result<Paths, String> {
    if let Some(suffix) = text.strip_prefix('*') {
        if suffix.is_empty() || suffix.contains(['/', '*', '?', '%']) {
            return Err(format!(
                "{text:?}: after '*' stands the end of a file name, such as '*.css'"
            ));
        }
        return Ok(Paths::EndingWith(suffix.into()));
    }
    if let Some(exact) = text.strip_prefix('=') {
        return parse_path(exact).map(Paths::Exactly);
    }
    if text.starts_with('/') {
        return Prefix::parse(text).map(Paths::Below);
    }
    Err(format!(
        "{text:?} names no paths; expected '/PREFIX', '=/EXACT' or '*.SUFFIX'"
    ))
}

/// A token (RFC 9110 §5.6.2) that is not the server's.
fn check_name(name: &str) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no field name; write it without ':'"));
    }
    if OF_THE_SERVER
        .iter()
        .any(|other| other.eq_ignore_ascii_case(name))
    {
        return Err(format!("{name}: this field is the server's own"));
    }
    Ok(())
}

/// Visible characters with spaces and tabs between them (RFC 9110 §5.5).
fn check_value(change: Change, value: &str) -> Result<(), String> {
    let reason = match (change, value) {
        (Change::Remove, "") => return Ok(()),
        (Change::Remove, _) => "remove takes no value; all fields of the name go",
        (_, "") => "the value is missing",
        _ if value.len() > VALUE_BYTES_MAX => "the value is longer than 4096 bytes",
        _ if value
            .bytes()
            .any(|byte| byte != b'\t' && byte.is_ascii_control()) =>
        {
            "the value has a control byte"
        }
        _ => return Ok(()),
    };
    Err(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_a_prefix_exact_or_a_suffix() {
        for (paths, matching, others) in [
            ("/", &["/", "/a", "*"][..], &[][..]),
            ("/a", &["/a", "/a/b"], &["/", "/ab"]),
            ("/a/", &["/a", "/a/b"], &["/ab"]),
            ("=/a%20b", &["/a b"], &["/a b/", "/a%20b", "/"]),
            (
                "*.css",
                &["/a.css", "/.css"],
                &["/a.css/", "/css", "/a.CSS"],
            ),
            ("*.tar.gz", &["/a.tar.gz"], &["/a.gz"]),
        ] {
            let rule = &Rule::parse_all(&format!("set {paths} X-A b")).unwrap()[0];
            for path in matching {
                assert!(rule.matches(path.as_bytes()), "{paths} {path}");
            }
            for path in others {
                assert!(!rule.matches(path.as_bytes()), "{paths} {path}");
            }
        }
    }

    #[test]
    fn the_value_is_the_rest_of_the_line() {
        let value =
            "set / Content-Security-Policy  default-src 'self';  img-src *  \nremove /x ETag";
        let rules = Rule::parse_all(value).unwrap();
        assert_eq!(rules[0].value, "default-src 'self';  img-src *");
        assert_eq!(rules[0].name, "Content-Security-Policy");
        assert_eq!((rules[1].change, &rules[1].value[..]), (Change::Remove, ""));
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_line() {
        let long = format!("set / X-A {}", "b".repeat(VALUE_BYTES_MAX + 1));
        for (rules, line, reason) in [
            ("put / X-A b", 1, "'set', 'add' or 'remove'"),
            ("set /", 1, "expected: set PATHS NAME"),
            ("set / X-A", 1, "value is missing"),
            ("# a\n\nset / X-A: b", 3, "without ':'"),
            ("set X-A b c", 1, "names no paths"),
            ("set a.css X-A b", 1, "names no paths"),
            ("set * X-A b", 1, "such as '*.css'"),
            ("set *a/b X-A b", 1, "such as '*.css'"),
            ("set =a X-A b", 1, "must begin with '/'"),
            ("set /a/../b X-A b", 1, "resolved"),
            ("set / X-ä b", 1, "no field name"),
            ("set / X-A b\u{1}c", 1, "control byte"),
            ("set / X-A b\rc", 1, "control byte"),
            ("remove / X-A b", 1, "takes no value"),
            (&long, 1, "4096"),
        ] {
            let error = Rule::parse_all(rules).unwrap_err();
            assert!(
                error.starts_with(&format!("rules: line {line}: ")),
                "{error}"
            );
            assert!(error.contains(reason), "{rules}: {error}");
        }
    }

    #[test]
    fn what_is_the_servers_cannot_be_changed() {
        for name in OF_THE_SERVER {
            for rule in [
                format!("remove / {}", name.to_uppercase()),
                format!("set / {name} 1"),
            ] {
                let error = Rule::parse_all(&rule).unwrap_err();
                assert!(error.contains("the server's own"), "{error}");
            }
        }
        assert!(Rule::parse_all("set / Content-Type text/plain; charset=utf-8").is_ok());
        let many = "add / X-A b\n".repeat(RULES_MAX + 1);
        assert!(Rule::parse_all(&many).unwrap_err().contains("more than"));
    }
}
