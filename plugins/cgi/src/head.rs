//! The head of a script's output (RFC 3875, 6): fields up to an empty line, from which status,
//! location and length are taken out and what is not the script's is left away.

use std::str;

/// What a script said before its content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: Option<u16>,
    pub(crate) location: Option<Vec<u8>>,
    pub(crate) content_length: Option<u64>,
    pub(crate) has_content_type: bool,
    /// For the client, in order; with Location and Content-Type.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// If another path of this server is to answer.
    pub(crate) redirect: Option<Redirect>,
}

/// A local redirect (6.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// As the script wrote it.
    pub(crate) location: Vec<u8>,
    /// Decoded.
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
}

/// What is not the script's: it is about the connection, or the server's (the length of the
/// content is checked and then told by the server).
const SERVERS: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "status",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where the head ends and the content begins, looking from `from` on (the start of a head, or
/// where an earlier look ended). `None`: the empty line is not there yet.
pub(crate) fn end(output: &[u8], from: usize) -> Option<usize> {
    if output.starts_with(b"\n") {
        return Some(1);
    }
    if output.starts_with(b"\r\n") {
        return Some(2);
    }
    // An empty line has at most three bytes before its last.
    let from = from.saturating_sub(3);
    let rest = output.get(from..)?;
    rest.iter().enumerate().find_map(|(at, byte)| {
        let after = &rest[at + 1..];
        match byte {
            b'\n' if after.starts_with(b"\n") => Some(from + at + 2),
            b'\n' if after.starts_with(b"\r\n") => Some(from + at + 3),
            _ => None,
        }
    })
}

/// The head, or what is wrong with it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, String> {
    let mut head = Head::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (name, value) =
            field(line).ok_or_else(|| format!("no header field: \"{}\"", excerpt(line)))?;
        head.take(name, value)
            .map_err(|wrong| format!("{wrong}: \"{}\"", excerpt(line)))?;
    }
    let is_cgi = head.status.is_some() || head.location.is_some() || head.has_content_type;
    if !is_cgi {
        return Err("none of Content-Type, Status and Location in the header".to_owned());
    }
    head.redirect = head.local_redirect();
    Ok(head)
}

impl Head {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), &'static str> {
        let lower = name.to_ascii_lowercase();
        let is_again = match lower.as_str() {
            "status" => self.status.replace(status(value)?).is_some(),
            "location" if value.is_empty() => return Err("an empty Location"),
            "location" => self.location.replace(value.to_vec()).is_some(),
            "content-type" => std::mem::replace(&mut self.has_content_type, true),
            "content-length" => {
                let length = number(value).ok_or("no length")?;
                let before = self.content_length.replace(length);
                before.is_some_and(|before| before != length)
            }
            _ => false,
        };
        if is_again {
            return Err("a second field of that name");
        }
        // Names with X-CGI- are between script and server (6.3.5).
        if !SERVERS.contains(&lower.as_str()) && !lower.starts_with("x-cgi-") {
            self.fields.push((name.to_owned(), value.to_vec()));
        }
        Ok(())
    }

    /// What the client is told: the script's status, or what follows from a location.
    pub(crate) fn status(&self) -> u16 {
        let follows = if self.location.is_some() { 302 } else { 200 };
        self.status.unwrap_or(follows)
    }

    /// A Location with an absolute path and no Status. A path that cannot be decoded is left to the
    /// client.
    fn local_redirect(&self) -> Option<Redirect> {
        let location = self.location.as_deref()?;
        let is_local = location.starts_with(b"/")
            && !location.starts_with(b"//")
            && !location.contains(&b'#')
            && self.status.is_none();
        if !is_local {
            return None;
        }
        let mut parts = location.splitn(2, |byte| *byte == b'?');
        Some(Redirect {
            location: location.to_vec(),
            path: decode(parts.next().unwrap_or_default())?,
            query: parts.next().unwrap_or_default().to_vec(),
        })
    }
}

/// `NAME: VALUE`; lines that continue another one are no fields.
fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_text) {
        return None;
    }
    Some((str::from_utf8(name).ok()?, value))
}

