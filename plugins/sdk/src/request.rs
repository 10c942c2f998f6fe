//! A request inside a hook: what came from the client, and the ids. What goes back is in
//! `response`, what the plugin keeps for it in `data`, what it may wait for in `work`.
//!
//! INVARIANT: bytes handed out live until the hook returns and setters do not move them; that is
//! what the lifetime `'a` says.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::time::Duration;
use std::os::fd::BorrowedFd;

use crate::abi::{self, what};
use crate::flow::{Cause, Error, Result, check, check_count, check_id};
use crate::host::{Host, Raw, bytes, chars};
use crate::work::millis;
use crate::{ConnectionId, RequestId, SubrequestId};

/// A request, for the length of one hook.
///
/// ```
/// # use swiftd_plugin::*;
/// fn handle(req: &mut Request) -> Flow {
///     if req.method() != b"GET" {
///         return req.respond(405, "text/plain", "only GET\n");
///     }
///     let who = req.header("user-agent").unwrap_or(b"somebody");
///     req.respond(200, "text/plain", who)
/// }
/// ```
///
/// It cannot be kept, nor sent elsewhere; [`id`](Self::id) can:
///
/// ```compile_fail
/// # use swiftd_plugin::*;
/// struct Mine(Option<Request<'static>>);
/// fn handle(me: &mut Mine, req: Request<'_>) { me.0 = Some(req); }
/// ```
///
/// ```compile_fail
/// # use swiftd_plugin::*;
/// fn assert_send<T: Send>() {}
/// assert_send::<Request<'_>>();
/// ```
pub struct Request<'a> {
    host: &'a Host,
    pub(crate) req: *mut abi::Req,
    call: PhantomData<&'a mut abi::Req>,
}

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let target = String::from_utf8_lossy(self.target());
        f.debug_struct("Request")
            .field("id", &self.id())
            .field("target", &target)
            .finish()
    }
}

impl<'a> Request<'a> {
    /// For [`entry`](crate::entry) alone: `req` has to live for `'a`.
    pub(crate) fn new(host: &'a Host, req: *mut abi::Req) -> Self {
        Self {
            host,
            req,
            call: PhantomData,
        }
    }

