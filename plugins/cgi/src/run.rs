//! A script that runs for a request: its output becomes the response.
//!
//! Whatever wakes the request, [`Run::advance`] does all that can be done without waiting: it feeds
//! the body, logs complaints, reads output, writes to the client. Output is read only when what was
//! read before has been taken, so a slow client slows the script and nothing piles up.
//!
//! A response that is complete before it has begun is sent whole, with its length; else it begins as
//! soon as the script pauses, and follows piece by piece.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use swiftd_plugin::{Child, ChildId, Error, Exit, Flow, Host, Ready, Request, TimerId, Watched};

use crate::config::Config;
use crate::head::{self, Head, Redirect};
use crate::pipes::{CHUNK_BYTES, Complaints, Feed, READS_MAX};

/// A response up to here is sent whole if its length is announced; a longer one is streamed.
const WHOLE_BYTES_MAX: usize = 64 << 10;
/// A script that has closed its output has so long to end before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// What came of it.
pub(crate) enum Step {
    /// Answer this from the hook; it goes on when something happens.
    Wait(Flow),
    /// The response is complete.
    Finished,
    /// Another path of this server answers (6.2.2).
    Redirect(Redirect),
    /// No response, or only a part of one.
    Failed { status: u16, reason: String },
}

/// Where the output is.
enum Phase {
    /// Looked at up to here for the end of the head.
    Head { seen: usize },
    /// The head is known, the client knows nothing.
    Held(Head),
    /// The response is on its way.
    Started(Head),
}

/// The script and its streams. Dropping it kills the script.
pub(crate) struct Run {
    host: Host,
    config: Arc<Config>,
    child: ChildId,
    exit: Option<Exit>,
    feed: Option<Feed>,
    /// `None` after the end of the output.
    output: Option<Watched<File>>,
    complaints: Complaints,
    phase: Phase,
    /// Output that nobody has taken yet: the head, then content.
    pending: Vec<u8>,
    /// Content received, bytes.
    received: u64,
    /// Content of a HEAD that is too long to be counted in memory was let go.
    has_discarded: bool,
    started_at: u64,
    /// When the script last did something, or could not because of the client.
    active_at: u64,
    ended_at: Option<u64>,
    timer: Option<(TimerId, u64)>,
}

impl Drop for Run {
    fn drop(&mut self) {
        // Each may have ended with the request already; the script must not outlive a COMEBACK.
        let _ = self.host.cancel(self.child);
        if let Some((timer, _)) = self.timer {
            let _ = self.host.cancel(timer);
        }
    }
}

impl Run {
    pub(crate) fn new(
        req: &mut Request<'_>,
        mut child: Child,
        config: Arc<Config>,
        name: String,
    ) -> Result<Self, Error> {
        let now = req.host().now_ms();
        let output = child.stdout.take().ok_or(Error::Failed)?;
        Ok(Self {
            host: req.host().clone(),
            config,
            child: child.id,
            exit: None,
            feed: Feed::new(req, &mut child)?,
            output: Some(req.watch_owned(File::from(output), Ready::READ)?),
            complaints: Complaints::new(req, &mut child, name)?,
            phase: Phase::Head { seen: 0 },
            pending: Vec::new(),
            received: 0,
            has_discarded: false,
            started_at: now,
            active_at: now,
            ended_at: None,
            timer: None,
        })
    }

    /// Whether the client has seen something of the response.
    pub(crate) fn has_started(&self) -> bool {
        matches!(self.phase, Phase::Started(_))
    }

    /// As far as it goes.
    pub(crate) fn advance(&mut self, req: &mut Request<'_>) -> Step {
        // The end is asked for before the output is read: what the script wrote is in the pipe then.
        if self.exit.is_none() {
            self.exit = self.host.child_status(self.child).unwrap_or_default();
        }
        if let Some(feed) = &mut self.feed {
            let (has_moved, is_over) = feed.advance(req);
            if has_moved {
                self.active_at = self.host.now_ms();
            }
            if is_over {
                self.feed = None;
            }
        }
        let has_more = self.complaints.advance(&self.host);
        match self.pump(req) {
            Step::Wait(flow) => self.wait(req, flow, has_more),
            step => step,
        }
    }

    /// Output to response, in turns.
    fn pump(&mut self, req: &mut Request<'_>) -> Step {
        for _ in 0..READS_MAX {
            if let Err(step) = self.take_pending(req) {
                return step;
            }
            if self.output.is_none() {
                return self.conclude(req);
            }
            match self.read() {
                Ok(()) => {}
                Err(ErrorKind::Interrupted) => {}
                Err(ErrorKind::WouldBlock) if self.exit.is_none() => {
                    if let Err(step) = self.begin_early(req) {
                        return step;
                    }
                    return Step::Wait(Flow::WaitForFd);
                }
                // The script has ended: who still holds the pipe was left behind by it.
                Err(_) => self.end_output(),
            }
        }
        // Edge-triggered: nobody else would say that there is more.
        let _ = self.host.waker(req.id()).wake();
        Step::Wait(Flow::WaitForEvent)
    }

