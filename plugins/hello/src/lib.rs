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
