//! What a connection asks of the disk, which does it late, not at all, or fails.

use super::plan::Spool;
use super::server::Core;
use super::slot::Slot;
use super::stage::{Event, Shared, Stage};
use super::world::Settings;
use std::sync::Arc;
use swiftd::conn::{Append, Id};

impl Slot {
    /// The next part of a file is to be read.
    pub fn load(&self, id: Id, stage: &mut Stage) {
        let delay = stage.rng.between(0, 300);
        match stage.rng.between(0, 60) {
            0 => stage.note("load never answered", self.client, 0),
            1 => stage.after(delay, Event::Loaded(id, false)),
            _ => {
                stage.note("load late", self.client, delay);
                stage.after(delay, Event::Loaded(id, true));
            }
        }
    }

    /// A part of a body is to be written behind what has been written.
    pub fn submit(&mut self, append: Append, id: Id, stage: &Shared, settings: &Settings) {
        let bytes_max = settings.limits.body.memory_bytes_max + settings.read_bytes;
        assert!(
            append.bytes.len() <= bytes_max,
            "a body held too much memory"
        );
        let stage = &mut *stage.borrow_mut();
        let party = &mut stage.parties[self.client];
        match &append.file {
            None => {
                party.spool.clear();
                let file = party.null_file(&stage.null);
                party.spool_file = Some(file);
            }
            Some(file) => {
                let own = party.spool_file.as_ref().expect("the disk has made one");
                assert!(Arc::ptr_eq(own, file), "another body's file");
            }
        }
        assert_eq!(append.offset, party.spool.len() as u64, "a gap in a body");
        party.spool.extend_from_slice(&append.bytes);
        self.watch.handle_append(stage.clock);
        let number = party.current.expect("a plugin has claimed it");
        let delay = stage.rng.between(0, 200);
        match stage.plans[number].spool {
            Spool::Works => {
                stage.note("append late", self.client, delay);
                stage.after(delay, Event::Appended(id, true));
            }
            Spool::Fails => {
                stage.note("append fails", self.client, delay);
                stage.after(delay, Event::Appended(id, false));
            }
            Spool::Never => stage.note("append never answered", self.client, 0),
        }
    }

    /// It has been written, or not.
    pub fn handle_appended(&mut self, is_fine: bool, core: &mut Core, id: Id, stage: &Shared) {
        self.watch.writing_since = None;
        let file = {
            let stage = stage.borrow();
            stage.parties[self.client]
                .spool_file
                .clone()
                .filter(|_| is_fine)
        };
        self.connection.handle_appended(file, &mut core.context(id));
    }
}