/// `404` or `404 Not Found`.
fn status(value: &[u8]) -> Result<u16, &'static str> {
    let code = value.split(|byte| *byte == b' ').next();
    let code = code.filter(|code| code.len() == 3).and_then(number);
    code.and_then(|code| u16::try_from(code).ok())
        .filter(|code| (200..=599).contains(code))
        .ok_or("no status from 200 to 599")
}

fn number(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// A path without percent signs; `None` if one is not followed by two digits, or hides a NUL.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(*bytes.next()?).to_digit(16);
        let byte = match byte {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            byte => *byte,
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// The beginning of a line, for the log, which escapes what it must.
fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_of_either_kind() {
        for (output, ends) in [
            ("a: b\n\nx", Some(6)),
            ("a: b\r\n\r\nx", Some(8)),
            ("a: b\n\r\nx", Some(7)),
            ("a: b\r\n\nx", Some(7)),
            ("\nx", Some(1)),
            ("\r\nx", Some(2)),
            ("a: b\nc: d\n", None),
            ("a: b\r\n\r", None),
            ("", None),
        ] {
            assert_eq!(end(output.as_bytes(), 0), ends, "{output:?}");
            // The same, if it comes byte by byte.
            let first =
                (0..=output.len()).find_map(|n| end(&output.as_bytes()[..n], n.saturating_sub(1)));
            assert_eq!(first, ends, "{output:?} in pieces");
        }
    }

    #[test]
    fn fields_of_the_server_are_taken_out() {
        let head = parse(
            b"Content-Type: text/plain\r\nSET-cookie:a=1\nSet-Cookie: b=2 \nConnection: close\n\
              Content-Length: 12\nTransfer-Encoding: chunked\nX-CGI-Debug: 1\nStatus: 404 Not Found\n\n",
        )
        .unwrap();
        assert_eq!(head.status(), 404);
        assert_eq!(head.content_length, Some(12));
        let fields: Vec<_> = head
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..]))
            .collect();
        let expected = [
            ("Content-Type", &b"text/plain"[..]),
            ("SET-cookie", b"a=1"),
            ("Set-Cookie", b"b=2"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "\n",
            "<html>\n\n",
            "Content-Type text/plain\n\n",
            "Content Type: text/plain\n\n",
            "Content-Type : text/plain\n\n",
            ": x\n\n",
            "Content-Type: a\n b\n\n",
            "Content-Type: a\rb\n\n",
            "Content-Type: a\0b\n\n",
            "X-Other: a\n\n",
            "Status: 99\n\n",
            "Status: 100 Continue\n\n",
            "Status: 600\n\n",
            "Status: +20\n\n",
            "Status: 2000\n\n",
            "Status:\n\n",
            "Status: 200\nStatus: 200\n\n",
            "Location:\n\n",
            "Location: /a\nLocation: /b\n\n",
            "Content-Type: a\nContent-Type: b\n\n",
            "Content-Type: a\nContent-Length: x\n\n",
            "Content-Type: a\nContent-Length: 1\nContent-Length: 2\n\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_location_alone_decides_who_redirects() {
        let redirect = |head: &str| {
            let redirect = parse(head.as_bytes()).unwrap().redirect?;
            Some((redirect.path, redirect.query))
        };
        let local = Some((b"/a b".to_vec(), b"c=%20".to_vec()));
        assert_eq!(redirect("Location: /a%20b?c=%20\n\n"), local);
        assert_eq!(
            redirect("Location: /\n\n"),
            Some((b"/".to_vec(), Vec::new()))
        );
        for head in [
            "Location: //host/a\n\n",
            "Location: http://host/a\n\n",
            "Location: /a#b\n\n",
            "Location: a\n\n",
            "Location: /%zz\n\n",
            "Location: /%0\n\n",
            "Location: /%00\n\n",
            "Location: /a\nStatus: 303 See Other\n\n",
        ] {
            assert_eq!(redirect(head), None, "{head:?}");
        }
        assert_eq!(parse(b"Location: http://h/\n\n").unwrap().status(), 302);
        assert_eq!(
            parse(b"Location: /\nStatus: 307\n\n").unwrap().status(),
            307
        );
    }
}
