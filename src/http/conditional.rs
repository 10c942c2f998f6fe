//! Conditional requests: the four preconditions and If-Range against the validators of a
//! representation (RFC 9110 §13).
//!
//! It must not know files or methods beyond "GET or HEAD": the caller has found a representation,
//! would answer with 2xx, and only then asks (§13.2.1). So `*` always matches here.
//!
//! Invariant: a malformed entity tag matches nothing and a malformed date is as absent (§13.1.3), so
//! neither turns a full response into a 304 or into a part of something else.

use super::date;

/// The validators of the selected representation (RFC 9110 §8.8).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// The value of its ETag field with its quotes, and `W/` if it is weak (RFC 9110 §8.8.3).
    pub etag: Option<&'a [u8]>,
    /// Its Last-Modified, in seconds of the Unix epoch (RFC 9110 §8.8.2).
    pub last_modified: Option<u64>,
}

/// The values of the precondition fields of a request, each with its lines combined
/// (RFC 9110 §13.1).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions<'a> {
    /// If-Match (RFC 9110 §13.1.1).
    pub if_match: Option<&'a [u8]>,
    /// If-None-Match (RFC 9110 §13.1.2).
    pub if_none_match: Option<&'a [u8]>,
    /// If-Modified-Since (RFC 9110 §13.1.3).
    pub if_modified_since: Option<&'a [u8]>,
    /// If-Unmodified-Since (RFC 9110 §13.1.4).
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// What the preconditions say (RFC 9110 §13.2.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The method is to be performed.
    Proceed,
    /// The client has this representation already: 304.
    NotModified,
    /// The representation is not the one that the client meant: 412.
    Failed,
}

/// Evaluates the preconditions in the order that the RFC prescribes (RFC 9110 §13.2.2).
pub fn evaluate(
    preconditions: &Preconditions<'_>,
    validators: &Validators<'_>,
    is_get_or_head: bool,
) -> Outcome {
    // Steps 1 and 2: was the representation that the client wants to act on replaced?
    let is_replaced = match (preconditions.if_match, preconditions.if_unmodified_since) {
        (Some(value), _) => !lists_match(value, validators.etag, Comparison::Strong),
        (None, Some(value)) => is_modified_since(value, validators).unwrap_or(false),
        (None, None) => false,
    };
    if is_replaced {
        return Outcome::Failed;
    }
    // Steps 3 and 4: does the client have it? If-Modified-Since is for those who do not know entity
    // tags, and for GET and HEAD alone.
    match (preconditions.if_none_match, preconditions.if_modified_since) {
        (Some(value), _) if lists_match(value, validators.etag, Comparison::Weak) => {
            if is_get_or_head {
                Outcome::NotModified
            } else {
                Outcome::Failed
            }
        }
        (None, Some(value)) if is_get_or_head => match is_modified_since(value, validators) {
            Some(false) => Outcome::NotModified,
            Some(true) | None => Outcome::Proceed,
        },
        _ => Outcome::Proceed,
    }
}

/// Whether an If-Range names exactly this representation, so that its Range may be applied
/// (RFC 9110 §13.1.5).
///
/// An entity tag must match strongly. A date must be the same second; that the clock had left that
/// second when it was sent, which makes it a strong validator (§8.8.2.2), is for the caller to
/// know.
pub fn if_range_holds(value: &[u8], validators: &Validators<'_>) -> bool {
    match EntityTag::parse(value) {
        Some((tag, [])) => {
            own_tag(validators.etag).is_some_and(|own| Comparison::Strong.holds(tag, own))
        }
        Some(_) => false,
        None => {
            validators.last_modified.is_some() && date::parse(value) == validators.last_modified
        }
    }
}

/// `None` if there is no date on one of the two sides: the field is then ignored
/// (RFC 9110 §13.1.3, §13.1.4).
fn is_modified_since(value: &[u8], validators: &Validators<'_>) -> Option<bool> {
    Some(validators.last_modified? > date::parse(value)?)
}

/// Whether `"*" / #entity-tag` has a match for our tag (RFC 9110 §13.1.1 and §13.1.2). The list
/// ends where it is malformed, and what does not match there is as absent.
fn lists_match(value: &[u8], own: Option<&[u8]>, comparison: Comparison) -> bool {
    if value.trim_ascii() == b"*" {
        return true;
    }
    let Some(own) = own_tag(own) else {
        return false;
    };
    let mut rest = value;
    loop {
        // OWS, commas and empty elements (RFC 9110 §5.6.1.2).
        let start = rest.iter().position(|byte| !b" \t,".contains(byte));
        let Some((tag, after)) = start.and_then(|start| EntityTag::parse(&rest[start..])) else {
            return false;
        };
        let after = after.trim_ascii_start();
        if !matches!(after, [] | [b',', ..]) {
            return false;
        }
        if comparison.holds(tag, own) {
            return true;
        }
        rest = after;
    }
}

