//! Who was at work when the process died: a breadcrumb in memory that outlives the worker.
//!
//! The loop stores plugin and hook in one word before it calls a plugin, and zero after. A
//! supervisor shares the page with its worker ([`share`]), so it can name the culprit of any death,
//! also of one that leaves no time for a last word (SIGKILL, out of memory). Without a supervisor
//! the page is ordinary memory and serves the handler of fatal signals alone.
//!
//! INVARIANT: everything in the page is atomic, and nothing that is read from it is believed: a
//! plugin gone wild may have written anything.

#![allow(unsafe_code)]

pub use super::fatal::install_handler;

use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32};

/// How many plugins the table names. A slot beyond it is reported by its number.
pub const ENTRIES_MAX: usize = 64;

/// Which file a plugin was loaded from: device, inode, bytes, mtime and ctime in nanoseconds.
pub type FileIdentity = [u64; 5];

/// What a plugin was called for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Hook {
    /// An instance begins.
    Init,
    /// It is given its configuration.
    SetDefault,
    /// It ends.
    Cleanup,
    /// The second's tick.
    Trigger,
    /// SIGHUP came.
    Sighup,
    /// A connection ended.
    ConnectionClose,
    /// A request ended.
    ConnectionReset,
    /// A request is resumed.
    Joblist,
    /// The head is parsed.
    UrlRaw,
    /// The path is clean.
    UrlClean,
    /// The document root is chosen.
    Docroot,
    /// Root and path are joined.
    Physical,
    /// Who handles it?
    SubrequestStart,
    /// The owner answers.
    HandleSubrequest,
    /// The response is over.
    SubrequestEnd,
    /// The state is handed over.
    Save,
    /// The state is taken over.
    Restore,
    /// A newer instance has taken over.
    Retire,
    /// Its timer, watch, `done` or `drop`.
    Callback,
    /// Its file is loaded: constructors run.
    Load,
    /// Its file is unloaded: destructors run.
    Unload,
    /// A job on a helper thread.
    Job,
}

/// The names, in the order of [`Hook`].
pub const HOOKS: [&str; 22] = [
    "init",
    "set_default",
    "cleanup",
    "trigger",
    "sighup",
    "connection_close",
    "connection_reset",
    "joblist",
    "url_raw",
    "url_clean",
    "docroot",
    "physical",
    "subrequest_start",
    "handle_subrequest",
    "subrequest_end",
    "save",
    "restore",
    "retire",
    "callback",
    "load",
    "unload",
    "job",
];

const _: () = assert!(HOOKS.len() == Hook::Job as usize + 1);

impl Hook {
    /// As in the plugin contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        HOOKS[self as usize]
    }
}

/// The name of a hook by its number, which may be anything.
pub(super) fn hook_name(crumb: u32) -> &'static str {
    HOOKS.get((crumb & 0xffff) as usize).unwrap_or(&"unknown")
}

/// What the supervisor and its worker share.
pub(super) struct Page {
    /// Who is at work on the loop's thread: slot + 1 above, hook below; 0 for nobody.
    pub(super) breadcrumb: AtomicU32,
    /// What the handler of fatal signals found: 0 if it was not called, [`OUTSIDE`] if no plugin
    /// was at work on the thread that failed, else that thread's breadcrumb.
    pub(super) verdict: AtomicU32,
    /// Grows with each turn of the loop.
    heartbeat: AtomicU32,
    /// The worker serves.
    is_ready: AtomicU32,
    pub(super) entries: [Entry; ENTRIES_MAX],
}

/// A verdict: no plugin was at work.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// A plugin in the table.
pub(super) struct Entry {
    /// Padded with NUL.
    pub(super) name: [AtomicU8; NAME_BYTES_MAX],
    /// In halves: not every machine has atomics of 64 bits.
    identity: [AtomicU32; 10],
}

/// A plugin's name has at most 31 bytes.
const NAME_BYTES_MAX: usize = 32;

