//! What a client says who it is (RFC 7617 §2).

use crate::base64;

/// The longest user name and the longest password, bytes. Two of the hashes take time that grows
/// with the length of the password.
const BYTES_MAX: usize = 256;

/// A user name and a password, not yet believed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// From the value of Authorization: `Basic`, in any case, and base64 of `user:password`.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (scheme, token) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let text = base64::decode(token.trim_ascii_start())?;
        // A user name has no colon, a password may.
        let colon = text.iter().position(|&byte| byte == b':')?;
        let (user, password) = (&text[..colon], &text[colon + 1..]);
        let is_valid = !user.is_empty()
            && user.len().max(password.len()) <= BYTES_MAX
            && !text.iter().any(u8::is_ascii_control);
        is_valid.then(|| Self {
            user: user.to_vec(),
            password: password.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let credentials = Credentials::parse(value.as_bytes())?;
        Some((text(credentials.user), text(credentials.password)))
    }

    #[test]
    fn the_examples_of_rfc_7617() {
        let aladdin = Some(("Aladdin".into(), "open sesame".into()));
        assert_eq!(parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(parse("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(
            parse("Basic dGVzdDoxMjPCow=="),
            Some(("test".into(), "123£".into()))
        );
        assert_eq!(parse("Basic YTpiOmM="), Some(("a".into(), "b:c".into())));
        assert_eq!(parse("Basic YTo="), Some(("a".into(), String::new())));
    }

    #[test]
    fn what_is_no_basic_is_nobody() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "BasicYTpi",
            "Bearer YTpi",
            "Basic !!!!",
            "Basic YWI=",     // "ab": no colon
            "Basic OmI=",     // ":b": no user
            "Basic YTpiAA==", // NUL
            "Basic YQo6Yg==", // a line end in the user
            "Basic YTpi YTpi",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
        let long = |count| format!("Basic {}", "YWFh".repeat(count) + "YTpi");
        assert!(parse(&long(85)).is_some());
        assert!(parse(&long(86)).is_none());
    }
}
