//! What a plugin is told of a request, and what it may change.

use super::guests::lines_to;
use super::{ask, host};

#[test]
fn everything_about_a_request_is_told() {
    let stage = host();
    let server = stage.start(&[]);
    let mut client = server.connect();
    client.send("GET /get?x=1&y HTTP/1.1\r\nHost: Example.org:81\r\n\r\n");
    let text = String::from_utf8(client.response().body).unwrap();
    let (peer, local) = (client.stream.local_addr().unwrap(), server.address());
    let site = stage.site().display().to_string();
    let expected = format!(
        "0 absent\n1=/get\n2=/get?x=1&y\n3=x=1&y\n4=GET\n5=HTTP/1.1\n6=Example.org:81\n7={peer}\n\
         8={local}\n9={site}\n10={site}/get\n11 absent\n12=http\n13 absent\nmax absent\n"
    );
    assert_eq!(text, expected);
    // What is absent is not what is empty.
    let mut client = server.connect();
    client.send("GET /get? HTTP/1.0\r\n\r\n");
    let text = String::from_utf8(client.response().body).unwrap();
    for line in ["2=/get?\n3=\n4=GET\n", "\n5=HTTP/1.0\n6 absent\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(ask(&server, "/get").contains("\n3 absent\n"));
}

#[test]
fn a_property_is_set_where_the_contract_says() {
    let stage = host();
    let server = stage.start(&[]);
    // In the order of `what` from 0 to 13; 0 is done, -4 is INVALID.
    let expected = "\
        url_raw -4 0 0 0 -4 -4 -4 -4 -4 0 -4 0 -4 -4\n\
        url_clean -4 0 -4 0 -4 -4 -4 -4 -4 0 -4 0 -4 -4\n\
        docroot -4 0 -4 0 -4 -4 -4 -4 -4 0 -4 0 -4 -4\n\
        physical -4 0 -4 0 -4 -4 -4 -4 -4 -4 0 0 -4 -4\n\
        subrequest_start -4 0 -4 0 -4 -4 -4 -4 -4 -4 -4 0 -4 -4\n\
        handle_subrequest -4 0 -4 0 -4 -4 -4 -4 -4 -4 -4 0 -4 -4\n";
    assert_eq!(ask(&server, "/set?q"), expected);
    let bad = ask(&server, "/bad");
    assert_eq!(bad.lines().count(), 13);
    for line in bad.lines() {
        assert!(line.ends_with(" -4"), "{bad}");
    }
}

#[test]
fn bytes_that_were_handed_out_stay_until_the_hook_returns() {
    let stage = host();
    let server = stage.start(&[]);
    let expected = "2 0 kept /old?a=\n3 0 kept b=\n11 0 kept ann\n9 0 kept /docroot\n\
                    1 0 kept /old\n10 0 kept /docroot/old\n";
    assert_eq!(ask(&server, "/old?some=query"), expected);
}

#[test]
fn fields_are_found_by_name_number_and_place() {
    let stage = host();
    let server = stage.start(&[]);
    let mut client = server.connect();
    let response = client.get_with(
        "/headers",
        "x-a: 1\r\nX-Empty:\r\nX-A:  2 \r\nx-A: \u{e9}\r\n",
    );
    let text = String::from_utf8(response.body).unwrap();
    let expected = "\
        x-a 0=1\nx-a 1=2\nx-a 2=\u{e9}\nx-a 3 absent\nempty=\nnone absent\nno name absent\n\
        null absent\n0 Host: x\n1 x-a: 1\n2 X-Empty: \n3 X-A: 2\n4 x-A: \u{e9}\nend -3 -3 0\n";
    assert_eq!(text, expected);
}

#[test]
fn a_body_is_read_from_memory_and_from_a_file() {
    const READS: &str = "len 10\n4 0123\n3 234\n2 89\n0 \n0 \n0 \n0 \nnull -4\n";
    let stage = host();
    let post = "POST /body HTTP/1.1\r\nHost: x\r\n";
    let length = format!("{post}Content-Length: 10\r\n\r\n0123456789");
    let chunked =
        format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\n012\r\n7\r\n3456789\r\n0\r\n\r\n");
    for (options, file) in [
        (&["--body-memory", "1K"][..], "file -1 \n"),
        (&["--body-memory", "4"], "file 10 0123456789\n"),
    ] {
        let mut server = stage.start(options);
        for request in [&length, &chunked] {
            let mut client = server.connect();
            client.send(request);
            let text = String::from_utf8(client.response().body).unwrap();
            assert_eq!(text, format!("{READS}{file}"));
            let lines = lines_to(&mut server, "before the body");
            assert_eq!(lines.last().unwrap(), "host: before the body -1 -2 -1");
        }
        let none = ask(&server, "/body");
        assert!(none.starts_with("len 0\n0 \n0 \n"), "{none}");
        server.wait_until_idle(0);
    }
}
