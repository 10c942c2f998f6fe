//! The logs of the server: one of errors, and as many of requests as its hosts want.
//!
//! Lines are gathered in bounded buffers and written in batches by a helper thread, so a disk that
//! is full, slow or hung never holds the loop: what finds no room is counted, and the count is
//! logged. The disk thread does it, unless a log is a file: then a second thread of the same kind
//! does, because a log whose disk hangs must not hold those who look for files on another.
//!
//! INVARIANT: a log occupies no more than its bound, whatever becomes of its destination.

mod access;
mod channel;
mod error;
mod escape;
mod json;
mod line;
mod prepared;
mod reopen;
mod ring;
mod sink;
mod voice;

pub use error::Error;
pub use prepared::{Prepared, prepare};
pub use sink::{Batch, Outcome};
pub use voice::Voice;

use crate::config::{Destination, Format, Level};
use crate::conn::{Journal, Note};
use crate::disk::{Disk, Job, Reply, Worker};
use crate::policy::Hosts;
use crate::sys::process;
use crate::text::Sieve;
use channel::{Channel, GATHER_MS, News, Purpose, kept_line};
use line::{Clock, DAEMON, LOCAL7};
use reopen::Reopening;
use sink::Sink;
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// All logs of a server. What is cloned is the same: the loop has one, its connections another.
#[derive(Clone, Debug)]
pub struct Log(Rc<RefCell<Book>>);

#[derive(Debug)]
struct Book {
    clock: Clock,
    level: Level,
    error: Channel,
    /// Those of requests: what the current configuration names, and what older ones did. An error log
    /// that has been replaced is here until it is written to its end.
    access: Vec<Channel>,
    /// Which channel an index stands for, for the hosts of each configuration; the newest is last.
    indices: Vec<Indices>,
    next_id: u32,
    /// The nearest time at which a channel has something to do.
    due: u64,
    line: String,
    disk: Arc<Disk>,
    /// The thread for logs in files.
    own: Option<(Arc<Disk>, Worker)>,
    reopening: Reopening,
}

/// What the indices of some hosts stand for.
#[derive(Debug)]
struct Indices {
    /// The first configuration that they are of.
    epoch: u32,
    /// By index, the id of the channel.
    channels: Vec<u32>,
}

/// Configurations whose indices are remembered for requests that began under them. Those that change
/// nothing about access logs do not count.
const INDICES_MAX: usize = 2;

/// How long the end of the server waits for lines that have not been written.
const END_PATIENCE: Duration = Duration::from_secs(1);

