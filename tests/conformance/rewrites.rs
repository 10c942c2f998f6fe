//! Hooks that change the target, the path, the root or the file itself.

use super::hooks::{HEAD_POINTS, Script, and_end, failed, script};
use crate::support::reply::{A, PHOTO, Reply, bad, moved, not_found, page};
use crate::support::{assert_sends, check_with, get, row, site};
use std::rc::Rc;
use swiftd::conn::{Exchange, Flow, Hooks, Limits, Point};
use swiftd::http::Error;
use swiftd::testing::{Memory, Peer};

/// Over the site, with another root beside it.
fn two_roots() -> Memory {
    let mut files = site();
    files
        .add("/other/a.txt", b"another file")
        .add_directory("/other/dir")
        .add("/other/dir/", b"an index");
    files
}

/// A peer whose hook does this at a point.
fn at<F>(at: Point, mut change: F) -> Peer<impl Hooks>
where
    F: FnMut(&mut Exchange),
{
    let hooks = Script {
        log: Rc::default(),
        answer: move |point, exchange: &mut Exchange| {
            if point == at {
                change(exchange);
            }
            Flow::GoOn
        },
    };
    Peer::new(two_roots(), hooks, Limits::default())
}

fn other(body: &[u8]) -> Reply {
    A.ok_with(body).without("ETag")
}

/// Asserts what is sent but for its ETag, which tells of the file's size.
#[track_caller]
fn assert_sends_untagged<H: Hooks>(peer: &mut Peer<H>, expected: &Reply) {
    let sent = String::from_utf8(peer.send_all()).unwrap();
    let kept = sent.split_inclusive("\r\n");
    let sent: String = kept.filter(|line| !line.starts_with("ETag: ")).collect();
    assert_eq!(sent.as_bytes(), expected.bytes());
}

