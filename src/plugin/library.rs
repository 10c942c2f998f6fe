//! A plugin's library from the checked copy to the mapped one and back. The loop's thread only.
//!
//! A plugin that is built in has no library, so nothing is mapped for it and nothing unmapped.
//!
//! INVARIANT: the copy's descriptor is open as long as the library is mapped, because the loader
//! knows the library by the path of that descriptor.

use super::builtin::Builtin;
use super::elf::Entry;
pub use super::prepare::{Looked, Prepared, Refusal, prepare};
use crate::config::Need;
use crate::config::is_plugin_name;
use crate::sys::{crash, dl, memfd, threads};
use std::borrow::Cow;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::Arc;
use swiftd_plugin::abi::{self, Plugin};

/// What a plugin comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// This copy of its library.
    Copy(Arc<Prepared>),
    /// The program itself.
    Builtin(Builtin),
}

impl Origin {
    /// Which file it is, as the shared page of the supervisor holds it.
    #[must_use]
    pub fn to_words(&self) -> crash::FileIdentity {
        match self {
            Self::Copy(prepared) => prepared.identity.to_words(),
            // The program does not change while its supervisor runs.
            Self::Builtin(_) => Default::default(),
        }
    }

    /// What it declares that it needs of a process that has locked itself in.
    ///
    /// # Errors
    /// It declares something else.
    pub fn needs(&self) -> Result<Cow<'_, [Need]>, Refusal> {
        match self {
            Self::Copy(prepared) => Ok(Cow::Borrowed(&prepared.needs)),
            Self::Builtin(builtin) => Ok(Cow::Owned(builtin.needs()?)),
        }
    }
}

/// A plugin's library that is mapped, with its descriptor. Dropping it leaves it mapped.
#[derive(Debug)]
pub struct Library {
    body: Body,
    plugin: Plugin,
    name: String,
    version: String,
}

/// Where its code is.
#[derive(Debug)]
enum Body {
    Mapped {
        /// Not dropped with the rest: while it is mapped its path must not become another's.
        prepared: ManuallyDrop<Arc<Prepared>>,
        handle: dl::Library,
    },
    Builtin(Builtin),
}

/// Enters a plugin, after its library has been mapped if it has one. The loop's thread only.
///
/// # Errors
/// As [`load`].
pub fn enter(origin: Origin, name: &str) -> Result<Library, Refusal> {
    match origin {
        Origin::Copy(prepared) => load(prepared, name),
        Origin::Builtin(builtin) => {
            let found = builtin.describe();
            accept_name(found.name.as_deref(), name).map_err(Refusal::new)?;
            Ok(Library::new(&found, name, Body::Builtin(builtin)))
        }
    }
}

/// Maps a library, enters it and settles on a version. The loop's thread only.
///
/// # Errors
/// It does not fit this server. Then nothing of it is left, as far as the loader lets go of it.
pub fn load(prepared: Arc<Prepared>, name: &str) -> Result<Library, Refusal> {
    let at = |what: &str| Refusal::new(format_args!("{}: {what}", prepared.file.display()));
    let mut handle = dl::Library::open(prepared.as_fd())
        .map_err(|words| at(&format!("the loader refuses it: {words}")))?;
    let description = match prepared.findings.entry {
        Entry::Constant(bytes) => handle.constant(bytes),
        Entry::Function => CString::new(format!("{name}_init"))
            .ok()
            .and_then(|symbol| handle.fill(&symbol)),
    };
    let described = match description {
        None => Err("its entry is too small to be one: build it with swiftd_plugin.h".to_owned()),
        Some(found) => accept(&found, prepared.findings.entry, name).map(|()| found),
    };
    match described {
        Ok(found) => {
            let prepared = ManuallyDrop::new(prepared);
            Ok(Library::new(
                &found,
                name,
                Body::Mapped { prepared, handle },
            ))
        }
        Err(what) => {
            let refusal = at(&what);
            // Whatever it started already is asked about as at any other end.
            let _ = unmap(handle, prepared, foreign_threads());
            Err(refusal)
        }
    }
}

/// The version of the interface for plugins: major and minor.
pub const ABI: (u16, u16) = (abi::MAJOR, abi::MINOR);

/// Whether this server can work with what a library says of itself.
fn accept(found: &dl::Description, entry: Entry, name: &str) -> Result<(), String> {
    let plugin = &found.plugin;
    let (major, minor) = (plugin.abi_major, plugin.abi_minor);
    let own = format!("{}.{}", abi::MAJOR, abi::MINOR);
    if plugin.magic != abi::MAGIC {
        return Err(format!(
            "wrong magic {:#010x}: set it to SW_MAGIC and build it for this machine",
            plugin.magic
        ));
    }
    if major != abi::MAJOR {
        return Err(format!(
            "needs ABI {major}.{minor}, server has {own}: build it with an SDK for major {}",
            abi::MAJOR
        ));
    }
    if minor > abi::MINOR {
        return Err(format!(
            "needs ABI {major}.{minor}, server has {own}: rebuild with SDK feature \"abi-{}-{}\" or update swiftd",
            abi::MAJOR,
            abi::MINOR
        ));
    }
    let size = plugin.size as usize;
    if size < abi::PLUGIN_SIZE_1_0 {
        return Err(format!(
            "its struct has {size} bytes, version 1.0 has {}: set .size = sizeof(sw_plugin)",
            abi::PLUGIN_SIZE_1_0
        ));
    }
    if let Entry::Constant(bytes) = entry
        && bytes < size
    {
        return Err(format!(
            "its struct says {size} bytes but the symbol has {bytes}: set .size = sizeof(sw_plugin)"
        ));
    }
    if plugin.flags & !abi::flags::KNOWN != 0 {
        return Err(format!(
            "unknown flags {:#x}: update swiftd, or clear them",
            plugin.flags & !abi::flags::KNOWN
        ));
    }
    if plugin.reserved != 0 {
        return Err("its member reserved is not 0: set it to 0".to_owned());
    }
    accept_name(found.name.as_deref(), name)
}