impl Page {
    const fn new() -> Self {
        Self {
            breadcrumb: AtomicU32::new(0),
            verdict: AtomicU32::new(0),
            heartbeat: AtomicU32::new(0),
            is_ready: AtomicU32::new(0),
            entries: [const {
                Entry {
                    name: [const { AtomicU8::new(0) }; NAME_BYTES_MAX],
                    identity: [const { AtomicU32::new(0) }; 10],
                }
            }; ENTRIES_MAX],
        }
    }
}

/// What is used until the page is shared.
static LOCAL: Page = Page::new();

/// INVARIANT: points to [`LOCAL`] or to a mapping of the size of a `Page` that is never unmapped.
static PAGE: AtomicPtr<Page> = AtomicPtr::new((&raw const LOCAL).cast_mut());

#[inline]
pub(super) fn page() -> &'static Page {
    // SAFETY: the invariant of `PAGE`; all fields are atomic and zero is valid for each.
    unsafe { &*PAGE.load(Relaxed) }
}

/// Puts the page where a process that is forked from now on shares it. To be called once, before
/// the first fork.
///
/// # Errors
/// No memory is left.
pub fn share() -> io::Result<()> {
    let address = super::raw::map(size_of::<Page>(), libc::MAP_SHARED)?;
    PAGE.store(address.cast(), Relaxed);
    Ok(())
}

/// Notes that the loop's thread calls a plugin.
#[inline]
pub fn enter(slot: u16, hook: Hook) {
    page().breadcrumb.store(crumb(slot, hook), Relaxed);
}

/// Notes that the plugin has returned.
#[inline]
pub fn leave() {
    page().breadcrumb.store(0, Relaxed);
}

const fn crumb(slot: u16, hook: Hook) -> u32 {
    ((slot as u32 + 1) << 16) | hook as u32
}

thread_local! {
    /// The breadcrumb of a thread that is not the loop's. Constant and without a destructor, so
    /// that a signal handler may read it.
    static CRUMB: Cell<u32> = const { Cell::new(0) };
}

/// Notes that a helper thread runs a job of a plugin.
pub fn enter_job(slot: u16) {
    CRUMB.set(crumb(slot, Hook::Job));
}

/// Notes that the job has returned.
pub fn leave_job() {
    CRUMB.set(0);
}

/// The breadcrumb of this helper thread.
pub(super) fn job_crumb() -> u32 {
    CRUMB.try_with(Cell::get).unwrap_or(0)
}

/// Names the plugin in a slot, before anything of its file is called. What is too long is cut.
pub fn set_entry(slot: u16, name: &str, identity: FileIdentity) {
    let Some(entry) = page().entries.get(usize::from(slot)) else {
        return;
    };
    let bytes = name.bytes().take(NAME_BYTES_MAX - 1);
    for (cell, byte) in entry.name.iter().zip(bytes.chain(std::iter::repeat(0))) {
        cell.store(byte, Relaxed);
    }
    for (halves, word) in entry.identity.chunks_exact(2).zip(identity) {
        halves[0].store(word as u32, Relaxed);
        halves[1].store((word >> 32) as u32, Relaxed);
    }
}

/// The slot is empty again.
pub fn clear_entry(slot: u16) {
    set_entry(slot, "", [0; 5]);
}

