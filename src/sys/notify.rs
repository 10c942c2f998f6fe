//! Telling a service manager what the server does (sd_notify(3)), and that it still does it.
//!
//! A worker that is supervised tells its parent in the same words, because the manager listens to
//! the process that it has started.

use super::clock;
use super::raw::take_variable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, socketpair,
};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Tells. One that nobody listens to does nothing.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<OwnedFd>,
    /// How often a sign of life is wanted.
    period: Option<Duration>,
    /// For a program that takes over.
    variables: Vec<(&'static str, OsString)>,
}

/// Hears what a worker tells.
#[derive(Debug)]
pub struct Hearing {
    socket: OwnedFd,
    /// The other end, for each worker anew.
    mouth: OwnedFd,
    period: Option<Duration>,
}

/// How long a listener that is busy is waited for with what it must know.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// What is told in one piece, bytes.
const BYTES_MAX: usize = 1024;

/// What a worker may say to the manager. Plugins run in it, so not that another process is the main
/// one, and nothing that is kept there.
const PASSED: &[&str] = &[
    "READY",
    "RELOADING",
    "MONOTONIC_USEC",
    "STOPPING",
    "STATUS",
    "WATCHDOG",
];

impl Notifier {
    /// What the environment says, which is taken out of it: children have nothing to tell. Connects
    /// at once, so that it works in a jail.
    ///
    /// # Errors
    /// Somebody should be told, but cannot be; then a notifier that tells nobody would do.
    pub fn from_env() -> io::Result<Self> {
        let names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
        let [path, interval, process] = names.map(take_variable);
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = connect_to(&path)?;
        let mut variables = vec![("NOTIFY_SOCKET", path)];
        let period = period(std::process::id(), interval.as_deref(), process.as_deref());
        if let Some(interval) = interval.filter(|_| period.is_some()) {
            variables.push(("WATCHDOG_USEC", interval));
        }
        Ok(Self {
            socket: Some(socket),
            period,
            variables,
        })
    }

    /// The server serves, or serves again after [`Self::reloading`]. `main` is the process that the
    /// manager is to watch.
    pub fn ready(&self, main: u32) {
        self.tell(&format!("READY=1\nMAINPID={main}"), true);
    }

    /// The configuration is read anew; [`Self::ready`] follows in any case.
    pub fn reloading(&self) {
        // CLOCK_MONOTONIC, as the manager wants it: it compares.
        let micros = clock::fine_us();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"), true);
    }

    /// The server stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1", true);
    }

    /// Another process is the main one from now on.
    pub fn main_pid(&self, main: u32) {
        self.tell(&format!("MAINPID={main}"), true);
    }

    /// A line for the operator (`systemctl status`).
    pub fn status(&self, line: &str) {
        let line: String = line.chars().filter(|char| !char.is_control()).collect();
        self.tell(&format!("STATUS={line}"), false);
    }

    /// The logs are opened anew; for a supervisor, see [`is_reopened`].
    pub fn reopened(&self) {
        self.tell(REOPENED, true);
    }

    /// A sign of life, due every [`Self::period`].
    pub fn watchdog(&self) {
        self.tell("WATCHDOG=1", false);
    }

    /// How often [`Self::watchdog`] is due: twice as often as the manager insists on.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.period
    }

    /// The variables for a program that takes over from this process.
    #[must_use]
    pub fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// Whether whom a program that takes over is to tell has a socket that is in no file system.
    #[must_use]
    pub fn is_abstract(&self) -> bool {
        let mut variables = self.variables.iter();
        variables
            .any(|(name, value)| *name == "NOTIFY_SOCKET" && value.as_bytes().starts_with(b"@"))
    }

    /// Passes on what a worker has told, as far as that is its to tell. `main` is this process.
    pub fn pass_on(&self, told: &[u8], main: u32) {
        let told = String::from_utf8_lossy(told);
        let is_passed = |line: &&str| {
            let key = line.split_once('=').map(|(key, _)| key);
            key.is_some_and(|key| PASSED.contains(&key))
        };
        let lines: Vec<&str> = told.lines().filter(is_passed).collect();
        if is_ready(told.as_bytes()) {
            self.ready(main);
        } else if !lines.is_empty() {
            let must_know = !lines.iter().any(|line| line.starts_with("WATCHDOG="));
            self.tell(&lines.join("\n"), must_know);
        }
    }

    fn tell(&self, text: &str, must_know: bool) {
        let Some(socket) = &self.socket else {
            return;
        };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match send(socket, text.as_bytes(), flags) {
            Err(Errno::AGAIN) if must_know => {
                let mut ready = [PollFd::new(socket, PollFlags::OUT)];
                if poll(&mut ready, Some(&PATIENCE)).is_ok_and(|count| count > 0) {
                    let _ = send(socket, text.as_bytes(), flags);
                }
            }
            // A manager that has gone has nobody to be told to.
            _ => {}
        }
    }
}