fn accept_name(said: Option<&[u8]>, name: &str) -> Result<(), String> {
    let Some(said) = said else {
        return Err(format!("it has no name: set .name = \"{name}\""));
    };
    let text = String::from_utf8_lossy(said);
    if !is_plugin_name(&text) {
        return Err(format!(
            "bad name {text:?}: a small letter, then up to 30 small letters, digits and _"
        ));
    }
    if text != name {
        return Err(format!(
            "it is called {text}, not {name}: name it {text} in the plugin list and install it as {text}.so"
        ));
    }
    Ok(())
}

/// What became of a library that was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nothing of it is left.
    Unmapped,
    /// It is mapped for ever, as it wishes.
    Resident,
    /// It is still mapped and stays so, because.
    Stuck(String),
}

impl Library {
    fn new(found: &dl::Description, name: &str, body: Body) -> Self {
        let text = |text: &[u8]| String::from_utf8_lossy(text).escape_debug().to_string();
        Self {
            body,
            plugin: found.plugin,
            name: name.to_owned(),
            version: found.version.as_deref().map_or_else(String::new, text),
        }
    }

    /// The descriptor. Its hooks may be called as long as this exists.
    #[must_use]
    pub fn descriptor(&self) -> &Plugin {
        &self.plugin
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, in words of its own.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match &self.body {
            Body::Mapped { prepared, .. } => Origin::Copy(Arc::clone(prepared)),
            Body::Builtin(builtin) => Origin::Builtin(*builtin),
        }
    }

    /// Its thread-locals: every helper thread runs their destructors before the library is closed.
    #[must_use]
    pub fn thread_locals(&self) -> dl::ThreadLocals {
        match &self.body {
            Body::Mapped { handle, .. } => handle.thread_locals(),
            // The program's own stay until their threads end.
            Body::Builtin(_) => dl::ThreadLocals::default(),
        }
    }

    /// Unmaps it, after its destructors of thread-locals on this thread. Nothing of it may be
    /// called any more.
    #[must_use = "what is stuck is to be logged and counted"]
    pub fn close(self) -> Closed {
        self.close_unless(foreign_threads)
    }

    /// As [`Self::close`], where somebody else knows whether a thread may still be in it.
    #[must_use = "what is stuck is to be logged and counted"]
    pub fn close_unless(self, hindrance: impl FnOnce() -> Option<String>) -> Closed {
        match self.body {
            // There was nothing to unmap.
            Body::Builtin(_) => Closed::Unmapped,
            Body::Mapped { .. } if self.plugin.flags & abi::flags::RESIDENT != 0 => {
                Closed::Resident
            }
            Body::Mapped { prepared, handle } => {
                unmap(handle, ManuallyDrop::into_inner(prepared), hindrance())
            }
        }
    }
}

/// What keeps any library from being unmapped: threads that the server did not start.
fn foreign_threads() -> Option<String> {
    match threads::foreign() {
        Ok(foreign) => hindrance(&foreign),
        Err(error) => Some(format!("cannot list the threads: {error}")),
    }
}

/// Why nothing is unmapped while these threads are there.
pub(super) fn hindrance(foreign: &[String]) -> Option<String> {
    (!foreign.is_empty()).then(|| {
        format!(
            "a thread runs that the server did not start: {}; join it in cleanup",
            foreign.join(", ")
        )
    })
}

fn unmap(handle: dl::Library, prepared: Arc<Prepared>, hindrance: Option<String>) -> Closed {
    let try_it = || {
        if let Some(why) = hindrance {
            return Err(why);
        }
        let thread_locals = handle.thread_locals();
        thread_locals.run_here();
        let left = thread_locals.left();
        if left > 0 {
            return Err(format!(
                "{left} destructors of thread-locals wait for other threads"
            ));
        }
        let closed = handle.close();
        closed.map_err(|words| format!("the loader does not close it: {words}"))?;
        match memfd::is_mapped(prepared.copy_inode) {
            Ok(false) => Ok(()),
            Ok(true) => Err("the loader does not unmap it".to_owned()),
            Err(error) => Err(format!("cannot read the maps: {error}")),
        }
    };
    match try_it() {
        Ok(()) => Closed::Unmapped,
        Err(why) => {
            // Its path stays its own.
            std::mem::forget(prepared);
            Closed::Stuck(why)
        }
    }
}
