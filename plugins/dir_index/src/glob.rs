//! Patterns for file names: `*` stands for any bytes, `?` for one; everything else for itself.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Box<[u8]>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.as_bytes().into())
    }

    /// Whether the whole name fits. Takes at most pattern times name steps: of several stars only
    /// the last one met is ever tried again.
    pub(crate) fn is_match(&self, name: &[u8]) -> bool {
        let pattern = &self.0;
        let (mut at, mut of_name) = (0, 0);
        let mut star = None;
        while of_name < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, of_name));
                    at += 1;
                }
                Some(&byte) if byte == b'?' || byte == name[of_name] => {
                    at += 1;
                    of_name += 1;
                }
                _ => {
                    let Some((star_at, taken)) = star else {
                        return false;
                    };
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    of_name = taken + 1;
                }
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, for short names.
    fn is_match(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| is_match(rest, &name[taken..])),
            (Some((byte, rest)), Some((first, name))) => {
                (*byte == b'?' || byte == first) && is_match(rest, name)
            }
            _ => false,
        }
    }

    /// All strings over an alphabet up to a length.
    fn strings(alphabet: &str, length_max: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut longest = all.clone();
        for _ in 0..length_max {
            longest = longest
                .iter()
                .flat_map(|string| alphabet.chars().map(move |char| format!("{string}{char}")))
                .collect();
            all.extend(longest.iter().cloned());
        }
        all
    }

    #[test]
    fn it_matches_what_the_definition_matches() {
        for pattern in strings("ab*?", 4) {
            for name in strings("abc", 4) {
                let expected = is_match(pattern.as_bytes(), name.as_bytes());
                let found = Glob::new(&pattern).is_match(name.as_bytes());
                assert_eq!(found, expected, "{pattern:?} and {name:?}");
            }
        }
    }

    #[test]
    fn usual_patterns_do_what_they_say() {
        assert!(Glob::new("*~").is_match(b"notes.txt~"));
        assert!(!Glob::new("*.bak").is_match(b"a.bak.txt"));
        assert!(Glob::new("core.?").is_match(b"core.7"));
    }
}
