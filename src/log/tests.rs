//! Logs without a server: what is kept, taken over and counted.

use super::*;
use crate::config::{AccessLog, Config};
use crate::conn::{Exchange, Id, Nowhere};
use crate::policy::Host;
use std::fs;
use std::path::Path;

fn config(error: Destination, access: Option<Destination>) -> Config {
    let mut config = Config::new("/".into());
    config.logs.error = error;
    config.logs.buffer_bytes_max = 4096;
    config.rules.access_log = access.map(|destination| AccessLog {
        destination,
        format: Format::Common,
    });
    config
}

/// Logs with a disk that nobody works for unless somebody calls [`work`].
fn start(config: &Config) -> (Log, Arc<Disk>) {
    let disk = Disk::new(1, 1).unwrap();
    let prepared = prepare(config).unwrap();
    let log = Log::new(Arc::clone(&disk), prepared, 0, 784_111_777).unwrap();
    (log, disk)
}

fn hosts(epoch: u32) -> Hosts {
    let host = Host {
        epoch,
        access_log: Some(0),
        ..Host::default()
    };
    Hosts::new(Arc::new(host), std::iter::empty())
}

/// Notes a request of a host of this configuration.
fn note(log: &Log, target: &str, epoch: u32) {
    let mut exchange = Exchange::default();
    let head = format!("GET {target} HTTP/1.1\r\n\r\n");
    exchange.request.head = head.into_bytes();
    let host = Host {
        epoch,
        ..Host::default()
    };
    log.clone().note(&Note {
        exchange: &exchange,
        host: &host,
        log: 0,
        id: Id {
            slot: 0,
            generation: 0,
        },
        origin: &Nowhere,
        status: 200,
        content_bytes: 5,
        duration_ms: 0,
    });
}

fn targets(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let words = text.lines().filter_map(|line| line.split(' ').nth(6));
    words.collect::<Vec<_>>().join(" ")
}

fn text(log: &Log) -> String {
    String::from_utf8(log.ring_text()).unwrap()
}

#[test]
fn a_ring_has_the_last_lines_of_what_is_worth_it() {
    let (log, _) = start(&config(Destination::Ring(120), None));
    log.write(Level::Notice, format_args!("one\nforged \x1b[2J"));
    log.write(Level::Info, format_args!("not said"));
    log.error(format_args!("two"));
    assert_eq!(
        text(&log),
        "1994-11-06T08:49:37Z notice: one\\nforged \\u{1b}[2J\n1994-11-06T08:49:37Z error: two\n"
    );
    log.set_clock(1000, 784_111_778);
    log.error(format_args!(
        "three, which is longer than there is room for"
    ));
    assert!(
        text(&log).starts_with("1994-11-06T08:49:37Z error: two\n"),
        "{}",
        text(&log)
    );
    assert_eq!(log.due(), None, "memory needs no thread");
}

#[test]
fn several_rings_have_titles() {
    let ring = Destination::Ring(4096);
    let (log, _) = start(&config(ring.clone(), Some(ring)));
    log.error(format_args!("one"));
    note(&log, "/a", 0);
    assert_eq!(
        text(&log),
        "==> error log ram:4096 <==\n1994-11-06T08:49:37Z error: one\n\
         ==> access log ram:4096 <==\n127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 5\n"
    );
}

#[test]
fn a_ring_lives_through_a_reload_also_with_another_size() {
    let (log, _) = start(&config(Destination::Ring(4096), None));
    log.error(format_args!("one"));
    for bytes in [4096, 8192] {
        let new = config(Destination::Ring(bytes), None);
        log.swap(prepare(&new).unwrap(), &hosts(1));
        assert_eq!(text(&log), "1994-11-06T08:49:37Z error: one\n");
    }
}

#[test]
fn requests_are_noted_in_the_log_of_their_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str| Some(Destination::File(path(name)));
    let (log, _) = start(&config(Destination::Off, file("a")));
    note(&log, "/1", 0);
    log.swap(
        prepare(&config(Destination::Off, file("b"))).unwrap(),
        &hosts(10),
    );
    note(&log, "/2", 10);
    // One that began before the reload.
    note(&log, "/3", 0);
    log.swap(
        prepare(&config(Destination::Off, file("b"))).unwrap(),
        &hosts(20),
    );
    note(&log, "/4", 10);
    note(&log, "/5", 20);
    note(&log, "/6", 0);
    log.finish();
    assert_eq!(targets(&path("a")), "/1 /3 /6");
    assert_eq!(targets(&path("b")), "/2 /4 /5");
}

#[test]
fn a_log_that_was_taken_away_is_written_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let (log, _) = start(&config(
        Destination::Off,
        Some(Destination::File(path.clone())),
    ));
    note(&log, "/1", 0);
    let none = config(Destination::Off, None);
    log.swap(prepare(&none).unwrap(), &hosts(1));
    let other = Some(Destination::Ring(4096));
    log.swap(
        prepare(&config(Destination::Off, other)).unwrap(),
        &hosts(2),
    );
    // The thread takes one batch after the other.
    log.finish();
    drop(log);
    assert_eq!(targets(&path), "/1");
}

#[test]
fn a_thread_that_does_not_answer_costs_no_more_than_the_bound() {
    let (log, disk) = start(&config(Destination::Stderr, Some(Destination::Stderr)));
    for number in 0..1000 {
        log.set_clock(number * 10, 784_111_777);
        note(&log, "/a", 0);
        log.flush();
    }
    let job = disk.take_log_for_test().expect("a batch");
    assert!(disk.take_log_for_test().is_none(), "one at a time");
    let Job::Log(batch) = job else {
        unreachable!("it is one")
    };
    let line_bytes = "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 5\n".len();
    let dropped = log.dropped_totals()[1].1 as usize;
    let kept = 1000 - dropped;
    assert!(
        kept * line_bytes <= 4096 && kept * line_bytes > 3500,
        "{kept} lines"
    );
    assert!(batch.lines.len() <= 4096);
}
