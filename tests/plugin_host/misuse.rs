//! Host functions called as they must not be: an error each time, and the server goes on.

use super::guests::{Stage, lines_to};
use super::{ask, host};

/// What everything answers that is asked with a request of another call.
const NO_REQUEST: &str = "00 -4 -4 -1 -4 -1 0 0 -4 -4 -4 -4 -4 -4 -4 -4 0 0 0\n";

#[test]
fn a_request_that_is_not_the_current_one_is_refused() {
    let stage = host();
    let mut server = stage.start(&[]);
    // Kept in an earlier request, made up, or none.
    assert_eq!(server.get("/late").status, 200);
    lines_to(&mut server, "connection_close");
    for how in ["stale", "null", "wild"] {
        let text = ask(&server, &format!("/misuse?how={how}"));
        assert_eq!(text, format!("{NO_REQUEST}cancel 0\n"), "{how}");
    }
    assert_eq!(server.get("/a.txt").body, b"hello\n");
}

#[test]
fn another_instance_is_no_disguise() {
    let stage = Stage::new().with("host", "t_host").with("other", "t_host");
    let mut server = stage.start(&["--set", "plugin.other.text=secret"]);
    for how in ["no_self", "other"] {
        let text = ask(&server, &format!("/misuse?how={how}"));
        assert_eq!(text, "-4 0 -4 0 0 0 0 -3 -4 0 0 0\ncancel 0\n", "{how}");
        let lines = lines_to(&mut server, "other: connection_close");
        let is_forged = |line: &String| line.contains("in the name of");
        assert!(!lines.iter().any(is_forged), "{lines:#?}");
    }
    assert_eq!(server.get("/a.txt").body, b"hello\n");
}

#[test]
fn another_thread_may_only_do_what_is_for_any() {
    let stage = host();
    let mut server = stage.start(&[]);
    let text = ask(&server, "/misuse?how=thread");
    assert_eq!(
        text,
        format!("{NO_REQUEST}-4 0 0 -4 0 0 0 0 0\n1 0\ncancel 0\n")
    );
    let lines = lines_to(&mut server, "connection_close");
    assert!(
        lines.contains(&"host: from a thread".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(server.get("/a.txt").body, b"hello\n");
}
