//! The smallest plugin: it answers `/hello` with a text from the configuration. Take it as the
//! beginning of your own.
//!
//! ```toml
//! [plugin.hello]
//! text = "hello, world\n"
//! ```
//!
//! `cargo build --profile plugin -p swiftd-plugin-hello` makes `libhello.so`; install it as
//! `hello.so` (with `install` or `mv`, never by writing into the old file) and add the line
//! `hello:/usr/lib/swiftd/$` to the list of plugins. plugins/hello_c is the same in C.

use swiftd_plugin::*;

/// The plugin's state.
#[derive(Debug)]
pub struct Hello {
    text: String,
}

plugin! {
    impl Plugin for Hello {
        const NAME: &CStr = c"hello";

        fn init(host: &Host) -> Result<Self, String> {
            Ok(Hello { text: host.config("text").unwrap_or("hello\n").into() })
        }

        fn subrequest_start(&mut self, req: &mut Request) -> Flow {
            if req.path() == b"/hello" { Flow::Finished } else { Flow::GoOn }
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            req.respond(200, "text/plain", &self.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hello;
    use swiftd_plugin::testing::{Harness, Outgoing};

    #[test]
    fn it_answers_its_path_with_its_text() {
        let answer = Harness::<Hello>::new().config("text", "x").get("/hello");
        assert_eq!((answer.status, answer.text()), (200, "x"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.trace, ["subrequest_start", "handle_subrequest"]);
    }

    #[test]
    fn without_configuration_it_says_hello() {
        assert_eq!(Harness::<Hello>::new().get("/hello?a=b").text(), "hello\n");
    }

    #[test]
    fn other_paths_are_left_to_the_server() {
        let mut harness = Harness::<Hello>::new().page("/index.html", "a file");
        assert_eq!(harness.get("/hello/").status, 404);
        let page = harness.get("/index.html");
        assert_eq!((page.text(), page.is_claimed), ("a file", false));
    }

    #[test]
    fn head_has_no_content() {
        let answer = Harness::<Hello>::new().send(Outgoing::new("HEAD", "/hello"));
        assert_eq!((answer.status, answer.text()), (200, ""));
    }
}
