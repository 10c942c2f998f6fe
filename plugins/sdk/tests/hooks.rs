//! Plugins of all kinds under the mock server: each host function through the safe face, and what
//! the harness finds wrong.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use swiftd_plugin::testing::{Harness, Outgoing};
use swiftd_plugin::*;

/// Panics on demand; otherwise tells what it was asked.
struct Talker {
    host: Host,
    ticks: u32,
}

/// Its drop panics, with a payload whose drop panics too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Bomb);
    }
}

plugin! {
    impl Plugin for Talker {
        const NAME: &CStr = c"talker";
        const VERSION: &CStr = c"1.0";
        const STATE_VERSION: u32 = 7;
        const FLAGS: Flags = Flags::STATE_REQUIRED;

        /// A comment and an attribute do no harm.
        #[allow(clippy::unnecessary_wraps)]
        fn init(host: &Host) -> Result<Self, String> {
            match host.config("init") {
                Some("panic") => panic!("init does not want to"),
                Some(reason) => return Err(reason.to_owned()),
                None => {}
            }
            let every = Duration::from_millis(host.config_or("every", 100)?);
            host.every(every, |me: &mut Talker| me.ticks += 1).map_err(|error| error.to_string())?;
            Ok(Talker { host: host.clone(), ticks: 0 })
        }

        fn set_default(&mut self) -> Result<(), String> {
            if self.host.config("default") == Some("bad") { Err("bad default".into()) } else { Ok(()) }
        }

        fn url_raw(&mut self, req: &mut Request<'_>) -> Flow {
            if req.target() == b"/raw" && req.set_target("/clean?from=raw").is_ok() {
                return Flow::Comeback;
            }
            Flow::GoOn
        }

        fn url_clean(&mut self, req: &mut Request) -> Flow {
            match req.path() {
                b"/old" if req.set_path("/clean").is_ok() => Flow::Comeback,
                b"/loop" => Flow::Comeback,
                b"/head" => req.set_header("x-head", "1").map_or(Flow::Error, |()| Flow::GoOn),
                _ => Flow::GoOn,
            }
        }

        fn docroot(&mut self, req: &mut Request) -> Flow {
            if req.authority() == Some(b"b.example") && req.set_docroot("/srv/b").is_err() {
                return Flow::Error;
            }
            Flow::GoOn
        }

        fn physical(&mut self, req: &mut Request) -> Flow {
            if req.path() == b"/moved" && req.set_physical("/srv/www/there").is_err() {
                return Flow::Error;
            }
            // Too late, and therefore refused.
            assert_eq!(req.set_docroot("/srv/c"), Err(Error::Invalid));
            Flow::GoOn
        }

        fn subrequest_start(&mut self, req: &mut Request) -> Flow {
            let mine = ["/clean", "/panic", "/bomb", "/bad", "/headers", "/body", "/none"];
            if mine.iter().any(|path| path.as_bytes() == req.path()) { Flow::Finished } else { Flow::GoOn }
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            match req.path() {
                b"/panic" => panic!("asked to {}", "panic"),
                b"/bomb" => std::panic::panic_any(Bomb),
                b"/bad" => Flow::GoOn,
                b"/none" => Flow::Finished,
                b"/headers" => headers(req),
                b"/body" => {
                    let Ok(body) = req.read_body() else { return Flow::Error };
                    assert_eq!(req.body_owned(body), Ok(()));
                    req.set_status(201).map_or(Flow::Error, |()| Flow::Finished)
                }
                path => {
                    let query = req.query().unwrap_or(b"-");
                    req.respond(200, "text/plain", [path, b" ", query].concat())
                }
            }
        }

        fn save(&mut self) -> Option<Vec<u8>> {
            Some(self.ticks.to_le_bytes().to_vec())
        }

        fn restore(&mut self, from: u32, blob: &[u8]) -> Result<(), String> {
            let bytes = blob.try_into().map_err(|_| format!("version {from} is too long"))?;
            self.ticks = u32::from_le_bytes(bytes);
            Ok(())
        }
    }
}

