//! Child processes. The server starts and reaps them; a plugin must not fork.

use core::ffi::{CStr, c_char, c_int};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::abi::{self, stdio};
use crate::flow::{Error, Result, check, check_id};
use crate::{ChildId, Host, Request, RequestId};

/// Where a standard stream of a child goes.
///
/// ```
/// # use swiftd_plugin::*;
/// let log = std::fs::File::open("/dev/null").unwrap();
/// let command = Command::new("/bin/true").stdout(Stdio::Pipe).stderr(Stdio::Fd(log.into()));
/// ```
#[derive(Debug)]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// A pipe; the plugin's end is in [`Child`], non-blocking.
    Pipe,
    /// A descriptor; it is closed here when the command is dropped.
    Fd(OwnedFd),
}

impl Stdio {
    fn number(&self) -> c_int {
        match self {
            Self::Null => stdio::NULL,
            Self::Pipe => stdio::PIPE,
            Self::Fd(fd) => fd.as_raw_fd(),
        }
    }
}

/// A command to start: its environment is what is given and nothing else.
///
/// ```
/// # use swiftd_plugin::*;
/// fn date(req: &mut Request) -> Result<Child> {
///     let command = Command::new("/bin/date").arg("+%s").env("TZ", "UTC").stdout(Stdio::Pipe);
///     req.spawn(&command)
/// }
/// ```
#[derive(Debug)]
pub struct Command {
    argv: Vec<CString>,
    envp: Vec<CString>,
    dir: Option<CString>,
    streams: [Stdio; 3],
    /// A NUL byte was in one of them.
    is_broken: bool,
}

impl Command {
    /// A program by its path. Streams are `/dev/null` until told otherwise.
    ///
    /// ```
    /// let command = swiftd_plugin::Command::new("/bin/true");
    /// ```
    pub fn new(program: impl AsRef<[u8]>) -> Self {
        let mut command = Self {
            argv: Vec::new(),
            envp: Vec::new(),
            dir: None,
            streams: [Stdio::Null, Stdio::Null, Stdio::Null],
            is_broken: false,
        };
        let program = command.text(program.as_ref());
        command.argv.push(program);
        command
    }

    fn text(&mut self, text: &[u8]) -> CString {
        CString::new(text).unwrap_or_else(|_| {
            self.is_broken = true;
            CString::default()
        })
    }

    /// One more argument.
    ///
    /// ```
    /// let command = swiftd_plugin::Command::new("/bin/echo").arg("hello");
    /// ```
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        let arg = self.text(arg.as_ref());
        self.argv.push(arg);
        self
    }

    /// One more variable of the environment.
    ///
    /// ```
    /// let command = swiftd_plugin::Command::new("/usr/bin/env").env("LANG", "C");
    /// ```
    #[must_use]
    pub fn env(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        self.is_broken |= name.is_empty() || name.contains(&b'=');
        let entry = self.text(&[name, b"=", value.as_ref()].concat());
        self.envp.push(entry);
        self
    }

    /// The directory to start in. Without it: the server's.
    ///
    /// ```
    /// let command = swiftd_plugin::Command::new("/bin/ls").dir("/tmp");
    /// ```
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<[u8]>) -> Self {
        self.dir = Some(self.text(dir.as_ref()));
        self
    }

    /// Where the child reads from.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// let command = Command::new("/bin/cat").stdin(Stdio::Pipe);
    /// ```
    #[must_use]
    pub fn stdin(mut self, stream: Stdio) -> Self {
        self.streams[0] = stream;
        self
    }

    /// Where its output goes.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// let command = Command::new("/bin/cat").stdout(Stdio::Pipe);
    /// ```
    #[must_use]
    pub fn stdout(mut self, stream: Stdio) -> Self {
        self.streams[1] = stream;
        self
    }

    /// Where its complaints go.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// let command = Command::new("/bin/cat").stderr(Stdio::Null);
    /// ```
    #[must_use]
    pub fn stderr(mut self, stream: Stdio) -> Self {
        self.streams[2] = stream;
        self
    }
}