impl Log {
    /// Logs, begun with what was prepared.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new(disk: Arc<Disk>, prepared: Prepared, now: u64, unix_secs: u64) -> io::Result<Self> {
        let (destination, sink) = prepared.error;
        let error = Channel::new(0, Purpose::Errors(destination), sink, prepared.bytes_max);
        let mut book = Book {
            clock: Clock::new(now, unix_secs),
            level: prepared.level,
            error,
            access: Vec::new(),
            indices: Vec::new(),
            next_id: 1,
            due: u64::MAX,
            line: String::new(),
            disk,
            own: None,
            reopening: Reopening::default(),
        };
        if prepared.has_files {
            book.start_thread()?;
        }
        book.set_access(prepared.access, prepared.bytes_max, 0);
        Ok(Self(Rc::new(RefCell::new(book))))
    }

    /// Goes on with what was prepared from a new configuration, whose hosts are these. Logs that are
    /// in both lose nothing; files are opened anew by it. Requests that began before are noted in
    /// the logs of their own hosts.
    pub fn swap(&self, prepared: Prepared, hosts: &Hosts) {
        let mut book = self.0.borrow_mut();
        if prepared.has_files
            && book.own.is_none()
            && let Err(error) = book.start_thread()
        {
            book.write(
                Level::Warning,
                format_args!("no thread for the logs ({error}); the disk thread writes them"),
            );
        }
        book.level = prepared.level;
        let (destination, sink) = prepared.error;
        book.set_error(destination, sink, prepared.bytes_max);
        let epoch = hosts.default.epoch;
        book.set_access(prepared.access, prepared.bytes_max, epoch);
        book.flush(false);
    }

    /// The time has come to this: milliseconds of the loop's clock, seconds since 1970.
    pub fn set_clock(&self, now: u64, unix_secs: u64) {
        self.0.borrow_mut().clock.set(now, unix_secs);
    }

    /// Adds a line to the error log, if it is worth as much as the operator wants.
    pub fn write(&self, level: Level, line: fmt::Arguments<'_>) {
        self.0.borrow_mut().write(level, line);
    }

    /// Adds a line about what has been done, unless the log is standard error, which says such things
    /// in its own way or not at all.
    pub fn notice(&self, line: fmt::Arguments<'_>) {
        self.0.borrow_mut().notice(line);
    }

    /// Adds a line about something that did not work.
    pub fn error(&self, line: fmt::Arguments<'_>) {
        self.write(Level::Error, line);
    }

    /// How many lines have found no room so far, by log. Several of one name, as in two formats, are
    /// one.
    #[must_use]
    pub fn dropped_totals(&self) -> Vec<(String, u64)> {
        let book = self.0.borrow();
        let mut totals: Vec<(String, u64)> = Vec::new();
        for channel in std::iter::once(&book.error).chain(&book.access) {
            let name = channel.purpose.name();
            match totals.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += channel.dropped_total,
                None => totals.push((name, channel.dropped_total)),
            }
        }
        totals
    }

    /// When [`Self::flush`] has something to do, milliseconds.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        Some(self.0.borrow().due).filter(|&due| due < u64::MAX)
    }

    /// Hands the lines that are due to the thread that writes them. Costs a comparison if none are.
    pub fn flush(&self) {
        let mut book = self.0.borrow_mut();
        if book.clock.now >= book.due {
            book.flush(false);
        }
    }

    /// What the logs in memory hold, the oldest line first; each under a title if there are several.
    #[must_use]
    pub fn ring_text(&self) -> Vec<u8> {
        let book = self.0.borrow();
        let channels = std::iter::once(&book.error).chain(&book.access);
        let rings: Vec<_> = channels
            .filter_map(|channel| Some((channel, channel.ring()?)))
            .collect();
        let mut text = Vec::new();
        for (channel, ring) in &rings {
            if rings.len() > 1 {
                text.extend_from_slice(format!("==> {} <==\n", channel.purpose.name()).as_bytes());
            }
            for piece in ring.text() {
                text.extend_from_slice(piece);
            }
        }
        text
    }

    /// What became of batches that the log's own thread has written.
    #[must_use]
    pub fn take_replies(&self) -> Vec<Reply> {
        let book = self.0.borrow();
        let own = book.own.as_ref();
        own.map_or(Vec::new(), |(disk, _)| disk.take_replies_beside())
    }

    /// What became of a batch.
    pub fn handle(&self, outcome: Outcome) {
        let mut book = self.0.borrow_mut();
        book.handle(outcome);
        book.find_due();
    }

    /// Writes everything that is there, and waits for it within bounds: the server ends.
    pub fn finish(&self) {
        let mut book = self.0.borrow_mut();
        let deadline = Instant::now() + END_PATIENCE;
        for channel in book.channels() {
            channel.begin_end();
        }
        loop {
            for reply in book.take_replies() {
                if let Reply::Logged(outcome) = reply {
                    book.handle(*outcome);
                }
            }
            book.flush(true);
            if !book.is_busy() || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        book.mourn();
    }
}

impl Journal for Log {
    fn note(&mut self, note: &Note<'_>) {
        self.0.borrow_mut().note(note);
    }
}

impl Book {
    fn write(&mut self, level: Level, line: fmt::Arguments<'_>) {
        if level > self.level || !self.error.is_on() {
            return;
        }
        self.line.clear();
        // Writing to memory does not fail.
        let _ = Sieve(&mut self.line).write_fmt(line);
        let (clock, line) = (&mut self.clock, &self.line);
        let destination = self.error.purpose.destination().clone();
        self.error.add(clock.now, 0, |out| {
            match destination {
                Destination::Stderr => out.extend_from_slice(b"swiftd: "),
                Destination::Syslog | Destination::SyslogAt(_) => {
                    clock.push_syslog(out, DAEMON, level);
                }
                Destination::File(_) | Destination::Ring(_) => clock.push_stamp(out, level),
                Destination::Off => {}
            }
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        });
        self.due = self.due.min(self.error.due());
    }

