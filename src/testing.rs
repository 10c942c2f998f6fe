//! A connection without a socket, over files without a disk: what tests, the simulation and the
//! fuzz targets drive.
//!
//! Hidden from the documentation and not part of the program. Time stands still until it is set,
//! "sent" bytes are collected, and large files consist of a pattern, so that nothing here depends
//! on the machine.

use crate::conn::{
    Connection, Context, End, Gate, Hooks, Id, Journal, Limits, NoJournal, Nowhere, Origin, Piece,
    Pool, State,
};
use crate::handler::{Files, LookUp, Static, mime};
use crate::http::encode::Stamp;
use crate::http::negotiate::{Accepted, Coding, CodingSet};
use crate::http::representation::{Content, Identity, Modified};
use crate::http::{MediaType, Representation, Status};
use crate::policy::{Host, Hosts, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The wall clock of tests: the example of RFC 9110 §5.6.7.
pub const UNIX_SECS: u64 = 784_111_777;

/// The root of the default host in [`Memory`]. That of a host with site N is `/siteN`.
pub const ROOT: &[u8] = b"/site";

/// Files in memory.
#[derive(Debug, Default)]
pub struct Memory {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Whether the next look-ups find the disk too slow, and wait.
    pub is_slow: bool,
    /// Whether they find it too busy.
    pub is_busy: bool,
    /// Who waits for the disk.
    pub askers: Vec<Id>,
}

#[derive(Debug)]
struct Entry {
    plain: LookUp,
    coded: [Option<Arc<Representation>>; Coding::ALL.len()],
}

/// The byte at a position of a large file.
#[must_use]
pub fn pattern(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16)) as u8
}

impl Memory {
    /// Adds a small file.
    pub fn add(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        let content = Content::Memory(bytes.into());
        self.add_content(path, None, content, bytes.len() as u64)
    }

    /// Adds a precompressed sibling to a file that is there.
    pub fn add_coded(&mut self, path: &str, coding: Coding, bytes: &[u8]) -> &mut Self {
        let content = Content::Memory(bytes.into());
        self.add_content(path, Some(coding), content, bytes.len() as u64)
    }

    /// Adds a file of so many bytes of [`pattern`] that is sent by its descriptor.
    ///
    /// # Panics
    /// There is no /dev/null.
    pub fn add_large(&mut self, path: &str, bytes: u64) -> &mut Self {
        let null = std::fs::File::open("/dev/null").expect("every system has it");
        self.add_content(
            path,
            None,
            Content::Descriptor(Arc::new(null.into())),
            bytes,
        )
    }

    /// Adds a directory.
    pub fn add_directory(&mut self, path: &str) -> &mut Self {
        self.add_answer(path, LookUp::Directory)
    }

    /// Adds something that cannot be sent.
    pub fn add_missing(&mut self, path: &str, status: Status) -> &mut Self {
        self.add_answer(path, LookUp::Missing(status))
    }

    fn add_answer(&mut self, path: &str, plain: LookUp) -> &mut Self {
        let entry = Entry {
            plain,
            coded: [const { None }; 3],
        };
        self.entries.insert(path.into(), entry);
        self
    }

    fn add_content(
        &mut self,
        path: &str,
        coding: Option<Coding>,
        content: Content,
        bytes: u64,
    ) -> &mut Self {
        let modified = Modified {
            unix_secs: UNIX_SECS,
            nanos: 0,
        };
        let identity = Identity {
            device: 1,
            inode: 0,
            bytes,
            modified,
            changed: modified,
        };
        let content_type = MediaType::Known(mime::of(path.as_bytes()));
        let is_negotiated = mime::is_compressible(&content_type);
        let file = Representation::new(identity, content, content_type, coding, is_negotiated);
        match coding.and_then(|coding| Coding::ALL.iter().position(|&other| other == coding)) {
            None => {
                self.add_answer(path, LookUp::Found(Arc::new(file)));
            }
            Some(index) => {
                if let Some(entry) = self.entries.get_mut(path.as_bytes()) {
                    entry.coded[index] = Some(Arc::new(file));
                }
            }
        }
        self
    }
}

impl Files for Memory {
    /// What is beneath another root than that of the default host is there under its whole path.
    fn look_up(
        &mut self,
        site: u32,
        root: Option<&[u8]>,
        path: &[u8],
        accepted: &Accepted,
        asker: Id,
    ) -> LookUp {
        if self.is_busy {
            return LookUp::Busy;
        }
        if self.is_slow {
            self.askers.push(asker);
            return LookUp::Pending;
        }
        let whole = match (site, root) {
            (0, None) => None,
            (site, None) => Some([&root_of(site)[..], path].concat()),
            (_, Some(root)) => Some([root, path].concat()),
        };
        let Some(entry) = self.entries.get(whole.as_deref().unwrap_or(path)) else {
            return LookUp::Missing(Status::NOT_FOUND);
        };
        let coded = Coding::ALL.into_iter().zip(&entry.coded);
        let mut available = CodingSet::EMPTY;
        for (coding, _) in coded.clone().filter(|(_, file)| file.is_some()) {
            available.insert(coding);
        }
        let chosen = accepted.choose(available);
        coded
            .filter(|&(coding, _)| Some(coding) == chosen)
            .find_map(|(_, file)| file.clone())
            .map_or_else(|| entry.plain.clone(), LookUp::Found)
    }
}

