//! The files: a model of truth, and the disk that tells it now, late or never.
//!
//! A path is `/PLAN/NAME`, so that a look-up tells whose it is.

use super::plan::LookUpPlan;
use super::stage::{Event, Shared};
use std::sync::Arc;
use swiftd::conn::Id;
use swiftd::handler::{Files, LookUp};
use swiftd::http::negotiate::Accepted;
use swiftd::http::representation::{Content, Identity, Modified};
use swiftd::http::{MediaType, Representation, Status};

/// A file that exists: its name, its size, and whether it is sent from its descriptor.
pub struct File {
    pub name: &'static str,
    pub bytes: u64,
    pub has_descriptor: bool,
}

/// All files. The sizes lie around those of buffers and pieces.
pub const FILES: &[File] = &[
    file("empty.txt", 0, false),
    file("one.txt", 1, false),
    file("small.txt", 100, false),
    file("page.txt", 1500, false),
    file("byte.bin", 1, true),
    file("large.bin", 3000, true),
    file("huge.bin", 9000, true),
];

/// What all of them are said to be.
pub const CONTENT_TYPE: &str = "text/x-simulated";

/// The name of a directory, of something forbidden, of nothing.
pub const DIRECTORY: &str = "directory";
pub const FORBIDDEN: &str = "forbidden";
pub const MISSING: &str = "missing";

const fn file(name: &'static str, bytes: u64, has_descriptor: bool) -> File {
    File {
        name,
        bytes,
        has_descriptor,
    }
}

/// A byte of a file, by the file's number.
pub fn byte_at(number: u64, offset: u64) -> u8 {
    (number.wrapping_mul(31) ^ offset ^ (offset >> 8)) as u8
}

/// A part of a file.
pub fn part(number: u64, offset: u64, bytes: u64) -> Vec<u8> {
    (offset..offset + bytes)
        .map(|at| byte_at(number, at))
        .collect()
}

/// The number of a file.
pub fn number(name: &str) -> u64 {
    FILES
        .iter()
        .position(|file| file.name == name)
        .expect("a file that exists") as u64
}

/// The files as a handler asks for them.
pub struct Disk {
    stage: Shared,
    representations: Vec<Arc<Representation>>,
}

impl Disk {
    pub fn new(stage: Shared) -> Self {
        let null = Arc::clone(&stage.borrow().null);
        let representations = FILES.iter().zip(0..).map(|(file, number)| {
            let modified = Modified {
                unix_secs: 1_000_000 + number,
                nanos: 0,
            };
            let identity = Identity {
                device: 1,
                inode: number,
                bytes: file.bytes,
                modified,
                changed: modified,
            };
            let content = if file.has_descriptor {
                Content::Descriptor(Arc::clone(&null))
            } else {
                Content::Memory(part(number, 0, file.bytes).into())
            };
            Arc::new(Representation::new(
                identity,
                content,
                MediaType::Known(&CONTENT_TYPE),
                None,
                false,
            ))
        });
        Self {
            representations: representations.collect(),
            stage,
        }
    }

    fn truth(&self, name: &str) -> LookUp {
        match name {
            DIRECTORY => LookUp::Directory,
            FORBIDDEN => LookUp::Missing(Status::FORBIDDEN),
            MISSING => LookUp::Missing(Status::NOT_FOUND),
            name => LookUp::Found(Arc::clone(&self.representations[number(name) as usize])),
        }
    }
}

impl Files for Disk {
    fn look_up(
        &mut self,
        _site: u32,
        _root: Option<&[u8]>,
        path: &[u8],
        _accepted: &Accepted,
        asker: Id,
    ) -> LookUp {
        let path = str::from_utf8(path).expect("clients ask for names in ASCII");
        let (number, name) = path[1..].split_once('/').expect("/PLAN/NAME");
        let number: usize = number.parse().expect("a plan's number");
        let stage = &mut *self.stage.borrow_mut();
        let plan = &mut stage.plans[number];
        let client = plan.client;
        let party = &mut stage.parties[client];
        assert_eq!(party.id, Some(asker), "a look-up for somebody else");
        let (what, delay) = match plan.look_up {
            LookUpPlan::Now => return self.truth(name),
            LookUpPlan::Late(_) if plan.record.is_found => return self.truth(name),
            LookUpPlan::Late(delay) => ("look-up late", Some(delay)),
            LookUpPlan::Never => ("look-up never answered", None),
            LookUpPlan::Busy => {
                stage.note("look-up refused", client, 0);
                return LookUp::Busy;
            }
        };
        party.is_hook_waiting = false;
        if !plan.record.is_asked {
            plan.record.is_asked = true;
            stage.note(what, client, delay.unwrap_or(0));
            if let Some(delay) = delay {
                stage.after(delay, Event::Found(asker, number));
            }
        }
        LookUp::Pending
    }
}
