//! The texts in a configuration that have a form of their own: addresses, names, patterns.
//!
//! A function for each: the value, or what was expected.

use super::Need;
use super::logs::Destination;
use super::settings::{LISTEN_FORM, number};
use crate::http::fields::{is_framing, is_token};
use crate::policy::{HostName, PathPattern, is_redirect_target};
use crate::sys::socket::Address;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

/// The bounds of a log that is kept in memory.
const RING_BYTES_LEAST: u64 = 1024;
const RING_BYTES_MOST: u64 = 64 << 20;

/// Where to listen.
pub(super) fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.contains('\0') {
            return Err("unix: needs a path, as in unix:/run/swiftd.sock".into());
        }
        return Ok(Address::Unix(path.into()));
    }
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    match numeric.as_deref().unwrap_or(text).parse::<SocketAddr>() {
        Ok(address) => Ok(Address::Tcp(address)),
        Err(_) => Err(LISTEN_FORM.into()),
    }
}

/// Whether the kernel chooses the port, so that the same address can be meant twice.
pub(super) fn is_port_free(address: &Address) -> bool {
    matches!(address, Address::Tcp(address) if address.port() == 0)
}

/// Where the lines of a log go.
pub(super) fn destination(text: &str) -> Result<Destination, String> {
    const FORM: &str = "expected off, stderr, syslog, ram:64K or an absolute path";
    let is_path =
        |path: &str| path.starts_with('/') && !path.contains('\0') && !path.ends_with('/');
    match text {
        "off" => return Ok(Destination::Off),
        "stderr" => return Ok(Destination::Stderr),
        "syslog" => return Ok(Destination::Syslog),
        path if is_path(path) => return Ok(Destination::File(path.into())),
        _ => {}
    }
    match text.split_once(':') {
        Some(("ram", bytes)) => {
            let bounds = RING_BYTES_LEAST..=RING_BYTES_MOST;
            let bytes = number(bytes).filter(|bytes| bounds.contains(bytes));
            let bytes = bytes.ok_or("expected ram: with 1K to 64M behind it")?;
            Ok(Destination::Ring(bytes as usize))
        }
        Some(("syslog", socket)) if is_path(socket) => Ok(Destination::SyslogAt(socket.into())),
        Some(("syslog", _)) => Err("expected syslog: with the path of a socket behind it".into()),
        _ => Err(FORM.into()),
    }
}

/// The name of a user or a group, or its number.
pub(super) fn account(text: &str) -> Result<&str, String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
    let is_name = (1..=64).contains(&text.len()) && text.bytes().all(is_inner);
    if is_name && !text.starts_with('-') {
        Ok(text)
    } else {
        Err("expected a name or a number".into())
    }
}

/// What a sandbox leaves.
pub(super) fn need(text: &str) -> Result<Need, String> {
    // The text stands before the message already.
    Need::allow(text).map_err(|what| match what.split_once("\": ") {
        Some((_, what)) => what.to_owned(),
        None => what,
    })
}

/// A file name without a directory.
pub(super) fn file_name(text: &str) -> Result<&str, String> {
    let is_name = !text.is_empty() && !text.contains(['/', '\0']) && !matches!(text, "." | "..");
    is_name
        .then_some(text)
        .ok_or_else(|| "expected a file name without a slash".into())
}

/// A name that a host is asked for by.
pub(super) fn host_name(text: &str) -> Result<HostName, String> {
    HostName::parse(text).ok_or_else(|| {
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let with_port = text.rsplit_once(':');
        match with_port.filter(|(name, port)| is_port(port) && HostName::parse(name).is_some()) {
            Some((name, _)) => format!("expected a name without a port; did you mean {name:?}?"),
            None => "expected a host name, as in example.org or *.example.org".into(),
        }
    })
}

/// A name as it was written.
pub(super) fn host_text(name: &HostName) -> String {
    match name {
        HostName::Exact(name) => name.to_string(),
        HostName::Suffix(name) => format!("*{name}"),
    }
}

/// Which paths are meant.
pub(super) fn path_pattern(text: &str) -> Result<PathPattern, String> {
    let has_control = text.contains(|char: char| char.is_control());
    PathPattern::parse(text)
        .filter(|_| !has_control)
        .ok_or_else(|| "expected a path, as in /a, /a/* or *.css".into())
}