#[test]
fn a_file_is_looked_up_beneath_the_root_that_was_chosen() {
    for point in HEAD_POINTS {
        let mut peer = at(point, |exchange| {
            exchange.docroot = Some(b"/other/".to_vec())
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends_untagged(&mut peer, &other(b"another file"));
        peer.receive(get("/photo.png", &[]).as_bytes());
        assert_sends(&mut peer, &[not_found()]);
    }
}

#[test]
fn a_physical_path_must_lie_in_the_root() {
    let forbidden = || page("403 Forbidden");
    for (docroot, physical, expected) in [
        (None, "/site/a.txt", A.ok()),
        (None, "/site/x/../a.txt", A.ok()),
        (None, "/other/a.txt", forbidden()),
        (None, "/site/../other/a.txt", forbidden()),
        (None, "/sitea.txt", forbidden()),
        (None, "a.txt", forbidden()),
        (None, "/site/none", not_found()),
        (Some("/other"), "/site/a.txt", forbidden()),
        (Some("/other"), "/other/none", not_found()),
        (Some("/site"), "/site/a.txt", A.ok()),
    ] {
        let docroot = docroot.map(|root: &str| root.as_bytes().to_vec());
        let answer = |_, exchange: &mut Exchange| {
            exchange.docroot.clone_from(&docroot);
            exchange.physical = Some(physical.into());
            Flow::GoOn
        };
        let rows = [row(
            physical,
            "contract §5",
            get("/photo.png", &[]),
            expected,
        )];
        check_with(&rows, &Limits::default(), || Script {
            log: Rc::default(),
            answer,
        });
    }
}

#[test]
fn a_redirect_names_the_path_that_was_asked_for() {
    let to_directory = |exchange: &mut Exchange| {
        exchange.docroot = Some(b"/other".to_vec());
        exchange.physical = Some(b"/other/dir".to_vec());
    };
    let mut peer = at(Point::Physical, to_directory);
    peer.receive(get("/x/y?q", &[]).as_bytes());
    assert_sends(&mut peer, &[moved("/x/y/?q")]);
    // With its slash it is answered, not sent in a circle.
    peer.receive(get("/x/y/", &[]).as_bytes());
    let sent = String::from_utf8(peer.send_all()).unwrap();
    assert!(sent.starts_with("HTTP/1.1 200 OK") && sent.ends_with("\r\n\r\nan index"));
}

#[test]
fn a_look_up_that_must_wait_is_made_in_the_same_place() {
    let mut peer = at(Point::Docroot, |exchange| {
        exchange.docroot = Some(b"/other".to_vec());
    });
    peer.handler.files.is_slow = true;
    peer.receive(get("/a.txt", &[]).as_bytes());
    // A hook's wake is not the disk's.
    peer.with(|connection, cx| connection.handle_resume(cx));
    assert_eq!(peer.handler.files.askers.len(), 1);
    peer.handler.files.is_slow = false;
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends_untagged(&mut peer, &other(b"another file"));
}

#[test]
fn a_new_target_is_as_if_it_had_come() {
    let mut seen = Vec::new();
    let mut peer = script(|point, exchange| {
        let request = &exchange.request;
        if point == Point::UrlClean {
            let query = request.query_bytes().unwrap_or(b"-").to_vec();
            let host = request.authority.unwrap().slice(&request.head).to_vec();
            seen.push((
                request.method_bytes().to_vec(),
                exchange.path.clone(),
                query,
                host,
            ));
        }
        if point != Point::UrlRaw || exchange.comebacks > 0 {
            return Flow::GoOn;
        }
        let old = request.head.clone();
        let (bytes, start) = (request.head.as_ptr(), request.head.len());
        let target: &[u8] = match request.target.slice(&request.head) {
            b"/1" => b"/x/../%61.txt?q=1",
            b"/2" => b"http://other/a.txt",
            _ => return Flow::GoOn,
        };
        let head = exchange.set_target(target).unwrap();
        assert_eq!((head.as_ptr(), &head), (bytes, &old), "nothing has moved");
        assert_eq!(
            exchange.request.target.slice(&exchange.request.head),
            target
        );
        assert_eq!(exchange.request.head.len(), start + target.len());
        if target.len() > 17 {
            Flow::Comeback
        } else {
            Flow::GoOn
        }
    });
    for target in ["/1", "/2", "/a.txt"] {
        peer.receive(get(target, &[]).as_bytes());
        assert_sends(&mut peer, &[A.ok()]);
    }
    drop(peer);
    let saw = |query: &str, host: &str| {
        ["GET", "/a.txt", query, host]
            .map(|text| text.as_bytes().to_vec())
            .into()
    };
    assert_eq!(seen, [saw("q=1", "h"), saw("-", "other"), saw("-", "h")]);
}

#[test]
fn a_target_that_is_none_changes_nothing() {
    let mut peer = script(|point, exchange| {
        if point == Point::UrlRaw {
            for target in [&b""[..], b"x", b"/a b", b"/%4", b"*", b"ftp://h/", b"/\r\n"] {
                let result = exchange.set_target(target);
                assert_eq!(result, Err(Error::TargetInvalid));
            }
            let long = [&b"/"[..], &vec![b'a'; 65_535]].concat();
            assert_eq!(exchange.set_target(&long), Err(Error::TargetTooLong));
        }
        Flow::GoOn
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn targets_that_replace_each_other_do_not_grow() {
    let mut peer = script(|point, exchange| {
        if point == Point::UrlRaw {
            exchange.set_target(b"http://first/authority").unwrap();
            let first = exchange.request.head.len();
            for _ in 0..1_000 {
                exchange.set_target(b"/no").unwrap();
                exchange.set_target(b"/photo.png").unwrap();
            }
            let request = &exchange.request;
            assert!(request.head.len() <= first + "/photo.png".len());
            assert_eq!(request.authority.unwrap().slice(&request.head), b"first");
        }
        Flow::GoOn
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[PHOTO.ok()]);
}

#[test]
fn a_new_path_is_cleaned_and_counts_from_any_point() {
    for (point, flow) in HEAD_POINTS
        .into_iter()
        .flat_map(|point| [(point, Flow::GoOn), (point, Flow::Comeback)])
    {
        let mut peer = script(|here, exchange| {
            if here != point || exchange.comebacks > 0 {
                return Flow::GoOn;
            }
            let old = exchange.set_path(b"x//./..//../a.txt".to_vec());
            let is_decoded = point != Point::UrlRaw;
            assert_eq!(old, if is_decoded { &b"/old"[..] } else { b"" });
            assert_eq!(exchange.path, b"/a.txt");
            flow
        });
        peer.receive(get("/old", &[]).as_bytes());
        assert_sends(&mut peer, &[A.ok()]);
        let count = HEAD_POINTS
            .iter()
            .position(|&other| other == point)
            .unwrap();
        let expected = match flow {
            // A path that was set is not decoded from the target again.
            Flow::Comeback => [&HEAD_POINTS[..=count], &HEAD_POINTS[1..]].concat(),
            _ => HEAD_POINTS.to_vec(),
        };
        assert_eq!(peer.hooks.take().0, and_end(&expected), "{point:?}");
    }
}

#[test]
fn targets_are_decoded_and_refused_as_if_they_had_come() {
    let mut peer = script(|point, exchange| {
        if point == Point::UrlRaw {
            exchange.set_target(b"/%00").unwrap();
        }
        Flow::GoOn
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[bad()]);
    let mut peer = script(|point, exchange| {
        if point != Point::UrlRaw {
            return Flow::GoOn;
        }
        exchange.set_target(b"/a.txt").unwrap();
        Flow::Comeback
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[failed()]);
    let points = [&[Point::UrlRaw; 11][..], &[Point::SubrequestEnd]].concat();
    assert_eq!(peer.hooks.take().0, points, "the eleventh time is a loop");
}
