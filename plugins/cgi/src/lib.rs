//! CGI/1.1 (RFC 3875): what is under a prefix is answered by scripts, one process for each request.
//!
//! ```toml
//! [plugin.cgi]
//! prefix = "/cgi-bin/"
//! handlers = [".php=/usr/bin/php-cgi", ".py=/usr/bin/python3"]
//! timeout = 30
//! ```
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `prefix` | `/cgi-bin/` | where in the URL scripts are; begins and ends with a slash |
//! | `dir` | document root and prefix | where on disk they are; absolute |
//! | `suffixes` | none | if given, only files with such a suffix (`.cgi`) are scripts; a path without one is left to other plugins and static files |
//! | `handlers` | none | `SUFFIX=PROGRAM ARGUMENTS`: files of that suffix need not be executable, the program is run with the file as its last argument; the first that fits |
//! | `timeout` | 30 | seconds without output, 1 to 3600 |
//! | `max_time` | 300 | seconds in all, 1 to 86400 |
//! | `max_processes` | 16 | scripts at a time, 1 to 1024; beyond them 503 with Retry-After |
//! | `max_header_bytes` | 8192 | the header of a script's output, 256 to 65536 |
//! | `pass_env` | none | variables of the server that scripts get; PATH is `/usr/local/bin:/usr/bin:/bin` unless it is named here |
//! | `stderr` | `log` | `log`: lines go to the server's log, up to 100 of 1024 bytes for a request; `null` |
//!
//! # Which file
//!
//! The first regular file on the way along the path; what follows is PATH_INFO. Nothing there or a
//! hidden name: 404. A directory, no permission, a link out of `dir`, a name with `nph-`: 403. With
//! `suffixes`, other files beneath the prefix are served as they are: keep no copies of scripts there.
//!
//! # What a script gets
//!
//! Its directory as the current one; the variables of RFC 3875, 4.1 and HTTPS, DOCUMENT_ROOT,
//! REDIRECT_STATUS, REMOTE_PORT, REQUEST_URI, SCRIPT_FILENAME, SERVER_ADDR; nothing else of the
//! server's environment. REMOTE_HOST is the address; both are empty for a client on a Unix socket.
//! Fields become HTTP_ variables except Proxy, Authorization, those about the connection, and names
//! with an underscore. There are never command-line words made of the query (4.4): interpreters take
//! them for options. The body is on stdin: all of it, and then its end.
//!
//! # What becomes of its output
//!
//! A Location with an absolute path and no Status is answered by that path of this server (6.2.2);
//! after other methods than GET and HEAD, whose body and method it would inherit, and where the
//! server does not allow it, the client is sent there with 303. Any other Location is the client's,
//! with 302 unless there is a Status. For HEAD the script runs, and its content goes nowhere. A
//! malformed or missing header is 502, a script that takes too long 504; if the response had begun,
//! the connection is cut. Content-Length is checked: too much is cut off, too little cuts the
//! connection.
//!
//! # Its end
//!
//! The response is complete when the output ends, or when the script has ended and its output has
//! been read; what it left behind goes on and is not heard. A script that closed its output and goes
//! on is killed after a second, with its process group; so is, at once, one whose request ends
//! otherwise. Who wants to stay in the background calls `setsid` and
//! gives up stdout. Codes other than 0 are logged.

mod config;
mod environment;
mod head;
mod pipes;
mod run;
mod script;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use swiftd_plugin::*;

use crate::config::Config;
use crate::head::Redirect;
use crate::run::{Run, Step};
use crate::script::{Refusal, Script};

/// Longer than any of our own limits, which come with their reasons.
const DEADLINE: Duration = Duration::from_secs(2 * 86_400);

/// The plugin's state.
#[derive(Debug)]
pub struct Cgi {
    config: Arc<Config>,
    running: Rc<Cell<usize>>,
    started: Counter,
    failed: Counter,
    refused: Counter,
}

/// Where a request is.
enum Stage {
    /// The script is looked for.
    Looking(Pending<Result<Script, Refusal>>),
    /// It runs.
    Running(Box<Run>, Slot, String),
    /// Taken out for the moment, or over.
    Over,
}

