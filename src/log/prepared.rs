//! Logs of a configuration, opened and not in use yet; and how they take the place of others.

use super::channel::{Channel, News, Purpose};
use super::sink::Sink;
use super::{Book, Error, INDICES_MAX, Indices};
use crate::config::{AccessLog, Config, Destination, Level};
use std::io;
use std::mem;

/// The logs of a configuration, each of them open.
#[derive(Debug)]
pub struct Prepared {
    pub(super) level: Level,
    pub(super) bytes_max: usize,
    pub(super) error: (Destination, Option<Sink>),
    /// In the order of [`Config::access_logs`].
    pub(super) access: Vec<(AccessLog, Option<Sink>)>,
    pub(super) has_files: bool,
}

/// Opens all logs that a configuration names; nothing is in use by that.
///
/// # Errors
/// One of them cannot be opened. A system's log that is not there is no error: it may come.
pub fn prepare(config: &Config) -> Result<Prepared, Error> {
    let error = config.logs.error.clone();
    let error_sink = Sink::open(&error)?;
    let open = |log: AccessLog| Sink::open(&log.destination).map(|sink| (log, sink));
    let logs = config.access_logs().into_iter();
    let access = logs.map(open).collect::<Result<Vec<_>, _>>()?;
    let mut sinks = access
        .iter()
        .map(|(_, sink)| sink)
        .chain(std::iter::once(&error_sink))
        .flatten();
    Ok(Prepared {
        level: config.logs.level,
        bytes_max: config.logs.buffer_bytes_max,
        has_files: sinks.any(Sink::is_file),
        error: (error, error_sink),
        access,
    })
}

impl Book {
    pub(super) fn start_thread(&mut self) -> io::Result<()> {
        let disk = self.disk.beside();
        let worker = disk.start_for_logs()?;
        self.own = Some((disk, worker));
        Ok(())
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The error log goes there from now on.
    pub(super) fn set_error(
        &mut self,
        destination: Destination,
        sink: Option<Sink>,
        bytes_max: usize,
    ) {
        let now = self.clock.now;
        self.error.bytes_max = bytes_max;
        if self.error.purpose == Purpose::Errors(destination.clone()) {
            return self.error.replace(sink, now);
        }
        let new = Channel::new(self.id(), Purpose::Errors(destination), sink, bytes_max);
        let mut old = mem::replace(&mut self.error, new);
        self.error.take_stderr(&mut old, now);
        self.error.adopt(&old);
        self.error.dropped_total = old.dropped_total;
        self.access.push(old);
        self.close_forgotten();
    }

    /// The requests of hosts of the configurations from `epoch` on go there.
    pub(super) fn set_access(
        &mut self,
        logs: Vec<(AccessLog, Option<Sink>)>,
        bytes_max: usize,
        epoch: u32,
    ) {
        let now = self.clock.now;
        let mut channels = Vec::new();
        for (log, sink) in logs {
            let purpose = Purpose::Requests(log);
            let known = self.access.iter_mut().find(|it| it.purpose == purpose);
            if let Some(channel) = known {
                channel.bytes_max = bytes_max;
                channel.replace(sink, now);
                channels.push(channel.id);
                continue;
            }
            let id = self.id();
            let mut channel = Channel::new(id, purpose, sink, bytes_max);
            let before = self.indices.last();
            let before = before.and_then(|indices| indices.channels.get(channels.len()));
            if let Some(old) = self.access.iter().find(|it| Some(&it.id) == before) {
                channel.adopt(old);
            }
            channels.push(id);
            self.access.push(channel);
        }
        if self
            .indices
            .last()
            .is_some_and(|it| it.channels == channels)
        {
            return;
        }
        self.indices.push(Indices { epoch, channels });
        if self.indices.len() > INDICES_MAX {
            self.indices.remove(0);
        }
        self.close_forgotten();
    }

    /// Logs that nothing can be noted in any more are written to their ends and closed.
    pub(super) fn close_forgotten(&mut self) {
        let now = self.clock.now;
        let indices = &self.indices;
        let is_named = |id: u32| indices.iter().any(|it| it.channels.contains(&id));
        let mut batches = Vec::new();
        for channel in self.access.iter_mut().filter(|it| !is_named(it.id)) {
            batches.extend(channel.take_batch(now, true));
        }
        let is_kept = |channel: &mut Channel| is_named(channel.id) || channel.is_busy();
        let gone: Vec<_> = self
            .access
            .extract_if(.., |channel| !is_kept(channel))
            .collect();
        for batch in batches {
            self.submit(batch);
        }
        for channel in gone {
            let (purpose, count) = (channel.purpose.clone(), channel.pending_count());
            if count > 0 {
                self.tell(&purpose, News::Lost(count));
            }
            if let Some(sink) = channel.into_sink() {
                self.let_go(sink);
            }
        }
    }
}
