//! An instance of a plugin as native code: its functions, its state, and the calls into it.
//!
//! INVARIANT: the library of a guest stays loaded for as long as the guest and its callees live;
//! whoever makes one keeps the library (plugin/instance.rs).

#![allow(unsafe_code)]

use super::abi::{GO_ON, Host, Id, LIMIT, Mark, Plugin, Rc, Seat, Subject, borrow, lend, within};
use super::crash::Hook;
use super::outside::Outside;
use super::table::TABLE;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use swiftd_plugin::abi::{OnRequest, SelfRef};

/// An instance's native side: its functions and its state.
#[derive(Debug)]
pub struct Guest {
    plugin: Plugin,
    state: Cell<*mut c_void>,
    seat: Box<Seat>,
    slot: u16,
}

/// A hook of one instance, ready to be called.
#[derive(Copy, Clone, Debug)]
pub struct Callee {
    function: OnRequest,
    state: *mut c_void,
    mark: Mark,
}

impl Callee {
    /// Calls it for the request that `host` answers for.
    pub fn call(self, host: &mut dyn Host) -> Rc {
        within(host, Subject::Request, self.mark, |req| {
            // SAFETY: the function is the hook that the descriptor names, the state is what its
            // init made, and both live as long as the instance, which the caller's generation
            // holds.
            unsafe { (self.function)(self.state, req) }
        })
    }

    /// The instance's place in the shared page.
    #[must_use]
    pub fn slot(self) -> u16 {
        self.mark.slot
    }
}

impl Guest {
    /// A guest whose init has not run. `plugin` is a descriptor of a library that stays loaded for
    /// as long as the guest lives.
    #[must_use]
    pub fn new(plugin: Plugin, name: &str, slot: u16, outside: Arc<Outside>) -> Self {
        Self {
            plugin,
            state: Cell::new(ptr::null_mut()),
            seat: Box::new(Seat::new(name, outside)),
            slot,
        }
    }

    /// What `sw_self` is for this instance.
    #[must_use]
    pub fn address(&self) -> usize {
        (&raw const *self.seat).addr()
    }