    /// What can be done with the output that was read.
    fn take_pending(&mut self, req: &mut Request<'_>) -> Result<(), Step> {
        if let Phase::Head { seen } = self.phase {
            self.take_head(seen)?;
        }
        if let Phase::Held(head) = &self.phase {
            if req.method() == b"HEAD" && self.pending.len() > WHOLE_BYTES_MAX {
                self.has_discarded = true;
            }
            if self.has_discarded || is_bodiless(head) {
                self.pending.clear();
            }
            if self.pending.len() > WHOLE_BYTES_MAX {
                self.start(req)?;
            }
        }
        if self.has_started() {
            self.write(req)?;
        }
        Ok(())
    }

    fn take_head(&mut self, seen: usize) -> Result<(), Step> {
        let max = self.config.max_header_bytes;
        let end = head::end(&self.pending, seen).filter(|end| *end <= max);
        let Some(end) = end else {
            if self.pending.len() > max {
                return Err(bad(format!("its header is longer than {max} bytes")));
            }
            self.phase = Phase::Head {
                seen: self.pending.len(),
            };
            return Ok(());
        };
        let head = head::parse(&self.pending[..end]).map_err(bad)?;
        self.pending.drain(..end);
        self.phase = Phase::Held(head);
        let content = self.pending.len();
        self.count(content);
        Ok(())
    }

    /// Notes content that has come. What is beyond the announced length is not sent.
    fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
        let (Phase::Held(head) | Phase::Started(head)) = &self.phase else {
            return;
        };
        let Some(length) = head.content_length else {
            return;
        };
        if self.received >= length {
            let beyond = usize::try_from(self.received - length).unwrap_or(usize::MAX);
            let left = self.pending.len().saturating_sub(beyond);
            self.pending.truncate(left);
            self.received = length;
            self.end_output();
        }
    }

    fn read(&mut self) -> Result<(), ErrorKind> {
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        let mut chunk = [0; CHUNK_BYTES];
        match output.get_mut().read(&mut chunk) {
            Ok(0) => self.end_output(),
            Ok(n) => {
                self.active_at = self.host.now_ms();
                self.pending.extend_from_slice(&chunk[..n]);
                if !matches!(self.phase, Phase::Head { .. }) {
                    self.count(n);
                }
            }
            Err(error) => return Err(error.kind()),
        }
        Ok(())
    }

    fn end_output(&mut self) {
        self.output = None;
        self.ended_at = Some(self.host.now_ms());
    }

    /// The script pauses: the client gets what there is, unless the rest of a short response will
    /// come shortly.
    fn begin_early(&mut self, req: &mut Request<'_>) -> Result<(), Step> {
        let Phase::Held(head) = &self.phase else {
            return Ok(());
        };
        let is_short = head
            .content_length
            .is_some_and(|length| length <= WHOLE_BYTES_MAX as u64);
        if is_short || is_bodiless(head) || req.method() == b"HEAD" {
            return Ok(());
        }
        self.start(req)?;
        self.write(req)
    }

    fn start(&mut self, req: &mut Request<'_>) -> Result<(), Step> {
        let phase = std::mem::replace(&mut self.phase, Phase::Head { seen: 0 });
        let Phase::Held(head) = phase else {
            self.phase = phase;
            return Ok(());
        };
        let result = tell(req, &head).and_then(|()| req.start());
        if let Err(error) = result {
            self.phase = Phase::Held(head);
            return Err(bad(format!("the response cannot begin: {error}")));
        }
        self.phase = Phase::Started(head);
        Ok(())
    }

    fn write(&mut self, req: &mut Request<'_>) -> Result<(), Step> {
        let mut written = 0;
        let result = loop {
            if written == self.pending.len() {
                break Ok(());
            }
            match req.write(&self.pending[written..]) {
                Ok(n) => written += n,
                Err(Error::Again) => {
                    // It is the client that keeps the script waiting.
                    self.active_at = self.host.now_ms();
                    break Err(Step::Wait(Flow::WaitForEvent));
                }
                Err(error) => break Err(bad(format!("the response cannot go on: {error}"))),
            }
        };
        self.pending.drain(..written);
        result
    }

    /// The output has ended, and all of it has been taken.
    fn conclude(&mut self, req: &mut Request<'_>) -> Step {
        let ended_at = self.ended_at.unwrap_or(0);
        let is_late = self.host.now_ms().saturating_sub(ended_at) >= millis(GRACE);
        if self.exit.is_none() && !is_late {
            return Step::Wait(Flow::WaitForEvent);
        }
        let ended = match self.exit {
            Some(Exit::Code(code)) => format!("it ended with code {code}"),
            Some(Exit::Signal(signal)) => format!("signal {signal} ended it"),
            None => "it goes on without output".to_owned(),
        };
        let is_cut = |head: &Head| {
            let is_short = head.content_length.is_some_and(|len| self.received < len);
            let is_complete = head.content_length.is_some_and(|len| self.received == len);
            let was_killed = matches!(self.exit, Some(Exit::Signal(_)));
            let has_content = !is_bodiless(head) && req.method() != b"HEAD";
            (is_short && has_content) || (was_killed && !is_complete)
        };
        match &self.phase {
            Phase::Head { seen: 0 } => bad(format!("no output; {ended}")),
            Phase::Head { .. } => bad(format!("no end of its header; {ended}")),
            Phase::Held(head) | Phase::Started(head) if is_cut(head) => {
                let received = self.received;
                bad(format!(
                    "the output stops after {received} bytes of content; {ended}"
                ))
            }
            Phase::Held(head) => match &head.redirect {
                Some(redirect) => Step::Redirect(redirect.clone()),
                None => finish_whole(req, head, std::mem::take(&mut self.pending)),
            },
            Phase::Started(_) => match req.end() {
                Ok(()) => Step::Finished,
                Err(error) => bad(format!("the response cannot end: {error}")),
            },
        }
    }

    /// Time limits, and the timer for the next of them.
    fn wait(&mut self, req: &mut Request<'_>, flow: Flow, has_more: bool) -> Step {
        let now = self.host.now_ms();
        let idle_at = self.active_at + millis(self.config.timeout);
        let end_at = self.started_at + millis(self.config.max_time);
        if now >= idle_at && self.ended_at.is_none() {
            let seconds = self.config.timeout.as_secs();
            return late(format!("no output for {seconds} s (timeout)"));
        }
        if now >= end_at {
            let seconds = self.config.max_time.as_secs();
            return late(format!("not ready after {seconds} s (max_time)"));
        }
        let waits_for_client = self.has_started() && !self.pending.is_empty();
        let grace_at = self.ended_at.filter(|_| !waits_for_client);
        let next_at = grace_at.map_or(idle_at, |at| at + millis(GRACE));
        // A timer that comes too early looks again; one that comes too late is replaced.
        let next_at = next_at.min(end_at).max(now + 1);
        if self.timer.is_none_or(|(_, at)| at <= now || at > next_at) {
            if let Some((timer, _)) = self.timer.take() {
                let _ = self.host.cancel(timer);
            }
            match req.timer(Duration::from_millis(next_at - now)) {
                Ok(timer) => self.timer = Some((timer, next_at)),
                Err(error) => return bad(format!("no timer: {error}")),
            }
        }
        if has_more {
            let _ = self.host.waker(req.id()).wake();
        }
        Step::Wait(flow)
    }

    /// The last words for the log.
    pub(crate) fn finish(&mut self) {
        let _ = self.complaints.advance(&self.host);
        self.complaints.end(&self.host);
    }

    /// The exit code, if it tells of a failure.
    pub(crate) fn failure(&self) -> Option<Exit> {
        self.exit.filter(|exit| *exit != Exit::Code(0))
    }
}