fn headers(req: &mut Request) -> Flow {
    assert_eq!(req.header_nth("COOKIE", 1), Some(&b"b=2"[..]));
    assert_eq!(req.header_nth("cookie", 2), None);
    let names: Vec<&[u8]> = req.headers().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"host"[..], b"cookie", b"Cookie"]);
    assert_eq!(
        (req.peer(), req.scheme()),
        (&b"192.0.2.1:1"[..], &b"http"[..])
    );
    assert_eq!(req.set_header("x-bad", "a\r\nb"), Err(Error::Invalid));
    assert_eq!(req.set_header("content-length", "1"), Err(Error::Invalid));
    assert_eq!(req.set_status(99), Err(Error::Invalid));
    for value in ["1", "2"] {
        assert_eq!(req.add_header("x-many", value), Ok(()));
    }
    assert_eq!(req.set_header("x-gone", "1"), Ok(()));
    assert_eq!(req.remove_header("X-Gone"), Ok(()));
    req.respond(200, "text/plain", "")
}

#[test]
fn exactly_the_written_hooks_are_in_the_descriptor() {
    let slots = <Talker as Exported>::DESCRIPTOR;
    assert!(slots.url_raw.is_some() && slots.save.is_some() && slots.set_default.is_some());
    assert!(slots.trigger.is_none() && slots.joblist.is_none() && slots.retire.is_none());
    assert!(slots.cleanup.is_some());
    assert_eq!(
        (slots.state_version, slots.flags),
        (7, abi::flags::STATE_REQUIRED)
    );
}

#[test]
fn a_panic_is_a_500_and_a_log_line_with_its_place() {
    let mut harness = Harness::<Talker>::new();
    assert_eq!(harness.get("/panic").status, 500);
    let log = harness.log();
    assert!(
        log[0].starts_with("panicked at plugins/sdk/tests/hooks.rs:"),
        "{log:?}"
    );
    assert!(log[0].ends_with(": asked to panic"), "{log:?}");
    assert_eq!(harness.counter("panics"), 1);
    // The instance stays in use.
    assert_eq!(harness.get("/clean").text(), "/clean -");
}

#[test]
fn a_payload_whose_drop_panics_is_forgotten() {
    let mut harness = Harness::<Talker>::new();
    assert_eq!(harness.get("/bomb").status, 500);
    assert_eq!(harness.get("/clean").status, 200);
}

#[test]
fn a_plugin_that_does_not_want_to_is_not_loaded() {
    let refused = |key, value| {
        Harness::<Talker>::new()
            .config(key, value)
            .load()
            .unwrap_err()
    };
    assert_eq!(refused("init", "no table"), "no table");
    assert!(refused("init", "panic").ends_with("init does not want to"));
    assert_eq!(refused("default", "bad"), "bad default");
    assert_eq!(
        refused("every", "x"),
        "every: not understood: \"x\" (a u64 is expected)"
    );
}

#[test]
fn changed_paths_and_targets_come_back() {
    let mut harness = Harness::<Talker>::new();
    let old = harness.get("/old");
    assert_eq!(old.text(), "/clean -");
    assert_eq!(old.trace[..3], ["url_raw", "url_clean", "url_clean"]);
    assert_eq!(harness.get("/raw").text(), "/clean from=raw");
    assert_eq!(harness.get("/loop").status, 500);
    assert_eq!(harness.log(), ["rewrite loop"]);
}

#[test]
fn fields_of_the_head_hooks_amend_any_response() {
    let answer = Harness::<Talker>::new().get("/head");
    assert_eq!((answer.status, answer.header("x-head")), (404, Some("1")));
}

#[test]
fn root_and_file_can_be_changed_in_their_hooks() {
    let mut harness = Harness::<Talker>::new();
    assert_eq!(harness.get("/a/../b").physical, "/srv/www/b");
    assert_eq!(harness.get("/moved").physical, "/srv/www/there");
    let other = Outgoing::new("GET", "/x").header("host", "b.example");
    assert_eq!(harness.send(other).physical, "/srv/b/x");
}

#[test]
fn headers_and_bodies_come_and_go() {
    let mut harness = Harness::<Talker>::new();
    let request = Outgoing::new("GET", "/headers")
        .header("cookie", "a=1")
        .header("Cookie", "b=2");
    let answer = harness.send(request.peer("192.0.2.1:1"));
    let many = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "x-many")
        .count();
    assert_eq!(
        (answer.status, many, answer.header("x-gone")),
        (200, 2, None)
    );
    let body = "b".repeat(100_000);
    let answer = harness.send(Outgoing::new("POST", "/body").body(&body));
    assert_eq!((answer.status, answer.text()), (201, &body[..]));
}

