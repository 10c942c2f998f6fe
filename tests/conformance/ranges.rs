//! Parts of files: Range, If-Range, multipart/byteranges, 416 (RFC 9110 §14).

use crate::support::reply::{A, EMPTY, LARGE, PAGE_GZIP, Reply, large, unsatisfiable};
use crate::support::{Row, assert_sends, check, get, peer, row};

fn of_a(fact: &'static str, value: &str, reply: Reply) -> Row {
    row(
        fact,
        "RFC 9110 §14.2",
        get("/a.txt", &[&format!("Range: {value}")]),
        reply,
    )
}

#[test]
#[rustfmt::skip] // One row a line.
fn one_part() {
    check(&[
        of_a("both ends", "bytes=0-9", A.part(0, 9)),
        of_a("one byte", "bytes=0-0", A.part(0, 0)),
        of_a("the last byte", "bytes=35-35", A.part(35, 35)),
        of_a("everything", "bytes=0-35", A.part(0, 35)),
        of_a("an open end", "bytes=30-", A.part(30, 35)),
        of_a("an open end from the start", "bytes=0-", A.part(0, 35)),
        of_a("a suffix", "bytes=-5", A.part(31, 35)),
        of_a("a suffix longer than the file", "bytes=-99", A.part(0, 35)),
        of_a("an end behind the file", "bytes=30-99", A.part(30, 35)),
        of_a("an end over 64 bits", "bytes=30-99999999999999999999999", A.part(30, 35)),
        of_a("a suffix over 64 bits", "bytes=-99999999999999999999999", A.part(0, 35)),
        of_a("zeros before a number", "bytes=0000-0009", A.part(0, 9)),
        of_a("the unit compares without case", "BYTES=0-9", A.part(0, 9)),
        of_a("blanks and empty elements in the list", "bytes= , 0-9 ,\t", A.part(0, 9)),
        of_a("parts that cannot be met are left out", "bytes=0-9,99-", A.part(0, 9)),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn what_is_no_range_gets_everything() {
    let wrong = [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=x-y",
        "bytes=9-0",
        "bytes=0-9,x",
        "bytes=9-0,0-9",
        "bytes=0",
        "bytes=+0-9",
        "bytes=0-+9",
        "bytes=--5",
        "bytes=0-9-",
        "bytes=0x0-9",
        "bytes:0-9",
        "bytes =0-9",
        "items=0-9",
        "0-9",
        "bytes=0 -9",
        "bytes=0-9 1",
        "bytes=0.5-9",
        "none",
    ];
    check(&wrong.map(|value| of_a("no range", value, A.ok())));
    check(&[
        row("two lines are no range", "RFC 9110 §5.3", get("/a.txt", &["Range: bytes=0-1", "Range: bytes=2-3"]), A.ok()),
        of_a("seventeen parts are too many", &format!("bytes={}", "0-0,".repeat(17)), A.ok()),
        of_a("seventeen parts are too many, met or not", &format!("bytes={}0-0", "99-,".repeat(16)), A.ok()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn what_cannot_be_met_is_a_416() {
    check(&[
        of_a("a start behind the file", "bytes=36-", A.unsatisfiable()),
        of_a("both ends behind the file", "bytes=99-100", A.unsatisfiable()),
        of_a("a start over 64 bits", "bytes=99999999999999999999999-", A.unsatisfiable()),
        of_a("a suffix of nothing", "bytes=-0", A.unsatisfiable()),
        of_a("no part can be met", "bytes=36-,-0,99-", A.unsatisfiable()),
        row("an empty file has no first byte", "RFC 9110 §14.1.2", get("/empty.txt", &["Range: bytes=0-"]), unsatisfiable(0)),
        row(
            "a suffix of an empty file is met by all of it, which no Content-Range can say",
            "RFC 9110 §14.1.2",
            get("/empty.txt", &["Range: bytes=-5"]),
            EMPTY.ok(),
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn several_parts() {
    let sixteen: Vec<(usize, usize)> = (0..16).map(|at| (at * 2, at * 2)).collect();
    let list: String = sixteen
        .iter()
        .map(|(first, last)| format!("{first}-{last},"))
        .collect();
    check(&[
        of_a("two parts", "bytes=0-1,5-6", A.parts(&[(0, 1), (5, 6)])),
        of_a("parts keep their order", "bytes=5-6,0-1", A.parts(&[(5, 6), (0, 1)])),
        of_a("every kind", "bytes=0-0, 10-11, 30-, ", A.parts(&[(0, 0), (10, 11), (30, 35)])),
        of_a("with a suffix", "bytes=-1,0-0", A.parts(&[(35, 35), (0, 0)])),
        of_a("those that overlap become one", "bytes=0-5,3-9", A.part(0, 9)),
        of_a("those that touch become one", "bytes=0-4,5-9", A.part(0, 9)),
        of_a("one within another", "bytes=0-9,3-4", A.part(0, 9)),
        of_a("the same twice", "bytes=3-4,3-4", A.part(3, 4)),
        of_a("some become one, in ascending order", "bytes=20-21,0-5,3-9", A.parts(&[(0, 9), (20, 21)])),
        of_a("all become the whole", "bytes=0-20,10-", A.part(0, 35)),
        of_a("one that cannot be met is left out", "bytes=0-1,99-,5-6", A.parts(&[(0, 1), (5, 6)])),
        of_a("sixteen parts", &format!("bytes={list}"), A.parts(&sixteen)),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn if_range() {
    let with = |fact, value: &str, reply| {
        let fields = [&format!("If-Range: {value}")[..], "Range: bytes=0-9"];
        row(fact, "RFC 9110 §13.1.5", get("/a.txt", &fields), reply)
    };
    check(&[
        with("the tag", "\"2ebc98a1-0-24-0\"", A.part(0, 9)),
        with("the tag, weak", "W/\"2ebc98a1-0-24-0\"", A.ok()),
        with("another tag", "\"x\"", A.ok()),
        with("a list of tags", "\"2ebc98a1-0-24-0\", \"x\"", A.ok()),
        with("any", "*", A.ok()),
        with("nothing", "", A.ok()),
        with("the date", "Sun, 06 Nov 1994 08:49:37 GMT", A.part(0, 9)),
        with("the date, RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", A.part(0, 9)),
        with("the date, asctime", "Sun Nov  6 08:49:37 1994", A.part(0, 9)),
        with("a later date", "Sun, 06 Nov 1994 08:49:38 GMT", A.ok()),
        with("an earlier date", "Sun, 06 Nov 1994 08:49:36 GMT", A.ok()),
        with("no date", "today", A.ok()),
        row("without Range it is ignored", "RFC 9110 §13.1.5", get("/a.txt", &["If-Range: \"2ebc98a1-0-24-0\""]), A.ok()),
        row(
            "a range that cannot be met, of another version, is the whole",
            "RFC 9110 §13.1.5",
            get("/a.txt", &["If-Range: \"x\"", "Range: bytes=99-"]),
            A.ok(),
        ),
        row(
            "a range that cannot be met, of this version",
            "RFC 9110 §13.1.5",
            get("/a.txt", &["If-Range: \"2ebc98a1-0-24-0\"", "Range: bytes=99-"]),
            A.unsatisfiable(),
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn a_range_is_of_the_chosen_coding() {
    let with = |fact, fields: &[&str], reply| {
        let fields = [&["Accept-Encoding: gzip"], fields].concat();
        row(fact, "RFC 9110 §14.2", get("/page.html", &fields), reply)
    };
    check(&[
        with("a part of the coded bytes", &["Range: bytes=2-"], PAGE_GZIP.part(2, 6)),
        with("beyond the coded bytes", &["Range: bytes=7-"], PAGE_GZIP.unsatisfiable()),
        with("If-Range names the coding", &["If-Range: \"2ebc98a1-0-7-0-gzip\"", "Range: bytes=2-3"], PAGE_GZIP.part(2, 3)),
        with("If-Range names the identity", &["If-Range: \"2ebc98a1-0-d-0\"", "Range: bytes=2-3"], PAGE_GZIP.ok()),
    ]);
}

#[test]
fn parts_of_a_large_file() {
    let whole = large();
    let size = whole.len();
    let mut peer = peer();
    peer.receive(get("/large.bin", &["Range: bytes=1000-150999"]).as_bytes());
    assert_sends(
        &mut peer,
        &[LARGE.part_with(1000, 150_999, &whole[1000..=150_999], size)],
    );
    peer.receive(get("/large.bin", &["Range: bytes=-70000,0-0,500-999"]).as_bytes());
    let parts = [(130_000, 199_999), (0, 0), (500, 999)];
    assert_sends(&mut peer, &[LARGE.parts_with(&parts, &whole)]);
    peer.receive(get("/large.bin", &["Range: bytes=200000-"]).as_bytes());
    assert_sends(&mut peer, &[unsatisfiable(size)]);
}