/// One of the processes that may run.
struct Slot(Rc<Cell<usize>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

plugin! {
    impl Plugin for Cgi {
        const NAME: &CStr = c"cgi";
        const VERSION: &CStr = c"1.0";
        // Scripts lie beneath the roots, or in a directory of their own.
        const NEEDS: &[&str] = &["exec", "exec:@roots", "exec:$dir"];

        fn init(host: &Host) -> Result<Self, String> {
            Ok(Cgi {
                config: Arc::new(Config::read(host)?),
                running: Rc::default(),
                started: host.counter("scripts_started"),
                failed: host.counter("scripts_failed"),
                refused: host.counter("scripts_refused"),
            })
        }

        fn subrequest_start(&mut self, req: &mut Request) -> Flow {
            if self.config.claims(req.path()) { Flow::Finished } else { Flow::GoOn }
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            if let Some(Stage::Looking(pending)) = req.data::<Stage>() {
                return match pending.take() {
                    None => Flow::WaitForEvent,
                    Some(Ok(Ok(script))) => self.launch(req, &script),
                    Some(Ok(Err(refusal))) => refuse(req, &refusal),
                    Some(Err(_)) => Flow::Error,
                };
            }
            let stage = req.data::<Stage>().map(|stage| std::mem::replace(stage, Stage::Over));
            match stage {
                Some(Stage::Running(run, slot, name)) => self.advance(req, run, slot, name),
                _ => self.look(req),
            }
        }
    }
}

impl Cgi {
    /// Looks for the script where it cannot hold up others.
    fn look(&self, req: &mut Request) -> Flow {
        let path = req.path().to_vec();
        let root = match (&self.config.dir, req.docroot()) {
            (Some(dir), _) => dir.clone(),
            (None, Some(docroot)) => beneath(docroot, &self.config.prefix),
            (None, None) => {
                req.host()
                    .error("there is neither a document root nor \"dir\"");
                return Flow::Error;
            }
        };
        let config = Arc::clone(&self.config);
        match req.job(move || script::find(&config, &root, &path)) {
            Ok(pending) => keep(req, Stage::Looking(pending), Flow::WaitForEvent),
            Err(_) => self.overloaded(req, "no more jobs"),
        }
    }

    fn launch(&self, req: &mut Request, script: &Script) -> Flow {
        let name = String::from_utf8_lossy(&script.name).into_owned();
        if self.running.get() >= self.config.max_processes {
            return self.overloaded(req, "max_processes are running");
        }
        self.running.set(self.running.get() + 1);
        let slot = Slot(Rc::clone(&self.running));
        let complaints = if self.config.logs_stderr {
            Stdio::Pipe
        } else {
            Stdio::Null
        };
        let command = environment::command(&self.config, script, req)
            .stdin(pipes::stdin(req))
            .stdout(Stdio::Pipe)
            .stderr(complaints);
        let child = match req.spawn(&command) {
            Ok(child) => child,
            Err(error) => {
                // A lack of processes and a bad interpreter look alike from here.
                self.failed.add(1);
                let text = "cannot be started (its interpreter? the server's bound of processes?)";
                req.host().error(format_args!("{name}: {text}: {error}"));
                return status(req, 500);
            }
        };
        self.started.add(1);
        let run = req
            .set_deadline(DEADLINE)
            .and_then(|()| Run::new(req, child, Arc::clone(&self.config), name.clone()));
        match run {
            Ok(run) => self.advance(req, Box::new(run), slot, name),
            Err(error) => {
                req.host().error(format_args!(
                    "{name}: its streams cannot be watched: {error}"
                ));
                Flow::Error
            }
        }
    }

    fn advance(&self, req: &mut Request, mut run: Box<Run>, slot: Slot, name: String) -> Flow {
        let step = run.advance(req);
        if let Step::Wait(flow) = step {
            return keep(req, Stage::Running(run, slot, name), flow);
        }
        run.finish();
        match step {
            Step::Redirect(to) => {
                // The script ends before another takes over.
                drop((run, slot));
                redirect(req, &to)
            }
            Step::Failed {
                status: code,
                reason,
            } => {
                self.failed.add(1);
                req.host().error(format_args!("{name}: {reason}"));
                if run.has_started() {
                    Flow::Error
                } else {
                    status(req, code)
                }
            }
            Step::Finished | Step::Wait(_) => {
                if let Some(exit) = run.failure() {
                    let end = match exit {
                        Exit::Code(code) => format!("code {code}"),
                        Exit::Signal(signal) => format!("signal {signal}"),
                    };
                    let text = "the response is complete, but it ended with";
                    req.host().warn(format_args!("{name}: {text} {end}"));
                }
                Flow::Finished
            }
        }
    }

    fn overloaded(&self, req: &mut Request, reason: &str) -> Flow {
        self.refused.add(1);
        req.host().warn(format_args!("503: {reason}"));
        match req.set_header("retry-after", "1") {
            Ok(()) => status(req, 503),
            Err(_) => Flow::Error,
        }
    }
}

/// The document root and the prefix.
fn beneath(docroot: &[u8], prefix: &[u8]) -> PathBuf {
    let docroot = docroot.strip_suffix(b"/").unwrap_or(docroot);
    config::path_of(&[docroot, prefix].concat())
}

fn refuse(req: &mut Request, refusal: &Refusal) -> Flow {
    let path = String::from_utf8_lossy(req.path());
    match refusal {
        Refusal::NotFound => status(req, 404),
        Refusal::Forbidden(reason) => {
            req.host().notice(format_args!("{path}: 403: {reason}"));
            status(req, 403)
        }
        Refusal::Failed(error) => {
            req.host().error(format_args!("{path}: {error}"));
            Flow::Error
        }
    }
}

/// Another resource of this server answers. If it cannot be here, the client is sent there.
fn redirect(req: &mut Request, to: &Redirect) -> Flow {
    let is_safe = matches!(req.method(), b"GET" | b"HEAD");
    let is_same_query = req.query().unwrap_or_default() == to.query;
    if is_safe
        && (is_same_query || req.set_query(&to.query).is_ok())
        && req.set_path(&to.path).is_ok()
        && req.clear_data().is_ok()
    {
        return Flow::Comeback;
    }
    match req.set_header("location", &to.location) {
        Ok(()) => status(req, 303),
        Err(_) => Flow::Error,
    }
}

/// A status, with the server's page.
fn status(req: &mut Request, code: u16) -> Flow {
    match req.set_status(code) {
        Ok(()) => Flow::Finished,
        Err(_) => Flow::Error,
    }
}

fn keep(req: &mut Request, stage: Stage, flow: Flow) -> Flow {
    match req.set_data(stage) {
        Ok(()) => flow,
        Err(_) => Flow::Error,
    }
}