#[test]
fn timers_of_the_instance_beat_on_the_virtual_clock() {
    let mut harness = Harness::<Talker>::new();
    harness.advance(1_000);
    assert_eq!(harness.plugin(|me| me.ticks), 10);
}

#[test]
fn state_goes_over_to_another_instance() {
    let mut old = Harness::<Talker>::new();
    old.advance(500);
    let blob = old.save().unwrap();
    let mut new = Harness::<Talker>::new();
    assert!(new.restore(7, &blob));
    assert_eq!(new.plugin(|me| me.ticks), 5);
    assert!(!new.restore(7, b"rubbish"));
    assert_eq!(new.log(), ["version 7 is too long"]);
}

#[test]
#[should_panic(expected = "handle_subrequest: GO_ON is not allowed there")]
fn a_result_that_is_not_allowed_fails_the_test() {
    Harness::<Talker>::new().get("/bad");
}

#[test]
#[should_panic(expected = "the response has no status")]
fn finished_without_a_response_fails_the_test() {
    Harness::<Talker>::new().get("/none");
}

/// Waits in every way there is.
struct Waiter {
    resets: Vec<Why>,
    closes: u32,
    queue: Sender<Waker>,
    wakers: Option<Receiver<Waker>>,
    sum: u64,
}

/// Says when it is dropped.
struct Kept(Rc<Cell<u32>>);

thread_local! {
    static DROPS: Rc<Cell<u32>> = Rc::default();
    static PEER: Cell<Option<UnixStream>> = const { Cell::new(None) };
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

plugin! {
    impl Plugin for Waiter {
        const NAME: &CStr = c"waiter";

        fn init(_host: &Host) -> Result<Self, String> {
            let (queue, wakers) = channel();
            Ok(Waiter { resets: Vec::new(), closes: 0, queue, wakers: Some(wakers), sum: 0 })
        }

        fn subrequest_start(&mut self, _req: &mut Request) -> Flow {
            Flow::Finished
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            let result = match req.path() {
                b"/waker" => self.outside(req),
                b"/job" => job(req),
                b"/sum" => self.sum(req),
                b"/fd" => descriptor(req),
                b"/child" => child(req),
                b"/sleep" => req.spawn(&Command::new("/bin/sleep").arg("1000")).map(|_| Flow::WaitForEvent),
                b"/stream" => stream(req),
                b"/inner" => inner(req),
                b"/timer" => timer(req),
                b"/forever" => Ok(Flow::WaitForEvent),
                b"/leak" => leak(req),
                _ => Ok(req.respond(200, "text/plain", "leaf\n")),
            };
            result.unwrap_or(Flow::Error)
        }

        fn connection_reset(&mut self, _req: &mut Request, why: Why) {
            self.resets.push(why);
        }

        fn connection_close(&mut self, _connection: ConnectionId, _why: Why) {
            self.closes += 1;
        }
    }
}

impl Waiter {
    fn outside(&mut self, req: &mut Request) -> Result<Flow, Error> {
        if req.woken_by().any(|cause| cause == Cause::Wake) {
            return Ok(req.respond(200, "text/plain", "woken\n"));
        }
        let waker = req.waker(Duration::from_secs(60))?;
        self.queue.send(waker).map_err(|_| Error::Failed)?;
        Ok(Flow::WaitForEvent)
    }

    fn sum(&mut self, req: &mut Request) -> Result<Flow, Error> {
        if req.woken_by().next().is_none() {
            let work = || (1..=10).sum::<u64>();
            req.host()
                .job(Some(req.id()), work, |me: &mut Waiter, sum| {
                    me.sum = sum.unwrap_or(0);
                })?;
            return Ok(Flow::WaitForEvent);
        }
        Ok(req.respond(200, "text/plain", self.sum.to_string()))
    }
}

fn timer(req: &mut Request) -> Result<Flow, Error> {
    if req.data::<Kept>().is_some() {
        return Ok(req.respond(200, "text/plain", "late\n"));
    }
    req.set_data(Kept(DROPS.with(Rc::clone)))?;
    req.timer(Duration::from_millis(50))?;
    Ok(Flow::WaitForEvent)
}

fn job(req: &mut Request) -> Result<Flow, Error> {
    let Some(pending) = req.data::<Pending<String>>() else {
        let is_bad = req.query() == Some(b"panic");
        let pending = req.job(move || {
            assert!(!is_bad, "the work is too hard");
            "worked\n".to_owned()
        })?;
        req.set_data(pending)?;
        return Ok(Flow::WaitForEvent);
    };
    Ok(match pending.take() {
        None => Flow::WaitForEvent,
        Some(Ok(text)) => req.respond(200, "text/plain", text),
        Some(Err(lost)) => req.respond(503, "text/plain", format!("{lost:?}")),
    })
}

fn descriptor(req: &mut Request) -> Result<Flow, Error> {
    let Some(socket) = req.data::<Watched<UnixStream>>() else {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        PEER.set(Some(theirs));
        let socket = req.watch_owned(ours, Ready::READ)?;
        req.set_data(socket)?;
        return Ok(Flow::WaitForFd);
    };
    let mut text = String::new();
    match socket.get_mut().read_to_string(&mut text) {
        Ok(_) => Ok(req.respond(200, "text/plain", text)),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            Ok(Flow::WaitForFd)
        }
    }
}

