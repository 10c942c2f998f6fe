//! Requests that are none, each with the status that it must get.

use super::plan::{Act, LookUpPlan, Plan, Record, Spool};
use super::script::refusal;
use super::stage::Stage;
use super::world::Settings;

/// Heads, with the number of their plan in the place of `#`.
const HEADS: &[(u16, &str)] = &[
    (400, "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\n\r\n"),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a b\r\n\r\n",
    ),
    (400, "GET /#/small.txt HTTP/1.1\nX-Id: #\nHost: a\n\n"),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\n folded\r\nHost: a\r\n\r\n",
    ),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\nX-A : b\r\n\r\n",
    ),
    (400, "GET /#/small.txt\r\nX-Id: #\r\nHost: a\r\n\r\n"),
    (
        400,
        "GET  /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\n\r\n",
    ),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
    ),
    (
        400,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\n\
         Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        501,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    ),
    (
        417,
        "GET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\nExpect: a-miracle\r\n\r\n",
    ),
    (
        505,
        "GET /#/small.txt HTTP/2.0\r\nX-Id: #\r\nHost: a\r\n\r\n",
    ),
    (
        400,
        "\r\n\r\nGET /#/small.txt HTTP/1.1\r\nX-Id: #\r\nHost: a\r\n\r\n",
    ),
];

/// Bytes with which no request begins.
const BEGINNINGS: &[u8] = b"\0 \"(),/:;<=>?@[]{}\x7f\x80\xff";

/// Writes something that is no request, and its plan.
pub fn write(stage: &mut Stage, settings: &Settings, client: usize, stream: &mut Vec<u8>) -> Plan {
    let number = stage.plans.len();
    let start = stream.len();
    let head = &settings.limits.head;
    let choice = stage.rng.size(0, HEADS.len() + 4);
    let status = match HEADS.get(choice) {
        Some((status, text)) => {
            stream.extend_from_slice(text.replace('#', &number.to_string()).as_bytes());
            *status
        }
        None if choice == HEADS.len() => {
            let target = "a".repeat(head.target_bytes_max);
            push(
                stream,
                &format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            );
            414
        }
        None if choice == HEADS.len() + 1 => {
            let value = "a".repeat(head.head_bytes_max);
            push(
                stream,
                &format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {value}\r\n\r\n"),
            );
            431
        }
        None if choice == HEADS.len() + 2 => {
            let lines = "X:\r\n".repeat(head.fields_max);
            push(stream, &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            431
        }
        None => {
            let count = stage.rng.size(1, 2000);
            let mut noise = stage.rng.bytes(count);
            noise[0] = stage.rng.pick(BEGINNINGS);
            stream.extend_from_slice(&noise);
            400
        }
    };
    Plan {
        client,
        start,
        head_end: stream.len(),
        end: stream.len(),
        possible_at: start + 1,
        certain_at: stream.len(),
        is_head: false,
        is_http_10: false,
        expects_continue: false,
        waits_for_continue: false,
        asks_to_close: false,
        expected: refusal(status),
        look_up: LookUpPlan::Now,
        act: Act::Pass,
        suspension: None,
        spool: Spool::Works,
        record: Record::default(),
    }
}

fn push(stream: &mut Vec<u8>, text: &str) {
    stream.extend_from_slice(text.as_bytes());
}