    /// Its descriptor.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Its place in the shared page.
    #[must_use]
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether it implements a hook; what is no hook is taken to be there.
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        let plugin = &self.plugin;
        match hook {
            Hook::Init => plugin.init.is_some(),
            Hook::SetDefault => plugin.set_default.is_some(),
            Hook::Cleanup => plugin.cleanup.is_some(),
            Hook::Trigger => plugin.trigger.is_some(),
            Hook::Sighup => plugin.sighup.is_some(),
            Hook::ConnectionClose => plugin.connection_close.is_some(),
            Hook::ConnectionReset => plugin.connection_reset.is_some(),
            Hook::Save => plugin.save.is_some(),
            Hook::Restore => plugin.restore.is_some(),
            Hook::Retire => plugin.retire.is_some(),
            _ => true,
        }
    }

    /// A hook that is called for requests, if it is implemented.
    #[must_use]
    pub fn callee(&self, hook: Hook) -> Option<Callee> {
        let plugin = &self.plugin;
        let function = match hook {
            Hook::Joblist => plugin.joblist,
            Hook::UrlRaw => plugin.url_raw,
            Hook::UrlClean => plugin.url_clean,
            Hook::Docroot => plugin.docroot,
            Hook::Physical => plugin.physical,
            Hook::SubrequestStart => plugin.subrequest_start,
            Hook::HandleSubrequest => plugin.handle_subrequest,
            Hook::SubrequestEnd => plugin.subrequest_end,
            _ => None,
        }?;
        Some(Callee {
            function,
            state: self.state.get(),
            mark: self.mark(hook),
        })
    }

    fn mark(&self, hook: Hook) -> Mark {
        Mark {
            slot: self.slot,
            hook,
        }
    }

    /// Runs init.
    pub fn init(&self, host: &mut dyn Host) -> Rc {
        let Some(init) = self.plugin.init else {
            return GO_ON;
        };
        let this = (&raw const *self.seat).cast_mut().cast::<SelfRef>();
        within(host, Subject::Instance, self.mark(Hook::Init), |_| {
            // SAFETY: the table is a constant, the seat lives as long as the guest, and the state's
            // place is valid for a write.
            unsafe { init(&raw const TABLE, this, self.state.as_ptr()) }
        })
    }

    /// Calls one of set_default, trigger, sighup; GO_ON if it is not implemented.
    pub fn call(&self, hook: Hook, host: &mut dyn Host) -> Rc {
        let function = match hook {
            Hook::SetDefault => self.plugin.set_default,
            Hook::Trigger => self.plugin.trigger,
            Hook::Sighup => self.plugin.sighup,
            _ => None,
        };
        let Some(function) = function else {
            return GO_ON;
        };
        within(host, Subject::Instance, self.mark(hook), |_| {
            // SAFETY: the hook of the descriptor with the state that init made.
            unsafe { function(self.state.get()) }
        })
    }

    /// Calls cleanup or retire.
    pub fn end(&self, hook: Hook, host: &mut dyn Host) {
        let function = match hook {
            Hook::Cleanup => self.plugin.cleanup,
            Hook::Retire => self.plugin.retire,
            _ => None,
        };
        let Some(function) = function else { return };
        within(host, Subject::Instance, self.mark(hook), |_| {
            // SAFETY: the hook of the descriptor with the state that init made.
            unsafe { function(self.state.get()) }
        });
    }

    /// Calls connection_close.
    pub fn close(&self, host: &mut dyn Host, connection: Id, why: u32) {
        let Some(close) = self.plugin.connection_close else {
            return;
        };
        within(
            host,
            Subject::Instance,
            self.mark(Hook::ConnectionClose),
            |_| {
                // SAFETY: the hook of the descriptor with the state that init made.
                unsafe { close(self.state.get(), connection, why) }
            },
        );
    }

    /// Calls connection_reset for the request that `host` answers for.
    pub fn reset(&self, host: &mut dyn Host, why: u32) {
        let Some(reset) = self.plugin.connection_reset else {
            return;
        };
        within(
            host,
            Subject::Request,
            self.mark(Hook::ConnectionReset),
            |req| {
                // SAFETY: the hook of the descriptor with the state that init made.
                unsafe { reset(self.state.get(), req, why) }
            },
        );
    }

    /// What save writes, at most `bytes_max`; `None` if there is no such hook.
    pub fn save(&self, host: &mut dyn Host, bytes_max: usize) -> Option<Result<Vec<u8>, Rc>> {
        let save = self.plugin.save?;
        let mut saved = Saved {
            bytes: Vec::new(),
            bytes_max,
            is_over: false,
        };
        let arg = (&raw mut saved).cast();
        let rc = within(host, Subject::Instance, self.mark(Hook::Save), |_| {
            // SAFETY: `put` gets `arg` back, which is valid until this call returns.
            unsafe { save(self.state.get(), put, arg) }
        });
        Some(match rc {
            GO_ON if saved.is_over => Err(LIMIT),
            GO_ON => Ok(saved.bytes),
            rc => Err(rc),
        })
    }

    /// Hands over what another version saved; `None` if there is no such hook.
    pub fn restore(&self, host: &mut dyn Host, from_version: u32, blob: &[u8]) -> Option<Rc> {
        let restore = self.plugin.restore?;
        Some(within(
            host,
            Subject::Instance,
            self.mark(Hook::Restore),
            |_| {
                // SAFETY: the blob is valid until the call returns.
                unsafe { restore(self.state.get(), from_version, lend(Some(blob))) }
            },
        ))
    }
}

struct Saved {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

unsafe extern "C" fn put(arg: *mut c_void, bytes: *const c_void, n: usize) {
    // SAFETY: `arg` is the `Saved` of the call that is going on (`Guest::save`).
    let saved = unsafe { &mut *arg.cast::<Saved>() };
    // SAFETY: the plugin's bytes for the time of this call.
    let bytes = unsafe { borrow(bytes, n) };
    saved.is_over |= bytes.len() > saved.bytes_max - saved.bytes.len();
    if !saved.is_over {
        saved.bytes.extend_from_slice(bytes);
    }
}
