//! A document root with scripts in sh, Python and C, made once for all tests.
//!
//! Once: a program that is being written cannot be executed, and a process that another test starts
//! meanwhile would hold it open for writing.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cgi::Cgi;
use swiftd_plugin::testing::{Answer, Exchange, Harness};

/// The document root.
pub(crate) static ROOT: LazyLock<PathBuf> = LazyLock::new(make);

/// Name, whether it is executable, content.
const FILES: &[(&str, bool, &str)] = &[
    (
        "hello",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello\\n'\n",
    ),
    (
        "env",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n/usr/bin/env\necho ARGUMENTS=$#\n",
    ),
    (
        "cat",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexec cat\n",
    ),
    (
        "count",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nwc -c\n",
    ),
    // Prints what the query says; + is a space, | the end of a line, ~ a carriage return.
    (
        "print",
        true,
        "#!/bin/sh\nprintf %s \"$QUERY_STRING\" | tr '+|~' ' \\n\\r'\n",
    ),
    // Tells through the fifo in the query that it is there, and that it has gone.
    (
        "hold",
        true,
        "#!/bin/sh\nexec 9>\"$QUERY_STRING\"\nexec sleep 1000\n",
    ),
    (
        "hold_begun",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nbegun'\nexec 9>\"$QUERY_STRING\"\nexec sleep 1000\n",
    ),
    (
        "hold_closed",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\ndone'\nexec >&- 2>&-\nexec 9>\"$QUERY_STRING\"\nexec sleep 1000\n",
    ),
    // What it starts stays until somebody writes into the fifo.
    (
        "leave_behind",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\ndone'\nhead -c 1 \"$QUERY_STRING\" &\n",
    ),
    // Goes on whenever somebody writes a line into the fifo.
    (
        "steps",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nzero'\nexec 8<>\"$QUERY_STRING\"\nwhile read word <&8; do\n[ \"$word\" = end ] && exit\nprintf ,%s \"$word\"\ndone\n",
    ),
    (
        "large",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexec head -c 1000000 /dev/zero\n",
    ),
    (
        "endless",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexec yes\n",
    ),
    ("endless_header", true, "#!/bin/sh\nexec yes 'X: y'\n"),
    (
        "circle",
        true,
        "#!/bin/sh\nprintf 'Location: %s\\n\\n' \"$SCRIPT_NAME\"\n",
    ),
    ("silent", true, "#!/bin/sh\n"),
    (
        "fails",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nfine'\nexit 3\n",
    ),
    (
        "dies",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhalf'\nkill -9 $$\n",
    ),
    (
        "complains",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho first >&2\nprintf last >&2\n",
    ),
    (
        "complains_long",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nhead -c 5000 /dev/zero | tr '\\0' a >&2\nyes | head -n 500 >&2\n",
    ),
    (
        "cwd",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\npwd\n",
    ),
    (
        "sub/inner",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho \"$SCRIPT_NAME $PATH_INFO $PATH_TRANSLATED\"; pwd\n",
    ),
    (
        "nph-raw",
        true,
        "#!/bin/sh\nprintf 'HTTP/1.1 200 OK\\r\\n\\r\\n'\n",
    ),
    (
        "plain",
        false,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello\\n'\n",
    ),
    ("no_interpreter", true, "#!/no/such/program\n"),
    (
        "hello.py",
        false,
        "import os, sys\nprint('Content-Type: text/plain\\n')\nprint('python', os.environ['REQUEST_METHOD'], sys.stdin.read())\n",
    ),
    (
        "sub/hello.py",
        false,
        "print('Content-Type: text/plain\\n')\nprint('inner')\n",
    ),
    (
        ".hidden",
        true,
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello\\n'\n",
    ),
    ("note.txt", false, "a note\n"),
];

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    const char *query = getenv("QUERY_STRING");
    printf("Content-Type: text/plain\r\n\r\nC %s\n", query ? query : "none");
    return 0;
}
"#;

fn make() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cgi-site");
    let _ = fs::remove_dir_all(&root);
    let scripts = root.join("cgi-bin");
    fs::create_dir_all(scripts.join("sub")).unwrap();
    fs::create_dir_all(root.join("fifos")).unwrap();
    for (name, is_executable, text) in FILES {
        let file = scripts.join(name);
        fs::write(&file, text).unwrap();
        let mode = if *is_executable { 0o755 } else { 0o644 };
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }
    fs::write(root.join("outside"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("outside"), Permissions::from_mode(0o755)).unwrap();
    symlink(root.join("outside"), scripts.join("escape")).unwrap();
    symlink("hello", scripts.join("alias")).unwrap();
    fs::write(root.join("c.c"), C).unwrap();
    let cc = Command::new("cc")
        .arg("-o")
        .args([scripts.join("c"), root.join("c.c")])
        .status();
    assert!(cc.unwrap().success());
    root
}

/// A server with these scripts.
pub(crate) fn server() -> Harness<Cgi> {
    Harness::new().docroot(ROOT.to_str().unwrap())
}

/// The answer of a server with these scripts.
pub(crate) fn get(target: &str) -> Answer {
    server().get(target)
}

/// A named pipe of its own.
pub(crate) struct Fifo(PathBuf);

impl Fifo {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = ROOT.join("fifos").join(number.to_string());
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        Self(path)
    }

    /// The target of a script that uses it.
    pub(crate) fn target(&self, script: &str) -> String {
        format!("/cgi-bin/{script}?{}", self.0.display())
    }

    /// Waits until a script has it open for writing.
    pub(crate) fn wait_for_script(&self) -> Held {
        Held(File::open(&self.0).unwrap())
    }

    /// Lets a script go on that waits for a line.
    pub(crate) fn say(&self, word: &str) {
        fs::write(&self.0, format!("{word}\n")).unwrap();
    }
}

/// A script is there as long as its end of a fifo.
pub(crate) struct Held(File);

impl Held {
    /// Waits until all its processes are gone.
    pub(crate) fn wait_for_end(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

/// Goes on until so much of the response has been written.
pub(crate) fn wait_written(server: &mut Harness<Cgi>, exchange: Exchange, text: &[u8]) {
    while server.written(exchange) != text {
        assert!(text.starts_with(&server.written(exchange)));
        server.poll();
        std::thread::yield_now();
    }
}

/// The value of a variable in the output of the script `env`.
pub(crate) fn variable<'a>(output: &'a str, name: &str) -> Option<&'a str> {
    output
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}