    /// The server.
    ///
    /// ```
    /// fn say(req: &swiftd_plugin::Request) { req.host().info("seen"); }
    /// ```
    #[must_use]
    pub fn host(&self) -> &'a Host {
        self.host
    }

    /// The table; the instance is alive in every hook.
    pub(crate) fn raw(&self) -> &'a Raw {
        self.host
            .raw()
            .expect("a hook runs while the instance is alive")
    }

    pub(crate) fn table(&self) -> &'a abi::Host {
        self.raw().table()
    }

    fn property(&self, what: u32) -> Option<&'a [u8]> {
        // SAFETY: the request lives for this call.
        let value = unsafe { (self.table().req_get)(self.req, what) };
        // SAFETY: the server's promise: the bytes live until the hook returns, which is `'a`.
        unsafe { bytes(value) }
    }

    fn set_property(&mut self, what: u32, value: &[u8]) -> Result<()> {
        // SAFETY: the request lives for this call, and the bytes are `len` many.
        let rc = unsafe {
            (self.table().req_set)(self.req, what, value.as_ptr().cast::<c_void>(), value.len())
        };
        check(rc)
    }

    /// The path, decoded and free of dot segments. Empty in `url_raw`.
    ///
    /// ```
    /// fn is_mine(req: &swiftd_plugin::Request) -> bool { req.path() == b"/hello" }
    /// ```
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.property(what::PATH).unwrap_or_default()
    }

    /// Another path. Takes effect with [`Flow::Comeback`](crate::Flow::Comeback).
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn url_clean(req: &mut Request) -> Flow {
    ///     if req.path() != b"/old" { return Flow::GoOn; }
    ///     if req.set_path("/new").is_ok() { Flow::Comeback } else { Flow::Error }
    /// }
    /// ```
    pub fn set_path(&mut self, path: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::PATH, path.as_ref())
    }

    /// The request-target as it came.
    ///
    /// ```
    /// fn bytes(req: &swiftd_plugin::Request) -> usize { req.target().len() }
    /// ```
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.property(what::TARGET).unwrap_or_default()
    }

    /// Another target; in `url_raw` only, with [`Flow::Comeback`](crate::Flow::Comeback).
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn change(req: &mut Request) -> Result<()> { req.set_target("/new?a=1") }
    /// ```
    pub fn set_target(&mut self, target: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::TARGET, target.as_ref())
    }

    /// The query without its question mark. `None`: there is no question mark.
    ///
    /// ```
    /// fn is_raw(req: &swiftd_plugin::Request) -> bool { req.query() == Some(b"raw") }
    /// ```
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        self.property(what::QUERY)
    }

    /// Another query.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn change(req: &mut Request) -> Result<()> { req.set_query("a=1") }
    /// ```
    pub fn set_query(&mut self, query: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::QUERY, query.as_ref())
    }

    /// The method.
    ///
    /// ```
    /// fn is_head(req: &swiftd_plugin::Request) -> bool { req.method() == b"HEAD" }
    /// ```
    #[must_use]
    pub fn method(&self) -> &'a [u8] {
        self.property(what::METHOD).unwrap_or_default()
    }

    /// `HTTP/1.0` or `HTTP/1.1`.
    ///
    /// ```
    /// fn is_old(req: &swiftd_plugin::Request) -> bool { req.protocol() == b"HTTP/1.0" }
    /// ```
    #[must_use]
    pub fn protocol(&self) -> &'a [u8] {
        self.property(what::PROTOCOL).unwrap_or_default()
    }

    /// The authority that the request is for: host, and port if it was given.
    ///
    /// ```
    /// fn is_example(req: &swiftd_plugin::Request) -> bool { req.authority() == Some(b"example.org") }
    /// ```
    #[must_use]
    pub fn authority(&self) -> Option<&'a [u8]> {
        self.property(what::HOST)
    }

    /// The client's address: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `unix:`; port 0 if a trusted
    /// proxy has not told it, empty if the client has gone.
    ///
    /// ```
    /// fn is_local(req: &swiftd_plugin::Request) -> bool { req.peer().starts_with(b"127.") }
    /// ```
    #[must_use]
    pub fn peer(&self) -> &'a [u8] {
        self.property(what::PEER).unwrap_or_default()
    }

    /// The server's address, in the same form.
    ///
    /// ```
    /// fn is_admin(req: &swiftd_plugin::Request) -> bool { req.local().ends_with(b":8081") }
    /// ```
    #[must_use]
    pub fn local(&self) -> &'a [u8] {
        self.property(what::LOCAL).unwrap_or_default()
    }

    /// The document root.
    ///
    /// ```
    /// fn has_root(req: &swiftd_plugin::Request) -> bool { req.docroot().is_some() }
    /// ```
    #[must_use]
    pub fn docroot(&self) -> Option<&'a [u8]> {
        self.property(what::DOCROOT)
    }

    /// Another document root, absolute; until it is used.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn docroot(req: &mut Request) -> Flow {
    ///     if req.authority() == Some(b"b.example") && req.set_docroot("/srv/b").is_err() {
    ///         return Flow::Error;
    ///     }
    ///     Flow::GoOn
    /// }
    /// ```
    pub fn set_docroot(&mut self, docroot: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::DOCROOT, docroot.as_ref())
    }

    /// Root and path joined; from `physical` on.
    ///
    /// ```
    /// fn is_file(req: &swiftd_plugin::Request) -> bool { req.physical().is_some() }
    /// ```
    #[must_use]
    pub fn physical(&self) -> Option<&'a [u8]> {
        self.property(what::PHYSICAL)
    }

    /// Another file; in `physical`. The server still checks that it is inside the root.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn change(req: &mut Request) -> Result<()> { req.set_physical("/srv/www/index.html") }
    /// ```
    pub fn set_physical(&mut self, path: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::PHYSICAL, path.as_ref())
    }

    /// The authenticated user.
    ///
    /// ```
    /// fn is_known(req: &swiftd_plugin::Request) -> bool { req.user().is_some() }
    /// ```
    #[must_use]
    pub fn user(&self) -> Option<&'a [u8]> {
        self.property(what::USER)
    }

    /// Says who it is.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn accept(req: &mut Request) -> Result<()> { req.set_user("alice") }
    /// ```
    pub fn set_user(&mut self, user: impl AsRef<[u8]>) -> Result<()> {
        self.set_property(what::USER, user.as_ref())
    }

    /// `http` or `https`.
    ///
    /// ```
    /// fn is_plain(req: &swiftd_plugin::Request) -> bool { req.scheme() == b"http" }
    /// ```
    #[must_use]
    pub fn scheme(&self) -> &'a [u8] {
        self.property(what::SCHEME).unwrap_or_default()
    }

    /// The first field of a name, in whatever case it was sent.
    ///
    /// ```
    /// fn is_json(req: &swiftd_plugin::Request) -> bool {
    ///     req.header("content-type") == Some(b"application/json")
    /// }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.header_nth(name, 0)
    }

    /// The nth field of a name, from 0.
    ///
    /// ```
    /// fn has_two(req: &swiftd_plugin::Request) -> bool { req.header_nth("cookie", 1).is_some() }
    /// ```
    #[must_use]
    pub fn header_nth(&self, name: &str, nth: u32) -> Option<&'a [u8]> {
        // SAFETY: the request lives for this call; the name is `len` bytes.
        let value = unsafe { (self.table().req_header)(self.req, chars(name), name.len(), nth) };
        // SAFETY: the bytes live until the hook returns, which is `'a`.
        unsafe { bytes(value) }
    }

    /// All fields, name and value, in the order in which they came.
    ///
    /// ```
    /// fn count(req: &swiftd_plugin::Request) -> usize { req.headers().count() }
    /// ```
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            table: self.table(),
            req: self.req,
            next: 0,
        }
    }

    /// The length of the body, `None` while it is unknown.
    ///
    /// ```
    /// fn is_large(req: &swiftd_plugin::Request) -> bool { req.body_len() > Some(1 << 20) }
    /// ```
    #[must_use]
    pub fn body_len(&self) -> Option<u64> {
        // SAFETY: the request lives for this call.
        u64::try_from(unsafe { (self.table().req_body_len)(self.req) }).ok()
    }

    /// Reads of the body from an offset; 0 at its end.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn magic(req: &mut Request) -> Result<[u8; 4]> {
    ///     let mut magic = [0; 4];
    ///     if req.body_read(0, &mut magic)? < 4 { return Err(Error::Invalid); }
    ///     Ok(magic)
    /// }
    /// ```
    pub fn body_read(&mut self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let (at, len) = (into.as_mut_ptr().cast::<c_void>(), into.len());
        // SAFETY: the request lives for this call; `len` bytes may be written.
        check_count(unsafe { (self.table().req_body_read)(self.req, offset, at, len) })
    }

    /// The whole body. A large one is in a file; see [`body_fd`](Self::body_fd).
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn echo(req: &mut Request) -> Flow {
    ///     match req.read_body() {
    ///         Ok(body) => req.respond(200, "application/octet-stream", body),
    ///         Err(_) => Flow::Error,
    ///     }
    /// }
    /// ```
    pub fn read_body(&mut self) -> Result<Vec<u8>> {
        let len = self.body_len().ok_or(Error::Again)?;
        let mut body = vec![0; usize::try_from(len).map_err(|_| Error::Limit)?];
        let mut filled = 0;
        while filled < body.len() {
            match self.body_read(filled as u64, &mut body[filled..])? {
                0 => return Err(Error::Failed),
                n => filled += n,
            }
        }
        Ok(body)
    }

    /// The file with the body, if it is in one. It stays the server's.
    ///
    /// ```
    /// fn is_in_file(req: &swiftd_plugin::Request) -> bool { req.body_fd().is_some() }
    /// ```
    #[must_use]
    pub fn body_fd(&self) -> Option<BorrowedFd<'a>> {
        // SAFETY: the request lives for this call.
        let fd = unsafe { (self.table().req_body_fd)(self.req) };
        // SAFETY: not -1, and open at least until the hook returns.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// What the plugin may keep.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// struct Waiting(Vec<RequestId>);
    /// fn handle(me: &mut Waiting, req: &mut Request) { me.0.push(req.id()); }
    /// ```
    #[must_use]
    pub fn id(&self) -> RequestId {
        // SAFETY: the request lives for this call.
        RequestId(unsafe { (self.table().req_id)(self.req) })
    }

    /// The connection that it came on.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn same(req: &Request, other: ConnectionId) -> bool { req.connection() == other }
    /// ```
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        // SAFETY: the request lives for this call.
        ConnectionId(unsafe { (self.table().req_conn)(self.req) })
    }

    /// How long each wait of this request may last from now on. Without it: 30 s.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// use std::time::Duration;
    /// fn patient(req: &mut Request) -> Result<()> { req.set_deadline(Duration::from_secs(300)) }
    /// ```
    pub fn set_deadline(&mut self, wait: Duration) -> Result<()> {
        // SAFETY: the request lives for this call.
        check(unsafe { (self.table().deadline)(self.req, millis(wait)) })
    }

    /// What woke the request, each cause once. Wakes coalesce, and one may be spurious: look at
    /// the thing itself rather than rely on its cause.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_over(req: &mut Request, mine: ChildId) -> bool {
    ///     req.woken_by().any(|cause| cause == Cause::Child(mine))
    /// }
    /// ```
    pub fn woken_by(&mut self) -> impl Iterator<Item = Cause> + use<'a> {
        let (table, req) = (self.table(), self.req);
        core::iter::from_fn(move || {
            let mut id = 0;
            // SAFETY: the request lives for `'a`; `id` may be written.
            let code = unsafe { (table.woken_by)(req, &mut id) };
            Cause::from_code(code, id)
        })
    }

    /// Starts an inner GET request; when it is complete it wakes this one.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn handle(req: &mut Request) -> Flow {
    ///     let Some(id) = req.data::<SubrequestId>().copied() else {
    ///         let Ok(id) = req.subrequest("/header.html") else { return Flow::Error };
    ///         return if req.set_data(id).is_ok() { Flow::WaitForEvent } else { Flow::Error };
    ///     };
    ///     match req.subresponse(id) {
    ///         Ok(inner) => req.respond(inner.status, "text/html", inner.body),
    ///         Err(Error::Again) => Flow::WaitForEvent,
    ///         Err(_) => Flow::Error,
    ///     }
    /// }
    /// ```
    pub fn subrequest(&mut self, target: &str) -> Result<SubrequestId> {
        // SAFETY: the request lives for this call; the target is `len` bytes.
        let id = unsafe { (self.table().subrequest)(self.req, chars(target), target.len(), 0) };
        check_id(id).map(SubrequestId)
    }

    /// The response of an inner request; [`Error::Again`] while it is not complete.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_ok(req: &Request, id: SubrequestId) -> bool {
    ///     req.subresponse(id).is_ok_and(|inner| inner.status == 200)
    /// }
    /// ```
    pub fn subresponse(&self, id: SubrequestId) -> Result<Subresponse<'a>> {
        let ext: &'a abi::SubrequestExt = self.host.ext(c"swiftd.subrequest/1")?;
        // SAFETY: the request lives for this call; a stale id is an error code.
        let status = unsafe { (ext.status)(self.req, id.0) };
        let status = u16::try_from(status).map_err(|_| Error::from_rc(status.into()))?;
        // SAFETY: as above.
        let body = unsafe { (ext.body)(self.req, id.0) };
        // SAFETY: the bytes live until the parent ends.
        let body = unsafe { bytes(body) }.unwrap_or_default();
        Ok(Subresponse {
            status,
            body,
            ext,
            req: self.req,
            id: id.0,
        })
    }
}