    fn notice(&mut self, line: fmt::Arguments<'_>) {
        if *self.error.purpose.destination() != Destination::Stderr {
            self.write(Level::Notice, line);
        }
    }

    fn note(&mut self, note: &Note<'_>) {
        let of_host = |indices: &&Indices| note.host.epoch >= indices.epoch;
        let indices = self.indices.iter().rev().find(of_host);
        // A host that is older than what is remembered: its logs were most likely these.
        let indices = indices.or(self.indices.first());
        let id = indices.and_then(|indices| indices.channels.get(usize::from(note.log)));
        let Some(channel) = id.and_then(|id| self.access.iter_mut().find(|it| it.id == *id)) else {
            return;
        };
        let Purpose::Requests(log) = &channel.purpose else {
            return;
        };
        let format = log.format;
        let is_syslog = matches!(
            log.destination,
            Destination::Syslog | Destination::SyslogAt(_)
        );
        let clock = &mut self.clock;
        channel.add(clock.now, GATHER_MS, |out| {
            if is_syslog {
                clock.push_syslog(out, LOCAL7, Level::Info);
            }
            match format {
                Format::Json => json::push(out, note, &clock.forms().iso),
                _ => access::push(out, note, format, &clock.forms().clf),
            }
            out.push(b'\n');
        });
        self.due = self.due.min(channel.due());
    }

    fn channels(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.access
            .iter_mut()
            .chain(std::iter::once(&mut self.error))
    }

    /// Hands over what is due, or everything.
    fn flush(&mut self, is_forced: bool) {
        let now = self.clock.now;
        let mut batches = Vec::new();
        let mut losses = Vec::new();
        for channel in self.channels() {
            batches.extend(channel.take_batch(now, is_forced));
            let loss = channel.take_loss(now, is_forced);
            losses.extend(loss.map(|news| (channel.purpose.clone(), news)));
        }
        for batch in batches {
            self.submit(batch);
        }
        for (purpose, news) in losses {
            self.tell(&purpose, news);
        }
        if is_forced && let Some(batch) = self.error.take_batch(now, true) {
            self.submit(batch);
        }
        self.find_due();
    }

    fn find_due(&mut self) {
        self.due = self.channels().map(|it| it.due()).min().unwrap_or(u64::MAX);
    }

    fn submit(&self, batch: Batch) {
        let disk = self.own.as_ref().map_or(&self.disk, |(disk, _)| disk);
        // The queue of logs is bounded by their number, so it is never full.
        let _ = disk.submit(Job::Log(Box::new(batch)));
    }

    fn handle(&mut self, outcome: Outcome) {
        let now = self.clock.now;
        let id = outcome.log;
        let Some(channel) = self.channels().find(|channel| channel.id == id) else {
            // The log has gone meanwhile.
            return self.let_go(outcome.sink);
        };
        let news = channel.handle(outcome, now);
        let purpose = channel.purpose.clone();
        for news in news {
            self.tell(&purpose, news);
        }
        self.close_forgotten();
        self.tend_reopening();
    }

    /// Closing may wait, so the thread does it.
    fn let_go(&self, sink: Sink) {
        self.submit(Batch {
            log: None,
            sink,
            lines: Vec::new(),
            reopens: false,
            moves_stderr: false,
        });
    }

    /// Tells the operator something about a log. What is about the error log itself goes to
    /// standard error, where somebody may still find it.
    fn tell(&mut self, purpose: &Purpose, news: News) {
        let name = purpose.name();
        let (level, line) = match news {
            News::Fails(error) if error.kind() == io::ErrorKind::WouldBlock => (
                Level::Error,
                format!(
                    "cannot write the {name}: whoever reads it takes no more; lines are dropped when the buffer is full"
                ),
            ),
            News::Fails(error) => (
                Level::Error,
                format!(
                    "cannot write the {name}: {error}; trying again every second, lines are dropped when the buffer is full"
                ),
            ),
            News::Works => (Level::Notice, format!("the {name} is written again")),
            News::Lost(count) => (
                Level::Warning,
                format!("{count} {} dropped ({name})", purpose.lines_name()),
            ),
            News::Kept(error) => (Level::Error, kept_line(&error)),
            News::Gone(sink) => return self.let_go(sink),
        };
        let is_of_itself = matches!(purpose, Purpose::Errors(it) if *it != Destination::Stderr);
        if is_of_itself {
            self.submit(Batch::for_stderr(format!("swiftd: {line}\n").into_bytes()));
        }
        self.write(level, format_args!("{line}"));
    }