/// The root of a site in [`Memory`].
#[must_use]
pub fn root_of(site: u32) -> Vec<u8> {
    match site {
        0 => ROOT.to_vec(),
        site => format!("/site{site}").into_bytes(),
    }
}

/// Hosts without names, as a server has them that nobody has told of others.
#[must_use]
pub fn policy() -> Policy {
    let default = Host {
        root: ROOT.into(),
        ..Host::default()
    };
    Policy {
        hosts: Hosts::new(Arc::new(default), []),
        ..Policy::default()
    }
}

/// A connection and all that it is lent.
pub struct Peer<H> {
    /// The connection.
    pub connection: Connection,
    /// Its bounds.
    pub limits: Limits,
    /// The plugins.
    pub hooks: H,
    /// The files.
    pub handler: Static<Memory>,
    /// The loop's clock, milliseconds.
    pub now: u64,
    /// Whether the server is about to stop.
    pub is_draining: bool,
    /// Whether it keeps idle connections meanwhile.
    pub keeps_idle: bool,
    /// Whether memory is short.
    pub is_short: bool,
    /// Where the connection comes from.
    pub origin: Box<dyn Origin>,
    /// What the operator has decided.
    pub policy: Policy,
    /// Where requests are noted.
    pub journal: Box<dyn Journal>,
    /// Who counts what each client has.
    pub gate: Option<Box<dyn Gate>>,
    pool: Pool,
    stamp: Stamp,
}

impl<H: Hooks> Peer<H> {
    /// A connection that has just been accepted.
    pub fn new(files: Memory, hooks: H, limits: Limits) -> Self {
        Self {
            connection: Connection::new(0, &limits),
            limits,
            hooks,
            handler: Static { files },
            now: 0,
            is_draining: false,
            keeps_idle: false,
            is_short: false,
            origin: Box::new(Nowhere),
            policy: policy(),
            journal: Box::new(NoJournal),
            gate: None,
            pool: Pool::default(),
            stamp: Stamp::new(UNIX_SECS),
        }
    }

    /// Calls the connection with its context.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            limits: &self.limits,
            hooks: &mut self.hooks,
            handler: &mut self.handler,
            pool: &mut self.pool,
            stamp: &self.stamp,
            now: self.now,
            id: Id {
                slot: 0,
                generation: 0,
            },
            origin: &*self.origin,
            policy: &self.policy,
            journal: &mut *self.journal,
            gate: match &mut self.gate {
                Some(gate) => Some(&mut **gate),
                None => None,
            },
            is_short: self.is_short,
            is_draining: self.is_draining,
            keeps_idle: self.keeps_idle,
        };
        call(&mut self.connection, &mut context)
    }

    /// The client sends bytes.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.with(|connection, cx| connection.handle_input(bytes, cx));
    }

    /// The client shuts its sending side.
    pub fn end(&mut self) {
        self.with(Connection::handle_end);
    }

    /// Time passes until `now`; a deadline that is due by then is handled.
    pub fn pass(&mut self, now: u64) {
        self.now = now;
        if self.connection.deadline() <= now {
            self.with(Connection::handle_deadline);
        }
    }

    /// The next at most `bytes_max` bytes that the connection sends; empty if it has none now.
    pub fn send(&mut self, bytes_max: usize) -> Vec<u8> {
        let sent = match self.connection.piece() {
            None => return Vec::new(),
            Some(Piece::Bytes { bytes, .. }) => bytes[..bytes.len().min(bytes_max)].to_vec(),
            Some(Piece::File { offset, bytes, .. }) => {
                let end = offset + bytes.min(bytes_max as u64);
                (offset..end).map(pattern).collect()
            }
        };
        self.with(|connection, cx| connection.handle_sent(sent.len() as u64, cx));
        sent
    }

    /// Everything that the connection sends until it waits.
    pub fn send_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let sent = self.send(usize::MAX);
            if sent.is_empty() {
                return all;
            }
            all.extend(sent);
        }
    }

    /// How the connection wants to be ended.
    #[must_use]
    pub fn ending(&self) -> Option<End> {
        self.connection.end()
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.connection.state()
    }
}
