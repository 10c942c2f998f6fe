//! A request as it is typed into a shell, for `--try-plugin`.

use super::Error;

/// Makes the bytes that a client would send: a request line, field lines, and behind an empty line
/// the content. A line ends with a line feed, or with the four characters `\r\n`. `Host` and the
/// length of the content are added if they are missing.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, Error> {
    let mut rest = text;
    let request_line = next_line(&mut rest).trim();
    if request_line.is_empty() {
        return Err(Error("the request is empty; try: 'GET / HTTP/1.1'".into()));
    }
    let words: Vec<&str> = request_line.split(' ').collect();
    if !matches!(words[..], [_, _, "HTTP/1.0" | "HTTP/1.1"]) {
        return Err(Error(format!(
            "{request_line:?}: expected METHOD TARGET HTTP/1.1, as in 'GET / HTTP/1.1'"
        )));
    }
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let field = next_line(&mut rest);
        if field.is_empty() {
            break;
        }
        fields.push(field);
    }
    let content = rest;
    let has = |name: &str| {
        let mut names = fields.iter().filter_map(|field| field.split_once(':'));
        names.any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    let mut request = format!("{request_line}\r\n");
    if !has("host") {
        request += "Host: localhost\r\n";
    }
    if !content.is_empty() && !has("content-length") && !has("transfer-encoding") {
        request += &format!("Content-Length: {}\r\n", content.len());
    }
    for field in fields {
        request += &format!("{field}\r\n");
    }
    request += "\r\n";
    request += content;
    Ok(request.into_bytes())
}

/// Takes the first line off.
fn next_line<'a>(rest: &mut &'a str) -> &'a str {
    const TYPED: &str = "\\r\\n";
    let (typed, real) = (rest.find(TYPED), rest.find('\n'));
    let (line, behind) = match (typed, real) {
        (Some(at), real) if real.is_none_or(|real| at < real) => {
            (&rest[..at], &rest[at + TYPED.len()..])
        }
        (_, Some(at)) => (&rest[..at], &rest[at + 1..]),
        (_, None) => (*rest, ""),
    };
    *rest = behind;
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added() {
        for (typed, sent) in [
            (
                "GET / HTTP/1.1",
                "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ),
            (
                "GET / HTTP/1.0\nhost: a\nX: y",
                "GET / HTTP/1.0\r\nhost: a\r\nX: y\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\\r\\nX: y\\r\\n\\r\\n",
                "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n",
            ),
            (
                "POST /a HTTP/1.1\r\nHost: b\r\n\r\na\nb\\r\\n",
                "POST /a HTTP/1.1\r\nContent-Length: 7\r\nHost: b\r\n\r\na\nb\\r\\n",
            ),
            (
                "PUT / HTTP/1.1\nHost: b\ntransfer-encoding: chunked\n\n0\r\n\r\n",
                "PUT / HTTP/1.1\r\nHost: b\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ] {
            let bytes = parse(typed).expect("a request");
            assert_eq!(String::from_utf8(bytes).unwrap(), sent, "{typed}");
        }
    }

    #[test]
    fn what_is_no_request_line_is_refused() {
        for typed in ["GET", "GET /", "GET / HTTP/2", "GET  / HTTP/1.1", "\nGET /"] {
            assert!(parse(typed).is_err(), "{typed}");
        }
    }
}
