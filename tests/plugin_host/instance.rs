//! What belongs to an instance: data, configuration, timers, counters, log lines, tables.

use super::guests::{lines_to, plain};
use super::{ask, host};
use rustix::process::Signal;

#[test]
fn data_is_kept_replaced_and_let_go_in_order() {
    let stage = host();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    let text = String::from_utf8(client.get("/data").body).unwrap();
    let others = "-31 -31 -31 -31 -31 ";
    let first = format!("none 1 1\nset 0 0 0 0 0\nget second, connection again\n{others}");
    assert_eq!(text, first);
    let lines = lines_to(&mut server, "drop second");
    let wanted = [
        "host: connection_reset 0 with second, connection again",
        // Never within the call that replaced them.
        "host: drop first",
        "host: drop connection",
        "host: drop second",
    ];
    assert_eq!(lines, wanted);
    // The next request has none of the first one's, but the connection's.
    let text = String::from_utf8(client.get("/data").body).unwrap();
    assert_eq!(text, first.replace("none 1 1", "none 1 0"));
    client.end();
    client.expect_end();
    let lines = lines_to(&mut server, "connection_close");
    assert_eq!(
        lines.last().unwrap(),
        "host: connection_close with -",
        "it is on its way out"
    );
    lines_to(&mut server, "drop connection again");
}

#[test]
fn configuration_is_told_as_text_and_stays_where_it_is() {
    let stage = host();
    let server = stage.start(&[
        "--set",
        "plugin.host.text=two words=\u{e9}",
        "--set",
        "plugin.host.empty=",
        "--set",
        "plugin.other.none=x",
    ]);
    let expected =
        "text=two words=\u{e9}\nsame 1\nempty=\nnone absent\nno key absent\nbytes absent\n";
    assert_eq!(ask(&server, "/config"), expected);
}

#[test]
fn timers_of_the_instance_call_back_until_they_are_cancelled() {
    let stage = host();
    let mut server = stage.start(&[]);
    let expected = "1 1\ncancel 0 -3 0\nrepeat 1\nnone 0 0\nids -3 -3 -3\n";
    assert_eq!(ask(&server, "/timers"), expected);
    let lines = lines_to(&mut server, "cancel 0, again -3");
    let ticks: Vec<_> = lines
        .iter()
        .filter(|line| !line.contains("connection_close"))
        .collect();
    let wanted = [
        "host: tick 1 of repeat",
        "host: tick 2 of repeat",
        "host: tick 3 of repeat",
        "host: cancel 0, again -3",
    ];
    assert_eq!(ticks, wanted);
}

#[test]
fn a_timer_of_init_starts_with_the_swap() {
    let stage = host();
    let mut server = stage.start_untraced(&["--set", "plugin.host.timer=1"]);
    let lines = lines_to(&mut server, "fires");
    let wanted = ["host: init, timer 1", "host: set_default"];
    assert_eq!(lines[..2], wanted);
    assert!(lines[2].starts_with("plugins: generation 1"), "{lines:#?}");
    assert_eq!(lines[3], "host: a timer of init fires");
}

#[test]
fn counters_keep_their_values_over_a_reload() {
    let stage = host();
    let mut server = stage.start(&[]);
    let text = |value: u32| format!("1 1\n1 0\n0 0 0\nvalue {value}\n");
    assert_eq!(ask(&server, "/count"), text(3));
    assert_eq!(ask(&server, "/count"), text(6));
    stage.compile("host", "t_host", &["-DVERSION=\"2\""]);
    server.signal(Signal::HUP);
    lines_to(&mut server, "plugins: generation 2");
    assert_eq!(ask(&server, "/count"), text(9));
}

#[test]
fn tables_are_found_by_their_whole_name() {
    let stage = host();
    let server = stage.start(&[]);
    let expected = "swiftd.child/1 24\nswiftd.subrequest/1 32\nswiftd.response/1 24\n\
                    swiftd.status/1 16\nswiftd.child/2 0\nswiftd.child 0\n 0\nunknown.table/1 0\n\
                    null 1\nhost 280 1.0 1\n";
    #[cfg(target_pointer_width = "64")]
    assert_eq!(ask(&server, "/ext"), expected);
}

#[test]
fn a_line_tells_its_plugin_level_and_request_and_cannot_be_forged() {
    let stage = host();
    let mut server = stage.start(&[]);
    ask(&server, "/logs");
    let mut lines = Vec::new();
    while let Some(line) = server.next_line() {
        if line.contains("connection_close") {
            break;
        }
        lines.push(line);
    }
    let is_of_request = |line: &&String| line.ends_with(')') && line.contains(" (request ");
    assert!(lines.iter().all(|line| is_of_request(&line)), "{lines:#?}");
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("swiftd: plugin host: ")),
        "{lines:#?}"
    );
    let lines: Vec<_> = lines.iter().map(|line| plain(line)).collect();
    let long = format!("host: {}", "l".repeat(4096));
    let wanted = [
        "host: error: level 0",
        "host: warning: level 1",
        "host: level 2",
        "host: level 3",
        "host: a\\nb\\r\\u{1b}[31m\\u{0}c\\u{7f} \u{fffd} \u{e9}",
        &long,
        "host: ",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn what_cannot_be_is_refused() {
    let stage = host();
    let server = stage.start(&[]);
    let expected = "0 0 0 0 0 0 0\n0 0\n0 0 0 0 0\n1 -2 -4 -4 0 -3 -3\n-3 -3\n-3 -3\n";
    assert_eq!(ask(&server, "/refusals"), expected);
    server.wait_until_idle(0);
}