    fn take_replies(&self) -> Vec<Reply> {
        let mut replies = self.disk.take_replies();
        if let Some((own, _)) = &self.own {
            replies.extend(own.take_replies_beside());
        }
        replies
    }

    fn is_busy(&mut self) -> bool {
        self.channels().any(|channel| channel.is_busy())
    }

    /// What could not be written before the end, counted where somebody may still find it.
    fn mourn(&mut self) {
        let mut lines = Vec::new();
        for channel in self.channels() {
            let count = channel.pending_count();
            if count > 0 {
                let (what, name) = (channel.purpose.lines_name(), channel.purpose.name());
                lines.extend(
                    format!("swiftd: {count} {what} dropped at the end ({name})\n").bytes(),
                );
            }
        }
        if !lines.is_empty() {
            process::print_error(&lines);
        }
    }
}

#[cfg(test)]
mod tests {
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
            "==> error log ram:4K <==\n1994-11-06T08:49:37Z error: one\n\
         ==> access log ram:4K <==\n127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 5\n"
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
    fn a_destination_has_one_figure_whatever_the_formats() {
        let mut config = config(Destination::Off, Some(Destination::Stderr));
        let mut rules = config.rules.clone();
        rules.access_log = Some(AccessLog {
            destination: Destination::Stderr,
            format: Format::Json,
        });
        config.hosts = vec![crate::config::Host {
            names: Vec::new(),
            site: config.site.clone(),
            rules,
        }];
        let (log, _) = start(&config);
        let totals = log.dropped_totals();
        let names: Vec<&str> = totals.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["error log off", "access log stderr"]);
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
    fn a_log_that_was_taken_away_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let file = |name: &str| Some(Destination::File(path(name)));
        let (log, _) = start(&config(Destination::Off, file("a")));
        let new = config(Destination::Off, file("b"));
        log.swap(prepare(&new).unwrap(), &hosts(1));
        for name in ["a", "b"] {
            fs::rename(path(name), path(&format!("{name}.1"))).unwrap();
        }
        log.reopen();
        note(&log, "/1", 0);
        note(&log, "/2", 1);
        log.finish();
        assert_eq!(targets(&path("a.1")), "/1");
        assert!(!path("a").exists());
        assert_eq!(targets(&path("b")), "/2");
    }

    #[test]
    fn what_comes_of_opening_anew_is_known_when_the_thread_has_done_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = Some(Destination::File(path.clone()));
        let (log, _) = start(&config(Destination::Ring(4096), file));
        assert!(log.take_reopened().is_none(), "nobody has asked");
        let wait = || loop {
            for reply in log.take_replies() {
                if let Reply::Logged(outcome) = reply {
                    log.handle(*outcome);
                }
            }
            log.flush();
            if let Some(result) = log.take_reopened() {
                break result;
            }
            std::thread::yield_now();
        };
        log.reopen();
        assert_eq!(wait(), Ok(()));
        assert!(log.take_reopened().is_none(), "it is told once");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        log.reopen();
        let line = wait().unwrap_err();
        assert!(line.starts_with("cannot open the log "), "{line}");
        assert!(text(&log).contains(&line), "{}", text(&log));
        // Two in a row: the last one counts.
        log.reopen();
        fs::remove_dir(&path).unwrap();
        log.reopen();
        assert_eq!(wait(), Ok(()));
        // Where no thread works nothing comes of it.
        let (log, _disk) = start(&config(Destination::Off, Some(Destination::Stderr)));
        log.reopen();
        assert!(log.take_reopened().is_none());
        let (log, _disk) = start(&config(Destination::Off, None));
        log.reopen();
        assert_eq!(log.take_reopened(), Some(Ok(())), "there is no file");
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
        let line_bytes =
            "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 5\n".len();
        let dropped = log.dropped_totals()[1].1 as usize;
        let kept = 1000 - dropped;
        assert!(
            kept * line_bytes <= 4096 && kept * line_bytes > 3500,
            "{kept} lines"
        );
        assert!(batch.lines.len() <= 4096);
    }
}
