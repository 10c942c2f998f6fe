//! Native libraries: mapping one from a sealed copy, reading what it says of itself, unmapping it.
//!
//! Whoever opens a library runs its constructors, so it has checked the file before. Nothing here
//! decides anything: it calls the loader and copies bytes.
//! INVARIANT: a [`Library`] is unmapped by [`Library::close`] only; dropping one leaves it mapped,
//! because code that still points into it is worse than memory that is not given back.

#![allow(unsafe_code)]

use libloading::os::unix;
use std::ffi::{CStr, c_char, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};
use swiftd_plugin::Exported;
use swiftd_plugin::abi::{ENTRY, MAGIC, MAJOR, MINOR, PLUGIN_SIZE_1_0, Plugin};

/// How the path of every library of this module begins. It is unique while the descriptor is open:
/// asked for a path that it knows, the loader gives back what it has.
pub(super) const PATH_PREFIX: &str = "/proc/self/fd/";

/// A library that is mapped.
#[derive(Debug)]
pub struct Library {
    handle: ManuallyDrop<unix::Library>,
    /// Where it is mapped, as far as the C library tells.
    base: Option<usize>,
}

/// What a library says of itself.
#[derive(Debug)]
pub struct Description {
    /// Its descriptor: as many bytes as it has and this server knows, and zeros. `size` is what the
    /// library says.
    pub plugin: Plugin,
    /// The name; `None` if there is none, or if the descriptor is of another kind.
    pub name: Option<Box<[u8]>>,
    /// The version in words, likewise.
    pub version: Option<Box<[u8]>>,
}

impl Description {
    /// What a plugin that is built into the program says of itself.
    #[must_use]
    pub fn of<P: Exported>() -> Self {
        describe(P::DESCRIPTOR)
    }
}

impl Library {
    /// Maps the library that a descriptor holds; it must stay open until the library is closed.
    ///
    /// # Errors
    /// The loader's words.
    pub fn open(copy: BorrowedFd<'_>) -> Result<Self, String> {
        let path = format!("{PATH_PREFIX}{}", copy.as_raw_fd());
        let flags = unix::RTLD_NOW | unix::RTLD_LOCAL;
        // SAFETY: its constructors run, as whoever loads a plugin wants; its form was checked.
        let handle = unsafe { unix::Library::open(Some(&path), flags) };
        let handle = ManuallyDrop::new(handle.map_err(|error| words(&error))?);
        Ok(Self { handle, base: None })
    }

    /// Reads the constant that every library exports. `bytes` is how large the file says that it
    /// is. `None`: there is no such symbol.
    pub fn constant(&mut self, bytes: usize) -> Option<Description> {
        // SAFETY: only the address is used.
        let symbol = unsafe { self.handle.get::<*const c_void>(ENTRY) }.ok()?;
        let address = symbol.as_raw_ptr().cast_const();
        self.base = super::tls::plugin_at(address);
        if address.is_null() || bytes < HEADER_BYTES {
            return None;
        }
        let mut plugin = MaybeUninit::<Plugin>::zeroed();
        // SAFETY: the symbol has `HEADER_BYTES` or more, and so has the struct.
        unsafe { copy(address, &mut plugin, HEADER_BYTES) };
        // SAFETY: zeros are a valid descriptor, and its first members are integers.
        let size = unsafe { plugin.assume_init() }.size;
        let bytes = bytes.min(size as usize).min(size_of::<Plugin>());
        // SAFETY: the symbol has this many bytes, and so has the struct.
        unsafe { copy(address, &mut plugin, bytes) };
        // SAFETY: zeros are a valid descriptor, and the library's bytes are one as well: integers
        // of any value, pointers, and functions that are null or there.
        Some(describe(unsafe { plugin.assume_init() }))
    }

