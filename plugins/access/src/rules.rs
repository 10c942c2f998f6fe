//! The rules: who may ask for which paths.

use swiftd_plugin_rules::{Line, Prefix, lines, split_word};

use crate::network::{Network, Peer};

/// All of them are looked at for each request until one fits; so many take some microseconds.
const RULES_MAX: usize = 4096;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
}

#[derive(Clone, Debug)]
struct Rule {
    paths: Prefix,
    verdict: Verdict,
    network: Network,
}

/// All rules in their order, and what holds if none fits.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    default: Verdict,
}

impl Rules {
    /// Reads the values of `rules` and `default`.
    ///
    /// # Errors
    /// A line is no rule, or nobody would ever be denied; the text says so.
    pub(crate) fn parse(value: &str, default: Option<&str>) -> Result<Self, String> {
        let default = match default.map(str::trim) {
            None => Verdict::Allow,
            Some(text) => parse_verdict(text).ok_or_else(|| {
                format!("default: not understood: {text:?}; expected \"allow\" or \"deny\"")
            })?,
        };
        let mut rules = Vec::new();
        for line in lines("rules", value) {
            if rules.len() == RULES_MAX {
                return Err(line.error(format_args!("there are more than {RULES_MAX} rules")));
            }
            rules.push(Rule::parse(line).map_err(|reason| line.error(reason))?);
        }
        if default == Verdict::Allow && rules.iter().all(|rule| rule.verdict == Verdict::Allow) {
            return Err(
                "rules: nobody would ever be denied; add a rule such as \"deny all\" at the end, or \
                 set default = \"deny\""
                    .into(),
            );
        }
        Ok(Self { rules, default })
    }

    /// The first rule that fits decides.
    pub(crate) fn verdict(&self, path: &[u8], peer: Peer) -> Verdict {
        self.rules
            .iter()
            .find(|rule| rule.network.contains(peer) && rule.paths.contains(path))
            .map_or(self.default, |rule| rule.verdict)
    }
}

impl Rule {
    fn parse(line: Line<'_>) -> Result<Self, String> {
        let (mut word, mut rest) = line.split();
        let mut paths = Prefix::ALL;
        if word.starts_with('/') {
            paths = Prefix::parse(word)?;
            (word, rest) = split_word(rest);
        }
        let (Some(verdict), false) = (
            parse_verdict(word),
            rest.is_empty() || rest.contains(char::is_whitespace),
        ) else {
            return Err("expected: [/PREFIX] allow|deny ADDRESS[/BITS]|all|unix".into());
        };
        let network = Network::parse(rest)?;
        Ok(Self {
            paths,
            verdict,
            network,
        })
    }
}

fn parse_verdict(text: &str) -> Option<Verdict> {
    match text {
        "allow" => Some(Verdict::Allow),
        "deny" => Some(Verdict::Deny),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = Rules::parse(
            "deny 192.0.2.66\n/admin allow 192.0.2.0/24\n/admin allow unix\n/admin deny all\n\
             deny 203.0.113.0/24",
            None,
        )
        .unwrap();
        for (path, peer, verdict) in [
            ("/", "192.0.2.66:1", Verdict::Deny),
            ("/admin", "192.0.2.66:1", Verdict::Deny),
            ("/admin/x", "192.0.2.1:1", Verdict::Allow),
            ("/admin/x", "unix:", Verdict::Allow),
            ("/admin/x", "198.51.100.1:1", Verdict::Deny),
            ("/administrator", "198.51.100.1:1", Verdict::Allow),
            ("/", "198.51.100.1:1", Verdict::Allow),
            ("/", "203.0.113.5:1", Verdict::Deny),
            ("*", "203.0.113.5:1", Verdict::Deny),
        ] {
            let peer = Peer::parse(peer.as_bytes()).unwrap();
            assert_eq!(
                rules.verdict(path.as_bytes(), peer),
                verdict,
                "{path} {peer:?}"
            );
        }
    }

    #[test]
    fn the_default_holds_for_the_others() {
        let peer = Peer::parse(b"192.0.2.1:1").unwrap();
        for (rules, default, verdict) in [
            ("deny ::1", None, Verdict::Allow),
            ("deny ::1", Some("allow"), Verdict::Allow),
            ("allow ::1", Some("deny"), Verdict::Deny),
            ("", Some(" deny\n"), Verdict::Deny),
        ] {
            let rules = Rules::parse(rules, default).unwrap();
            assert_eq!(rules.verdict(b"/", peer), verdict);
        }
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_line() {
        for (rules, line, reason) in [
            ("permit all", 1, "expected: [/PREFIX]"),
            ("\nallow", 2, "expected: [/PREFIX]"),
            ("/a", 1, "expected: [/PREFIX]"),
            ("allow all /a", 1, "expected: [/PREFIX]"),
            ("a allow all", 1, "expected: [/PREFIX]"),
            ("/a/./b deny all", 1, "resolved"),
            ("deny 192.0.2.1/24", 1, "expected 192.0.2.0/24"),
        ] {
            let error = Rules::parse(rules, None).unwrap_err();
            assert!(
                error.starts_with(&format!("rules: line {line}: ")),
                "{error}"
            );
            assert!(error.contains(reason), "{rules}: {error}");
        }
        let error = Rules::parse("deny all", Some("no")).unwrap_err();
        assert!(error.contains("expected \"allow\" or \"deny\""), "{error}");
        let many = "deny ::1\n".repeat(RULES_MAX + 1);
        assert!(Rules::parse(&many, None).unwrap_err().contains("more than"));
    }

    #[test]
    fn rules_that_deny_nobody_are_refused() {
        for rules in ["", "allow 192.0.2.0/24"] {
            let error = Rules::parse(rules, None).unwrap_err();
            assert!(error.contains("default = \"deny\""), "{error}");
        }
    }
}
