//! How long a script lives, and how many do.

use swiftd_plugin::testing::Outgoing;

use crate::site::{Fifo, server, wait_written};

#[test]
fn a_script_without_output_is_ended_by_the_timeout() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    server.advance(29_999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    let answer = server.finish(exchange);
    assert_eq!((answer.status, answer.is_aborted), (504, false));
    script.wait_for_end();
    assert!(server.log()[0].ends_with("no output for 30 s (timeout)"));
}

#[test]
fn a_timeout_in_the_middle_cuts_the_response() {
    let (fifo, mut server) = (Fifo::new(), server().config("timeout", "7"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold_begun")));
    let script = fifo.wait_for_script();
    wait_written(&mut server, exchange, b"begun");
    server.advance(7_000);
    let answer = server.finish(exchange);
    assert_eq!(
        (answer.status, answer.is_aborted, answer.text()),
        (200, true, "begun")
    );
    script.wait_for_end();
}

#[test]
fn output_begins_the_timeout_anew_but_not_the_time_in_all() {
    let (fifo, mut server) = (Fifo::new(), server().config("max_time", "60"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("steps")));
    wait_written(&mut server, exchange, b"zero");
    server.advance(20_000);
    fifo.say("one");
    wait_written(&mut server, exchange, b"zero,one");
    server.advance(20_000);
    fifo.say("two");
    wait_written(&mut server, exchange, b"zero,one,two");
    server.advance(19_999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    assert!(server.finish(exchange).is_aborted);
    assert!(server.log()[0].ends_with("not ready after 60 s (max_time)"));
}

#[test]
fn a_script_ends_with_its_client() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    assert_eq!(server.gone(exchange).status, 0);
    script.wait_for_end();
}

#[test]
fn a_script_that_goes_on_without_output_is_ended_after_a_second() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold_closed")));
    let script = fifo.wait_for_script();
    // Its output has ended before it opened the fifo.
    server.advance(999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    assert!(!server.is_waiting(exchange));
    assert_eq!(server.finish(exchange).text(), "done");
    script.wait_for_end();
}

#[test]
fn what_a_script_leaves_behind_does_not_hold_the_response() {
    let (fifo, mut server) = (Fifo::new(), server());
    let answer = server.get(&fifo.target("leave_behind"));
    assert_eq!((answer.text(), answer.is_aborted), ("done", false));
    fifo.say("end");
}

#[test]
fn so_many_processes_and_no_more() {
    let (fifo, mut server) = (Fifo::new(), server().config("max_processes", "1"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    let refused = server.get("/cgi-bin/hello");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(server.counter("scripts_refused"), 1);
    server.gone(exchange);
    script.wait_for_end();
    assert_eq!(server.get("/cgi-bin/hello").text(), "hello\n");
    // Each way to end gives its place back.
    for target in [
        "/cgi-bin/silent",
        "/cgi-bin/no_interpreter",
        "/cgi-bin/print?Location:+/x||",
    ] {
        server.get(target);
        assert_eq!(server.get("/cgi-bin/hello").status, 200, "{target}");
    }
}

#[test]
fn a_client_may_go_while_the_script_is_looked_for() {
    let mut server = server().hold_jobs();
    let exchange = server.start(Outgoing::new("GET", "/cgi-bin/hello"));
    assert!(server.is_waiting(exchange));
    server.wake(exchange);
    assert!(server.is_waiting(exchange));
    server.gone(exchange);
    server.run_jobs();
    assert_eq!(server.counter("scripts_started"), 0);
}
