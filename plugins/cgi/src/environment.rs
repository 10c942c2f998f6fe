//! The meta-variables of a script (RFC 3875, 4.1). Its environment is made of nothing else and what
//! the configuration adds.
//!
//! A request can choose names that begin with `HTTP_` only, and of those not `HTTP_PROXY`, which
//! programs take for the operator's setting.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use swiftd_plugin::{Command, Request};

use crate::config::Config;
use crate::script::Script;

/// Fields that become no variable: secrets, what has a variable of its own, what is about the
/// connection, and `Proxy`.
const UNTOLD: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The script as a command: its arguments, environment and directory.
///
/// The words of a query without `=` are not given as arguments, though 4.4 suggests it: an
/// interpreter would take them for its options.
pub(crate) fn command(config: &Config, script: &Script, req: &Request<'_>) -> Command {
    let file = script.file.as_os_str().as_bytes();
    let mut command = match script.interpreter.as_deref() {
        Some([program, arguments @ ..]) => {
            let program = Command::new(program);
            let with_arguments = arguments.iter().fold(program, Command::arg);
            with_arguments.arg(file)
        }
        _ => Command::new(file),
    };
    if let Some(dir) = script.file.parent() {
        command = command.dir(dir.as_os_str().as_bytes());
    }
    for (name, value) in &config.environment {
        command = command.env(name, value);
    }
    for (name, value) in fields(req) {
        command = command.env(name, value);
    }
    for (name, value) in variables(script, req) {
        command = command.env(name, value);
    }
    command
}

fn variables(script: &Script, req: &Request<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let (peer, peer_port) = address(req.peer());
    let (local, local_port) = address(req.local());
    let authority = req.authority().filter(|authority| !authority.is_empty());
    let host = authority.map_or(local, |authority| split_port(authority).0);
    let mut variables = vec![
        ("GATEWAY_INTERFACE", b"CGI/1.1".to_vec()),
        ("SERVER_SOFTWARE", b"swiftd".to_vec()),
        ("SERVER_PROTOCOL", req.protocol().to_vec()),
        ("SERVER_NAME", host.to_vec()),
        ("SERVER_PORT", local_port.unwrap_or(b"80").to_vec()),
        ("REQUEST_METHOD", req.method().to_vec()),
        ("REQUEST_URI", origin_form(req.target()).to_vec()),
        ("QUERY_STRING", req.query().unwrap_or_default().to_vec()),
        ("SCRIPT_NAME", script.name.clone()),
        (
            "SCRIPT_FILENAME",
            script.file.as_os_str().as_bytes().to_vec(),
        ),
        ("REMOTE_ADDR", peer.to_vec()),
        // No name is looked up; 4.1.9 allows the address in its place.
        ("REMOTE_HOST", peer.to_vec()),
        // php-cgi refuses to run without it.
        ("REDIRECT_STATUS", b"200".to_vec()),
    ];
    let mut add = |name, value: Option<&[u8]>| {
        variables.extend(value.map(|value| (name, value.to_vec())));
    };
    add("SERVER_ADDR", Some(local).filter(|local| !local.is_empty()));
    add("REMOTE_PORT", peer_port);
    add("HTTPS", (req.scheme() == b"https").then_some(b"on"));
    add("REMOTE_USER", req.user());
    add(
        "AUTH_TYPE",
        req.user().and(req.header("authorization")).and_then(scheme),
    );
    add("CONTENT_TYPE", req.header("content-type"));
    add("DOCUMENT_ROOT", req.docroot());
    if has_body(req) {
        let length = req.body_len().unwrap_or(0).to_string();
        add("CONTENT_LENGTH", Some(length.as_bytes()));
    }
    if !script.path_info.is_empty() {
        add("PATH_INFO", Some(&script.path_info));
        if let Some(docroot) = req.docroot() {
            let docroot = docroot.strip_suffix(b"/").unwrap_or(docroot);
            add(
                "PATH_TRANSLATED",
                Some(&[docroot, &script.path_info].concat()),
            );
        }
    }
    variables
}

