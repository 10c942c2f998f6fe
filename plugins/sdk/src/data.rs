//! What a plugin keeps for a request or for a connection: one value each, of any type, dropped
//! when the request or the connection ends.

use core::any::Any;
use core::ffi::c_void;

use crate::abi;
use crate::flow::{Result, check};
use crate::host::Raw;
use crate::panics::within;
use crate::{Host, Request};

/// What the server keeps the pointer of.
struct Kept {
    raw: Raw,
    value: Box<dyn Any>,
}

impl Request<'_> {
    /// Keeps a value for this request until it ends. A former one is dropped.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// struct Progress { sent: usize }
    /// fn handle(req: &mut Request) -> Flow {
    ///     if let Some(progress) = req.data::<Progress>() {
    ///         progress.sent += 1;
    ///     } else if req.set_data(Progress { sent: 0 }).is_err() {
    ///         return Flow::Error;
    ///     }
    ///     Flow::WaitForEvent
    /// }
    /// ```
    pub fn set_data<D: 'static>(&mut self, value: D) -> Result<()> {
        set(self.host(), self.id().0, value)
    }

    /// The value kept for this request, if there is one and it is of this type.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn rounds(req: &mut Request) -> Option<u32> { req.data::<u32>().copied() }
    /// ```
    #[must_use]
    pub fn data<D: 'static>(&mut self) -> Option<&mut D> {
        find(self.host(), self.id().0).and_then(|kept| kept.value.downcast_mut())
    }

    /// Drops the value kept for this request.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn forget(req: &mut Request) -> Result<()> { req.clear_data() }
    /// ```
    pub fn clear_data(&mut self) -> Result<()> {
        set(self.host(), self.id().0, ())
    }

    /// Keeps a value for the connection until it ends.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn first_seen(req: &mut Request) -> Result<u64> {
    ///     if let Some(since) = req.connection_data::<u64>() { return Ok(*since); }
    ///     let now = req.host().now_ms();
    ///     req.set_connection_data(now)?;
    ///     Ok(now)
    /// }
    /// ```
    pub fn set_connection_data<D: 'static>(&mut self, value: D) -> Result<()> {
        set(self.host(), self.connection().0, value)
    }

    /// The value kept for the connection, if there is one and it is of this type.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn user(req: &mut Request) -> Option<String> { req.connection_data::<String>().cloned() }
    /// ```
    #[must_use]
    pub fn connection_data<D: 'static>(&mut self) -> Option<&mut D> {
        find(self.host(), self.connection().0).and_then(|kept| kept.value.downcast_mut())
    }
}

/// Nobody but a `&mut Request` reaches the value, and there is one at a time: so the reference is
/// the only one as long as that borrow lasts.
fn find<'a>(host: &Host, id: abi::Id) -> Option<&'a mut Kept> {
    let raw = host.raw().ok()?;
    // SAFETY: the instance is alive; a stale id gives null.
    let kept = unsafe { (raw.table().data_get)(raw.this, id) }.cast::<Kept>();
    // SAFETY: null, or a pointer that `set` made and that has not been dropped.
    unsafe { kept.as_mut() }
}

/// The server learns of one pointer only; a later value takes the place behind it.
fn set<D: 'static>(host: &Host, id: abi::Id, value: D) -> Result<()> {
    let raw = host.raw()?;
    let value: Box<dyn Any> = Box::new(value);
    if let Some(kept) = find(host, id) {
        kept.value = value;
        return Ok(());
    }
    let kept = Box::into_raw(Box::new(Kept { raw: *raw, value })).cast::<c_void>();
    // SAFETY: the instance is alive; the pointer lives until the server calls `drop_kept`.
    let rc = unsafe { (raw.table().data_set)(raw.this, id, kept, Some(drop_kept)) };
    if rc != abi::GO_ON {
        // SAFETY: made above, and after an error the server does not know it.
        unsafe { drop_kept(kept) };
    }
    check(rc)
}

/// # Safety
///
/// `arg` comes from [`set`] and has not been through here.
unsafe extern "C" fn drop_kept(arg: *mut c_void) {
    // SAFETY: by the condition.
    let kept = unsafe { Box::from_raw(arg.cast::<Kept>()) };
    // The last instance's data are dropped before its end, so there is a log to tell of a panic.
    let Kept { raw, value } = *kept;
    within(&raw, || drop(value));
}