fn own_tag(etag: Option<&[u8]>) -> Option<EntityTag<'_>> {
    // A plugin may have set an ETag that is none; it then matches nothing.
    EntityTag::parse(etag?)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(tag, _)| tag)
}

/// The two ways to compare entity tags (RFC 9110 §8.8.3.2).
#[derive(Copy, Clone)]
enum Comparison {
    Strong,
    Weak,
}

impl Comparison {
    fn holds(self, a: EntityTag<'_>, b: EntityTag<'_>) -> bool {
        let is_comparable = match self {
            Self::Strong => !a.is_weak && !b.is_weak,
            Self::Weak => true,
        };
        is_comparable && a.opaque == b.opaque
    }
}

/// `entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE` (RFC 9110 §8.8.3).
#[derive(Copy, Clone)]
struct EntityTag<'a> {
    is_weak: bool,
    /// What stands between the quotes; a comma or a backslash means nothing there.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The tag at the beginning of the bytes, and what follows it.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (is_weak, quoted) = match bytes {
            [b'W', b'/', quoted @ ..] => (true, quoted),
            quoted => (false, quoted),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = memchr::memchr(b'"', inner)?;
        let (opaque, rest) = inner.split_at(length);
        let is_etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        opaque
            .iter()
            .all(is_etagc)
            .then_some((Self { is_weak, opaque }, &rest[1..]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const STRONG: Validators<'_> = Validators {
        etag: Some(b"\"a\""),
        last_modified: Some(784_111_777),
    };
    const WEAK: Validators<'_> = Validators {
        etag: Some(b"W/\"a\""),
        ..STRONG
    };
    const NONE: Validators<'_> = Validators {
        etag: None,
        last_modified: None,
    };

    /// Preconditions from lines such as `INM "a"`; `IM`, `INM`, `IMS`, `IUS`.
    fn preconditions<'a>(fields: &[(&str, &'a str)]) -> Preconditions<'a> {
        let mut preconditions = Preconditions::default();
        for (name, value) in fields {
            let field = match *name {
                "IM" => &mut preconditions.if_match,
                "INM" => &mut preconditions.if_none_match,
                "IMS" => &mut preconditions.if_modified_since,
                "IUS" => &mut preconditions.if_unmodified_since,
                _ => panic!("{name}"),
            };
            *field = Some(value.as_bytes());
        }
        preconditions
    }

    #[test]
    fn lists_of_tags_are_compared() {
        // Value, then whether it matches "a" strongly and weakly.
        for (value, is_strong, is_weak) in [
            ("*", true, true),
            (" * ", true, true),
            ("\"a\"", true, true),
            ("W/\"a\"", false, true),
            ("\"b\"", false, false),
            ("\"A\"", false, false),
            ("\"b\", \"a\"", true, true),
            (" ,, \"b\"\t,\"x,y\" , \"a\" ,", true, true),
            ("\"b\",W/\"a\"", false, true),
            ("W/\"a\", \"a\"", true, true),
            ("", false, false),
            (",", false, false),
            ("a", false, false),
            ("\"a", false, false),
            ("\"a\"b", false, false),
            ("\"b\" \"a\"", false, false),
            ("w/\"a\"", false, false),
            ("W/ \"a\"", false, false),
            ("b, \"a\"", false, false),
            ("\"b c\", \"a\"", false, false),
            ("\"b\", *", false, false),
            ("\"b\\\"a\"", false, false),
            ("**", false, false),
        ] {
            let matches = |validators: &Validators<'_>, comparison| {
                lists_match(value.as_bytes(), validators.etag, comparison)
            };
            assert_eq!(matches(&STRONG, Comparison::Strong), is_strong, "{value}");
            assert_eq!(matches(&STRONG, Comparison::Weak), is_weak, "{value}");
            assert_eq!(matches(&WEAK, Comparison::Weak), is_weak, "{value}");
            let is_star = value.trim() == "*";
            assert_eq!(matches(&WEAK, Comparison::Strong), is_star, "{value}");
            assert_eq!(matches(&NONE, Comparison::Weak), is_star, "{value}");
        }
    }

    #[test]
    fn preconditions_are_evaluated_in_order() {
        use Outcome::{Failed, NotModified, Proceed};
        // The fields, then the outcome for GET and for another method.
        type Fields = &'static [(&'static str, &'static str)];
        let cases: &[(Fields, Outcome, Outcome)] = &[
            (&[], Proceed, Proceed),
            (&[("IM", "\"a\"")], Proceed, Proceed),
            (&[("IM", "\"b\"")], Failed, Failed),
            (&[("IM", "W/\"a\"")], Failed, Failed),
            (&[("IM", "garbage")], Failed, Failed),
            (&[("INM", "\"a\"")], NotModified, Failed),
            (&[("INM", "W/\"a\"")], NotModified, Failed),
            (&[("INM", "*")], NotModified, Failed),
            (&[("INM", "\"b\"")], Proceed, Proceed),
            (&[("INM", "garbage")], Proceed, Proceed),
            (&[("IMS", BEFORE)], Proceed, Proceed),
            (&[("IMS", SAME)], NotModified, Proceed),
            (&[("IMS", AFTER)], NotModified, Proceed),
            (
                &[("IMS", "Sunday, 06-Nov-94 08:49:37 GMT")],
                NotModified,
                Proceed,
            ),
            (&[("IMS", "garbage")], Proceed, Proceed),
            (&[("IUS", BEFORE)], Failed, Failed),
            (&[("IUS", SAME)], Proceed, Proceed),
            (&[("IUS", AFTER)], Proceed, Proceed),
            (&[("IUS", "garbage")], Proceed, Proceed),
            // If-Match decides without If-Unmodified-Since, If-None-Match without
            // If-Modified-Since.
            (&[("IM", "\"a\""), ("IUS", BEFORE)], Proceed, Proceed),
            (&[("IM", "\"b\""), ("IUS", AFTER)], Failed, Failed),
            (&[("INM", "\"b\""), ("IMS", AFTER)], Proceed, Proceed),
            (&[("INM", "\"a\""), ("IMS", BEFORE)], NotModified, Failed),
            // The first pair comes before the second.
            (&[("IM", "\"b\""), ("INM", "\"a\"")], Failed, Failed),
            (&[("IM", "\"a\""), ("INM", "\"a\"")], NotModified, Failed),
            (&[("IUS", BEFORE), ("IMS", SAME)], Failed, Failed),
            (&[("IUS", SAME), ("IMS", SAME)], NotModified, Proceed),
            (&[("IUS", AFTER), ("INM", "\"a\"")], NotModified, Failed),
        ];
        for (fields, for_get, for_other) in cases {
            let preconditions = preconditions(fields);
            assert_eq!(
                evaluate(&preconditions, &STRONG, true),
                *for_get,
                "{fields:?}"
            );
            assert_eq!(
                evaluate(&preconditions, &STRONG, false),
                *for_other,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn fields_without_a_validator_to_compare_with() {
        let outcome = |fields: &[_]| evaluate(&preconditions(fields), &NONE, true);
        assert_eq!(outcome(&[("IMS", AFTER)]), Outcome::Proceed);
        assert_eq!(outcome(&[("IUS", BEFORE)]), Outcome::Proceed);
        assert_eq!(outcome(&[("INM", "\"a\"")]), Outcome::Proceed);
        assert_eq!(outcome(&[("IM", "\"a\"")]), Outcome::Failed);
    }

    #[test]
    fn if_range_needs_the_very_same_representation() {
        for (value, expected) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("\"a\", \"b\"", false),
            ("\"a\" ", false),
            ("*", false),
            ("", false),
            (SAME, true),
            ("Sunday, 06-Nov-94 08:49:37 GMT", true),
            ("Sun Nov  6 08:49:37 1994", true),
            (BEFORE, false),
            (AFTER, false),
            ("garbage", false),
        ] {
            assert_eq!(
                if_range_holds(value.as_bytes(), &STRONG),
                expected,
                "{value}"
            );
            assert!(!if_range_holds(value.as_bytes(), &NONE), "{value}");
            let with_weak = expected && !value.starts_with('"');
            assert_eq!(
                if_range_holds(value.as_bytes(), &WEAK),
                with_weak,
                "{value}"
            );
        }
    }

    proptest! {
        /// The oracle keeps the list as values and never looks at bytes.
        #[test]
        fn well_formed_lists_match_when_an_element_does(
            tags in prop::collection::vec((any::<bool>(), "[!a,\\\\]{0,2}"), 0..5),
            own in (any::<bool>(), "[!a,\\\\]{0,2}"),
            separator in "[ \t]{0,2},[ \t,]{0,2}",
        ) {
            let written = |(is_weak, opaque): &(bool, String)| {
                format!("{}\"{opaque}\"", if *is_weak { "W/" } else { "" })
            };
            let value = tags.iter().map(written).collect::<Vec<_>>().join(&separator);
            let own_text = written(&own);
            let matches = |comparison| {
                lists_match(value.as_bytes(), Some(own_text.as_bytes()), comparison)
            };
            let is_weak = tags.iter().any(|tag| tag.1 == own.1);
            let is_strong = tags.iter().any(|tag| !tag.0 && !own.0 && tag.1 == own.1);
            prop_assert_eq!(matches(Comparison::Weak), is_weak);
            prop_assert_eq!(matches(Comparison::Strong), is_strong);
        }

        #[test]
        fn any_bytes_return(value in "[Wa/\" ,*]{0,16}") {
            let some = Some(value.as_bytes());
            let all = Preconditions {
                if_match: some,
                if_none_match: some,
                if_modified_since: some,
                if_unmodified_since: some,
            };
            evaluate(&all, &STRONG, true);
            if_range_holds(value.as_bytes(), &WEAK);
        }
    }
}