/// Whether a worker says with this that it serves.
#[must_use]
pub fn is_ready(told: &[u8]) -> bool {
    told.split(|&byte| byte == b'\n')
        .any(|line| line == b"READY=1")
}

/// What a worker says when it has opened the logs anew. No manager is told.
const REOPENED: &str = "X_SWIFTD_LOGS=1";

/// Whether a worker says with this that it has opened the logs anew.
#[must_use]
pub fn is_reopened(told: &[u8]) -> bool {
    told == REOPENED.as_bytes()
}

impl Hearing {
    /// What a worker talks to, which is to give signs of life so often.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(period: Option<Duration>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, mouth) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok(Self {
            socket,
            mouth,
            period,
        })
    }

    /// What a worker tells with.
    #[must_use]
    pub fn into_notifier(self) -> Notifier {
        Notifier {
            socket: Some(self.mouth),
            period: self.period,
            variables: Vec::new(),
        }
    }

    /// What was told next.
    #[must_use]
    pub fn next(&self) -> Option<Vec<u8>> {
        let mut told = vec![0; BYTES_MAX];
        loop {
            match recv(&self.socket, &mut *told, RecvFlags::DONTWAIT) {
                Ok((bytes, _)) if bytes > 0 => {
                    told.truncate(bytes);
                    return Some(told);
                }
                Err(Errno::INTR) => {}
                _ => return None,
            }
        }
    }
}

impl AsFd for Hearing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn connect_to(path: &OsStr) -> io::Result<OwnedFd> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        path @ [b'/', ..] => SocketAddrUnix::new(path)?,
        _ => return Err(io::Error::other("it is neither a path nor @NAME")),
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// Half the interval, if it is this process that is watched.
fn period(own: u32, interval: Option<&OsStr>, process: Option<&OsStr>) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    if process.is_some_and(|process| number(process) != Some(own.into())) {
        return None;
    }
    let micros = number(interval?).filter(|&micros| micros > 0)?;
    Some(Duration::from_micros(micros / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn pair() -> (Notifier, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let notifier = Notifier {
            socket: Some(ours.into()),
            ..Notifier::default()
        };
        (notifier, theirs)
    }

    fn heard(listener: &UnixDatagram) -> String {
        let mut bytes = [0; BYTES_MAX];
        let count = listener.recv(&mut bytes).unwrap_or(0);
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn the_words_are_those_of_the_manual() {
        let (notifier, listener) = pair();
        notifier.ready(7);
        assert_eq!(heard(&listener), "READY=1\nMAINPID=7");
        notifier.reloading();
        let said = heard(&listener);
        let micros = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0);
        notifier.stopping();
        assert_eq!(heard(&listener), "STOPPING=1");
        notifier.main_pid(8);
        assert_eq!(heard(&listener), "MAINPID=8");
        notifier.status("a\nREADY=1");
        assert_eq!(heard(&listener), "STATUS=aREADY=1");
        notifier.watchdog();
        assert_eq!(heard(&listener), "WATCHDOG=1");
        Notifier::default().ready(1);
    }

    #[test]
    fn a_worker_is_passed_on_as_far_as_it_may_speak() {
        let (notifier, listener) = pair();
        let hearing = Hearing::new(None).unwrap();
        assert_eq!(hearing.next(), None);
        let mouth = Hearing {
            socket: hearing.socket.try_clone().unwrap(),
            mouth: hearing.mouth.try_clone().unwrap(),
            period: None,
        };
        let worker = mouth.into_notifier();
        worker.ready(1000);
        worker.status("fine");
        worker.main_pid(1000);
        let first = hearing.next().unwrap();
        assert!(is_ready(&first) && !is_ready(b"STATUS=READY=1"));
        notifier.pass_on(&first, 7);
        assert_eq!(heard(&listener), "READY=1\nMAINPID=7");
        while let Some(told) = hearing.next() {
            notifier.pass_on(&told, 7);
        }
        assert_eq!(heard(&listener), "STATUS=fine");
        assert_eq!(heard(&listener), "");
    }

    #[test]
    fn a_sign_of_life_is_due_twice_in_the_interval_of_the_watched_process() {
        let given = |interval: &str, process: Option<&str>| {
            period(42, Some(interval.as_ref()), process.map(AsRef::as_ref))
        };
        assert_eq!(given("30000000", Some("42")), Some(Duration::from_secs(15)));
        assert_eq!(given("30000000", None), Some(Duration::from_secs(15)));
        for (interval, process) in [("30000000", Some("41")), ("0", None), ("x", None)] {
            assert_eq!(given(interval, process), None);
        }
        assert_eq!(period(42, None, None), None);
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        for path in ["relative", "vsock:2:1", "/nowhere/at/all"] {
            assert!(connect_to(path.as_ref()).is_err(), "{path}");
        }
    }
}