/// A child process. Dropping this closes the pipes; the process ends with the request that it
/// belongs to, or by [`Host::cancel`].
///
/// ```
/// # use swiftd_plugin::*;
/// fn output(child: Child) -> Option<std::fs::File> { child.stdout.map(Into::into) }
/// ```
#[derive(Debug)]
pub struct Child {
    /// Its id.
    pub id: ChildId,
    /// The end to write to, if stdin is a pipe.
    pub stdin: Option<OwnedFd>,
    /// The end to read from, if stdout is a pipe.
    pub stdout: Option<OwnedFd>,
    /// The end to read from, if stderr is a pipe.
    pub stderr: Option<OwnedFd>,
}

/// How a child ended.
///
/// ```
/// # use swiftd_plugin::*;
/// fn is_good(exit: Exit) -> bool { exit == Exit::Code(0) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Host {
    /// Starts a process that belongs to the instance.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn helper(host: &Host) -> Result<Child> { host.spawn(&Command::new("/usr/bin/helper")) }
    /// ```
    pub fn spawn(&self, command: &Command) -> Result<Child> {
        self.spawn_for(0, command)
    }

    fn spawn_for(&self, request: abi::Id, command: &Command) -> Result<Child> {
        if command.is_broken {
            return Err(Error::Invalid);
        }
        let raw = self.raw()?;
        let (argv, envp) = (pointers(&command.argv), pointers(&command.envp));
        let dir = command
            .dir
            .as_deref()
            .map_or(core::ptr::null(), CStr::as_ptr);
        let wanted = [0, 1, 2].map(|at: usize| command.streams[at].number());
        let mut fds = wanted;
        // SAFETY: the instance is alive; both arrays end with null and their strings with NUL.
        let id = unsafe {
            let (argv, envp) = (argv.as_ptr(), envp.as_ptr());
            (raw.table().spawn)(raw.this, request, argv, envp, dir, fds.as_mut_ptr())
        };
        let id = ChildId(check_id(id)?);
        let end = |at: usize| {
            // SAFETY: the server made it for us and put it in the place of the request for it.
            (wanted[at] == stdio::PIPE && fds[at] >= 0)
                .then(|| unsafe { OwnedFd::from_raw_fd(fds[at]) })
        };
        Ok(Child {
            id,
            stdin: end(0),
            stdout: end(1),
            stderr: end(2),
        })
    }

    /// How a child ended, `None` while it runs.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn is_over(host: &Host, id: ChildId) -> bool { !matches!(host.child_status(id), Ok(None)) }
    /// ```
    pub fn child_status(&self, id: ChildId) -> Result<Option<Exit>> {
        let ext: &abi::ChildExt = self.ext(c"swiftd.child/1")?;
        let mut code = 0;
        // SAFETY: the instance is alive; `code` may be written.
        let rc = unsafe { (ext.status)(self.raw()?.this, id.0, &mut code) };
        match check(rc) {
            Ok(()) if code >= SIGNAL => Ok(Some(Exit::Signal(code - SIGNAL))),
            Ok(()) => Ok(Some(Exit::Code(code))),
            Err(Error::Again) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal to a child's process group. [`Host::cancel`] is SIGKILL.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn ask_to_end(host: &Host, id: ChildId) -> Result<()> { host.child_kill(id, 15) }
    /// ```
    pub fn child_kill(&self, id: ChildId, signal: i32) -> Result<()> {
        let ext: &abi::ChildExt = self.ext(c"swiftd.child/1")?;
        // SAFETY: the instance is alive; a stale id is an error code.
        check(unsafe { (ext.kill)(self.raw()?.this, id.0, signal) })
    }
}

/// From here on a code is a signal's number.
const SIGNAL: i32 = 256;

impl Request<'_> {
    /// Starts a process that belongs to this request: its end wakes the request, and the request's
    /// end kills it.
    ///
    /// ```
    /// # use swiftd_plugin::*;
    /// fn cgi(req: &mut Request) -> Flow {
    ///     let command = Command::new("/srv/cgi/hello").stdout(Stdio::Pipe);
    ///     let Ok(child) = req.spawn(&command) else { return Flow::Error };
    ///     let Some(output) = child.stdout else { return Flow::Error };
    ///     let Ok(output) = req.watch_owned(output, Ready::READ) else { return Flow::Error };
    ///     if req.set_data(output).is_ok() { Flow::WaitForFd } else { Flow::Error }
    /// }
    /// ```
    pub fn spawn(&mut self, command: &Command) -> Result<Child> {
        let RequestId(id) = self.id();
        self.host().spawn_for(id, command)
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
    pointers.push(core::ptr::null());
    pointers
}