/// A pattern as it was written.
pub(super) fn pattern_text(pattern: &PathPattern) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match pattern {
        PathPattern::Exact(path) => text(path),
        PathPattern::Prefix(start) => format!("{}*", text(start)),
        PathPattern::Suffix(end) => format!("*{}", text(end)),
    }
}

/// Where a redirect leads.
pub(super) fn redirect_target(text: &str) -> Result<&str, String> {
    let is_shown = !text.contains(|char: char| char.is_control() || char == ' ');
    if is_shown && is_redirect_target(text) {
        Ok(text)
    } else {
        Err("expected a path, as in /new/*, or a URI, as in https://example.org/*".into())
    }
}

/// A suffix of file names: without its dot, in lower case.
pub(super) fn suffix(text: &str) -> Result<String, String> {
    let suffix = text.strip_prefix('.').unwrap_or(text);
    let is_suffix = (1..=32).contains(&suffix.len())
        && !suffix.contains(|char: char| char.is_control() || "./ ".contains(char));
    is_suffix
        .then(|| suffix.to_ascii_lowercase())
        .ok_or_else(|| {
            "expected the end of a file's name behind its last dot, as in \".wasm\"".into()
        })
}

/// A media type, with parameters or without (RFC 9110 §8.3.1).
pub(super) fn media_type(text: &str) -> Result<&str, String> {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
    let is_type = essence
        .trim_ascii_end()
        .split_once('/')
        .is_some_and(|(main, sub)| is_word(main) && is_word(sub));
    let are_plain = parameters
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (is_type && are_plain)
        .then_some(text)
        .ok_or_else(|| "expected a media type, as in \"text/html; charset=utf-8\"".into())
}

/// A status that an error page goes with.
pub(super) fn error_status(text: &str) -> Result<u16, String> {
    let status = text
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status));
    let is_plain = text.len() == 3;
    status
        .filter(|_| is_plain)
        .ok_or_else(|| "expected a status from 400 to 599".into())
}

/// The file of an error page.
pub(super) fn page(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let is_up = path.components().any(|part| part == Component::ParentDir);
    if text.is_empty() || text.contains('\0') || is_up || text.ends_with('/') {
        return Err("expected a file: a path beneath the root, or an absolute one".into());
    }
    Ok(path.into())
}

/// The name of a field that a response may be given.
pub(super) fn field_name(text: &str) -> Result<&str, String> {
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err("expected the name of a field, as in Cache-Control".into());
    }
    if is_framing(text.as_bytes()) {
        return Err("this field frames the message and cannot be set".into());
    }
    let mut written = ["Server", "Date"].into_iter();
    if let Some(own) = written.find(|own| own.eq_ignore_ascii_case(text)) {
        return Err(format!(
            "every response has its {own} already, which cannot be set"
        ));
    }
    Ok(text)
}