/// A response of which all is known.
fn finish_whole(req: &mut Request<'_>, head: &Head, content: Vec<u8>) -> Step {
    let has_nothing = content.is_empty() && !head.has_content_type;
    let result = tell(req, head).and_then(|()| {
        // An error without a word about it is explained by the server's page.
        if is_bodiless(head) || (has_nothing && head.status() >= 400) {
            Ok(())
        } else if req.method() == b"HEAD" && content.is_empty() {
            // How long it would have been is not known.
            req.start().and_then(|()| req.end())
        } else {
            req.body_owned(content)
        }
    });
    match result {
        Ok(()) => Step::Finished,
        Err(error) => bad(format!("the server refuses the response: {error}")),
    }
}

fn bad(reason: String) -> Step {
    Step::Failed {
        status: 502,
        reason,
    }
}

fn late(reason: String) -> Step {
    Step::Failed {
        status: 504,
        reason,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the content goes nowhere.
fn is_bodiless(head: &Head) -> bool {
    matches!(head.status(), 204 | 304) || head.redirect.is_some()
}

/// Status and fields. The first field of a name replaces what the server would say, later ones are
/// added; one that the server does not take is the server's own.
fn tell(req: &mut Request<'_>, head: &Head) -> Result<(), Error> {
    req.set_status(head.status())?;
    for (at, (name, value)) in head.fields.iter().enumerate() {
        let is_same = |(other, _): &(String, Vec<u8>)| other.eq_ignore_ascii_case(name);
        let result = if head.fields[..at].iter().any(is_same) {
            req.add_header(name, value)
        } else {
            req.set_header(name, value)
        };
        match result {
            Ok(()) | Err(Error::Invalid) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
