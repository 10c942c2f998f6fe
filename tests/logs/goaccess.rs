//! The real goaccess reads what we write, every line of it.

use crate::server::Server;
use crate::stage::{Stage, lines};
use std::path::Path;
use std::process::{Command, Stdio};

/// Requests of all kinds, malformed ones among them.
fn visit(server: &Server) -> usize {
    let requests: &[&[u8]] = &[
        b"GET /a.txt HTTP/1.1\r\nHost: h\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nReferer: http://r/?a=\"b\r\n\r\n",
        b"HEAD /a.txt HTTP/1.0\r\n\r\n",
        b"GET /%22%5c%0a HTTP/1.1\r\nHost: [::1]:80\r\nUser-Agent: \xff\x9b\\\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n",
        b"GET /a.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for request in requests {
        let mut client = server.connect();
        client.send(request);
        client.end();
        client.all_there_is();
    }
    requests.len()
}

/// How many requests goaccess finds good and bad.
fn judge(log: &Path, options: &[&str]) -> (usize, usize) {
    let report = log.with_extension("json");
    let mut command = Command::new("goaccess");
    command.arg(log).args(["--no-global-config", "-o"]);
    command.arg(&report).args(options).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = std::fs::read_to_string(&report);
    let text = text.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let number = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\": ")).unwrap();
        let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap();
        rest[..end].parse().unwrap()
    };
    (number("valid_requests"), number("failed_requests"))
}

/// What goaccess must be told about our JSON; docs/LOGS.md says the same.
const JSON: &[&str] = &[
    r#"--log-format={"time":"%dT%tZ","client":"%h","user":"%e","host":"%v","target":"%U","status":"%s","bytes":"%b","duration_ms":"%L","referer":"%R","user_agent":"%u"}"#,
    "--date-format=%Y-%m-%d",
    "--time-format=%H:%M:%S",
];

#[test]
fn goaccess_reads_every_line() {
    if Command::new("goaccess").arg("--version").output().is_err() {
        eprintln!("skipped: goaccess is not installed");
        return;
    }
    for (format, options) in [
        ("common", &["--log-format=COMMON"][..]),
        ("combined", &["--log-format=COMBINED"]),
        ("vcombined", &["--log-format=VCOMBINED"]),
        ("json", JSON),
    ] {
        let stage = Stage::new();
        let socket = format!("unix:{}", stage.path("sock").display());
        let server = stage.serve_logging(&["--log-format", format, "--listen", &socket]);
        let count = visit(&server);
        let mut client = crate::server::Client::connect_unix(stage.path("sock"));
        client.get("/a.txt");
        drop(client);
        server.finish(1);
        let log = stage.path("access");
        assert_eq!(lines(&log).len(), count + 1);
        let text = std::fs::read(&log).unwrap();
        let count = text.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(judge(&log, options), (count, 0), "{format}");
    }
}
