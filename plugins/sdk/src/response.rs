//! What a plugin answers: at once, from memory or a file, or piece by piece.

use core::ffi::c_void;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use crate::abi::{self, mode};
use crate::flow::{Result, check, check_count};
use crate::host::chars;
use crate::{Flow, Request};

impl Request<'_> {
    /// A whole answer: status, content type and content. The server leaves the content away for
    /// HEAD.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn handle(req: &mut Request) -> Flow { req.respond(404, "text/plain", "not here\n") }
    /// ```
    pub fn respond(&mut self, status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Flow {
        let result = self
            .set_status(status)
            .and_then(|()| self.set_header("content-type", content_type))
            .and_then(|()| self.set_body(body));
        match result {
            Ok(()) => Flow::Finished,
            Err(error) => {
                self.host().error(format_args!("cannot respond: {error}"));
                Flow::Error
            }
        }
    }

    /// The status, 200 to 599. Alone it is a complete response; with 400 and more the server adds
    /// its page.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn deny(req: &mut Request) -> Flow {
    ///     if req.set_status(403).is_ok() { Flow::Finished } else { Flow::Error }
    /// }
    /// ```
    pub fn set_status(&mut self, status: u16) -> Result<()> {
        // SAFETY: the request lives for this call.
        check(unsafe { (self.table().resp_status)(self.req, status.into()) })
    }

    fn change_header(&mut self, mode: u32, name: &str, value: &[u8]) -> Result<()> {
        let (at, len) = (value.as_ptr().cast::<c_void>(), value.len());
        // SAFETY: the request lives for this call; name and value are as long as said.
        let rc =
            unsafe { (self.table().resp_header)(self.req, mode, chars(name), name.len(), at, len) };
        check(rc)
    }

    /// Sets a field of the response, in place of all of that name.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn fresh(req: &mut Request) -> Result<()> { req.set_header("cache-control", "no-store") }
    /// ```
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.change_header(mode::SET, name, value.as_ref())
    }

    /// Adds a field to the response.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn cookie(req: &mut Request) -> Result<()> { req.add_header("set-cookie", "a=1") }
    /// ```
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.change_header(mode::ADD, name, value.as_ref())
    }

    /// Removes all fields of a name from the response.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn quiet(req: &mut Request) -> Result<()> { req.remove_header("server") }
    /// ```
    pub fn remove_header(&mut self, name: &str) -> Result<()> {
        self.change_header(mode::REMOVE, name, b"")
    }

    /// The content, copied.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn fill(req: &mut Request) -> Result<()> { req.set_status(200)?; req.set_body("hello\n") }
    /// ```
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<()> {
        let body = body.as_ref();
        let (at, len) = (body.as_ptr().cast::<c_void>(), body.len());
        // SAFETY: the request lives for this call; the body is `len` bytes.
        check(unsafe { (self.table().resp_body)(self.req, at, len) })
    }

    /// The content, handed over without a copy.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn fill(req: &mut Request) -> Result<()> { req.body_owned(vec![0; 1 << 16]) }
    /// ```
    pub fn body_owned(&mut self, body: Vec<u8>) -> Result<()> {
        let len = body.len();
        let body = Box::new(body);
        let at = body.as_ptr().cast::<c_void>();
        let arg = Box::into_raw(body).cast::<c_void>();
        // SAFETY: the bytes live until `drop_body`, which the server calls exactly once.
        check(unsafe { (self.table().resp_body_own)(self.req, at, len, Some(drop_body), arg) })
    }

    /// The content is a part of a file. It is closed when it has been sent, or if this fails.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn send(req: &mut Request, file: std::fs::File) -> Result<()> {
    ///     let len = file.metadata().map_err(|_| Error::Failed)?.len();
    ///     req.set_status(200)?;
    ///     req.file(file, 0, len)
    /// }
    /// ```
    pub fn file(&mut self, fd: impl Into<OwnedFd>, offset: u64, len: u64) -> Result<()> {
        let fd = fd.into();
        // SAFETY: the request lives for this call.
        let rc = unsafe { (self.table().resp_file)(self.req, fd.as_raw_fd(), offset, len) };
        check(rc)?;
        // From now on it is the server's.
        let _ = fd.into_raw_fd();
        Ok(())
    }

    /// The head may leave; the content follows piece by piece.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn begin(req: &mut Request) -> Result<()> {
    ///     req.set_status(200)?;
    ///     req.set_header("content-type", "text/event-stream")?;
    ///     req.start()
    /// }
    /// ```
    pub fn start(&mut self) -> Result<()> {
        // SAFETY: the request lives for this call.
        check(unsafe { (self.table().resp_start)(self.req) })
    }

    /// Queues content; the bytes taken. After [`Error::Again`](crate::Error::Again) return
    /// [`Flow::WaitForEvent`]: the hook is called when there is room.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn pour(req: &mut Request, from: &[u8], at: &mut usize) -> Flow {
    ///     while *at < from.len() {
    ///         match req.write(&from[*at..]) {
    ///             Ok(n) => *at += n,
    ///             Err(Error::Again) => return Flow::WaitForEvent,
    ///             Err(_) => return Flow::Error,
    ///         }
    ///     }
    ///     if req.end().is_ok() { Flow::Finished } else { Flow::Error }
    /// }
    /// ```
    pub fn write(&mut self, content: &[u8]) -> Result<usize> {
        let (at, len) = (content.as_ptr().cast::<c_void>(), content.len());
        // SAFETY: the request lives for this call; the content is `len` bytes.
        check_count(unsafe { (self.table().resp_write)(self.req, at, len) })
    }

    /// The content is complete; return [`Flow::Finished`].
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn last(req: &mut Request) -> Flow {
    ///     if req.end().is_ok() { Flow::Finished } else { Flow::Error }
    /// }
    /// ```
    pub fn end(&mut self) -> Result<()> {
        // SAFETY: the request lives for this call.
        check(unsafe { (self.table().resp_end)(self.req) })
    }

    /// The status of the response as it is, whoever made it: for `subrequest_end`.
    ///
    /// ```
    /// fn is_bad(req: &swiftd_plugin::Request) -> bool { req.response_status() >= Some(500) }
    /// ```
    #[must_use]
    pub fn response_status(&self) -> Option<u16> {
        let ext: &abi::ResponseExt = self.host().ext(c"swiftd.response/1").ok()?;
        // SAFETY: the request lives for this call.
        let status = unsafe { (ext.status)(self.req) };
        u16::try_from(status).ok().filter(|status| *status != 0)
    }

    /// The length of the response's content as far as it is known: for `subrequest_end`.
    ///
    /// ```
    /// fn bytes(req: &swiftd_plugin::Request) -> u64 { req.response_bytes().unwrap_or(0) }
    /// ```
    #[must_use]
    pub fn response_bytes(&self) -> Option<u64> {
        let ext: &abi::ResponseExt = self.host().ext(c"swiftd.response/1").ok()?;
        // SAFETY: the request lives for this call.
        Some(unsafe { (ext.body_bytes)(self.req) })
    }
}

/// # Safety
///
/// `arg` comes from [`Request::body_owned`] and has not been through here.
unsafe extern "C" fn drop_body(arg: *mut c_void) {
    // SAFETY: by the condition.
    drop(unsafe { Box::from_raw(arg.cast::<Vec<u8>>()) });
}
