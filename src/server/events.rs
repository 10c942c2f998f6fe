//! What a turn hears: readiness, the disk thread's replies, signals, expired timers. Each is passed
//! on to the connection that it concerns, which is then queued to be driven.

use super::{Server, Share, inner, key, special};
use crate::conn::{Id, Why};
use crate::disk::Reply;
use crate::sandbox;
use crate::sys::poll::Readiness;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

impl Server {
    pub(super) fn handle_event(&mut self, readiness: Readiness) {
        match readiness.key {
            key::DISK => self.handle_replies(),
            key::SIGNALS => self.handle_signals(),
            key::OUTSIDE | key::PLUGINS => self.core.hooks.handle_ready(readiness),
            key if key >= key::RESOURCES => self.core.hooks.handle_ready(readiness),
            key if (key::DESK..key::SUCCESSOR).contains(&key) => self.handle_desk(key),
            key::SUCCESSOR => self.handle_heir(),
            key if key < key::SLOTS => {
                let mut doors = self.doors.iter_mut();
                if let Some(door) = doors.find(|door| door.key == key) {
                    door.is_ready = true;
                }
            }
            key => {
                let index = (key - key::SLOTS) as u32;
                let Some(slot) = self.slots.get_mut(index) else {
                    return;
                };
                slot.is_readable |= readiness.is_readable;
                slot.is_writable |= readiness.is_writable;
                slot.has_peer_ended |= readiness.has_peer_ended;
                // One whose sending side we have shut is hung up when the peer has ended its own
                // in good order, and there may be bytes before that: left unread, they would turn
                // the close into a reset, and the peer could lose what is still in flight to it.
                if readiness.is_hung_up && !slot.is_shut {
                    let id = slot.id(index);
                    slot.connection
                        .abort(Why::ClientGone, &mut self.core.context(id, &slot.socket));
                }
                self.enqueue(index);
            }
        }
    }

    fn handle_replies(&mut self) {
        let mut replies = self.disk.take_replies();
        replies.extend(self.log.take_replies());
        for reply in replies {
            match reply {
                Reply::Logged(outcome) => self.log.handle(*outcome),
                Reply::Found { key, found, opened } => {
                    for id in self.core.handler.files.handle_found(key, &found, opened) {
                        self.core.handler.files.deliver(Some(&found));
                        self.wake(id);
                        self.core.handler.files.deliver(None);
                    }
                }
                Reply::RootChecked { site, replacement } => {
                    let replacement = replacement.unwrap_or_else(|error| {
                        let path = Path::new(OsStr::from_bytes(site.root_path()));
                        let hint = sandbox::explain_replaced(&error);
                        self.log.error(format_args!(
                            "another directory is at {}, but cannot be opened: {error}{hint}; the one before is still served",
                            path.display()
                        ));
                        None
                    });
                    let files = &mut self.core.handler.files;
                    files.handle_root_checked(&site, &replacement);
                }
                Reply::Loaded { id, result } => self.handle_loaded(id, result),
                Reply::Appended { id, result } => {
                    if let Err(error) = &result {
                        self.log.error(format_args!(
                            "cannot keep a request body in temp-dir: {error}"
                        ));
                    }
                    if let Some(slot) = self.slots.find_mut(id) {
                        let cx = &mut self.core.context(id, &slot.socket);
                        slot.connection.handle_appended(result.ok(), cx);
                        self.enqueue(id.slot);
                    }
                }
            }
        }
        self.tend_reload();
        self.tend_reopen();
        if self.should_stop.swap(false, Ordering::AcqRel) {
            self.stop();
        }
    }

    fn handle_loaded(&mut self, id: Id, result: io::Result<()>) {
        let Some(slot) = self.slots.find_mut(id) else {
            return self.handle_inner_loaded(id, result.is_ok());
        };
        let cx = &mut self.core.context(id, &slot.socket);
        slot.connection.handle_loading(false, cx);
        slot.is_loaded = true;
        slot.cold_piece = None;
        if let Err(error) = result {
            self.log.error(format_args!("cannot read a file: {error}"));
            slot.connection.abort(Why::Error, cx);
        }
        self.enqueue(id.slot);
    }

    pub(super) fn handle_expired(&mut self, index: u32) {
        match index {
            special::RESUME => {
                self.resume = None;
                self.is_paused = false;
            }
            special::STOP => self.is_stopped = true,
            special::DESK => self.handle_desk(key::DESK),
            special::SUCCESSOR => self.handle_heir_late(),
            special::REOPEN => self.handle_reopen_late(),
            special::WATCHDOG => self.give_sign_of_life(),
            slot if slot >= inner::FIRST_SLOT => self.handle_inner_deadline(slot),
            _ => self.handle_deadline(index),
        }
    }

    fn handle_deadline(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        slot.timer = None;
        // The kernel reports room only when a third of a send buffer of megabytes is free. A client
        // that has taken less than that, but enough, is found out by an attempt.
        slot.is_writable = true;
        if self.drive(index) == Share::IsOver {
            return;
        }
        if let Some(slot) = self.slots.get_mut(index)
            && slot.connection.has_missed_deadline(self.core.now)
        {
            let id = slot.id(index);
            slot.connection
                .handle_deadline(&mut self.core.context(id, &slot.socket));
            if self.drive(index) == Share::IsOver {
                return;
            }
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.timer = Some(self.timers.insert(slot.connection.deadline(), index));
        }
    }

    fn wake(&mut self, id: Id) {
        if let Some(slot) = self.slots.find_mut(id) {
            slot.connection
                .handle_wake(&mut self.core.context(id, &slot.socket));
            self.enqueue(id.slot);
        } else {
            self.wake_inner(id, false);
        }
    }
}