struct Running {
    child: ChildId,
    output: Watched<std::fs::File>,
    text: String,
}

fn child(req: &mut Request) -> Result<Flow, Error> {
    let host = req.host();
    let Some(running) = req.data::<Running>() else {
        let script = "read line; echo \"$line $WHO\" from `pwd`; exit 3";
        let command = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .env("WHO", "world")
            .dir("/");
        let child = req.spawn(&command.stdin(Stdio::Pipe).stdout(Stdio::Pipe))?;
        assert_eq!(host.child_status(child.id), Ok(None));
        let (stdin, stdout) = (child.stdin.unwrap(), child.stdout.unwrap());
        assert!(child.stderr.is_none());
        std::fs::File::from(stdin).write_all(b"hello\n").unwrap();
        let output = req.watch_owned(std::fs::File::from(stdout), Ready::READ)?;
        req.set_data(Running {
            child: child.id,
            output,
            text: String::new(),
        })?;
        return Ok(Flow::WaitForFd);
    };
    let _ = running.output.get_mut().read_to_string(&mut running.text);
    match host.child_status(running.child)? {
        None => Ok(Flow::WaitForEvent),
        Some(exit) => {
            let _ = running.output.get_mut().read_to_string(&mut running.text);
            let text = format!("{}{exit:?}", running.text);
            Ok(req.respond(200, "text/plain", text))
        }
    }
}

fn leak(req: &mut Request) -> Result<Flow, Error> {
    let child = req.spawn(&Command::new("/bin/true").stdout(Stdio::Pipe))?;
    std::mem::forget(child);
    Ok(req.respond(200, "text/plain", ""))
}

fn stream(req: &mut Request) -> Result<Flow, Error> {
    if req.data::<usize>().is_none() {
        req.set_status(200)?;
        req.start()?;
        req.set_data(0_usize)?;
    }
    let content = b"0123456789";
    loop {
        let at = *req.data::<usize>().ok_or(Error::Failed)?;
        if at == content.len() {
            req.end()?;
            return Ok(Flow::Finished);
        }
        match req.write(&content[at..]) {
            Ok(n) => *req.data::<usize>().ok_or(Error::Failed)? += n,
            Err(Error::Again) => return Ok(Flow::WaitForEvent),
            Err(error) => return Err(error),
        }
    }
}

fn inner(req: &mut Request) -> Result<Flow, Error> {
    let Some(id) = req.data::<SubrequestId>().copied() else {
        let id = req.subrequest("/leaf")?;
        req.set_data(id)?;
        assert_eq!(req.subresponse(id).err(), Some(Error::Again));
        return Ok(Flow::WaitForEvent);
    };
    let inner = req.subresponse(id)?;
    assert_eq!(
        (inner.status, inner.header("content-type")),
        (200, Some(&b"text/plain"[..]))
    );
    Ok(req.respond(200, "text/plain", inner.body))
}

#[test]
fn a_waker_wakes_from_another_thread() {
    let mut harness = Harness::<Waiter>::new();
    let wakers = harness.plugin(|me| me.wakers.take()).unwrap();
    let exchange = harness.start(Outgoing::new("GET", "/waker"));
    assert!(harness.is_waiting(exchange));
    let waker = wakers.recv().unwrap();
    let late = waker.clone();
    let thread = std::thread::spawn(move || waker.wake());
    assert_eq!(harness.finish(exchange).text(), "woken\n");
    assert_eq!(thread.join().unwrap(), Ok(()));
    assert_eq!(late.wake(), Err(Error::Gone));
    harness.stop();
    // Neither request nor instance: still no more than an error.
    assert_eq!(late.wake(), Err(Error::Gone));
}