/// Whether a message body is attached, even an empty one.
fn has_body(req: &Request<'_>) -> bool {
    req.body_len().is_some_and(|len| len > 0)
        || req.header("content-length").is_some()
        || req.header("transfer-encoding").is_some()
}

/// The fields of the request as variables, those of one name joined.
fn fields(req: &Request<'_>) -> BTreeMap<String, Vec<u8>> {
    let mut fields: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, value) in req.headers() {
        let Some(name) = variable(name) else { continue };
        // RFC 6265 and RFC 9113 know why cookies are different.
        let separator: &[u8] = if name == "HTTP_COOKIE" { b"; " } else { b", " };
        fields
            .entry(name)
            .and_modify(|before| before.extend([separator, value].concat()))
            .or_insert_with(|| value.to_vec());
    }
    fields
}

/// The name of the variable of a field. `None` for a name with an underscore or another odd sign: it
/// could be mistaken for the one with a hyphen, which somebody before us may have checked.
fn variable(field: &[u8]) -> Option<String> {
    let field = str::from_utf8(field).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_untold = UNTOLD.iter().any(|name| name.eq_ignore_ascii_case(field));
    if field.is_empty() || is_untold || !field.bytes().all(is_plain) {
        return None;
    }
    Some(format!(
        "HTTP_{}",
        field.to_ascii_uppercase().replace('-', "_")
    ))
}

/// Address and port of a peer: `192.0.2.1:4711`, `[2001:db8::1]:4711`. A Unix socket has neither.
fn address(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    if text.starts_with(b"unix:") {
        return (b"", None);
    }
    let (host, port) = split_port(text);
    let bare = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"));
    (bare.unwrap_or(host), port)
}

/// Host and port; the brackets of an IPv6 address stay.
fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if text[colon + 1..].iter().all(u8::is_ascii_digit) => {
            let port = &text[colon + 1..];
            (&text[..colon], Some(port).filter(|port| !port.is_empty()))
        }
        _ => (text, None),
    }
}

/// A target without scheme and authority.
fn origin_form(target: &[u8]) -> &[u8] {
    let authority = target.windows(3).position(|part| part == b"://");
    match authority {
        Some(at) if !target.starts_with(b"/") => {
            let rest = &target[at + 3..];
            let path = rest.iter().position(|byte| b"/?".contains(byte));
            path.map_or(b"/", |at| &rest[at..])
        }
        _ => target,
    }
}

/// The first word of credentials.
fn scheme(credentials: &[u8]) -> Option<&[u8]> {
    credentials.split(|byte| *byte == b' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_brackets_and_port() {
        for (text, host, port) in [
            ("192.0.2.1:80", "192.0.2.1", Some("80")),
            ("[2001:db8::1]:80", "2001:db8::1", Some("80")),
            ("unix:", "", None),
            ("unix:/run/a:1", "", None),
        ] {
            let expected = (host.as_bytes(), port.map(str::as_bytes));
            assert_eq!(address(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn an_authority_keeps_its_brackets() {
        for (text, host) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example:", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(split_port(text.as_bytes()).0, host.as_bytes(), "{text}");
        }
    }

    #[test]
    fn fields_that_could_deceive_become_no_variable() {
        assert_eq!(
            variable(b"X-Forwarded-For").as_deref(),
            Some("HTTP_X_FORWARDED_FOR")
        );
        for none in [
            "Proxy",
            "PROXY",
            "Authorization",
            "Content-Type",
            "X_Real",
            "a.b",
            "",
        ] {
            assert_eq!(variable(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_loses_its_beginning() {
        for (target, uri) in [
            ("/a?b=http://c", "/a?b=http://c"),
            ("http://h/a?b", "/a?b"),
            ("http://h?b", "?b"),
            ("http://h", "/"),
            ("*", "*"),
        ] {
            assert_eq!(origin_form(target.as_bytes()), uri.as_bytes(), "{target}");
        }
    }
}