/// The fields of a request; see [`Request::headers`].
///
/// ```
/// # use swiftd_plugin::*;
/// fn names(req: &Request) -> Vec<Vec<u8>> { req.headers().map(|(name, _)| name.to_vec()).collect() }
/// ```
pub struct Headers<'a> {
    table: &'a abi::Host,
    req: *mut abi::Req,
    next: u32,
}

impl core::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Headers")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut name, mut value) = (abi::Str::ABSENT, abi::Str::ABSENT);
        // SAFETY: the request lives for `'a`; both strings may be written.
        let rc = unsafe { (self.table.req_header_at)(self.req, self.next, &mut name, &mut value) };
        check(rc).ok()?;
        self.next += 1;
        // SAFETY: the bytes live until the hook returns, which is `'a`.
        let name = unsafe { bytes(name) }?;
        // SAFETY: as above.
        let value = unsafe { bytes(value) }?;
        Some((name, value))
    }
}

/// The response of an inner request; see [`Request::subrequest`].
///
/// ```
/// fn len(inner: &swiftd_plugin::Subresponse) -> usize { inner.body.len() }
/// ```
pub struct Subresponse<'a> {
    /// Its status.
    pub status: u16,
    /// Its content.
    pub body: &'a [u8],
    ext: &'a abi::SubrequestExt,
    req: *mut abi::Req,
    id: abi::Id,
}

impl core::fmt::Debug for Subresponse<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Subresponse")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl<'a> Subresponse<'a> {
    /// A field of it.
    ///
    /// ```
    /// fn is_html(inner: &swiftd_plugin::Subresponse) -> bool {
    ///     inner.header("content-type") == Some(b"text/html")
    /// }
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        // SAFETY: the request lives for `'a`; the name is `len` bytes.
        let value = unsafe { (self.ext.header)(self.req, self.id, chars(name), name.len()) };
        // SAFETY: the bytes live until the parent ends.
        unsafe { bytes(value) }
    }
}
