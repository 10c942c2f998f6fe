//! Preconditions: which, in which order, and how tags and dates compare (RFC 9110 §13).

use crate::support::reply::{A, PAGE_GZIP, Reply, bad, not_found, options, page};
use crate::support::{Row, check, get, request, row};

/// The second in which all files were changed, in its three forms, and its neighbours.
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const SAME_RFC_850: &str = "Sunday, 06-Nov-94 08:49:37 GMT";
const SAME_ASCTIME: &str = "Sun Nov  6 08:49:37 1994";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// The tag of `/a.txt`.
const TAG: &str = "\"2ebc98a1-0-24-0\"";

fn failed() -> Reply {
    page("412 Precondition Failed")
}

/// Rows about `/a.txt`: a fact, its field lines, and the reply.
fn check_fields(rule: &'static str, cases: &[(&'static str, &[String], Reply)]) {
    let rows: Vec<Row> = cases
        .iter()
        .map(|(fact, fields, reply)| {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            row(fact, rule, get("/a.txt", &fields), reply.clone())
        })
        .collect();
    check(&rows);
}

#[test]
#[rustfmt::skip] // One row a line.
fn if_none_match() {
    let with = |value: &str| [format!("If-None-Match: {value}")];
    check_fields(
        "RFC 9110 §13.1.2",
        &[
            ("the tag", &with(TAG), A.unchanged()),
            ("the tag, weak", &with(&format!("W/{TAG}")), A.unchanged()),
            (
                "a list with the tag",
                &with(&format!("\"x\" , , W/\"a,b\",{TAG}")),
                A.unchanged(),
            ),
            ("any", &with("*"), A.unchanged()),
            ("another tag", &with("\"x\""), A.ok()),
            ("no tag", &with(""), A.ok()),
            ("a tag without quotes", &with(TAG.trim_matches('"')), A.ok()),
            ("a tag with an end only", &with(&TAG[1..]), A.ok()),
            ("a tag in lower case w/", &with(&format!("w/{TAG}")), A.ok()),
            ("two words", &with(&format!("{TAG} {TAG}")), A.ok()),
            ("an asterisk in quotes", &with("\"*\""), A.ok()),
            ("an asterisk in a list", &with(&format!("*, {TAG}")), A.ok()),
            (
                "the tag of a coding",
                &with("\"2ebc98a1-0-24-0-gzip\""),
                A.ok(),
            ),
            (
                "two lines are one list",
                &[with("\"x\"")[0].clone(), with(TAG)[0].clone()],
                A.unchanged(),
            ),
        ],
    );
    check(&[
        row(
            "the coding that is chosen has its own tag",
            "RFC 9110 §8.8.3.3",
            get("/page.html", &["Accept-Encoding: gzip", "If-None-Match: \"2ebc98a1-0-7-0-gzip\""]),
            PAGE_GZIP.unchanged(),
        ),
        row(
            "the identity's tag is not that of the coding",
            "RFC 9110 §8.8.3.3",
            get("/page.html", &["Accept-Encoding: gzip", "If-None-Match: \"2ebc98a1-0-d-0\""]),
            PAGE_GZIP.ok(),
        ),
        row("nothing matches nothing", "RFC 9110 §13.2.1", get("/nothing", &["If-None-Match: *", "If-Match: *"]), not_found()),
        row(
            "OPTIONS does not heed preconditions",
            "RFC 9110 §13.2.1",
            request("OPTIONS", "/a.txt", &["If-None-Match: *", "If-Match: \"x\""]),
            options(),
        ),
        row("a malformed request is refused before", "RFC 9110 §13.2.1", get("/%00", &["If-None-Match: *"]), bad()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn if_match() {
    let with = |value: &str| [format!("If-Match: {value}")];
    check_fields(
        "RFC 9110 §13.1.1",
        &[
            ("the tag", &with(TAG), A.ok()),
            (
                "a list with the tag",
                &with(&format!("\"x\",{TAG}")),
                A.ok(),
            ),
            ("any", &with("*"), A.ok()),
            ("another tag", &with("\"x\""), failed()),
            (
                "a weak tag never matches",
                &with(&format!("W/{TAG}")),
                failed(),
            ),
            ("no tag", &with(""), failed()),
            ("a malformed tag", &with("x"), failed()),
        ],
    );
}

#[test]
#[rustfmt::skip] // One row a line.
fn if_modified_since() {
    let with = |value: &str| [format!("If-Modified-Since: {value}")];
    check_fields(
        "RFC 9110 §13.1.3",
        &[
            ("the same second", &with(SAME), A.unchanged()),
            (
                "the same second, RFC 850",
                &with(SAME_RFC_850),
                A.unchanged(),
            ),
            (
                "the same second, asctime",
                &with(SAME_ASCTIME),
                A.unchanged(),
            ),
            ("a second later", &with(AFTER), A.unchanged()),
            ("a second before", &with(BEFORE), A.ok()),
            ("no date", &with("yesterday"), A.ok()),
            ("an empty one", &with(""), A.ok()),
            ("a number", &with("784111777"), A.ok()),
            (
                "the wrong day of the week",
                &with("Mon, 06 Nov 1994 08:49:37 GMT"),
                A.ok(),
            ),
            (
                "another zone",
                &with("Sun, 06 Nov 1994 08:49:37 CET"),
                A.ok(),
            ),
            ("two dates", &with(&format!("{SAME}, {SAME}")), A.ok()),
        ],
    );
}

#[test]
#[rustfmt::skip] // One row a line.
fn if_unmodified_since() {
    let with = |value: &str| [format!("If-Unmodified-Since: {value}")];
    check_fields(
        "RFC 9110 §13.1.4",
        &[
            ("the same second", &with(SAME), A.ok()),
            ("a second later", &with(AFTER), A.ok()),
            ("a second before", &with(BEFORE), failed()),
            (
                "a second before, RFC 850",
                &with("Sunday, 06-Nov-94 08:49:36 GMT"),
                failed(),
            ),
            (
                "a second before, asctime",
                &with("Sun Nov  6 08:49:36 1994"),
                failed(),
            ),
            ("no date", &with("tomorrow"), A.ok()),
        ],
    );
}

#[test]
#[rustfmt::skip] // One row a line.
fn precedence() {
    let lines = |text: &str| -> Vec<String> {
        text.split('|')
            .map(|line| {
                line.replace("TAG", TAG)
                    .replace("SAME", SAME)
                    .replace("BEFORE", BEFORE)
            })
            .collect()
    };
    let case = |fact, text: &str, reply: Reply| (fact, lines(text), reply);
    let cases = [
        case("If-Match before If-Unmodified-Since, holds", "If-Match: TAG|If-Unmodified-Since: BEFORE", A.ok()),
        case("If-Match before If-Unmodified-Since, fails", "If-Unmodified-Since: SAME|If-Match: \"x\"", failed()),
        case("If-Match, then If-None-Match", "If-None-Match: TAG|If-Match: TAG", A.unchanged()),
        case("If-Match fails before If-None-Match", "If-None-Match: TAG|If-Match: \"x\"", failed()),
        case("If-None-Match before If-Modified-Since, changed", "If-Modified-Since: SAME|If-None-Match: \"x\"", A.ok()),
        case("If-None-Match before If-Modified-Since, same", "If-None-Match: TAG|If-Modified-Since: BEFORE", A.unchanged()),
        case("a malformed If-None-Match still counts", "If-None-Match: x|If-Modified-Since: SAME", A.ok()),
        case("If-Unmodified-Since fails before If-Modified-Since", "If-Unmodified-Since: BEFORE|If-Modified-Since: SAME", failed()),
        case("If-None-Match before Range", "If-None-Match: TAG|Range: bytes=0-1", A.unchanged()),
        case("If-Match before Range", "If-Match: \"x\"|Range: bytes=0-1", failed()),
        case("If-Match, then Range", "If-Match: TAG|Range: bytes=0-1", A.part(0, 1)),
        case("If-Match before a Range that cannot be met", "If-Match: \"x\"|Range: bytes=99-", failed()),
        case("If-Modified-Since before Range", "If-Modified-Since: SAME|Range: bytes=0-1", A.unchanged()),
        case("If-Unmodified-Since, If-Range, Range", "If-Unmodified-Since: SAME|If-Range: TAG|Range: bytes=0-1", A.part(0, 1)),
    ];
    let cases: Vec<(&'static str, &[String], Reply)> = cases
        .iter()
        .map(|(fact, fields, reply)| (*fact, &fields[..], reply.clone()))
        .collect();
    check_fields("RFC 9110 §13.2.2", &cases);
}