/// Notes that the loop has begun another turn.
#[inline]
pub fn beat() {
    let heartbeat = &page().heartbeat;
    // There is one writer, so this needs no locked instruction.
    heartbeat.store(heartbeat.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Notes that the worker serves.
pub fn set_ready() {
    page().is_ready.store(1, Relaxed);
}

/// Whether the worker has served.
#[must_use]
pub fn is_ready() -> bool {
    page().is_ready.load(Relaxed) != 0
}

/// What changes while the worker is alive: its turns and its breadcrumb.
#[must_use]
pub fn pulse() -> (u32, u32) {
    let page = page();
    (page.heartbeat.load(Relaxed), page.breadcrumb.load(Relaxed))
}

/// Forgets a dead worker.
pub fn reset() {
    let page = page();
    for cell in [
        &page.breadcrumb,
        &page.verdict,
        &page.heartbeat,
        &page.is_ready,
    ] {
        cell.store(0, Relaxed);
    }
    for slot in 0..ENTRIES_MAX {
        clear_entry(slot as u16);
    }
}

/// The plugin that was at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Its slot.
    pub slot: u32,
    /// Its name; empty if the table does not tell.
    pub name: String,
    /// The file it was loaded from.
    pub identity: FileIdentity,
    /// What it was called for.
    pub hook: &'static str,
}

/// Who was at work when the worker died; `None` if no plugin was.
#[must_use]
pub fn culprit() -> Option<Culprit> {
    let page = page();
    let crumb = match page.verdict.load(Relaxed) {
        0 => page.breadcrumb.load(Relaxed),
        OUTSIDE => 0,
        crumb => crumb,
    };
    let slot = (crumb >> 16).checked_sub(1)?;
    let mut culprit = Culprit {
        slot,
        name: String::new(),
        identity: [0; 5],
        hook: hook_name(crumb),
    };
    if let Some(entry) = page.entries.get(slot as usize) {
        let name = entry.name.iter().map(|cell| cell.load(Relaxed));
        // It goes into the log, so it must not be more than a word.
        let name = name.take_while(|&byte| byte != 0).map(printable);
        culprit.name = name.map(char::from).collect();
        for (word, halves) in culprit.identity.iter_mut().zip(entry.identity.chunks(2)) {
            *word = u64::from(halves[0].load(Relaxed)) | u64::from(halves[1].load(Relaxed)) << 32;
        }
    }
    Some(culprit)
}

/// A byte that may stand in the log.
pub(super) fn printable(byte: u8) -> u8 {
    if byte.is_ascii_graphic() { byte } else { b'?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page is one for all tests of the process, so one test has it.
    #[test]
    fn the_breadcrumb_names_plugin_and_hook() {
        assert_eq!(culprit(), None);
        let identity = [1, 2, u64::MAX, 1 << 32, 0xffff_ffff];
        set_entry(3, "crashy", identity);
        enter(3, Hook::HandleSubrequest);
        let found = culprit().unwrap();
        assert_eq!((&found.name[..], found.slot), ("crashy", 3));
        assert_eq!(
            (found.identity, found.hook),
            (identity, "handle_subrequest")
        );

        // Another thread's fault is not the fault of who is at work on the loop's.
        page().verdict.store(OUTSIDE, Relaxed);
        assert_eq!(culprit(), None);
        page().verdict.store(crumb(3, Hook::Job), Relaxed);
        assert_eq!(culprit().unwrap().hook, "job");
        page().verdict.store(0, Relaxed);

        set_entry(3, &"n\n".repeat(40), identity);
        assert_eq!(culprit().unwrap().name, "n?".repeat(16)[..31]);
        clear_entry(3);
        assert_eq!(culprit().unwrap().name, "");
        enter(9999, Hook::Init);
        set_entry(9999, "nobody", identity);
        assert_eq!((culprit().unwrap().slot, HOOKS.len()), (9999, 22));
        page().breadcrumb.store(0xffff_fff0, Relaxed);
        assert_eq!(culprit().unwrap().hook, "unknown");
        leave();
        assert_eq!(culprit(), None);

        let (before, _) = pulse();
        beat();
        assert_eq!(pulse(), (before.wrapping_add(1), 0));
        set_ready();
        assert!(is_ready());
        reset();
        assert!(!is_ready() && pulse() == (0, 0));
    }

    #[test]
    fn a_thread_has_its_own_breadcrumb() {
        enter_job(7);
        assert_eq!(job_crumb(), crumb(7, Hook::Job));
        assert_eq!(std::thread::spawn(job_crumb).join().unwrap(), 0);
        leave_job();
        assert_eq!(job_crumb(), 0);
    }

    #[test]
    fn hooks_have_their_names() {
        assert_eq!(Hook::Init.name(), "init");
        assert_eq!(Hook::HandleSubrequest.name(), "handle_subrequest");
        assert_eq!(Hook::Callback.name(), "callback");
        assert_eq!(Hook::Unload.name(), "unload");
    }
}