#[test]
fn a_job_answers_from_a_helper_thread() {
    let mut harness = Harness::<Waiter>::new();
    assert_eq!(harness.get("/job").text(), "worked\n");
    assert_eq!(harness.get("/sum").text(), "55");
}

#[test]
fn a_job_that_panics_is_lost_and_logged() {
    let mut harness = Harness::<Waiter>::new();
    let answer = harness.get("/job?panic");
    assert_eq!((answer.status, answer.text()), (503, "Panicked"));
    assert_eq!(harness.counter("panics"), 1);
    assert!(
        harness.log()[0].ends_with("the work is too hard"),
        "{:?}",
        harness.log()
    );
}

#[test]
fn a_held_job_is_cancelled_with_its_request() {
    let mut harness = Harness::<Waiter>::new().hold_jobs();
    let first = harness.start(Outgoing::new("GET", "/sum"));
    assert!(harness.is_waiting(first));
    harness.gone(first);
    assert_eq!(
        harness.plugin(|me| (me.sum, me.resets.clone())),
        (0, vec![Why::ClientGone])
    );
    let second = harness.start(Outgoing::new("GET", "/sum"));
    harness.run_jobs();
    assert_eq!(harness.finish(second).text(), "55");
}

#[test]
fn a_descriptor_wakes_on_its_edge() {
    let mut harness = Harness::<Waiter>::new();
    let exchange = harness.start(Outgoing::new("GET", "/fd"));
    harness.wake(exchange);
    assert!(harness.is_waiting(exchange));
    PEER.take()
        .unwrap()
        .write_all(b"through the socket")
        .unwrap();
    assert_eq!(harness.finish(exchange).text(), "through the socket");
}

#[test]
fn a_child_is_fed_read_and_reaped() {
    assert_eq!(
        Harness::<Waiter>::new().get("/child").text(),
        "hello world from /\nCode(3)"
    );
}

#[test]
fn a_child_ends_with_its_request() {
    let mut harness = Harness::<Waiter>::new();
    let exchange = harness.start(Outgoing::new("GET", "/sleep"));
    harness.gone(exchange);
    // `stop` waits for the process, which would last for long.
    harness.stop();
}

#[test]
fn a_stream_waits_for_room() {
    let mut harness = Harness::<Waiter>::new().send_queue(4);
    harness.stall(true);
    let exchange = harness.start(Outgoing::new("GET", "/stream"));
    assert_eq!(harness.written(exchange), b"0123");
    harness.stall(false);
    assert_eq!(harness.finish(exchange).text(), "0123456789");
}

#[test]
fn a_subrequest_answers_for_its_parent() {
    assert_eq!(Harness::<Waiter>::new().get("/inner").text(), "leaf\n");
}

#[test]
fn data_are_dropped_once_whatever_becomes_of_the_request() {
    let mut harness = Harness::<Waiter>::new();
    assert_eq!(harness.get("/timer").text(), "late\n");
    assert_eq!(DROPS.with(|drops| drops.get()), 1);
    let exchange = harness.start(Outgoing::new("GET", "/timer"));
    assert_eq!(harness.gone(exchange).status, 0);
    assert_eq!(DROPS.with(|drops| drops.get()), 2);
    assert_eq!(
        harness.plugin(|me| me.resets.clone()),
        [Why::Done, Why::ClientGone]
    );
    assert_eq!(harness.plugin(|me| me.closes), 2);
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let mut harness = Harness::<Waiter>::new().hold_jobs();
    let exchange = harness.start(Outgoing::new("GET", "/job"));
    harness.advance(29_999);
    assert!(harness.is_waiting(exchange));
    harness.advance(1);
    assert_eq!(harness.finish(exchange).status, 504);
    assert_eq!(harness.plugin(|me| me.resets.clone()), [Why::Deadline]);
}

#[test]
#[should_panic(expected = "WAIT_FOR_EVENT, but nothing can wake the request")]
fn a_wait_without_an_end_fails_the_test() {
    Harness::<Waiter>::new().get("/forever");
}

#[test]
#[should_panic(expected = "left open after cleanup: the pipe at descriptor")]
fn a_pipe_that_is_left_open_fails_the_test() {
    Harness::<Waiter>::new().get("/leak");
}