/// The value of a field.
pub(super) fn field_value(text: &str) -> Result<&str, String> {
    let is_bad = |byte: u8| byte != b'\t' && byte.is_ascii_control();
    if text.bytes().any(is_bad) {
        return Err("expected a field's value without line breaks and other control bytes".into());
    }
    Ok(text.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken, and what is refused with words of the message.
    fn check<T>(
        parse: impl Fn(&'static str) -> Result<T, String>,
        good: &[&'static str],
        bad: &[(&'static str, &str)],
    ) {
        for text in good {
            let result = parse(text).map(drop);
            assert_eq!(result, Ok(()), "{text:?}");
        }
        for (text, wanted) in bad {
            match parse(text) {
                Ok(_) => panic!("{text:?}"),
                Err(what) => assert!(what.contains(wanted), "{text:?}: {what}"),
            }
        }
    }

    #[test]
    fn texts_are_taken_or_refused_with_what_was_expected() {
        let form = "expected ADDRESS:PORT";
        check(
            address,
            &["0.0.0.0:80", "[::]:0", "localhost:1", "unix:/a b"],
            &[
                ("80", form),
                (":80", form),
                ("a.b:80", form),
                ("unix:", "needs a path"),
                ("unix:/\0", "needs a path"),
            ],
        );
        check(
            destination,
            &[
                "off",
                "stderr",
                "syslog",
                "syslog:/run/log",
                "/a/b",
                "ram:1K",
                "ram:64M",
            ],
            &[
                ("", "expected off"),
                ("a", "expected off"),
                ("/a/", "expected off"),
                ("ram:1", "1K to 64M"),
                ("ram:65M", "1K to 64M"),
                ("syslog:a", "path of a socket"),
            ],
        );
        check(
            account,
            &["www-data", "33", "a.b_c$"],
            &[
                ("", "a name"),
                ("a:b", "a name"),
                ("-a", "a name"),
                ("\u{fc}", "a name"),
            ],
        );
        check(
            file_name,
            &["a", ".a", "\u{fc} b"],
            &[
                ("", "without a slash"),
                ("a/b", "slash"),
                ("..", "slash"),
                ("a\0", "slash"),
            ],
        );
        check(
            host_name,
            &["a", "A.b", "*.a.b", "192.0.2.1", "[::1]", "a.b.", "xn--a"],
            &[
                ("", "a host name"),
                ("a:80", "did you mean \"a\"?"),
                ("*", "a host name"),
                ("a.*", "a host name"),
                ("*a.b", "a host name"),
                ("a..b", "a host name"),
                ("\u{fc}", "a host name"),
                ("a/b", "a host name"),
            ],
        );
        check(
            path_pattern,
            &["/", "/a", "/a/*", "/*", "*.css", "/\u{fc}"],
            &[
                ("", "a path"),
                ("a", "a path"),
                ("*", "a path"),
                ("/a*b", "a path"),
                ("/*/*", "a path"),
                ("/a\n", "a path"),
            ],
        );
        check(
            redirect_target,
            &[
                "/",
                "/a/*",
                "https://a.b/c?d#e",
                "http://[::1]:80/*",
                "/\u{fc}",
            ],
            &[
                ("", "a path"),
                ("a", "a path"),
                ("//a", "a path"),
                ("/\\a", "a path"),
                ("ftp://a", "a path"),
                ("https://", "a path"),
                ("/a b", "a path"),
                ("/a\r\nb", "a path"),
            ],
        );
        check(
            suffix,
            &["a", ".a", ".WASM"],
            &[
                ("", "its last dot"),
                (".", "its last dot"),
                ("a.b", "its last dot"),
                ("a/b", "its last dot"),
            ],
        );
        check(
            media_type,
            &["a/b", "text/html; charset=utf-8", "a/b+c"],
            &[
                ("", "a media type"),
                ("a", "a media type"),
                ("a/", "a media type"),
                ("a b/c", "a media type"),
                ("a/b;\n", "a media type"),
            ],
        );
        check(
            error_status,
            &["400", "599"],
            &[
                ("399", "400 to 599"),
                ("600", "400 to 599"),
                ("0404", "400 to 599"),
                ("+404", "400 to 599"),
                ("", "400 to 599"),
            ],
        );
        check(
            page,
            &["a/b.html", "/a.html"],
            &[
                ("", "expected a file"),
                ("../a", "expected a file"),
                ("a/", "expected a file"),
                ("a\0", "expected a file"),
            ],
        );
        check(
            field_name,
            &["A", "x-y"],
            &[
                ("", "the name of a field"),
                ("a b", "the name"),
                ("a:", "the name"),
                ("Connection", "frames"),
                ("transfer-encoding", "frames"),
                ("server", "already"),
                ("Date", "already"),
            ],
        );
        check(
            field_value,
            &["", "a b", "\u{fc}", "a\tb"],
            &[
                ("a\nb", "line breaks"),
                ("\r", "line breaks"),
                ("\u{7f}", "line breaks"),
            ],
        );
        check(
            need,
            &["exec", "read:/a"],
            &[("exce", "did you mean exec?"), ("read:a", "absolute")],
        );
    }

    #[test]
    fn what_is_kept_is_shown_as_it_was_written() {
        for text in ["a.b", "*.a.b", "[::1]"] {
            assert_eq!(host_text(&host_name(text).expect("a name")), text);
        }
        for text in ["/a", "/a/*", "*.css"] {
            assert_eq!(pattern_text(&path_pattern(text).expect("a pattern")), text);
        }
        for text in [
            "off",
            "stderr",
            "syslog",
            "syslog:/a",
            "ram:64K",
            "ram:1025",
            "/a",
        ] {
            assert_eq!(destination(text).expect("a destination").name(), text);
        }
    }
}
