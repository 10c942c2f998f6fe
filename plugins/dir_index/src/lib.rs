//! A directory is answered with an index file or, if wanted, with a list of what is in it.
//!
//! ```toml
//! [plugin.dir_index]
//! index = ["index.html", "index.htm"]
//! listing = "on"
//! title = "Downloads"
//! hide = ["*~", "*.bak"]
//! ```
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `index` | `index.html` | file names that answer for a directory, the first that exists; one a line or divided by commas, at most 64; empty: none |
//! | `listing` | `off` | `on`: a directory without one of these is listed |
//! | `max_entries` | `100000` | how many entries of a directory are read, 1 to 1000000; a longer list is cut and says so |
//! | `title` | `Index` | what the top of the site is called in listings |
//! | `hide` | none | patterns with `*` and `?` of names that are not listed, though still served; at most 64 |
//!
//! Only GET and HEAD of paths that end with a slash are of interest; everything else, and what is
//! not found, is left to the server: it redirects to the slash, answers other methods with 405 and
//! sends the index file with all that it can do (ranges, validators, codings). The server's own
//! `--index` comes after this list, and does not come if the directory is listed: name here all
//! index files there are.
//!
//! A list is ordered with `?sort=name|size|date&order=asc|desc` and comes as JSON to those whose
//! Accept names `application/json` (the form is in `json`). Names that begin with a dot, special
//! files, and links that are broken or lead out of the document root are not listed; a hidden
//! directory is never listed.
//!
//! The disk is looked at by jobs on the helper thread, in slices of a bounded time. What was found
//! at a path is believed for a second, so that a busy front page does not go through the helper.
//! The bytes of all lists that are being sent have a bound as well; above it a list is 503.

mod accept;
mod date;
mod directory;
mod escape;
mod glob;
mod html;
mod json;
mod order;
mod settings;
mod size;
mod view;

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;

use swiftd_plugin::*;

use directory::{Place, Verdict};
use order::Order;
use settings::Settings;
use view::{Step, View, Work};

/// How long what was found at a path is believed, as long as the server believes its own cache.
const BELIEVED_MS: u64 = 1000;

/// How many paths are remembered.
const KNOWN_MAX: usize = 256;

/// Bytes of lists that are being sent, to all clients together; a single one may be larger. Slow
/// readers of large lists would otherwise fill the memory.
const SENDING_BYTES_MAX: usize = 16 << 20;

/// How long a client that came at a busy time is asked to wait, seconds.
const RETRY_AFTER_SECS: &str = "1";

/// The plugin.
#[derive(Debug)]
pub struct DirIndex {
    settings: Arc<Settings>,
    known: HashMap<Place, Known>,
    sending_bytes: Rc<Cell<usize>>,
}

/// What was found at a path, and until when that is believed.
#[derive(Debug, Clone, Copy)]
struct Known {
    verdict: Verdict,
    until_ms: u64,
}

/// Where a request is.
enum Progress {
    /// What is at the path?
    Looking(Place, Pending<Verdict>),
    /// A directory that is to be listed.
    Listing(Place),
    /// Its list is being made.
    Working(Pending<Step>),
    /// Its list is being sent.
    Sending { _share: Share },
    /// Nothing of ours.
    Passed,
}

/// A part of the bytes that are being sent.
struct Share {
    of: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.set(self.of.get() - self.bytes);
    }
}

plugin! {
    impl Plugin for DirIndex {
        const NAME: &CStr = c"dir_index";
        const VERSION: &CStr = c"1.0";

        fn init(host: &Host) -> Result<Self, String> {
            Ok(DirIndex {
                settings: Arc::new(Settings::read(host)?),
                known: HashMap::new(),
                sending_bytes: Rc::default(),
            })
        }

        fn physical(&mut self, req: &mut Request) -> Flow {
            self.look(req)
        }

        fn subrequest_start(&mut self, req: &mut Request) -> Flow {
            match req.data::<Progress>() {
                Some(Progress::Listing(_)) => Flow::Finished,
                _ => Flow::GoOn,
            }
        }

        fn handle_subrequest(&mut self, req: &mut Request) -> Flow {
            self.list(req)
        }
    }
}