    /// Has the function `symbol` fill an empty descriptor. `None`: there is no such symbol.
    pub fn fill(&mut self, symbol: &CStr) -> Option<Description> {
        type Fill = unsafe extern "C" fn(*mut Plugin);
        // SAFETY: a function of this name has this type; the contract says so.
        let fill = unsafe { self.handle.get::<Fill>(symbol) }.ok()?;
        self.base = super::tls::plugin_at((*fill as *const c_void).cast());
        let mut plugin = MaybeUninit::<Plugin>::zeroed();
        // SAFETY: zeros are a valid descriptor.
        let empty = unsafe { plugin.assume_init_mut() };
        empty.magic = MAGIC;
        empty.size = size_of::<Plugin>() as u32;
        empty.abi_major = MAJOR;
        empty.abi_minor = MINOR;
        // SAFETY: the struct is valid for writing and as large as it says.
        unsafe { fill(plugin.as_mut_ptr()) };
        // SAFETY: it was valid, and the function has written a descriptor.
        Some(describe(unsafe { plugin.assume_init() }))
    }

    /// Its destructors of thread-locals.
    #[must_use]
    pub fn thread_locals(&self) -> ThreadLocals {
        ThreadLocals { base: self.base }
    }

    /// Hands the library back to the loader. Whether it is unmapped then is not known yet. Its
    /// destructors of thread-locals have run.
    ///
    /// # Errors
    /// The loader's words.
    pub fn close(self) -> Result<(), String> {
        if let Some(base) = self.base {
            super::tls::forget(base);
        }
        let handle = ManuallyDrop::into_inner(self.handle);
        handle.close().map_err(|error| words(&error))
    }
}

/// The destructors of thread-locals of one library, for any thread.
#[derive(Copy, Clone, Debug, Default)]
pub struct ThreadLocals {
    base: Option<usize>,
}

impl ThreadLocals {
    /// Runs those that were registered on this thread. The library must still be mapped.
    pub fn run_here(self) {
        if let Some(base) = self.base {
            super::tls::run_here(base);
        }
    }

    /// How many are left, on any thread.
    #[must_use]
    pub fn left(self) -> usize {
        self.base.map_or(0, super::tls::count)
    }
}

/// The members that tell what the rest is: `magic` to `reserved`.
pub const HEADER_BYTES: usize = 24;

/// Past this no name and no version is read.
const TEXT_BYTES_MAX: usize = 64;

/// Copies the first bytes of a descriptor.
///
/// # Safety
/// `from` can be read, and `to` is as large as `bytes`.
unsafe fn copy(from: *const c_void, to: &mut MaybeUninit<Plugin>, bytes: usize) {
    // SAFETY: as the caller promises; our struct is not the library's.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.as_mut_ptr().cast(), bytes) };
}

fn describe(plugin: Plugin) -> Description {
    // What is of another kind may have its names elsewhere.
    let is_known = plugin.magic == MAGIC
        && plugin.abi_major == MAJOR
        && plugin.size as usize >= PLUGIN_SIZE_1_0;
    let read = |text: *const c_char| {
        // SAFETY: a descriptor of this kind has a string of the library's here, or null.
        is_known.then(|| unsafe { text_at(text) }).flatten()
    };
    Description {
        plugin,
        name: read(plugin.name),
        version: read(plugin.version),
    }
}

/// A string, cut where it is too long to be one.
///
/// # Safety
/// `text` is null or a string that ends with NUL.
unsafe fn text_at(text: *const c_char) -> Option<Box<[u8]>> {
    if text.is_null() {
        return None;
    }
    // SAFETY: it reads to the NUL and no further.
    let bytes = unsafe { libc::strnlen(text, TEXT_BYTES_MAX) };
    // SAFETY: so many bytes were just read.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), bytes) };
    Some(text.into())
}

fn words(error: &libloading::Error) -> String {
    use std::error::Error;
    let cause = error.source().map(ToString::to_string);
    cause.unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_refused_in_the_loaders_words() {
        use std::os::fd::AsFd;
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = Library::open(null.as_fd()).unwrap_err();
        assert!(error.contains("/proc/self/fd/"), "{error}");
    }

    #[test]
    fn the_header_ends_before_the_first_pointer() {
        assert_eq!(std::mem::offset_of!(Plugin, name), HEADER_BYTES);
    }
}