impl DirIndex {
    /// Before other plugins are asked who answers: the file that answers for the directory may be
    /// a script of theirs.
    fn look(&mut self, req: &mut Request) -> Flow {
        let (place, verdict) = match req.data::<Progress>() {
            Some(Progress::Looking(place, pending)) => match pending.take() {
                None => return Flow::WaitForEvent,
                Some(Err(_)) => return Flow::Error,
                Some(Ok(verdict)) => (place.clone(), verdict),
            },
            _ => {
                let Some(place) = place(req) else {
                    return pass(req);
                };
                match self.recall(&place, req.host().now_ms()) {
                    Some(verdict) => (place, verdict),
                    None => return self.start_looking(req, place),
                }
            }
        };
        self.remember(&place, verdict, req.host().now_ms());
        self.decide(req, place, verdict)
    }

    fn start_looking(&self, req: &mut Request, place: Place) -> Flow {
        let (settings, looked_at) = (Arc::clone(&self.settings), place.clone());
        match req.job(move || looked_at.look(&settings.index_names)) {
            Ok(pending) => keep(req, Progress::Looking(place, pending), Flow::WaitForEvent),
            Err(_) => unavailable(req),
        }
    }

    fn decide(&self, req: &mut Request, place: Place, verdict: Verdict) -> Flow {
        match verdict {
            Verdict::Index(index) => {
                let name = self.settings.index_names[index].as_bytes();
                let file = [req.physical().unwrap_or_default(), name].concat();
                match req.set_physical(file) {
                    Ok(()) => pass(req),
                    Err(_) => Flow::Error,
                }
            }
            Verdict::Directory if self.settings.is_listing => {
                keep(req, Progress::Listing(place), Flow::GoOn)
            }
            Verdict::Directory | Verdict::Missing => pass(req),
        }
    }

    fn recall(&self, place: &Place, now_ms: u64) -> Option<Verdict> {
        let known = self.known.get(place)?;
        (now_ms < known.until_ms).then_some(known.verdict)
    }

    fn remember(&mut self, place: &Place, verdict: Verdict, now_ms: u64) {
        if self.recall(place, now_ms).is_some() {
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, known| now_ms < known.until_ms);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let until_ms = now_ms + BELIEVED_MS;
        self.known
            .insert(place.clone(), Known { verdict, until_ms });
    }

    /// The answer, step by step.
    fn list(&mut self, req: &mut Request) -> Flow {
        let step = match req.data::<Progress>() {
            Some(Progress::Working(pending)) => pending.take(),
            Some(Progress::Listing(place)) => {
                let work = Work::Open(place.clone());
                let view = self.view(req);
                return work_on(req, view, work);
            }
            _ => return Flow::Error,
        };
        match step {
            None => Flow::WaitForEvent,
            Some(Err(_)) => Flow::Error,
            Some(Ok(Step::More(view, work))) => work_on(req, view, work),
            Some(Ok(Step::Page(view, page))) => self.send(req, &view, page),
            Some(Ok(Step::Failed(error))) => fail(req, &error),
        }
    }

    fn view(&self, req: &Request) -> View {
        let accepted = (0..).map_while(|nth| req.header_nth("accept", nth));
        View {
            settings: Arc::clone(&self.settings),
            path: req.path().to_vec(),
            order: Order::of_query(req.query().unwrap_or_default()),
            is_json: accept::prefers_json(accepted),
        }
    }

    fn send(&self, req: &mut Request, view: &View, page: String) -> Flow {
        let Some(share) = self.share(page.len()) else {
            return unavailable(req);
        };
        let result =
            fill(req, view, page).and_then(|()| req.set_data(Progress::Sending { _share: share }));
        finished(req, result)
    }

    fn share(&self, bytes: usize) -> Option<Share> {
        let before = self.sending_bytes.get();
        if before > 0 && before.saturating_add(bytes) > SENDING_BYTES_MAX {
            return None;
        }
        self.sending_bytes.set(before + bytes);
        Some(Share {
            of: Rc::clone(&self.sending_bytes),
            bytes,
        })
    }
}

/// The directory that a request is for, if it is for one that may be looked at.
fn place(req: &Request) -> Option<Place> {
    let physical = req.physical()?;
    let is_directory = req.path().ends_with(b"/") && physical.ends_with(b"/");
    if !is_directory || !matches!(req.method(), b"GET" | b"HEAD") {
        return None;
    }
    Place::new(req.docroot()?, physical)
}

/// The request is not ours, whatever it was before a rewrite.
fn pass(req: &mut Request) -> Flow {
    if let Some(progress) = req.data::<Progress>() {
        *progress = Progress::Passed;
    }
    Flow::GoOn
}

fn keep(req: &mut Request, progress: Progress, flow: Flow) -> Flow {
    match req.set_data(progress) {
        Ok(()) => flow,
        Err(error) => {
            req.host()
                .error(format_args!("cannot keep where a request is: {error}"));
            Flow::Error
        }
    }
}

fn work_on(req: &mut Request, view: View, work: Work) -> Flow {
    match req.job(move || view.advance(work)) {
        Ok(pending) => keep(req, Progress::Working(pending), Flow::WaitForEvent),
        Err(_) => unavailable(req),
    }
}

fn fill(req: &mut Request, view: &View, page: String) -> swiftd_plugin::Result<()> {
    req.set_status(200)?;
    let content_type = if view.is_json {
        "application/json"
    } else {
        "text/html; charset=utf-8"
    };
    req.set_header("Content-Type", content_type)?;
    req.add_header("Vary", "Accept")?;
    req.set_header("Cache-Control", "no-cache")?;
    req.set_header("X-Content-Type-Options", "nosniff")?;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    req.set_header("Content-Security-Policy", policy)?;
    req.body_owned(page.into_bytes())
}

/// A status alone: the server has a page for it.
fn fail(req: &mut Request, error: &io::Error) -> Flow {
    let status = status_of(error.kind());
    if status == 500 {
        let path = String::from_utf8_lossy(req.path());
        req.host()
            .error(format_args!("cannot list {path}: {error}"));
    }
    let result = req.set_status(status);
    finished(req, result)
}

fn status_of(error: ErrorKind) -> u16 {
    match error {
        ErrorKind::NotFound | ErrorKind::NotADirectory => 404,
        ErrorKind::PermissionDenied => 403,
        _ => 500,
    }
}

fn unavailable(req: &mut Request) -> Flow {
    let result = req
        .set_status(503)
        .and_then(|()| req.set_header("Retry-After", RETRY_AFTER_SECS));
    finished(req, result)
}

fn finished(req: &Request, result: swiftd_plugin::Result<()>) -> Flow {
    match result {
        Ok(()) => Flow::Finished,
        Err(error) => {
            req.host().error(format_args!("cannot respond: {error}"));
            Flow::Error
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swiftd_plugin::testing::Harness;

    #[test]
    fn lists_that_are_being_sent_have_a_bound() {
        Harness::<DirIndex>::new().plugin(|plugin| {
            let large = plugin.share(SENDING_BYTES_MAX + 1);
            assert!(large.is_some(), "a single one may be larger");
            assert!(plugin.share(1).is_none());
            drop(large);
            let half = plugin.share(SENDING_BYTES_MAX / 2);
            let other = plugin.share(SENDING_BYTES_MAX / 2);
            assert!(half.is_some() && other.is_some());
            assert!(plugin.share(2).is_none());
            drop((half, other));
            assert_eq!(plugin.sending_bytes.get(), 0);
        });
    }

    #[test]
    fn a_share_ends_with_its_request() {
        let root = tempfile::tempdir().unwrap();
        let mut harness = Harness::<DirIndex>::new()
            .docroot(root.path().to_str().unwrap())
            .config("listing", "on");
        assert_eq!(harness.get("/").status, 200);
        harness.plugin(|plugin| assert_eq!(plugin.sending_bytes.get(), 0));
        // While others take all of it, a list has to wait.
        let rest = harness.plugin(|plugin| plugin.share(SENDING_BYTES_MAX));
        let answer = harness.get("/");
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("1"))
        );
        drop(rest);
        assert_eq!(harness.get("/").status, 200);
    }

    #[test]
    fn no_more_paths_are_remembered_than_the_bound() {
        Harness::<DirIndex>::new().plugin(|plugin| {
            let place = |number: usize| {
                let physical = format!("/srv/{number}/");
                Place::new(b"/srv", physical.as_bytes()).unwrap()
            };
            let old = 0;
            for number in 0..KNOWN_MAX {
                plugin.remember(&place(number), Verdict::Missing, old);
            }
            assert_eq!(plugin.known.len(), KNOWN_MAX);
            let now = old + BELIEVED_MS;
            for number in 0..2 * KNOWN_MAX {
                plugin.remember(&place(number), Verdict::Directory, now);
                assert!(plugin.known.len() <= KNOWN_MAX);
                assert_eq!(plugin.recall(&place(number), now), Some(Verdict::Directory));
            }
        });
    }

    #[test]
    fn errors_of_the_disk_have_their_status() {
        assert_eq!(status_of(ErrorKind::NotFound), 404);
        assert_eq!(status_of(ErrorKind::NotADirectory), 404);
        assert_eq!(status_of(ErrorKind::PermissionDenied), 403);
        assert_eq!(status_of(ErrorKind::Other), 500);
    }
}
